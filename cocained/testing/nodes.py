# -*- test-case-name: cocained.test.test_testing -*-
"""
Nodes, directories and isolates of which a test has the strings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from cocained.component import Component, NoArgs
from cocained.errors import CocainedError, ConfigError, DoorError, UnknownPlugin
from cocained.interfaces import (
    IDirectory,
    IDoor,
    IExposure,
    IIsolate,
    INode,
    IReactor,
    IRemoteService,
    IStorage,
    IUnicorn,
    IWorkerHandle,
    IWorkerObserver,
    Withdrawn,
)
from cocained.rpc.dispatch import Dispatch
from cocained.rpc.wire import Limits, ServerProtocol, Wiring
from cocained.status import exit_reason
from cocained.testing.peers import Peer
from cocained.testing.reactor import MemoryReactor, PumpedReactor

#: Where :class:`MemoryDirectory` says that the locator is.
LOCATOR = ("127.0.0.1", 10053)


@implementer(IWorkerHandle)
class MemorySpawn:
    """
    One call of :meth:`MemoryIsolate.spawn`, and the worker that came of it.

    :ivar asked: how often it was asked to end.
    :ivar killed: how often it was killed.
    :ivar cancelled: whether the node gave it up before it was ready.
    :ivar resources: what :meth:`usage` says while it lives.
    """

    def __init__(
        self,
        isolate: MemoryIsolate,
        executable: str,
        arguments: Mapping[str, str],
        environment: Mapping[str, str],
        observer: IWorkerObserver,
    ) -> None:
        self._isolate = isolate
        self.identity = f"memory {len(isolate.spawns) + 1}"
        self.executable = executable
        self.arguments = dict(arguments)
        self.environment = dict(environment)
        self.observer = observer
        self.asked = 0
        self.killed = 0
        self.cancelled = False
        self.resources: Mapping[str, float] | None = None
        self.alive = False
        self.deferred: Deferred[IWorkerHandle] = Deferred(self._cancel)

    @property
    def uuid(self) -> str:
        return self.arguments["--uuid"]

    def _cancel(self, deferred: Deferred[IWorkerHandle]) -> None:
        self.cancelled = True

    def ready(self) -> None:
        """The worker's program runs."""
        self.alive = True
        self.deferred.callback(self)

    def fail(self, error: Exception) -> None:
        """The worker cannot be started."""
        self.deferred.errback(error)

    def output(self, data: bytes) -> None:
        """The worker prints."""
        self.observer.output(data)

    def exit(self, status: int = 0) -> None:
        """The worker has ended; *status* is negative for signals."""
        if self.alive:
            self.alive = False
            self.observer.exited(*exit_reason(status))

    def terminate(self) -> None:
        self.asked += 1
        if self._isolate.obedient:
            self._isolate.node.reactor.callLater(0, self.exit, -15)

    def usage(self) -> Mapping[str, float] | None:
        return self.resources if self.alive else None

    def kill(self) -> None:
        self.killed += 1
        if self._isolate.obedient:
            self._isolate.node.reactor.callLater(0, self.exit, -9)


@implementer(IIsolate)
class MemoryIsolate(Component[NoArgs]):
    """
    An isolate whose workers live in the test.

    :ivar spawns: everything that was spawned, in order.
    :ivar slow: whether spooling and spawning wait for the test.
    :ivar refusal: fails whatever is asked next, until it is ``None`` again.
    :ivar obedient: whether workers end when they are told to.
    """

    def __init__(self, node: INode, name: str, args: NoArgs | None = None) -> None:
        super().__init__(node, name, args or NoArgs())
        self.spawns: list[MemorySpawn] = []
        self.spools: list[Deferred[None]] = []
        self.slow = False
        self.refusal: Exception | None = None
        self.obedient = True
        self.starts = 0
        self.stops = 0

    def start(self) -> Deferred[None] | None:
        self.starts += 1
        return None

    def stop(self) -> Deferred[None] | None:
        self.stops += 1
        return None

    def spool(self) -> Deferred[None]:
        spooled: Deferred[None] = Deferred()
        self.spools.append(spooled)
        if self.refusal is not None:
            spooled.errback(self.refusal)
        elif not self.slow:
            spooled.callback(None)
        return spooled

    def spawn(
        self,
        executable: str,
        arguments: Mapping[str, str],
        environment: Mapping[str, str],
        observer: IWorkerObserver,
    ) -> Deferred[IWorkerHandle]:
        spawn = MemorySpawn(self, executable, arguments, environment, observer)
        self.spawns.append(spawn)
        if self.refusal is not None:
            spawn.fail(self.refusal)
        elif not self.slow:
            spawn.ready()
        return spawn.deferred


@implementer(IDoor)
class MemoryDoor:
    """
    A door that leads nowhere.

    :ivar is_open: whether nobody has closed it.
    """

    def __init__(
        self, path: str, services: frozenset[str], inside: str, uid: int, gid: int
    ) -> None:
        self.path = path
        self.services = services
        self.inside = inside
        self.owner = (uid, gid)
        self.locator = f"{inside}/locator:0"
        self.is_open = True

    def admits(self, name: str) -> bool:
        return name == "locator" or name in self.services

    def offer(
        self, name: str
    ) -> tuple[Sequence[tuple[str, int]], int, Mapping[int, Any]] | None:
        return ([(f"{self.inside}/{name}", 0)], 1, {}) if self.admits(name) else None

    def close(self) -> Deferred[None]:
        self.is_open = False
        return succeed(None)


@implementer(IDirectory)
class MemoryDirectory:
    """
    Services without ports.

    :param node: whose services they are.

    :ivar services: those that are exposed, by name.
    :ivar quiet: names of those that nobody is told of.
    :ivar doors: that were opened, in order.
    :ivar refusal: fails the next one, until it is ``None`` again.
    :ivar has_shared: whether there are ports to reserve.
    :ivar free: the ports that may be reserved, first come first served.
    :ivar hosts: where they are.
    :ivar reserved: ports by name.
    """

    def __init__(self, node: FakeNode) -> None:
        self._node = node
        self.doors: list[MemoryDoor] = []
        self.refusal: DoorError | None = None
        self.services: dict[str, IRemoteService] = {}
        self.quiet: set[str] = set()
        self.has_shared = True
        self.free = list(range(20000, 20100))
        self.hosts = ["127.0.0.1", "::1"]
        self.reserved: dict[str, int] = {}

    def expose(
        self, name: str, service: IRemoteService, announce: bool = True
    ) -> Deferred[None]:
        if name in self.services:
            return fail(CocainedError(f"a service {name!r} exists already"))
        self.services[name] = service
        if not announce:
            self.quiet.add(name)
        return succeed(None)

    def remove(self, name: str) -> Deferred[None]:
        self.services.pop(name, None)
        self.quiet.discard(name)
        return succeed(None)

    def subscribe(self, observer: IExposure) -> None:
        """Nobody is told anything."""

    def unsubscribe(self, observer: IExposure) -> None:
        """See :meth:`subscribe`."""

    def endpoints(self, name: str) -> Sequence[tuple[str, int]]:
        return [LOCATOR] if name == "locator" or name in self.services else []

    def open_door(
        self,
        path: str,
        services: Iterable[str],
        inside: str | None = None,
        uid: int = -1,
        gid: int = -1,
    ) -> IDoor:
        if self.refusal is not None:
            raise self.refusal
        door = MemoryDoor(path, frozenset(services), inside or path, uid, gid)
        self.doors.append(door)
        return door

    def withdrawn(self, name: str) -> Withdrawn | None:
        if self._node.state == "serving" or name not in self.services:
            return None
        protocol = self.services[name].protocol
        return Withdrawn([LOCATOR], protocol.version, protocol.graph, True)

    def reserve(self, name: str) -> Sequence[tuple[str, int]]:
        if name in self.reserved or not self.free:
            raise CocainedError(f"no port for {name!r}")
        port = self.reserved[name] = self.free.pop(0)
        return [(host, port) for host in self.hosts]

    def release(self, name: str) -> None:
        if name in self.reserved:
            self.free.append(self.reserved.pop(name))


class StubNode:
    """As much of a node as storages and loggers use."""

    def __init__(self, reactor: Any = None) -> None:
        self.reactor = reactor or PumpedReactor()

    def resolve(self, path: str) -> str:
        """Relative paths start at the current directory."""
        return os.path.abspath(path)


def stub_node(reactor: Any = None) -> Any:
    """Make a :class:`StubNode`; typed loosely, since it is no whole node."""
    return StubNode(reactor)


@implementer(INode)
class FakeNode:
    """
    A node of doubles.

    :param runtime: directory of sockets; nothing is made in it.
    :param limits: of its connections.

    :ivar clock: its reactor, as a test uses it.
    :ivar storages: by name; a test puts them there.
    :ivar unicorns: the same.
    :ivar factories: of plugins, by category and type.
    :ivar state: ``serving``, ``draining`` or ``drained``.
    :ivar drains: the time that each drain was given, and its end, which is the
        test's to fire.
    :ivar at_rest: whether a drain is over at once.
    """

    uuid = "6b1c2a34-0000-4000-8000-000000000000"
    spool = "/nonexistent/spool"
    patience = 5.0

    def __init__(
        self, runtime: str = "/nonexistent/run", limits: Limits | None = None
    ) -> None:
        self.clock = MemoryReactor()
        self.reactor = cast(IReactor, self.clock)
        self.runtime = runtime
        self.wiring = Wiring(self.reactor, limits)
        self.directory = MemoryDirectory(self)
        self.storages: dict[str, IStorage] = {}
        self.unicorns: dict[str, IUnicorn] = {}
        self.factories: dict[tuple[str, str], Callable[..., Any]] = {
            ("isolate", "memory"): MemoryIsolate
        }
        self.state = "serving"
        self.at_rest = False
        self.drains: list[tuple[float | None, Deferred[None]]] = []

    def resolve(self, path: str) -> str:
        return path if path.startswith("/") else f"/nonexistent/{path}"

    def storage(self, name: str) -> IStorage:
        try:
            return self.storages[name]
        except KeyError:
            raise ConfigError(f"there is no storage {name!r}") from None

    def unicorn(self, name: str) -> IUnicorn:
        try:
            return self.unicorns[name]
        except KeyError:
            raise ConfigError(f"there is no unicorn {name!r}") from None

    def component(self, category: str, type: str, name: str, args: Any) -> Any:
        factory = self.factories.get((category, type))
        if factory is None:
            raise UnknownPlugin(f"there is no {category} of type {type!r}")
        return factory(self, name, None)

    def report(self) -> Mapping[str, Any]:
        return {
            "uuid": self.uuid,
            "version": "0",
            "uptime": self.clock.seconds(),
            "state": self.state,
            "components": {},
            "problems": [],
        }

    def progress(self) -> Mapping[str, Any]:
        return {
            "state": self.state,
            "requests": 0,
            "apps": 0,
            "seconds": 0.0,
            "settling": 0.0,
        }

    def drain(self, timeout: float | None = None) -> Deferred[None]:
        def drained(result: Any) -> Any:
            self.state = "drained"
            return result

        ended: Deferred[None] = Deferred()
        self.state = "draining"
        self.drains.append((timeout, ended))
        if self.at_rest:
            ended.callback(None)
        return ended.addCallback(drained)

    def resume(self) -> Deferred[None]:
        self.state = "serving"
        return succeed(None)

    def client(self, service: Any) -> Peer:
        """Connect a client to a service, which need not be exposed."""
        return Peer(self.clock, ServerProtocol(self.wiring, Dispatch(service)))
