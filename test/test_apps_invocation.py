"""
One event between its client and its worker (protocol.md §7.1, §8.4).
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost

from cocained.apps import invocation
from cocained.rpc.headers import Trace
from cocained.rpc.wire import Limits
from cocained.test.app_case import (
    CLIENT_GONE,
    CLOSE,
    DISCARDED,
    ENQUEUE,
    ERROR,
    TRIO,
    WRITE,
    AppCase,
)
from cocained.testing import Peer, ScriptedWorker

TRACE = [
    [False, name, value] for name, value in Trace(trace=7, span=8, parent=9).headers()
]

LOST = [[2, 125], DISCARDED]


def timeout(milliseconds: int) -> list[Any]:
    """The header that limits one event."""
    return [[False, b"request_timeout", milliseconds.to_bytes(8, "little")]]


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


class MistakeTests(AppCase):
    """Peers that break the rules harm only the event that they break them in."""

    def refused_client(self, kind: int, *args: Any) -> tuple[Peer, ScriptedWorker]:
        client, worker = self.started()
        client.send(1, kind, *args)
        client.send(2, ENQUEUE, b"next")
        return client, worker

    def test_chunk_is_no_string(self) -> None:
        """The client gets [7, 2] and so does the worker; the next event runs."""
        client, worker = self.refused_client(WRITE, 5)

        error = [[7, 2], b"a chunk is one string"]
        self.assertEqual(client.take(), [[1, 1, error]])
        self.assertEqual(worker.take(), [[2, 1, error], [3, 0, [b"next"]]])

    def test_chunk_without_arguments(self) -> None:
        """Likewise a chunk that is none."""
        client, _ = self.refused_client(WRITE)

        self.assertEqual(client.take()[0][2][0], [7, 2])

    def test_legacy_error(self) -> None:
        """An error of the old form is one (A11b)."""
        client, worker = self.refused_client(ERROR, 2, b"gave up")

        self.assertEqual(client.take()[0][2][0], [7, 2])
        self.assertEqual(worker.take()[0][:2], [2, 1])

    def test_unknown_messages(self) -> None:
        """A message that streams do not have is [7, 5] (A14, A14b)."""
        for kind in (3, 65533):
            client, worker = self.refused_client(kind)

            self.assertEqual(client.take()[0][2][0], [7, 5])
            self.assertEqual(worker.take()[0][2][0], [7, 5])
            client.disconnect()
            self.setUp()

    def test_bad_event(self) -> None:
        """An event that is no string, or not there, is refused (A8, A9)."""
        client = self.client()

        client.send(1, ENQUEUE)
        client.send(2, ENQUEUE, 5)
        client.send(3, 9)

        self.assertEqual(
            [(channel, args[0]) for channel, _, args in client.take()],
            [(1, [7, 2]), (2, [7, 2]), (3, [7, 5])],
        )
        self.assert_quiet()
        self.assertEqual(self.overseer.pool.workers, {})

    def refused_worker(self, kind: int, *args: Any) -> list[list[Any]]:
        client, worker = self.started()
        client.send(2, ENQUEUE, b"other")
        worker.take()

        worker.send(2, kind, *args)
        answer = client.take()

        code = answer[0][2][0]
        self.assertEqual(worker.take(), [[2, 1, [code, answer[0][2][1]]]])
        worker.chunk(2, b"late")
        worker.chunk(3, b"fine")
        self.assertEqual(client.take(), [[2, 0, [b"fine"]]])
        self.finish(client, worker, 2, 3)
        self.assert_quiet()
        return answer

    def test_worker_chunk_is_no_string(self) -> None:
        """A worker's bad chunk ends that event on both sides (W-intchunk)."""
        answer = self.refused_worker(WRITE, 5)

        self.assertEqual(
            answer, [[1, 1, [[7, 2], b"the worker sent a chunk that is no string"]]]
        )

    def test_worker_chunk_without_arguments(self) -> None:
        """Likewise one without arguments (W-badargs)."""
        self.assertEqual(self.refused_worker(WRITE)[0][2][0], [7, 2])

    def test_worker_legacy_error(self) -> None:
        """A worker's error of the old form (W-errlegacy)."""
        self.assertEqual(self.refused_worker(ERROR, 2, b"x")[0][2][0], [7, 2])

    def test_worker_unknown_message(self) -> None:
        """A message that streams do not have (W-badtype)."""
        self.assertEqual(self.refused_worker(5, b"x")[0][2][0], [7, 5])

    def test_worker_after_its_close(self) -> None:
        """
        Frames of a worker after its own close are dropped (W-afterchoke,
        W-twochoke); the original drops the worker.
        """
        client, worker = self.started()
        worker.close(2)
        worker.close(2)
        worker.chunk(2, b"late")

        self.assertEqual(client.take(), [[1, 2, []]])
        self.assertEqual(worker.session.dropped, 2)
        client.send(1, CLOSE)
        self.assert_quiet()

    def test_frames_after_a_broken_one(self) -> None:
        """What follows bytes that broke a connection is not worked on."""
        client = self.client()
        data = bytes.fromhex("93ff0090") + bytes.fromhex("93050091a1") + b"x"

        client.send_bytes(data)

        self.assertTrue(client.is_closed)
        self.assertEqual(self.overseer.stats.meter.count, 0)
        self.assert_quiet()


class ErrorTests(AppCase):
    """Errors that workers and clients send."""

    def test_worker_error(self) -> None:
        """An application's error reaches the client as it is (A3)."""
        client, worker = self.started()

        worker.error(2, 42, 7, b"oops")

        self.assertEqual(client.take(), [[1, 1, [[42, 7], b"oops"]]])
        self.assert_quiet()

    def test_unknown_category(self) -> None:
        """A category that nobody registered becomes 255 (A3b), a code stays."""
        client, worker = self.started()

        worker.error(2, 300, -7, b"neg")

        self.assertEqual(client.take(), [[1, 1, [[255, -7], b"neg"]]])

    def test_known_categories(self) -> None:
        """Those of the original stay (§2.2)."""
        client, worker = self.started()
        for channel, category in enumerate((1, 13, 43, 255, 20991, 21503), 2):
            client.send(channel, ENQUEUE, b"event")
            worker.error(channel + 1, category, 1, b"")
            self.assertEqual(client.take(), [[channel, 1, [[category, 1], b""]]])

    def test_worker_error_without_text(self) -> None:
        """The reason may be left out; the client gets an empty one."""
        client, worker = self.started()

        worker.send(2, 1, [42, 1])

        self.assertEqual(client.take(), [[1, 1, [[42, 1], b""]]])

    def test_worker_error_after_the_question(self) -> None:
        """An error after the client's close ends the event, too."""
        client, worker = self.started()
        client.send(1, CLOSE)

        worker.error(2, 42, 7, b"oops")

        self.assertEqual(client.take(), [[1, 1, [[42, 7], b"oops"]]])
        self.assert_quiet()

    def test_client_after_an_error(self) -> None:
        """What the client says after the worker's error is dropped (A3)."""
        client, worker = self.started()
        worker.error(2, 42, 7, b"oops")
        worker.take()

        client.send(1, WRITE, b"late")
        client.send(1, CLOSE)

        self.assertEqual(worker.take(), [])
        self.assertEqual(client.session.dropped, 2)

    def test_client_error(self) -> None:
        """A client's error reaches the worker, whose answer still counts (A11)."""
        client, worker = self.started()
        client.send(1, ERROR, [1, 2], b"client gave up")
        self.assertEqual(worker.take(), [[2, 1, [[1, 2], b"client gave up"]]])

        worker.chunk(2, b"so be it")
        worker.close(2)

        self.assertEqual(client.take(), [[1, 0, [b"so be it"]], [1, 2, []]])
        self.assert_quiet()

    def test_client_error_forms(self) -> None:
        """Without a text, or with more than that (X1, X2)."""
        client, worker = self.started()
        client.send(2, ENQUEUE, b"second")
        worker.take()

        client.send(1, ERROR, [1, 2])
        client.send(2, ERROR, [1, 2], b"x", 5)

        self.assertEqual(worker.take(), [[2, 1, [[1, 2], b""]], [3, 1, [[1, 2], b"x"]]])

    def test_client_error_unknown_category(self) -> None:
        """Towards workers unknown categories become 255 as well."""
        client, worker = self.started()

        client.send(1, ERROR, [1000, 2], b"")

        self.assertEqual(worker.take(), [[2, 1, [[255, 2], b""]]])

    def test_client_gone(self) -> None:
        """A worker learns that its client has gone, and is free (§7.1)."""
        client, worker = self.started()

        client.disconnect()

        self.assertEqual(worker.take(), [[2, 1, CLIENT_GONE]])
        self.assert_quiet()

    def test_client_reset(self) -> None:
        """A reset is told as one."""
        client, worker = self.started()

        client.disconnect(ConnectionLost())

        self.assertEqual(worker.take()[0][2][0], [2, 104])

    def test_answered_client_gone(self) -> None:
        """Likewise when all was answered and the client had not closed."""
        client, worker = self.started()
        worker.close(2)

        client.disconnect()

        self.assertEqual(worker.take(), [[2, 1, CLIENT_GONE]])
        self.assert_quiet()

    def test_closed_client_gone(self) -> None:
        """After the client's close the worker is told nothing more (§8.6)."""
        client, worker = self.started()
        client.send(1, CLOSE)
        worker.take()

        client.disconnect()

        self.assertEqual(worker.take(), [])
        worker.close(2)
        self.assert_quiet()

    def test_half_closed_client(self) -> None:
        """A client that shuts its side down gets the answers it asked for."""
        client, worker = self.started()
        client.send(1, CLOSE)
        client.end_input()
        self.assertFalse(client.is_closed)

        worker.chunk(2, b"answer")
        worker.close(2)

        self.assertEqual(client.take(), [[1, 0, [b"answer"]], [1, 2, []]])
        self.assertTrue(client.is_closed)
        self.assert_quiet()

    def test_revoked(self) -> None:
        """A channel that the client revokes tells the worker so (X6)."""
        client, worker = self.started()

        client.send(2, 65535, 1, [1, 2])

        self.assertEqual(client.take(), [[2, 0, []]])
        self.assertEqual(worker.take(), [[2, 1, [[1, 2], b"revoked"]]])
        self.assert_quiet()

    def test_worker_gone(self) -> None:
        """All events of a lost worker are answered in order (W-crash)."""
        client, worker = self.started()
        client.send(2, ENQUEUE, b"second")
        client.send(2, CLOSE)

        worker.disconnect()

        self.assertEqual(
            client.take(), [[1, 1, [[5, 2], DISCARDED]], [2, 1, [[5, 2], DISCARDED]]]
        )
        self.assert_quiet()

    def test_worker_gone_after_its_answer(self) -> None:
        """An event whose answer is complete takes no notice."""
        client, worker = self.started()
        worker.close(2)
        client.take()

        worker.disconnect()
        client.send(1, WRITE, b"x")
        client.send(1, CLOSE)

        self.assertEqual(client.take(), [])
        self.assert_quiet()

    def test_both_gone(self) -> None:
        """Client and worker may vanish in either order."""
        for order in ((0, 1), (1, 0)):
            self.setUp()
            peers = self.started()
            for index in order:
                peers[index].disconnect()

            self.assert_quiet()


class SlotTests(AppCase):
    """When a worker's slot is free again."""

    profile = {"concurrency": 1, "pool-limit": 1}

    def test_until_both_have_closed(self) -> None:
        """A complete answer frees nothing before the client closes (Q0)."""
        client, worker = self.started(b"ping")
        worker.chunk(2, b"pong")
        worker.close(2)
        client.send(2, ENQUEUE, b"ping")
        self.assertEqual(worker.take(), [])

        client.send(1, CLOSE)

        self.assertEqual(worker.take(), [[2, 2, []], [3, 0, [b"ping"]]])
        self.finish(client, worker, 2, 3)
        self.assert_quiet()

    def test_until_the_client_is_gone(self) -> None:
        """A client that goes away frees it as well."""
        client, worker = self.started()
        worker.close(2)
        other = self.client()
        other.send(1, ENQUEUE, b"other")

        client.disconnect()

        self.assertEqual(worker.take(), [[2, 1, CLIENT_GONE], [3, 0, [b"other"]]])

    def test_until_the_worker_is_gone(self) -> None:
        """With the worker goes what it had answered and the client not closed."""
        client, worker = self.started()
        worker.close(2)
        self.assertEqual(client.take(), [[1, CLOSE, []]])

        worker.disconnect()

        self.assertEqual(client.session.channels, {})
        client.send(1, CLOSE)
        self.assertEqual(client.take(), [])
        self.assertEqual(len(self.overseer._deadlines), 0)

    def test_until_the_worker_has_closed(self) -> None:
        """The client's close alone frees nothing."""
        client, worker = self.started()
        client.send(1, CLOSE)
        client.send(2, ENQUEUE, b"other")
        self.assertEqual(worker.take(), [[2, 2, []]])

        worker.close(2)

        self.assertEqual(worker.take(), [[3, 0, [b"other"]]])

    def test_error_frees_at_once(self) -> None:
        """A worker's error frees its slot whatever the client does."""
        client, worker = self.started()
        client.send(2, ENQUEUE, b"other")

        worker.error(2, 42, 1, b"")

        self.assertEqual(worker.take(), [[3, 0, [b"other"]]])


class TimeoutTests(AppCase):
    """Events that are not finished in time."""

    def test_both_sides_are_told(self) -> None:
        """Client and worker get [20991, 3], each with its own text (Q2c)."""
        client = self.client()
        client.send(1, ENQUEUE, b"late", headers=timeout(300))
        worker = self.worker()
        worker.take()

        self.clock.pass_time(0.25)
        self.assertEqual(client.take(), [])
        self.clock.pass_time(0.15)

        self.assertEqual(client.take(), [[1, 1, [[20991, 3], DISCARDED]]])
        self.assertEqual(
            worker.take(), [[2, 1, [[20991, 3], b"invocation has timed out"]]]
        )
        self.assert_quiet()

    def test_closed_client(self) -> None:
        """A worker that has had the client's close is told nothing."""
        client = self.client()
        client.send(1, ENQUEUE, b"late", headers=timeout(300))
        client.send(1, CLOSE)
        worker = self.worker()
        worker.take()

        self.clock.pass_time(0.4)

        self.assertEqual(client.take(), [[1, 1, [[20991, 3], DISCARDED]]])
        self.assertEqual(worker.take(), [])
        worker.chunk(2, b"late")
        worker.close(2)
        self.assertEqual(client.take(), [])
        self.assertEqual(worker.session.dropped, 2)
        self.assert_quiet()

    def test_answered(self) -> None:
        """A client that does not close in time is told nothing either."""
        client = self.client()
        client.send(1, ENQUEUE, b"event", headers=timeout(300))
        worker = self.worker()
        worker.close(2)
        client.take()
        worker.take()

        self.clock.pass_time(0.4)

        self.assertEqual(client.take(), [])
        self.assertEqual(worker.take()[0][2][0], [20991, 3])
        self.assert_quiet()

    def test_in_time(self) -> None:
        """An event that ends in time leaves no deadline behind."""
        client = self.client()
        client.send(1, ENQUEUE, b"event", headers=timeout(300))
        worker = self.worker()
        self.finish(client, worker, 1, 2)

        self.assert_quiet()
        self.clock.pass_time(1)
        self.assertEqual(client.take(), [])


class HeaderTests(AppCase):
    """Headers and traces on their way."""

    def test_none(self) -> None:
        """Without headers every frame has the trio of zeros (§8.4)."""
        client = self.client()
        client.send(1, ENQUEUE, b"event")
        client.send(1, WRITE, b"x")
        client.send(1, CLOSE)
        worker = self.worker()
        worker.chunk(2, b"y")
        worker.close(2)

        self.assertEqual([whole[3] for whole in worker.take_whole()], [TRIO] * 3)
        self.assertEqual([whole[3] for whole in client.take_whole()], [TRIO] * 2)

    def test_custom(self) -> None:
        """Custom headers reach the invoke, after the trio, and nothing else (A17)."""
        client = self.client()
        client.send(1, ENQUEUE, b"event", headers=[[False, b"x-my", b"v"]])
        client.send(1, WRITE, b"x", headers=[[False, b"x-chunk", b"cv"]])
        worker = self.worker()

        invoke, chunk = worker.take_whole()

        self.assertEqual(invoke[3], [*TRIO, [False, b"x-my", b"v"]])
        self.assertEqual(chunk[3], TRIO)

    def test_stored_headers(self) -> None:
        """Headers by index of the connection's table are sent as literals."""
        client = self.client()
        client.send(1, ENQUEUE, b"one", headers=[[True, b"x-my", b"v"]])
        client.send(2, ENQUEUE, b"two", headers=[83])
        worker = self.worker()

        self.assertEqual(
            [whole[3][3:] for whole in worker.take_whole()],
            [[[False, b"x-my", b"v"]], [[False, b"x-my", b"v"]]],
        )

    def test_trace(self) -> None:
        """
        The client gets its trace on every frame, the worker one child span on
        every frame (A17, §1.5).
        """
        client = self.client()
        client.send(1, ENQUEUE, b"event", headers=[[False, b"x-my", b"v"], *TRACE])
        client.send(1, WRITE, b"early")
        worker = self.worker()
        client.send(1, WRITE, b"late" * 2000)
        client.send(1, CLOSE)
        worker.chunk(2, b"answer")
        worker.chunk(2, b"answer" * 2000)
        worker.close(2)

        self.assertEqual([whole[3] for whole in client.take_whole()], [TRACE] * 3)
        invoke, *rest = worker.take_whole()
        trace, span, parent, custom = invoke[3]
        self.assertEqual(trace, TRACE[0])
        self.assertNotIn(span[2], (TRACE[1][2], bytes(8)))
        self.assertEqual(parent, [False, b"parent_id", TRACE[1][2]])
        self.assertEqual(custom, [False, b"x-my", b"v"])
        self.assertEqual([whole[3] for whole in rest], [[trace, span, parent]] * 3)

    def test_trace_on_errors(self) -> None:
        """An error of ours carries the client's trace."""
        client = self.client()
        client.send(1, ENQUEUE, b"event", headers=TRACE)
        worker = self.worker()

        worker.disconnect()

        self.assertEqual(client.take_whole(), [[1, 1, [[5, 2], DISCARDED], TRACE]])

    def test_worker_headers(self) -> None:
        """Headers of the worker do not reach the client (A18)."""
        client, worker = self.started()

        worker.send(2, 0, b"x", headers=[[False, b"x-secret", b"v"]])

        self.assertEqual(client.take_whole(), [[1, 0, [b"x"], TRIO]])

    def test_bad_trace(self) -> None:
        """A trace without a span is refused, and nothing else."""
        client = self.client()
        bad = [TRACE[0], [False, b"span_id", bytes(8)], TRACE[2]]
        client.send(1, ENQUEUE, b"event", headers=bad)
        client.send(2, ENQUEUE, b"fine")

        self.assertEqual(client.take()[0][:2], [1, 1])
        self.assertEqual(self.worker().take(), [[2, 0, [b"fine"]]])


class PressureTests(AppCase):
    """Fast senders and slow readers."""

    limits = Limits(write_stall=60.0)

    def test_slow_worker(self) -> None:
        """A worker that does not read stops the client that feeds it."""
        client, worker = self.started()
        worker.stop_reading()
        for _ in range(100):
            client.send(1, WRITE, b"x" * 65536)
        self.assertTrue(client.transport.paused)
        self.assertLess(worker.transport.waiting, 1 << 20)

        worker.read_again()
        self.clock.pass_time(0)

        self.assertEqual(len(worker.take()), 100)
        self.assertFalse(client.transport.paused)
        self.finish(client, worker, 1, 2)
        self.assert_quiet()

    def test_slow_worker_holds_nobody_else(self) -> None:
        """Clients of other workers are read on."""
        self.make_overseer(concurrency=1, pool_limit=2, grow_threshold=1)
        client, worker = self.started()
        other = self.client()
        other.send(1, ENQUEUE, b"other")
        other.send(2, ENQUEUE, b"one more")
        second = self.worker()
        self.assertEqual(second.take(), [[2, 0, [b"other"]]])

        worker.stop_reading()
        client.send(1, WRITE, b"x" * 200_000)
        client.send(1, WRITE, b"x" * 200_000)
        other.send(1, WRITE, b"y")

        self.assertEqual(second.take(), [[2, 0, [b"y"]]])
        self.assertTrue(client.transport.paused)

    def test_slow_client(self) -> None:
        """A client that does not read stops the worker that feeds it."""
        client, worker = self.started()
        client.stop_reading()
        for _ in range(100):
            worker.chunk(2, b"x" * 65536)
        self.assertTrue(worker.transport.paused)
        self.assertLess(client.transport.waiting, 1 << 20)

        client.read_again()

        self.assertEqual(len(client.take()), 100)
        self.assertFalse(worker.transport.paused)
        self.finish(client, worker, 1, 2)
        self.assert_quiet()

    def test_slow_client_kills_no_worker(self) -> None:
        """
        Heartbeats that wait behind a held connection are not missed, and the
        client is given up after write-stall.
        """
        self.make_overseer(heartbeat_timeout=10, pool_limit=1)
        client, worker = self.started()
        client.stop_reading()
        worker.chunk(2, b"x" * 200_000)
        worker.chunk(2, b"x" * 200_000)
        for _ in range(6):
            self.clock.pass_time(9)
            worker.heartbeat()
        self.assertTrue(worker.transport.paused)
        self.assertEqual(self.states(), ["active"])

        self.clock.pass_time(7)

        self.assertTrue(client.is_closed)
        self.assertEqual(self.states(), ["active"])
        self.assertIn([1, 0, []], worker.take())
        self.assert_quiet()

    def test_slow_client_gone(self) -> None:
        """A client that leaves without reading lets the worker go on."""
        client, worker = self.started()
        client.stop_reading()
        worker.chunk(2, b"x" * 200_000)
        worker.chunk(2, b"x" * 200_000)
        self.assertTrue(worker.transport.paused)

        client.disconnect()

        self.assertFalse(worker.transport.paused)
        self.assertEqual(worker.take(), [[2, 1, CLIENT_GONE]])
        self.assert_quiet()

    def test_slow_worker_gone(self) -> None:
        """A worker that dies without reading lets the client go on."""
        client, worker = self.started()
        worker.stop_reading()
        client.send(1, WRITE, b"x" * 200_000)
        client.send(1, WRITE, b"x" * 200_000)
        self.assertTrue(client.transport.paused)

        worker.disconnect()

        self.assertFalse(client.transport.paused)
        self.assertEqual(client.take(), [[1, 1, [[5, 2], DISCARDED]]])
        self.assert_quiet()

    def test_buffered_flood(self) -> None:
        """What was collected for a worker that does not read holds the client."""
        client = self.client()
        client.send(1, ENQUEUE, b"event")
        client.send(1, WRITE, b"x" * 500_000)
        worker = self.connect(self.spawn().uuid)
        worker.stop_reading()

        worker.handshake()
        self.clock.pass_time(0)

        self.assertTrue(client.transport.paused)
        worker.read_again()
        self.assertFalse(client.transport.paused)
        self.finish(client, worker, 1, 2)
        self.assert_quiet()


class ProtocolZeroTests(AppCase):
    """Events of apps whose workers speak protocol 0 (protocol.md §8.3)."""

    version = 0

    def start_event(self) -> tuple[Peer, ScriptedWorker]:
        client = self.client()
        client.send(1, ENQUEUE, b"event", headers=[[False, b"x-my", b"v"], *TRACE])
        worker = self.worker()
        self.assertEqual(worker.take_whole(), [[1, 1, []], [2, 3, [b"event"]]])
        return client, worker

    def test_stream(self) -> None:
        """Messages are translated, and frames have three elements."""
        client, worker = self.start_event()
        client.send(1, WRITE, b"x" * 5000)
        client.send(1, CLOSE)
        self.assertEqual(worker.take_whole(), [[2, 4, [b"x" * 5000]], [2, 6, []]])

        worker.chunk(2, b"y")
        worker.close(2)

        self.assertEqual(
            client.take_whole(), [[1, 0, [b"y"], TRACE], [1, 2, [], TRACE]]
        )
        self.assert_quiet()

    def test_worker_error(self) -> None:
        """A bare code gets the category of workers; the choke after it is dropped."""
        client, worker = self.start_event()

        worker.error(2, 0, 500, b"oops")
        worker.close(2)

        self.assertEqual(client.take(), [[1, 1, [[42, 500], b"oops"]]])
        self.assertEqual(worker.session.dropped, 1)
        self.assert_quiet()

    def test_bad_worker_error(self) -> None:
        """An error that is none ends the event."""
        client, worker = self.start_event()

        worker.send(2, 5, b"no code")

        self.assertEqual(client.take()[0][2][0], [7, 2])
        self.assert_quiet()

    def test_client_error(self) -> None:
        """A client's error loses its category."""
        client, worker = self.start_event()

        client.send(1, ERROR, [12, 7], b"gave up")

        self.assertEqual(worker.take_whole(), [[2, 5, [7, b"gave up"]]])

    def test_unknown_message(self) -> None:
        """A control message on the channel of an event is none of a stream."""
        client, worker = self.start_event()

        worker.send(2, 0, b"x")

        self.assertEqual(client.take()[0][2][0], [7, 5])
        self.assert_quiet()

    def test_worker_gone(self) -> None:
        """A lost worker is told to the client as ever."""
        client, worker = self.start_event()

        worker.disconnect()

        self.assertEqual(client.take(), [[1, 1, [[5, 2], DISCARDED]]])
        self.assert_quiet()
