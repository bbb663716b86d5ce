# -*- test-case-name: cocained.test.test_rpc_dispatch -*-
"""
The two halves of a streaming channel, for services that talk by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cocained.errors import CocainedError, SlotNotFound
from cocained.rpc.arguments import Signature
from cocained.rpc.codec import frame_head, pack
from cocained.rpc.graph import CLOSE, WRITE
from cocained.rpc.headers import UNTRACED, Header, reply_headers
from cocained.rpc.session import Session


class Upstream:
    """
    The answering half of a streaming channel.

    :param pack_list: packs the values of a message.
    :raises InvalidTrace: the headers of the request hold a bad trace.
    """

    __slots__ = ("_channel", "_headers", "_pack", "_session", "closed")

    def __init__(
        self,
        session: Session,
        channel: int,
        headers: list[Header],
        pack_list: Callable[[list[Any]], bytes] = pack,
    ) -> None:
        self._session = session
        self._channel = channel
        self._pack = pack_list
        self._headers = reply_headers(headers) if headers else UNTRACED
        #: whether the last message has been sent
        self.closed = False

    def write(self, *values: Any, headers: bytes | None = None) -> None:
        """
        Send one chunk; nothing happens after the end.

        :param headers: a packed list in place of the usual one.
        """
        if not self.closed:
            self._send(WRITE, list(values), headers)

    def value(self, *values: Any) -> None:
        """Give the one answer of a primitive."""
        self.write(*values)
        self.closed = True

    def error(self, error: BaseException) -> None:
        """End with an error."""
        if not self.closed:
            self.closed = True
            self._session.error(self._channel, error, self._headers)

    def close(self) -> None:
        """End the stream."""
        if not self.closed:
            self.closed = True
            self._send(CLOSE, [], None)

    def _send(self, kind: int, values: list[Any], headers: bytes | None) -> None:
        self._session.send(
            b"".join(
                (
                    frame_head(self._channel),
                    bytes((kind,)),
                    self._pack(values),
                    self._headers if headers is None else headers,
                )
            )
        )


class Downstream:
    """
    Takes what a client sends on an open channel, one function per message.

    :param session: where the channel is.
    :param channel: its number.
    :param messages: number to signature and function; a function that returns
        true ends the channel.
    :param discarded: called once when the channel is gone by itself.
    """

    __slots__ = ("_channel", "_discarded", "_messages", "_session")

    def __init__(
        self,
        session: Session,
        channel: int,
        messages: Mapping[int, tuple[Signature, Callable[..., bool]]],
        discarded: Callable[[], object],
    ) -> None:
        self._session = session
        self._channel = channel
        self._messages = messages
        self._discarded = discarded

    def message(self, kind: int, args: list[Any], headers: list[Header]) -> None:
        try:
            found = self._messages.get(kind)
            if found is None:
                raise SlotNotFound(f"message {kind} is not bound on this channel")
            signature, function = found
            done = function(*signature.convert(args))
        except CocainedError as error:
            # Bound elsewhere or mistaken: this channel ends, the others live on.
            self._session.channels.pop(self._channel, None)
            self._session.error(self._channel, error)
            self._discarded()
        else:
            if done:
                self._session.channels.pop(self._channel, None)

    def discard(self, error: CocainedError) -> None:
        self._discarded()
