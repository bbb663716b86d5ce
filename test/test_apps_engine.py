"""
The socket at which workers call.
"""

from __future__ import annotations

import os

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.engine import Engine, check_path, free_path
from cocained.apps.speech import Handshake
from cocained.door import PATH_LIMIT
from cocained.errors import SpoolError
from cocained.testing import FakeNode, Peer


class EngineTests(SynchronousTestCase):
    """What listens, and how long."""

    def setUp(self) -> None:
        self.node = FakeNode()
        self.clock = self.node.clock
        self.directory = self.mktemp()
        os.makedirs(self.directory)
        self.path = os.path.join(self.directory, "echo.1")

    def make(self, limit: int = 3) -> Engine:
        root = Handshake(lambda uuid: None, 1)
        return Engine(self.node.wiring, self.path, root, limit)

    def connect(self) -> Peer | None:
        protocol = self.clock.ports[self.path].factory.buildProtocol(None)
        return None if protocol is None else Peer(self.clock, protocol)

    def test_listens(self) -> None:
        """The socket is there before the first worker: row 107."""
        self.make()

        self.assertEqual(list(self.clock.ports), [self.path])
        self.assertEqual(self.clock.ports[self.path].mode, 0o600)

    def test_stale(self) -> None:
        """What a dead node left behind is replaced (§8)."""
        with open(self.path, "w"):
            pass

        self.make()

        self.assertFalse(os.path.exists(self.path))

    def test_cannot_listen(self) -> None:
        """A path that is taken says which one it is."""
        self.make()

        error = self.assertRaises(SpoolError, self.make)

        self.assertIn(self.path, str(error))

    def test_directory_in_the_way(self) -> None:
        """So does one that cannot be replaced."""
        os.makedirs(self.path)

        error = self.assertRaises(SpoolError, self.make)

        self.assertIn(self.path, str(error))

    def test_limit(self) -> None:
        """Connections beyond the limit are refused until one has gone."""
        self.make(limit=2)
        peers = [self.connect() for _ in range(3)]
        self.assertIsNone(peers[2])

        assert peers[0] is not None
        peers[0].disconnect()

        self.assertIsNotNone(self.connect())
        self.assertIsNone(self.connect())

    def test_close(self) -> None:
        """At the end socket, file and connections are gone."""
        engine = self.make()
        peer = self.connect()
        assert peer is not None
        with open(self.path, "w"):
            pass

        self.successResultOf(Deferred.fromCoroutine(engine.close()))

        self.assertEqual(self.clock.ports, {})
        self.assertFalse(os.path.exists(self.path))
        self.assertTrue(peer.is_closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class PathTests(SynchronousTestCase):
    """Where it may be."""

    def test_longest(self) -> None:
        """The longest path that Linux takes is fine, one byte more is not."""
        path = "/" + "a" * (PATH_LIMIT - 1)
        check_path(path)

        error = self.assertRaises(SpoolError, check_path, path + "a")

        self.assertIn("paths.runtime", str(error))

    def test_bytes_count(self) -> None:
        """Letters of two bytes count twice."""
        self.assertRaises(SpoolError, check_path, "/" + "ä" * 54)

    def test_plain(self) -> None:
        """A free path is the original's: app and pid (§8.1)."""
        path = free_path("/nonexistent", "echo")

        self.assertEqual(path, f"/nonexistent/echo.{os.getpid()}")

    def test_successor(self) -> None:
        """While a predecessor is there, its successors go elsewhere."""
        directory = self.mktemp()
        os.makedirs(directory)
        taken = free_path(directory, "echo")
        with open(taken, "w"):
            pass

        first, second = (free_path(directory, "echo") for _ in range(2))

        self.assertEqual(len({taken, first, second}), 3)
        self.assertTrue(first.startswith(taken))
