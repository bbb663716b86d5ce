# -*- test-case-name: cocained.test.test_gateways_kernel_gateway -*-
"""
What the gateways have in common whose choices the kernel makes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from cocained.component import Component
from cocained.errors import CocainedError, ConfigError, InvalidArgument
from cocained.gateways.adhoc import CLUSTER_KEY, DuplicateRemote, Remote
from cocained.gateways.health import Health, ProbeArgs
from cocained.gateways.kernel.convergence import Balancer, Convergence
from cocained.gateways.kernel.ownership import Ownership
from cocained.gateways.kernel.plan import Endpoint, Plan, takes_connections, text
from cocained.gateways.kernel.program import ProgramRunner, Runner
from cocained.gateways.kernel.table import Copy, Table, is_v6
from cocained.gateways.kernel.unplaced import Unplaced
from cocained.interfaces import INode

#: Key of an announcement's extra values: the weight of the node that made it.
WEIGHT_KEY: Final = "x-cocained-weight"

#: What the kernel takes as a weight.
WEIGHT_LIMIT: Final = 65535

#: Virtual services without any destination that are kept, so that a service which
#: comes back does so at the address that its clients know.  As many again as a
#: busy cluster starts and stops; beyond it the longest unused one goes.
IDLE_LIMIT: Final = 1024

#: Nodes that may carry one service.  Beyond it further ones are not used.
COPIES_LIMIT: Final = 4096

#: Whether this machine passes packets on.
FORWARDING: Final = {
    False: Path("/proc/sys/net/ipv4/ip_forward"),
    True: Path("/proc/sys/net/ipv6/conf/all/forwarding"),
}

log = Logger()


class KernelArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Arguments of every gateway of this kind."""

    weight: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            le=WEIGHT_LIMIT,
            description="Weight of nodes that do not say ``x-cocained-weight`` in "
            "their ``extra_param``. One of weight 0 gets no new connections.",
        ),
    ] = 1
    cluster: Annotated[
        str,
        msgspec.Meta(
            description="Only nodes that say the same ``x-cocaine-cluster`` count."
        ),
    ] = msgspec.field(default="", name=CLUSTER_KEY)
    probe: Annotated[
        ProbeArgs | None,
        msgspec.Meta(
            description="How destinations are probed: one that does not answer gets "
            "no connections until it does. ``null`` probes nothing."
        ),
    ] = ProbeArgs()
    audit: Annotated[
        float,
        msgspec.Meta(
            ge=1,
            le=86400,
            description="How often to look whether the kernel still has what it was "
            "told, and to tell it again: a firewall that is loaded anew may take "
            "it away.",
            extra={"unit": "seconds"},
        ),
    ] = 30.0


A = TypeVar("A", bound=KernelArgs)


class KernelGateway(Component[A]):
    """
    A gateway that answers with addresses of its own.

    :param runner: runs the programs that speak with the kernel.
    """

    full = False

    def __init__(
        self, node: INode, name: str, args: A, runner: Runner | None = None
    ) -> None:
        super().__init__(node, name, args)
        if not node.directory.has_shared:
            raise ConfigError(
                "this gateway needs a port for every service of other nodes; set"
                " network.shared to a range that is large enough"
            )
        self._table = Table(self._drain())
        self._ownership = Ownership(node.runtime, name)
        self._convergence = Convergence(
            node.reactor,
            self._balancer(runner or ProgramRunner(node.reactor), self._ownership),
            self._table.plan,
            self._now_in_force,
            args.audit,
        )
        self._health = Health(node.reactor, self, args.probe)
        self._in_force: Plan = {}
        #: what resolve says, until something changes
        self._answers: dict[str, Remote | None] = {}
        #: names that port reservations have, by service
        self._reserved: dict[str, str] = {}
        self._unplaced = Unplaced(name)
        #: nodes whose weight is none, and who were told of
        self._misweighted: set[str] = set()
        self._departure: IDelayedCall | None = None

    # What the kinds of balancers differ in

    def _drain(self) -> float:
        """Seconds that destinations are kept with a weight of 0."""
        return 0.0

    def _balancer(self, runner: Runner, ownership: Ownership) -> Balancer:
        raise NotImplementedError

    # IComponent

    def start(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        self._ownership.take()
        await self._convergence.start()
        if not _forwards():
            log.warn(
                "gateway {gateway}: this machine passes no packets on, so only"
                " clients on it are served; set net.ipv4.ip_forward=1",
                gateway=self.name,
            )

    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._health.stop()
        if self._departure is not None and self._departure.active():
            self._departure.cancel()
        try:
            await self._convergence.stop()
        finally:
            for reserved in self._reserved.values():
                self.node.directory.release(reserved)
            self._ownership.release()

    # IReporter

    def report(self) -> Mapping[str, Any]:
        plan = self._table.plan()
        problems = [self._convergence.problem]
        problems += self._unplaced.reasons
        return {
            "services": len(self._table),
            "destinations": sum(len(to) for to in plan.values()),
            "down": [text(each) for each in self._table.down()],
            "unplaced": self._unplaced.names,
            "runs": self._convergence.runs,
            "pending": self._convergence.is_pending,
            "forwards": _forwards(),
            "problem": "; ".join(filter(None, problems)),
        }

    # IGateway

    def resolve(self, name: str, seed: str = "") -> Remote | None:
        try:
            return self._answers[name]
        except KeyError:
            pass
        service = self._table.get(name)
        if service is None:
            return None
        plan = self._table.plan()
        endpoints = [
            virtual
            for virtual in service.virtuals
            if takes_connections(plan, virtual)
            and takes_connections(self._in_force, virtual)
        ]
        answer = None
        if endpoints:
            answer = Remote(endpoints, service.version, service.graph)
        self._answers[name] = answer
        return answer

    def consume(
        self,
        uuid: str,
        name: str,
        endpoints: Sequence[tuple[str, int]],
        version: int,
        graph: Mapping[int, Any],
        extra: Mapping[str, Any],
    ) -> None:
        if extra.get(CLUSTER_KEY, "") != self.args.cluster:
            return
        usable = _usable(endpoints)
        weight = self._weight(uuid, extra)
        service = self._table.get(name)
        if service is not None and uuid in service.copies:
            raise DuplicateRemote(f"service {name!r} of node {uuid} is known already")
        if service is not None and len(service.copies) >= COPIES_LIMIT:
            reason = f"more than {COPIES_LIMIT} nodes carry {name!r}"
            self._unplaced.skip(uuid, name, reason)
            return
        if service is None and not self._open(uuid, name, version):
            return
        opened = self._table.get(name)
        assert opened is not None
        families = {is_v6(virtual) for virtual in opened.virtuals}
        mine = set(self._table.virtuals())
        # A destination that is one of ours would be a circle.
        fitting = {
            is_v6(each): each
            for each in reversed(usable)
            if is_v6(each) in families and each not in mine
        }
        if not fitting:
            self._unplaced.skip(
                uuid,
                name,
                f"node {uuid} offers {name!r} at no address that this node can"
                " forward to; see network.endpoint and network.hostname",
            )
            return
        self._unplaced.placed(name)
        copy = Copy(tuple(fitting.values()), weight)
        self._table.announce(uuid, name, copy, version, graph, self._now())
        for endpoint in copy.endpoints:
            self._health.add(endpoint)
        self._changed()

    def cleanup(self, uuid: str, name: str | None = None) -> None:
        if name is None:
            self._misweighted.discard(uuid)
        self._unplaced.forget(uuid, name)
        gone = self._table.withdraw(uuid, name, self._now())
        for copy in gone:
            for endpoint in copy.endpoints:
                self._health.remove(endpoint)
        idle = self._table.idle()
        for each in idle[: max(0, len(idle) - IDLE_LIMIT)]:
            self._close(each)
        if gone:
            self._changed()

    # HealthObserver

    def target_down(self, target: Endpoint, reason: str) -> None:
        log.warn(
            "gateway {gateway}: {destination} gets no connections: {reason}",
            gateway=self.name,
            destination=text(target),
            reason=reason,
        )
        self._table.mark(target, False, self._now())
        self._changed()

    def target_up(self, target: Endpoint) -> None:
        log.info(
            "gateway {gateway}: {destination} gets connections again",
            gateway=self.name,
            destination=text(target),
        )
        self._table.mark(target, True, self._now())
        self._changed()

    # Virtual services

    def _open(self, uuid: str, name: str, version: int) -> bool:
        """Make room for a service; says whether there was any."""
        reserved = f"{name}@{version}:virtual"
        try:
            endpoints = self._reserve(reserved)
        except CocainedError as error:
            self._unplaced.skip(uuid, name, error.reason)
            return False
        first: dict[bool, Endpoint] = {}
        for endpoint in endpoints:
            if "%" not in endpoint[0]:
                first.setdefault(is_v6(endpoint), endpoint)
        self._reserved[name] = reserved
        self._table.open(name, list(first.values()))
        return True

    def _reserve(self, reserved: str) -> Sequence[Endpoint]:
        try:
            return self.node.directory.reserve(reserved)
        except CocainedError:
            idle = self._table.idle()
            if not idle:
                raise
        # A service that nobody has gives its port to one that somebody has.
        self._close(idle[0])
        return self.node.directory.reserve(reserved)

    def _close(self, name: str) -> None:
        self._table.close(name)
        self._answers.pop(name, None)
        self.node.directory.release(self._reserved.pop(name))

    def _weight(self, uuid: str, extra: Mapping[str, Any]) -> int:
        weight = extra.get(WEIGHT_KEY, self.args.weight)
        if type(weight) is int and 0 <= weight <= WEIGHT_LIMIT:
            return weight
        if uuid in self._misweighted:
            return self.args.weight
        # Told once for all its services.
        self._misweighted.add(uuid)
        log.warn(
            "gateway {gateway}: node {uuid} has the weight {weight!r:.100}, which is no"
            " number of 0 to {limit}; {default} is taken",
            gateway=self.name,
            uuid=uuid,
            weight=weight,
            limit=WEIGHT_LIMIT,
            default=self.args.weight,
        )
        return self.args.weight

    # Changes

    def _now(self) -> float:
        return self.node.reactor.seconds()

    def _changed(self) -> None:
        self._answers.clear()
        self._convergence.changed()
        due = self._table.next_departure()
        if due is not None and (
            self._departure is None or not self._departure.active()
        ):
            self._departure = self.node.reactor.callLater(
                max(0.0, due - self._now()), self._depart
            )

    def _depart(self) -> None:
        self._table.depart(self._now())
        self._changed()

    def _now_in_force(self, plan: Plan) -> None:
        self._in_force = plan
        self._answers.clear()


def _usable(endpoints: Sequence[tuple[str, int]]) -> list[Endpoint]:
    """
    Give the addresses that can be destinations, as the kernel writes them.

    :raises InvalidArgument: one is no address.
    """
    usable = []
    for host, port in endpoints:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            raise InvalidArgument(f"{host!r} is no numeric address") from None
        if not 0 < port < 65536:
            raise InvalidArgument(f"{port} is no port of a destination")
        if not (
            address.is_unspecified or address.is_multicast or address.is_link_local
        ):
            usable.append((str(address), port))
    return usable


def _forwards() -> bool:
    """Say whether this machine passes packets on, as far as it says so itself."""
    try:
        return any(path.read_text().strip() != "0" for path in FORWARDING.values())
    except OSError:
        return False
