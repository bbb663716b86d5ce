"""
The pool of an app under control, and its end.
"""

from __future__ import annotations

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
from cocained.test.overseer_case import STOPPED, milliseconds


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
