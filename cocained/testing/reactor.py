# -*- test-case-name: cocained.test.test_testing -*-
# ruff: noqa: N802, N803 - these doubles have the names of what they double
"""
Reactors that a test drives: time, threads, listening sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock

T = TypeVar("T")

#: Seconds after which a thread that does not answer is a failure.
THREAD_TIMEOUT = 20.0


class PumpedReactor(Clock):
    """A clock that runs what threads hand to it when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]]] = (
            SimpleQueue()
        )
        #: How often a thread woke this reactor.
        self.handed = 0

    def callFromThread(self, function: Callable[..., Any], *args: Any) -> None:
        self._calls.put((function, args))

    def pump_one(self, timeout: float = THREAD_TIMEOUT) -> None:
        """Wait for one call from a thread and run it."""
        function, args = self._calls.get(timeout=timeout)
        self.handed += 1
        function(*args)

    def pump_until(self, is_done: Callable[[], object]) -> None:
        """Run calls from threads until *is_done* says so."""
        while not is_done():
            self.pump_one()

    def pump_ready(self) -> None:
        """Run the calls that have been handed over already."""
        while True:
            try:
                function, args = self._calls.get_nowait()
            except Empty:
                return
            self.handed += 1
            function(*args)

    def wait_for(self, deferred: Deferred[T]) -> Deferred[T]:
        """Run calls from threads until *deferred* has fired."""
        self.pump_until(lambda: deferred.called and not deferred.paused)
        return deferred


class MemoryPort:
    """A UNIX socket that a :class:`MemoryReactor` listens at."""

    def __init__(
        self, reactor: MemoryReactor, path: str, factory: Any, mode: int
    ) -> None:
        self._reactor = reactor
        self._path = path
        self.factory = factory
        self.mode = mode

    def stopListening(self) -> Deferred[None]:
        del self._reactor.ports[self._path]
        return succeed(None)


class MemoryReactor(PumpedReactor):
    """
    A clock with sockets that lead nowhere but to a test.

    :ivar ports: what listens, by path.
    """

    #: Calls that may run without any time passing; more is a loop that the
    #: real reactor would run for ever.
    PATIENCE = 10_000

    def __init__(self) -> None:
        super().__init__()
        self.ports: dict[str, MemoryPort] = {}

    def listenUNIX(
        self,
        address: str,
        factory: Any,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,
    ) -> MemoryPort:
        if address in self.ports:
            raise CannotListenError(None, address, OSError("taken"))
        self.ports[address] = port = MemoryPort(self, address, factory, mode)
        return port

    def pass_time(self, seconds: float) -> None:
        """
        Let time pass, running each call at its own time.

        :raises AssertionError: calls keep coming while no time passes.
        """
        end = self.rightNow + seconds
        calls = 0
        while True:
            self._sortCalls()
            if not self.calls or self.calls[0].getTime() > end:
                break
            call = self.calls.pop(0)
            due = call.getTime()
            calls = calls + 1 if due <= self.rightNow else 0
            assert calls < self.PATIENCE, f"{call} comes again and again"
            self.rightNow = max(self.rightNow, due)
            call.called = 1
            call.func(*call.args, **call.kw)
        self.rightNow = end
