# -*- test-case-name: cocained.test.test_gateways_adhoc -*-
"""
The ad-hoc gateway: one of the nodes that carry a service (protocol.md §3.6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Annotated, Any, NamedTuple

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from cocained.component import Component
from cocained.errors import Category, CocainedError, LocatorCode
from cocained.gateways.choice import Choice, Load, Policy
from cocained.gateways.health import Health, ProbeArgs
from cocained.interfaces import IGateway, INode, INodeObserver, IReporter
from cocained.rpc.connection import Address, address_text

log = Logger()

#: Key by which nodes of different clusters on one network keep apart.
CLUSTER_KEY = "x-cocaine-cluster"


class AdhocArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Arguments of the ad-hoc gateway."""

    cluster: Annotated[
        str,
        msgspec.Meta(
            description="Only nodes that say the same ``x-cocaine-cluster`` count."
        ),
    ] = msgspec.field(default="", name=CLUSTER_KEY)
    policy: Annotated[
        Policy,
        msgspec.Meta(
            description="How a copy is chosen; latency is that of its node's locator."
        ),
    ] = "round-robin"
    probe: Annotated[
        ProbeArgs | None,
        msgspec.Meta(
            description="Also try to connect to each copy now and then. A cluster has"
            " as many of them as nodes times services."
        ),
    ] = None


class DuplicateRemote(CocainedError):
    """One node announced a service twice."""

    category = Category.LOCATOR
    code = LocatorCode.GATEWAY_DUPLICATE


class Remote(NamedTuple):
    """Where a copy of a service is, and what it offers."""

    endpoints: Sequence[Address]
    version: int
    graph: Mapping[int, Any]


class _Node:
    """
    One node, as long as it has a copy of something.

    :ivar well: whether it gave its last sign of life in time.
    """

    __slots__ = ("copies", "load", "well")

    def __init__(self) -> None:
        self.load = Load()
        self.well = True
        self.copies: dict[str, _Copy] = {}


class _Copy:
    """One copy of a service; its load is that of its node."""

    __slots__ = ("load", "name", "node", "remote")

    def __init__(self, name: str, node: _Node, remote: Remote) -> None:
        self.name = name
        self.node = node
        self.load = node.load
        self.remote = remote


@implementer(IGateway, INodeObserver, IReporter)
class AdhocGateway(Component[AdhocArgs]):
    """
    Type ``adhoc``: by default the copies of a service take turns.

    The original picks at random; the founding documents promise round-robin
    (legacy-and-seeds.md row 263).
    """

    Args = AdhocArgs
    full = False

    def __init__(self, node: INode, name: str, args: AdhocArgs) -> None:
        super().__init__(node, name, args)
        self._nodes: dict[str, _Node] = {}
        self._services: dict[str, Choice[_Copy]] = {}
        self._targets: dict[Address, dict[_Copy, None]] = {}
        self._chance = Random()
        self._health: Health | None = None
        if args.probe is not None:
            self._health = Health(node.reactor, self, args.probe)

    def stop(self) -> Deferred[None] | None:
        if self._health is not None:
            self._health.stop()
        return None

    # IGateway

    def resolve(self, name: str, seed: str = "") -> Remote | None:
        copies = self._services.get(name)
        if copies is None:
            return None
        copy = copies.pick(self.node.reactor.seconds())
        return None if copy is None else copy.remote

    def consume(
        self,
        uuid: str,
        name: str,
        endpoints: Sequence[Address],
        version: int,
        graph: Mapping[int, Any],
        extra: Mapping[str, Any],
    ) -> None:
        if extra.get(CLUSTER_KEY, "") != self.args.cluster:
            return
        node = self._nodes.get(uuid)
        if node is None:
            node = self._nodes[uuid] = _Node()
        elif name in node.copies:
            raise DuplicateRemote(f"service {name!r} of node {uuid} is known already")
        copy = node.copies[name] = _Copy(name, node, Remote(endpoints, version, graph))
        if name not in self._services:
            self._services[name] = Choice(self.args.policy, self._chance)
        self._watch(copy)
        self._judge(copy)

    def cleanup(self, uuid: str, name: str | None = None) -> None:
        node = self._nodes.get(uuid)
        if node is None:
            return
        for key in [name] if name is not None else list(node.copies):
            copy = node.copies.pop(key, None)
            if copy is not None:
                self._forget(copy)
        if not node.copies:
            del self._nodes[uuid]

    def _forget(self, copy: _Copy) -> None:
        copies = self._services[copy.name]
        copies.discard(copy)
        if not len(copies):
            del self._services[copy.name]
        if self._health is not None:
            for target in copy.remote.endpoints:
                self._health.remove(target)
                users = self._targets.get(target, {})
                users.pop(copy, None)
                if not users:
                    self._targets.pop(target, None)

    # Who is well

    def node_observed(self, uuid: str, latency: float | None) -> None:
        # Nodes without a copy are not kept: who would ever forget them?
        node = self._nodes.get(uuid)
        if node is None:
            return
        if latency is not None:
            node.load.observe(latency, self.node.reactor.seconds())
        if node.well != (latency is not None):
            node.well = latency is not None
            for copy in node.copies.values():
                self._judge(copy)

    def _watch(self, copy: _Copy) -> None:
        if self._health is not None:
            for target in copy.remote.endpoints:
                self._targets.setdefault(target, {})[copy] = None
                self._health.add(target)

    def _judge(self, copy: _Copy) -> None:
        """Let a copy take part, or leave it out while there are others."""
        health = self._health
        well = copy.node.well and (
            health is None or any(map(health.is_up, copy.remote.endpoints))
        )
        self._services[copy.name].add(copy, well)

    def target_down(self, target: Address, reason: str) -> None:
        """A probe failed."""
        copies = self._targets.get(target, {})
        log.warn(
            "{address} does not answer and is left out while there are others:"
            " {reason} (services {services})",
            address=address_text(target),
            reason=reason,
            services=", ".join(sorted({copy.name for copy in copies})),
        )
        for copy in copies:
            self._judge(copy)

    def target_up(self, target: Address) -> None:
        """A probe succeeded again."""
        log.info("{address} answers again", address=address_text(target))
        for copy in self._targets.get(target, {}):
            self._judge(copy)

    # IReporter

    def report(self) -> dict[str, Any]:
        now = self.node.reactor.seconds()
        silent = sorted(uuid for uuid, node in self._nodes.items() if not node.well)
        down = sorted(
            address_text(target)
            for target in self._targets
            if self._health is not None and not self._health.is_up(target)
        )
        problem = ""
        if silent:
            problem = f"no sign of life from {', '.join(silent)}; are they running?"
        elif down:
            problem = f"no connection to {', '.join(down)}; is a firewall between?"
        return {
            "policy": self.args.policy,
            "services": len(self._services),
            "nodes": {
                uuid: {
                    "services": len(node.copies),
                    "well": node.well,
                    "latency": round(node.load.latency(now), 6),
                }
                for uuid, node in self._nodes.items()
            },
            "down": down,
            "problem": problem,
        }
