"""
One event between its client and its worker (protocol.md §7.1, §8.4).
"""

from __future__ import annotations

from cocained.apps import invocation
from cocained.test.app_case import (
    CLIENT_GONE,
    CLOSE,
    ENQUEUE,
    ERROR,
    WRITE,
    AppCase,
)
from cocained.test.invocation_case import timeout


class RelayTests(AppCase):
    """What is said on one side is heard on the other."""

    def test_cold_start(self) -> None:
        """The first event starts a worker and is answered by it (A0)."""
        client = self.client()
        client.send(1, ENQUEUE, b"ping")
        worker = self.worker()

        self.assertEqual(worker.take(), [[2, 0, [b"ping"]]])
        worker.chunk(2, b"pong")
        worker.close(2)

        self.assertEqual(client.take(), [[1, 0, [b"pong"]], [1, 2, []]])
        client.send(1, CLOSE)
        self.assertEqual(worker.take(), [[2, 2, []]])
        self.assert_quiet()
        self.assert_ended()

    def test_chunks_both_ways(self) -> None:
        """
        Chunks travel as they come, in order (A1): rows 111, 155 and 156 of
        legacy-and-seeds.md.
        """
        client, worker = self.started(b"echo")

        for data in (b"one", b"two", b"three"):
            client.send(1, WRITE, data)
            self.assertEqual(worker.take(), [[2, 0, [data]]])
            worker.chunk(2, data)
            self.assertEqual(client.take(), [[1, 0, [data]]])
        client.send(1, CLOSE)
        self.assertEqual(worker.take(), [[2, 2, []]])
        worker.close(2)

        self.assertEqual(client.take(), [[1, 2, []]])
        self.assert_quiet()

    def test_answer_first(self) -> None:
        """The worker may close before the client does (A2)."""
        client, worker = self.started()

        worker.close(2)
        self.assertEqual(client.take(), [[1, 2, []]])
        client.send(1, WRITE, b"late")
        client.send(1, CLOSE)

        self.assertEqual(worker.take(), [[2, 0, [b"late"]], [2, 2, []]])
        self.assert_quiet()

    def test_question_first(self) -> None:
        """The client may close before the worker answers (A4)."""
        client, worker = self.started()
        client.send(1, CLOSE)

        for number in range(3):
            worker.chunk(2, b"c%d" % number)
        worker.close(2)

        self.assertEqual(
            client.take(),
            [[1, 0, [b"c0"]], [1, 0, [b"c1"]], [1, 0, [b"c2"]], [1, 2, []]],
        )
        self.assert_quiet()

    def test_interleaved(self) -> None:
        """
        Events of one connection do not disturb each other (A16): row 119 of
        legacy-and-seeds.md.
        """
        client, worker = self.started()
        client.send(2, ENQUEUE, b"second")
        client.send(2, WRITE, b"b")
        client.send(1, WRITE, b"a")
        self.assertEqual(
            worker.take(), [[3, 0, [b"second"]], [3, 0, [b"b"]], [2, 0, [b"a"]]]
        )

        worker.chunk(3, b"B")
        worker.chunk(2, b"A")
        self.assertEqual(client.take(), [[2, 0, [b"B"]], [1, 0, [b"A"]]])

        self.finish(client, worker, 1, 2)
        self.finish(client, worker, 2, 3)
        self.assert_quiet()

    def test_duplicate_is_a_chunk(self) -> None:
        """A second enqueue on the same channel is a chunk (A15)."""
        client, worker = self.started(b"echo")

        client.send(1, ENQUEUE, b"echo")

        self.assertEqual(worker.take(), [[2, 0, [b"echo"]]])

    def test_empty_and_binary(self) -> None:
        """Empty chunks pass, and so do strings of msgpack's new kind (A21)."""
        client, worker = self.started()

        client.send(1, WRITE, b"")
        client.send_bytes(bytes.fromhex("93010091c4027a7a"))

        self.assertEqual(worker.take(), [[2, 0, [b""]], [2, 0, [b"zz"]]])

    def test_extra_arguments(self) -> None:
        """More arguments than needed are ignored (X3, X4)."""
        client, worker = self.started()

        client.send(1, WRITE, b"a", b"b")
        client.send(1, CLOSE, 1)

        self.assertEqual(worker.take(), [[2, 0, [b"a"]], [2, 2, []]])

    def test_tag(self) -> None:
        """The tag of old clients means nothing (§7.2)."""
        client = self.client()

        client.send(1, ENQUEUE, b"event", b"some worker")

        self.assertEqual(self.worker().take(), [[2, 0, [b"event"]]])

    def test_sizes(self) -> None:
        """Chunks of every size pass both ways, in pieces or whole."""
        client, worker = self.started()
        for size in (31, 32, 4095, 4096, 65535, 65536, 1 << 20):
            data = bytes([size % 251]) * size

            client.send(1, WRITE, data)
            self.assertEqual(worker.take(), [[2, 0, [data]]])
            worker.chunk(2, data)
            self.assertEqual(client.take(), [[1, 0, [data]]])

    def test_finished_twice(self) -> None:
        """Frames after one's own end are dropped, others are served (A12, A13)."""
        client, worker = self.started()
        client.send(1, CLOSE)
        client.send(1, CLOSE)
        client.send(1, WRITE, b"x")

        client.send(2, ENQUEUE, b"second")

        self.assertEqual(worker.take(), [[2, 2, []], [3, 0, [b"second"]]])
        self.assertEqual(client.session.dropped, 2)


class WaitingTests(AppCase):
    """While no worker has the event."""

    def test_kept_in_order(self) -> None:
        """What comes before a worker is there follows the invoke at once."""
        client = self.client()
        client.send(1, ENQUEUE, b"event")
        client.send(1, WRITE, b"one")
        client.send(1, WRITE, b"two" * 5000)
        client.send(1, CLOSE)

        worker = self.worker()

        self.assertEqual(
            worker.take(),
            [[2, 0, [b"event"]], [2, 0, [b"one"]], [2, 0, [b"two" * 5000]], [2, 2, []]],
        )
        worker.close(2)
        self.assertEqual(client.take(), [[1, 2, []]])
        self.assert_quiet()

    def test_client_error(self) -> None:
        """A client that gives up is heard when a worker is there (A11)."""
        client = self.client()
        client.send(1, ENQUEUE, b"event")
        client.send(1, ERROR, [1, 2], b"gave up")

        worker = self.worker()

        self.assertEqual(
            worker.take(), [[2, 0, [b"event"]], [2, 1, [[1, 2], b"gave up"]]]
        )
        worker.close(2)
        self.assertEqual(client.take(), [[1, 2, []]])
        self.assert_quiet()

    def test_client_gone(self) -> None:
        """
        The event of a client that left stays in line, and its worker gets it with
        an end of file (§7.1).
        """
        client = self.client()
        client.send(1, ENQUEUE, b"event")
        client.send(1, WRITE, b"chunk")
        client.disconnect()
        self.assertEqual(len(self.overseer.backlog), 1)

        worker = self.worker()

        self.assertEqual(
            worker.take(), [[2, 0, [b"event"]], [2, 0, [b"chunk"]], [2, 1, CLIENT_GONE]]
        )
        self.assert_quiet()
        self.assertEqual(self.overseer.stats.meter.count, 1)

    def test_closed_client_gone(self) -> None:
        """A client that had closed its half and left leaves work to be done."""
        client = self.client()
        client.send(1, ENQUEUE, b"event")
        client.send(1, CLOSE)
        client.disconnect()

        worker = self.worker()
        self.assertEqual(worker.take(), [[2, 0, [b"event"]], [2, 2, []]])
        worker.chunk(2, b"answer")
        worker.close(2)

        self.assert_quiet()

    def test_bad_chunk(self) -> None:
        """A client that breaks the rules while it waits ends its event only."""
        client = self.client()
        client.send(1, ENQUEUE, b"bad")
        client.send(2, ENQUEUE, b"good")

        client.send(1, WRITE, 5)

        self.assertEqual(client.take(), [[1, 1, [[7, 2], b"a chunk is one string"]]])
        self.assertEqual(self.worker().take(), [[2, 0, [b"good"]]])

    def test_hold(self) -> None:
        """A client that sends much to an event that waits is not read on."""
        client = self.client()
        client.send(1, ENQUEUE, b"event")
        chunk = b"x" * (invocation.BUFFER_HOLD // 2)
        client.send(1, WRITE, chunk)
        self.assertFalse(client.transport.paused)
        client.send(1, WRITE, chunk)
        self.assertTrue(client.transport.paused)
        client.send(1, WRITE, b"last")

        worker = self.worker()

        self.assertFalse(client.transport.paused)
        self.assertEqual(
            [len(args[0]) for _, _, args in worker.take()],
            [5, len(chunk), len(chunk), 4],
        )
        self.finish(client, worker, 1, 2)
        self.assert_quiet()

    def test_held_client_gone(self) -> None:
        """A client that leaves while it is held leaves no hold behind."""
        client = self.client()
        client.send(1, ENQUEUE, b"event")
        client.send(1, WRITE, b"x" * (invocation.BUFFER_HOLD + 1))

        client.disconnect()

        self.worker()
        self.assert_quiet()

    def test_held_event_late(self) -> None:
        """A held client is read again when its event has expired."""
        client = self.client()
        client.send(1, ENQUEUE, b"event", headers=timeout(1000))
        client.send(1, WRITE, b"x" * (invocation.BUFFER_HOLD + 1))
        self.assertTrue(client.transport.paused)

        self.clock.pass_time(1.1)

        self.assertFalse(client.transport.paused)
        self.assertEqual(client.take()[0][2][0], [20991, 1])
        self.assert_quiet()

    def test_limit(self) -> None:
        """Who cannot be held may send so much and no more; then it is an error."""
        self.patch(invocation, "BUFFER_LIMIT", 3 * invocation.BUFFER_HOLD)
        self.make_overseer(concurrency=1, pool_limit=1)
        client, worker = self.started()
        client.send(2, ENQUEUE, b"waits")
        chunk = b"x" * invocation.BUFFER_HOLD
        client.send(2, WRITE, chunk)
        client.send(2, WRITE, chunk)
        self.assertEqual(client.take(), [])

        client.send(2, WRITE, chunk)

        self.assertEqual(
            client.take(),
            [[2, 1, [[20991, 2], b"more than 3145728 bytes wait for a worker"]]],
        )
        self.assertEqual(len(self.overseer.backlog), 0)
        self.finish(client, worker, 1, 2)
        self.assert_quiet()

    def test_limit_counts_empty_chunks(self) -> None:
        """Empty chunks take memory and are counted, too."""
        self.patch(invocation, "BUFFER_LIMIT", 10_000)
        client = self.client()
        client.send(1, ENQUEUE, b"event")

        for _ in range(1000):
            client.send(1, WRITE, b"")

        self.assertEqual(client.take()[0][2][0], [20991, 2])
        self.assert_quiet()
