# -*- test-case-name: cocained.test.live.test_faults_clients -*-
"""
Clients that vanish, never read, or ask without end, while others are served.
"""

from __future__ import annotations

import socket
import struct

from cocained.rpc.session import CHANNEL_LIMIT
from cocained.test.live.faults import (
    PATIENCE,
    RESIDENT_LIMIT,
    FaultCase,
    pour,
    resident,
)
from cocained.test.live.ledger import Ledger
from cocained.test.live.support import Client, live_suite, pack, wait_for

#: Clients that vanish in the middle of a stream.
VANISHING = 1000

#: Of them, so many are there at one time.
AT_ONCE = 50

#: Answers that nobody reads, and bytes of each.
UNREAD, ANSWER = 10_000, 4096

#: Channels that one client tries to open.
CHANNELS = 100_000


class VanishingTests(FaultCase):
    """Clients that are gone before their answer is."""

    profile = {"concurrency": 100}

    def test_vanish(self) -> None:
        """
        A thousand streams that are cut in the middle leave nothing behind, and
        cost the others nothing.
        """
        ledger = Ledger()
        load = self.load(ledger, width=2, depth=4)
        load.run(0.2)
        before = resident(self.node)
        gone = 0
        port = self.node.resolve("faulty")

        def vanish() -> bool:
            nonlocal gone
            clients = [Client(port) for _ in range(AT_ONCE)]
            for client in clients:
                client.send(1, 0, ["keep"])
                client.send(1, 0, [b"first"])
            for number, client in enumerate(clients):
                self.assertEqual(client.receive()[:3], [1, 0, [b"first"]])
                if number % 2:
                    # Without a farewell: the node sees a reset.
                    reset = struct.pack("ii", 1, 0)
                    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                client.close()
            gone += AT_ONCE
            return gone < VANISHING

        load.run(60.0, vanish)
        self.assertGreaterEqual(gone, VANISHING)
        load.finish(PATIENCE)
        self.assert_kept(ledger)
        self.assertEqual(ledger.share, 1.0)
        wait_for(
            "nothing is left of them",
            lambda: self.node.info("faulty")[b"load"] == 0,
            10,
        )
        self.assertLess(resident(self.node) - before, 30)
        self.assertEqual(self.node.info("faulty")[b"pool"][b"total:crashed"], 0)


class UnreadTests(FaultCase):
    """Clients that ask and never read."""

    changes = {"limits": {"write-stall": 1.0}}

    profile = {"concurrency": 1000, "queue-limit": 100_000, "pool-limit": 2}

    def test_never_reads(self) -> None:
        """
        Of one that does not read ten thousand answers the node keeps few, and
        disconnects it; the others are served before, and after at the latest.
        """
        mute = self.connect("faulty")
        mute.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ledger = Ledger()
        load = self.load(ledger, width=2, depth=4)
        load.run(0.2)
        questions = b"".join(
            pack([channel, 0, ["large"]])
            + pack([channel, 0, [b"%d" % ANSWER]])
            + pack([channel, 2, []])
            for channel in range(1, UNREAD + 1)
        )
        push = pour(mute, questions)

        def ask() -> bool:
            push()
            return "has not read for 1.0 s" not in self.node.log.read_text()

        load.run(30.0, ask)
        load.finish(PATIENCE)
        self.assert_kept(ledger)
        self.assertEqual(ledger.share, 1.0)
        self.assertIn("has not read for 1.0 s", self.node.log.read_text())
        self.assertLess(resident(self.node), RESIDENT_LIMIT)
        wait_for(
            "nothing is left of it",
            lambda: self.node.info("faulty")[b"load"] == 0,
            10,
        )
        self.assert_served()


class ManyChannelsTests(FaultCase):
    """A client that opens channels without end."""

    profile = {"concurrency": 2 * CHANNEL_LIMIT, "pool-limit": 1}

    def test_many(self) -> None:
        """
        Beyond the limit each channel is refused with the limit, those below it
        live, and others are served meanwhile.
        """
        self.assert_served()
        greedy = self.connect("faulty")
        ledger = Ledger()
        load = self.load(ledger, width=2, depth=4)
        load.run(0.2)
        step, sent = 1000, 0

        def open_more() -> bool:
            nonlocal sent
            first = sent + 1
            sent += step
            greedy.send_bytes(
                b"".join(pack([n, 0, ["hold"]]) for n in range(first, sent + 1))
            )
            return sent < CHANNELS

        load.run(60.0, open_more)
        load.finish(PATIENCE)
        self.assert_kept(ledger)
        self.assertEqual(ledger.share, 1.0)
        self.assertEqual(sent, CHANNELS)
        refusals = greedy.take(CHANNELS - CHANNEL_LIMIT)
        self.assertEqual(
            {tuple(frame[2][0]) for frame in refusals if frame[1] == 1}, {(20991, 2)}
        )
        self.assertEqual(
            [frame[0] for frame in refusals],
            list(range(CHANNEL_LIMIT + 1, CHANNELS + 1)),
        )
        self.assertIn(str(CHANNEL_LIMIT).encode(), refusals[0][2][1])
        self.assertLess(resident(self.node), RESIDENT_LIMIT)
        self.assertEqual(self.node.info("faulty")[b"load"], CHANNEL_LIMIT)
        greedy.close()
        wait_for(
            "nothing is left of them",
            lambda: self.node.info("faulty")[b"load"] == 0,
            10,
        )


test_suite = live_suite(__name__)
