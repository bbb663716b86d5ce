"""
Workers of protocol 0.
"""

from __future__ import annotations

from cocained.errors import (
    WorkerCode,
)
from cocained.test.app_case import ENQUEUE
from cocained.test.worker_case import HANDSHAKE, HEARTBEAT, S, WorkerCase


class ProtocolZeroTests(WorkerCase):
    """Worker protocol 0 (protocol.md §8.3)."""

    version = 0

    def test_first_heartbeat(self) -> None:
        """
        Not the handshake but the first heartbeat makes a worker active: row 110
        of legacy-and-seeds.md.
        """
        peer = self.enter_handshaking()
        peer.handshake()
        self.assertIs(self.machine.state, S.HANDSHAKING)

        peer.heartbeat()

        self.assertIs(self.machine.state, S.ACTIVE)
        self.assertEqual(peer.take_whole(), [[1, 1, []]])

    def test_no_heartbeat(self) -> None:
        """A handshake alone does not stop the time."""
        peer = self.enter_handshaking()
        peer.handshake()

        self.clock.pass_time(HANDSHAKE)

        self.assertEqual(self.code(), 4)

    def test_early(self) -> None:
        """Both before the isolate is ready are kept."""
        peer = self.enter_early()
        peer.heartbeat()

        self.spawn.ready()

        self.assertIs(self.machine.state, S.ACTIVE)

    def test_heartbeats_count(self) -> None:
        """Later heartbeats keep it alive."""
        peer = self.enter_active()
        self.clock.pass_time(HEARTBEAT - 1)
        peer.heartbeat()

        self.clock.pass_time(HEARTBEAT - 1)

        self.assertIs(self.machine.state, S.ACTIVE)

    def test_terminate(self) -> None:
        """``terminate`` is message 2, both ways, in frames of three elements."""
        peer = self.enter_active()

        self.machine.terminate(WorkerCode.IDLE)

        self.assertEqual(peer.take_whole(), [[1, 2, [13, b"slave is idle"]]])
        peer.terminate(1, b"bye")
        self.assertIs(self.machine.state, S.CLOSED)

    def test_other_protocol(self) -> None:
        """A worker that speaks protocol 1 after all is told of in the log."""
        peer = self.enter_handshaking()
        peer.handshake()

        peer.send(1, 0)

        self.assertEqual(peer.session.dropped, 1)
        self.assertIs(self.machine.state, S.HANDSHAKING)

    def test_event(self) -> None:
        """An event goes through in the messages of protocol 0."""
        peer = self.enter_active()
        client = self.inject()

        client.send(1, ENQUEUE, b"chunk")
        peer.chunk(2, b"answer")
        client.send(1, 2)
        peer.close(2)

        self.assertEqual(
            peer.take_whole(),
            [[2, 3, [b"event"]], [2, 4, [b"chunk"]], [2, 6, []]],
        )
        self.assertEqual(client.take(), [[1, 0, [b"answer"]], [1, 2, []]])
