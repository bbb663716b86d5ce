# -*- test-case-name: cocained.test.test_links_dialer -*-
"""
Real connections to the locators of other nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from cocained.errors import (
    Category,
    CocainedError,
    DispatchCode,
    RemoteError,
    RemoteProtocolError,
)
from cocained.links.roles import Address, Ear
from cocained.links.tidings import Reader
from cocained.rpc.calls import reported
from cocained.rpc.connection import Connection, NotConnected, connect
from cocained.rpc.graph import CLOSE, ERROR, PING, WRITE
from cocained.rpc.headers import Header
from cocained.rpc.wire import Wiring

log = Logger()

#: Number of the locator's method ``connect``.
CONNECT = 1

#: Largest frame that another node may tell us: 16384 services of a kilobyte
#: each.
FRAME_LIMIT = 16 * 1024 * 1024

#: Most elements of an array or map in one: a map of all services that one node
#: may have, and room for one that has too many to be told so.
ARRAY_LIMIT = 32768


class RealDialer:
    """
    Makes lines over TCP.

    :param wiring: of the node.
    :param uuid: of the node, told to the others.
    :param timeout: seconds for each attempt, all endpoints together.
    """

    def __init__(self, wiring: Wiring, uuid: str, timeout: float) -> None:
        limits = wiring.limits
        frame = min(limits.frame, FRAME_LIMIT)
        self.wiring = wiring.within(limits._replace(frame=frame))
        self.uuid = uuid
        self.timeout = timeout
        self.reader = Reader()

    def line(self, endpoints: Sequence[Address], ear: Ear) -> RealLine:
        return RealLine(self, endpoints, ear)


class RealLine:
    """One connection; it has a channel on which the other node tells."""

    __slots__ = ("_attempt", "_channel", "_connection", "_dialer", "_ear", "_endpoints")

    def __init__(
        self, dialer: RealDialer, endpoints: Sequence[Address], ear: Ear
    ) -> None:
        self._dialer = dialer
        self._endpoints = endpoints
        # Nobody, once it is over.
        self._ear: Ear | None = ear
        self._attempt: Deferred[None] | None = None
        self._connection: Connection | None = None
        self._channel = 0

    # Line

    def dial(self) -> None:
        self._attempt = Deferred.fromCoroutine(self._dial())
        self._attempt.addErrback(self._not_reached)

    def ping(self) -> None:
        connection = self._connection
        if connection is not None and connection.usable:
            pong = _Pong(self)
            pong.channel = connection.open(pong, PING, ())

    def hang_up(self) -> None:
        self._ear = None
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.forget(self._channel)
            connection.abort()

    async def _dial(self) -> None:
        dialer = self._dialer
        failures: list[str] = []
        for given in self._endpoints:
            try:
                connection = await connect(
                    dialer.wiring, [given], dialer.timeout, array_limit=ARRAY_LIMIT
                )
            except NotConnected as error:
                failures += error.failures
            else:
                self._reached(given, connection)
                return
        raise NotConnected("its locator", failures)

    def _reached(self, given: Address, connection: Connection) -> None:
        self._attempt = None
        self._connection = connection
        ear = self._ear
        assert ear is not None  # else the attempt was cancelled
        ear.reached(given, connection.address or given)
        if self._ear is not None:
            self._channel = connection.open(self, CONNECT, [self._dialer.uuid])

    def _not_reached(self, failure: Failure) -> None:
        self._attempt = None
        error = failure.value
        if isinstance(error, CocainedError):
            self._end(error)
        elif not isinstance(error, CancelledError):
            log.failure("a line could not be dialled", failure=failure)
            self._end(CocainedError("dialling failed; see the log"))

    # Receiver, for the session

    def message(self, kind: int, args: list[Any], headers: list[Header]) -> None:
        ear = self._ear
        assert ear is not None  # hanging up ends this channel, too
        if kind == WRITE:
            try:
                tidings = self._dialer.reader.read(args, headers)
            except CocainedError as error:
                self._end(error)
            else:
                ear.told(tidings)
        elif kind == CLOSE:
            self._end(
                RemoteError(
                    Category.DISPATCH,
                    DispatchCode.NOT_CONNECTED,
                    "the node says that it tells nothing more",
                )
            )
        elif kind == ERROR:
            self._end(reported(args))
        else:
            self._end(RemoteProtocolError(f"message {kind} is none of connect's"))

    def discard(self, error: CocainedError) -> None:
        self._end(error)

    def pong(self, channel: int) -> None:
        """
        A ping of ours has come back; an error shows life as well.

        :param channel: where it was.
        """
        if self._connection is not None:
            self._connection.forget(channel)
        if self._ear is not None:
            self._ear.answered()

    def _end(self, error: CocainedError) -> None:
        ear = self._ear
        self.hang_up()
        if ear is not None:
            ear.ended(error)


class _Pong:
    """Waits for the answer to one ping."""

    __slots__ = ("_line", "channel")

    def __init__(self, line: RealLine) -> None:
        self._line = line
        self.channel = 0

    def message(self, kind: int, args: list[Any], headers: list[Header]) -> None:
        self._line.pong(self.channel)

    def discard(self, error: CocainedError) -> None:
        """The line hears of it by itself."""
