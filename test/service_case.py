# ruff: noqa: N802 - these doubles have the names of what they double
"""
Services as their clients meet them, in memory.

A :class:`Client` talks to a service through the real dispatch and a real
session: what a test writes and reads are frames, as in the captures of
reference-behaviour.md.  A :class:`MemoryNode` is what the service was built by.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from cocained.component import Component, NoArgs
from cocained.directory import Directory
from cocained.errors import ConfigError, StorageError
from cocained.interfaces import (
    IGateway,
    IIsolate,
    IStorage,
    IWorkerHandle,
    IWorkerObserver,
)
from cocained.ports import Ports
from cocained.repository import Entry, Repository
from cocained.rpc.codec import Decoder, Pairs, pack
from cocained.rpc.dispatch import Dispatch
from cocained.rpc.headers import NO_TRACE
from cocained.rpc.session import Session
from cocained.rpc.wire import Wiring, end_of_file
from cocained.storages.memory import MemoryStorage

#: Graphs as they travel.
PRIM = {0: ["value", {}], 1: ["error", {}]}
STREAM = {0: ["write", None], 1: ["error", {}], 2: ["close", {}]}

#: The header list of every answer to a request without a trace.
TRIO = [
    [False, name.decode(), value.decode("latin-1")]
    for name, value in NO_TRACE.headers()
]

STORAGE_GRAPH = {
    0: ["read", {}, PRIM],
    1: ["write", {}, PRIM],
    2: ["remove", {}, PRIM],
    3: ["find", {}, PRIM],
}


class MemoryPort:
    """A listening port of :class:`PortReactor`."""

    def __init__(self, reactor: PortReactor, number: int, factory: Any) -> None:
        self._reactor = reactor
        self.number = number
        self.factory = factory
        self.listening = True

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", self.number)

    def stopListening(self) -> Deferred[None] | None:
        if self.listening:
            self.listening = False
            self._reactor.ports.pop(self.number, None)
            self._reactor.closed.append(self.number)
        return None


@implementer(IReactorThreads)
class PortReactor(MemoryReactorClock):
    """A machine with ports, some of which others may have taken."""

    #: The first port that the system chooses.
    FIRST = 40000

    def __init__(self) -> None:
        super().__init__()
        self.ports: dict[int, MemoryPort] = {}
        self.closed: list[int] = []
        self.taken: set[int] = set()
        self.refusal = errno.EADDRINUSE
        self.listened: list[tuple[int, str]] = []

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> Any:
        self.listened.append((port, interface))
        if port in self.taken or port in self.ports:
            code = self.refusal
            raise CannotListenError(interface, port, OSError(code, os.strerror(code)))
        number = port or max([self.FIRST - 1, *self.ports]) + 1
        self.ports[number] = MemoryPort(self, number, factory)
        return self.ports[number]

    def callFromThread(self, callable: Any, *args: Any, **kwargs: Any) -> None:
        self.callLater(0, callable, *args, **kwargs)

    def getThreadPool(self) -> Any:
        raise AssertionError("no threads here")

    def callInThread(self, callable: Any, *args: Any, **kwargs: Any) -> None:
        raise AssertionError("no threads here")

    def suggestThreadPoolSize(self, size: int) -> None:
        """There are no threads."""


class Client:
    """
    One connection to a service.

    :param wiring: of the node.
    :param service: has a ``protocol``.
    """

    def __init__(self, wiring: Wiring, service: Any) -> None:
        self._wiring = wiring
        self._decoder = Decoder()
        self._frames: list[Any] = []
        self.closed = False
        self.session = Session(wiring.turn, self, Dispatch(service))

    # Link

    def write(self, data: bytes) -> None:
        self._frames += self._decoder.decode(data)

    def pause(self) -> None:
        """Never asked to: what arrives is bounded by the test."""

    def resume(self) -> None:
        """See :meth:`pause`."""

    def close(self) -> None:
        self.closed = True

    def untaken(self) -> int:
        return 0

    # The client's side

    def send_raw(self, data: bytes) -> list[Any]:
        """Send bytes, in one packet; give the frames that come back at once."""
        self._wiring.turn.begin()
        try:
            self.session.receive(data)
        finally:
            self._wiring.turn.end()
        return self.receive()

    def send(self, *frames: list[Any]) -> list[Any]:
        """Send frames, in one packet; give those that come back at once."""
        return self.send_raw(b"".join(pack(frame) for frame in frames))

    def receive(self) -> list[Any]:
        """
        Give the frames that have come since the last look.

        Strings are text, maps are dictionaries, and the header list of frames
        without a trace is left out, after it has been looked at.
        """
        self.session.flush()
        frames, self._frames = self._frames, []
        received = []
        for frame in frames:
            values = plain(frame)
            assert len(values) == 4, values
            received.append(values[:3] if values[3] == TRIO else values)
        return received

    def lose(self) -> None:
        """The connection is gone."""
        self._wiring.turn.begin()
        try:
            self.session.lost(end_of_file())
        finally:
            self._wiring.turn.end()


def plain(value: Any) -> Any:
    """Give a decoded value with text for bytes and dictionaries for maps."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    if isinstance(value, Pairs):
        return {plain(key): plain(item) for key, item in value}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


class FlakyStorage(MemoryStorage):
    """A storage that refuses, or keeps one waiting, when a test says so."""

    def __init__(self, node: Any, name: str) -> None:
        super().__init__(node, name)
        #: what each read or find fails with
        self.refused: dict[str, StorageError] = {}
        #: reads that are answered when the test fires them
        self.held: dict[str, Deferred[None]] = {}
        self.reads: list[tuple[str, str]] = []

    def read(self, collection: str, key: str) -> Deferred[bytes]:
        self.reads.append((collection, key))
        if key in self.refused:
            return fail(self.refused[key])
        answer = super().read(collection, key)
        if key in self.held:
            return self.held[key].addCallback(lambda _: answer)
        return answer

    def find(self, collection: str, tags: Any) -> Deferred[list[str]]:
        if "find" in self.refused:
            return fail(self.refused["find"])
        return super().find(collection, tags)


@implementer(IWorkerHandle)
class StubHandle:
    """A worker's process, which ends when it is told to."""

    identity = "stub"

    def __init__(self, isolate: StubIsolate, observer: IWorkerObserver) -> None:
        self._isolate = isolate
        self._observer = observer
        self.ended = False

    def terminate(self) -> None:
        self._end("was killed by SIGTERM")

    def kill(self) -> None:
        self._end("was killed by SIGKILL")

    def usage(self) -> None:
        """Nobody knows."""

    def _end(self, reason: str) -> None:
        if not self.ended:
            self.ended = True
            self._isolate.node.reactor.callLater(0, self._observer.exited, reason, True)


@implementer(IIsolate)
class StubIsolate(Component[NoArgs]):
    """
    An isolate without processes.

    ``node.spooling`` says what its :meth:`spool` gives: nothing for success at
    once, an error, or a Deferred.
    """

    def __init__(self, node: Any, name: str, args: NoArgs) -> None:
        super().__init__(node, name, args)
        self.stopped = False
        self.spawned: list[tuple[dict[str, str], StubHandle]] = []
        node.isolates.append(self)

    def stop(self) -> None:
        self.stopped = True

    def spool(self) -> Deferred[None]:
        outcome = cast(Any, self.node).spooling
        if isinstance(outcome, Deferred):
            return outcome
        return succeed(None) if outcome is None else fail(outcome)

    def spawn(
        self,
        executable: str,
        arguments: Mapping[str, str],
        environment: Mapping[str, str],
        observer: IWorkerObserver,
    ) -> Deferred[IWorkerHandle]:
        handle = StubHandle(self, observer)
        self.spawned.append((dict(arguments), handle))
        return succeed(handle)


@implementer(IGateway)
class StubGateway(Component[NoArgs]):
    """A gateway that knows what a test put into :attr:`known`."""

    full = False

    def __init__(self, node: Any, name: str, args: NoArgs) -> None:
        super().__init__(node, name, args)
        self.known: dict[str, Any] = {}
        self._told: dict[tuple[str, str], Any] = {}
        self.asked: list[tuple[str, str]] = []
        self.life: list[str] = []
        node.gateways.append(self)

    def start(self) -> None:
        self.life.append("start")

    def stop(self) -> None:
        self.life.append("stop")

    def resolve(self, name: str, seed: str = "") -> Any:
        self.asked.append((name, seed))
        return self.known.get(name)

    def consume(
        self,
        uuid: str,
        name: str,
        endpoints: Any,
        version: int,
        graph: Any,
        extra: Mapping[str, Any],
    ) -> None:
        self.known[name] = self._told[uuid, name] = (endpoints, version, graph)

    def cleanup(self, uuid: str, name: str | None = None) -> None:
        for key in list(self._told):
            if key[0] == uuid and name in (None, key[1]):
                told = self._told.pop(key)
                if self.known.get(key[1]) is told:
                    del self.known[key[1]]


class FullGateway(StubGateway):
    """Decides by itself, for services of this node too."""

    full = True


_HERE = "cocained.test.service_case"

#: What a :class:`MemoryNode` can build.
ENTRIES = [
    Entry("isolate", "process", f"{_HERE}.StubIsolate"),
    Entry("gateway", "adhoc", "cocained.gateways.adhoc.AdhocGateway"),
    Entry("gateway", "stub", f"{_HERE}.StubGateway"),
    Entry("gateway", "full", f"{_HERE}.FullGateway"),
    Entry("cluster", "predefine", "cocained.clusters.predefine.PredefineCluster"),
]


class MemoryNode:
    """What services use of a node; ports, storages and workers in memory."""

    uuid = "11111111-2222-4333-8444-555555555555"
    spool = "/nonexistent"
    patience = 3.0

    def __init__(self, pinned: Mapping[str, int] | None = None) -> None:
        self.reactor = PortReactor()
        self.runtime = "/run/node"
        self.wiring = Wiring(cast(Any, self.reactor))
        self.directory = Directory(
            self.wiring, "127.0.0.1", ["127.0.0.1"], Ports(pinned or {}, (0, 0))
        )
        self.core = FlakyStorage(self, "core")
        self.storages: dict[str, IStorage] = {"core": self.core}
        self.isolates: list[StubIsolate] = []
        self.gateways: list[StubGateway] = []
        self.spooling: Any = None
        self._repository = Repository(ENTRIES)

    def resolve(self, path: str) -> str:
        return path

    def storage(self, name: str) -> IStorage:
        try:
            return self.storages[name]
        except KeyError:
            raise ConfigError(f"there is no storage {name!r}") from None

    def component(self, category: str, type: str, name: str, args: Any) -> Any:
        return self._repository.build(
            category, type, cast(Any, self), name, args, f"{category}.args"
        )


class MemoryWorker:
    """The program of a worker of :class:`StubIsolate`, after its handshake."""

    def __init__(self, node: MemoryNode, isolate: StubIsolate, number: int = 0) -> None:
        arguments = isolate.spawned[number][0]
        factories = {entry[0]: entry[1] for entry in node.reactor.unixServers}
        self._decoder = Decoder()
        self._transport = StringTransport()
        self._protocol = factories[arguments["--endpoint"]].buildProtocol(None)
        self._protocol.makeConnection(self._transport)
        self.send([1, 0, [arguments["--uuid"]]])

    def send(self, *frames: list[Any]) -> None:
        self._protocol.dataReceived(b"".join(pack(frame) for frame in frames))

    def receive(self) -> list[Any]:
        """Give the frames that have come, without their headers."""
        data = self._transport.value()
        self._transport.clear()
        return [plain(frame)[:3] for frame in self._decoder.decode(data)]


class LogCase(SynchronousTestCase):
    """Keeps the log events of a test."""

    def record_log(self) -> list[LogEvent]:
        """Give a list that grows with each event."""
        events: list[LogEvent] = []
        observer = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        return events


class ServiceCase(LogCase):
    """A node in memory, and clients of its services."""

    def setUp(self) -> None:
        self.node = MemoryNode()

    def connect(self, service: Any) -> Client:
        """Give a new connection to *service*."""
        return Client(self.node.wiring, service)

    def store(
        self, collection: str, key: str, document: Any, tags: tuple[str, ...] = ()
    ) -> None:
        """Write a packed document into the storage ``core``."""
        blob = document if isinstance(document, bytes) else pack(document)
        self.successResultOf(self.node.core.write(collection, key, blob, tags))
