# -*- test-case-name: cocained.test.test_links_backoff -*-
"""
Waits between attempts.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.links.backoff import delay

#: As :func:`random.random` gives them.
CHANCES = st.floats(0, 1, exclude_max=True)


class DelayTests(SynchronousTestCase):
    """The one function."""

    def longest(self, attempts: int, first: float = 1.0, most: float = 32.0) -> float:
        """The wait that comes of the worst luck."""
        return delay(attempts, first, most, lambda: 1.0)

    def test_doubles(self) -> None:
        """The longest wait doubles with each failure, up to the most."""
        waits = [self.longest(attempts) for attempts in range(1, 9)]

        self.assertEqual(waits, [1, 2, 4, 8, 16, 32, 32, 32])

    def test_ages(self) -> None:
        """A node that has been down for a year is no different."""
        self.assertEqual(self.longest(10**9), 32)

    def test_first_beyond_most(self) -> None:
        """The most is the most, also for the first wait."""
        self.assertEqual(self.longest(1, first=60.0), 32)

    def test_full_jitter(self) -> None:
        """The wait is anywhere from nothing to the longest, as chance has it."""
        chances = iter((0.0, 0.25, 0.75))

        waits = [delay(4, 1.0, 32.0, lambda: next(chances)) for _ in range(3)]

        self.assertEqual(waits, [0, 2, 6])

    @given(
        st.integers(-5, 10**6), st.floats(0.001, 1e4), st.floats(0.001, 1e5), CHANCES
    )
    def test_bounds(
        self, attempts: int, first: float, most: float, chance: float
    ) -> None:
        """No wait is negative, or longer than the most."""
        wait = delay(attempts, first, most, lambda: chance)

        self.assertGreaterEqual(wait, 0)
        self.assertLessEqual(wait, most)

    @given(st.integers(1, 1000), CHANCES)
    def test_grows(self, attempts: int, chance: float) -> None:
        """With the same luck a later wait is no shorter."""
        self.assertLessEqual(
            delay(attempts, 1.0, 32.0, lambda: chance),
            delay(attempts + 1, 1.0, 32.0, lambda: chance),
        )
