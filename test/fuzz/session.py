# -*- test-case-name: cocained.test.test_fuzz -*-
"""
A session between a hostile peer, a slow link, and a service that takes its time.

An input is a script: a byte that says what happens, and for bytes that arrive
their number and themselves.  A neighbour shares the turn and must not notice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from cocained.errors import Category, DispatchCode, RemoteError
from cocained.rpc import arguments
from cocained.rpc.arguments import Signature
from cocained.rpc.codec import Decoder
from cocained.rpc.dispatch import Dispatch, Protocol
from cocained.rpc.graph import ERROR, STREAMING
from cocained.rpc.headers import Header, HeaderTable, Trace
from cocained.rpc.session import Session
from cocained.rpc.streams import Downstream, Upstream
from cocained.rpc.turn import Turn
from cocained.test.fuzz.targets import Target, law
from cocained.test.fuzz.wire import worked_frames
from cocained.test.rpc_case import Listener, MemoryLink, frame

#: Channels that the peer may keep open: so few that scripts reach the limit.
CHANNEL_LIMIT = 6

#: What happens: bytes arrive, whole or one by one; the link is full, or empty;
#: a call is answered, or fails; we open a channel; the peer has said its last.
READ, TRICKLE, CONGEST, DRAIN, ANSWER, BREAK, FORK, END = range(8)


class SlowService:
    """Offers one method of each kind."""

    protocol = Protocol(version=1)

    def __init__(self) -> None:
        #: what has not been answered
        self.waiting: list[Deferred[Any]] = []
        #: streams that the peer has opened
        self.opened = 0
        #: those that have ended, each way counted
        self.ended = 0

    @protocol.method(0, arguments.blob)
    def echo(self, data: bytes) -> bytes:
        """Answer at once."""
        return data

    @protocol.method(1, arguments.optional(arguments.anything, None))
    def later(self, value: Any) -> Deferred[Any]:
        """Answer when the script says so."""
        waiting: Deferred[Any] = Deferred()
        self.waiting.append(waiting)
        return waiting

    @protocol.stream(2, dispatch=STREAMING)
    def talk(self, session: Session, channel: int, headers: list[Header]) -> Downstream:
        """Send back what comes."""
        upstream = Upstream(session, channel, headers)
        self.opened += 1

        def write(data: bytes) -> bool:
            upstream.write(data)
            return False

        def close(*reason: Any) -> bool:
            upstream.close()
            self.end()
            return True

        code = arguments.record(arguments.integer, arguments.integer)
        messages: dict[int, tuple[Signature, Callable[..., bool]]] = {
            0: (Signature((arguments.blob,)), write),
            1: (Signature((code, arguments.text)), close),
            2: (Signature(()), close),
        }
        return Downstream(session, channel, messages, self.end)

    @protocol.mute(3, arguments.integer)
    def note(self, number: int) -> None:
        """Say nothing."""

    def end(self) -> None:
        """Count a stream that has ended."""
        self.ended += 1

    def answer(self, failure: Exception | None = None) -> None:
        """Answer the oldest call."""
        if self.waiting:
            waiting = self.waiting.pop(0)
            if failure is None:
                waiting.callback(b"late")
            else:
                waiting.errback(failure)


class Stage:
    """
    Everything that a script can act upon.

    :param make: the session, or one with a fault of its own.
    """

    def __init__(self, make: type[Session]) -> None:
        self.clock = Clock()
        self.turn = Turn(
            self.clock.seconds, lambda function: self.clock.callLater(0, function)
        )
        self.service = SlowService()
        self.link = MemoryLink()
        self.session = make(
            self.turn, self.link, Dispatch(self.service), channel_limit=CHANNEL_LIMIT
        )
        self.beside = MemoryLink()
        self.neighbour = Session(self.turn, self.beside, Dispatch(SlowService()))
        self.listeners: list[Listener] = []

    def receive(self, data: bytes, session: Session | None = None) -> None:
        """Let bytes arrive, as the wire does it: neither when halted nor closed."""
        session = session or self.session
        if session.held or not session.connected or session.ending:
            return
        self.turn.begin()
        try:
            session.receive(data)
        finally:
            self.turn.end()

    def play(self, script: bytes) -> None:
        """Do what a script says."""
        reader = BytesIO(script)
        while step := reader.read(1):
            self.step(step[0] % 8, reader)
            self.clock.advance(0)
            self.keep()

    def step(self, what: int, reader: BytesIO) -> None:
        """Do one thing."""
        session = self.session
        if what in (READ, TRICKLE):
            size = int.from_bytes(reader.read(1), "big")
            data = reader.read(size)
            cut = len(data) or 1 if what == READ else 1
            for at in range(0, len(data), cut):
                self.receive(data[at : at + cut])
        elif what == CONGEST and session.connected:
            session.congest()
        elif what == DRAIN and session.connected:
            session.drained()
        elif what == ANSWER:
            self.service.answer()
        elif what == BREAK:
            self.service.answer(RemoteError(42, 1, "broken"))
        elif what == FORK and session.connected and len(self.listeners) < 4:
            self.listeners.append(Listener())
            session.fork(self.listeners[-1])
        elif what == END and session.connected and not session.ending:
            session.end(RemoteError(Category.ASIO_MISC, 2, "End of file"))

    def keep(self) -> None:
        """State what holds at any time."""
        session, service = self.session, self.service
        law(session.owed == session.calls == len(service.waiting), "calls are counted")
        most = CHANNEL_LIMIT + len(self.listeners)
        law(len(session.channels) <= most, "channels are limited", session.channels)
        if session.fault is not None:
            law(not session.channels, "no channel outlives a broken connection")
            law(not session.connected, "a broken connection is not spoken to")
        law(session.connected or self.link.closed, "what is over is closed")
        for listener in self.listeners:
            law(len(listener.errors) <= 1, "a channel is discarded once")

    def close(self) -> None:
        """Let everything end, and state that nothing is left."""
        session = self.session
        if session.connected:
            session.drained()
        while self.service.waiting:
            self.service.answer()
        self.clock.advance(0)
        self.keep()
        self.still_serves()
        session.lost(RemoteError(Category.ASIO_MISC, 2, "End of file"))
        session.lost(RemoteError(Category.ASIO_MISC, 2, "End of file"))
        self.clock.advance(0)
        law(not session.channels and not session.owed, "nothing is left open")
        law(
            self.service.opened == self.service.ended,
            "every stream ends once",
            self.service.opened,
            self.service.ended,
        )
        law(not self.clock.getDelayedCalls(), "nothing is left to do")

    def still_serves(self) -> None:
        """State that the neighbour is served, and this one if it is open."""
        self.receive(frame(1, 0, b"beside"), self.neighbour)
        law(self.beside.frames() == [[1, 0, [b"beside"]]], "the neighbour is served")
        session = self.session
        # The number of the last channel is known to nobody but the session.
        number = session.fork(Listener())
        del session.channels[number]
        if not session.connected or session.ending or number >= 2**64 - 1:
            return
        decoder = session._decoder
        if decoder.waiting:
            return
        before = len(self.link.data)
        self.receive(frame(number + 1, 0, b"still"))
        [(channel, kind, args, *_)] = Decoder().decode(self.link.data[before:])
        law(channel == number + 1, "other channels are served", channel)
        if len(session.channels) < CHANNEL_LIMIT:
            law([kind, args] == [0, [b"still"]], "the answer is right", kind, args)
        else:
            law(kind == ERROR, "too many channels are refused", kind)


@implementer(ILogObserver)
class Failures:
    """Keeps what is logged as a failure."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def __call__(self, event: LogEvent) -> None:
        if "log_failure" in event:
            self.seen.append(event["log_failure"])


@contextlib.contextmanager
def quiet_log() -> Iterator[None]:
    """
    State that nothing is logged as a failure meanwhile.

    :raises Violation: something was, with what.
    """
    failures = Failures()
    globalLogPublisher.addObserver(failures)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(failures)
    law(not failures.seen, "no bug is logged", *failures.seen)


def check(data: bytes, make: type[Session] = Session) -> None:
    """
    Take one input.

    :param make: the session, or one with a fault of its own.
    """
    with quiet_log():
        stage = Stage(make)
        stage.play(data)
        stage.close()
    _read_answers(stage.link.data)


def _read_answers(data: bytes) -> None:
    """State that everything said is whole frames, and in order on each channel."""
    decoder, table = Decoder(), HeaderTable()
    frames = decoder.decode(data)
    law(decoder.fault is None and not decoder.waiting, "whole frames are sent", data)
    ended = set()
    for channel, kind, args, headers in frames:
        Trace.from_headers(table.decode(headers))
        law(channel not in ended, "nothing follows the end of a channel", channel)
        # Channel 0 is told each time what is wrong with it.
        if kind == ERROR and channel:
            ended.add(channel)
            [category, code], _reason = args
            law(
                (category, code) != (Category.DISPATCH, DispatchCode.UNCAUGHT),
                "errors are documented ones",
                args,
            )


def read(data: bytes, how: int = READ) -> bytes:
    """Write bytes that arrive into a script, at most 255 of them."""
    return bytes((how, len(data))) + data


def seeds() -> Iterable[bytes]:
    """Conversations of each kind, and the worked frames."""
    frames = [each for each in worked_frames() if len(each) < 256]
    yield from (read(each) for each in frames)
    yield b"".join(read(each) for each in frames[:6])
    talk = frame(2, 2) + frame(2, 0, b"chunk") + frame(2, 2)
    yield read(frame(1, 0, b"ping") + talk)
    yield read(talk, TRICKLE)
    later = read(frame(1, 1, b"x") + frame(2, 1))
    yield later + bytes((ANSWER, BREAK))
    yield later + bytes((END, ANSWER, ANSWER))
    yield bytes((CONGEST,)) + later + bytes((DRAIN,)) + later
    yield read(frame(1, 2)) + bytes((FORK,)) + read(frame(2, 0, b"ours"))
    yield read(b"".join(frame(n, 2) for n in range(1, 9)) + frame(9, 0, b"x"))
    for control in range(65532, 65536):
        yield read(frame(1, 2) + frame(2, control, 1, [1, 2]))
    yield read(frame(5, 3, 1) + frame(4, 0, b"revoked") + frame(6, 9))


TARGET = Target(
    run=check,
    seeds=seeds,
    words=(frame(1, 0, b"x"), frame(2, 2), frame(3, 1), b"\xcd\xff\xff", b"\x93"),
    size=1024,
)
