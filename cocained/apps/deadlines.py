# -*- test-case-name: cocained.test.test_apps_deadlines -*-
"""
Deadlines of many items at the price of none.

Most events are due in a day and finished in a millisecond.  Only what is due
within :data:`HORIZON` is filed, in buckets of :data:`GRAIN`; the rest is looked
at by a sweep now and then.  One timer serves a whole app.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

#: Seconds; what is due later waits for a sweep.
HORIZON = 60.0

#: Seconds between sweeps; less than the horizon, so that nothing slips by.
SWEEP = 30.0

#: Buckets per second: an item expires at most so much of a second late.
GRAIN = 20


class Due(Protocol):
    """Something with a deadline, in seconds of the clock."""

    deadline: float


D = TypeVar("D", bound=Due)


class Deadlines(Generic[D]):
    """The items that are due soon."""

    __slots__ = ("buckets",)

    def __init__(self) -> None:
        #: by time; its truth is looked at for every event
        self.buckets: dict[int, dict[D, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self.buckets.values()))

    def file(self, item: D, now: float) -> bool:
        """
        Remember *item* if it is due within the horizon.

        :returns: whether it was; filing twice does no harm.
        """
        if item.deadline - now > HORIZON:
            return False
        self.buckets.setdefault(int(item.deadline * GRAIN), {})[item] = None
        return True

    def forget(self, item: D) -> None:
        """*item* is finished; one that was not filed is no error."""
        number = int(item.deadline * GRAIN)
        bucket = self.buckets.get(number)
        if bucket is not None and item in bucket:
            del bucket[item]
            if not bucket:
                del self.buckets[number]

    def sweep(self, items: Iterable[D], now: float) -> None:
        """File those of *items* that have come within the horizon."""
        for item in items:
            self.file(item, now)

    def next_time(self) -> float | None:
        """When :meth:`due` should be asked next, in seconds of the clock."""
        if not self.buckets:
            return None
        return (min(self.buckets) + 1) / GRAIN

    def due(self, now: float) -> list[D]:
        """Take out what is due, the earliest first."""
        limit = int(now * GRAIN)
        expired: list[D] = []
        for number in sorted(n for n in self.buckets if n < limit):
            expired += self.buckets.pop(number)
        return expired
