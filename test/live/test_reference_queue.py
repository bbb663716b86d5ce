# -*- test-case-name: cocained.test.live.test_reference_queue -*-
"""
Queue and pool, probe by probe (reference-behaviour.md §7.3).
"""

from __future__ import annotations

from typing import Any

from cocained.test.live.support import (
    AppCase,
    Client,
    differs,
    live_suite,
    pack,
    wait_for,
)
from cocained.test.live.transcript import play


def milliseconds(number: int) -> str:
    """Write the header that limits a request."""
    value = number.to_bytes(8, "little").hex()
    return f'[[false, "request_timeout", h"{value}"]]'


class SlotTests(AppCase):
    """One worker with one slot."""

    limits = {"concurrency": 1}

    def test_q0_slot(self) -> None:
        """A slot is held until both sides have closed."""
        self.play(
            "probe",
            """
            > [1, 0, ["ping"]]
            < [1, 0, ["pong"]]
            < [1, 2, []]
            > [2, 0, ["ping"]]
            < (no answer)
            > [1, 2, []]
            < [2, 0, ["pong"]]
            < [2, 2, []]
            """,
        )

    def test_q0_disconnected(self) -> None:
        """A client that leaves without its close frees the slot."""
        first = self.connect("probe")
        play(first, '> [1, 0, ["ping"]]\n< [1, 0, ["pong"]]\n< [1, 2, []]')
        second = self.connect("probe")
        play(second, '> [1, 0, ["ping"]]\n< (no answer)')
        first.close()
        play(second, '< [1, 0, ["pong"]]\n< [1, 2, []]')

    @differs("Q2")
    def test_q2_expired(self) -> None:
        """An event that has waited too long is answered when its time is over."""
        self.play(
            "probe",
            f"""
            > [1, 0, ["hang"]]
            > [2, 0, ["ping"], {milliseconds(300)}]
            > [2, 2, []]
            < [2, 1, [[20991, 1], "the event has expired in the queue"]]
            """,
        )

    def test_q2b_in_time(self) -> None:
        """An event that waits less than its limit is served."""
        self.play(
            "probe",
            f"""
            > [1, 0, ["late"]]
            > [1, 2, []]
            > [2, 0, ["ping"], {milliseconds(5000)}]
            > [2, 2, []]
            < [1, 0, ["late"]]
            < [1, 2, []]
            < [2, 0, ["pong"]]
            < [2, 2, []]
            """,
        )

    def test_q2c_at_work(self) -> None:
        """An event that takes too long is given up, and its worker is kept."""
        self.play(
            "probe",
            f"""
            > [1, 0, ["late3"], {milliseconds(300)}]
            > [1, 2, []]
            < [1, 1, [[20991, 3], "slave has been discarded"]]
            > [2, 0, ["ping"]]
            < [2, 0, ["pong"]]
            < [2, 2, []]
            """,
        )
        self.assertEqual(self.node.info("probe")[b"pool"][b"total:spawned"], 1)

    @differs("Q3c")
    def test_q3_poison(self) -> None:
        """A limit that is no number fails its request, and blocks nobody."""
        self.play(
            "probe",
            """
            > [1, 0, ["ping"], [[false, "request_timeout", "500"]]]
            < [1, 1, [[7, 2], ~"request_timeout"]]
            """,
        )
        self.play("probe", '> [1, 0, ["ping"]]\n< [1, 0, ["pong"]]\n< [1, 2, []]')

    def test_gone_clients(self) -> None:
        """What a client has asked for is handed to a worker though it has left."""
        busy = self.connect("probe")
        play(busy, '> [1, 0, ["hang"]]\n< (no answer)')
        gone = self.connect("probe")
        gone.send(1, 0, ["echo"])
        gone.send(1, 0, ["left behind"])
        gone.close()
        busy.close()
        seen = [args for _, _, args, _ in self.ask("seen")]
        self.assertIn([b"left behind"], seen)


def flood(client: Client, count: int) -> list[Any]:
    """Send so many requests that hang, in one packet; give what is refused."""
    client.send_bytes(
        b"".join(pack([number, 0, ["hang"]]) for number in range(1, count + 1))
    )
    return client.rest(1.0)


class ProfileTests(AppCase):
    """A deadline that all requests have, one slot."""

    limits = {"concurrency": 1, "request-timeout": 0.5}

    @differs("Q2")
    def test_profile(self) -> None:
        """It holds in the queue and at work, and a request may ask for another."""
        control = self.connect("probe")
        play(control, "> [1, 2, []]\n> [1, 0, [1]]\n< (no answer)")
        wait_for("the worker", lambda: self.states() == [b"active"], 10)
        self.play(
            "probe",
            f"""
            > [1, 0, ["hang"], {milliseconds(2000)}]
            > [1, 2, []]
            > [2, 0, ["ping"]]
            > [2, 2, []]
            < [2, 1, [[20991, 1], "the event has expired in the queue"]]
            < (no answer)
            < [1, 1, [[20991, 3], "slave has been discarded"]]
            > [3, 0, ["hang"]]
            > [3, 2, []]
            < [3, 1, [[20991, 3], "slave has been discarded"]]
            > [4, 0, ["ping"]]
            < [4, 0, ["pong"]]
            < [4, 2, []]
            """,
        )
        self.assertEqual(self.node.info("probe")[b"pool"][b"total:spawned"], 1)

    def states(self) -> list[bytes]:
        """Give the states of the workers."""
        slaves = self.node.info("probe")[b"pool"][b"slaves"]
        return [slave[b"state"] for slave in slaves.values()]


class FullQueueTests(AppCase):
    """Ten workers of ten slots and a queue of a hundred."""

    limits = {"pool-limit": 10, "queue-limit": 100, "concurrency": 10}

    @differs("queue is full")
    def test_warm(self) -> None:
        """Of 500 requests 200 are accepted; the others hear why they are not."""
        control = self.connect("probe")
        control.send(1, 2, [])
        control.send(1, 0, [10])
        wait_for("ten workers", lambda: self.ready() == 10, 10)
        refused = flood(self.connect("probe"), 500)
        self.assertEqual(len(refused), 300)
        self.assertEqual(
            {(kind, *args[0], args[1]) for _, kind, args, *_ in refused},
            {(1, 21247, 1, b"queue is full")},
        )
        self.assertEqual(min(frame[0] for frame in refused), 201)
        requests = self.node.info("probe")[b"requests"]
        self.assertEqual(requests, {b"accepted": 200, b"rejected": 300})

    def ready(self) -> int:
        """Count the workers that take events."""
        slaves = self.node.info("probe")[b"pool"][b"slaves"].values()
        return sum(slave[b"state"] == b"active" for slave in slaves)

    def test_cold(self) -> None:
        """Without workers yet, the queue takes what it holds, in order."""
        refused = flood(self.connect("probe"), 150)
        self.assertGreaterEqual(min(frame[0] for frame in refused), 101)
        self.assertLessEqual(len(refused), 50)


class NoQueueTests(AppCase):
    """Two workers of three slots and no queue."""

    limits = {"pool-limit": 2, "queue-limit": 0, "concurrency": 3}

    def test_no_queue(self) -> None:
        """Of 20 requests 6 are accepted; what follows a refused one is swallowed."""
        app = self.connect("probe")
        refused = flood(app, 20)
        self.assertEqual(len(refused), 14)
        channel = refused[-1][0]
        play(
            app,
            f"""
            > [{channel}, 0, ["a chunk"]]
            > [{channel}, 2, []]
            < (no answer)
            > [21, 65533, []]
            < [21, 0, []]
            """,
        )


class SmallQueueTests(AppCase):
    """Three workers of two slots and a queue of thirty."""

    limits = {"pool-limit": 3, "queue-limit": 30, "concurrency": 2}

    def test_small(self) -> None:
        """Of 100 requests at once to no worker yet the queue takes its 30."""
        refused = flood(self.connect("probe"), 100)
        # The first workers may be there before the last requests.
        self.assertIn(100 - len(refused), range(30, 37))
        self.assertEqual(refused[0][0], 31)


test_suite = live_suite(__name__)
