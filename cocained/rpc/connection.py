# -*- test-case-name: cocained.test.test_rpc_connection -*-
"""
Connections that we open: addresses to endpoints, and channels of ours.

Every wait has a limit.  What went wrong is one of the errors below, or the
:class:`~cocained.errors.RemoteError` that ended the connection.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Any, TypeVar

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
)
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import (
    IAddress,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from typing_extensions import override

from cocained.errors import Category, LocalProtocolError, RemoteError
from cocained.interfaces import IReactor
from cocained.rpc.codec import (
    ARRAY_LIMIT,
    FRAME_LIMIT,
    frame_head,
    pack,
    uint,
)
from cocained.rpc.headers import UNTRACED
from cocained.rpc.outbox import Outbox, Progress
from cocained.rpc.outline import VALUE_LIMIT
from cocained.rpc.roles import Receiver
from cocained.rpc.session import Session
from cocained.rpc.wire import SessionProtocol, Wiring, cancelled

#: A numeric address or host name with its port; or the absolute path of a
#: UNIX socket, whose port means nothing.
Address = tuple[str, int]

#: Seconds for one attempt to connect, as in the published clients
#: (tools.md §4.5).
CONNECT_TIMEOUT = 5.0

#: Longest array that a locator may send.  A routing dump lists a whole ring per
#: group, 256 points per member, so the frame's own limit is the one that counts.
LOCATOR_ARRAY_LIMIT = VALUE_LIMIT

T = TypeVar("T")


class TimedOut(RemoteError):
    """
    The peer did not answer in time; whether it did the work is not known.

    :param what: what was waited for.
    :param seconds: how long.
    """

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(
            Category.ASIO_SYSTEM,
            errno.ETIMEDOUT,
            f"{what} took longer than {seconds:g} s",
        )
        self.seconds = seconds


class NotConnected(RemoteError):
    """
    No address could be reached.

    :param peer: for people, who was to be reached.
    :param failures: one sentence per address.
    """

    def __init__(self, peer: str, failures: Sequence[str]) -> None:
        detail = "; ".join(failures) if failures else "it has no addresses"
        super().__init__(
            Category.ASIO_SYSTEM, errno.ENOTCONN, f"cannot reach {peer}: {detail}"
        )
        self.peer = peer
        self.failures = list(failures)


def limited(
    deferred: Deferred[T], seconds: float, clock: IReactorTime, what: str
) -> Deferred[T]:
    """
    Give up a wait after a while.

    :param seconds: until *deferred* is cancelled.
    :param what: for the message of the :class:`TimedOut` that comes of it.
    """

    def timed_out(result: T | Failure, seconds: float) -> T:
        if not isinstance(result, Failure):
            return result
        if not isinstance(result.value, CancelledError):
            result.raiseException()
        raise TimedOut(what, seconds)

    return deferred.addTimeout(seconds, clock, timed_out)


def endpoint_for(
    reactor: IReactor, address: Address, timeout: float
) -> IStreamClientEndpoint:
    """
    Choose the endpoint that fits an address.

    :param timeout: seconds for one attempt.
    """
    host, port = address
    endpoint: IStreamClientEndpoint
    if host.startswith("/"):
        endpoint = UNIXClientEndpoint(reactor, host, timeout)
    elif isIPAddress(host):
        endpoint = TCP4ClientEndpoint(reactor, host, port, timeout)
    elif isIPv6Address(host):
        endpoint = TCP6ClientEndpoint(reactor, host, port, timeout)
    else:
        endpoint = HostnameEndpoint(reactor, host.encode("idna"), port, timeout)
    return endpoint


def address_text(address: Address) -> str:
    """Write an address for people."""
    host, port = address
    if host.startswith("/"):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Connection:
    """
    One connection on which only we open channels.

    :param protocol: connected already.
    :param peer: for people, who is at the other end.
    :param frame_limit: largest message to send, in bytes.
    """

    def __init__(
        self, protocol: SessionProtocol, peer: str, frame_limit: int = FRAME_LIMIT
    ) -> None:
        self._protocol = protocol
        self._frame_limit = frame_limit
        self._outbox = Outbox(protocol.session)
        self._gone: list[Deferred[None]] = []
        self._retiring = False
        self.peer = peer
        protocol.on_lost = self._lost

    @property
    def session(self) -> Session:
        """The channels of this connection."""
        return self._protocol.session

    @property
    def address(self) -> Address | None:
        """Where the peer is, in numbers; ``None`` if that is no port."""
        peer = self._protocol.transport.getPeer()
        if isinstance(peer, IPv4Address | IPv6Address):
            return peer.host, peer.port
        return None

    @property
    def usable(self) -> bool:
        """Whether new channels can be opened."""
        session = self.session
        return session.connected and session.fault is None and not self._retiring

    def open(
        self,
        receiver: Receiver,
        kind: int,
        args: Sequence[Any],
        headers: bytes = UNTRACED,
        progress: Progress | None = None,
    ) -> int:
        """
        Open a channel with its first message.

        :param receiver: takes the answers.
        :param kind: number of the method.
        :param headers: a packed header list.
        :param progress: hears how much of the message has left.
        :returns: the channel's number.
        :raises LocalProtocolError: the arguments cannot be sent.
        :raises RemoteError: the connection is gone.
        """
        if not self.usable:
            raise cancelled()
        packed = self._pack(args)
        channel = self.session.fork(receiver)
        try:
            self._send(channel, kind, packed, headers, progress)
        except LocalProtocolError:
            self.forget(channel)
            raise
        return channel

    def send(
        self, channel: int, kind: int, args: Sequence[Any], headers: bytes = UNTRACED
    ) -> None:
        """
        Send one more message on a channel of ours.

        :raises LocalProtocolError: the arguments cannot be sent.
        """
        self._send(channel, kind, self._pack(args), headers, None)

    def _send(
        self,
        channel: int,
        kind: int,
        packed: bytes,
        headers: bytes,
        progress: Progress | None,
    ) -> None:
        frame = b"".join((frame_head(channel), uint(kind), packed, headers))
        self._outbox.send(frame, progress)

    def _pack(self, args: Sequence[Any]) -> bytes:
        try:
            packed = pack(list(args))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise LocalProtocolError(
                f"these arguments cannot be packed: {error}"
            ) from error
        limit = self._frame_limit
        if len(packed) > limit:
            raise LocalProtocolError(
                f"a message of {len(packed)} bytes is larger than the largest"
                f" frame, {limit} bytes"
            )
        return packed

    def drained(self) -> Deferred[None]:
        """
        Wait until the peer has room for more.

        :returns: fails with what ended the connection.
        """
        return self._outbox.drained()

    def forget(self, channel: int) -> None:
        """Listen no more to a channel: it has ended, or was given up."""
        self.session.channels.pop(channel, None)
        if self._retiring and not self.session.channels:
            self._protocol.close()

    def retire(self) -> None:
        """Open no more channels, and close when the last one has ended."""
        self._retiring = True
        if not self.session.channels:
            self._protocol.close()

    def when_lost(self) -> Deferred[None]:
        """
        Wait for the end of the connection, whatever brings it.

        :returns: fires when it is gone, at once if it is.
        """
        gone: Deferred[None] = Deferred(self._gone.remove)
        if self.session.connected:
            self._gone.append(gone)
        else:
            gone.callback(None)
        return gone

    def close(self) -> Deferred[None]:
        """
        End the connection when all has been sent.

        :returns: fires when it is gone, within
            :data:`~cocained.rpc.wire.CLOSE_TIMEOUT`.
        """
        gone = self.when_lost()
        if gone.called:
            return gone
        self._retiring = True
        self.session.flush()
        self._protocol.close()
        return gone

    def abort(self) -> None:
        """End the connection now, unsent bytes and all."""
        self._retiring = True
        self._protocol.abort()

    def _lost(self, protocol: SessionProtocol) -> None:
        self._outbox.lost(cancelled())
        gone, self._gone = self._gone, []
        for waiter in gone:
            waiter.callback(None)


class _ClientFactory(Factory):
    noisy = False

    def __init__(self, wiring: Wiring, array_limit: int) -> None:
        self._wiring = wiring
        self._array_limit = array_limit

    @override
    def buildProtocol(self, addr: IAddress | None) -> SessionProtocol:
        # It must not stop to read while its peer does not: both would wait for
        # each other.  Streams bound what is read.
        return SessionProtocol(
            self._wiring, None, hold_itself=False, array_limit=self._array_limit
        )


def connect(
    wiring: Wiring,
    addresses: Sequence[Address],
    timeout: float,
    peer: str = "",
    array_limit: int = ARRAY_LIMIT,
) -> Deferred[Connection]:
    """
    Connect to the first of several addresses that answers.

    :param addresses: tried in order, each for up to :data:`CONNECT_TIMEOUT`.
    :param timeout: seconds for all of it.
    :param peer: for people, who is to be reached.
    :param array_limit: see :class:`~cocained.rpc.session.Session`.
    :returns: fires with the connection, fails with :class:`NotConnected` or
        :class:`TimedOut`.  Cancelling it gives up.
    """
    peer = peer or ", ".join(map(address_text, addresses))
    return limited(
        Deferred.fromCoroutine(_connect(wiring, addresses, timeout, peer, array_limit)),
        timeout,
        wiring.reactor,
        f"connecting to {peer}",
    )


async def _connect(
    wiring: Wiring,
    addresses: Sequence[Address],
    timeout: float,
    peer: str,
    array_limit: int,
) -> Connection:
    factory = _ClientFactory(wiring, array_limit)
    failures = []
    for address in addresses:
        try:
            endpoint = endpoint_for(
                wiring.reactor, address, min(timeout, CONNECT_TIMEOUT)
            )
            protocol = await endpoint.connect(factory)
        except (CancelledError, ConnectingCancelledError) as error:
            raise CancelledError() from error
        except Exception as error:
            # Whatever an endpoint may fail with, the next address may work.
            failures.append(f"{address_text(address)}: {plainly(error)}")
        else:
            assert isinstance(protocol, SessionProtocol)
            return Connection(protocol, peer, wiring.limits.frame)
    raise NotConnected(peer, failures)


def plainly(error: Exception) -> str:
    """Say why an attempt to connect failed, without the ceremony of Twisted's texts."""
    code = getattr(error, "osError", None)
    if isinstance(code, int) and code > 0:
        return os.strerror(code)
    return str(error).rstrip(".") or type(error).__name__
