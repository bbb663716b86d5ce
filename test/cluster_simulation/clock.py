# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
Time: one heap for all nodes, and what a node that does not run makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import Any

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from cocained.test.cluster_simulation.broken import Broken

#: When a run begins, in seconds: as little 0 as the real clock.
BEGINNING = 1_000_000.0

#: Things that may happen at one moment: more than a cluster of a thousand nodes
#: has to do at once.  Who waits for nothing would go on for ever.
MOMENT_LIMIT = 20_000_000


@implementer(IDelayedCall)
class Call:
    """Something that is to happen, and may be taken back."""

    __slots__ = ("_args", "_kwargs", "_time", "called", "cancelled", "func")

    def __init__(
        self,
        time: float,
        func: Callable[..., object],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self._time = time
        self._args = args
        self._kwargs = kwargs
        self.func = func
        self.called = False
        self.cancelled = False

    def run(self) -> None:
        """Its time has come."""
        if not self.cancelled:
            self.called = True
            self.func(*self._args, **self._kwargs)

    def active(self) -> bool:
        return not (self.called or self.cancelled)

    def cancel(self) -> None:
        if self.cancelled:
            raise AlreadyCancelled
        if self.called:
            raise AlreadyCalled
        self.cancelled = True

    def getTime(self) -> float:  # noqa: N802 - the interface's name
        return self._time

    def delay(self, secondsLater: float) -> None:  # noqa: N803
        raise NotImplementedError("nobody here puts calls off")

    def reset(self, secondsFromNow: float) -> None:  # noqa: N803
        raise NotImplementedError("nobody here puts calls off")


class VirtualClock:
    """
    The time of the whole cluster.

    :ivar events: how many things have happened.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._order = 0
        self.now = BEGINNING
        self.events = 0

    def at(self, when: float, function: Callable[..., object], *args: Any) -> None:
        """Let something happen at *when*; it cannot be taken back."""
        self._order += 1
        heappush(self._heap, (when, self._order, function, args))

    def after(
        self, seconds: float, function: Callable[..., object], *args: Any
    ) -> None:
        """Let something happen so many seconds from now."""
        self.at(self.now + seconds, function, *args)

    def run(self, until: float) -> None:
        """
        Let time pass.

        :raises Broken: it stands still, since somebody waits for nothing.
        """
        heap = self._heap
        moment = limit = 0
        while heap and heap[0][0] <= until:
            when, _, function, args = heappop(heap)
            if when > self.now:
                self.now = when
                moment = 0
            moment += 1
            if moment > MOMENT_LIMIT // 1000 and (limit := limit or self._limit()):
                if moment > limit:
                    name = getattr(function, "__qualname__", function)
                    raise Broken(f"time stands still at {name}")
            function(*args)
            self.events += 1
        self.now = max(self.now, until)

    def _limit(self) -> int:
        return max(100_000, min(MOMENT_LIMIT, 20 * len(self._heap)))

    def left(self) -> Iterator[str]:
        """Name the timers that are still to come."""
        for _, _, function, args in self._heap:
            owner = getattr(function, "__self__", None)
            if isinstance(owner, NodeClock):
                (call,) = args
                if owner.dead or not call.active():
                    continue
                function = call.func
            yield str(getattr(function, "__qualname__", function))


@implementer(IReactorTime)
class NodeClock:
    """
    The time of one process, which can be stopped, or die.

    While it is stopped nothing happens in it: what was due then is late, and
    what was sent to it waits to be read.

    :ivar stopped: whether it does not run.
    :ivar dead: whether it has ended; nothing happens in it any more.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._late: list[Call] = []
        self._inbox: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self.stopped = False
        self.dead = False

    def seconds(self) -> float:
        return self._clock.now

    def callLater(  # noqa: N802 - the interface's name
        self, delay: float, callable: Callable[..., object], *args: Any, **kw: Any
    ) -> Call:
        assert delay >= 0, f"{delay} seconds are no time to wait"
        call = Call(self._clock.now + delay, callable, args, kw)
        self._clock.at(call.getTime(), self._run, call)
        return call

    def getDelayedCalls(self) -> list[IDelayedCall]:  # noqa: N802 - likewise
        raise NotImplementedError("nobody here asks for them")

    def _run(self, call: Call) -> None:
        if self.stopped:
            self._late.append(call)
        elif not self.dead:
            call.run()

    def deliver(self, function: Callable[..., object], *args: Any) -> None:
        """Something arrives from the network: now, or when it is read."""
        if self.stopped:
            self._inbox.append((function, args))
        elif not self.dead:
            function(*args)

    def stop(self) -> None:
        """Run no more for a while."""
        self.stopped = True

    def resume(self) -> None:
        """Run again: first what is late, then what has come."""
        self.stopped = False
        late, self._late = self._late, []
        for call in late:
            if not self.dead:
                call.run()
        inbox, self._inbox = self._inbox, []
        for function, args in inbox:
            if not self.dead:
                function(*args)

    def die(self) -> None:
        """End; nothing happens any more."""
        self.dead = True
        self.stopped = False
        self._late = []
        self._inbox = []
