# -*- test-case-name: cocained.test.test_storages_remote -*-
"""
A few threads, each with a connection of its own to a server.

Drivers of databases block, so each connection lives in a
:class:`~cocained.lane.Lane`.  A connection is opened when it is first needed and
again after it was lost; an operation that finds it lost is tried once more on a
fresh one, since every server closes its connections when it restarts.  All
operations of storages can be done twice.

::

    Lines.run ──▶ waiting ──▶ an idle Line ──▶ its Lane: connect, call, translate
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred, fail, gatherResults, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from cocained.errors import StorageError
from cocained.interfaces import IReactor
from cocained.lane import STOP_TIMEOUT, Lane

T = TypeVar("T")

#: Seconds that a driver has beyond its limit: its own error says more than ours.
GRACE = 0.5


class Closable(Protocol):
    """What every connection can do."""

    def close(self) -> None:
        """Let go of it; may raise anything."""

    def interrupt(self) -> None:
        """
        Make the call that is running fail soon; not in its thread, and at once.

        For drivers without time limits of their own.
        """


C = TypeVar("C", bound=Closable)


class Lost(StorageError):
    """
    The server cannot be reached, or was lost on the way.

    Unlike other errors it says nothing about what was asked: it goes away with
    its cause, and is worth another try.
    """


class Line(Generic[C]):
    """
    One thread and the connection that it owns.

    :param lane: the thread.
    :param connect: opens a connection; blocks.
    :param translate: makes an error of ours of one of the driver's; gives
        ``None`` for what it does not know.
    :param timeout: seconds after which a call is interrupted.
    """

    def __init__(
        self,
        lane: Lane,
        connect: Callable[[], C],
        translate: Callable[[Exception], StorageError | None],
        timeout: float,
    ) -> None:
        self.lane = lane
        self._connect = connect
        self._translate = translate
        self._timeout = timeout
        self._connection: C | None = None
        self._interrupted = False

    def perform(self, function: Callable[[C], T], reactor: IReactor) -> Deferred[T]:
        """Run *function* in the thread, with the connection."""
        late = reactor.callLater(self._timeout + GRACE, self._interrupt)
        return self.lane.run(self._thd_perform, function).addBoth(self._done, late)

    def _done(self, result: T, late: IDelayedCall) -> T:
        if late.active():
            late.cancel()
        return result

    def _interrupt(self) -> None:
        """The driver has not kept its time."""
        connection = self._connection
        if connection is not None:
            self._interrupted = True
            connection.interrupt()

    def stop(self, reactor: IReactor) -> Deferred[None]:
        """Close the connection, unless the thread hangs, and end the thread."""
        closed = self.lane.run(self._thd_close)
        closed.addTimeout(STOP_TIMEOUT, reactor)
        return closed.addBoth(lambda ignored: self.lane.stop(0))

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    def _thd_perform(self, function: Callable[[C], T]) -> T:
        was_open = self._connection is not None
        try:
            return self._thd_try(function)
        except Lost as error:
            # What took all of its time is not given twice as much.
            if not was_open or error.code == errno.ETIMEDOUT:
                raise
        return self._thd_try(function)

    def _thd_try(self, function: Callable[[C], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._connect()
            return function(self._connection)
        except Lost:
            self._thd_close()
            raise
        except StorageError:
            raise
        except Exception as error:
            if self._interrupted:
                self._thd_close()
                raise Lost(
                    errno.ETIMEDOUT,
                    f"{self.lane.name}: the server has not answered within"
                    f" {self._timeout:g} s; whether the operation took effect is"
                    " unknown",
                ) from error
            translated = self._translate(error)
            # Who knows in which state an unknown error leaves a connection.
            if translated is None or isinstance(translated, Lost):
                self._thd_close()
            if translated is None:
                raise
            raise translated from error

    def _thd_close(self) -> None:
        connection, self._connection = self._connection, None
        self._interrupted = False
        if connection is not None:
            try:
                connection.close()
            except Exception:
                # It is lost already, and that was told to whoever it hit.
                return


class Lines(Generic[C]):
    """
    All lines of one storage.

    :param reactor: the reactor.
    :param name: of the storage.
    :param count: threads, and connections.
    :param connect: see :class:`Line`.
    :param translate: see :class:`Line`.
    :param timeout: see :class:`Line`.
    """

    def __init__(
        self,
        reactor: IReactor,
        name: str,
        count: int,
        connect: Callable[[], C],
        translate: Callable[[Exception], StorageError | None],
        timeout: float,
    ) -> None:
        self._reactor = reactor
        self._name = name
        self._lines = [
            Line(
                Lane(reactor, f"storage {name!r}, {number}"),
                connect,
                translate,
                timeout,
            )
            for number in range(1, count + 1)
        ]
        # The last that ended is the first to go on: it surely has a connection.
        self._idle: list[Line[C]] = []
        self._waiting: deque[tuple[Callable[[C], Any], Deferred[Any]]] = deque()
        self._running = False

    @property
    def connected(self) -> int:
        """Connections that are open."""
        return sum(line.is_connected for line in self._lines)

    def start(self) -> None:
        """Start the threads; nothing is connected yet."""
        for line in self._lines:
            line.lane.start()
        self._idle = self._lines[::-1]
        self._running = True

    def run(self, function: Callable[[C], T]) -> Deferred[T]:
        """
        Run *function* with a connection in the next thread that is idle.

        :returns: fires with its result, or fails with what was raised; with
            ``ESHUTDOWN`` when the lines do not run.  Never to be cancelled.
        """
        if not self._running:
            return fail(self._closed("is not running"))
        answer: Deferred[T] = Deferred()
        self._waiting.append((function, answer))
        self._next()
        return answer

    def _next(self) -> None:
        while self._idle and self._waiting:
            line = self._idle.pop()
            function, answer = self._waiting.popleft()
            line.perform(function, self._reactor).addBoth(self._done, line, answer)

    def _done(self, result: Any, line: Line[C], answer: Deferred[Any]) -> None:
        if self._running:
            self._idle.append(line)
            self._next()
        if isinstance(result, Failure):
            answer.errback(result)
        else:
            answer.callback(result)

    def stop(self) -> Deferred[None]:
        """
        Fail what waits, let what runs end, and close the connections.

        :returns: fires after :data:`~cocained.lane.STOP_TIMEOUT` seconds at the
            latest; a thread that hangs is left to itself.
        """
        if not self._running:
            return succeed(None)
        self._running = False
        waiting, self._waiting = self._waiting, deque()
        for _, answer in waiting:
            answer.errback(self._closed("was stopped before this call began"))
        stopped = [line.stop(self._reactor) for line in self._lines]
        return gatherResults(stopped).addCallback(lambda ignored: None)

    def _closed(self, what: str) -> StorageError:
        return StorageError(errno.ESHUTDOWN, f"storage {self._name!r} {what}")
