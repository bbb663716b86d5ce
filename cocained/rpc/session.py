# -*- test-case-name: cocained.test.test_rpc_session -*-
"""
Many channels over one connection.

A :class:`Session` takes bytes, hands each frame to the :class:`Receiver` of its
channel, and collects the answers.  All sessions of a process share a
:class:`Turn`: what they have to say during one turn of the reactor leaves with
one write each, at its end.  Sixty-four answers cost one ``send``.

Back-pressure: a session whose peer does not read holds the sessions that feed
it, which stop to read and to dispatch (:mod:`~cocained.rpc.pressure`).

The rules of channels are those of protocol.md §1.3, with the improvements of
design.md §2: only bytes that are no frame end a connection.
"""

from __future__ import annotations

from typing import Any, Final

from typing_extensions import override

from cocained.errors import (
    CocainedError,
    InvalidArgument,
    RemoteError,
    RemoteProtocolError,
    RevokedChannel,
    SlotNotFound,
    TooManyChannels,
    to_wire,
)
from cocained.rpc.codec import ARRAY_LIMIT, FRAME_LIMIT, Decoder, Frame, encode
from cocained.rpc.graph import CONTROL, ERROR, PING, REVOKE, VALUE
from cocained.rpc.headers import (
    UNTRACED,
    Header,
    HeaderTable,
    InvalidTrace,
    is_untraced,
    reply_headers,
)
from cocained.rpc.pressure import Pressure
from cocained.rpc.roles import Link, Receiver, Root
from cocained.rpc.turn import Turn

#: Most channels that one connection may keep open for input.
CHANNEL_LIMIT = 16384

#: Output beyond this many bytes leaves at once, so that a full peer is noticed
#: within the turn and not after it.
EARLY_FLUSH = 262144

#: Shared by all frames that came without headers; nobody changes it.
NO_HEADERS: Final[list[Header]] = []


class Session(Pressure):
    """
    One connection's channels, apart from its transport.

    :param turn: shared by all sessions of the process.
    :param link: the connection.
    :param root: takes messages on new channels; ``None`` on connections where
        only we open channels, and then such messages are dropped.
    :param frame_limit: largest frame to accept, in bytes.
    :param channel_limit: most channels that the peer may keep open.
    :param hold_itself: whether to stop reading while the peer does not read.
        Not for workers: they may well write first and read later.
    :param array_limit: most elements of an array in a frame.
    """

    __slots__ = (
        "_channel_limit",
        "_decoder",
        "_frames",
        "_hold_itself",
        "_holds",
        "_last",
        "_out_size",
        "_root",
        "_table",
        "_turn",
        "calls",
        "channels",
        "dropped",
        "ending",
        "fault",
        "out",
        "owed",
    )

    def __init__(
        self,
        turn: Turn,
        link: Link,
        root: Root | None,
        frame_limit: int = FRAME_LIMIT,
        channel_limit: int = CHANNEL_LIMIT,
        hold_itself: bool = True,
        array_limit: int = ARRAY_LIMIT,
    ) -> None:
        super().__init__(link)
        self._turn = turn
        self._root = root
        self._channel_limit = channel_limit
        self._hold_itself = hold_itself
        self._decoder = Decoder(frame_limit, array_limit)
        self._table = HeaderTable()
        self._last = 0
        self._frames: list[Frame] = []
        #: what leaves at the end of the turn; while it is empty, see :meth:`speak`
        self.out: list[bytes] = []
        self._out_size = 0
        self._holds = 0
        #: channels whose input half is open
        self.channels: dict[int, Receiver] = {}
        #: frames for channels that are finished, or that nobody expects
        self.dropped = 0
        #: answers that are still to be given
        self.owed = 0
        #: those among them that a service works on right now
        self.calls = 0
        #: the peer has sent its last byte
        self.ending = False
        #: what broke the connection, if the peer did
        self.fault: RemoteProtocolError | None = None

    # Input

    def receive(self, data: bytes) -> None:
        """Take the next bytes; to be called within a turn."""
        if self._holds:
            self._frames += self._decoder.decode(data)
        else:
            self._dispatch(self._decoder.decode(data))
        if self._decoder.fault is not None and not self._frames:
            self.fail(self._decoder.fault)

    def _dispatch(self, frames: list[Frame]) -> None:
        channels = self.channels
        rest = iter(frames)
        for frame in rest:
            # Most frames have three elements, or an empty list as the fourth.
            try:
                if len(frame) == 3:
                    channel, kind, args = frame
                    headers = NO_HEADERS
                else:
                    channel, kind, args, packed, *_ = frame
                    headers = (
                        NO_HEADERS
                        if packed == [] or is_untraced(packed)
                        else self._table.decode(packed)
                    )
                receiver = channels.get(channel)
            except RemoteProtocolError as fault:
                return self.fail(fault)
            except (TypeError, ValueError):
                return self.fail(_no_frame())
            if type(args) is not list or type(kind) is not int:
                return self.fail(_no_frame())
            if receiver is not None:
                receiver.message(kind, args, headers)
            else:
                self._open(channel, kind, args, headers)
            if self._holds:
                self._frames = list(rest)
                return None
        return None

    def _open(
        self, channel: int, kind: int, args: list[Any], headers: list[Header]
    ) -> None:
        if type(channel) is not int or kind < 0:
            self.fail(_no_frame())
            return
        if channel <= self._last:
            self.dropped += 1
            if channel < 0:
                self.fail(_no_frame())
            elif channel == 0:
                self.error(
                    0,
                    RevokedChannel(
                        "channel 0 is never valid; this node speaks the dialect of"
                        " 0.12, a client of 0.11 sends method numbers first"
                    ),
                )
            return
        self._last = channel
        if self._root is None:
            self.dropped += 1
        elif kind >= CONTROL:
            self._control(channel, kind, args, headers)
        elif len(self.channels) >= self._channel_limit:
            self.error(
                channel,
                TooManyChannels(
                    f"{self._channel_limit} channels are open on this connection"
                ),
            )
        else:
            self._root.open(self, channel, kind, args, headers)

    def _control(
        self, channel: int, kind: int, args: list[Any], headers: list[Header]
    ) -> None:
        try:
            packed = reply_headers(headers) if headers else UNTRACED
            if kind == REVOKE:
                self._revoke(args)
            elif kind != PING:
                raise SlotNotFound(f"control message {kind} is not bound")
        except (SlotNotFound, InvalidArgument, InvalidTrace) as error:
            self.error(channel, error)
        else:
            self.value(channel, [], packed)

    def _revoke(self, args: list[Any]) -> None:
        match args:
            case [channel, [category, code, *_], *_] if (
                # Not isinstance: a boolean is no number on the wire.
                type(channel) is type(category) is type(code) is int
            ):
                receiver = self.channels.pop(channel, None)
                if receiver is not None:
                    receiver.discard(RemoteError(category, code, "revoked"))
            case _:
                raise InvalidArgument("revoke takes a channel and an error code")

    def end(self, error: CocainedError) -> None:
        """
        The peer has sent its last byte, but may still read.

        Channels that it left open are discarded; what it asked for before is
        answered, and then the connection is closed.

        :param error: what the channels are told.
        """
        self.ending = True
        self._discard_channels(error)
        self.settle()

    def paid(self) -> None:
        """One of the answers that are :attr:`owed` has been given."""
        self.owed -= 1
        if self.ending:
            self.settle()

    def settle(self) -> None:
        """Close a connection that has ended, once nothing is owed any more."""
        link = self._link
        if self.ending and not self.owed and not self._frames and link is not None:
            self.flush()
            # Streams that know no end of their own have nobody left to talk to.
            self._link = None
            link.close()

    def lost(self, error: CocainedError) -> None:
        """
        The connection is gone; nothing can be sent any more.

        Channels are discarded in the order in which they were opened.
        """
        self._link = None
        # Frames behind the one that ended the connection are dropped.
        self._root = None
        self.out = []
        self._frames = []
        self.drained()
        self._discard_channels(error)

    def fail(self, fault: RemoteProtocolError) -> None:
        """The peer broke the framing: end the connection."""
        self.fault = self._decoder.fault = fault
        self.hang_up(fault)

    def hang_up(self, error: CocainedError) -> None:
        """
        End the connection, once what has been said is sent.

        :param error: what the open channels are told, at once.
        """
        self.flush()
        if self._link is not None:
            self._link.close()
        self.lost(error)

    def _discard_channels(self, error: CocainedError) -> None:
        # Detached first: receivers come back to us from here.
        receivers = list(self.channels.values())
        self.channels.clear()
        for receiver in receivers:
            receiver.discard(error)

    # Channels

    def fork(self, receiver: Receiver) -> int:
        """Open a channel of ours and give its number."""
        self._last += 1
        self.channels[self._last] = receiver
        return self._last

    # Output

    def speak(self) -> list[bytes]:
        """
        Begin to collect what leaves at the end of the turn.

        A relay of small pieces puts them there itself::

            out = session.out or session.speak()
            out += (head, payload, headers)

        What it says within a turn is bounded by what one read may bring.
        Everything else goes through :meth:`send`.

        :returns: :attr:`out`, which is still empty.
        """
        self._turn.add(self)
        return self.out

    def send(self, data: bytes) -> None:
        """Send a packed frame, or part of one, at the end of the turn."""
        (self.out or self.speak()).append(data)
        self._out_size += len(data)
        if self._out_size > EARLY_FLUSH:
            self.flush()

    def value(self, channel: int, values: list[Any], headers: bytes = UNTRACED) -> None:
        """Give the one answer of a primitive channel, or a chunk of a stream."""
        self.send(encode(channel, VALUE, values, headers))

    def error(
        self, channel: int, error: BaseException, headers: bytes = UNTRACED
    ) -> None:
        """Answer with an error; nothing follows it on that channel."""
        category, code, reason = to_wire(error)
        self.send(encode(channel, ERROR, [[category, code], reason], headers))

    def flush(self) -> None:
        """Write what has been collected, as one piece."""
        out = self.out
        if not out:
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        self.out = []
        self._out_size = 0
        if self._link is not None:
            self._link.write(data)

    # Back-pressure

    @property
    def held(self) -> bool:
        """Whether what the peer says is left unread for now."""
        return self._holds > 0

    @override
    def congest(self) -> None:
        super().congest()
        if self._hold_itself:
            self.hold(self)

    def halt(self) -> None:
        """Read and dispatch no more, until as many :meth:`release` calls."""
        self._holds += 1
        if self._holds == 1 and self._link is not None:
            self.pauses += 1
            self._link.pause()

    def release(self) -> None:
        """Undo one :meth:`halt`."""
        self._holds -= 1
        if self._holds or self._link is None:
            return
        self._link.resume()
        if self._frames:
            self._turn.begin()
            try:
                frames, self._frames = self._frames, []
                self._dispatch(frames)
                if self._decoder.fault is not None and not self._frames:
                    self.fail(self._decoder.fault)
                self.settle()
            finally:
                self._turn.end()


def _no_frame() -> RemoteProtocolError:
    return RemoteProtocolError("a frame is [channel, kind, [arguments], [headers]?]")
