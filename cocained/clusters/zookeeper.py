# -*- test-case-name: cocained.test.test_clusters_zookeeper -*-
"""
Clusters that meet at a unicorn (protocol.md §3.7, plugins.md §4.1)::

    <path>/<uuid> = [[ip, port]…]        ephemeral, one for each node

Each node makes its own entry and watches those of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, cast

import msgspec
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from typing_extensions import override
from zope.interface import implementer

from cocained.clusters.members import Members
from cocained.clusters.presence import Presence
from cocained.component import Component
from cocained.config import Invalid
from cocained.errors import UnicornError
from cocained.interfaces import ICluster, ILinks, INode, IReporter, IUnicorn

log = Logger()


class _Args(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What both types take."""

    path: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^/.*[^/]\Z",
            description="Below it, each node has an entry; the same for all nodes.",
        ),
    ] = "/cocaine/discovery"
    retry_interval: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            le=86400,
            description="Seconds until what has failed is tried again.",
        ),
    ] = 10.0
    grace: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            le=86400,
            description="Seconds after trouble with the backend during which a node"
            " that is missing may come back; then it is dropped.",
        ),
    ] = 30.0


class UnicornClusterArgs(_Args, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Arguments of the cluster type ``unicorn``."""

    backend: Annotated[
        str, msgspec.Meta(description="Name of the backend, in ``unicorns``.")
    ]


class ZookeeperClusterArgs(
    _Args, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """Arguments of the cluster type ``zookeeper``."""

    backend: Annotated[
        str | None,
        msgspec.Meta(
            description="Name of a backend in ``unicorns``; without it the cluster has"
            " one of its own, for which are the next two."
        ),
    ] = None
    endpoints: Annotated[
        tuple[dict[str, Any], ...],
        msgspec.Meta(
            description="Servers of ZooKeeper, each with ``host`` and ``port``.",
            extra={"default": "``[{host: localhost, port: 2181}]``"},
        ),
    ] = ()
    prefix: Annotated[
        str, msgspec.Meta(description="Put in front of ``path`` at these servers.")
    ] = ""

    def __post_init__(self) -> None:
        if self.backend is not None and (self.endpoints or self.prefix):
            raise Invalid(
                (
                    "backend",
                    "has servers of its own; leave out either it, or 'endpoints' and"
                    " 'prefix'",
                )
            )


A = TypeVar("A", bound=_Args)


class _Cluster(Component[A]):
    """
    Announces this node and finds the others.

    While the backend cannot be reached nothing changes: the links go on with
    those that are known.
    """

    def __init__(self, node: INode, name: str, args: A) -> None:
        super().__init__(node, name, args)
        self._unicorn: IUnicorn = self.backend()
        self._presence: Presence | None = None
        self._members: Members | None = None
        self._troubles: dict[str, UnicornError] = {}
        self._since = 0.0

    def backend(self) -> IUnicorn:
        """Give what to meet at; overridden."""
        raise NotImplementedError

    def attach(self, links: ILinks) -> None:
        clock, args = self.node.reactor, self.args
        self._presence = Presence(
            clock,
            self._unicorn,
            f"{args.path}/{links.uuid}",
            links.endpoints,
            args.retry_interval,
            self._announced,
        )
        self._members = Members(
            clock,
            self._unicorn,
            args.path,
            links,
            args.retry_interval,
            args.grace,
            self._listed,
        )

    @override
    def start(self) -> Deferred[None] | None:
        """Begin; a backend that cannot be reached yet is no failure."""
        self.meet()
        return None

    def meet(self) -> None:
        """Announce this node, and look for others."""
        assert self._presence is not None, "attach() comes before start()"
        self._presence.start()
        cast(Members, self._members).start()

    @override
    def stop(self) -> Deferred[None]:
        """Take the entry back, so that the others need not wait for its end."""
        return Deferred.fromCoroutine(self.leave())

    async def leave(self) -> None:
        """Let go of all nodes, our own too."""
        if self._members is not None:
            self._members.stop()
        if self._presence is not None:
            await self._presence.stop()

    def _announced(self, error: UnicornError | None) -> None:
        if error is None:
            # The path is there now, or the trouble is over.
            cast(Members, self._members).hurry()
        self._state("this node cannot be announced", error)

    def _listed(self, error: UnicornError | None) -> None:
        self._state("other nodes cannot be listed", error)

    def _state(self, what: str, error: UnicornError | None) -> None:
        """Keep what goes wrong; log when that begins and when it is over."""
        was_well = not self._troubles
        if error is None:
            self._troubles.pop(what, None)
        else:
            self._troubles[what] = error
        if was_well == (not self._troubles):
            return
        self._since = self.node.reactor.seconds()
        if error is not None:
            log.warn(
                "cluster {cluster}: {what}: {error}; it goes on with the nodes that it"
                " knows",
                cluster=self.name,
                what=what,
                error=error,
            )
        else:
            log.info(
                "cluster {cluster}: all is well again, with {count} other nodes",
                cluster=self.name,
                count=len(cast(Members, self._members).uuids),
            )

    def report(self) -> Mapping[str, Any]:
        problem = "; ".join(f"{what}: {why}" for what, why in self._troubles.items())
        if problem:
            problem += "; see that the backend runs and can be reached"
        presence, members = self._presence, self._members
        return {
            "problem": problem,
            "since": self._since,
            "announced": presence is not None and presence.is_there,
            "nodes": members.uuids if members is not None else [],
        }


@implementer(ICluster, IReporter)
class UnicornCluster(_Cluster[UnicornClusterArgs]):
    """Type ``unicorn``: meets at a backend that has been configured."""

    Args = UnicornClusterArgs

    @override
    def backend(self) -> IUnicorn:
        return self.node.unicorn(self.args.backend)


@implementer(ICluster, IReporter)
class ZookeeperCluster(_Cluster[ZookeeperClusterArgs]):
    """Type ``zookeeper``: the same, or with a backend of its own."""

    Args = ZookeeperClusterArgs

    @override
    def backend(self) -> IUnicorn:
        self._own: IUnicorn | None = None
        if self.args.backend is not None:
            return self.node.unicorn(self.args.backend)
        args: dict[str, Any] = {"prefix": self.args.prefix}
        if self.args.endpoints:
            args["endpoints"] = list(self.args.endpoints)
        own = self.node.component("unicorn", "zookeeper", self.name, args)
        self._own = own
        return cast(IUnicorn, own)

    @override
    def start(self) -> Deferred[None] | None:
        if self._own is None:
            return super().start()
        started = maybeDeferred(self._own.start)
        return started.addCallback(lambda ignored: self.meet())

    @override
    async def leave(self) -> None:
        await super().leave()
        if self._own is not None:
            await maybeDeferred(self._own.stop)
