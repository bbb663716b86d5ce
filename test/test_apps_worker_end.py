"""
How a worker leaves: it says so, it is told to, its connection ends.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from cocained.apps.worker import EXIT_GRACE
from cocained.errors import (
    WorkerCode,
)
from cocained.test.worker_case import SEAL, TERMINATE, S, WorkerCase


class FarewellTests(WorkerCase):
    """A worker that ends, asked or not."""

    def test_by_itself(self) -> None:
        """
        Its own ``terminate`` ends it, whatever the code (§8.6), and it has a
        while to exit: row 112 of legacy-and-seeds.md.
        """
        peer = self.enter_active()
        client = self.inject()

        peer.terminate(1, b"all is well")

        self.assertEqual(self.code(), 12)
        self.assertEqual(
            client.take(), [[1, 1, [[2, 125], b"slave has been discarded"]]]
        )
        self.assertEqual((self.spawn.asked, self.spawn.killed), (0, 0))
        self.spawn.exit(0)
        self.assert_buried_soon()

    def test_by_itself_and_stays(self) -> None:
        """Who says farewell and stays is made to go: rows 113 and 116."""
        peer = self.enter_active()
        peer.terminate(1, b"all is well")

        self.clock.pass_time(EXIT_GRACE)

        self.assertEqual(self.spawn.asked, 1)
        self.assertEqual(self.owner.heard, ["active", "gone"])
        self.spawn.exit(-15)
        self.assert_buried_soon()

    def test_asked_and_answered(self) -> None:
        """A worker that answers to ``terminate`` has ended well: row 114."""
        peer = self.enter_active()

        self.machine.terminate(WorkerCode.OVERSEER_SHUTDOWN)
        self.assertEqual(peer.take(), [[1, 1, [11, b"overseer is shutting down"]]])
        peer.terminate(11, b"overseer is shutting down")

        self.assertIs(self.machine.state, S.CLOSED)
        self.assertIsNone(self.machine.error)
        self.spawn.exit(0)
        self.assertEqual(self.machine.process.lines.dump(), [])
        self.assert_buried_soon()

    def test_asked_and_not_answered(self) -> None:
        """A worker that does not answer is killed in time: row 115."""
        self.enter_terminating()
        self.clock.pass_time(TERMINATE - 0.1)
        self.assertIs(self.machine.state, S.TERMINATING)

        self.clock.pass_time(0.1)

        self.assertEqual(self.spawn.killed, 1)
        self.assertIs(self.machine.state, S.CLOSED)
        self.assertIsNone(self.machine.error)
        self.spawn.exit(-9)
        self.assert_buried_soon()

    def test_asked_twice(self) -> None:
        """A second ``terminate`` is not sent and does not begin the time anew."""
        peer = self.enter_terminating()
        self.clock.pass_time(TERMINATE - 1)

        self.machine.terminate(WorkerCode.OVERSEER_SHUTDOWN)
        self.clock.pass_time(1)

        self.assertEqual(peer.take(), [])
        self.assertIs(self.machine.state, S.CLOSED)

    def test_events_until_the_answer(self) -> None:
        """Events may finish while the worker is asked to end."""
        peer = self.enter_active()
        client = self.inject(close=True)
        self.machine.terminate(WorkerCode.OVERSEER_SHUTDOWN)

        peer.chunk(2, b"last")
        peer.close(2)
        peer.terminate(11)

        self.assertEqual(client.take(), [[1, 0, [b"last"]], [1, 2, []]])
        self.spawn.exit(0)
        self.assert_buried_soon()

    def test_misspelt(self) -> None:
        """A ``terminate`` without its arguments is a note in the log (§8.6)."""
        peer = self.enter_active()

        peer.send(1, 1)

        self.assertIs(self.machine.state, S.ACTIVE)
        self.assertFalse(peer.is_closed)

    def test_endless(self) -> None:
        """Of a farewell of megabytes, no text even, little is logged."""
        peer = self.enter_active()
        events: list[LogEvent] = []
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

        peer.terminate(1, b"\xff" * 1_000_000)

        self.assertEqual(self.code(), 12)
        said = [formatEvent(event) for event in events]
        self.assertTrue(any("ends by itself: [1]" in text for text in said))
        self.assertLess(max(map(len, said)), 2000)
        self.assertTrue(all(text.isascii() for text in said))

    def test_after_the_end(self) -> None:
        """The farewell of a worker that is gone changes nothing."""
        self.enter_broken()

        self.machine.farewell(1, "late")

        self.assertEqual(self.code(), 10)

    def assert_buried_soon(self) -> None:
        self.clock.pass_time(10.0)
        self.assert_buried()


class SealTests(WorkerCase):
    """A worker that takes no more work."""

    def test_idle(self) -> None:
        """Without events it is asked to end at once, code 14."""
        peer = self.enter_active()

        self.machine.seal()

        self.assertIs(self.machine.state, S.TERMINATING)
        self.assertEqual(peer.take(), [[1, 1, [14, b"slave is sealing"]]])

    def test_last_event(self) -> None:
        """It is asked to end when its last event has ended."""
        peer = self.enter_active()
        first, second = self.inject(close=True), self.inject(close=True)
        self.machine.seal()
        peer.take()

        peer.close(2)
        self.assertIs(self.machine.state, S.SEALING)
        peer.close(3)

        self.assertEqual(peer.take(), [[1, 1, [14, b"slave is sealing"]]])
        self.assertEqual(first.take(), [[1, 2, []]])
        self.assertEqual(second.take(), [[1, 2, []]])

    def test_too_long(self) -> None:
        """After seal-timeout it is asked to end anyway, code 6."""
        peer = self.enter_sealing()
        for _ in range(3):
            self.clock.pass_time(SEAL / 3)
            peer.heartbeat()

        self.assertIs(self.machine.state, S.TERMINATING)
        self.assertIn([1, 1, [6, b"timed out while sealing"]], peer.take())

    def test_refuses_others(self) -> None:
        """Only an active worker can be sealed."""
        self.enter_handshaking()

        self.machine.seal()

        self.assertIs(self.machine.state, S.HANDSHAKING)


class ConnectionTests(WorkerCase):
    """What happens to the worker's connection."""

    def test_end_of_file(self) -> None:
        """A lost connection is code 10; events learn that it was an end of file."""
        peer = self.enter_active()
        client = self.inject()

        peer.disconnect()

        self.assertEqual(self.code(), 10)
        self.assertEqual(client.take(), [[1, 1, [[5, 2], b"slave has been discarded"]]])

    def test_reset(self) -> None:
        """A reset tells the events so."""
        peer = self.enter_active()
        client = self.inject()

        peer.disconnect(ConnectionLost())

        self.assertEqual(
            client.take(), [[1, 1, [[2, 104], b"slave has been discarded"]]]
        )

    def test_garbage(self) -> None:
        """Bytes that are no frames end the worker (W-badframe)."""
        peer = self.enter_active()
        client = self.inject()

        peer.send_bytes(b"\xc1")

        self.assertEqual(client.take(), [[1, 1, [[6, 4], b"slave has been discarded"]]])
        self.assertTrue(peer.is_closed)
        self.assertEqual(self.code(), 10)

    def test_unknown_control_message(self) -> None:
        """A control message that does not exist is dropped and counted."""
        peer = self.enter_active()

        peer.send(1, 2, b"?")
        peer.heartbeat()

        self.assertEqual(peer.take(), [[1, 0, []]])
        self.assertEqual(peer.session.dropped, 1)

    def test_highest_channel(self) -> None:
        """A worker that opens the last channel there is harms only itself."""
        peer = self.enter_active()

        client = self.inject()
        peer.send((1 << 64) - 1, 0, b"x")

        self.assertTrue(peer.is_closed)
        self.assertEqual(client.take(), [[1, 1, [[6, 1], b"slave has been discarded"]]])

    def test_exit_with_words_on_the_way(self) -> None:
        """Answers that a worker left in its socket still reach the clients."""
        peer = self.enter_active()
        client = self.inject(close=True)

        self.spawn.exit(0)
        peer.chunk(2, b"last")
        peer.close(2)
        peer.disconnect()

        self.assertEqual(client.take(), [[1, 0, [b"last"]], [1, 2, []]])
        self.assert_buried()

    def test_exit_with_an_open_socket(self) -> None:
        """A child of the worker that keeps the socket does not keep the worker."""
        peer = self.enter_active()
        client = self.inject()

        self.spawn.exit(1)
        self.clock.pass_time(EXIT_GRACE)

        self.assertEqual(client.take(), [[1, 1, [[5, 2], b"slave has been discarded"]]])
        self.assertTrue(peer.is_closed)
        self.clock.pass_time(10.0)
        self.assert_buried()

    def test_end_of_file_and_stays(self) -> None:
        """A process that closes its socket and lives on is made to end."""
        peer = self.enter_active()
        peer.disconnect()
        self.assertEqual(self.spawn.asked, 0)

        self.clock.pass_time(EXIT_GRACE)

        self.assertEqual(self.spawn.asked, 1)
        self.machine.kill()
        self.assertEqual(self.spawn.killed, 1)
        self.spawn.exit(-9)
        self.assert_buried()
