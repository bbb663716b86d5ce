# -*- test-case-name: cocained.test.live.test_bench -*-
"""
The benchmark for real: on the yardstick, and on a stand-in for a node
(:mod:`cocained.test.live.bench_stub`).
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from cocained.errors import RemoteError
from cocained.test.live.test_bench_native import native_bench
from cocained.tools.bench import frames
from cocained.tools.bench.client import Connection, resolve
from cocained.tools.bench.errors import BenchError, Skipped
from cocained.tools.bench.measure import cpu_seconds, memory
from cocained.tools.bench.relay import Relay
from cocained.tools.bench.runner import run
from cocained.tools.bench.scenarios.base import Scale
from cocained.tools.bench.scenarios.catalogue import SCENARIOS
from cocained.tools.bench.scenarios.crowds import fresh
from cocained.tools.bench.subject import Node, Peer
from cocained.tools.bench.targets import ECHO, Bench

STUB = Path(__file__).with_name("bench_stub.py")

#: Small enough for a test, large enough for each path to be taken.
TINY = Scale(
    rounds=1,
    milliseconds=30,
    idle_apps=5,
    connections=100,
    channels=200,
    stream=300_000,
)


class YardstickTests(SynchronousTestCase):
    """Generator, yardstick and worker together."""

    def setUp(self) -> None:
        """Start the yardstick with its worker."""
        self.bench = native_bench(self)
        self.relay = Relay(self.bench)
        self.addCleanup(self.relay.close)

    def test_all_scenarios(self) -> None:
        """Each scenario runs without an error, or says why it cannot."""
        scenarios = [each for each in SCENARIOS if each.name != "node-start"]
        results = run(self.bench, [self.relay], scenarios, TINY, lambda *_: None)
        self.assertEqual([each.failed for each in results.failures], [])
        measured = {each.scenario for each in results.outcomes if each.rounds}
        self.assertEqual(
            {name for name in measured if not name.startswith("echo")},
            {"stream-up", "stream-down", "open-channels"},
        )
        self.assertEqual(len(measured), 12)

    def test_counts(self) -> None:
        """The generator asks as often as it is told, and moves as many bytes."""
        load = self.bench.generator.run(
            "echo", self.relay.app(), count=1000, in_flight=10, payload=100
        )
        self.assertEqual(
            (load.requests, load.errors, load.sent, load.received),
            (1000, 0, 100_000, 100_000),
        )
        self.assertLessEqual(load.p50_us, load.p99_us)
        self.assertLess(load.p50_us, load.seconds * 1e6)

    def test_empty_payload(self) -> None:
        """A payload may be empty."""
        load = self.bench.generator.run(
            "echo", self.relay.app(), count=10, in_flight=3, payload=0
        )
        self.assertEqual((load.requests, load.received), (10, 0))

    def test_error_frames_are_errors(self) -> None:
        """What the worker refuses comes back as its own error."""
        caught = self.assertRaises(
            RemoteError, self._refused_source, "source 1 2000000"
        )
        self.assertEqual((caught.category, caught.code), (42, 200))

    def _refused_source(self, event: str) -> None:
        with Connection(self.relay.app()) as connection:
            connection.stream(event)

    def test_closed_connections_are_errors(self) -> None:
        """A target that dies under load is an error, not a figure."""
        with self.bench.generator._start(
            "echo", self.relay.app(), {"milliseconds": 20_000, "in_flight": 4}
        ) as child:
            until = time.monotonic() + 10
            while cpu_seconds(child.pid) < 0.01 and time.monotonic() < until:
                pass
            os.kill(self.relay.pid, signal.SIGKILL)
            line = child.read_line(10)
        self.assertIn('"first_error": "the peer closed a connection"', line)

    def test_cpu_and_memory(self) -> None:
        """CPU grows with work, and memory is what an interpreter takes."""
        before = cpu_seconds(self.relay.pid)
        self.bench.generator.run("echo", self.relay.app(), count=2000, in_flight=20)
        self.assertGreater(cpu_seconds(self.relay.pid) - before, 0.001)
        self.assertGreater(memory(self.relay.pid).rss, 5_000_000)

    def test_nobody_listens(self) -> None:
        """No target is a clear error."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        error = self.assertRaises(
            BenchError, self.bench.generator.run, "echo", ("127.0.0.1", port)
        )
        self.assertIn("Connection refused", str(error))


class StubNode(Node):
    """A node that is the stand-in."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench, (sys.executable, str(STUB)))


class NodeTests(SynchronousTestCase):
    """Everything that the benchmark asks of a node, asked of a stand-in."""

    def setUp(self) -> None:
        """Start the stand-in with the echo app."""
        self.bench = native_bench(self)
        self.node = StubNode(self.bench)
        self.addCleanup(self.node.close)
        self.node.start_echo("process", {})

    def measure(self, name: str) -> dict[str, float]:
        """Run one scenario on the stand-in."""
        (scenario,) = [each for each in SCENARIOS if each.name == name]
        return scenario.measure(self.bench, self.node, TINY)

    def test_echo(self) -> None:
        """The app that was uploaded is the one that answers."""
        self.assertGreater(self.measure("echo-64")["rate"], 100)

    def test_resolve(self) -> None:
        """``resolve`` is asked and its answers are checked."""
        self.assertGreater(self.measure("resolve-64")["rate"], 100)

    def test_storage(self) -> None:
        """Blobs are read back as they were written."""
        self.assertGreater(self.measure("storage-read-64")["rate"], 100)
        self.assertGreater(self.measure("storage-write-64")["rate"], 100)

    def test_another_blob(self) -> None:
        """A blob of other content is an error."""
        with Connection(self.node.service("storage")) as connection:
            connection.call(frames.STORAGE_WRITE, ["c", "k", b"x" * 10])
        error = self.assertRaises(
            BenchError,
            self.bench.generator.run,
            "storage-read",
            self.node.service("storage"),
            count=3,
            payload=10,
            collection="c",
            key="k",
        )
        self.assertIn("a blob that differs", str(error))

    def test_refused_requests(self) -> None:
        """What a service refuses is shown with its code and text."""
        error = self.assertRaises(
            BenchError,
            self.bench.generator.run,
            "resolve",
            self.node.locator,
            count=3,
            name="nobody",
        )
        self.assertIn("3 errors in 3 requests", str(error))
        self.assertIn("[10, 1] service is not available", str(error))

    def test_cold_start(self) -> None:
        """The phases of a cold start add up to the whole."""
        figures = self.measure("cold-start")
        parts = ("spawn_ms", "handshake_ms", "invoke_ms", "reply_ms")
        self.assertAlmostEqual(
            sum(figures[part] for part in parts), figures["total_ms"], 3
        )
        with self.node.control() as connection:
            apps = connection.call(frames.APP_LIST)[0]
        self.assertEqual(apps, [ECHO.encode()])

    def test_cold_framework(self) -> None:
        """So do those of an app on the framework, with either kind of handler."""
        for name in ("cold-framework-plain", "cold-framework-async"):
            try:
                figures = self.measure(name)
            except Skipped as reason:
                # The framework is a distribution of its own.
                raise SkipTest(str(reason)) from reason
            parts = ("spawn_ms", "import_ms", "handshake_ms", "reply_ms")
            self.assertAlmostEqual(
                sum(figures[part] for part in parts), figures["total_ms"], 3
            )

    def test_idle_connections(self) -> None:
        """Connections are opened, confirmed, and closed again."""
        (scenario,) = [each for each in SCENARIOS if each.name == "idle-connections"]
        figures = scenario._hold(self.bench, self.node, 100)
        self.assertEqual(figures["connections"], 100)
        self.assertGreater(figures["rss_mib"], 5)

    def test_fresh(self) -> None:
        """A crowd is held by a target of its own, but for a peer."""
        relay = Relay(self.bench)
        self.addCleanup(relay.close)
        with fresh(self.bench, relay) as made:
            self.assertNotEqual(made.pid, relay.pid)
        self.assertRaises(BenchError, cpu_seconds, made.pid)
        peer = Peer(self.bench, self.node.locator, self.node.pid)
        with fresh(self.bench, peer) as same:
            self.assertIs(same, peer)
        self.assertTrue(self.node.is_running())

    def test_idle_apps(self) -> None:
        """Apps are started on a node of their own."""
        (scenario,) = [each for each in SCENARIOS if each.name == "idle-apps"]
        figures = scenario._start(self.bench, self.node, 5)
        self.assertEqual(figures["apps"], 5)
        self.assertGreater(figures["rss_mib"], 5)
        with self.node.control() as connection:
            self.assertEqual(len(connection.call(frames.APP_LIST)[0]), 6)

    def test_peer(self) -> None:
        """A peer gets its app through its storage service, and keeps running."""
        peer = Peer(self.bench, self.node.locator, self.node.pid)
        peer.start_echo("process", {})
        self.assertEqual(peer.app(), resolve(self.node.locator, ECHO))
        peer.close()
        self.assertRaises(RemoteError, peer.app)
        self.assertTrue(self.node.is_running())

    def test_skipped(self) -> None:
        """What would change a peer for good is not run on it."""
        peer = Peer(self.bench, self.node.locator, self.node.pid)
        for name in ("node-start", "idle-apps"):
            (scenario,) = [each for each in SCENARIOS if each.name == name]
            self.assertRaises(Skipped, scenario.measure, self.bench, peer, TINY)


class BrokenNodeTests(SynchronousTestCase):
    """Nodes that do not come up."""

    def test_ends_at_once(self) -> None:
        """A node that ends is reported with the end of its output."""
        bench = native_bench(self)
        error = self.assertRaises(
            BenchError,
            Node,
            bench,
            (sys.executable, "-c", "import sys; sys.exit('no such thing')"),
        )
        self.assertIn("status 1", str(error))
        self.assertIn("no such thing", str(error))
        self.assertEqual(list(bench.directory.glob("n*")), [])
