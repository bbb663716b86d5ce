"""
The doubles keep the contracts of what they double.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override
from zope.interface.verify import verifyObject

from cocained.errors import CocainedError, ConfigError, SpawnError, UnknownPlugin
from cocained.interfaces import IDirectory, IIsolate, INode, IWorkerHandle
from cocained.testing import (
    FakeNode,
    MemoryIsolate,
    MemoryReactor,
    MemoryTransport,
    Peer,
    frame,
    plain,
)


class Recorder(Protocol):
    """Notes what happens to it."""

    def __init__(self) -> None:
        self.data = b""
        self.heard: list[str] = []

    @override
    def dataReceived(self, data: bytes) -> None:
        self.data += data

    @override
    def connectionLost(self, reason: Any = None) -> None:
        self.heard.append(reason.type.__name__)

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.heard.append("pause")

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.heard.append("resume")


class Observer:
    """Notes what an isolate tells."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def output(self, data: bytes) -> None:
        self.heard.append(data)

    def exited(self, reason: str, error: bool) -> None:
        self.heard.append((reason, error))


class InterfaceTests(SynchronousTestCase):
    """Every double is what it says."""

    def test_interfaces(self) -> None:
        """The doubles provide their interfaces whole."""
        node = FakeNode()
        isolate = MemoryIsolate(node, "app")
        spawned = isolate.spawn("worker", {"--uuid": "u"}, {}, cast(Any, Observer()))

        self.assertTrue(verifyObject(INode, node))
        self.assertTrue(verifyObject(IDirectory, node.directory))
        self.assertTrue(verifyObject(IIsolate, isolate))
        handle = self.successResultOf(spawned)
        self.assertTrue(verifyObject(IWorkerHandle, handle))

    def test_node(self) -> None:
        """A node refuses what it does not have, as the real one does."""
        node = FakeNode()

        self.assertRaises(ConfigError, node.storage, "core")
        self.assertRaises(UnknownPlugin, node.component, "isolate", "x", "app", {})
        self.assertIsInstance(
            node.component("isolate", "memory", "app", {}), MemoryIsolate
        )
        self.assertEqual(node.resolve("/a"), "/a")
        self.assertTrue(node.resolve("a").endswith("/a"))

    def test_directory(self) -> None:
        """A name can be exposed once, and again when it was removed."""
        directory = FakeNode().directory
        service: Any = object()
        directory.expose("echo", service)

        self.failureResultOf(directory.expose("echo", service), CocainedError)
        directory.remove("echo")
        self.successResultOf(directory.expose("echo", service))
        self.assertEqual(len(directory.endpoints("locator")), 1)
        self.assertEqual(directory.endpoints("nosuch"), [])


class ReactorTests(SynchronousTestCase):
    """Time."""

    def test_own_times(self) -> None:
        """Each call runs at its own time, also those that others make."""
        clock = MemoryReactor()
        times: list[float] = []

        def again() -> None:
            times.append(clock.seconds())
            clock.callLater(2, again)

        clock.callLater(1, again)
        clock.pass_time(6)

        self.assertEqual(times, [1, 3, 5])
        self.assertEqual(clock.seconds(), 6)

    def test_end(self) -> None:
        """What is due exactly at the end runs, what is due later does not."""
        clock = MemoryReactor()
        heard: list[str] = []
        clock.callLater(5, heard.append, "at")
        clock.callLater(5.1, heard.append, "after")

        clock.pass_time(5)

        self.assertEqual(heard, ["at"])

    def test_endless(self) -> None:
        """A loop that lets no time pass is found out."""
        clock = MemoryReactor()

        def again() -> None:
            clock.callLater(0, again)

        again()

        self.assertRaises(AssertionError, clock.pass_time, 1)


class TransportTests(SynchronousTestCase):
    """The node's end of a connection."""

    def setUp(self) -> None:
        self.clock = MemoryReactor()
        self.protocol = Recorder()
        self.transport = MemoryTransport(self.clock, self.protocol)
        self.transport.registerProducer(self.protocol, True)

    def test_both_ways(self) -> None:
        """Bytes arrive at once while both sides read."""
        self.transport.arrive(b"in")
        self.transport.write(b"out")

        self.assertEqual(self.protocol.data, b"in")
        self.assertEqual(self.transport.read(), b"out")
        self.assertEqual(self.transport.read(), b"")

    def test_paused(self) -> None:
        """A paused protocol gets nothing until a turn after its return."""
        self.transport.pauseProducing()
        self.transport.arrive(b"in")
        self.assertEqual(self.protocol.data, b"")

        self.transport.resumeProducing()
        self.assertEqual(self.protocol.data, b"")
        self.clock.pass_time(0)

        self.assertEqual(self.protocol.data, b"in")

    def test_choked(self) -> None:
        """A peer that does not read makes the producer pause once."""
        self.transport.reading = False
        self.transport.write(b"x" * 65536)
        self.assertEqual(self.protocol.heard, [])
        self.transport.write(b"x")
        self.transport.write(b"x")
        self.assertEqual(self.protocol.heard, ["pause"])

        self.transport.reading = True
        self.transport.pump()

        self.assertEqual(self.protocol.heard, ["pause", "resume"])
        self.assertEqual(len(self.transport.read()), 65538)

    def test_close(self) -> None:
        """A closed connection is lost in a later turn, and only once."""
        self.transport.loseConnection()
        self.transport.write(b"late")
        self.assertEqual(self.protocol.heard, [])

        self.clock.pass_time(0)
        self.transport.abortConnection()
        self.clock.pass_time(0)

        self.assertEqual(self.protocol.heard, ["ConnectionDone"])
        self.assertEqual(self.transport.read(), b"")

    def test_close_with_unread_bytes(self) -> None:
        """What was written before is read first; aborting does not wait."""
        self.transport.reading = False
        self.transport.write(b"x")
        self.transport.loseConnection()
        self.clock.pass_time(9)
        self.assertEqual(self.protocol.heard, [])

        self.transport.abortConnection()
        self.clock.pass_time(0)

        self.assertEqual(self.protocol.heard, ["ConnectionAborted"])

    def test_peer_goes(self) -> None:
        """A peer that goes says why."""
        peer = Peer(self.clock, Recorder())
        peer.disconnect(ConnectionLost())

        self.assertEqual(peer.protocol.heard, ["ConnectionLost"])
        self.assertTrue(peer.is_closed)

    def test_frames(self) -> None:
        """Frames have three elements, or four with headers."""
        self.assertEqual(frame(1, 0, b"x"), b"\x93\x01\x00\x91\xa1x")
        self.assertEqual(frame(1, 2, headers=[]), b"\x94\x01\x02\x90\x90")
        self.assertEqual(plain([1, [b"x"]]), [1, [b"x"]])


class IsolateTests(SynchronousTestCase):
    """The isolate whose workers live in a test."""

    def setUp(self) -> None:
        self.node = FakeNode()
        self.isolate = MemoryIsolate(self.node, "app")
        self.observer: Any = Observer()

    def spawn(self) -> Any:
        return self.isolate.spawn("worker", {"--uuid": "u"}, {}, self.observer)

    def test_exit_once(self) -> None:
        """A worker exits once, however often it is told to."""
        handle = self.successResultOf(self.spawn())

        handle.terminate()
        handle.kill()
        handle.kill()
        self.node.clock.pass_time(0)

        self.assertEqual(self.observer.heard, [("was killed by SIGTERM", True)])

    def test_disobedient(self) -> None:
        """One that does not obey ends when the test says so."""
        self.isolate.obedient = False
        handle = self.successResultOf(self.spawn())
        handle.kill()
        self.node.clock.pass_time(9)
        self.assertEqual(self.observer.heard, [])

        handle.output(b"x")
        handle.exit(0)

        self.assertEqual(self.observer.heard, [b"x", ("exited with status 0", False)])

    def test_slow(self) -> None:
        """A slow one spawns and spools when the test says so."""
        self.isolate.slow = True
        spawned = self.spawn()
        self.assertNoResult(spawned)
        self.assertNoResult(self.isolate.spool())

        self.isolate.spawns[0].ready()

        self.assertIs(self.successResultOf(spawned), self.isolate.spawns[0])

    def test_refusal(self) -> None:
        """A refusal fails both."""
        self.isolate.refusal = SpawnError("no")

        self.failureResultOf(self.spawn(), SpawnError)
        self.failureResultOf(self.isolate.spool(), SpawnError)
