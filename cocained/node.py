# -*- test-case-name: cocained.test.test_node -*-
"""
One node: what its configuration says, built in order, started in order and
stopped in reverse.

::

    loggers ─▶ storages ─▶ unicorns ─▶ services ─▶ ports                    start
    withdrawn ─▶ ports closed ─▶ drained                                     stop
              ─▶ services ─▶ unicorns ─▶ storages ─▶ loggers
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from cocained._version import __version__
from cocained.bounded import BoundedStorage
from cocained.config import ComponentConfig, NodeConfig
from cocained.directory import Directory
from cocained.draining import Draining
from cocained.errors import AppStopped, CocainedError, ConfigError, NotDrained
from cocained.interfaces import (
    IComponent,
    ILogger,
    INode,
    IReactor,
    IRemoteService,
    IStorage,
    IUnicorn,
)
from cocained.overview import overview
from cocained.ports import Ports
from cocained.repository import Repository
from cocained.rpc.wire import Limits, Wiring, numeric_addresses

log = Logger()

#: Storage that every node needs: apps and their documents live there.
CORE = "core"

#: Service through which clients find all others, to the last.
LOCATOR = "locator"

#: Seconds for which calls are refused before their connections are closed, if
#: the node settles at all: a busy client hears in time that it has to go elsewhere.
#: Who finds its connection closed does not know what became of its last call.
FAREWELL = 1.0

#: Seconds between looks at whether the last answers have been given.
LOOK = 0.05

_LEVELS = {
    "debug": LogLevel.debug,
    "info": LogLevel.info,
    "warning": LogLevel.warn,
    "error": LogLevel.error,
}


class Log:
    """
    The log of a node: all events of some severity, to all of its loggers.

    :param severity: the least that is logged.
    :param loggers: where it goes.
    """

    def __init__(self, severity: str, loggers: list[ILogger]) -> None:
        self._least = _LEVELS[severity]
        self._loggers = loggers

    def __call__(self, event: Mapping[str, Any]) -> None:
        level = event.get("log_level", LogLevel.info)
        if level is LogLevel.info and event.get("log_namespace") == "log_legacy":
            # Twisted's ports still tell of each start and stop this way.
            level = LogLevel.debug
        if level >= self._least:
            for logger in self._loggers:
                logger(event)

    def reopen(self) -> None:
        """Open files anew, for log rotation."""
        for logger in self._loggers:
            logger.reopen()


@implementer(INode)
class Node(Service):
    """
    The root service.

    Building it checks the whole configuration and touches nothing.

    :param reactor: the reactor.
    :param config: what to build.
    :param repository: from what.
    :param failed: called when the start fails after the reactor has begun.
    :raises CocainedError: it cannot be built; the text says what is wrong.
    """

    name = "cocained"

    def __init__(
        self,
        reactor: IReactor,
        config: NodeConfig,
        repository: Repository,
        failed: Callable[[Failure], None],
    ) -> None:
        self.reactor = reactor
        self.config = config
        self.uuid = config.uuid or str(uuid4())
        self.runtime = config.paths.runtime
        self.spool = config.paths.spool
        self.patience = config.shutdown.kill
        self._repository = repository
        self._failed = failed
        self._started: list[IComponent] = []
        self._starting: Deferred[None] | None = None
        self._since = reactor.seconds()
        limits = config.limits
        self.wiring = Wiring(
            reactor,
            Limits(
                frame=limits.frame,
                connections=limits.connections,
                write_stall=limits.write_stall,
            ),
        )
        network = config.network
        self.directory = Directory(
            self.wiring,
            network.endpoint,
            _addresses(config),
            Ports(network.pinned, network.shared),
        )
        self._loggers: list[ILogger] = [
            self._build("logger", ("logging", "loggers", index), str(index), logger)
            for index, logger in enumerate(config.logging.loggers)
        ]
        self.log = Log(config.logging.severity, self._loggers)
        storages: dict[str, IStorage] = {
            name: self._build("storage", ("storages", name), name, storage)
            for name, storage in sorted(config.storages.items())
        }
        self._storages: dict[str, IStorage] = {
            name: BoundedStorage(storage, reactor, limits.storage)
            for name, storage in storages.items()
        }
        self._unicorns: dict[str, IUnicorn] = {
            name: self._build("unicorn", ("unicorns", name), name, unicorn)
            for name, unicorn in sorted(config.unicorns.items())
        }
        self._services: dict[str, IRemoteService] = {
            name: self._build("service", ("services", name), name, service)
            for name, service in sorted(config.services.items())
        }
        #: who may have something to report, by the place in the configuration
        self._components: dict[str, IComponent] = {
            f"storages.{name}": storage for name, storage in storages.items()
        }
        for name, unicorn in self._unicorns.items():
            self._components[f"unicorns.{name}"] = unicorn
        for name, service in self._services.items():
            self._components[f"services.{name}"] = service
        self._draining = Draining(
            reactor,
            self.directory,
            self._services,
            config.shutdown.drain,
        )

    def _build(
        self,
        category: str,
        path: tuple[str | int, ...],
        name: str,
        component: ComponentConfig,
    ) -> Any:
        where = self.config.where.at(*path)
        try:
            return self._repository.build(
                category,
                component.type,
                self,
                name,
                component.args,
                where=where.at("args"),
            )
        except ConfigError as error:
            if error.line is not None:
                raise
            # About something that the component builds by itself.
            raise where.error(str(error)) from error
        except CocainedError as error:
            raise where.error(error.reason, ("type",)) from error

    # INode

    def resolve(self, path: str) -> str:
        return self.config.resolve(path)

    def storage(self, name: str) -> IStorage:
        try:
            return self._storages[name]
        except KeyError:
            raise self.config.where.error(
                f"there is no storage {name!r}, which is needed; add it",
                ("storages", name),
            ) from None

    def unicorn(self, name: str) -> IUnicorn:
        try:
            return self._unicorns[name]
        except KeyError:
            raise self.config.where.error(
                f"there is no unicorn {name!r}, which is needed; add it",
                ("unicorns", name),
            ) from None

    def component(
        self, category: str, type: str, name: str, args: Mapping[str, Any]
    ) -> Any:
        return self._repository.build(
            category, type, self, name, args, f"{category}.args"
        )

    def report(self) -> Mapping[str, Any]:
        return {
            "uuid": self.uuid,
            "version": __version__,
            "uptime": self.reactor.seconds() - self._since,
            "state": self._draining.state.value,
            **overview(self._components),
        }

    def progress(self) -> Mapping[str, Any]:
        return self._draining.progress()

    def drain(self, timeout: float | None = None) -> Deferred[None]:
        return self._draining.drained(timeout)

    def resume(self) -> Deferred[None]:
        if not self.running:
            return fail(AppStopped("the node is being stopped: Broken pipe"))
        return self._draining.resume()

    # Start

    @override
    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._not_started)

    def _prepare(self) -> None:
        """Make what the machine has to give; blocks shortly."""
        try:
            os.makedirs(self.runtime, mode=0o755, exist_ok=True)
        except OSError as error:
            raise self.config.where.error(
                f"the directory {self.runtime} cannot be made:"
                f" {error.strerror}; name one that the node may write to",
                ("paths", "runtime"),
            ) from error
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard == resource.RLIM_INFINITY or soft < hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        for note in self.config.notes:
            log.warn("configuration: {note}", note=note)

    async def _start(self) -> None:
        self._prepare()
        first = (*self._loggers, *self._storages.values(), *self._unicorns.values())
        for component in first:
            await self._start_one(component)
        for service in self._services.values():
            await self._start_one(service)
        if self.config.network.unix:
            self.directory.open_common_door(self.resolve(self.config.network.unix))
        # Nobody can call before everybody is there.
        for name, service in self._services.items():
            await self.directory.expose(name, service)
        # Only now has anybody heard of a service.
        self._draining.settle = self.config.settle
        log.info("node {uuid} is ready", uuid=self.uuid)

    async def _start_one(self, component: IComponent) -> None:
        self._started.append(component)
        await maybeDeferred(component.start)

    def _not_started(self, failure: Failure) -> None:
        if self.running:
            self._failed(failure)

    # Stop

    @override
    def stopService(self) -> Deferred[None]:
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        log.info("node {uuid} stops", uuid=self.uuid)
        if self._starting is not None:
            self._starting.cancel()
        await self._draining.settled()
        await self.directory.quiesce(keep=(LOCATOR,))
        await self._drain()
        services = self._services.values()
        for component in reversed(self._started):
            if component in services:
                await self._quietly(component.stop)
        # Those who would still write have all stopped.
        await self._take_leave()
        for component in reversed(self._started):
            if component not in services:
                await self._quietly(component.stop)

    async def _drain(self) -> None:
        seconds = self.config.shutdown.drain
        try:
            await self._draining.drained(seconds)
        except NotDrained:
            log.warn(
                "requests are still running after {seconds} s and are ended",
                seconds=seconds,
            )
            self._draining.give_up("the node stops")

    async def _take_leave(self) -> None:
        """Refuse what is new, answer what is not, and close all connections."""
        self.directory.refuse(
            AppStopped("the node is being stopped: Broken pipe"), keep=(LOCATOR,)
        )
        now = self.reactor.seconds()
        until = now + min(self._draining.settle, FAREWELL)
        late = now + self.config.shutdown.drain
        while now < until or (self.directory.owed and now < late):
            await deferLater(self.reactor, LOOK)
            now = self.reactor.seconds()
        await self.directory.close()

    async def _quietly(self, stop: Callable[[], Any]) -> None:
        try:
            await maybeDeferred(stop)
        except Exception:
            log.failure("a component did not stop in order")


def _addresses(config: NodeConfig) -> list[str]:
    """What is said of services: the address, or all of the host's."""
    network = config.network
    if network.endpoint not in ("::", "0.0.0.0"):
        return [network.endpoint]
    try:
        found = numeric_addresses(network.hostname)
    except (OSError, ValueError) as error:  # also of names that cannot be
        raise config.where.error(
            f"the name {network.hostname!r} has no address: {error};"
            " set it to a name or an address that clients can reach",
            ("network", "hostname"),
        ) from error
    if network.endpoint == "0.0.0.0":
        found = [address for address in found if ":" not in address] or found
    return found
