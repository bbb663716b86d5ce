"""
The pool of an app: who is taken, who waits, who is spawned (protocol.md §10).
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.overseer import request_timeout
from cocained.apps.pool import LEAVERS
from cocained.errors import InvalidArgument, IsolateError, SpawnError
from cocained.test.app_case import (
    CLIENT_GONE,
    CLOSE,
    CONTROL,
    DISCARDED,
    ENQUEUE,
    ERROR,
    WRITE,
    AppCase,
)
from cocained.testing import Peer

FULL = [[21247, 1], b"queue is full"]
EXPIRED = [[20991, 1], b"the event has expired in the queue"]
STOPPED = [[12, 32], b"the application has been stopped: Broken pipe"]


def milliseconds(number: int) -> list[object]:
    """The header that limits one event."""
    return [[False, b"request_timeout", number.to_bytes(8, "little")]]


class AcceptTests(AppCase):
    """Which events are taken, and which are not."""

    profile = {"concurrency": 2, "pool-limit": 3, "queue-limit": 30}

    def flood(self, client: Peer, number: int) -> list[int]:
        """Send so many events in one packet; give the channels refused."""
        for channel in range(1, number + 1):
            client.send(channel, ENQUEUE, b"hang")
        refused = client.take()
        self.assertEqual([args for _, _, args in refused], [FULL] * len(refused))
        return [channel for channel, _, _ in refused]

    def test_queue_is_full(self) -> None:
        """Before workers are up, the queue takes its limit and no more (§7.3)."""
        refused = self.flood(self.client(), 100)

        self.assertEqual(refused, list(range(31, 101)))
        self.assertEqual(self.overseer.stats.rejected, 70)
        self.assertEqual(self.overseer.stats.meter.count, 30)

    def test_workers_and_queue(self) -> None:
        """With all workers up, pool and queue are full together."""
        client = self.client()
        for channel in range(1, 31):
            client.send(channel, ENQUEUE, b"hang")
        for number in range(3):
            self.worker(number)

        for channel in range(31, 101):
            client.send(channel, ENQUEUE, b"hang")

        self.assertEqual([channel for channel, _, _ in client.take()][:1], [37])
        self.assertEqual(self.overseer.pool.roster.load, 6)
        self.assertEqual(len(self.overseer.backlog), 30)

    def test_no_queue(self) -> None:
        """With queue-limit 0 events wait as far as the pool could take them."""
        self.make_overseer(queue_limit=0, pool_limit=2, concurrency=3)

        refused = self.flood(self.client(), 20)

        self.assertEqual(refused, list(range(7, 21)))
        for number in range(len(self.isolate.spawns)):
            self.worker(number)
        self.assertEqual(self.overseer.pool.roster.load, 6)
        self.assertEqual(len(self.overseer.backlog), 0)

    def test_refused_channel(self) -> None:
        """What follows on a refused channel is dropped (§7.1)."""
        client = self.client()
        self.flood(client, 31)

        client.send(31, WRITE, b"x")
        client.send(31, CLOSE)

        self.assertEqual(client.take(), [])
        self.assertEqual(client.session.dropped, 2)

    def test_room_again(self) -> None:
        """When one leaves the queue another may come."""
        client = self.client()
        self.flood(client, 31)
        self.worker(0)

        client.send(32, ENQUEUE, b"hang")

        self.assertEqual(client.take(), [])

    def test_first_come(self) -> None:
        """Events leave the queue in the order in which they came."""
        client = self.client()
        for channel in range(1, 5):
            client.send(channel, ENQUEUE, b"%d" % channel)

        worker = self.worker(0)

        self.assertEqual([args for _, _, args in worker.take()], [[b"1"], [b"2"]])
        worker.error(2, 42, 1, b"")
        self.assertEqual([args for _, _, args in worker.take()], [[b"3"]])

    def test_nobody_overtakes(self) -> None:
        """A free worker takes those that wait before those that come."""
        client, worker = self.started()
        for channel in range(2, 6):
            client.send(channel, ENQUEUE, b"%d" % channel)
        worker.take()

        worker.error(2, 42, 1, b"")
        client.send(9, ENQUEUE, b"9")
        worker.error(3, 42, 1, b"")
        worker.error(4, 42, 1, b"")

        self.assertEqual(
            [args[0] for _, kind, args in worker.take()], [b"3", b"4", b"5"]
        )


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
        """An event goes to the worker with the fewest."""
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


class ControlTests(AppCase):
    """``control``: rows 143 and 146 of legacy-and-seeds.md."""

    profile = {"pool-limit": 4, "idle-timeout": 0}

    def setUp(self) -> None:
        super().setUp()
        self.controller = self.client()
        self.controller.send(1, CONTROL)

    def test_up(self) -> None:
        """So many workers are spawned without an event (N16)."""
        self.controller.send(1, WRITE, 2)

        self.assertEqual(len(self.isolate.spawns), 2)
        self.assertEqual(self.controller.take(), [])

    def test_limit(self) -> None:
        """Never more than pool-limit."""
        self.controller.send(1, WRITE, 50)

        self.assertEqual(len(self.isolate.spawns), 4)

    def test_down(self) -> None:
        """The least loaded are sealed, and asked to end."""
        self.controller.send(1, WRITE, 3)
        workers = [self.worker(number) for number in range(3)]
        client = self.client()
        client.send(1, ENQUEUE, b"event")
        busy = next(worker for worker in workers if worker.take())

        self.controller.send(1, WRITE, 1)

        self.assertEqual(self.states(), ["active", "terminating", "terminating"])
        self.assertIsNotNone(self.overseer.pool.workers[busy.uuid].invocations)
        self.assertEqual(self.overseer.pool.active, 1)
        for worker in workers:
            told = [] if worker is busy else [[1, 1, [14, b"slave is sealing"]]]
            self.assertEqual(worker.take(), told)

    def test_down_with_work(self) -> None:
        """A sealed worker finishes what it has, and gets nothing new."""
        self.make_overseer(concurrency=1)
        self.controller = self.client()
        self.controller.send(1, CONTROL)
        self.controller.send(1, WRITE, 2)
        workers = [self.worker(number) for number in (0, 1)]
        client = self.client()
        client.send(1, ENQUEUE, b"one")
        client.send(2, ENQUEUE, b"two")
        self.assertEqual([len(worker.take()) for worker in workers], [1, 1])

        self.controller.send(1, WRITE, 1)
        client.send(3, ENQUEUE, b"three")

        self.assertEqual(self.states(), ["active", "sealing"])
        sealed = next(w for w in workers if w.uuid not in self.active_uuids())
        sealed.error(2, 42, 1, b"")
        self.assertEqual(sealed.take(), [[1, 1, [14, b"slave is sealing"]]])
        self.assertEqual(len(self.overseer.backlog), 1)

    def active_uuids(self) -> set[str]:
        return {worker.uuid for worker in self.overseer.pool.roster.by_load()}

    def test_stable(self) -> None:
        """Saying the same again changes nothing."""
        for _ in range(3):
            self.controller.send(1, WRITE, 2)

        self.assertEqual(len(self.isolate.spawns), 2)

    def test_replaced(self) -> None:
        """A worker that dies is replaced while the number is asked for."""
        self.controller.send(1, WRITE, 2)
        worker = self.worker(0)
        worker.disconnect()

        self.clock.pass_time(3)

        self.assertEqual(len(self.isolate.spawns), 3)

    def test_negative(self) -> None:
        """A number below zero is automatic (C1)."""
        self.controller.send(1, WRITE, 1)
        self.controller.send(1, WRITE, -5)

        self.assertEqual(self.overseer.pool.wanted, 0)
        self.assertEqual(self.controller.take(), [])

    def test_close(self) -> None:
        """Closing the channel returns to automatic (N16)."""
        self.controller.send(1, WRITE, 2)
        self.controller.send(1, CLOSE)

        self.assertEqual(self.overseer.pool.wanted, 0)
        self.assertEqual(self.controller.session.channels, {})

    def test_error(self) -> None:
        """So does an error."""
        self.controller.send(1, WRITE, 2)
        self.controller.send(1, ERROR, [1, 2], b"x")

        self.assertEqual(self.overseer.pool.wanted, 0)

    def test_disconnect(self) -> None:
        """So does the loss of the connection."""
        self.controller.send(1, WRITE, 2)
        self.controller.disconnect()

        self.assertEqual(self.overseer.pool.wanted, 0)

    def test_no_number(self) -> None:
        """What is no number ends the channel, and is automatic again (C2)."""
        self.controller.send(1, WRITE, 2)
        self.controller.send(1, WRITE, b"x")

        self.assertEqual(self.controller.take()[0][2][0], [7, 2])
        self.assertEqual(self.overseer.pool.wanted, 0)

    def test_extra_arguments(self) -> None:
        """More arguments than needed are ignored (C3)."""
        other = self.client()
        other.send(1, CONTROL, 7)
        other.send(1, WRITE, 1, 2)

        self.assertEqual(self.overseer.pool.wanted, 1)
        self.assertEqual(other.take(), [])

    def test_stays_without_work(self) -> None:
        """Workers that were asked for are not idle, however long they wait."""
        self.make_overseer(idle_timeout=60)
        controller = self.client()
        controller.send(1, CONTROL)
        controller.send(1, WRITE, 1)
        worker = self.worker()

        for _ in range(20):
            self.clock.pass_time(20)
            worker.heartbeat()
        self.assertEqual(self.states(), ["active"])
        controller.send(1, CLOSE)
        for _ in range(4):
            self.clock.pass_time(20)
            worker.heartbeat()

        self.assertEqual(self.overseer.pool.active, 0)


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


class DeadlineTests(AppCase):
    """Events that wait or work too long."""

    profile = {"concurrency": 1, "pool-limit": 1, "heartbeat-timeout": 10**6}

    def test_in_the_queue(self) -> None:
        """An event expires while it waits, and is answered then (Q2)."""
        client, worker = self.started()
        client.send(2, ENQUEUE, b"late", headers=milliseconds(500))
        client.send(2, CLOSE)
        self.clock.pass_time(0.49)
        self.assertEqual(client.take(), [])

        self.clock.pass_time(0.07)

        self.assertEqual(client.take(), [[2, 1, EXPIRED]])
        self.finish(client, worker, 1, 2)
        self.assert_quiet()

    def test_soon_enough(self) -> None:
        """An event whose turn comes in time is served (Q2b)."""
        client, worker = self.started()
        client.send(2, ENQUEUE, b"waits", headers=milliseconds(5000))
        self.clock.pass_time(3)

        worker.error(2, 42, 1, b"")

        self.assertEqual(worker.take(), [[3, 0, [b"waits"]]])

    def test_queue_time_counts(self) -> None:
        """The time at the worker is what the queue has left."""
        client, worker = self.started()
        client.send(2, ENQUEUE, b"waits", headers=milliseconds(5000))
        self.clock.pass_time(3)
        worker.error(2, 42, 1, b"")
        client.take()
        self.clock.pass_time(1.9)
        self.assertEqual(client.take(), [])

        self.clock.pass_time(0.2)

        self.assertEqual(client.take(), [[2, 1, [[20991, 3], DISCARDED]]])

    def test_profile(self) -> None:
        """Without the header the profile's request-timeout holds."""
        self.make_overseer(request_timeout=100)
        client, _ = self.started()
        client.send(2, ENQUEUE, b"waits")
        self.clock.pass_time(99.9)
        self.assertEqual(client.take(), [])

        self.clock.pass_time(0.2)

        self.assertEqual(
            sorted(client.take()),
            [[1, 1, [[20991, 3], DISCARDED]], [2, 1, EXPIRED]],
        )
        self.assert_quiet()

    def test_no_worker_ever(self) -> None:
        """An event that no worker takes expires all the same."""
        self.make_overseer(request_timeout=100, handshake_timeout=1000)
        client = self.client()
        client.send(1, ENQUEUE, b"event")
        self.clock.pass_time(99.9)
        self.assertEqual(client.take(), [])

        self.clock.pass_time(0.2)

        self.assertEqual(client.take(), [[1, 1, EXPIRED]])
        self.assert_quiet()

    def test_a_day(self) -> None:
        """The default is a day, and it comes to an end, too."""
        client, _ = self.started()
        self.clock.pass_time(86399)
        self.assertEqual(client.take(), [])

        self.clock.pass_time(1.1)

        self.assertEqual(client.take(), [[1, 1, [[20991, 3], DISCARDED]]])
        self.assert_quiet()

    def test_at_once(self) -> None:
        """A limit of 0 is over before it begins."""
        client = self.client()

        client.send(1, ENQUEUE, b"event", headers=milliseconds(0))

        self.assertEqual(client.take(), [[1, 1, EXPIRED]])
        self.assertEqual(self.isolate.spawns, [])
        self.assert_quiet()

    def test_endless(self) -> None:
        """The largest limit there is does no harm."""
        client = self.client()

        client.send(1, ENQUEUE, b"event", headers=milliseconds((1 << 64) - 1))

        self.assertEqual(self.worker().take(), [[2, 0, [b"event"]]])

    def test_many(self) -> None:
        """Each event expires at its own time, in any order of arrival."""
        client, _ = self.started()
        for channel in range(2, 52):
            late = (channel * 37) % 50
            client.send(channel, ENQUEUE, b"e", headers=milliseconds(100 + late * 100))

        expired = []
        for _ in range(60):
            self.clock.pass_time(0.1)
            expired.append(len(client.take()))

        self.assertEqual(sum(expired), 50)
        self.assertEqual(max(expired), 1)

    def test_poison(self) -> None:
        """A limit that is none fails its own event and no other (Q3c, Q3d)."""
        client, other = self.client(), self.client()
        poison = [[False, b"request_timeout", b"500"]]

        client.send(1, ENQUEUE, b"ping", headers=poison)
        other.send(1, ENQUEUE, b"ping")

        self.assertEqual(
            client.take(),
            [
                [
                    1,
                    1,
                    [
                        [7, 2],
                        b"header request_timeout is not an 8-byte little-endian"
                        b" number of milliseconds",
                    ],
                ]
            ],
        )
        self.assertEqual(self.worker().take(), [[2, 0, [b"ping"]]])


class DrainTests(AppCase):
    """An app that finishes its work."""

    profile = {"concurrency": 1, "pool-limit": 1}

    def test_idle(self) -> None:
        """Without events it is over at once."""
        self.successResultOf(self.overseer.drain())

    def test_takes_no_more(self) -> None:
        """New events are refused."""
        self.overseer.drain()
        client = self.client()

        client.send(1, ENQUEUE, b"event")

        self.assertEqual(client.take(), [[1, 1, STOPPED]])

    def test_finishes_all(self) -> None:
        """Events at work and those that wait are finished first."""
        client, worker = self.started()
        client.send(2, ENQUEUE, b"waits")
        drained = self.overseer.drain()
        self.finish(client, worker, 1, 2)
        self.assertNoResult(drained)

        self.finish(client, worker, 2, 3)

        self.successResultOf(drained)
        self.assert_quiet()

    def test_waits_for_a_worker(self) -> None:
        """An event that waits still gets a worker."""
        client = self.client()
        client.send(1, ENQUEUE, b"event")
        drained = self.overseer.drain()

        worker = self.worker()
        self.finish(client, worker, 1, 2)

        self.successResultOf(drained)

    def test_expires(self) -> None:
        """An event that expires in the queue is finished, too."""
        client = self.client()
        client.send(1, ENQUEUE, b"event", headers=milliseconds(500))
        drained = self.overseer.drain()

        self.clock.pass_time(0.6)

        self.successResultOf(drained)


class StopTests(AppCase):
    """The end of the pool."""

    profile = {"concurrency": 1, "pool-limit": 2, "terminate-timeout": 10}

    def test_empty(self) -> None:
        """Without workers it is over at once."""
        self.assert_ended()

    def test_waiting_events(self) -> None:
        """Those that wait are answered [12, 32]."""
        client = self.client()
        client.send(1, ENQUEUE, b"event")

        stopped = self.overseer.stop()
        self.clock.pass_time(0)

        self.assertEqual(client.take(), [[1, 1, STOPPED]])
        self.assertEqual(self.spawn().killed, 1)
        self.successResultOf(stopped)
        self.assert_ended()

    def test_spawning(self) -> None:
        """A spawn under way is cancelled."""
        self.isolate.slow = True
        self.client().send(1, ENQUEUE, b"event")

        stopped = self.overseer.stop()

        self.assertTrue(self.spawn().cancelled)
        self.successResultOf(stopped)
        self.assert_ended()

    def test_events_at_work(self) -> None:
        """Those at work may finish until their worker answers; then [2, 125]."""
        client, worker = self.started()
        client.send(1, CLOSE)
        worker.take()
        stopped = self.overseer.stop()
        self.assertEqual(worker.take(), [[1, 1, [11, b"overseer is shutting down"]]])
        worker.chunk(2, b"part")
        self.assertNoResult(stopped)

        worker.terminate(11)

        self.assertEqual(
            client.take(), [[1, 0, [b"part"]], [1, 1, [[2, 125], DISCARDED]]]
        )
        self.clock.pass_time(2)
        self.successResultOf(stopped)
        self.assertEqual(self.overseer.stats.crashed, 0)
        self.assert_ended()

    def test_deadline_meanwhile(self) -> None:
        """Those at work are late at their deadline, not at the worker's end."""
        client = self.client()
        client.send(1, ENQUEUE, b"event", headers=milliseconds(2000))
        worker = self.worker()
        stopped = self.overseer.stop()
        self.clock.pass_time(1.9)
        self.assertEqual(client.take(), [])

        self.clock.pass_time(0.2)

        self.assertEqual(client.take(), [[1, 1, [[20991, 3], DISCARDED]]])
        worker.terminate(11)
        self.clock.pass_time(2)
        self.successResultOf(stopped)
        self.assert_ended()

    def test_no_answer(self) -> None:
        """Without an answer terminate-timeout ends it: row 115."""
        self.started()
        stopped = self.overseer.stop()
        self.clock.pass_time(9.9)
        self.assertNoResult(stopped)

        self.clock.pass_time(0.1)

        self.successResultOf(stopped)
        self.assertEqual(self.spawn().killed, 1)
        self.assert_ended()

    def test_patience(self) -> None:
        """A shorter patience kills sooner."""
        self.started()
        stopped = self.overseer.stop(3)
        self.clock.pass_time(2.9)
        self.assertNoResult(stopped)

        self.clock.pass_time(0.1)

        self.successResultOf(stopped)
        self.assert_ended()

    def test_patience_with_a_worker_on_its_way(self) -> None:
        """A worker that has answered and does not exit is killed then, too."""
        self.isolate.obedient = False
        _, worker = self.started()
        stopped = self.overseer.stop(3)
        worker.terminate(11)
        self.clock.pass_time(2.9)
        self.assertEqual((self.spawn().asked, self.spawn().killed), (1, 0))

        self.clock.pass_time(0.1)

        self.assertEqual(self.spawn().killed, 1)
        self.spawn().exit(-9)
        self.successResultOf(stopped)
        self.assert_ended()

    def test_no_more_events(self) -> None:
        """A connection that outlives the app is told so (§7.1)."""
        client, worker = self.started()
        self.overseer.stop()
        worker.terminate(11)
        client.take()

        client.send(2, ENQUEUE, b"event")

        self.assertEqual(client.take(), [[2, 1, STOPPED]])
        self.assert_ended()

    def test_back_off(self) -> None:
        """A pool that waits to spawn again stops without a trace."""
        _, worker = self.started()
        worker.disconnect()
        self.clock.pass_time(0.5)

        self.assert_ended()

        self.clock.pass_time(60)
        self.assertEqual(len(self.isolate.spawns), 1)

    def test_dying_worker(self) -> None:
        """A worker that breaks during the stop is not replaced."""
        _, worker = self.started()
        stopped = self.overseer.stop()
        worker.disconnect()
        self.clock.pass_time(60)

        self.successResultOf(stopped)
        self.assertEqual(len(self.isolate.spawns), 1)
        self.assert_ended()

    def test_controlled(self) -> None:
        """A number asked for after the end spawns nobody."""
        controller = self.client()
        controller.send(1, CONTROL)
        self.overseer.stop()

        controller.send(1, WRITE, 2)

        self.assertEqual(self.isolate.spawns, [])
        controller.send(1, CLOSE)
        self.assert_ended()

    def test_client_gone_meanwhile(self) -> None:
        """A client that leaves during the stop is told to its worker."""
        client, worker = self.started()
        self.overseer.stop()
        worker.take()

        client.disconnect()

        self.assertEqual(worker.take(), [[2, 1, CLIENT_GONE]])
        self.assert_ended()


class RequestTimeoutTests(SynchronousTestCase):
    """The header ``request_timeout`` (protocol.md §1.5)."""

    def test_milliseconds(self) -> None:
        """Eight bytes, little-endian, milliseconds."""
        headers = [
            (b"x", b"y"),
            (b"request_timeout", bytes.fromhex("f401000000000000")),
        ]

        self.assertEqual(request_timeout(headers, 7), 0.5)

    def test_absent(self) -> None:
        """Without it the default holds."""
        self.assertEqual(request_timeout([(b"x", b"y")], 7), 7)

    def test_wrong_size(self) -> None:
        """Anything else is refused."""
        for value in (b"", b"500", bytes(7), bytes(9)):
            with self.assertRaises(InvalidArgument):
                request_timeout([(b"request_timeout", value)], 7)
