# -*- test-case-name: cocained.test.test_rpc_session -*-
"""What the tests of the wire share: a session between doubles that remember."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import CocainedError
from cocained.rpc.codec import Decoder, pack
from cocained.rpc.headers import Header
from cocained.rpc.session import Session
from cocained.rpc.turn import Turn


def frame(channel: Any, kind: Any, *args: Any) -> bytes:
    """A frame of three elements, as most clients send it."""
    return pack([channel, kind, list(args)])


class MemoryLink:
    """A connection that remembers; writing to it after its end is an error."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.paused = False
        self.closed = False
        #: called with each piece that is written
        self.on_write: Callable[[bytes], object] = len

    def write(self, data: bytes) -> None:
        if self.closed:
            raise AssertionError("written after the end")
        self.writes.append(data)
        self.on_write(data)

    def pause(self) -> None:
        if self.paused:
            raise AssertionError("paused twice")
        self.paused = True

    def resume(self) -> None:
        if not self.paused:
            raise AssertionError("resumed twice")
        self.paused = False

    def close(self) -> None:
        self.closed = True

    def untaken(self) -> int:
        return 0

    @property
    def data(self) -> bytes:
        """All bytes written."""
        return b"".join(self.writes)

    def frames(self) -> list[Any]:
        """All frames written, without their headers."""
        decoder = Decoder()
        frames = decoder.decode(self.data)
        if decoder.waiting or decoder.fault is not None:
            raise AssertionError("half a frame was written")
        return [found[:3] for found in frames]


class Listener:
    """A receiver that remembers."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, list[Any], list[Header]]] = []
        self.errors: list[CocainedError] = []
        #: called with each message
        self.on_message: Callable[[int, list[Any]], object] = lambda kind, args: None
        #: called when the channel is gone
        self.on_discard: Callable[[], object] = lambda: None

    def message(self, kind: int, args: list[Any], headers: list[Header]) -> None:
        self.messages.append((kind, args, headers))
        self.on_message(kind, args)

    def discard(self, error: CocainedError) -> None:
        self.errors.append(error)
        self.on_discard()


class MemoryRoot:
    """
    A root that remembers.

    Messages of kind 1 open a channel with a :class:`Listener`.
    """

    def __init__(self) -> None:
        self.opened: list[tuple[int, int, list[Any], list[Header]]] = []
        self.listeners: dict[int, Listener] = {}
        #: called with each message that opens a channel
        self.on_open: Callable[[Session, int, list[Any]], object] = (
            lambda session, channel, args: None
        )

    def open(
        self,
        session: Session,
        channel: int,
        kind: int,
        args: list[Any],
        headers: list[Header],
    ) -> None:
        self.opened.append((channel, kind, args, headers))
        if kind == 1:
            session.channels[channel] = self.listeners[channel] = Listener()
        self.on_open(session, channel, args)

    @property
    def channels(self) -> list[int]:
        """The numbers of the channels opened, in order."""
        return [channel for channel, *_ in self.opened]


class FakeSource:
    """Something that produces; counts how often it is halted."""

    def __init__(self) -> None:
        self.halts = 0

    def halt(self) -> None:
        self.halts += 1

    def release(self) -> None:
        self.halts -= 1
        if self.halts < 0:
            raise AssertionError("released more often than halted")


def echo(session: Session, channel: int, args: list[Any]) -> None:
    """Answer a message with its arguments."""
    session.value(channel, args)


class SessionCase(SynchronousTestCase):
    """One session, with a root that remembers and a turn on a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.turn = Turn(
            self.clock.seconds, lambda function: self.clock.callLater(0, function)
        )
        self.link = MemoryLink()
        self.root = MemoryRoot()
        self.session = Session(self.turn, self.link, self.root)

    def receive(self, *data: bytes, session: Session | None = None) -> None:
        """Let one read arrive, as the wire does it."""
        self.turn.begin()
        (session or self.session).receive(b"".join(data))
        self.turn.end()
