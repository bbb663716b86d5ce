# -*- test-case-name: cocained.test.test_gateways_vicodyn -*-
"""
The gateway ``vicodyn``: what the locator tells it, and what it answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cocained.apps.burdens import Burdens
from cocained.component import Component
from cocained.errors import AppStopped
from cocained.gateways.adhoc import CLUSTER_KEY, Remote
from cocained.gateways.vicodyn.args import VicodynArgs
from cocained.gateways.vicodyn.info import InfoService
from cocained.gateways.vicodyn.likeness import is_app, is_node
from cocained.gateways.vicodyn.peer import Link, Peer
from cocained.gateways.vicodyn.virtual import Ration, VirtualApp
from cocained.interfaces import IGateway, INode, INodeObserver, IReporter
from cocained.rpc.connection import Address
from cocained.rpc.wire import cancelled

log = Logger()

#: Name of the information service.
SERVICE: Final = "vicodyn"

#: Most apps that are relayed.  Each has a port, and what peers announce must not
#: take all descriptors of the node; clients are sent to the nodes of the others.
VIRTUAL_LIMIT: Final = 4096


@implementer(IGateway, INodeObserver, IReporter)
class VicodynGateway(Component[VicodynArgs]):
    """
    Type ``vicodyn``: apps are reached through a service of this node.

    Everything that is no app is left to the wrapped gateway, and so are apps
    while there is no connection to any of their nodes.
    """

    Args = VicodynArgs
    full = True

    def __init__(self, node: INode, name: str, args: VicodynArgs) -> None:
        super().__init__(node, name, args)
        wrapped = args.wrapped
        self._wrapped: IGateway = node.component(
            "gateway", wrapped.type, f"{name}:wrapped", wrapped.args
        )
        cluster = args.cluster
        self._cluster = (
            wrapped.args.get(CLUSTER_KEY, "") if cluster is None else cluster
        )
        self._peers: dict[str, Peer] = {}
        self._apps: dict[str, VirtualApp] = {}
        #: apps that would be relayed if there were not so many
        self._surplus: dict[str, None] = {}
        #: apps without copies that still have requests
        self._former: dict[VirtualApp, None] = {}
        #: services of this very node
        self._local: dict[str, Remote] = {}
        self._chance = Random()
        self._ration = Ration()
        self._stopped = False
        self.links: dict[Link, None] = {}
        self.burdens: Burdens[Link] = Burdens(
            f"gateway {name}", self, node.reactor, node.wiring.turn, "node"
        )

    # Life

    def start(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        await maybeDeferred(self._wrapped.start)
        await self.node.directory.expose(SERVICE, InfoService(self))

    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._stopped = True
        await self.node.directory.remove(SERVICE)
        for peer in self._peers.values():
            peer.apps.clear()
        for name in list(self._apps):
            self._close(name)
        await self._let_finish()
        for peer in self._peers.values():
            peer.dropped()
        self._peers.clear()
        for link in list(self.links):
            link.hang_up(cancelled())
        await maybeDeferred(self._wrapped.stop)

    async def _let_finish(self) -> None:
        """Give requests as long as workers have when the node stops."""
        apps = list(self._former)
        quiet = DeferredList([app.when_quiet() for app in apps], consumeErrors=True)
        quiet.addTimeout(self.node.patience, self.node.reactor)
        # It fires in any case: when patience ends, those that wait are cancelled.
        await quiet
        for app in apps:
            app.abandon(AppStopped("the node is stopping: Broken pipe"))
        self._former.clear()

    # IGateway

    def resolve(self, name: str, seed: str = "") -> Remote | None:
        app = self._apps.get(name)
        if app is not None and app.is_reachable:
            service = app.service
            endpoints = self.node.directory.endpoints(service.name)
            if endpoints:
                protocol = service.protocol
                return Remote(endpoints, protocol.version, protocol.graph)
        local = self._local.get(name)
        if local is not None:
            return local
        found = self._wrapped.resolve(name, seed)
        return Remote(*found) if found is not None else None

    def consume(
        self,
        uuid: str,
        name: str,
        endpoints: Sequence[Address],
        version: int,
        graph: Mapping[int, Any],
        extra: Mapping[str, Any],
    ) -> None:
        self._wrapped.consume(uuid, name, endpoints, version, graph, extra)
        if self._stopped or extra.get(CLUSTER_KEY, "") != self._cluster:
            return
        if uuid == self.node.uuid and self.node.directory.endpoints(name):
            # What others publish through this node is not of it.
            self._local[name] = Remote(endpoints, version, graph)
        if is_node(graph):
            peer = self._peer(uuid)
            peer.extra = extra
            peer.announced(name, endpoints)
        elif is_app(graph):
            peer = self._peer(uuid)
            peer.apps[name] = None
            self._app(name).announced(peer)

    def cleanup(self, uuid: str, name: str | None = None) -> None:
        self._wrapped.cleanup(uuid, name)
        if uuid == self.node.uuid:
            for key in [name] if name is not None else list(self._local):
                self._local.pop(key, None)
        peer = self._peers.get(uuid)
        if peer is None:
            return
        if name is None:
            peer.dropped()
        else:
            peer.withdrawn(name)
        for app in [name] if name is not None else list(peer.apps):
            if app in peer.apps:
                del peer.apps[app]
                self._apps[app].withdrawn(uuid)
                if not self._apps[app].copies:
                    self._close(app)
        if not peer.is_known:
            del self._peers[uuid]

    # Apps and peers

    def _peer(self, uuid: str) -> Peer:
        peer = self._peers.get(uuid)
        if peer is None:
            peer = self._peers[uuid] = Peer(
                uuid, self.node.wiring, self, self._chance.random
            )
        return peer

    def _app(self, name: str) -> VirtualApp:
        app = self._apps.get(name)
        if app is None:
            balancer = self.args.balancer.args
            app = self._apps[name] = VirtualApp(
                name,
                balancer.policy,
                balancer.retry_count,
                self._chance,
                self.node.wiring.turn,
                self._ration,
            )
            if len(self._apps) - len(self._surplus) <= VIRTUAL_LIMIT:
                self._expose(app)
            else:
                self._refuse(name)
        return app

    def _expose(self, app: VirtualApp) -> None:
        exposed = self.node.directory.expose(
            app.service.name, app.service, announce=False
        )
        exposed.addErrback(self._not_exposed, app.name)

    def _refuse(self, name: str) -> None:
        if not self._surplus:
            log.warn(
                "app {app} is not relayed, clients are sent to its nodes, and so with"
                " those that follow: {limit} apps are relayed already",
                app=name,
                limit=VIRTUAL_LIMIT,
            )
        self._surplus[name] = None

    def _not_exposed(self, failure: Failure, name: str) -> None:
        log.warn(
            "app {app} cannot be relayed, clients are sent to its nodes: {error}",
            app=name,
            error=failure.value,
        )

    def _close(self, name: str) -> None:
        """Nobody has this app any more."""
        app = self._apps.pop(name)
        app.close()
        if name in self._surplus:
            del self._surplus[name]
            return
        self._former[app] = None
        app.when_quiet().addCallback(lambda _: self._former.pop(app, None))
        self.node.directory.remove(app.service.name).addErrback(
            lambda failure: log.failure(
                "the port of app {app} was not closed", failure=failure, app=name
            )
        )
        if self._surplus and not self._stopped:
            successor = next(iter(self._surplus))
            del self._surplus[successor]
            self._expose(self._apps[successor])

    # PeerOwner, and Shunner for the burdens

    def peer_changed(self, peer: Peer) -> None:
        for name in peer.apps:
            app = self._apps[name]
            app.judge(app.copies[peer.uuid])

    def shun(self, worker: Link) -> None:
        self._stick(worker, True)

    def welcome(self, worker: Link) -> None:
        self._stick(worker, False)

    def _stick(self, link: Link, is_stuck: bool) -> None:
        if link.is_stuck != is_stuck:
            link.is_stuck = is_stuck
            self.peer_changed(link.peer)

    # INodeObserver

    def node_observed(self, uuid: str, latency: float | None) -> None:
        if INodeObserver.providedBy(self._wrapped):
            self._wrapped.node_observed(uuid, latency)
        peer = self._peers.get(uuid)
        if peer is not None:
            peer.observed(latency)

    # Shown, for the information service; IReporter

    def show_apps(self) -> dict[str, list[str]]:
        return {name: list(app.copies) for name, app in sorted(self._apps.items())}

    def show_peers(self) -> dict[str, dict[str, Any]]:
        return {
            uuid: {
                "uuid": uuid,
                "endpoints": [list(endpoint) for endpoint in peer.endpoints],
                "connected": peer.link is not None,
                "last_active": int(peer.last_active),
                "extra": dict(peer.extra),
            }
            for uuid, peer in sorted(self._peers.items())
            if peer.endpoints
        }

    def report(self) -> dict[str, Any]:
        refusals = {
            uuid: peer.refusal
            for uuid, peer in sorted(self._peers.items())
            if peer.refusal
        }
        silent = [uuid for uuid, peer in sorted(self._peers.items()) if peer.is_silent]
        problem = ""
        if refusals:
            problem = (
                f"no connection to {', '.join(refusals)}; are their node services"
                " reachable from here?"
            )
        elif silent:
            problem = f"no sign of life from {', '.join(silent)}; are they running?"
        elif self._surplus:
            problem = (
                f"{len(self._surplus)} apps are not relayed, since {VIRTUAL_LIMIT} are"
                " already; divide the cluster"
            )
        return {
            "policy": self.args.balancer.args.policy,
            "apps": {
                name: {
                    "nodes": len(app.copies),
                    "reachable": app.is_reachable,
                    "accepted": app.accepted,
                    "retried": app.retried,
                    "refused": app.refusals,
                }
                for name, app in sorted(self._apps.items())
            },
            "peers": {
                uuid: {
                    "requests": len(peer.link.invocations) if peer.link else 0,
                    "well": peer.is_well,
                    "refusal": peer.refusal,
                }
                for uuid, peer in sorted(self._peers.items())
            },
            "problem": problem,
        }
