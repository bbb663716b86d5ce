# -*- test-case-name: cocained.test.live.test_cluster_faults -*-
"""
Networks that part nodes, or are slow and bad, and hosts that never answer.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from cocained.test.live.cluster_case import APP, INTERVAL, ClusterCase
from cocained.test.live.cluster_load import ClusterLoad
from cocained.test.live.ledger import Ending, Ledger
from cocained.test.live.support import live_suite, pack, wait_for
from cocained.testing.lab import Host

#: One way over the slow cable, in seconds.
DELAY = 0.07


class PartitionCase(ClusterCase):
    """The app runs on ``a``; ``b`` and ``c`` find it there."""

    apps = ("a",)

    def setUp(self) -> None:
        super().setUp()
        self.a, self.b, self.c = (self.nodes[name].host for name in self.names)
        self.wait_found("b", APP, {"a"})
        self.wait_found("c", APP, {"a"})


class PartitionTests(PartitionCase):
    """Nodes that hear each other by multicast."""

    def test_parted(self) -> None:
        """Who cannot reach a node does not find what it has; others do."""
        self.lab.partition([self.a], [self.b])
        self.wait_found("b", APP, set())
        self.assertEqual(self.nodes["c"].finds(APP), self.a.address)

        self.lab.heal()

        self.wait_found("b", APP, {"a"})
        self.wait_linked()

    def test_alone(self) -> None:
        """A node whose cable is out serves on, and is found when it is back."""
        self.lab.cut(self.a)
        for name in ("b", "c"):
            self.wait_found(name, APP, set())
        with self.nodes["a"].client(APP) as client:
            self.assertEqual(client.stream("echo", b"token"), [b"token"])

        self.lab.plug(self.a)

        for name in ("b", "c"):
            self.wait_found(name, APP, {"a"})
        self.wait_linked()


class LinkTests(PartitionCase):
    """Nodes that stand in the configuration: nobody but the links can tell."""

    @override
    def cluster(self, host: Host) -> Mapping[str, Any]:
        nodes = [f"{self.lab.hosts[name].address}:10053" for name in self.names]
        return {"type": "predefine", "args": {"nodes": nodes, "interval": INTERVAL}}

    def test_one_way(self) -> None:
        """It is enough that one way is closed."""
        self.lab.partition([self.a], [self.b], one_way=True)
        self.wait_found("b", APP, set())
        self.lab.heal()
        self.wait_found("b", APP, {"a"})

        self.lab.partition([self.b], [self.a], one_way=True)
        self.wait_found("b", APP, set())
        self.lab.heal()
        self.wait_found("b", APP, {"a"})


class SlowTests(ClusterCase):
    """The cable of ``b``, where the app runs, is slow and bad."""

    slow = frozenset({"b"})
    apps = ("b",)

    def test_slow(self) -> None:
        """With 70 ms and two percent of loss everything works, and takes its time."""
        self.nodes["b"].host.slow(DELAY, loss=2.0)
        self.wait_found("a", APP, {"b"})
        ledger = Ledger()
        addresses = [self.nodes[name].host.address for name in ("a", "c")]
        load = ClusterLoad(self.client, addresses, APP, ledger, width=2, depth=4)
        self.addCleanup(load.close)
        load.run(3.0)
        load.finish(15.0)

        self.assert_kept(ledger)
        self.assertGreater(ledger.count(Ending.REPLY), 20)
        self.assertEqual(ledger.count(Ending.REPLY), len(ledger.entries))
        # A request and its answer pass the cable one after the other.
        waits = [each.ended - each.opened for each in ledger.entries.values()]
        self.assertGreaterEqual(min(waits), 2 * DELAY)
        self.wait_linked()


class MuteTests(ClusterCase):
    """Something announces itself, takes connections, and never says a word."""

    names = ("a", "b")
    apps = ("a",)

    def test_mute(self) -> None:
        """Nodes try it again and again, and work as if it were not there."""
        with self.client.inside():
            port = socket.create_server((self.client.address, 10053))
            group = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for each in (port, group):
            self.addCleanup(each.close)
        port.settimeout(10.0)
        says = pack(["mute", [[self.client.address, 10053]]])
        taken = []

        def is_tried() -> bool:
            # Each of the nodes has tried and given it up, twice.
            group.sendto(says, ("239.0.100.53", 10053))
            port.settimeout(INTERVAL)
            try:
                connection, address = port.accept()
            except TimeoutError:
                return False
            self.addCleanup(connection.close)
            taken.append(address[0])
            return all(
                taken.count(node.host.address) >= 2 for node in self.nodes.values()
            )

        wait_for("the mute one is tried", is_tried, 30.0)
        self.assertEqual(self.nodes["b"].finds(APP), self.nodes["a"].host.address)
        self.nodes["b"].start_app(APP, "default")
        self.nodes["a"].pause_app(APP)
        self.wait_found("a", APP, {"b"})


test_suite = live_suite(__name__)
