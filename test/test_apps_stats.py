"""
Figures of an app.
"""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.stats import SAMPLES, TICK, Average, Meter, Stats, Timings


class MeterTests(SynchronousTestCase):
    """Events per second."""

    def test_nothing(self) -> None:
        """Without events all rates are zero, at any time."""
        meter = Meter(100.0)

        self.assertEqual(meter.rates(100.0), [0.0, 0.0, 0.0])
        self.assertEqual(meter.rates(1e9), [0.0, 0.0, 0.0])
        self.assertEqual(meter.mean(100.0), 0.0)

    def test_steady(self) -> None:
        """A steady rate is found by all three averages in time."""
        meter = Meter(0.0)
        for second in range(5, 7205, 5):
            meter.count += 50
            rates = meter.rates(float(second))

        for rate in rates:
            self.assertAlmostEqual(rate, 10.0, places=2)
        self.assertEqual(meter.mean(7200.0), 10.0)

    def test_short_windows_follow_faster(self) -> None:
        """After a burst the shortest average is the highest, later the lowest."""
        meter = Meter(0.0)
        meter.count += 600
        one, five, fifteen = meter.rates(10.0)
        self.assertTrue(one > five > fifteen > 0)

        one, five, fifteen = meter.rates(3600.0)
        self.assertTrue(one < five < fifteen < 0.5)

    def test_asking_changes_nothing(self) -> None:
        """However often one asks within a step, the answer is the same."""
        meter = Meter(0.0)
        meter.count += 100
        first = meter.rates(TICK)

        self.assertEqual([meter.rates(TICK + 0.1) for _ in range(5)], [first] * 5)

    def test_years(self) -> None:
        """Neither ages without a look nor a clock that goes back do harm."""
        meter = Meter(1e9)
        meter.count += 10**12

        self.assertTrue(all(map(math.isfinite, meter.rates(1e12))))
        self.assertTrue(all(map(math.isfinite, meter.rates(0.0))))
        self.assertEqual(meter.mean(0.0), 0.0)

    @given(st.lists(st.tuples(st.floats(0, 1000), st.integers(0, 1000)), max_size=20))
    def test_between_zero_and_the_most(self, steps: list[tuple[float, int]]) -> None:
        """No average is below zero or above the highest rate there was."""
        meter, now = Meter(0.0), 0.0
        for seconds, events in steps:
            now += seconds
            meter.count += events
            for rate in meter.rates(now):
                self.assertTrue(0 <= rate <= meter.count / TICK + 1e-9)


class AverageTests(SynchronousTestCase):
    """A moving average of a level."""

    def test_approaches(self) -> None:
        """A level that holds is approached, by 63 % in one window."""
        average = Average(60.0, 0.0)

        self.assertAlmostEqual(average.value(10.0, 60.0), 6.32, places=2)
        self.assertAlmostEqual(average.value(10.0, 6000.0), 10.0, places=2)

    def test_clock_goes_back(self) -> None:
        """A clock that goes back changes nothing."""
        average = Average(60.0, 100.0)

        self.assertEqual(average.value(10.0, 50.0), 0.0)


class TimingsTests(SynchronousTestCase):
    """Durations."""

    def test_nothing(self) -> None:
        """Without samples everything is zero, under the original's keys (N3)."""
        timings = Timings()

        self.assertEqual(
            timings.percentiles(),
            dict.fromkeys(
                ["50.00%", "75.00%", "90.00%", "95.00%", "98.00%", "99.00%", "99.95%"],
                0.0,
            ),
        )
        bounds = (1, 2, 5, 10, 20, 50, 100, 500, 1000)
        self.assertEqual(timings.shares(), {f"{bound}ms": 0.0 for bound in bounds})

    def test_one(self) -> None:
        """One sample is every percentile, in milliseconds (N2b)."""
        timings = Timings()
        timings.add(1.745042)

        self.assertEqual(set(timings.percentiles().values()), {1745.042})

    def test_hundred(self) -> None:
        """Percentiles of a hundred known ones."""
        timings = Timings()
        for number in range(100, 0, -1):
            timings.add(number / 1000)

        found = timings.percentiles()

        self.assertEqual(found["50.00%"], 50.0)
        self.assertEqual(found["90.00%"], 90.0)
        self.assertEqual(found["99.00%"], 99.0)
        self.assertEqual(found["99.95%"], 100.0)

    def test_shares(self) -> None:
        """Per cent of the durations below each bound."""
        timings = Timings()
        for milliseconds in (0.5, 1.5, 15, 700):
            timings.add(milliseconds / 1000)

        found = timings.shares()

        self.assertEqual(
            (found["1ms"], found["2ms"], found["20ms"], found["500ms"]),
            (25.0, 50.0, 75.0, 75.0),
        )
        self.assertEqual(found["1000ms"], 100.0)

    def test_bounded(self) -> None:
        """Only the latest count, however many there were."""
        timings = Timings()
        for _ in range(3 * SAMPLES):
            timings.add(5.0)
        for _ in range(SAMPLES):
            timings.add(1.0)

        self.assertEqual(set(timings.percentiles().values()), {1000.0})

    @given(st.lists(st.floats(0, 1000), min_size=1, max_size=50))
    def test_order(self, durations: list[float]) -> None:
        """Higher percentiles are never lower, and all are samples."""
        timings = Timings()
        for duration in durations:
            timings.add(duration)
        found = list(timings.percentiles().values())

        self.assertEqual(found, sorted(found))
        self.assertLessEqual(set(found), {round(d * 1000, 3) for d in durations})
        shares = list(timings.shares().values())
        self.assertEqual(shares, sorted(shares))


class StatsTests(SynchronousTestCase):
    """All of them together."""

    def test_fresh(self) -> None:
        """A fresh app has counted nothing."""
        stats = Stats(0.0)

        self.assertEqual(
            (stats.meter.count, stats.rejected, stats.spawned, stats.crashed),
            (0, 0, 0, 0),
        )
