# -*- test-case-name: cocained.test.test_rpc_wire -*-
"""
Sessions on Twisted transports.

A thin adaptor: bytes go to the :class:`~cocained.rpc.session.Session`, what it
writes goes to the transport, and the transport's pauses become the session's
congestion.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import termios
from array import array
from collections import deque
from collections.abc import Callable
from copy import copy
from functools import partial
from typing import NamedTuple

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IPushProducer,
    ITCPTransport,
    ITransport,
)
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from cocained.errors import ASIO_EOF, Category, CocainedError, RemoteError
from cocained.interfaces import IReactor
from cocained.rpc.codec import ARRAY_LIMIT, FRAME_LIMIT
from cocained.rpc.roles import Root
from cocained.rpc.session import CHANNEL_LIMIT, Session
from cocained.rpc.turn import Turn

log = Logger()


class Limits(NamedTuple):
    """
    What one peer may take; from ``limits`` in the configuration.

    :param frame: largest frame, in bytes.
    :param channels: open channels per connection.
    :param connections: connections per service.
    :param write_stall: seconds that a peer may leave its full socket unread.
    """

    frame: int = FRAME_LIMIT
    channels: int = CHANNEL_LIMIT
    connections: int = 16384
    write_stall: float = 60.0


#: Seconds that a closed connection may need to take our last bytes.
CLOSE_TIMEOUT = 10.0

#: Bytes given to a transport at once.  A peer that takes so many within
#: ``write_stall`` is slow, one that does not has stopped reading.
WINDOW = 262144


def end_of_file() -> RemoteError:
    """What channels are told when their peer has gone."""
    return RemoteError(Category.ASIO_MISC, ASIO_EOF, "End of file")


def cancelled() -> RemoteError:
    """What channels are told when we ended the connection."""
    return RemoteError(
        Category.ASIO_SYSTEM, errno.ECANCELED, os.strerror(errno.ECANCELED)
    )


class Wiring:
    """
    What all connections of a process share.

    :param reactor: time and sockets.
    :param limits: what a peer may take.
    """

    def __init__(self, reactor: IReactor, limits: Limits | None = None) -> None:
        self.reactor = reactor
        self.limits = Limits() if limits is None else limits
        self.turn = Turn(
            reactor.seconds, lambda function: reactor.callLater(0, function)
        )

    def within(self, limits: Limits) -> Wiring:
        """Give the same wiring, for connections with limits of their own."""
        other = copy(self)
        other.limits = limits
        return other


@implementer(IPushProducer)
class SessionProtocol(Protocol):
    """
    One connection.

    :param wiring: shared by all of them.
    :param root: takes new channels; ``None`` where only we open them.
    :param hold_itself: see :class:`~cocained.rpc.session.Session`.
    :param array_limit: most elements of an array in a frame.
    """

    transport: ITransport

    def __init__(
        self,
        wiring: Wiring,
        root: Root | None,
        hold_itself: bool = True,
        array_limit: int = ARRAY_LIMIT,
    ) -> None:
        self._wiring = wiring
        self._turn = wiring.turn
        self._closer: IDelayedCall | None = None
        self._stall: IDelayedCall | None = None
        self._closed = False
        self._rest: deque[memoryview] = deque()
        self._put: Callable[[bytes], None]
        #: called once with this protocol when the connection is gone
        self.on_lost: Callable[[SessionProtocol], None] | None = None
        self.session = Session(
            wiring.turn,
            self,
            root,
            frame_limit=wiring.limits.frame,
            channel_limit=wiring.limits.channels,
            hold_itself=hold_itself,
            array_limit=array_limit,
        )

    @override
    def connectionMade(self) -> None:
        transport = self.transport
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
        if isinstance(transport, FileDescriptor):
            self._put = partial(self._put_now, transport)
        else:
            self._put = transport.write
        transport.registerProducer(self, True)  # type: ignore[attr-defined]

    @override
    def dataReceived(self, data: bytes) -> None:
        turn = self._turn
        turn.begin()
        try:
            self.session.receive(data)
        except Exception:
            log.failure("a frame could not be dispatched")
            self.abort()
        finally:
            turn.end()
        if self.session.fault is not None:
            log.info(
                "closing the connection of {peer}: {fault}",
                peer=self.transport.getPeer(),
                fault=self.session.fault,
            )

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        for call in (self._closer, self._stall):
            if call is not None and call.active():
                call.cancel()
        self._closed = True
        self._turn.begin()
        try:
            self.session.lost(self._why(reason))
        finally:
            self._turn.end()
        if self.on_lost is not None:
            self.on_lost(self)

    def _why(self, reason: Failure) -> CocainedError:
        if self.session.fault is not None:
            return self.session.fault
        if self._closer is not None:
            return cancelled()
        if isinstance(reason.value, ConnectionDone):
            return end_of_file()
        return RemoteError(
            Category.ASIO_SYSTEM, errno.ECONNRESET, os.strerror(errno.ECONNRESET)
        )

    # Link, for the session

    def write(self, data: bytes) -> None:
        if len(data) <= WINDOW and not self._rest:
            self._put(data)
            return
        self._rest.append(memoryview(data))
        self._write_rest()

    def _write_rest(self) -> None:
        """Write what waits, until the transport is full."""
        while self._rest and self._stall is None:
            view = self._rest.popleft()
            if len(view) > WINDOW:
                self._rest.appendleft(view[WINDOW:])
            self._put(bytes(view[:WINDOW]))

    def _put_now(self, transport: FileDescriptor, data: bytes) -> None:
        """
        Give the socket what it takes at once, and the transport the rest.

        Nearly always it takes everything.  That spares the reactor a turn, and
        the poller two system calls.  What it does not take makes the transport
        full, whatever its own idea of that is: so it is empty if not paused.
        """
        if self._stall is None:
            while data:
                sent = transport.writeSomeData(data)
                # An exception is left to the reactor: it comes again there.
                if isinstance(sent, BaseException) or not sent:
                    break
                data = data[sent:]
            else:
                return
        transport.write(data)
        if self._stall is None:
            transport.producerPaused = True
            self.pauseProducing()

    def pause(self) -> None:
        if not self._closed:
            self.transport.pauseProducing()  # type: ignore[attr-defined]

    def resume(self) -> None:
        if not self._closed:
            self.transport.resumeProducing()  # type: ignore[attr-defined]

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        while self._rest:
            self.transport.write(bytes(self._rest.popleft()))
        self.transport.unregisterProducer()  # type: ignore[attr-defined]
        self.transport.loseConnection()
        self._closer = self._wiring.reactor.callLater(CLOSE_TIMEOUT, self._abort)

    def untaken(self) -> int:
        transport = self.transport
        if self._closed or not ITCPTransport.providedBy(transport):
            return 0
        count = array("i", [0])
        handle = transport.getHandle()  # type: ignore[attr-defined]
        fcntl.ioctl(handle, termios.TIOCOUTQ, count)
        return count[0]

    def abort(self) -> None:
        """End the connection now, unsent bytes and all."""
        self.close()
        self._abort()

    def _abort(self) -> None:
        self.transport.abortConnection()  # type: ignore[attr-defined]

    # IPushProducer, for the transport

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.session.congest()
        if self._stall is None:
            self._stall = self._wiring.reactor.callLater(
                self._wiring.limits.write_stall, self._stalled
            )

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        self._write_rest()
        if self._stall is None:
            self.session.drained()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The transport is gone; :meth:`connectionLost` does what is needed."""

    def _stalled(self) -> None:
        self._stall = None
        log.warn(
            "{peer} has not read for {seconds} s and is disconnected",
            peer=self.transport.getPeer(),
            seconds=self._wiring.limits.write_stall,
        )
        self.abort()


@implementer(IHalfCloseableProtocol)
class ServerProtocol(SessionProtocol):
    """A client's connection; it may shut down its side and still read."""

    def readConnectionLost(self) -> None:  # noqa: N802 - Twisted's name
        self._turn.begin()
        try:
            self.session.end(end_of_file())
        finally:
            self._turn.end()

    def writeConnectionLost(self) -> None:  # noqa: N802 - Twisted's name
        self.abort()


class ServiceFactory(ServerFactory):
    """
    Accepts the clients of one service.

    :param wiring: shared by all connections.
    :param root: the service.
    :param name: of the service, for the log.
    """

    noisy = False

    def __init__(self, wiring: Wiring, root: Root, name: str) -> None:
        self._wiring = wiring
        self._root = root
        self._name = name
        self._refused = 0
        self.connections: set[SessionProtocol] = set()

    @override
    def buildProtocol(self, addr: IAddress | None) -> SessionProtocol | None:
        if len(self.connections) >= self._wiring.limits.connections:
            if not self._refused:
                log.warn(
                    "service {service} has {limit} connections and refuses more;"
                    " see limits.connections",
                    service=self._name,
                    limit=self._wiring.limits.connections,
                )
            self._refused += 1
            return None
        self._refused = 0
        protocol = ServerProtocol(self._wiring, self._root)
        protocol.factory = self
        protocol.on_lost = self.connections.discard
        self.connections.add(protocol)
        return protocol

    @property
    def owed(self) -> int:
        """Calls that wait for their answers."""
        return sum(protocol.session.owed for protocol in self.connections)

    def close(self) -> None:
        """End all connections, once their answers have been sent."""
        for protocol in list(self.connections):
            protocol.session.hang_up(cancelled())


def numeric_addresses(host: str) -> list[str]:
    """Resolve *host* to the texts of its addresses, v4 first, blocking."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    texts = [str(entry[4][0]) for entry in found]
    return sorted(dict.fromkeys(texts), key=lambda text: ":" in text)
