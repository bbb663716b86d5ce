# -*- test-case-name: cocained.test.test_errors -*-
"""
Misuse of the wire: ours, a peer's, and what a peer has reported.
"""

from __future__ import annotations

from cocained.errors.base import CocainedError
from cocained.errors.codes import Category, DispatchCode, NodeCode, TransportCode


class ProtocolError(CocainedError):
    """A rule of the wire was broken."""

    category = Category.TRANSPORT
    code = TransportCode.FRAME_FORMAT


class LocalProtocolError(ProtocolError):
    """*We* tried to send what the protocol forbids: a bug on this side."""


class RemoteProtocolError(ProtocolError):
    """
    The peer sent bytes after which the connection cannot go on.

    :param reason: what was wrong, for the log.
    :param code: which fault, travels to those who wait on the connection.
    """

    def __init__(
        self, reason: str, code: TransportCode = TransportCode.FRAME_FORMAT
    ) -> None:
        super().__init__(reason)
        self.code = code


class InvalidArgument(CocainedError):
    """A message whose arguments do not fit; only its channel suffers."""

    category = Category.DISPATCH
    code = DispatchCode.INVALID_ARGUMENT


class SlotNotFound(CocainedError):
    """A message id that the channel does not accept now."""

    category = Category.DISPATCH
    code = DispatchCode.SLOT_NOT_FOUND


class RevokedChannel(CocainedError):
    """A channel number that is not valid, or no longer."""

    category = Category.DISPATCH
    code = DispatchCode.REVOKED_CHANNEL


class TooManyChannels(CocainedError):
    """A connection has as many open channels as one may have."""

    category = Category.NODE
    code = NodeCode.RESOURCE


class RemoteError(CocainedError):
    """
    What a peer reported in an ``error`` frame, or what ended its connection.

    :param category: error category, 0…65535 and beyond (protocol.md §2.2).
    :param code: code within it; workers also send negative ones.
    :param reason: text, possibly empty.
    """

    def __init__(self, category: int, code: int, reason: str = "") -> None:
        super().__init__(reason)
        self.category = category
        self.code = code

    def __str__(self) -> str:
        return f"[{self.category}, {self.code}] {self.reason}"
