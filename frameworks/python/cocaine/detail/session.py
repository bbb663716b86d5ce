# -*- test-case-name: tests.test_session -*-
"""
The client's side of one connection: channels and their numbers. Sans-IO.
"""

from __future__ import annotations

from functools import partial

from cocaine.detail.codec import FrameDecoder, broken, pack
from cocaine.detail.headers import HeaderReader, encode
from cocaine.detail.values import plain_args
from cocaine.exceptions import DisconnectionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cocaine.detail.channel import Call, Rx
    from cocaine.detail.future import Future
    from cocaine.detail.graph import Method


class Session:
    """
    Opens channels, numbered from 1, and hands messages to them.

    :param service: the name, for errors
    :param stream: a :class:`cocaine.detail.stream.Stream`, or a double of it
    """

    __slots__ = (
        "_channels",
        "_decoder",
        "_headers",
        "_last",
        "_stream",
        "is_alive",
        "is_orphan",
        "service",
    )

    def __init__(self, service: str, stream: Any) -> None:
        self.service = service
        self.is_alive = True
        self.is_orphan = False
        self._stream = stream
        self._channels: dict[int, Rx] = {}
        self._last = 0
        self._decoder = FrameDecoder()
        self._headers = HeaderReader()

    def open(
        self, call: Call, method: Method, args: tuple[Any, ...], headers: dict[str, Any]
    ) -> None:
        """
        Send the first message of a new channel.

        :raises TypeError: when something cannot be packed; nothing was sent
        :raises OverrunError: when far too much is waiting to be sent
        """
        number = self._last + 1
        data = _frame(number, method.number, args, headers)
        self._stream.check_room()
        self._stream.write(data)
        self._last = number
        if method.rx:
            self._channels[number] = call.rx
        call._opened(self, number, method)

    def send(
        self, channel: int, kind: int, args: tuple[Any, ...], headers: dict[str, Any]
    ) -> Future:
        """
        Send another message of a channel.

        :returns: a future that is done when it is time to send more
        :raises DisconnectionError: when the connection is gone
        :raises OverrunError: when far too much is waiting to be sent
        """
        if not self.is_alive:
            raise DisconnectionError(self.service)
        data = _frame(channel, kind, args, headers)
        self._stream.check_room()
        self._stream.write(data)
        drained: Future = self._stream.drained()
        return drained

    def receive(self, data: bytes) -> None:
        """
        Take bytes and complete what they complete.

        Messages of finished and unknown channels are dropped.

        :raises ProtocolError: when the bytes are not frames
        """
        channels = self._channels
        try:
            for frame in self._decoder.feed(data):
                number, kind, args = frame[0], frame[1], frame[2]
                headers = None
                if len(frame) > 3:
                    headers = self._headers.accept(frame[3])
                rx = channels.get(number)
                if rx is None:
                    continue
                if type(args) is not list:
                    raise TypeError("the arguments are not a list")
                if rx._receive(kind, args, headers):
                    channels.pop(number, None)
        except Exception as error:
            raise broken(error) from error
        if self.is_orphan and not channels:
            self.close()

    def lost(self, reason: str) -> None:
        """Fail every open channel with `DisconnectionError`."""
        self.is_alive = False
        channels, self._channels = self._channels, {}
        for rx in channels.values():
            rx._lose(partial(DisconnectionError, self.service, reason))

    def abandon(self) -> None:
        """Close as soon as no call is in progress: nobody can make another."""
        self.is_orphan = True
        if not self._channels:
            self.close()

    def close(self) -> None:
        """Send what is left and close; open channels are disconnected."""
        if self.is_alive:
            self._stream.finish(0)
            self.lost("the connection was closed on this side")


def _frame(
    channel: int, kind: int, args: tuple[Any, ...], headers: dict[str, Any]
) -> bytes:
    if headers:
        frame: tuple[Any, ...] = (channel, kind, plain_args(args), encode(headers))
    else:
        frame = (channel, kind, plain_args(args))
    packed: bytes = pack(frame)
    return packed
