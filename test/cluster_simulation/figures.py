# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
What a cluster of so many nodes costs: times, messages, bytes, memory.

Nothing goes wrong here but what is measured.  Times of the cluster are those of
the virtual clock, the same on each machine; only the processor's are real.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from cocained.links.pace import Pace
from cocained.test.cluster_simulation.broken import Broken
from cocained.test.cluster_simulation.clock import BEGINNING, NodeClock, VirtualClock
from cocained.test.cluster_simulation.discovery import Multicast
from cocained.test.cluster_simulation.ledger import Ledger
from cocained.test.cluster_simulation.network import Host, Network
from cocained.test.cluster_simulation.node import Node, Surroundings
from cocained.test.cluster_simulation.storage import GroupStorage
from cocained.test.simulation.dice import Dice
from cocained.test.simulation.journal import Journal

#: Seconds that a message takes: a network of one building.
LATENCY = (0.0002, 0.001)

#: Bytes under way to one listener: what a kernel takes without being asked.
CAPACITY = 1 << 20

#: Seconds from one datagram of a node to the next, the default of ``multicast``.
INTERVAL = 5.0

#: Part of the nodes on which each app is.
SHARE = 0.1

#: Seconds in which the nodes of a cluster are started.
START = 2.0

#: Seconds at rest in which messages are counted: one ping of each link.
REST = 5.0


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """
    One cluster, measured.

    Times in seconds, bytes without the headers of TCP and UDP.
    """

    nodes: int
    apps: int
    links: int
    known: int
    up: float
    up_bytes: int
    join_known: float
    join_knows: float
    join_bytes: int
    change: float
    change_messages: int
    change_bytes: int
    fin: float
    silence: float
    rest_messages: float
    rest_bytes: float
    memory: int
    cpu_link: float
    cpu_copy: float
    cpu_ping: float
    cpu: float


class Cluster:
    """
    A cluster that is measured.

    :param nodes: how many.
    :param apps: how many there are in all; each is on a tenth of the nodes.
    """

    def __init__(self, nodes: int, apps: int) -> None:
        dice = self._dice = Dice(nodes)
        self._size = nodes
        self.clock = VirtualClock()
        self.network = Network(self.clock, dice, LATENCY, CAPACITY, 60.0)
        pace = self.pace = Pace()
        journal = Journal(NodeClock(self.clock))
        self.ledger = Ledger(self.clock, journal, pace, is_watchful=False)
        self._apps = [f"app-{number:04d}" for number in range(apps)]
        self._around = Surroundings(
            self.network,
            dice,
            self.ledger,
            Multicast(self.network, dice, INTERVAL),
            GroupStorage(),
            pace,
        )
        self._numbers = 0
        self.copies = 0

    def join(self) -> Node:
        """Start one more node; the next tenth of the apps is on it."""
        number = self._numbers = self._numbers + 1
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        host: Host = self.network.add(f"h{number}", (address, 10053))
        count = max(1, round(len(self._apps) * SHARE))
        first = number * count
        apps = [self._apps[at % len(self._apps)] for at in range(first, first + count)]
        self.copies += count
        node = Node(self._around, host, number, apps)
        node.begin()
        return node

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.run(self.clock.now + seconds)

    def come_up(self) -> None:
        """Start all nodes."""
        for _ in range(self._size):
            self.clock.after(self._dice.between(0.0, START), self.join)
        self.run(START + 2 * INTERVAL)
        self.check()

    def check(self) -> None:
        """
        See that everybody knows everything.

        :raises Broken: somebody does not.
        """
        for difference in self.ledger.differences():
            raise Broken(difference)


@contextmanager
def _timed(spent: dict[str, float], what: str) -> Iterator[None]:
    began = time.process_time()
    yield
    spent[what] = time.process_time() - began


def measure(nodes: int, apps: int) -> Figures:
    """
    Measure one cluster.

    :raises Broken: it does not come to rest as it should.
    """
    spent: dict[str, float] = {}
    before = _resident()
    with _timed(spent, "all"):
        cluster = Cluster(nodes, apps)
        with _timed(spent, "up"):
            cluster.come_up()
        found = _measure(cluster, spent)
    links = nodes * (nodes - 1)
    return Figures(
        nodes=nodes,
        apps=apps,
        links=links,
        memory=_resident() - before,
        cpu_link=spent["up"] / links,
        cpu_copy=spent["up"] / (nodes * found["known"]),
        cpu_ping=spent["rest"] / found.pop("pings"),
        cpu=spent["all"],
        **found,
    )


def _measure(cluster: Cluster, spent: dict[str, float]) -> dict[str, Any]:
    clock, ledger, network = cluster.clock, cluster.ledger, cluster.network
    nodes = len(ledger.nodes)
    found: dict[str, Any] = {
        "up": ledger.last_change - BEGINNING - START,
        "up_bytes": network.traffic.tiding_bytes,
        "known": cluster.copies,
    }

    before, began = network.traffic.copy(), clock.now
    with _timed(spent, "rest"):
        cluster.run(REST)
    quiet = network.traffic.since(before)
    if quiet.dials or quiet.tidings:
        raise Broken(f"at rest there are {quiet}")
    found["pings"] = quiet.pings
    # Each node sends pings and answers, and its datagrams.
    frames = 2 * quiet.pings + quiet.datagrams
    found["rest_messages"] = frames / nodes / REST
    found["rest_bytes"] = (quiet.ping_bytes + quiet.datagram_bytes) / nodes / REST

    node = next(iter(ledger.nodes.values()))
    before, began = network.traffic.copy(), clock.now
    node.start_app("changed")
    cluster.run(0.1)
    cluster.copies += 1
    change = network.traffic.since(before)
    found["change"] = ledger.last_change - began
    found["change_messages"] = change.tidings
    found["change_bytes"] = change.tiding_bytes

    before, began = network.traffic.copy(), clock.now
    newcomer = cluster.join()
    cluster.run(2 * INTERVAL)
    found["join_known"] = ledger.last_of[newcomer.uuid] - began
    found["join_knows"] = ledger.last_at[newcomer.uuid] - began
    found["join_bytes"] = network.traffic.since(before).tiding_bytes

    began = clock.now
    newcomer.die(True)
    cluster.run(0.1)
    found["fin"] = ledger.last_of[newcomer.uuid] - began

    began = clock.now
    node.die(False)
    cluster.run(cluster.pace.ping + cluster.pace.timeout + 1.0)
    found["silence"] = ledger.last_of[node.uuid] - began
    for other in ledger.nodes.values():
        for gone in (node, newcomer):
            ledger.is_watchful = True
            ledger.forgotten(other, gone.uuid)
    return found


def _resident() -> int:
    """Bytes that this process has had in memory at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
