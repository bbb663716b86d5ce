# -*- test-case-name: cocained.test.test_rpc_session -*-
"""
Who stands around a session, and what it asks of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from cocained.errors import CocainedError
from cocained.rpc.headers import Header

if TYPE_CHECKING:
    from cocained.rpc.session import Session


class Receiver(Protocol):
    """Takes the messages of one open channel."""

    def message(self, kind: int, args: list[Any], headers: list[Header]) -> None:
        """Take one message; must not raise."""

    def discard(self, error: CocainedError) -> None:
        """The channel is gone: nothing more will come on it."""


class Root(Protocol):
    """Decides what happens with a message on a new channel."""

    def open(
        self,
        session: Session,
        channel: int,
        kind: int,
        args: list[Any],
        headers: list[Header],
    ) -> None:
        """Take the first message of a channel; must not raise."""


class Link(Protocol):
    """What a session needs of its connection."""

    def write(self, data: bytes) -> None:
        """Send *data*, in order, some time."""

    def pause(self) -> None:
        """Read no more."""

    def resume(self) -> None:
        """Read again."""

    def close(self) -> None:
        """End the connection when all has been sent."""

    def untaken(self) -> int:
        """
        Say how many bytes the system still has for the peer; 0 if it does not tell.
        """


class Source(Protocol):
    """Something that produces output, and can be stopped while it is too much."""

    def halt(self) -> None:
        """Produce no more, until as many :meth:`release` calls."""

    def release(self) -> None:
        """Undo one :meth:`halt`."""
