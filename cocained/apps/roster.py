# -*- test-case-name: cocained.test.test_apps_roster -*-
"""
The active workers of an app, ordered by load.

Giving an event to the least loaded one and taking it back cost the same for
one worker as for thousands.
"""

from __future__ import annotations

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

    Among equally loaded ones the latest to come is taken: its caches are warm,
    and those that a smaller load leaves alone can be stopped when idle.

    :param concurrency: channels that one worker may have.
    """

    __slots__ = ("_buckets", "_concurrency", "_lowest", "load")

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        self._buckets: dict[int, dict[W, None]] = {}
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
        self._enter(worker, worker.load)
        self.load += worker.load

    def remove(self, worker: W) -> None:
        """A worker takes no more events; an unknown one is no error."""
        if worker in self:
            del self._buckets[worker.load][worker]
            self.load -= worker.load

    def take(self) -> W | None:
        """
        Give one more channel to the worker that should have it.

        :returns: the worker, its load counted up; ``None`` if none has room.
        """
        buckets = self._buckets
        load = self._lowest
        while load < self._concurrency:
            bucket = buckets.get(load)
            if bucket:
                worker, _ = bucket.popitem()
                load += 1
                self._lowest = load - 1 if bucket else load
                self.load += 1
                worker.load = load
                bucket = buckets.get(load)
                if bucket is None:
                    bucket = buckets[load] = {}
                bucket[worker] = None
                return worker
            load += 1
        self._lowest = load
        return None

    def freed(self, worker: W) -> None:
        """*worker* has one channel less; it need not be here any more."""
        buckets = self._buckets
        load = worker.load
        bucket = buckets.get(load)
        worker.load = load - 1
        if bucket is None or bucket.pop(worker, self) is not None:
            return
        if not bucket and load > _KEPT:
            del buckets[load]
        self.load -= 1
        self._enter(worker, load - 1)

    def _enter(self, worker: W, load: int) -> None:
        bucket = self._buckets.get(load)
        if bucket is None:
            bucket = self._buckets[load] = {}
        bucket[worker] = None
        if load < self._lowest:
            self._lowest = load
