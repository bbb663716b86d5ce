"""
The pool of an app: who is spawned, sealed, sent home (protocol.md §10).
"""

from __future__ import annotations

from cocained.apps.pool import LEAVERS
from cocained.errors import IsolateError, SpawnError
from cocained.test.app_case import (
    CONTROL,
    DISCARDED,
    ENQUEUE,
    WRITE,
    AppCase,
)
from cocained.testing import Peer


class BalanceTests(AppCase):
    """How many workers there are (§10.3): rows 99 and 143 of legacy-and-seeds.md."""

    profile = {
        "concurrency": 1,
        "pool-limit": 3,
        "queue-limit": 20,
        "grow-threshold": 2,
        "idle-timeout": 60,
    }

    def enqueue(self, client: Peer, first: int, last: int) -> None:
        for channel in range(first, last + 1):
            client.send(channel, ENQUEUE, b"event")

    def test_none_at_first(self) -> None:
        """A fresh pool has no workers and no timers."""
        self.assertEqual(self.isolate.spawns, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_first_event(self) -> None:
        """The first event spawns one worker: row 122."""
        self.client().send(1, ENQUEUE, b"event")

        self.assertEqual(len(self.isolate.spawns), 1)

    def test_grows_with_the_queue(self) -> None:
        """There is a worker for each grow-threshold of waiting events."""
        client = self.client()
        sizes = []
        for channel in range(1, 11):
            self.enqueue(client, channel, channel)
            sizes.append(len(self.isolate.spawns))

        self.assertEqual(sizes, [1, 1, 1, 2, 2, 3, 3, 3, 3, 3])

    def test_least_loaded(self) -> None:
        """An event goes to the worker with the fewest (row 53)."""
        self.make_overseer(concurrency=4)
        client = self.client()
        client.send(1, CONTROL)
        client.send(1, WRITE, 2)
        first, second = self.worker(0), self.worker(1)

        self.enqueue(client, 2, 7)

        self.assertEqual(len(first.take()), 3)
        self.assertEqual(len(second.take()), 3)

    def test_replaced(self) -> None:
        """A dead worker is replaced even if nothing waits."""
        client, worker = self.started()
        self.finish(client, worker, 1, 2)
        worker.disconnect()

        self.clock.pass_time(0)

        self.assertEqual(len(self.isolate.spawns), 2)
        self.assertIn("handshaking", self.states())

    def test_leavers(self) -> None:
        """While too many have yet to end, no other is spawned."""
        self.isolate.obedient = False
        client = self.client()
        for number in range(40):
            client.send(number + 1, ENQUEUE, b"event")
            if len(self.isolate.spawns) == number:
                break
            worker = self.worker()
            self.finish(client, worker, number + 1, 2)
            worker.disconnect()
        self.assertEqual(len(self.isolate.spawns), 2 * 3 + LEAVERS)

        self.spawn(0).exit(-9)
        self.clock.pass_time(0)

        self.assertEqual(len(self.isolate.spawns), 2 * 3 + LEAVERS + 1)

    def test_waiting_events_survive_a_worker(self) -> None:
        """Those that wait get the next worker: row 121."""
        client, worker = self.started()
        client.send(2, ENQUEUE, b"second")
        worker.disconnect()
        self.assertEqual(client.take(), [[1, 1, [[5, 2], DISCARDED]]])

        self.clock.pass_time(1)

        self.assertEqual(self.worker().take(), [[2, 0, [b"second"]]])

    def test_back_off(self) -> None:
        """Failing workers come after 1, 2, 4 … 32 seconds, and then every 32."""
        self.isolate.refusal = SpawnError("no such file")
        self.client().send(1, ENQUEUE, b"event")
        begin = self.clock.seconds()
        times: list[float] = []
        while len(times) < 8:
            spawned = len(self.isolate.spawns)
            while len(self.isolate.spawns) == spawned:
                self.clock.pass_time(0.5)
            times.append(self.clock.seconds() - begin)

        gaps = [
            later - earlier
            for earlier, later in zip([0, *times[:-1]], times, strict=True)
        ]
        self.assertEqual(gaps, [1, 2, 4, 8, 16, 32, 32, 32])
        self.assertEqual(len(self.overseer.backlog), 1)
        self.assertEqual(self.overseer.stats.crashed, 9)

    def test_no_back_off_after_service(self) -> None:
        """A worker that has served before it failed is replaced at once."""
        client, worker = self.started()
        self.finish(client, worker, 1, 2)
        client.send(2, ENQUEUE, b"second")
        worker.disconnect()
        client.send(3, ENQUEUE, b"third")

        self.clock.pass_time(0)

        self.assertEqual(self.worker(1).take(), [[2, 0, [b"third"]]])

    def test_service_ends_the_back_off(self) -> None:
        """One that has served, and fails, shows that there is no need to wait."""
        client, worker = self.started()
        self.finish(client, worker, 1, 2)
        self.overseer.pool.control(2)
        self.spawn(1).exit(-9)
        self.clock.pass_time(0)
        self.assertEqual(len(self.isolate.spawns), 2)

        worker.disconnect()
        self.clock.pass_time(0)

        self.assertEqual(len(self.isolate.spawns), 4)

    def test_service_during_the_stop(self) -> None:
        """Nor does such a one revive what has been stopped."""
        client, worker = self.started()
        self.finish(client, worker, 1, 2)
        self.overseer.pool.control(2)
        self.spawn(1).exit(-9)
        stopped = self.overseer.stop()

        worker.disconnect()
        self.clock.pass_time(60)

        self.successResultOf(stopped)
        self.assertEqual(len(self.isolate.spawns), 2)

    def test_back_off_forgets(self) -> None:
        """A failure long after the last is the first again."""
        self.make_overseer(idle_timeout=0)
        _, worker = self.started()
        worker.disconnect()
        self.clock.pass_time(1)
        second = self.worker()
        for _ in range(4):
            self.clock.pass_time(20)
            second.heartbeat()
        second.disconnect()
        spawned = len(self.isolate.spawns)

        self.clock.pass_time(1)

        self.assertEqual(len(self.isolate.spawns), spawned + 1)

    def test_no_locator(self) -> None:
        """Without a locator nobody is spawned, and the event stays."""
        self.launch.refusal = IsolateError("locator not found")
        client = self.client()
        client.send(1, ENQUEUE, b"event")
        self.assertEqual(self.watcher.crashed[0].error, self.launch.refusal)

        self.launch.refusal = None
        self.clock.pass_time(1)

        self.assertEqual(self.worker().take(), [[2, 0, [b"event"]]])

    def test_broken_worker_is_told_of(self) -> None:
        """Whoever watches hears of failed workers once they are buried."""
        _, worker = self.started()
        self.isolate.obedient = False

        worker.disconnect()
        self.assertEqual(self.watcher.crashed, [])
        self.spawn().exit(1)

        self.assertEqual(
            [broken.uuid for broken in self.watcher.crashed], [worker.uuid]
        )
        self.assertEqual(self.overseer.pool.workers, {})

    def test_output_is_told_of(self) -> None:
        """Whoever watches hears what workers print."""
        self.started()

        self.spawn().output(b"one\ntwo\n")

        self.assertEqual(self.watcher.printed, [b"one", b"two"])

    def test_durations(self) -> None:
        """An event that a silent worker had is counted with its whole duration."""
        self.make_overseer(heartbeat_timeout=5)
        self.clock.pass_time(100)
        self.started()

        self.clock.pass_time(5)

        self.assertEqual(self.overseer.stats.timings.percentiles()["50.00%"], 5000.0)


class IdleTests(AppCase):
    """Workers that have nothing to do."""

    profile = {
        "idle-timeout": 60,
        "heartbeat-timeout": 3600,
        "concurrency": 1,
        "pool-limit": 2,
        "grow-threshold": 1,
    }

    def test_shrinks_to_zero(self) -> None:
        """An app that sleeps has no workers: rows 114 and 143."""
        client, worker = self.started()
        self.finish(client, worker, 1, 2)
        self.clock.pass_time(59)
        self.assertEqual(self.states(), ["active"])

        self.clock.pass_time(1.5)

        self.assertEqual(worker.take(), [[1, 1, [13, b"slave is idle"]]])
        worker.terminate(13)
        self.clock.pass_time(2)
        self.assertEqual(self.overseer.pool.workers, {})
        self.assertEqual(self.overseer.stats.crashed, 0)
        self.assertEqual(len(self.isolate.spawns), 1)

    def test_wakes_up(self) -> None:
        """The next event finds a new worker."""
        self.test_shrinks_to_zero()
        client = self.client()

        client.send(1, ENQUEUE, b"again")

        self.assertEqual(self.worker().take(), [[2, 0, [b"again"]]])
        self.assertEqual(len(self.isolate.spawns), 2)

    def test_sleeps_without_timers(self) -> None:
        """A sleeping app costs no timer."""
        self.test_shrinks_to_zero()
        self.clock.pass_time(60)

        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_work_keeps_awake(self) -> None:
        """The time begins anew with the end of each event."""
        client, worker = self.started()
        self.clock.pass_time(50)
        self.finish(client, worker, 1, 2)
        self.clock.pass_time(50)
        self.assertEqual(self.states(), ["active"])

        self.clock.pass_time(11)

        self.assertEqual(self.states(), ["terminating"])

    def test_busy_workers_stay(self) -> None:
        """A worker with an event is not idle, however long it takes."""
        _, worker = self.started()

        self.clock.pass_time(1000)

        self.assertEqual(self.states(), ["active"])
        self.assertEqual(worker.take(), [])

    def test_only_the_idle_ones(self) -> None:
        """One of two may go while the other works."""
        client, worker = self.started()
        client.send(2, ENQUEUE, b"second")
        client.send(3, ENQUEUE, b"third")
        second = self.worker()
        self.finish(client, worker, 1, 2)
        self.assertEqual(worker.take(), [])
        worker.error(3, 42, 1, b"")

        self.clock.pass_time(61)

        self.assertEqual(self.states(), ["active", "terminating"])
        self.assertEqual(second.take(), [[2, 0, [b"second"]]])

    def test_never(self) -> None:
        """An idle-timeout of 0 keeps workers."""
        self.make_overseer(idle_timeout=0)
        client, worker = self.started()
        self.finish(client, worker, 1, 2)

        self.clock.pass_time(3000)

        self.assertEqual(self.states(), ["active"])
