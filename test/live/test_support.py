# -*- test-case-name: cocained.test.live.test_support -*-
"""
What the live tests stand on: nodes, connections, and when not to run.
"""

from __future__ import annotations

import io
import os
import socket
import tarfile
import threading
from pathlib import Path
from types import ModuleType

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from cocained.errors import RemoteError
from cocained.test.live import support
from cocained.test.live.support import (
    LIVE,
    LOOPBACK,
    Client,
    LiveCase,
    LiveNode,
    archive,
    differs,
    free_ports,
    live_reason,
    merge,
    missing,
    pack,
    processes_under,
    program,
    wait_for,
)


class ModeTests(SynchronousTestCase):
    """Whether tests run."""

    def test_asked_for(self) -> None:
        """Live tests run when they are asked for, and only then."""
        self.assertIn(LIVE, live_reason({}) or "")
        self.assertIsNotNone(live_reason({LIVE: "0"}))
        self.assertIsNone(live_reason({LIVE: "1"}))
        self.assertIsNone(live_reason({LIVE: "try"}))

    def test_missing(self) -> None:
        """What is missing is a skip, but a failure where all must be there."""
        self.assertIsInstance(missing("no root", {LIVE: "try"}), SkipTest)
        strict = missing("no root", {LIVE: "1"})
        self.assertIsInstance(strict, AssertionError)
        self.assertIn("no root", str(strict))

    def test_stand_in(self) -> None:
        """A module that is not asked for is one skipped test of its name."""
        case = support.NotAskedFor("some.module")
        self.assertEqual(case.id(), "some.module")
        self.assertRaises(SkipTest, case.test_module)
        self.assertIn("some.module", repr(case))

    def test_differs(self) -> None:
        """A marked test knows its rows."""
        module = ModuleType("m")
        self.assertIs(differs("F1", "F2")(module), module)
        self.assertEqual(module.differs, ("F1", "F2"))


class PartTests(SynchronousTestCase):
    """The small parts."""

    def test_merge(self) -> None:
        """Mappings are merged to their depth, ``None`` takes away."""
        base = {"a": {"b": 1, "c": 2}, "d": 3}
        merged = merge(base, {"a": {"b": 9}, "d": None, "e": {}})
        self.assertEqual(merged, {"a": {"b": 9, "c": 2}, "e": {}})
        self.assertEqual(base, {"a": {"b": 1, "c": 2}, "d": 3})

    def test_archive(self) -> None:
        """An archive holds the files, all to be executed."""
        packed = archive({"worker": b"code", "data": b""})
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            self.assertEqual(tar.getnames(), ["worker", "data"])
            self.assertEqual({member.mode for member in tar}, {0o755})

    def test_program(self) -> None:
        """A worker's program names its interpreter."""
        self.assertTrue(program("probe.py").startswith(b"#!/"))

    def test_free_ports(self) -> None:
        """Ports are different and can be had."""
        ports = free_ports(3)
        self.assertEqual(len(set(ports)), 3)
        socket.create_server((LOOPBACK, ports[0])).close()

    def test_wait_for(self) -> None:
        """To wait gives what came, or says what did not."""
        results = iter([0, None, "there"])
        self.assertEqual(wait_for("it", lambda: next(results), 5), "there")
        error = self.assertRaises(AssertionError, wait_for, "a pig", lambda: 0, 0.0)
        self.assertIn("a pig", str(error))

    def test_processes(self) -> None:
        """A process is found by the directory in which it runs."""
        self.assertIn(os.getpid(), processes_under(Path.cwd()))
        self.assertNotIn(os.getpid(), processes_under(Path.cwd() / "elsewhere"))


class ClientTests(SynchronousTestCase):
    """The client, against a peer that answers once."""

    def connect(self, answer: bytes) -> Client:
        """Connect to a peer that reads something, says *answer*, and hangs up."""
        server = socket.create_server((LOOPBACK, 0))

        def serve() -> None:
            peer, _ = server.accept()
            with server, peer:
                peer.recv(65536)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        self.addCleanup(thread.join)
        client = Client(server.getsockname()[1])
        self.addCleanup(client.close)
        return client

    def test_call(self) -> None:
        """A call gives the values of its answer."""
        self.assertEqual(self.connect(pack([1, 0, [5, "x"]])).call(0), [5, b"x"])

    def test_error(self) -> None:
        """An error is raised with its code."""
        client = self.connect(pack([1, 1, [[10, 1], "no"]]))
        error = self.assertRaises(RemoteError, client.call, 0)
        self.assertEqual((error.category, error.code, error.reason), (10, 1, "no"))

    def test_stream(self) -> None:
        """A stream gives its chunks."""
        frames = [[1, 0, ["a"]], [1, 0, ["b"]], [1, 2, []]]
        client = self.connect(b"".join(map(pack, frames)))
        self.assertEqual(client.stream("echo", b"a", b"b"), [b"a", b"b"])

    def test_end(self) -> None:
        """The end of the connection is seen, and what came before it."""
        client = self.connect(pack([1, 2, []]))
        client.send(1, 0, [])
        self.assertEqual(client.take(2), [[1, 2, []]])
        self.assertEqual(client.rest(1), [])
        self.assertTrue(client.is_closed())
        self.assertRaises(AssertionError, client.call, 0)

    def test_silence(self) -> None:
        """A peer that says nothing is waited for, but not for ever."""
        server = socket.create_server((LOOPBACK, 0))
        self.addCleanup(server.close)
        client = Client(server.getsockname()[1])
        self.addCleanup(client.close)
        self.assertRaises(TimeoutError, client.receive, 0.01)
        self.assertFalse(client.is_closed(0.01))


class NodeTests(LiveCase):
    """A node for the tests."""

    def test_quick(self) -> None:
        """A node without work stops within two seconds."""
        other = self.start_node()
        self.assertLess(other.stop(), 2)
        self.assertEqual(other.process and other.process.returncode, -15)

    def test_broken(self) -> None:
        """A node that does not start is reported with its log."""
        node = LiveNode({"services": {"nonsense": {"type": "nosuch"}}})
        self.addCleanup(node.close)
        error = self.assertRaises(AssertionError, node.start)
        self.assertIn("nosuch", str(error))
        self.assertFalse(node.directory.exists())

    def test_traceback(self) -> None:
        """A traceback in the log is found when the node stops."""
        node = LiveNode()
        self.addCleanup(node.close)
        node.start()
        with node.log.open("a") as log:
            log.write("Traceback (most recent call last)\n")
        self.assertRaises(AssertionError, node.stop)
