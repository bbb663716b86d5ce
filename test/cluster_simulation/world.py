# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
One run: a cluster that comes up, a storm, and what must be true afterwards.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from typing import cast

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from cocained.links.link import Link
from cocained.links.stream import Stream
from cocained.services.follower import RETRY, SPREAD, SPREAD_OF_ALL
from cocained.test.cluster_simulation.broken import Broken
from cocained.test.cluster_simulation.clock import NodeClock, VirtualClock
from cocained.test.cluster_simulation.discovery import Multicast, Registry
from cocained.test.cluster_simulation.far import Far
from cocained.test.cluster_simulation.ledger import Ledger, known
from cocained.test.cluster_simulation.network import Host, Network
from cocained.test.cluster_simulation.node import Node, Surroundings
from cocained.test.cluster_simulation.setting import draw
from cocained.test.cluster_simulation.storage import GroupStorage
from cocained.test.cluster_simulation.storm import GROUPS, Storm
from cocained.test.cluster_simulation.wires import Wire
from cocained.test.simulation.dice import Dice
from cocained.test.simulation.journal import Journal

#: Seconds after which a connection that takes nothing is given up.
PATIENCE = 20.0

#: Seconds in which what was under way when the storm ended comes to its end.
SETTLED = 1.0

#: Pings of each link that are counted when all is quiet.
PINGS = 3

#: Looks at what is true while the cluster comes to rest.
LOOKS = 20

#: Differences that are named when there are some.
FEW = 5


class World:
    """
    A cluster and all that surrounds it.

    :param seed: decides everything.
    :param nodes: how many, or any small number.
    :param apps: the same.
    """

    def __init__(
        self, seed: int, nodes: int | None = None, apps: int | None = None
    ) -> None:
        dice = self._dice = Dice(seed)
        self.setting = setting = draw(dice, nodes, apps)
        self.clock = VirtualClock()
        self.journal = Journal(NodeClock(self.clock))
        self.network = Network(
            self.clock, dice, setting.latency, setting.capacity, PATIENCE
        )
        self.ledger = Ledger(self.clock, self.journal, setting.pace)
        self.storage = GroupStorage()
        self.discovery: Multicast | Registry
        if setting.is_multicast:
            self.discovery = Multicast(self.network, dice, setting.interval)
        else:
            place = self.network.add("registry", ("198.51.100.1", 2181))
            self.discovery = Registry(self.network, place, setting.interval)
        self.apps = [f"app-{number:03d}" for number in range(setting.apps)]
        self.hosts: list[Host] = []
        self._around = Surroundings(
            self.network, dice, self.ledger, self.discovery, self.storage, setting.pace
        )
        #: nodes, all lives of each
        self.started = 0
        self._bugs: list[str] = []
        self.storm = Storm(self, dice)
        #: seconds from the end of the storm until all was true again
        self.converged = 0.0

    # Who is there

    def new_host(self) -> Host:
        """Put one more machine there."""
        number = len(self.hosts) + 1
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        host = self.network.add(f"h{number}", (address, 10053))
        self.hosts.append(host)
        return host

    def join(self, host: Host) -> Node:
        """Start a node, with some of the apps."""
        self.started += 1
        share = self.setting.share
        apps = [name for name in self.apps if self._dice.chance(share)]
        node = Node(self._around, host, self.started, apps)
        node.begin()
        return node

    def _come_up(self) -> None:
        self.join(self.new_host())

    # The run

    def run(self) -> None:
        """
        Let it happen.

        :raises Broken: a promise was not kept.
        """
        # mypy-zope does not take a method for an observer.
        observer = cast(ILogObserver, self._logged)
        globalLogPublisher.addObserver(observer)
        try:
            self._run()
        finally:
            globalLogPublisher.removeObserver(observer)

    def _logged(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        if failure is not None:
            self._bugs.append(f"{failure.type.__name__}: {failure.getErrorMessage()}")

    def _run(self) -> None:
        setting = self.setting
        for _ in range(setting.nodes):
            self.clock.after(self._dice.between(0.0, 2.0), self._come_up)
        self._pass(setting.interval)
        self.storm.begin()
        self._pass(setting.storm)
        self.journal.note("world", "calms down")
        self.storm.end()
        self._pass(2 * SETTLED)
        calm = self.clock.now
        for node in list(self.ledger.nodes.values()):
            # Who told nothing would not notice that nobody listens any more.
            node.start_app(f"last-{node.number}")
        # Operators whose refresh failed have seen it, and try again.
        next(iter(self.ledger.nodes.values())).refresh(GROUPS)
        self._become_true(calm + self.bound)
        self.converged = max(self.ledger.last_change, self.ledger.last_rings) - calm
        self._quiet()
        self._refreshed()
        self._end()

    @property
    def bound(self) -> float:
        """
        Seconds within which everybody knows everything.

        A silent node is noticed, one attempt goes nowhere, the longest wait
        follows; the discovery has found everybody, or given up who is gone; a
        connection that takes nothing is given up; the storage is asked again
        after its longest wait.
        """
        pace = self.setting.pace
        return (
            max(self.discovery.patience, PATIENCE)
            + pace.ping
            + pace.timeout
            + pace.handshake
            + pace.retry[1]
            + SPREAD_OF_ALL
            + RETRY[1]
        )

    def _pass(self, seconds: float) -> None:
        self.clock.run(self.clock.now + seconds)
        self._judge()

    def _judge(self) -> None:
        if self._bugs:
            raise Broken(f"a node logged {self._bugs[0]}")
        if self.ledger.fault:
            raise Broken(self.ledger.fault)

    def _become_true(self, until: float) -> None:
        """Look now and then until all is true, at *until* at the latest."""
        while found := self._untrue():
            if self.clock.now >= until:
                more = f" and {len(found) - FEW} more" if len(found) > FEW else ""
                raise Broken(
                    f"after {self.bound:.0f} s of calm: {'; '.join(found[:FEW])}{more}"
                )
            self._pass(min(self.bound / LOOKS, until - self.clock.now))

    def _untrue(self) -> list[str]:
        ledger = self.ledger
        return [*ledger.differences(), *ledger.rings(self.storage.groups)]

    def _quiet(self) -> None:
        """At rest there are signs of life, and nothing else."""
        pace, nodes = self.setting.pace, list(self.ledger.nodes.values())
        before, changes = self.network.traffic.copy(), self.ledger.changes
        pings = {node: node.pings for node in nodes}
        seconds = PINGS * pace.ping
        self._pass(seconds)
        traffic = self.network.traffic.since(before)
        if traffic.dials or traffic.tidings or self.ledger.changes != changes:
            raise Broken(f"at rest there are {traffic}")
        for node in nodes:
            links, sent = len(nodes) - 1, node.pings - pings[node]
            slowest = pace.ping + 2 * self.setting.latency[1]
            least = links * (int(seconds / slowest) - 1)
            most = links * (int(seconds / pace.ping) + 1)
            if not least <= sent <= most:
                raise Broken(f"{node} sends {sent} pings, not {least} to {most}")
            agenda = len(node.links._around.agenda)  # type: ignore[union-attr]
            if agenda != links:
                raise Broken(f"{node} has {agenda} things to do for {links} links")

    def _refreshed(self) -> None:
        """A group that is refreshed at one node is soon known at all."""
        if any(node.follower._failures for node in self.ledger.nodes.values()):
            # A storage that has failed is left in peace for a while.
            self._pass(RETRY[1])
        self.storage.groups["last"] = {self.apps[0]: 1}
        next(iter(self.ledger.nodes.values())).refresh(["last"])
        self._pass(self.setting.latency[1] + SPREAD + SETTLED / 10)
        for what in self.ledger.rings(self.storage.groups):
            raise Broken(f"soon after a refresh {what}")

    def _end(self) -> None:
        """Let all nodes stop in order; nothing is left."""
        self._leave_all()
        self._pass(2 * max(PATIENCE, self.bound))
        for what in self.clock.left():
            raise Broken(f"a timer is left: {what}")
        left = Counter(_living())
        if left:
            raise Broken(f"still in memory: {dict(left)}")

    def _leave_all(self) -> None:
        for node in list(self.ledger.nodes.values()):
            node.drain()
            node.leave()
            left = list(known(node))
            if left or len(node.announcements):
                raise Broken(f"{node} ends, and knows {left[:FEW]}")


def _living() -> Iterator[str]:
    gc.collect()
    for each in gc.get_objects():
        if type(each) in (Link, Stream, Wire, Far):
            yield type(each).__name__
