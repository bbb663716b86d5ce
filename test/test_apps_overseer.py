"""
The events of an app: who is taken, who waits, who is too late (protocol.md §10).
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.overseer import request_timeout
from cocained.errors import InvalidArgument
from cocained.test.app_case import (
    CLOSE,
    DISCARDED,
    ENQUEUE,
    WRITE,
    AppCase,
)
from cocained.test.overseer_case import EXPIRED, FULL, STOPPED, milliseconds
from cocained.testing import Peer


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

    def test_resumes(self) -> None:
        """A drain can be undone: events are taken again."""
        client, worker = self.started()
        drained = self.overseer.drain()
        drained.addErrback(lambda _: None)
        drained.cancel()
        self.assertTrue(self.overseer.is_closed)

        self.overseer.resume()

        self.assertFalse(self.overseer.is_closed)
        self.finish(client, worker, 1, 2)
        client.send(2, ENQUEUE, b"event")
        self.finish(client, worker, 2, 3)
        self.assert_quiet()

    def test_counts(self) -> None:
        """Events at work and those that wait are counted."""
        client, worker = self.started()
        client.send(2, ENQUEUE, b"waits")
        self.assertEqual(self.overseer.events, 2)

        self.finish(client, worker, 1, 2)

        self.assertEqual(self.overseer.events, 1)

    def test_expires(self) -> None:
        """An event that expires in the queue is finished, too."""
        client = self.client()
        client.send(1, ENQUEUE, b"event", headers=milliseconds(500))
        drained = self.overseer.drain()

        self.clock.pass_time(0.6)

        self.successResultOf(drained)


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
