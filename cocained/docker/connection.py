# -*- test-case-name: cocained.test.test_docker_transport -*-
"""
The one connection of a request, and what may come over it.

Every request has a connection of its own.  On a UNIX socket that costs a tenth
of a millisecond where creating a container costs a hundred, and so no
connection can turn out to be stale after the engine was restarted, none is kept
that somebody would have to close, and to give up a call is to close its
connection, which also is how an engine learns that nobody waits any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    UNIXClientEndpoint,
    wrapClientTLS,
)
from twisted.internet.error import UnknownHostError
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IAgentEndpointFactory
from typing_extensions import override
from zope.interface import implementer

from cocained.docker.address import Address
from cocained.docker.tls import tls_options


def make_endpoint(
    reactor: Any, address: Address, timeout: float
) -> IStreamClientEndpoint:
    """
    Make what connects to an engine.

    :param reactor: connects.
    :param timeout: seconds for a connection, TLS not included.
    :raises InvalidAddress: certificates cannot be used.
    """
    if address.path:
        return UNIXClientEndpoint(reactor, address.path, timeout=timeout)
    endpoint = HostnameEndpoint(reactor, address.host, address.port, timeout=timeout)
    if address.tls is None:
        return endpoint
    options = tls_options(address, address.tls)
    wrapped: IStreamClientEndpoint = wrapClientTLS(options, endpoint)
    return wrapped


@implementer(IAgentEndpointFactory, IStreamClientEndpoint)
class Connection:
    """
    An endpoint that remembers what it has connected.

    :param endpoint: connects.
    """

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint
        self._protocol: IProtocol | None = None
        self._is_aborted = False

    def endpointForURI(self, uri: object) -> Connection:  # noqa: N802 - Twisted's
        return self

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        # Or each request writes two lines into the log.
        factory.noisy = False  # type: ignore[attr-defined]
        connecting: Deferred[IProtocol] = self._endpoint.connect(factory)

        def give_up(waiting: Deferred[IProtocol]) -> None:
            # First of all: an endpoint that is cancelled while a name is looked
            # up fails as if there were no such name.
            waiting.errback(CancelledError())
            connecting.cancel()

        def fail(failure: Failure) -> None:
            if not connected.called:
                connected.errback(_unnamed(failure))

        connected: Deferred[IProtocol] = Deferred(give_up)
        connecting.addCallback(self._connected)
        connecting.addCallbacks(connected.callback, fail)
        return connected

    def _connected(self, protocol: IProtocol) -> IProtocol:
        self._protocol = protocol
        return protocol

    def abort(self) -> None:
        """
        Close the connection without waiting for anything.

        The body's own transport cannot do that: it only knows how to close in
        order, which over TLS waits for the peer.
        """
        transport: Any = getattr(self._protocol, "transport", None)
        if transport is not None and not self._is_aborted:
            self._is_aborted = True
            transport.abortConnection()


def _unnamed(failure: Failure) -> Failure:
    """Say of a name that breaks the rules of names what is said of unknown ones."""
    # That is how a hostname's endpoint fails then.
    if failure.check(ValueError):
        return Failure(UnknownHostError(failure.getErrorMessage()))
    return failure


class Body(Protocol):
    """
    Reads an answer's body.

    :param reactor: keeps the time.
    :param feed: takes the bytes; what it raises ends the reading.
    :param finish: hears of the orderly end; may raise, too.
    :param connection: is aborted when the reading ends before the body.
    :param idle: seconds without a byte after which it ends, 0 for any.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        feed: Callable[[bytes], None],
        finish: Callable[[], None],
        connection: Connection,
        idle: float = 0.0,
    ) -> None:
        self._reactor = reactor
        self._feed = feed
        self._finish = finish
        self._connection = connection
        self._idle = idle
        self._timer: IDelayedCall | None = None
        self._is_over = False
        #: Fires with ``None`` at the end; cancelling it ends the reading.
        self.done: Deferred[None] = Deferred(lambda _: self._end())

    @override
    def connectionMade(self) -> None:
        if self._idle and not self._is_over:
            self._timer = self._reactor.callLater(self._idle, self._silence)

    @override
    def dataReceived(self, data: bytes) -> None:
        # After an end there may still be bytes on their way.
        if self._is_over:
            return
        if self._timer is not None:
            self._timer.reset(self._idle)
        try:
            self._feed(data)
        except Exception:
            self._fail(Failure())

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._is_over:
            return
        self._end()
        # A body of unknown length ends with its connection: that is no loss.
        if not reason.check(ResponseDone, PotentialDataLoss):
            self.done.errback(reason)
            return
        try:
            self._finish()
        except Exception:
            self.done.errback(Failure())
        else:
            self.done.callback(None)

    def close(self) -> None:
        """End the reading, as if the body were over."""
        if not self._is_over:
            self._end()
            self.done.callback(None)

    def _silence(self) -> None:
        self._timer = None
        self._fail(Failure(TimeoutError(f"nothing came for {self._idle:g} s")))

    def _fail(self, failure: Failure) -> None:
        # ``feed`` may have closed us, and then raised.
        if not self._is_over:
            self._end()
            self.done.errback(failure)

    def _end(self) -> None:
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._connection.abort()
