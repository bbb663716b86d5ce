# -*- test-case-name: cocained.test.test_rpc_eager -*-
# ruff: noqa: N802 - these doubles have the names of what they double
"""Tests of :mod:`cocained.rpc.wire`: writing without a turn of the reactor."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import ITransport
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from cocained.interfaces import IReactor
from cocained.rpc.wire import WINDOW, Limits, SessionProtocol, Wiring


class Socket(FileDescriptor):
    """
    A transport as the reactor has them.

    :ivar takes: what the socket takes of each write: so many bytes, everything
        (``None``), or an error.
    """

    def __init__(self) -> None:
        self.memory = MemoryReactor()
        super().__init__(cast(Any, self.memory))
        self.connected = 1
        self.aborts = 0
        self.taken = b""
        self.takes: list[int | Exception | None] = []

    def writeSomeData(self, data: bytes) -> int | Exception:
        size = self.takes.pop(0) if self.takes else None
        if isinstance(size, Exception):
            return size
        piece = bytes(data[:size])
        self.taken += piece
        return len(piece)

    def abortConnection(self) -> None:
        self.aborts += 1

    def getPeer(self) -> str:
        return "a peer"


class SocketTests(SynchronousTestCase):
    """What is written to a transport of the reactor's."""

    def setUp(self) -> None:
        self.clock = Clock()
        wiring = Wiring(cast(IReactor, self.clock), Limits(write_stall=60.0))
        self.protocol = SessionProtocol(wiring, None)
        self.transport = Socket()
        self.protocol.makeConnection(cast(ITransport, self.transport))

    def writers(self) -> list[object]:
        """Who waits until more can be written."""
        return list(self.transport.memory.getWriters())

    def say(self, data: bytes) -> None:
        self.protocol.session.send(data)
        self.protocol.session.flush()

    def test_at_once(self) -> None:
        """The socket gets it without a turn of the reactor."""
        self.say(b"hello")

        self.assertEqual(self.transport.taken, b"hello")
        self.assertEqual(self.writers(), [])
        self.assertFalse(self.protocol.session.congested)

    def test_in_pieces(self) -> None:
        """A socket that takes part of it is asked again."""
        self.transport.takes = [2, 2, None]

        self.say(b"hello")

        self.assertEqual(self.transport.taken, b"hello")
        self.assertFalse(self.protocol.session.congested)

    def test_full(self) -> None:
        """What it does not take, the reactor writes; until then it is full."""
        self.transport.takes = [2, 0]

        self.say(b"hello")
        self.say(b" you")

        self.assertEqual(self.transport.taken, b"he")
        self.assertTrue(self.protocol.session.congested)
        self.transport.doWrite()
        self.assertEqual(self.transport.taken, b"hello you")
        self.assertFalse(self.protocol.session.congested)
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_order(self) -> None:
        """More than a window goes out whole and in order, however it is taken."""
        self.transport.takes = [WINDOW // 2, 0, WINDOW // 2, None, 7, 0]
        data = bytes(range(256)) * (WINDOW // 64)

        self.say(data)
        for _ in range(20):
            if self.protocol.session.congested:
                self.transport.doWrite()

        self.assertEqual(self.transport.taken, data)
        self.assertFalse(self.protocol.session.congested)

    def test_stalled(self) -> None:
        """A socket that stays full, however little is left, is given up."""
        self.transport.takes = [2, 0]
        self.say(b"hello")

        self.clock.advance(59.9)
        self.assertTrue(self.transport.connected)
        self.assertFalse(self.transport.disconnecting)
        self.clock.advance(0.1)

        self.assertEqual(self.transport.aborts, 1)

    def test_broken(self) -> None:
        """An error is not ours to handle: the reactor meets it, too."""
        self.transport.takes = [ConnectionLost()]

        self.say(b"hello")

        self.assertTrue(self.protocol.session.congested)
        self.assertEqual(list(self.transport.reactor.getWriters()), [self.transport])
