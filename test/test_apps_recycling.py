# -*- test-case-name: cocained.test.test_apps_recycling -*-
"""
When a worker has worked enough.
"""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.keys import RecycleKeys
from cocained.apps.recycling import Lot, draw, excess, is_on

#: What ``random`` gives.
LUCK = st.floats(0, 1, exclude_max=True)


class LotTests(SynchronousTestCase):
    """What one worker draws."""

    def test_nothing_asked(self) -> None:
        """Without limits a worker lives on."""
        lot = draw(RecycleKeys(), lambda: 0.5)

        self.assertEqual(lot, Lot(math.inf, math.inf, math.inf))
        self.assertIsNone(excess(lot, 10**9, 1e9, 1e15))
        self.assertFalse(is_on(RecycleKeys()))

    def test_any_limit(self) -> None:
        """One is enough; jitter alone is none."""
        self.assertTrue(is_on(RecycleKeys(requests=1)))
        self.assertTrue(is_on(RecycleKeys(age=0.5)))
        self.assertTrue(is_on(RecycleKeys(memory=1)))
        self.assertFalse(is_on(RecycleKeys(jitter=0.5)))

    def test_jitter(self) -> None:
        """Luck lowers all limits by one share, up to the jitter's."""
        keys = RecycleKeys(requests=1000, age=100.0, memory=2000, jitter=0.2)

        self.assertEqual(draw(keys, lambda: 0.0), Lot(1000, 100, 2000))
        self.assertEqual(draw(keys, lambda: 0.5), Lot(900, 90, 1800))

    @given(st.integers(1, 10**12), st.floats(0, 1, exclude_max=True), LUCK)
    def test_bounds(self, requests: int, jitter: float, luck: float) -> None:
        """A lot is never above the profile's limit, and lets one request pass."""
        lot = draw(RecycleKeys(requests=requests, jitter=jitter), lambda: luck)

        self.assertLessEqual(lot.requests, requests)
        self.assertGreaterEqual(lot.requests, 1)
        self.assertGreaterEqual(lot.requests, requests * (1 - jitter) - 1e-3)


class ExcessTests(SynchronousTestCase):
    """Who has reached a limit."""

    def test_rows(self) -> None:
        """Each limit counts by itself; the limit is reached, not passed."""
        lot = Lot(100, 60.0, 1000)
        for requests, age, memory, expected in (
            (0, 0, 0, None),
            (99, 59.9, 999, None),
            (100, 0, 0, "has served 100 requests"),
            (0, 60.0, 0, "is 60 s old"),
            (0, 0, 1000.0, "takes 1000 bytes of memory"),
            (500, 500, 5000, "has served 500 requests"),
        ):
            self.assertEqual(excess(lot, requests, age, memory), expected)
