# -*- test-case-name: cocained.test.test_apps_roster -*-
"""
The active workers of an app, ordered by load.

Finding the least loaded one, giving it an event and taking an event from it
cost the same for one worker as for thousands.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

#: Empty buckets of lower loads than this are kept: busy pools pass them all
#: the time.
_KEPT = 64


class Loaded(Protocol):
    """Something with a number of open channels, kept by the roster."""

    load: int


W = TypeVar("W", bound=Loaded)


class Roster(Generic[W]):
    """
    Workers in buckets by load.

    Among equally loaded ones the one that waits longest comes first.

    :param concurrency: channels that one worker may have.
    """

    __slots__ = ("_buckets", "_concurrency", "_lowest", "load")

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        # Ordered dictionaries: taking the first of a plain one over and over
        # walks past all that has been taken before.
        self._buckets: dict[int, OrderedDict[W, None]] = {}
        self._lowest = 0
        #: open channels of all workers here
        self.load = 0

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def __contains__(self, worker: W) -> bool:
        return worker in self._buckets.get(worker.load, ())

    def by_load(self) -> list[W]:
        """All workers, the least loaded first."""
        return [
            worker for load in sorted(self._buckets) for worker in self._buckets[load]
        ]

    def add(self, worker: W) -> None:
        """A worker takes events from now on."""
        self._enter(worker)
        self.load += worker.load

    def remove(self, worker: W) -> None:
        """A worker takes no more events; an unknown one is no error."""
        if worker in self:
            self._leave(worker, self._buckets[worker.load])
            self.load -= worker.load

    def least(self) -> W | None:
        """The worker that should get the next event, if any has room."""
        buckets = self._buckets
        lowest = self._lowest
        concurrency = self._concurrency
        while lowest < concurrency:
            bucket = buckets.get(lowest)
            if bucket:
                self._lowest = lowest
                return next(iter(bucket))
            lowest += 1
        self._lowest = lowest
        return None

    def took(self, worker: W) -> None:
        """*worker* has been given one more channel."""
        self._move(worker, worker.load + 1)

    def freed(self, worker: W) -> None:
        """*worker* has one channel less; it need not be here any more."""
        self._move(worker, worker.load - 1)

    def _move(self, worker: W, load: int) -> None:
        bucket = self._buckets.get(worker.load)
        if bucket is None or worker not in bucket:
            worker.load = load
            return
        self._leave(worker, bucket)
        self.load += load - worker.load
        worker.load = load
        self._enter(worker)

    def _enter(self, worker: W) -> None:
        load = worker.load
        bucket = self._buckets.get(load)
        if bucket is None:
            bucket = self._buckets[load] = OrderedDict()
        bucket[worker] = None
        if load < self._lowest:
            self._lowest = load

    def _leave(self, worker: W, bucket: OrderedDict[W, None]) -> None:
        del bucket[worker]
        if not bucket and worker.load >= _KEPT:
            del self._buckets[worker.load]
