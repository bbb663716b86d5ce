"""
Slots, headers and pressure of events; and the dialect of worker protocol 0.
"""

from __future__ import annotations

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
from cocained.test.invocation_case import TRACE
from cocained.testing import Peer, ScriptedWorker


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
