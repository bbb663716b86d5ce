# -*- test-case-name: cocained.test.test_apps_burdens -*-
"""
Clients that do not read, workers that do not, and everybody else (decision 0007).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cocained.apps.burdens import LOOK, PATIENCE, RELIEF
from cocained.rpc.wire import Limits
from cocained.test.app_case import ENQUEUE, WRITE, AppCase
from cocained.testing import Peer, ScriptedWorker

#: What the client and the worker of a stream are told that had to go.
GIVEN_UP = [[20991, 2], b"nothing was read for 5 s while others waited for the worker"]


class BurdenCase(AppCase):
    """One worker that is stuck, with room for more beside it."""

    profile: Mapping[str, Any] = {"pool-limit": 2, "concurrency": 10}
    limits = Limits(write_stall=600.0)

    def stuck_by_a_client(self) -> tuple[Peer, ScriptedWorker]:
        """Let a worker stream to a client that does not read."""
        client, worker = self.started()
        client.stop_reading()
        self.stream(worker)
        return client, worker

    def stream(self, worker: ScriptedWorker, channel: int = 2) -> None:
        """Send more on a channel than a client has to take unasked."""
        for _ in range(4):
            worker.chunk(channel, b"x" * 100_000)

    def calls(self) -> int:
        """Count the looks that are due; the app has other timers, later ones."""
        horizon = self.clock.seconds() + LOOK
        return sum(call.getTime() <= horizon for call in self.clock.getDelayedCalls())


class ShunTests(BurdenCase):
    """A worker that is stuck gets no new events."""

    def test_new_events_go_elsewhere(self) -> None:
        """Another worker is spawned in its place, and has the next events."""
        _, worker = self.stuck_by_a_client()
        self.assertTrue(worker.transport.paused)

        self.clock.pass_time(3 * LOOK)

        self.assertEqual(len(self.isolate.spawns), 2)
        second = self.worker()
        other = self.client()
        for channel in range(1, 11):
            other.send(channel, ENQUEUE, b"next")
        self.assertEqual(len(second.take()), 10)

    def test_waiting_for_another(self) -> None:
        """While the other worker starts new events wait for it, not for this one."""
        self.stuck_by_a_client()
        self.clock.pass_time(3 * LOOK)
        other = self.client()

        other.send(1, ENQUEUE, b"next")

        self.assertEqual(self.overseer.waiting, 1)
        self.assertEqual(self.worker().take(), [[2, 0, [b"next"]]])

    def test_worker_does_not_read(self) -> None:
        """One that does not read is shunned as well."""
        client, worker = self.started()
        worker.stop_reading()
        for _ in range(4):
            client.send(1, WRITE, b"x" * 100_000)
        self.assertTrue(client.transport.paused)

        self.clock.pass_time(3 * LOOK)

        self.assertEqual(list(self.overseer.pool.shunned), [self.machine(0)])
        self.assertEqual(len(self.isolate.spawns), 2)

    def test_last_place(self) -> None:
        """Without room for others it still gets them: late is better than never."""
        self.make_overseer(pool_limit=1)
        client, worker = self.stuck_by_a_client()
        self.clock.pass_time(3 * LOOK)

        self.client().send(1, ENQUEUE, b"next")

        self.assertEqual(self.overseer.pool.shunned, {})
        self.assertEqual(len(self.isolate.spawns), 1)
        self.assertEqual(worker.take(), [[3, 0, [b"next"]]])
        client.disconnect()

    def test_short_wait(self) -> None:
        """A client that is only slow for a moment changes nothing."""
        client, _ = self.stuck_by_a_client()
        self.clock.pass_time(LOOK)
        client.read_again()

        self.clock.pass_time(2 * RELIEF)

        self.assertEqual(len(self.isolate.spawns), 1)
        self.assertEqual(self.overseer.pool.shunned, {})
        self.assertEqual(self.calls(), 0)

    def test_stop_and_go(self) -> None:
        """A fast client that pauses its worker all the time does not matter."""
        client, worker = self.stuck_by_a_client()
        for _ in range(20):
            self.clock.pass_time(LOOK / 2)
            client.read_again()
            client.stop_reading()
            self.stream(worker)

        self.assertEqual(len(self.isolate.spawns), 1)

    def test_welcome(self) -> None:
        """Some time after it has gone on it is a worker like others."""
        client, worker = self.stuck_by_a_client()
        self.clock.pass_time(3 * LOOK)
        second = self.worker()
        self.assertEqual(list(self.overseer.pool.shunned), [self.machine(0)])

        client.read_again()
        self.clock.pass_time(RELIEF + 2 * LOOK)

        self.assertEqual(self.overseer.pool.shunned, {})
        self.assertEqual(len(self.overseer.pool._burdens), 0)
        self.assertEqual(self.calls(), 0)
        self.finish(client, worker, 1, 2)
        other = self.client()
        other.send(1, ENQUEUE, b"a")
        other.send(2, ENQUEUE, b"b")
        self.assertEqual([len(worker.take()), len(second.take())], [1, 1])

    def test_policy(self) -> None:
        """The pool keeps its limit, and one place in it is never shunned."""
        _, first = self.stuck_by_a_client()
        self.clock.pass_time(3 * LOOK)
        second = self.worker()
        slow = self.client()
        slow.send(1, ENQUEUE, b"slow")
        slow.stop_reading()
        self.stream(second)

        self.clock.pass_time(3 * LOOK)

        self.assertTrue(first.transport.paused and second.transport.paused)
        self.assertEqual(list(self.overseer.pool.shunned), [self.machine(0)])
        self.assertEqual(len(self.isolate.spawns), 2)

    def test_report(self) -> None:
        """In reports it is a worker with its load."""
        self.stuck_by_a_client()
        self.clock.pass_time(3 * LOOK)

        pool = self.overseer.pool
        self.assertEqual((pool.load, pool.busy, pool.active), (1, 1, 1))

    def test_death(self) -> None:
        """A shunned worker that dies leaves its place to another."""
        _, worker = self.stuck_by_a_client()
        self.clock.pass_time(3 * LOOK)

        worker.disconnect()

        pool = self.overseer.pool
        self.assertEqual((pool.shunned, pool.active), ({}, 0))
        self.assertEqual(pool.limits.pool, 2)
        self.assertEqual(self.calls(), 0)

    def test_stop(self) -> None:
        """When the app stops nothing is left of it."""
        client, _ = self.stuck_by_a_client()
        self.clock.pass_time(3 * LOOK)
        client.disconnect()
        self.assert_ended()


class PatienceTests(BurdenCase):
    """A client that takes nothing while others wait."""

    def crowd(self) -> tuple[Peer, Peer, ScriptedWorker]:
        """Give a client that does not read, one that does, and their worker."""
        client, worker = self.started()
        other = self.client()
        other.send(1, ENQUEUE, b"other")
        self.assertEqual(worker.take(), [[3, 0, [b"other"]]])
        client.stop_reading()
        self.stream(worker)
        worker.chunk(3, b"late")
        return client, other, worker

    def test_given_up(self) -> None:
        """Its stream ends with an error on both sides, and others go on."""
        client, other, worker = self.crowd()
        self.clock.pass_time(PATIENCE - LOOK)
        self.assertEqual(other.take(), [])

        self.clock.pass_time(3 * LOOK)

        self.assertEqual(other.take(), [[1, 0, [b"late"]]])
        self.assertEqual(worker.take(), [[2, 1, GIVEN_UP]])
        self.assertFalse(client.is_closed)
        client.read_again()
        self.assertEqual(client.take()[-1], [1, 1, GIVEN_UP])
        self.finish(other, worker, 1, 3)
        self.clock.pass_time(RELIEF + LOOK)
        self.assert_quiet()

    def test_what_comes_later(self) -> None:
        """What the worker still sends on that channel is dropped, and held no more."""
        client, other, worker = self.crowd()
        self.clock.pass_time(PATIENCE + 3 * LOOK)
        waiting = client.transport.waiting

        for _ in range(50):
            self.stream(worker)

        self.assertEqual(client.transport.waiting, waiting)
        self.assertFalse(worker.transport.paused)
        worker.chunk(3, b"on")
        self.assertEqual(other.take()[-1], [1, 0, [b"on"]])

    def test_slow_is_not_stopped(self) -> None:
        """A client that takes a part now and then keeps its stream."""
        client, other, worker = self.crowd()
        for _ in range(4):
            self.clock.pass_time(PATIENCE - 1)
            client.read_again()
            client.stop_reading()
            self.stream(worker)

        client.read_again()

        self.assertEqual(len(client.take()), 20)
        self.assertEqual(other.take(), [[1, 0, [b"late"]]])

    def test_nobody_waits(self) -> None:
        """Without others at its worker a client may take its time."""
        client, worker = self.stuck_by_a_client()
        self.clock.pass_time(10 * PATIENCE)
        self.assertTrue(worker.transport.paused)

        client.read_again()

        self.assertEqual(len(client.take()), 4)
        self.finish(client, worker, 1, 2)

    def test_small_answers(self) -> None:
        """A client that does not read holds no worker that has a word for it."""
        client, other, worker = self.crowd()
        client.read_again()
        client.send(2, ENQUEUE, b"more")
        client.stop_reading()
        client.transport.write(b"x" * 200_000)
        self.assertTrue(client.session.congested)

        worker.chunk(4, b"a word")
        worker.chunk(3, b"on")

        self.assertEqual(other.take()[-1], [1, 0, [b"on"]])

    def test_events_that_are_over(self) -> None:
        """A worker is let go as well if the event has expired meanwhile."""
        client = self.client()
        second = (1000).to_bytes(8, "little")
        client.send(1, ENQUEUE, b"x", headers=[[False, b"request_timeout", second]])
        worker = self.worker()
        other = self.client()
        other.send(1, ENQUEUE, b"other")
        client.stop_reading()
        self.stream(worker)
        worker.chunk(3, b"late")
        self.clock.pass_time(2)
        self.assertEqual(self.overseer.pool.load, 1)
        self.assertEqual(other.take(), [])

        self.clock.pass_time(PATIENCE)

        self.assertEqual(other.take(), [[1, 0, [b"late"]]])


class SmallTalkTests(BurdenCase):
    """Clients with a word for a worker that does not read."""

    def test_not_held(self) -> None:
        """They are read on, and their other events go on."""
        client, worker = self.started()
        other = self.client()
        other.send(1, ENQUEUE, b"here")
        worker.stop_reading()
        for _ in range(4):
            client.send(1, WRITE, b"x" * 100_000)
        self.clock.pass_time(3 * LOOK)
        second = self.worker()
        other.send(2, ENQUEUE, b"there")
        second.take()

        other.send(1, WRITE, b"a word")
        other.send(2, WRITE, b"on")

        self.assertEqual(second.take(), [[2, 0, [b"on"]]])
        self.assertTrue(client.transport.paused)
        self.assertFalse(other.transport.paused)

    def test_held_at_last(self) -> None:
        """Who goes on and on is held like everybody."""
        client, worker = self.started()
        other = self.client()
        other.send(1, ENQUEUE, b"here")
        worker.stop_reading()
        for _ in range(4):
            client.send(1, WRITE, b"x" * 100_000)
        for _ in range(100):
            other.send(1, WRITE, b"a word" * 200)

        self.assertTrue(other.transport.paused)
        worker.read_again()
        self.assertFalse(other.transport.paused)
