# -*- test-case-name: cocained.test.test_gateways_vicodyn_loss -*-
"""
Somebody goes away, or does not read: how requests end whatever happens.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost

from cocained.rpc.graph import CLOSE, ERROR, WRITE
from cocained.rpc.pressure import ALLOWANCE
from cocained.rpc.session import CHANNEL_LIMIT
from cocained.test.vicodyn_case import (
    VicodynCase,
)
from cocained.testing import Peer


class LossTests(VicodynCase):
    """Somebody goes away: each request ends, once, with a cause."""

    args = {"balancer": {"args": {"policy": "round-robin"}}}

    def setUp(self) -> None:
        super().setUp()
        self.nodes = [self.remote(uuid, "app") for uuid in ("a", "b")]
        self.peer = self.client()
        self.peer.send(1, 0, b"ping")
        self.first, self.channel = self.owner()
        self.second = self.nodes[self.first is self.nodes[0]]

    def check_lost(self, pair: list[int]) -> None:
        """The client was told once, and nobody else was asked."""
        (error,) = self.peer.take()
        self.assertEqual(error[:2] + error[2][:1], [1, ERROR, pair])
        self.assertIn(self.first.uuid.encode(), error[2][1])
        self.assertEqual(self.second.take(), [])
        # What the client has still to say goes nowhere.
        self.peer.send(1, WRITE, b"more")
        self.peer.send(1, CLOSE)
        self.assertEqual(self.peer.take(), [])
        self.assertEqual(self.peer.session.owed, 0)
        self.assertEqual(self.peer.session.channels, {})

    def test_before_the_first_byte(self) -> None:
        """A node that may have begun is not replaced: nobody knows what it did."""
        self.first.die()

        self.check_lost([5, 2])

    def test_after_the_first_byte(self) -> None:
        """An answer that breaks off is told as such."""
        self.first.chunk(self.channel, b"1")
        self.assertEqual(self.peer.take(), [[1, WRITE, [b"1"]]])

        self.first.die(ConnectionLost())

        self.check_lost([2, 104])

    def test_after_the_end_of_input(self) -> None:
        """So it is when the client has said all."""
        self.peer.send(1, CLOSE)
        self.first.take()

        self.first.die()

        self.check_lost([5, 2])

    def test_after_the_answer(self) -> None:
        """A request that was answered has nothing to lose."""
        self.first.close(self.channel)
        self.assertEqual(self.peer.take(), [[1, CLOSE, []]])

        self.first.die()
        self.peer.send(1, CLOSE)

        self.assertEqual(self.peer.take(), [])

    def test_garbage(self) -> None:
        """A node that sends no frames is as good as gone."""
        self.first.connection.transport.write(b"\xc1")
        self.network.flush()

        self.check_lost([6, 4])

    def test_others_live_on(self) -> None:
        """Requests at other nodes do not notice."""
        self.peer.send(2, 0, b"ping")
        other, channel = self.owner()
        self.assertIs(other, self.second)
        self.first.die()
        self.peer.take()

        other.chunk(channel, b"fine")

        self.assertEqual(self.peer.take(), [[2, WRITE, [b"fine"]]])

    def test_client(self) -> None:
        """A client that goes away is told to the node, which is not asked twice."""
        self.peer.disconnect()

        (told,) = self.first.take()
        self.assertEqual(told[:2] + told[2][:1], [self.channel, ERROR, [7, 3]])
        self.assertIn(b"client is gone", told[2][1])
        self.first.chunk(self.channel, b"1")
        self.first.close(self.channel)
        link = self.link(self.first.uuid)
        self.assertEqual(link.invocations, {})

    def test_client_that_had_said_all(self) -> None:
        """The answer for a client that said all and went is dropped."""
        self.peer.send(1, CLOSE)
        self.first.take()
        self.peer.disconnect()

        self.first.chunk(self.channel, b"1")
        self.first.close(self.channel)

        self.assertEqual(self.first.take(), [])
        link = self.link(self.first.uuid)
        self.assertEqual(link.invocations, {})

    def test_client_that_only_listens(self) -> None:
        """A client that shut down its side ends its open requests."""
        self.peer.end_input()

        (told,) = self.first.take()
        self.assertEqual(told[2][0], [7, 3])

    def test_both(self) -> None:
        """Node and client go away in one moment."""
        self.first.connection.transport.peer.losing = True
        self.peer.disconnect()
        self.first.die()

        self.assertEqual(self.gateway._apps["app"]._relays, {})
        self.assertEqual(self.second.take(), [])

    def test_fresh_start(self) -> None:
        """The next request goes to whoever is there."""
        self.first.die()
        self.peer.take()
        for channel in (2, 3, 4):
            self.peer.send(channel, 0, b"ping")

        self.assertEqual(len(self.second.requests()), 3)

    def test_all_gone(self) -> None:
        """When nobody is left that is an error at once, and no connection ends."""
        self.first.die()
        self.second.die()
        self.peer.take()

        self.peer.send(2, 0, b"ping")

        (error,) = self.peer.take()
        self.assertEqual(error[:2] + error[2][:1], [2, ERROR, [7, 3]])
        self.assertIn(b"none of the 2 nodes with app app", error[2][1])

    def test_dropped_while_working(self) -> None:
        """A node that the cluster dropped finishes what it has."""
        self.gateway.cleanup(self.first.uuid)
        self.first.chunk(self.channel, b"1")
        self.first.close(self.channel)
        self.peer.send(1, CLOSE)

        self.assertEqual(self.peer.take(), [[1, WRITE, [b"1"]], [1, CLOSE, []]])
        self.assertFalse(self.first.connection.lost)
        self.pass_time(5.5)
        self.assertTrue(self.first.connection.lost)

    def test_dropped_and_silent(self) -> None:
        """One that gave no sign of life before will not."""
        self.gateway.node_observed(self.first.uuid, None)
        self.gateway.cleanup(self.first.uuid)

        self.check_lost([2, 125])


class FullTests(VicodynCase):
    """More streams than one connection carries."""

    def test_full(self) -> None:
        """A node with as many as it takes is passed over; all full is an error."""
        there = self.remote("there", "app")
        peer = self.client()
        link = self.link("there")
        fillers: Any = {object(): None for _ in range(CHANNEL_LIMIT)}
        link.invocations.update(fillers)
        peer.send(1, 0, b"ping")
        self.assertEqual(peer.take()[0][2][0], [7, 3])

        other = self.remote("other", "app")
        peer.send(2, 0, b"ping")

        self.assertEqual(len(other.requests()), 1)
        self.assertEqual(there.take(), [])
        link.invocations.clear()


class PressureTests(VicodynCase):
    """Who waits for whom when somebody does not read."""

    def setUp(self) -> None:
        super().setUp()
        self.there = self.remote("there", "app")
        self.peer = self.client()
        self.peer.send(1, 0, b"ping")
        (self.channel,) = self.there.requests()

    def flood(self, peer: Peer, channel: int, at: int) -> None:
        """Let the node send a client more than fits."""
        for _ in range(6):
            self.there.chunk(at, b"x" * 65536)

    def test_slow_client(self) -> None:
        """The node is not read while its client does not read, and memory is flat."""
        self.peer.stop_reading()
        for _ in range(100):
            self.there.chunk(self.channel, b"x" * 65536)

        link = self.link("there")
        self.assertTrue(link.session.held)
        self.assertLess(self.peer.transport.waiting, 1_000_000)
        self.peer.read_again()
        self.network.flush()
        got = sum(len(args[0]) for _, _, args in self.peer.take())
        self.assertEqual(got, 100 * 65536)

    def test_small_answers(self) -> None:
        """A little for a client that does not read holds nobody."""
        self.peer.stop_reading()
        self.there.chunk(self.channel, b"x" * 65536)
        self.there.chunk(self.channel, b"x" * 1000)
        other = self.client()
        other.send(1, 0, b"ping")
        (channel,) = self.there.requests()

        self.there.chunk(channel, b"1")

        self.assertEqual(other.take(), [[1, WRITE, [b"1"]]])
        self.peer.read_again()

    def test_stopped_client(self) -> None:
        """A client that takes nothing while others wait loses its streams there."""
        self.peer.stop_reading()
        other = self.client()
        other.send(1, 0, b"ping")
        (channel,) = self.there.requests()
        self.flood(self.peer, 1, self.channel)
        self.there.chunk(channel, b"1")
        self.assertEqual(other.take(), [])

        self.pass_time(6)

        self.assertEqual(other.take(), [[1, WRITE, [b"1"]]])
        ends = [frame for frame in self.there.take() if frame[0] == self.channel]
        self.assertEqual(ends[0][2][0], [20991, 2])
        self.peer.read_again()
        last = self.peer.take()[-1]
        self.assertEqual((last[1], last[2][0]), (ERROR, [20991, 2]))

    def test_stuck_node_is_avoided(self) -> None:
        """A node whose connection is stuck gets nothing new while there are others."""
        other = self.remote("other", "app")
        self.peer.stop_reading()
        self.flood(self.peer, 1, self.channel)
        self.pass_time(1)
        for _ in range(5):
            self.client().send(1, 0, b"ping")
        self.assertEqual(len(other.requests()), 5)
        self.peer.read_again()
        self.pass_time(4)

        for _ in range(40):
            self.client().send(1, 0, b"ping")

        self.assertGreater(len(self.there.requests()), 10)

    def test_slow_node(self) -> None:
        """A client is not read while its node does not read."""
        self.there.connection.transport.pauseProducing()
        for _ in range(20):
            self.peer.send(1, WRITE, b"x" * 65536)

        self.assertTrue(self.peer.session.held)
        self.assertTrue(self.peer.transport.paused)
        self.there.connection.transport.resumeProducing()
        self.network.flush()
        self.network.flush()
        got = sum(len(args[0]) for _, kind, args in self.there.take() if kind == WRITE)
        self.assertEqual(got, 20 * 65536)
        self.assertFalse(self.peer.transport.paused)

    def test_slow_node_and_small_requests(self) -> None:
        """A client with a word for a slow node may talk to others."""
        other = self.remote("other", "second")
        self.there.connection.transport.pauseProducing()
        self.peer.send(1, WRITE, b"x" * (ALLOWANCE + 1000))
        second = self.client("second")
        second.send(1, 0, b"ping")

        self.assertEqual(len(other.requests()), 1)
        self.there.connection.transport.resumeProducing()
        self.network.flush()
