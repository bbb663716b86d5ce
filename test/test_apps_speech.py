"""
How workers are spoken to, frame by frame (protocol.md §8.3, §8.4, §18.5).
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.speech import Handshake, Speech0, Speech1
from cocained.apps.worker import Worker
from cocained.rpc.codec import pack
from cocained.rpc.wire import SessionProtocol
from cocained.testing import FakeNode, Peer, ScriptedWorker

UUID = "0b1c2a34-0000-4000-8000-00000000000a"


class Accepting:
    """A worker that notes what its connection tells."""

    uuid = UUID

    def __init__(self) -> None:
        self.welcome = True
        self.heard: list[Any] = []
        self.speech: Any = None

    def attach(self, session: Any, speech: Any) -> bool:
        self.speech = speech
        return self.welcome

    def heartbeat(self) -> None:
        self.heard.append("heartbeat")

    def farewell(self, code: int, reason: str) -> None:
        self.heard.append((code, reason))

    def control_lost(self, error: Any) -> None:
        self.heard.append(error.code)


class SpeechCase(SynchronousTestCase):
    """A connection and the worker that it belongs to."""

    version = 1

    def setUp(self) -> None:
        self.node = FakeNode()
        self.worker: Any = Accepting()
        self.asked: list[str] = []
        self.peer = self.connect()

    def find(self, uuid: str) -> Worker | None:
        self.asked.append(uuid)
        found: Worker | None = self.worker if uuid == UUID else None
        return found

    def connect(self) -> ScriptedWorker:
        root = Handshake(self.find, self.version)
        protocol = SessionProtocol(self.node.wiring, root, hold_itself=False)
        return ScriptedWorker(self.node.clock, protocol, UUID, self.version)


class HandshakeTests(SpeechCase):
    """The first message of a connection."""

    def test_known(self) -> None:
        """A known uuid gets its worker, in silence."""
        self.peer.handshake()

        self.assertEqual(self.asked, [UUID])
        self.assertIsInstance(self.worker.speech, Speech1)
        self.assertEqual(self.peer.take(), [])

    def test_bytes(self) -> None:
        """A uuid of msgpack's new text kind is one as well."""
        self.peer.send_bytes(b"\x93\x01\x00\x91\xd9\x24" + UUID.encode())

        self.assertEqual(self.asked, [UUID])

    def test_unknown(self) -> None:
        """Any other is asked for once, and disconnected: row 109."""
        for uuid in (b"", b"\xff\xfe", b"x" * 100_000):
            peer = self.connect()

            peer.send(1, 0, uuid)

            self.assertTrue(peer.is_closed)
        self.assertIsNone(self.worker.speech)

    def test_highest_channel(self) -> None:
        """A channel that leaves none for events ends the connection."""
        for channel, closed in ((1 << 62, False), ((1 << 62) + 1, True)):
            peer = self.connect()

            peer.handshake(channel)

            self.assertEqual(peer.is_closed, closed)
        self.assertEqual(self.asked, [UUID])

    def test_not_welcome(self) -> None:
        """A worker that does not want it leaves the connection to its end."""
        self.worker.welcome = False

        self.peer.handshake()

        self.assertTrue(self.peer.is_closed)
        self.assertEqual(self.worker.heard, [])

    def test_silent_connection(self) -> None:
        """A connection that ends without a word bothers nobody."""
        self.peer.disconnect()

        self.assertEqual(self.worker.heard, [])

    def test_frames_behind_a_refused_one(self) -> None:
        """What a stranger sent behind its handshake is not looked at."""
        stranger = self.connect()
        known = pack([2, 0, [UUID.encode()]])

        stranger.send_bytes(pack([1, 0, [b"stranger"]]) + known)

        self.assertNotIn(UUID, self.asked)
        self.assertTrue(stranger.is_closed)


class SpeechOneTests(SpeechCase):
    """Worker protocol 1."""

    def setUp(self) -> None:
        super().setUp()
        self.peer.handshake()

    def test_heartbeat(self) -> None:
        """A heartbeat is answered and passed on."""
        self.peer.heartbeat()

        self.assertEqual(self.peer.take(), [[1, 0, []]])
        self.assertEqual(self.worker.heard, ["heartbeat"])

    def test_farewell(self) -> None:
        """Code and reason are passed on, whatever they are."""
        self.peer.terminate(-1, b"\xff")

        self.assertEqual(self.worker.heard, [(-1, "\udcff")])

    def test_mistaken_farewell(self) -> None:
        """What is none is not passed on, and the connection stays."""
        for args in ([], [b"x", b"y"], [1], [1, 2]):
            self.peer.send(1, 1, *args)

        self.assertEqual(self.worker.heard, [])
        self.assertFalse(self.peer.is_closed)

    def test_lost(self) -> None:
        """The loss of the connection is passed on once."""
        self.peer.disconnect()
        self.peer.disconnect()

        self.assertEqual(self.worker.heard, [2])

    def test_terminate(self) -> None:
        """A bare code and its text (§8.4)."""
        self.worker.speech.terminate(14, "slave is sealing")

        self.assertEqual(self.peer.take(), [[1, 1, [14, b"slave is sealing"]]])

    def test_unknown(self) -> None:
        """Messages that do not exist are counted."""
        self.peer.send(1, 2)
        self.peer.send(1, 65533)

        self.assertEqual(self.peer.session.dropped, 2)
        self.assertEqual(self.worker.heard, [])


class SpeechZeroTests(SpeechCase):
    """Worker protocol 0."""

    version = 0

    def setUp(self) -> None:
        super().setUp()
        self.peer.handshake()

    def test_ready(self) -> None:
        """It is ready with its first heartbeat: row 110."""
        speech: Speech0 = self.worker.speech
        self.assertFalse(speech.ready)

        self.peer.heartbeat()

        self.assertTrue(speech.ready)
        self.assertEqual(self.peer.take_whole(), [[1, 1, []]])

    def test_ready_each_for_itself(self) -> None:
        """One worker's heartbeat makes no other ready."""
        self.peer.heartbeat()
        other = self.connect()
        other.handshake()

        self.assertFalse(self.worker.speech.ready)

    def test_farewell(self) -> None:
        """``terminate`` is message 2."""
        self.peer.terminate(1, b"bye")

        self.assertEqual(self.worker.heard, [(1, "bye")])

    def test_terminate(self) -> None:
        """Ours as well, without headers."""
        self.worker.speech.terminate(13, "slave is idle")

        self.assertEqual(self.peer.take_whole(), [[1, 2, [13, b"slave is idle"]]])


class FixtureTests(SpeechCase):
    """The doubles of these tests."""

    def test_plain_peer(self) -> None:
        """A peer that is no worker says what it is told."""
        root = Handshake(self.find, 1)
        peer = Peer(self.node.clock, SessionProtocol(self.node.wiring, root))

        peer.send(5, 0, UUID.encode())

        self.assertEqual(self.asked, [UUID])
