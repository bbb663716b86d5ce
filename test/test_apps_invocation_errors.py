"""
Events that end badly: mistakes of either side, errors, time that runs out.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost

from cocained.test.app_case import (
    CLIENT_GONE,
    CLOSE,
    DISCARDED,
    ENQUEUE,
    ERROR,
    WRITE,
    AppCase,
)
from cocained.test.invocation_case import timeout
from cocained.testing import Peer, ScriptedWorker


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
