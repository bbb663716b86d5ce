# -*- test-case-name: cocained.test.test_services_neighbourhood -*-
"""
Whole locators in one process, which talk over a network in memory.
"""

from __future__ import annotations

import random
from typing import Any, cast

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cocained.component import Component, NoArgs
from cocained.config import convert
from cocained.directory import Directory
from cocained.errors import ServiceNotAvailable
from cocained.interfaces import INode, IReactor, IRemoteService, IStorage
from cocained.ports import Ports
from cocained.repository import Entry, Repository
from cocained.rpc.client import Locator
from cocained.rpc.dispatch import Protocol
from cocained.services.locator import LocatorArgs, LocatorService
from cocained.test.memory_network import MemoryNetwork
from cocained.test.service_case import FlakyStorage, LogCase, plain

#: Where locators listen.
PORT = 10053

#: What nodes of a cluster can build.
ENTRIES = [
    Entry("gateway", "adhoc", "cocained.gateways.adhoc.AdhocGateway"),
    Entry("cluster", "predefine", "cocained.clusters.predefine.PredefineCluster"),
]


@implementer(IRemoteService)
class Echo(Component[NoArgs]):
    """A service with one method."""

    protocol = Protocol(version=1)

    @protocol.method(0)
    def ping(self) -> str:
        return self.node.uuid


class NetworkNode:
    """
    A node with a machine of its own in the network.

    :param network: where.
    :param number: of its machine: it has the address 192.0.2.*number*.
    :param life: how often it has been started; another uuid each time.
    :param core: its storage, which others may share.
    """

    runtime = "/nonexistent/run"
    spool = "/nonexistent/spool"
    patience = 1.0

    def __init__(
        self,
        network: MemoryNetwork,
        number: int,
        args: dict[str, Any],
        core: FlakyStorage | None = None,
        life: int = 1,
    ) -> None:
        self.network = network
        self.reactor = cast(IReactor, network)
        self.uuid = f"node-{number}-{life}"
        self.address = f"192.0.2.{number}"
        self.wiring = network.wiring
        self.directory = Directory(
            self.wiring,
            self.address,
            [self.address],
            Ports({"locator": PORT}, (0, 0)),
        )
        self.core = core if core is not None else FlakyStorage(self, "core")
        self._repository = Repository(ENTRIES)
        self._node = cast(INode, self)
        self.locator = LocatorService(self._node, "locator", convert(args, LocatorArgs))

    # INode

    def resolve(self, path: str) -> str:
        return path

    def storage(self, name: str) -> IStorage:
        return self.core

    def component(self, category: str, type: str, name: str, args: Any) -> Any:
        return self._repository.build(
            category, type, self._node, name, args, f"{category}.args"
        )

    # For tests

    def start(self) -> Deferred[None]:
        """Start it, in the order of a real one."""
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        await cast("Deferred[None]", self.locator.start())
        await self.directory.expose("locator", self.locator)

    def offer(self, name: str) -> Deferred[None]:
        """Have one more service."""
        return self.directory.expose(name, Echo(self._node, name, NoArgs()))

    def stop(self) -> Deferred[None]:
        """Stop it, in the order of a real one."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self.directory.withdraw()
        await self.directory.quiesce()
        await cast("Deferred[None]", self.locator.stop())
        await self.directory.close()


class ClusterCase(LogCase):
    """
    A network, and nodes that find each other by their addresses.

    :cvar seed: of everything that is left to chance.
    """

    def setUp(self) -> None:
        # Back-offs and round-robins of a run are the same each time.
        state = random.getstate()
        self.addCleanup(random.setstate, state)
        random.seed(7)
        self.network = MemoryNetwork()

    def node(
        self,
        number: int,
        *others: int,
        gateway: bool = True,
        core: FlakyStorage | None = None,
        life: int = 1,
        **args: Any,
    ) -> NetworkNode:
        """
        Start a node.

        :param others: machines whose nodes it looks for.
        """
        found = [f"192.0.2.{other}:{PORT}" for other in others]
        args["cluster"] = {"type": "predefine", "args": {"nodes": found}}
        if gateway:
            args["gateway"] = {"type": "adhoc"}
        node = NetworkNode(self.network, number, args, core, life)
        self.successResultOf(node.start())
        self.network.flush()
        return node

    def offer(self, node: NetworkNode, *names: str) -> None:
        """Let a node have these services."""
        for name in names:
            self.successResultOf(node.offer(name))
        self.network.flush()

    def crash(self, node: NetworkNode) -> None:
        """Let a node's machine go without a word to those who listen to it."""
        listeners = self.network.listeners
        addresses = [at for at in listeners if at[0] == node.address]
        self.network.freeze(*addresses)
        self.successResultOf(node.stop())
        for at in addresses:
            listeners[at] = None

    def call(self, node: NetworkNode, method: str, *args: Any) -> Any:
        """Call a method of a node's locator over the network."""
        locator = Locator(self.network.wiring, node.address, PORT)
        answer = locator.service.call(method, *args)
        self.network.flush()
        try:
            return plain(self.successResultOf(answer))
        finally:
            locator.close()
            self.network.flush()

    def found(self, node: NetworkNode, name: str) -> list[str]:
        """The machines to which a node leads those who ask, in turn."""
        hosts = []
        for _ in range(4):
            endpoints, _version, _graph = self.call(node, "resolve", name)
            hosts.append(endpoints[0][0])
        return sorted(set(hosts))

    def knows(self, node: NetworkNode, name: str) -> bool:
        """Say whether a node finds a service anywhere."""
        try:
            node.locator.resolve(name, "")
        except ServiceNotAvailable:
            return False
        return True

    def links(self, node: NetworkNode) -> dict[str, Any]:
        """To whom a node listens, by uuid."""
        found: dict[str, Any] = self.call(node, "cluster")
        return found

    def pass_time(self, seconds: float) -> None:
        """Let time pass in steps, as a reactor does."""
        for _ in range(int(seconds * 4)):
            self.network.pass_time(0.25)
