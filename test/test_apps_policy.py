"""
How many workers an app should have: tables and laws (protocol.md §10.3).
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.policy import (
    BACKOFF_FIRST,
    BACKOFF_LAST,
    Backoff,
    Decision,
    Limits,
    Population,
    decide,
    has_room,
    target,
)

LIMITS = st.builds(
    Limits,
    pool=st.integers(1, 50),
    concurrency=st.integers(1, 20),
    queue=st.integers(0, 200),
    grow_threshold=st.integers(1, 50),
)


@st.composite
def populations(draw: st.DrawFn) -> tuple[Population, Limits]:
    """A pool within its limits."""
    limits = draw(LIMITS)
    workers = draw(st.integers(0, limits.pool))
    active = draw(st.integers(0, workers))
    population = Population(
        workers=workers,
        active=active,
        load=draw(st.integers(0, active * limits.concurrency)),
        queued=draw(st.integers(0, 300)),
        wanted=draw(st.integers(0, 60)),
        awake=draw(st.booleans()),
    )
    return population, limits


def population(**changes: Any) -> Population:
    """An automatic pool that is awake and empty but for *changes*."""
    empty = Population(workers=0, active=0, load=0, queued=0, wanted=0, awake=True)
    return empty._replace(**changes)


class TargetTests(SynchronousTestCase):
    """The number of workers there should be."""

    limits = Limits(pool=10, concurrency=10, queue=100, grow_threshold=5)

    def test_queue(self) -> None:
        """A worker for each grow-threshold that waits, one at least (rows 53, 99)."""
        for queued, expected in (
            (0, 1), (1, 1), (4, 1), (5, 1), (9, 1), (10, 2), (14, 2), (15, 3),
            (49, 9), (50, 10), (51, 10), (100, 10),
        ):  # fmt: skip
            found = target(population(queued=queued), self.limits)
            self.assertEqual(found, expected, queued)

    def test_asleep(self) -> None:
        """An app that has had no work for long needs nobody."""
        self.assertEqual(target(population(awake=False), self.limits), 0)

    def test_asleep_and_called(self) -> None:
        """What waits wakes it up, and so does a number asked for."""
        waiting = population(awake=False, queued=1)
        wanted = population(awake=False, wanted=2)

        self.assertEqual(target(waiting, self.limits), 1)
        self.assertEqual(target(wanted, self.limits), 2)

    def test_wanted(self) -> None:
        """A number asked for goes before the queue, up to the limit."""
        for wanted, expected in ((1, 1), (3, 3), (10, 10), (11, 10), (1000, 10)):
            found = target(population(queued=100, wanted=wanted), self.limits)
            self.assertEqual(found, expected, wanted)

    def test_no_queue(self) -> None:
        """Without a queue there are as many as the waiting events need."""
        limits = self.limits._replace(queue=0, concurrency=3)
        for workers, load, queued, expected in (
            (0, 0, 0, 1),
            (0, 0, 1, 1),
            (0, 0, 3, 1),
            (0, 0, 4, 2),
            (1, 3, 1, 2),
            (1, 2, 1, 1),
            (1, 0, 1, 1),
            (2, 6, 7, 5),
            (2, 6, 100, 10),
        ):
            now = population(workers=workers, active=workers, load=load, queued=queued)
            self.assertEqual(target(now, limits), expected, now)

    @given(populations())
    def test_within_the_limit(self, case: tuple[Population, Limits]) -> None:
        """The target is never more than pool-limit, nor less than nothing."""
        now, limits = case

        self.assertLessEqual(target(now, limits), limits.pool)
        self.assertGreaterEqual(target(now, limits), 0)

    @given(populations())
    def test_more_waiting_never_means_less(
        self, case: tuple[Population, Limits]
    ) -> None:
        """One more waiting event never lowers the target."""
        now, limits = case
        more = now._replace(queued=now.queued + 1)

        self.assertGreaterEqual(target(more, limits), target(now, limits))


class DecideTests(SynchronousTestCase):
    """What is done about it."""

    limits = Limits(pool=10, concurrency=10, queue=100, grow_threshold=5)

    def test_grows(self) -> None:
        """What lacks is spawned; those on their way count."""
        now = population(workers=1, active=0, queued=15)

        self.assertEqual(decide(now, self.limits), Decision(spawn=2))

    def test_never_shrinks_by_itself(self) -> None:
        """In automatic mode nobody is sealed."""
        now = population(workers=9, active=9)

        self.assertEqual(decide(now, self.limits), Decision())

    def test_seals(self) -> None:
        """What is too much is sealed, of those that are active."""
        now = population(workers=5, active=4, wanted=3)

        self.assertEqual(decide(now, self.limits), Decision(seal=1))

    def test_spawning_ones_are_not_sealed(self) -> None:
        """Those on their way are left until they are active."""
        now = population(workers=5, active=2, wanted=3)

        self.assertEqual(decide(now, self.limits), Decision())

    @given(populations())
    def test_never_exceeds_the_limit(self, case: tuple[Population, Limits]) -> None:
        """With what is spawned the pool is still within its limit."""
        now, limits = case

        self.assertLessEqual(now.workers + decide(now, limits).spawn, limits.pool)

    @given(populations())
    def test_never_both(self, case: tuple[Population, Limits]) -> None:
        """Nobody is spawned and sealed at a time, nor more sealed than there are."""
        now, limits = case
        decision = decide(now, limits)

        self.assertTrue(decision.spawn == 0 or decision.seal == 0)
        self.assertGreaterEqual(decision.spawn, 0)
        self.assertTrue(0 <= decision.seal <= now.active)

    @given(populations())
    def test_stable(self, case: tuple[Population, Limits]) -> None:
        """Once done, there is nothing more to do while nothing changes."""
        now, limits = case
        decision = decide(now, limits)
        done = now._replace(
            workers=now.workers + decision.spawn - decision.seal,
            active=now.active - decision.seal,
        )
        if limits.queue == 0 and now.wanted == 0:
            # Vacant places count: fewer sealed ones are none here.
            self.assertEqual(decision.seal, 0)

        self.assertEqual(decide(done, limits), Decision())


class HasRoomTests(SynchronousTestCase):
    """Whether one more event may wait."""

    def test_queue(self) -> None:
        """With a queue its limit counts, whatever the workers do."""
        limits = Limits(pool=1, concurrency=1, queue=3, grow_threshold=1)
        for queued, expected in ((0, True), (2, True), (3, False), (4, False)):
            self.assertEqual(has_room(population(queued=queued), limits), expected)

    def test_no_queue(self) -> None:
        """Without one, the free places of the whole pool count."""
        limits = Limits(pool=2, concurrency=3, queue=0, grow_threshold=1)
        for load, queued, expected in (
            (0, 5, True),
            (0, 6, False),
            (4, 1, True),
            (4, 2, False),
            (6, 0, False),
        ):
            now = population(load=load, queued=queued)
            self.assertEqual(has_room(now, limits), expected, (load, queued))


class BackoffTests(SynchronousTestCase):
    """Delays between spawns while workers fail."""

    def test_doubles(self) -> None:
        """1, 2, 4 … 32 seconds, and no more, when each comes right after."""
        backoff, now, delays = Backoff(), 1000.0, []
        for _ in range(8):
            delays.append(backoff.failed(now))
            now += delays[-1]

        self.assertEqual(delays, [1, 2, 4, 8, 16, 32, 32, 32])

    def test_forgets(self) -> None:
        """After 32 seconds without a failure it begins anew."""
        backoff = Backoff()
        backoff.failed(0)
        backoff.failed(1)

        self.assertEqual(backoff.failed(1 + 2 + BACKOFF_LAST), BACKOFF_FIRST)

    def test_remembers(self) -> None:
        """A little earlier it does not."""
        backoff = Backoff()
        backoff.failed(0)
        backoff.failed(1)

        self.assertEqual(backoff.failed(1 + 2 + BACKOFF_LAST - 0.1), 4)

    def test_reset(self) -> None:
        """It can be told to forget."""
        backoff = Backoff()
        backoff.failed(0)
        backoff.failed(1)

        backoff.reset()

        self.assertEqual(backoff.failed(2), BACKOFF_FIRST)

    @given(st.lists(st.floats(0, 100), max_size=40))
    def test_bounds(self, gaps: list[float]) -> None:
        """Each delay is of the row 1, 2, 4 … 32, at most twice the one before."""
        backoff, now, last = Backoff(), 0.0, BACKOFF_LAST
        for gap in gaps:
            now += gap
            delay = backoff.failed(now)
            self.assertIn(delay, (1, 2, 4, 8, 16, 32))
            self.assertIn(delay, (1, 2 * last, BACKOFF_LAST))
            last = delay
