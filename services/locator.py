# -*- test-case-name: cocained.test.test_services_locator -*-
"""
The locator: says where services are (protocol.md §3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import msgspec
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from zope.interface import implementer

from cocained.component import Component
from cocained.config import ComponentConfig, Invalid
from cocained.errors import Category, CocainedError, LocatorCode, ServiceNotAvailable
from cocained.interfaces import (
    IBehindDoors,
    IDoor,
    IExposure,
    IGateway,
    INode,
    IRemoteService,
    IReporter,
)
from cocained.links.offers import packed_offer
from cocained.links.pace import Pace
from cocained.links.tidings import Offer, check_endpoints, check_name
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
from cocained.rpc.roles import Receiver
from cocained.rpc.session import Session
from cocained.rpc.streams import Downstream, Upstream
from cocained.rpc.view import View, forbidden
from cocained.services.follower import GroupFollower
from cocained.services.groups import RoutingGroups
from cocained.services.neighbourhood import Neighbourhood
from cocained.services.routers import Routers

log = Logger()

_NOTHING = Signature([])

#: Most bytes of ``extra_param`` when it is packed: it travels in the headers of
#: each announcement, of which a frame may have 64 KiB.
EXTRA_LIMIT = 16384

Endpoints = Sequence[tuple[str, int]]


class LocatorArgs(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """Arguments of the locator."""

    gateway: Annotated[
        ComponentConfig | None,
        msgspec.Meta(
            description="Picks among the nodes that carry a service. Without one"
            " this node listens to no others."
        ),
    ] = None
    cluster: Annotated[
        ComponentConfig | None,
        msgspec.Meta(
            description="Finds other nodes. Without one this node tells others"
            " nothing, either."
        ),
    ] = None
    links: Annotated[
        Pace, msgspec.Meta(description="How patient the links to other nodes are.")
    ] = Pace()
    restrict: Annotated[
        tuple[str, ...],
        msgspec.Meta(description="Services that other nodes are not told of."),
    ] = ()
    extra_param: Annotated[
        dict[str, Any],
        msgspec.Meta(description="Sent to other nodes along with announcements."),
    ] = {}

    def __post_init__(self) -> None:
        try:
            size = len(pack(self.extra_param))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise Invalid(("extra_param", f"cannot be sent: {error}")) from error
        if size > EXTRA_LIMIT:
            reason = f"has {size} bytes when it is sent, the limit is {EXTRA_LIMIT}"
            raise Invalid(("extra_param", reason))


class MissingVersion(CocainedError):
    """A graph was published without saying which version it is."""

    category = Category.LOCATOR
    code = LocatorCode.MISSING_VERSION


@implementer(IRemoteService, IExposure, IBehindDoors, IReporter)
class LocatorService(Component[LocatorArgs]):
    """Type ``locator``."""

    Args = LocatorArgs
    protocol = Protocol(version=3)

    def __init__(self, node: INode, name: str, args: LocatorArgs) -> None:
        super().__init__(node, name, args)
        self._local: dict[str, Packed] = {}
        self._groups = RoutingGroups(node.storage("core"))
        self._routers = Routers(self._groups.rings)
        self._follower = GroupFollower(self._groups, node.reactor, self._routers.tell)
        self._gateway: IGateway | None = None
        if args.gateway is not None:
            self._gateway = node.component(
                "gateway", args.gateway.type, f"{name}:gateway", args.gateway.args
            )
        self._around = Neighbourhood(
            node,
            name,
            self._gateway,
            args.cluster,
            args.links,
            args.extra_param,
            args.restrict,
            self._follower.heard,
        )

    def start(self) -> Deferred[None] | None:
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        await self._groups.load()
        if self._gateway is not None:
            await maybeDeferred(self._gateway.start)
        # Not before the gateway can take what there is already.
        self.node.directory.subscribe(self)

    def stop(self) -> Deferred[None] | None:
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self._around.stop()
        self.node.directory.unsubscribe(self)
        self._follower.stop()
        self._routers.close()
        if self._gateway is not None:
            await maybeDeferred(self._gateway.stop)

    def report(self) -> Mapping[str, Any]:
        return {
            "uuid": self.node.uuid,
            "groups": sorted(self._groups.rings()),
            **self._around.report(),
        }

    # IExposure: the answers of resolve are packed once, when a service comes.

    def service_exposed(
        self, name: str, endpoints: Endpoints, version: int, graph: Mapping[int, Any]
    ) -> None:
        self._local[name] = _packed(endpoints, version, graph)
        self._around.offers.expose(Offer(name, endpoints, version, graph))
        if name == self.name:
            # Only now can others reach this node.
            self._around.begin()

    def service_removed(self, name: str) -> None:
        self._local.pop(name, None)
        self._around.offers.remove(name)

    # IBehindDoors

    def seen_from(self, door: IDoor, walled: bool) -> Any:
        """
        Who comes through a door is told paths, and of what it admits.

        Workers behind walls could take the place of services by ``publish``, and
        learn of others by the rest.
        """
        methods: dict[str, Callable[..., Any]] = {
            "resolve": partial(self._resolve_at, door)
        }
        if walled:
            closed = ("connect", "refresh", "cluster", "publish", "routing")
            methods |= dict.fromkeys(closed, forbidden)
        return View(self, **methods)

    def _resolve_at(self, door: IDoor, name: str, seed: str) -> Packed:
        member = self._groups.pick(name, seed)
        if not door.admits(member):
            raise ServiceNotAvailable(
                f"service is not available: {member!r} is not among the 'services'"
                " that the profile of this app lets through its walls"
            )
        found = door.offer(member)
        return self.resolve(member, seed) if found is None else _packed(*found)

    # Methods

    @protocol.method(0, text, optional(text, ""))
    def resolve(self, name: str, seed: str) -> Packed:
        member = self._groups.pick(name, seed)
        if self._gateway is None or not self._gateway.full:
            found = self._local.get(member)
            if found is not None:
                return found
        # While the node drains: its own services first, since who asks for its
        # ``admin`` does not mean another's; apps for those who have no other.
        withdrawn = self.node.directory.withdrawn(member)
        if withdrawn is not None and withdrawn.own:
            return _packed(*withdrawn[:3])
        if self._gateway is not None:
            remote = self._gateway.resolve(member, seed)
            if remote is not None:
                return _packed(*remote)
        if withdrawn is not None:
            return _packed(*withdrawn[:3])
        raise ServiceNotAvailable()

    @protocol.stream(1, text, upstream=STREAMING)
    def connect(
        self, session: Session, channel: int, headers: list[Header], uuid: str
    ) -> Receiver | None:
        announcements = self._around.announcements
        if announcements is None:
            # A node without a cluster has nothing to announce.
            Upstream(session, channel, headers).close()
            return None
        return announcements.listen(uuid, session, channel, headers)

    @protocol.method(2, listing(text))
    def refresh(self, names: list[str]) -> Deferred[None]:
        return Deferred.fromCoroutine(self._refresh(names))

    async def _refresh(self, names: list[str]) -> None:
        await self._groups.refresh(names)
        self._routers.tell()
        if self._around.announcements is not None:
            self._around.announcements.refreshed(names)

    @protocol.method(3)
    def cluster(self) -> dict[str, Any]:
        return self._around.links.cluster()

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
        check_name(name, "the name of a service")
        check_endpoints(endpoints)
        if graph and not version:
            raise MissingVersion("missing protocol version")
        upstream = Upstream(session, channel, headers)
        withdraw = self._around.offers.publish(Offer(name, endpoints, version, graph))
        log.info("external service {service} is published", service=name)

        def unpublish() -> bool:
            withdraw()
            log.info("external service {service} is withdrawn", service=name)
            return True

        upstream.value()
        return Downstream(session, channel, {0: (_NOTHING, unpublish)}, unpublish)

    @protocol.stream(5, text, dispatch=DISCARDABLE, upstream=STREAMING)
    def routing(
        self, session: Session, channel: int, headers: list[Header], router: str
    ) -> Downstream:
        return self._routers.follow(router, session, channel, headers)

    @protocol.method(6)
    def uuid(self) -> str:
        return self.node.uuid


def _packed(endpoints: Endpoints, version: int, graph: Mapping[int, Any]) -> Packed:
    return Packed(packed_offer(endpoints, version, graph))
