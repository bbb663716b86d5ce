"""
The first workers of a release, until it can take over.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from cocained.apps.warmup import WarmUp
from cocained.errors import CocainedError, IsolateError, RemoteError
from cocained.test import app_case
from cocained.test.app_case import AppCase

#: Seconds that the others have when one is there.
PATIENCE = 3.0


class Watcher(app_case.Watcher):
    """Tells a warm-up what it hears."""

    warm_up: WarmUp | None = None

    def population_changed(self, active: int) -> None:
        if self.warm_up is not None:
            self.warm_up.population_changed(active)

    def worker_failed(self, error: CocainedError) -> None:
        if self.warm_up is not None:
            self.warm_up.worker_failed(error)


class WarmUpTests(AppCase):
    """When a release is ready, and when it is not."""

    def setUp(self) -> None:
        super().setUp()
        self.watcher = Watcher()
        self.make_overseer(pool_limit=4, handshake_timeout=60)

    def begin(self, wanted: int) -> Deferred[None]:
        pool = self.overseer.pool
        watcher: Any = self.watcher
        watcher.warm_up = self.warm_up = WarmUp("app", pool, self.clock, PATIENCE)
        done = self.warm_up.begin(wanted)
        self.clock.pass_time(0)
        return done

    def handshake(self, number: int) -> None:
        self.worker(number)
        self.clock.pass_time(0)

    def test_one(self) -> None:
        """The only one that is wanted has shaken hands."""
        done = self.begin(1)
        self.assertEqual(len(self.isolate.spawns), 1)
        self.assertNoResult(done)

        self.handshake(0)

        self.successResultOf(done)

    def test_at_least_one(self) -> None:
        """One worker proves the release even if none is needed."""
        done = self.begin(0)

        self.handshake(0)

        self.successResultOf(done)

    def test_not_from_within(self) -> None:
        """Who waits is told in a turn of its own, not amid the handshake."""
        done = self.begin(1)

        self.connect(self.spawn(0).uuid).handshake()

        self.assertEqual(self.overseer.pool.active, 1)
        self.assertNoResult(done)
        self.clock.pass_time(0)
        self.successResultOf(done)

    def test_all(self) -> None:
        """All that are wanted come in time."""
        done = self.begin(3)
        for number in range(3):
            self.assertNoResult(done)
            self.handshake(number)

        self.successResultOf(done)

    def test_late(self) -> None:
        """Others have a while longer than the first, and no more."""
        done = self.begin(3)
        self.clock.pass_time(2 * PATIENCE)
        self.handshake(1)
        self.clock.pass_time(PATIENCE - 0.1)
        self.assertNoResult(done)

        self.clock.pass_time(0.2)

        self.successResultOf(done)

    def test_first_leaves(self) -> None:
        """Being late counts only while there is one that works."""
        done = self.begin(2)
        first = self.worker(0)
        self.clock.pass_time(0)
        first.disconnect()
        self.clock.pass_time(PATIENCE + 0.1)
        self.assertNoResult(done)

        self.handshake(1)

        self.successResultOf(done)

    def test_some_fail(self) -> None:
        """With one that works, the release works; the others come later."""
        done = self.begin(3)
        self.handshake(0)
        self.spawn(1).exit(1)
        self.clock.pass_time(0)
        self.assertNoResult(done)

        self.spawn(2).exit(1)
        self.clock.pass_time(0)

        self.successResultOf(done)

    def test_all_fail(self) -> None:
        """The last one's error is told."""
        done = self.begin(2)
        self.spawn(0).exit(1)
        self.clock.pass_time(0)
        self.assertNoResult(done)

        self.spawn(1).exit(7)
        self.clock.pass_time(0)

        error = self.failureResultOf(done, IsolateError).value
        self.assertIn("exited with status 7", str(error))

    def test_none_shakes_hands(self) -> None:
        """A release whose workers say nothing is given up with them."""
        done = self.begin(2)
        self.clock.pass_time(59)
        self.assertNoResult(done)

        self.clock.pass_time(2)

        self.failureResultOf(done, RemoteError)

    def test_nothing_can_be_spawned(self) -> None:
        """A worker that is refused at once is as good as one that dies."""
        self.launch.refusal = IsolateError("no locator")

        done = self.begin(2)

        error = self.failureResultOf(done, IsolateError).value
        self.assertEqual(str(error), "no locator")

    def test_stopped_pool(self) -> None:
        """A pool that spawns nothing any more cannot be warmed up."""
        self.overseer.stop()

        done = self.begin(1)

        error = self.failureResultOf(done, IsolateError).value
        self.assertEqual(str(error), "no worker could be spawned")

    def test_cancel(self) -> None:
        """Given up, it hears and does nothing more; the workers stay."""
        done = self.begin(2)
        self.handshake(0)

        done.cancel()
        self.handshake(1)

        self.failureResultOf(done, CancelledError)
        self.assertEqual(self.overseer.pool.active, 2)
        calls: Any = self.clock.getDelayedCalls()
        delays = [call.func for call in calls]
        self.assertNotIn(self.warm_up._late, delays)

    def test_over(self) -> None:
        """What happens afterwards is no business of it."""
        done = self.begin(1)
        self.handshake(0)
        self.successResultOf(done)

        self.warm_up.population_changed(0)
        self.warm_up.worker_failed(IsolateError("late"))

        self.clock.pass_time(0)
        self.assertIsNone(self.warm_up._look_call)
