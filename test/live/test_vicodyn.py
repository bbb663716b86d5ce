# -*- test-case-name: cocained.test.live.test_vicodyn -*-
"""
Three nodes of this machine: clients ask one of them, and the requests go to all.

``front`` has the gateway ``vicodyn``; it finds the other two by their addresses.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgpack
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import RemoteError
from cocained.test.live.ledger import Ending, Ledger
from cocained.test.live.load import Load
from cocained.test.live.support import (
    LOOPBACK,
    LiveNode,
    live_reason,
    live_suite,
    pack,
    program,
    wait_for,
)

APP = "faulty"

#: Times that let tests see what takes a cluster of machines longer.
PACE = {
    "ping": 0.2,
    "late": 0.2,
    "timeout": 2.0,
    "handshake": 2.0,
    "retry": [0.05, 0.2],
}

#: Seconds for which a node serves on when it stops: others hear of it in far less.
SETTLE = 0.5

#: Seconds until nodes must have heard of each other.
NEWS = 20.0

#: How a request may end that was at a node which is gone.
LOST = ((5, 2), (2, 104))


def cluster(ports: list[int], gateway: Mapping[str, Any] | None) -> dict[str, Any]:
    """Changes to a node's configuration: which others it listens to."""
    nodes = [f"{LOOPBACK}:{port}" for port in ports]
    args: dict[str, Any] = {
        "cluster": {"type": "predefine", "args": {"nodes": nodes, "interval": 0.2}},
        "links": PACE,
    }
    if gateway is not None:
        args["gateway"] = gateway
    return {
        "services": {"locator": {"args": args}},
        "shutdown": {"settle": SETTLE},
    }


class VicodynTests(SynchronousTestCase):
    """What clients of one node see of an app that runs on three."""

    skip = live_reason()
    gateway: Mapping[str, Any] = {
        "type": "vicodyn",
        "args": {"balancer": {"type": "simple", "args": {"policy": "round-robin"}}},
    }

    def setUp(self) -> None:
        super().setUp()
        self.others = [self.make_node(cluster([], None)) for _ in range(2)]
        ports = [node.ports["locator"] for node in self.others]
        self.front = self.make_node(cluster(ports, self.gateway))
        self.nodes = [self.front, *self.others]
        self.addCleanup(self.stop_all)
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_until_ready()
            files = {"worker": program("faulty.py"), "speech.py": program("speech.py")}
            node.upload(APP, files)
            profile = {"pool-limit": 1, "heartbeat-timeout": 20, "concurrency": 50}
            node.write("profiles", "default", pack(profile), "profile")
            node.start_app(APP, "default")
        wait_for("all nodes are peers", lambda: self.connected() == 3, NEWS)
        wait_for("all copies are known", lambda: len(self.copies()) == 3, NEWS)

    def make_node(self, changes: Mapping[str, Any]) -> LiveNode:
        """Make a node that is removed when the test is over; do not start it."""
        node = LiveNode(changes)
        self.addCleanup(node.close)
        return node

    def stop_all(self) -> None:
        """Stop the nodes that run, all at once; each must do it well."""
        running = [n for n in self.nodes if n.process and n.process.poll() is None]
        with ThreadPoolExecutor() as pool:
            list(pool.map(LiveNode.stop, running))

    def info(self) -> Mapping[bytes, Any]:
        """Ask the information service of the gateway."""
        with self.front.client("vicodyn") as client:
            found: Mapping[bytes, Any] = client.call(0)[0]
        return found

    def connected(self) -> int:
        """How many nodes the gateway has a connection to."""
        return sum(peer[b"connected"] for peer in self.info()[b"peers"].values())

    def copies(self) -> list[bytes]:
        """Which nodes have the app, for all that the gateway knows."""
        found: list[bytes] = self.info()[b"apps"].get(APP.encode(), [])
        return found

    def accepted(self, node: LiveNode) -> int:
        """How many requests the app on a node has had."""
        requests: Mapping[bytes, int] = node.info(APP)[b"requests"]
        return requests[b"accepted"]

    def load(self, ledger: Ledger, **how: Any) -> Load:
        """Ask the app through the gateway, until the test is over."""
        load = Load(self.front.resolve(APP), ledger, **how)
        self.addCleanup(load.close)
        return load

    def assert_kept(self, ledger: Ledger) -> None:
        """State that each request ended once, and as the guarantees say."""
        self.assertEqual(ledger.problems(), [], ledger.table("requests"))

    def crash(self, node: LiveNode) -> None:
        """Kill the process of a node, and nothing else."""
        assert node.process is not None
        node.process.kill()
        node.process.wait()

    def test_shares(self) -> None:
        """Requests of one connection go to all nodes, and each is answered."""
        with self.front.client(APP) as client:
            answers = [client.stream("echo", b"%d" % n) for n in range(30)]

        self.assertEqual(answers, [[b"%d" % n] for n in range(30)])
        shares = [self.accepted(node) for node in self.nodes]
        self.assertEqual(shares, [10, 10, 10])

    def test_not_announced(self) -> None:
        """The virtual service has no name that anybody finds."""
        port = self.front.resolve(APP)
        self.assertNotEqual(port, self.others[0].resolve(APP))

        for node in self.nodes:
            error = self.assertRaises(RemoteError, node.resolve, f"virtual::{APP}")
            self.assertEqual((error.category, error.code), (10, 1))

    def test_local_services(self) -> None:
        """Services of the node itself are found there, and not elsewhere."""
        for name in ("locator", "node", "storage", "logging"):
            ports = {self.front.resolve(name) for _ in range(4)}
            self.assertEqual(ports, {self.front.ports[name]})

    def test_killed_under_load(self) -> None:
        """
        A node that is killed takes along the requests that it had, each of which
        ends with a cause; all others are answered, then and later.
        """
        ledger = Ledger()
        load = self.load(ledger, width=4, depth=8)
        victim = self.others[0]
        load.run(0.5)
        began = time.monotonic()
        killed = False

        def kill() -> bool:
            nonlocal killed
            if not killed and time.monotonic() > began + 0.5:
                self.crash(victim)
                killed = True
            return True

        load.run(2.0, kill)
        load.finish(10)

        self.assertTrue(killed)
        self.assert_kept(ledger)
        self.assertEqual(len(load.connections), 4)
        errors = ledger.count(Ending.ERROR)
        # Not more than were in flight, and no other errors than those.
        self.assertLessEqual(errors, 4 * 8)
        lost = sum(ledger.count(Ending.ERROR, pair) for pair in LOST)
        self.assertEqual(errors, lost, ledger.table("requests"))
        self.assertGreater(ledger.count(Ending.REPLY), 100)
        wait_for("the dead node is gone", lambda: len(self.copies()) == 2, NEWS)
        again = Ledger()
        after = self.load(again)
        after.run(0.3)
        after.finish(10)
        self.assert_kept(again)
        self.assertEqual(again.share, 1.0)

    def test_in_flight_only(self) -> None:
        """Of requests that nobody answers yet exactly those at a dead node end."""
        ledger = Ledger()
        load = self.load(ledger, width=3, depth=10, event=lambda: "hold")
        load.run(0.2)
        wait_for(
            "all nodes have some",
            lambda: load.turn() or sum(map(self.accepted, self.nodes)) == 30,
            10,
        )
        here = self.accepted(self.others[1])
        self.crash(self.others[1])

        wait_for(
            "its requests have ended",
            lambda: load.turn() or ledger.count(Ending.ERROR) >= here,
            10,
        )
        load.finish(0.3)

        self.assertEqual(here, 10)
        lost = sum(ledger.count(Ending.ERROR, pair) for pair in LOST)
        self.assertEqual((lost, ledger.open_count), (10, 20))

    def test_stopped_in_order(self) -> None:
        """When nodes stop in order one after the other no request fails."""
        ledger = Ledger()
        load = self.load(ledger, width=2, depth=4)
        load.run(0.3)
        for node in self.others:
            assert node.process is not None
            node.process.send_signal(signal.SIGTERM)
            load.run(SETTLE + 1.0)
        load.finish(10)
        for node in self.others:
            assert node.process is not None
            node.process.wait(10)

        self.assert_kept(ledger)
        self.assertEqual(ledger.share, 1.0, ledger.table("requests"))

    def test_paused_app(self) -> None:
        """An app that is paused on one node fails no request."""
        ledger = Ledger()
        load = self.load(ledger, width=2, depth=4)
        load.run(0.3)
        self.others[0].pause_app(APP)
        load.run(0.5)
        load.finish(10)

        self.assert_kept(ledger)
        known = ledger.count(Ending.ERROR, (12, 32)) + ledger.count(
            Ending.ERROR, (2, 125)
        )
        # Those that the app had when it was paused, and no others.
        self.assertEqual(ledger.count(Ending.ERROR), known)
        self.assertLessEqual(known, 8)
        wait_for("the copy is gone", lambda: len(self.copies()) == 2, NEWS)

    def test_last_copy(self) -> None:
        """When no node has the app any more it is found no more."""
        for node in self.nodes:
            node.pause_app(APP)
        wait_for("nobody has it", lambda: not self.copies(), NEWS)

        error = self.assertRaises(RemoteError, self.front.resolve, APP)

        self.assertEqual((error.category, error.code), (10, 1))

    def test_slow_reader(self) -> None:
        """A client that does not read costs others five seconds, and no more."""
        greedy = self.front.client(APP)
        self.addCleanup(greedy.close)
        for channel in (1, 2, 3):
            greedy.send_bytes(
                b"".join(
                    map(
                        pack,
                        (
                            [channel, 0, ["flood"]],
                            [channel, 0, [b"token"]],
                            [channel, 2, []],
                        ),
                    )
                )
            )
        with self.front.client(APP) as client:
            answers = [client.stream("echo", b"%d" % n) for n in range(6)]

        self.assertEqual(answers, [[b"%d" % n] for n in range(6)])

    def test_headers(self) -> None:
        """A limit of time that a client sets is kept by the node that works."""
        channel = 1
        timeout = [False, b"request_timeout", (200).to_bytes(8, "little")]
        with self.front.client(APP) as client:
            client.send_bytes(
                msgpack.packb([channel, 0, ["hold"], [timeout]], use_bin_type=False)
            )
            client.send(channel, 0, [b"token"])
            frame = client.receive()

        assert frame is not None
        self.assertEqual(frame[:2], [channel, 1])
        # At the worker, or in the queue if that has not started yet.
        self.assertIn(frame[2][0], ([20991, 3], [20991, 1]))


test_suite = live_suite(__name__)
