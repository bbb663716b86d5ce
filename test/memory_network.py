# ruff: noqa: N802, N803, N815 - these doubles have the names of what they double
"""
A network in memory: connections between protocols of one process, on a clock.

Nothing moves by itself: :meth:`MemoryNetwork.flush` carries bytes until nobody
has anything to say any more.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.error import (
    CannotListenError,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    TimeoutError,
    UserError,
)
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from cocained.interfaces import IReactor
from cocained.rpc.codec import Decoder, encode
from cocained.rpc.dispatch import Dispatch
from cocained.rpc.graph import Root
from cocained.rpc.headers import UNTRACED
from cocained.rpc.wire import Limits, ServiceFactory, Wiring

#: Bytes after which a transport asks for a pause, as Twisted's do.
BUFFER = 65536


class MemoryTransport:
    """
    One end of a connection.

    :param address: of the other end, as it is told to its protocol.
    """

    def __init__(self, network: MemoryNetwork, address: IPv4Address) -> None:
        self._network = network
        self._address = address
        self.peer: MemoryTransport = self
        self.protocol: Any = None
        self.buffer = bytearray()
        self.paused = False
        self.losing = False
        self.lost = False
        self.frozen = False
        self.producer: Any = None
        self._choked = False

    def write(self, data: bytes) -> None:
        if self.lost or self.losing:
            return
        self.buffer += data
        if len(self.buffer) > BUFFER and self.producer and not self._choked:
            self._choked = True
            self.producer.pauseProducing()

    def deliver(self) -> bool:
        """Carry some bytes to the peer; says whether anything happened."""
        if self.lost or self.frozen:
            return False
        if self.buffer and not self.peer.paused:
            data = bytes(self.buffer[:BUFFER])
            del self.buffer[:BUFFER]
            self.peer.protocol.dataReceived(data)
            if not self.buffer and self._choked:
                self._choked = False
                if self.producer:
                    self.producer.resumeProducing()
            return True
        if self.losing and not self.buffer:
            self.end(Failure(ConnectionDone()))
            return True
        return False

    def end(self, reason: Failure) -> None:
        """Lose the connection at both ends; the far one does not hear if it froze."""
        for end in (self,) if self.frozen else (self, self.peer):
            if not end.lost:
                end.lost = True
                end.protocol.connectionLost(reason)

    def loseConnection(self) -> None:
        self.losing = True

    def abortConnection(self) -> None:
        self._network.callLater(0, self.end, Failure(ConnectionLost()))

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def getPeer(self) -> IPv4Address:
        return self._address

    getHost = getPeer


class _Connector:
    def __init__(self, factory: Any) -> None:
        self._factory = factory
        self.done = False

    def fail(self, error: Exception) -> None:
        if not self.done:
            self.done = True
            self._factory.clientConnectionFailed(self, Failure(error))

    def stopConnecting(self) -> None:
        self.fail(UserError())

    def getDestination(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.1", 1)


class MemoryPort:
    """A port at which a factory listens until it is told to stop."""

    def __init__(
        self, network: MemoryNetwork, address: tuple[str, int], factory: Any
    ) -> None:
        self._network = network
        self._address = address
        if address in network.listeners:
            raise CannotListenError(*address, OSError(errno.EADDRINUSE, "taken"))
        network.listeners[address] = factory

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", *self._address)

    def stopListening(self) -> None:
        self._network.listeners.pop(self._address, None)


@implementer(IReactorTime)
class MemoryNetwork(Clock):
    """
    A reactor whose connections lead to :attr:`listeners`.

    An address maps to a factory, or to ``None`` for one that never answers;
    all others refuse.
    """

    def __init__(self) -> None:
        super().__init__()
        self.listeners: dict[tuple[str, int], Factory | None] = {}
        self.attempts: list[tuple[str, int]] = []
        self.links: list[tuple[MemoryTransport, MemoryTransport]] = []
        self.wiring = Wiring(cast(IReactor, self), Limits())

    def listen(self, address: tuple[str, int], service: Any) -> ServiceFactory:
        """Serve *service*, an object with a ``protocol``."""
        factory = ServiceFactory(self.wiring, Dispatch(service), "test")
        self.listeners[address] = factory
        return factory

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> MemoryPort:
        number = port or max(p for _, p in [*self.listeners, ("", 39999)]) + 1
        return MemoryPort(self, (interface, number), factory)

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30,
        bindAddress: Any = None,
    ) -> _Connector:
        address = (host, port)
        self.attempts.append(address)
        connector = _Connector(factory)
        factory.doStart()
        factory.startedConnecting(connector)
        if address not in self.listeners:
            self.callLater(0, connector.fail, ConnectionRefusedError())
        elif self.listeners[address] is None:
            self.callLater(timeout, connector.fail, TimeoutError())
        else:
            self.callLater(0, self._connect, connector, factory, address)
        return connector

    def _connect(
        self, connector: _Connector, factory: Any, address: tuple[str, int]
    ) -> None:
        listener = self.listeners.get(address)
        if connector.done or listener is None:
            connector.fail(ConnectionRefusedError())
            return
        connector.done = True
        peer = IPv4Address("TCP", *address)
        near = MemoryTransport(self, peer)
        far = MemoryTransport(self, IPv4Address("TCP", "192.0.2.1", 1))
        near.peer, far.peer = far, near
        far.protocol = listener.buildProtocol(peer)
        near.protocol = factory.buildProtocol(peer)
        self.links.append((near, far))
        far.protocol.makeConnection(far)
        near.protocol.makeConnection(near)

    def flush(self) -> None:
        """Carry bytes, and run what is due, until all is quiet."""
        busy = True
        while busy:
            self.advance(0)
            moved = [end.deliver() for link in self.links for end in link]
            busy = any(moved) or any(
                call.getTime() <= self.seconds() for call in self.calls
            )

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with bytes carried before and after."""
        self.flush()
        self.advance(seconds)
        self.flush()

    def cut(self) -> None:
        """Lose all connections, as when the other machine goes down."""
        for near, _ in self.links:
            near.end(Failure(ConnectionDone()))
        self.flush()

    def freeze(self, *addresses: tuple[str, int]) -> None:
        """
        Let the machines at these addresses take nothing more and say nothing.

        Connections stay, as when a cable is pulled; new ones get no answer.
        """
        for near, far in self.links:
            peer = near.getPeer()
            if (peer.host, peer.port) in addresses:
                near.frozen = far.frozen = True
        for address in addresses:
            self.listeners[address] = None


class Raw:
    """
    A server that does what a test tells it, frame by frame.

    :param react: takes a decoded frame, gives bytes to answer with.
    """

    def __init__(self, react: Callable[[Any], bytes]) -> None:
        self._react = react
        self._decoder = Decoder()
        self.frames: list[Any] = []
        self.transport: Any = None
        self.lost = False

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport

    def dataReceived(self, data: bytes) -> None:
        for frame in self._decoder.decode(data):
            self.frames.append(frame)
            answer = self._react(frame)
            if answer:
                self.transport.write(answer)

    def connectionLost(self, reason: Failure) -> None:
        self.lost = True


class RawFactory(Factory):
    """Accepts each connection with a :class:`Raw` of its own."""

    noisy = False

    def __init__(self, react: Callable[[Any], bytes]) -> None:
        self._react = react
        self.raw: list[Raw] = []

    def buildProtocol(self, addr: Any) -> Any:
        self.raw.append(Raw(self._react))
        return self.raw[-1]


def reply(channel: int, kind: int, *args: Any) -> bytes:
    """A packed frame."""
    return encode(channel, kind, list(args), UNTRACED)


def graph_on_the_wire(graph: Root) -> Any:
    """A graph as one packs it."""
    return {number: list(entry) for number, entry in graph.items()}
