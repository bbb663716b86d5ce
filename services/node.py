# -*- test-case-name: cocained.test.test_services_node -*-
"""
The node service: starts and stops apps (protocol.md §6).
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Sequence
from typing import Annotated, Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred, DeferredList, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cocained.apps.app import App, AppState
from cocained.apps.invocation import Invocation
from cocained.apps.keys import MAX_SECONDS
from cocained.apps.library import Library
from cocained.apps.runlists import Follower
from cocained.apps.service import population_control
from cocained.component import Component
from cocained.errors import (
    AppExists,
    AppNotRunning,
    AppStopped,
    CocainedError,
    ConfigError,
    SpoolError,
)
from cocained.interfaces import INode, IRemoteService, IReporter, IResumable
from cocained.rpc.arguments import blob, optional, text, unsigned
from cocained.rpc.dispatch import Protocol
from cocained.rpc.graph import PRIMITIVE, STREAMING
from cocained.rpc.headers import Headers
from cocained.rpc.session import Session
from cocained.rpc.streams import Downstream

log = Logger()

#: Longest name of an app: it becomes a file name, with the pid behind it.
NAME_LIMIT = 200

#: Most broken apps that a report names.
NAMES_SHOWN = 10


class NodeArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Arguments of the node service."""

    runlist: Annotated[
        str, msgspec.Meta(description="Runlist whose apps are started with the node.")
    ] = ""
    runlist_refresh: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            le=MAX_SECONDS,
            description="From one look at the runlist to the next: apps that are new "
            "there are started, those that are gone end, and a changed profile is "
            "taken over. 0 = it is read at the start only. Ours.",
            extra={"unit": "seconds"},
        ),
    ] = msgspec.field(default=0.0, name="runlist-refresh")
    isolate_metrics: Annotated[
        bool, msgspec.Meta(description="Accepted for the original's sake.")
    ] = False
    isolate_metrics_poll_period_s: Annotated[
        int, msgspec.Meta(ge=1, description="Accepted for the original's sake.")
    ] = 5


@implementer(IRemoteService, IResumable, IReporter)
class NodeService(Component[NodeArgs]):
    """Types ``node`` and ``node::v2``."""

    Args = NodeArgs
    protocol = Protocol(version=1)

    def __init__(self, node: INode, name: str, args: NodeArgs) -> None:
        super().__init__(node, name, args)
        try:
            cache = node.storage("cache")
        except ConfigError:
            cache = None
        self._library = Library(node.storage("core"), cache)
        self._apps: dict[str, App] = {}
        #: apps that end and are known by name no more
        self._leaving: dict[App, None] = {}
        self._stopping = False
        self._follower: Follower | None = None
        if args.runlist:
            self._follower = Follower(
                self._library, args.runlist, args.runlist_refresh, self, node.reactor
            )

    # Life

    def start(self) -> Deferred[None] | None:
        if self._follower is not None:
            self._follower.start()
        return None

    def drain(self) -> Deferred[None] | None:
        self._cease()
        drains = [app.drain() for app in (*self._apps.values(), *self._leaving)]
        return Deferred.fromCoroutine(self._everywhere(drains))

    def resume(self) -> Deferred[None] | None:
        self._stopping = False
        resumed = Deferred.fromCoroutine(
            self._everywhere([app.resume() for app in self._apps.values()])
        )
        if self._follower is not None:
            self._follower.resume()
        return resumed

    def report(self) -> dict[str, Any]:
        events = [app.events for app in self._apps.values()]
        broken = [
            app.name for app in self._apps.values() if app.state is AppState.BROKEN
        ]
        report: dict[str, Any] = {
            "apps": len(events),
            "busy": sum(map(bool, events)),
            "requests": sum(events),
        }
        if broken:
            names = ", ".join(sorted(broken)[:NAMES_SHOWN])
            more = " and others" if len(broken) > NAMES_SHOWN else ""
            report["problem"] = (
                f"broken apps: {names}{more}; their info says why, and what mends"
                " them is to start them again"
            )
        return report

    def stop(self) -> Deferred[None] | None:
        self._cease()
        return Deferred.fromCoroutine(self._stop())

    def _cease(self) -> None:
        """Start nothing any more."""
        self._stopping = True
        if self._follower is not None:
            self._follower.stop()

    async def _stop(self) -> None:
        apps, self._apps = self._apps, {}
        patience = self.node.patience
        leaving = (*apps.values(), *self._leaving)
        await self._everywhere([app.stop(patience) for app in leaving])

    async def _everywhere(
        self, coroutines: Iterable[Coroutine[Any, Any, None]]
    ) -> None:
        await DeferredList(
            [
                Deferred.fromCoroutine(coroutine).addErrback(_not_in_order)
                for coroutine in coroutines
            ]
        )

    # Host, for the follower of the runlist

    async def start_named(self, name: str, profile: str) -> None:
        await self._start(name, profile)

    def change_profile(self, name: str, profile: str) -> Deferred[None]:
        app = self._apps.get(name)
        if app is None:
            return succeed(None)
        return Deferred.fromCoroutine(app.update(profile))

    def let_go(self, name: str) -> None:
        app = self._apps.pop(name, None)
        if app is not None:
            self._end(app, app.leave())

    def _end(self, app: App, end: Coroutine[Any, Any, None]) -> None:
        """See an app off; the node does not stop before it is gone."""
        self._leaving[app] = None
        ending = Deferred.fromCoroutine(end)
        ending.addErrback(
            lambda failure: log.failure(
                "app {app} did not end in order", failure=failure, app=app.name
            )
        )
        ending.addCallback(lambda _: self._leaving.pop(app))

    # Methods

    @protocol.method(0, text, text)
    def start_app(self, name: str, profile: str) -> Deferred[None]:
        return Deferred.fromCoroutine(self._start(name, profile))

    async def _start(self, name: str, profile: str) -> None:
        _check_name(name)
        if self._stopping:
            raise AppStopped("the node is stopping and starts no app")
        present = self._apps.get(name)
        if present is not None and present.state is not AppState.BROKEN:
            raise AppExists(
                f"app '{name}' is {present.state.value}:"
                " application has already been started"
            )
        app = App(self.node, self._library, name, profile)
        # Known from here on, so that nobody starts it a second time.
        self._apps[name] = app
        try:
            await app.load()
        except BaseException:
            # As if it had never been asked for; a broken one stays for info.
            if self._apps.get(name) is app:
                del self._apps[name]
                if present is not None:
                    self._apps[name] = present
            raise
        await app.start()
        await self._settle(app)

    async def _settle(self, app: App) -> None:
        """Let an app rest that came up while the node was told to."""
        if self._stopping:
            await app.drain()

    @protocol.method(1, text)
    def pause_app(self, name: str) -> None:
        app = self._apps.pop(name, None)
        if app is None:
            raise AppNotRunning(
                f"app '{name}' is not running: application is not running"
            )
        if self._follower is not None:
            self._follower.forget(name)
        self._end(app, app.stop())

    @protocol.method(2)
    def list(self) -> Sequence[str]:
        return sorted(self._apps)

    @protocol.method(3, text, optional(unsigned, 0))
    def info(self, name: str, flags: int) -> dict[str, Any]:
        app = self._apps.get(name)
        if app is None:
            raise CocainedError(f"app '{name}' is not running: Invalid argument")
        return app.info(flags)

    @protocol.stream(4, text, dispatch=STREAMING, upstream=PRIMITIVE)
    def control(
        self, session: Session, channel: int, headers: Headers, name: str
    ) -> Downstream:
        app = self._running(name)
        if app.state is not AppState.RUNNING:
            # Its number of workers would go nowhere.
            raise AppNotRunning(
                f"app '{name}' is {app.state.value}: application is not running"
            )
        return population_control(app, session, channel)

    @protocol.stream(5, text, blob, dispatch=STREAMING, upstream=STREAMING)
    def enqueue(
        self,
        session: Session,
        channel: int,
        headers: Headers,
        name: str,
        event: bytes,
    ) -> Invocation:
        app = self._running(name)
        if app.state is not AppState.RUNNING:
            raise AppStopped(f"application {name} is {app.state.value}: Broken pipe")
        return app.enqueue(session, channel, headers, event)

    def _running(self, name: str) -> App:
        app = self._apps.get(name)
        if app is None:
            raise AppNotRunning(f"application {name} is not found")
        return app


def _not_in_order(failure: Failure) -> None:
    # Cancelled is what had no more time to drain; the node says so itself.
    if not failure.check(CancelledError):
        log.failure("an app did not end in order", failure=failure)


def _check_name(name: str) -> None:
    size = len(name.encode("utf-8", "surrogateescape"))
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise SpoolError(f"{name!r} cannot be the name of an app")
    if size > NAME_LIMIT:
        raise SpoolError(f"an app's name has at most {NAME_LIMIT} bytes, not {size}")
