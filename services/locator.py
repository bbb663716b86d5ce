# -*- test-case-name: cocained.test.test_services_locator -*-
"""
The locator: says where services are (protocol.md §3).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from zope.interface import implementer

from cocained.component import Component
from cocained.config import ComponentConfig
from cocained.errors import (
    Category,
    CocainedError,
    InvalidArgument,
    LocatorCode,
    ServiceNotAvailable,
)
from cocained.interfaces import IExposure, IGateway, INode, IRemoteService
from cocained.rpc.arguments import (
    Signature,
    anything,
    listing,
    optional,
    record,
    text,
    unsigned,
)
from cocained.rpc.codec import Pairs, pack
from cocained.rpc.dispatch import Packed, Protocol
from cocained.rpc.graph import DISCARDABLE, PRIMITIVE, STREAMING, parse_root
from cocained.rpc.headers import Header
from cocained.rpc.session import Session
from cocained.rpc.streams import Downstream, Upstream
from cocained.services.groups import RoutingGroups

log = Logger()

_NOTHING = Signature([])

Endpoints = Sequence[tuple[str, int]]


class LocatorArgs(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """Arguments of the locator."""

    gateway: Annotated[
        ComponentConfig | None,
        msgspec.Meta(description="Picks among the nodes that carry a service."),
    ] = None
    cluster: Annotated[
        ComponentConfig | None, msgspec.Meta(description="Finds other nodes.")
    ] = None
    restrict: Annotated[
        tuple[str, ...],
        msgspec.Meta(description="Services that other nodes are not told of."),
    ] = ()
    extra_param: Annotated[
        dict[str, Any],
        msgspec.Meta(description="Sent to other nodes along with announcements."),
    ] = {}


class MissingVersion(CocainedError):
    """A graph was published without saying which version it is."""

    category = Category.LOCATOR
    code = LocatorCode.MISSING_VERSION


@implementer(IRemoteService, IExposure)
class LocatorService(Component[LocatorArgs]):
    """Type ``locator``."""

    Args = LocatorArgs
    protocol = Protocol(version=3)

    def __init__(self, node: INode, name: str, args: LocatorArgs) -> None:
        super().__init__(node, name, args)
        self._local: dict[str, Packed] = {}
        self._routers: dict[str, Upstream] = {}
        self._groups = RoutingGroups(node.storage("core"))
        self._gateway: IGateway | None = None
        if args.gateway is not None:
            self._gateway = node.component(
                "gateway", args.gateway.type, f"{name}:gateway", args.gateway.args
            )

    def start(self) -> Deferred[None] | None:
        if self.args.cluster is not None:
            log.warn(
                "services.{locator}.args.cluster: cluster type {type} is not"
                " available yet; this node looks for no other nodes",
                locator=self.name,
                type=self.args.cluster.type,
            )
        self.node.directory.subscribe(self)
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        await self._groups.load()
        if self._gateway is not None:
            await maybeDeferred(self._gateway.start)

    def stop(self) -> Deferred[None] | None:
        self.node.directory.unsubscribe(self)
        routers, self._routers = self._routers, {}
        for upstream in routers.values():
            upstream.close()
        return self._gateway.stop() if self._gateway is not None else None

    # IExposure: the answers of resolve are packed once, when a service comes.

    def service_exposed(
        self, name: str, endpoints: Endpoints, version: int, graph: Mapping[int, Any]
    ) -> None:
        self._local[name] = _packed(endpoints, version, graph)

    def service_removed(self, name: str) -> None:
        self._local.pop(name, None)

    # Methods

    @protocol.method(0, text, optional(text, ""))
    def resolve(self, name: str, seed: str) -> Packed:
        member = self._groups.pick(name, seed)
        if self._gateway is None or not self._gateway.full:
            found = self._local.get(member)
            if found is not None:
                return found
        if self._gateway is not None:
            remote = self._gateway.resolve(member, seed)
            if remote is not None:
                return _packed(*remote)
        raise ServiceNotAvailable()

    @protocol.stream(1, text, upstream=STREAMING)
    def connect(
        self, session: Session, channel: int, headers: list[Header], uuid: str
    ) -> None:
        # A node without a cluster has nothing to announce.
        Upstream(session, channel, headers).close()

    @protocol.method(2, listing(text))
    def refresh(self, names: list[str]) -> Deferred[None]:
        return Deferred.fromCoroutine(self._refresh(names))

    async def _refresh(self, names: list[str]) -> None:
        await self._groups.refresh(names)
        rings = self._groups.rings()
        for upstream in self._routers.values():
            upstream.write(rings)

    @protocol.method(3)
    def cluster(self) -> dict[str, Any]:
        return {}

    @protocol.stream(
        4,
        text,
        listing(record(text, unsigned)),
        optional(record(unsigned, anything), (0, Pairs())),
        dispatch=DISCARDABLE,
        upstream=PRIMITIVE,
    )
    def publish(
        self,
        session: Session,
        channel: int,
        headers: list[Header],
        name: str,
        endpoints: list[tuple[str, int]],
        protocol: tuple[int, Any],
    ) -> Downstream:
        version, graph = protocol[0], parse_root(protocol[1])
        _check_endpoints(endpoints)
        if graph and not version:
            raise MissingVersion("missing protocol version")
        upstream = Upstream(session, channel, headers)
        gateway = self._gateway
        if gateway is not None:
            gateway.consume(
                self.node.uuid,
                name,
                endpoints,
                version,
                graph,
                self.args.extra_param,
            )
        log.info("external service {service} is published", service=name)

        def unpublish() -> bool:
            if gateway is not None:
                gateway.cleanup(self.node.uuid, name)
            log.info("external service {service} is withdrawn", service=name)
            return True

        upstream.value()
        return Downstream(session, channel, {0: (_NOTHING, unpublish)}, unpublish)

    @protocol.stream(5, text, dispatch=DISCARDABLE, upstream=STREAMING)
    def routing(
        self, session: Session, channel: int, headers: list[Header], router: str
    ) -> Downstream:
        upstream = Upstream(session, channel, headers)
        # A second subscription of a router silently replaces the first.
        self._routers[router] = upstream
        upstream.write(self._groups.rings())

        def forget() -> bool:
            if self._routers.get(router) is upstream:
                del self._routers[router]
            return True

        return Downstream(session, channel, {0: (_NOTHING, forget)}, forget)

    @protocol.method(6)
    def uuid(self) -> str:
        return self.node.uuid


def _packed(endpoints: Endpoints, version: int, graph: Mapping[int, Any]) -> Packed:
    return Packed(pack([[list(e) for e in endpoints], version, graph]))


def _check_endpoints(endpoints: Endpoints) -> None:
    for host, port in endpoints:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise InvalidArgument(f"{host!r} is no numeric address") from None
        if port > 65535:
            raise InvalidArgument(f"{port} is no port")
