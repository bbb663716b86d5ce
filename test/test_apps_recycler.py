# -*- test-case-name: cocained.test.test_apps_recycler -*-
"""
Workers that are replaced: the successor first, and one at a time.
"""

from __future__ import annotations

from typing import Any

from cocained.apps.recycler import SWEEP
from cocained.errors import SpawnError
from cocained.test.app_case import CLOSE, CONTROL, ENQUEUE, WRITE, AppCase
from cocained.testing import Peer, ScriptedWorker


class RecycleCase(AppCase):
    """A pool whose workers are replaced."""

    recycle: dict[str, Any] = {}

    def setUp(self) -> None:
        self.channel = 0
        self.profile = {
            "pool-limit": 2,
            "concurrency": 2,
            "heartbeat-timeout": 10_000,
            "recycle": {"jitter": 0.0, **self.recycle},
        }
        super().setUp()

    def serve(self, client: Peer, worker: ScriptedWorker, number: int = 1) -> None:
        """Let a worker answer so many events, one after the other."""
        for _ in range(number):
            self.channel += 1
            client.send(self.channel, ENQUEUE, b"ping")
            ((channel, _, _),) = [
                frame for frame in worker.take() if frame[2] == [b"ping"]
            ]
            worker.send(channel, WRITE, b"pong")
            self.finish(client, worker, self.channel, channel)

    def spawned(self) -> int:
        return len(self.isolate.spawns)


class RequestTests(RecycleCase):
    """Replaced after so many requests."""

    recycle = {"requests": 3}

    def first(self) -> tuple[Peer, ScriptedWorker]:
        """Serve one event with the first worker."""
        client, worker = self.started()
        self.channel = 1
        self.finish(client, worker, 1, 2)
        return client, worker

    def test_not_yet(self) -> None:
        """Below its limit a worker stays."""
        client, worker = self.first()
        self.serve(client, worker)

        self.assertEqual(self.spawned(), 1)
        self.assert_ended()

    def test_successor_first(self) -> None:
        """The old one takes events until the successor does; then it ends."""
        client, old = self.first()
        self.serve(client, old, 2)
        self.assertEqual(self.spawned(), 2)
        self.assertEqual(self.states(), ["active", "handshaking"])
        self.serve(client, old)

        fresh = self.worker(1)

        self.assertEqual(self.states(), ["active", "terminating"])
        self.assertEqual(self.overseer.pool.active, 1)
        self.serve(client, fresh)
        self.assertEqual(self.overseer.stats.crashed, 0)
        self.assert_ended()

    def test_no_event_fails(self) -> None:
        """The old one finishes what it has."""
        client, old = self.first()
        self.serve(client, old)
        self.channel = mine = self.channel + 1
        client.send(mine, ENQUEUE, b"long")
        ((its, _, _),) = [f for f in old.take() if f[2] == [b"long"]]
        self.serve(client, old)
        self.worker(1)
        self.assertEqual(self.states(), ["active", "sealing"])

        old.send(its, WRITE, b"done")
        old.close(its)
        client.send(mine, CLOSE)

        self.assertIn([mine, WRITE, [b"done"]], client.take())
        self.assertEqual(self.states(), ["active", "terminating"])
        self.assert_ended()

    def test_fixed_pool(self) -> None:
        """A number set by ``control`` is kept, and so is the successor."""
        client, old = self.first()
        self.channel = mine = self.channel + 1
        client.send(mine, CONTROL)
        client.send(mine, 0, 1)
        self.serve(client, old, 2)
        self.worker(1)
        self.clock.pass_time(0)

        self.assertEqual(self.spawned(), 2)
        self.assertEqual(self.overseer.pool.active, 1)
        self.assertTrue(self.machine(1).is_running)
        client.send(mine, CLOSE)
        self.assert_ended()

    def test_successor_fails(self) -> None:
        """A successor that does not come up costs nobody anything."""
        client, old = self.first()
        self.serve(client, old, 2)
        self.spawn(1).exit(1)
        self.clock.pass_time(0)
        self.assertEqual(self.states(), ["active"])
        self.serve(client, old)
        self.assertEqual(self.spawned(), 2)

        self.clock.pass_time(1.1)
        self.serve(client, old)

        self.assertGreaterEqual(self.spawned(), 3)
        self.assertIn("active", self.states())
        self.assert_ended()

    def test_spawn_fails_at_once(self) -> None:
        """An isolate that refuses on the spot does not stop the old one."""
        client, old = self.first()
        self.serve(client, old)
        self.isolate.refusal = SpawnError("no more processes")
        self.serve(client, old)
        self.isolate.refusal = None

        self.serve(client, old)
        self.assertEqual(self.states(), ["active"])
        self.clock.pass_time(1.1)
        self.serve(client, old)

        self.assertIn("handshaking", self.states())
        self.assert_ended()

    def test_old_one_crashes(self) -> None:
        """When the old one ends by itself, the successor is just a worker."""
        client, old = self.first()
        self.serve(client, old, 2)
        old.disconnect()
        self.spawn(0).exit(1)
        fresh = self.worker(1)

        self.serve(client, fresh)

        self.assertEqual(self.overseer.pool.active, 1)
        self.assert_ended()

    def test_one_at_a_time(self) -> None:
        """The next is replaced when the former has gone."""
        client = self.client()
        self.make_overseer(grow_threshold=1, queue_limit=4, concurrency=1)
        client = self.client()
        client.send(1, ENQUEUE, b"a")
        client.send(2, ENQUEUE, b"b")
        workers = [self.worker(0), self.worker(1)]
        for worker in workers:
            ((its, _, _),) = worker.take()
            worker.close(its)
        for channel in (1, 2):
            client.send(channel, CLOSE)
        self.channel = 2
        for _ in range(2):
            for channel in (self.channel + 1, self.channel + 2):
                client.send(channel, ENQUEUE, b"x")
                client.send(channel, CLOSE)
            for worker in workers:
                for its, _, args in worker.take():
                    if args == [b"x"]:
                        worker.close(its)
            self.channel += 2
        self.assertEqual(self.spawned(), 3)

        self.worker(2)
        self.assertEqual(self.spawned(), 3)
        leaving = [
            number
            for number in (0, 1)
            if self.machine(number).state.value == "terminating"
        ]
        self.spawn(leaving[0]).exit(0)
        workers[leaving[0]].disconnect()
        self.clock.pass_time(0)

        self.assertEqual(self.spawned(), 4)
        self.assert_ended()

    def test_stop(self) -> None:
        """An app that stops replaces nobody."""
        client, old = self.first()
        self.serve(client, old)
        client.send(50, ENQUEUE, b"long")
        stopped = self.overseer.stop()

        old.disconnect()
        self.spawn(0).exit(0)
        self.clock.pass_time(0)

        self.successResultOf(stopped)
        self.assertEqual(self.spawned(), 1)


class SweepTests(RecycleCase):
    """Replaced after so much time, or with so much memory."""

    recycle = {"age": 60.0, "memory": 1000}

    def test_age(self) -> None:
        """One that is old enough is replaced at the next look, busy or not."""
        self.started()
        self.clock.pass_time(55)
        self.assertEqual(self.spawned(), 1)

        self.clock.pass_time(SWEEP)

        self.assertEqual(self.spawned(), 2)
        self.worker(1)
        self.assertEqual(self.states(), ["active", "sealing"])

    def test_memory(self) -> None:
        """One that takes too much is replaced at the next look."""
        self.started()
        self.spawn(0).resources = {"memory": 999}
        self.clock.pass_time(SWEEP)
        self.assertEqual(self.spawned(), 1)

        self.spawn(0).resources = {"memory": 1000}
        self.clock.pass_time(SWEEP)

        self.assertEqual(self.spawned(), 2)

    def test_unknown_memory(self) -> None:
        """An isolate that cannot say is no reason to replace anybody."""
        self.started()
        self.clock.pass_time(2 * SWEEP)

        self.assertEqual(self.spawned(), 1)

    def test_idleness_is_inherited(self) -> None:
        """An app without work goes to sleep in spite of its recycling."""
        self.make_overseer(idle_timeout=100)
        client, worker = self.started()
        self.finish(client, worker, 1, 2)
        self.clock.pass_time(60)
        self.worker(1)
        self.assertEqual(self.states(), ["active", "terminating"])

        self.clock.pass_time(41)

        self.assertNotIn("active", self.states())

    def test_no_timer_without_workers(self) -> None:
        """Nothing is looked at when there is nobody."""
        self.started()
        self.assert_ended()


class OffTests(RecycleCase):
    """Without limits."""

    def test_nobody_is_replaced(self) -> None:
        """Workers live on, and nothing looks at them."""
        client, worker = self.started()
        self.channel = 1
        self.finish(client, worker, 1, 2)
        self.serve(client, worker, 20)
        self.clock.pass_time(0)

        self.assertEqual(self.spawned(), 1)
        self.assertIsNone(self.overseer.pool._recycler)
