# -*- test-case-name: cocained.test.test_apps_stats -*-
"""
Figures of an app, in space that does not grow with traffic.

Counting costs an addition; the arithmetic is done when somebody asks.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

#: Durations kept for percentiles: the latest so many.
SAMPLES = 1024

#: Seconds between two steps of a moving average.
TICK = 5.0

#: Steps after which an average has forgotten everything.
_MAX_TICKS = 10_000


class Meter:
    """
    Events per second as moving averages over 1, 5 and 15 minutes.

    :param now: when counting begins, in seconds of the clock.
    """

    __slots__ = ("_rates", "_since", "_started", "_ticked", "count")

    WINDOWS = (60.0, 300.0, 900.0)

    def __init__(self, now: float) -> None:
        #: all events so far; counted by its owner
        self.count = 0
        self._since = 0
        self._started = now
        self._ticked = now
        self._rates = [0.0] * len(self.WINDOWS)

    def rates(self, now: float) -> list[float]:
        """The three averages, in events per second."""
        self._tick(now)
        return list(self._rates)

    def mean(self, now: float) -> float:
        """Events per second since the beginning."""
        elapsed = now - self._started
        return self.count / elapsed if elapsed > 0 else 0.0

    def _tick(self, now: float) -> None:
        ticks = int((now - self._ticked) / TICK)
        if ticks <= 0:
            return
        # Events since the last look are spread evenly over the time between.
        rate = (self.count - self._since) / (ticks * TICK)
        for index, window in enumerate(self.WINDOWS):
            keep = math.exp(-TICK / window) ** min(ticks, _MAX_TICKS)
            self._rates[index] = rate + (self._rates[index] - rate) * keep
        self._since = self.count
        self._ticked += ticks * TICK


class Average:
    """
    A moving average of a level, such as the depth of a queue.

    :param window: seconds.
    :param now: seconds of the clock.
    """

    __slots__ = ("_at", "_value", "_window")

    def __init__(self, window: float, now: float) -> None:
        self._window = window
        self._value = 0.0
        self._at = now

    def update(self, level: float, now: float) -> None:
        """*level* has held since the last update."""
        keep = math.exp(-max(0.0, now - self._at) / self._window)
        self._value = level + (self._value - level) * keep
        self._at = now

    def value(self, level: float, now: float) -> float:
        """The average, if *level* has held since the last update."""
        self.update(level, now)
        return self._value


class Timings:
    """The latest durations, as percentiles and shares."""

    __slots__ = ("_samples", "add")

    PERCENTILES = (50.0, 75.0, 90.0, 95.0, 98.0, 99.0, 99.95)
    BOUNDS = (1, 2, 5, 10, 20, 50, 100, 500, 1000)

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=SAMPLES)
        #: remembers one duration, in seconds
        self.add = self._samples.append

    def percentiles(self) -> dict[str, float]:
        """Milliseconds below which so many per cent of the durations lie."""
        ordered = sorted(self._samples)
        return {
            f"{percent:.2f}%": round(_quantile(ordered, percent) * 1000, 3)
            for percent in self.PERCENTILES
        }

    def shares(self) -> dict[str, float]:
        """Per cent of the durations that lie below so many milliseconds."""
        total = len(self._samples)
        return {
            f"{bound}ms": (
                round(100.0 * sum(s * 1000 < bound for s in self._samples) / total, 3)
                if total
                else 0.0
            )
            for bound in self.BOUNDS
        }


def _quantile(ordered: Sequence[float], percent: float) -> float:
    if not ordered:
        return 0.0
    index = math.ceil(percent / 100 * len(ordered)) - 1
    return ordered[max(0, min(index, len(ordered) - 1))]


class Stats:
    """
    What one app counts.

    :param now: seconds of the clock.
    """

    __slots__ = ("crashed", "depth", "meter", "rejected", "spawned", "timings")

    def __init__(self, now: float) -> None:
        #: accepted events
        self.meter = Meter(now)
        self.rejected = 0
        self.spawned = 0
        self.crashed = 0
        #: waiting events
        self.depth = Average(60.0, now)
        #: from a worker to the end
        self.timings = Timings()
