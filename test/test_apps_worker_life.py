"""
A worker's first words, its signs of life, its last words.
"""

from __future__ import annotations

from cocained.errors import (
    WorkerCode,
)
from cocained.test.worker_case import HANDSHAKE, HEARTBEAT, UUID, S, WorkerCase


class HandshakeTests(WorkerCase):
    """From the program that runs to the worker that works."""

    def test_active_at_once(self) -> None:
        """
        The handshake alone makes a worker active, and is not answered (§8.4);
        this proves row 109 of legacy-and-seeds.md.
        """
        peer = self.enter_handshaking()

        peer.handshake()

        self.assertIs(self.machine.state, S.ACTIVE)
        self.assertEqual(self.owner.heard, ["active"])
        self.assertEqual(peer.take(), [])

    def test_early_handshake(self) -> None:
        """A handshake before the isolate is ready is kept until then."""
        self.enter_early()
        self.assertEqual(self.owner.heard, [])

        self.spawn.ready()

        self.assertEqual(self.owner.heard, ["active"])

    def test_any_channel(self) -> None:
        """The channel of the handshake becomes that of control."""
        peer = self.enter_handshaking()

        peer.handshake(channel=7)
        peer.send(7, 0)
        self.machine.terminate(WorkerCode.SEALING)

        self.assertEqual(peer.take(), [[7, 0, []], [7, 1, [14, b"slave is sealing"]]])

    def test_second_handshake(self) -> None:
        """Somebody else with the same uuid is turned away, the worker stays."""
        peer = self.enter_active()
        other = self.connect()

        other.handshake()

        self.assertTrue(other.is_closed)
        self.assertIs(self.machine.state, S.ACTIVE)
        peer.heartbeat()
        self.assertEqual(peer.take(), [[1, 0, []]])

    def test_second_handshake_on_the_same_connection(self) -> None:
        """A worker that opens a channel of its own is ignored (W-newch)."""
        peer = self.enter_active()

        peer.handshake(channel=9)
        peer.heartbeat()

        self.assertEqual(peer.take(), [[1, 0, []]])
        self.assertEqual(set(peer.session.channels), {1})

    def test_unknown_uuid(self) -> None:
        """A wrong uuid is disconnected: row 109 of legacy-and-seeds.md."""
        self.enter_handshaking()
        stranger = self.connect()

        stranger.send(1, 0, b"somebody else")

        self.assertTrue(stranger.is_closed)
        self.assertIs(self.machine.state, S.HANDSHAKING)

    def test_first_message_is_none(self) -> None:
        """What is no handshake is disconnected: row 107 of legacy-and-seeds.md."""
        for kind, argument in ((1, UUID.encode()), (0, 5), (0, [UUID.encode()])):
            stranger = self.connect()

            stranger.send(1, kind, argument)

            self.assertTrue(stranger.is_closed, (kind, argument))

    def test_late_handshake(self) -> None:
        """A handshake after the end is turned away."""
        peer = self.enter_handshaking()
        self.clock.pass_time(HANDSHAKE)

        peer.handshake()

        self.assertTrue(peer.is_closed)
        self.assertIs(self.machine.state, S.BROKEN)

    def test_no_handshake(self) -> None:
        """
        A silent worker is killed after handshake-timeout, code 4, and leaves a
        crashlog: row 108 of legacy-and-seeds.md.
        """
        self.enter_handshaking()
        self.spawn.output(b"importing the world\n")

        self.clock.pass_time(HANDSHAKE)

        self.assertEqual(self.code(), 4)
        self.assertEqual(self.spawn.killed, 1)
        self.assertEqual(self.owner.heard, ["gone"])
        self.spawn.exit(-9)
        self.assertEqual(
            self.machine.process.lines.dump(),
            [
                b"importing the world",
                b"[cocained] worker ended: [21503, 4] timed out while activating;"
                b" the process was killed by SIGKILL",
            ],
        )
        self.assert_buried()

    def test_exit_before_the_handshake(self) -> None:
        """Its end is noticed at once, and the crashlog says what it was."""
        self.enter_handshaking()
        self.spawn.output(b"ImportError: no module")

        self.spawn.exit(1)

        self.assertEqual(
            self.machine.process.lines.dump(),
            [
                b"ImportError: no module",
                b"[cocained] worker ended: the worker exited with status 1 before"
                b" its handshake; the process exited with status 1",
            ],
        )
        self.assert_buried()

    def test_clean_exit_before_the_handshake(self) -> None:
        """A worker that ends well without a word has failed, too."""
        self.enter_handshaking()

        self.spawn.exit(0)

        self.assertIs(self.machine.state, S.BROKEN)
        self.assert_buried()


class HeartbeatTests(WorkerCase):
    """Signs of life."""

    def test_answer(self) -> None:
        """Each heartbeat is answered on its channel."""
        peer = self.enter_active()

        peer.heartbeat()
        peer.heartbeat()

        self.assertEqual(peer.take(), [[1, 0, []], [1, 0, []]])

    def test_silence(self) -> None:
        """A worker that falls silent is killed, code 8, with its events answered."""
        peer = self.enter_active()
        client = self.inject()

        self.clock.pass_time(HEARTBEAT)

        self.assertEqual(self.code(), 8)
        self.assertEqual(
            client.take(), [[1, 1, [[2, 125], b"slave has been discarded"]]]
        )
        self.assertEqual(self.spawn.killed, 1)
        self.assertTrue(peer.is_closed)
        self.spawn.exit(-9)
        self.assertEqual(self.owner.heard, ["active", "gone", "freed", "buried"])

    def test_each_heartbeat_counts(self) -> None:
        """The limit begins anew with each heartbeat."""
        peer = self.enter_active()
        for _ in range(4):
            self.clock.pass_time(HEARTBEAT - 1)
            peer.heartbeat()
        self.clock.pass_time(HEARTBEAT - 1)
        self.assertIs(self.machine.state, S.ACTIVE)

        self.clock.pass_time(1)

        self.assertIs(self.machine.state, S.BROKEN)

    def test_the_first_is_not_needed(self) -> None:
        """The limit begins with the handshake, not with the spawn."""
        self.machine.start()
        self.spawn.ready()
        self.clock.pass_time(HANDSHAKE - 1)
        self.connect().handshake()

        self.clock.pass_time(HEARTBEAT - 0.5)

        self.assertIs(self.machine.state, S.ACTIVE)

    def test_silence_while_sealing(self) -> None:
        """Heartbeats are still required of a worker that is sealed."""
        self.enter_sealing()

        self.clock.pass_time(HEARTBEAT)

        self.assertEqual(self.code(), 8)

    def test_silence_while_terminating(self) -> None:
        """A worker that should end anyway has not failed then."""
        peer = self.enter_active()
        self.clock.pass_time(HEARTBEAT - 1)
        self.machine.terminate(WorkerCode.IDLE)

        self.clock.pass_time(1)

        self.assertIs(self.machine.state, S.CLOSED)
        self.assertIsNone(self.machine.error)
        self.assertTrue(peer.is_closed)

    def test_held_worker_is_not_judged(self) -> None:
        """While a slow client makes us not read, silence proves nothing."""
        peer = self.enter_active()
        peer.session.halt()
        peer.heartbeat()

        self.clock.pass_time(HEARTBEAT + 1)

        self.assertIs(self.machine.state, S.ACTIVE)
        peer.session.release()
        self.assertEqual(peer.take(), [[1, 0, []]])
        self.clock.pass_time(2 * HEARTBEAT)
        self.assertEqual(self.code(), 8)


class OutputTests(WorkerCase):
    """What a worker prints."""

    def test_lines(self) -> None:
        """Whole lines are passed on as they come."""
        self.enter_active()

        self.spawn.output(b"one\ntw")
        self.spawn.output(b"o\nthree")

        self.assertEqual(self.owner.lines, [b"one", b"two"])
        self.assertEqual(self.machine.process.lines.dump(), [b"one", b"two", b"three"])

    def test_limit(self) -> None:
        """Only the last lines are kept, our own among them."""
        peer = self.enter_active()
        self.spawn.output(b"".join(b"%d\n" % number for number in range(100)))

        peer.disconnect()
        self.spawn.exit(1)

        *lines, ours = self.machine.process.lines.dump()
        self.assertEqual(lines, [b"96", b"97", b"98", b"99"])
        self.assertIn(b"exited with status 1", ours)

    def test_late(self) -> None:
        """Output after the burial harms nobody."""
        peer = self.enter_active()
        peer.disconnect()
        self.spawn.exit(1)

        self.spawn.output(b"late\n")

        self.assertEqual(self.owner.lines, [b"late"])
        self.assert_buried()
