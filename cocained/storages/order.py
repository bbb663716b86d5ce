# -*- test-case-name: cocained.test.test_storages_order -*-
"""
Which operations of a storage with several threads have to wait for which.

``IStorage`` promises that operations take effect in the order in which they were
asked.  Nobody says who asked, so all count as one caller's.  Each operation names
the *places* that it touches, and begins when all that were asked for before it and
touch one of them have ended::

    read, version     (collection, key)
    find              collection
    write, remove     (collection, key), collection, and a place that all changes touch

So changes happen one after the other; reads of different objects run side by side,
beside changes of other objects too, and none overtakes anything that it could see.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


class _Turn:
    """One operation: what it waits for, and who waits for it."""

    __slots__ = ("answer", "blockers", "dropped", "followers", "places", "start")

    def __init__(
        self, places: frozenset[Hashable], start: Callable[[], Deferred[Any]]
    ) -> None:
        self.places = places
        self.start = start
        self.dropped = False
        self.blockers = 0
        self.followers: list[_Turn] = []
        self.answer: Deferred[Any] = Deferred(self._drop)

    def _drop(self, answer: Deferred[Any]) -> None:
        self.dropped = True


class Order:
    """Begins operations when it is their turn."""

    def __init__(self) -> None:
        #: Operations that were asked for and have not ended.
        self.pending = 0
        # The last one that was asked for of each place.
        self._last: dict[Hashable, _Turn] = {}
        self._ready: deque[_Turn] = deque()
        self._ended: deque[tuple[_Turn, Any]] = deque()
        self._turning = False

    def run(
        self, places: Iterable[Hashable], start: Callable[[], Deferred[T]]
    ) -> Deferred[T]:
        """
        Begin an operation when its turn comes.

        :param places: what it touches.
        :param start: begins it; gives a Deferred that fires when it has ended.
        :returns: fires as that one does.  Cancelling it skips an operation that
            has not begun; of one that has, only the answer is given up.
        """
        turn = _Turn(frozenset(places), start)
        self.pending += 1
        # Not a set comprehension over tails: one may hold several of the places.
        for tail in {self._last[p] for p in turn.places if p in self._last}:
            tail.followers.append(turn)
            turn.blockers += 1
        for place in turn.places:
            self._last[place] = turn
        if not turn.blockers:
            self._ready.append(turn)
            self._turn()
        return turn.answer

    def _turn(self) -> None:
        """Begin and answer all that can be, in a loop: chains may be long."""
        if self._turning:
            return
        self._turning = True
        try:
            while self._ready or self._ended:
                if self._ended:
                    self._finish(*self._ended.popleft())
                else:
                    self._begin(self._ready.popleft())
        finally:
            self._turning = False

    def _begin(self, turn: _Turn) -> None:
        if turn.dropped:
            self._ended.append((turn, None))
        else:
            turn.start().addBoth(self._end, turn)

    def _end(self, result: object, turn: _Turn) -> None:
        self._ended.append((turn, result))
        self._turn()

    def _finish(self, turn: _Turn, result: Any) -> None:
        self.pending -= 1
        for place in turn.places:
            if self._last[place] is turn:
                del self._last[place]
        for follower in turn.followers:
            follower.blockers -= 1
            if not follower.blockers:
                self._ready.append(follower)
        if turn.dropped:
            return
        if isinstance(result, Failure):
            turn.answer.errback(result)
        else:
            turn.answer.callback(result)
