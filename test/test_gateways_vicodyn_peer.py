# -*- test-case-name: cocained.test.test_gateways_vicodyn_peer -*-
"""
The connection to one node: opened, lost, opened again.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from cocained.gateways.health import JITTER
from cocained.gateways.vicodyn.likeness import NODE_GRAPH
from cocained.gateways.vicodyn.peer import (
    PING_INTERVAL,
    PING_LIMIT,
)
from cocained.rpc.connection import CONNECT_TIMEOUT, Address
from cocained.rpc.graph import ERROR, PING
from cocained.test.vicodyn_case import VicodynCase


class ConnectTests(VicodynCase):
    """How it comes to a connection."""

    def test_at_once(self) -> None:
        """A node is connected to as soon as it is known."""
        there = self.remote("there", "app")

        self.assertEqual(there.connections, 1)
        self.assertTrue(self.gateway._peers["there"].is_well)

    def test_without_apps(self) -> None:
        """So is one that has no apps yet: it may get some."""
        there = self.remote("there")
        there.announce()

        self.assertEqual(there.connections, 1)

    def test_app_before_node(self) -> None:
        """Announcements come in any order."""
        there = self.remote("there")
        there.announce_apps("app")
        self.assertIsNone(self.gateway._peers["there"].link)
        there.announce()

        self.client().send(1, 0, b"ping")

        self.assertEqual(len(there.requests()), 1)

    def test_refused(self) -> None:
        """One that refuses is tried again after one, two, four seconds."""
        there = self.remote("there")
        there.refuse()
        there.announce("app")
        moments = [0.0]
        for _ in range(700):
            before = len(self.network.attempts)
            self.network.pass_time(0.1)
            if len(self.network.attempts) > before:
                moments.append(self.network.seconds())

        waits = [after - before for before, after in pairwise(moments)]

        for wait, expected in zip(waits[:5], (1, 2, 4, 8, 16), strict=True):
            self.assertLess(abs(wait - expected), expected * JITTER + 0.2)

    def test_refused_and_back(self) -> None:
        """When it accepts again it gets requests again."""
        there = self.remote("there")
        there.refuse()
        there.announce("app")
        there.listen()
        self.pass_time(3)

        self.client().send(1, 0, b"ping")

        self.assertEqual(len(there.requests()), 1)
        self.assertEqual(self.gateway._peers["there"].refusal, "")

    def test_silent(self) -> None:
        """One that does not even refuse is given up after a while, and tried again."""
        there = self.remote("there")
        self.network.listeners[there.address] = None
        there.announce("app")

        self.pass_time(CONNECT_TIMEOUT + 3)

        self.assertGreater(len(self.network.attempts), 1)
        self.assertIn("timeout", self.gateway._peers["there"].refusal)

    def test_several_addresses(self) -> None:
        """The addresses of a node are tried in turn."""
        there = self.remote("there")
        endpoints: list[Address] = [("192.0.2.7", 7), there.address]
        self.gateway.consume("there", "node", endpoints, 1, NODE_GRAPH, {})
        self.network.flush()

        self.assertEqual(there.connections, 1)

    def test_no_address(self) -> None:
        """A node without any is no peer."""
        self.gateway.consume("there", "node", [], 1, NODE_GRAPH, {})
        self.pass_time(10)

        self.assertEqual(self.network.attempts, [])

    def test_while_connecting(self) -> None:
        """A node that goes away meanwhile is forgotten."""
        there = self.remote("there")
        self.network.listeners[there.address] = None
        there.announce("app")

        self.gateway.cleanup("there")
        self.pass_time(CONNECT_TIMEOUT)

        self.assertEqual(len(self.network.attempts), 1)
        self.assertEqual(self.gateway._peers, {})


class LostTests(VicodynCase):
    """What happens when it is lost."""

    def setUp(self) -> None:
        super().setUp()
        self.there = self.remote("there", "app")

    def test_again(self) -> None:
        """A second later there is another one."""
        self.there.hang_up()
        self.assertEqual(self.there.connections, 1)
        self.pass_time(2)

        self.assertEqual(self.there.connections, 2)
        self.client().send(1, 0, b"ping")
        self.assertEqual(len(self.there.requests()), 1)

    def test_lost_again_and_again(self) -> None:
        """A node that hangs up at once is asked less and less often."""
        for _ in range(120):
            if not self.there.connection.lost:
                self.there.hang_up()
            self.network.pass_time(0.5)

        self.assertLess(self.there.connections, 9)

    def test_dropped_while_waiting(self) -> None:
        """A node that is dropped is not connected to again."""
        self.there.hang_up()
        self.gateway.cleanup("there")

        self.pass_time(60)

        self.assertEqual(self.there.connections, 1)

    def test_moved(self) -> None:
        """A node that is elsewhere now is connected to there."""
        other = self.remote("other")
        self.gateway.cleanup("there", "node")
        self.gateway.consume("there", "node", [other.address], 1, NODE_GRAPH, {})
        self.network.flush()

        self.client().send(1, 0, b"ping")

        self.assertEqual(len(other.requests()), 1)
        self.assertEqual(self.there.take(), [])
        self.assertTrue(self.there.connection.lost)

    def test_moved_while_working(self) -> None:
        """What was asked before is answered by the old connection."""
        client = self.client()
        client.send(1, 0, b"ping")
        (channel,) = self.there.requests()
        other = self.remote("other")
        self.gateway.cleanup("there", "node")
        self.gateway.consume("there", "node", [other.address], 1, NODE_GRAPH, {})
        self.network.flush()

        self.there.chunk(channel, b"1")
        self.there.close(channel)

        self.assertEqual([frame[1] for frame in client.take()], [0, 2])
        client.send(1, 2)
        client.send(2, 0, b"ping")
        self.assertEqual(len(other.requests()), 1)
        self.pass_time(PING_INTERVAL + 1)
        self.assertTrue(self.there.connection.lost)

    def test_announced_again(self) -> None:
        """The same address once more changes nothing."""
        self.gateway.cleanup("there", "node")
        self.gateway.consume("there", "node", [self.there.address], 1, NODE_GRAPH, {})
        self.network.flush()
        self.client().send(1, 0, b"ping")

        self.assertEqual(len(self.there.requests()), 1)

    def test_second_name(self) -> None:
        """A node service under two names is one node; each name does."""
        self.gateway.consume("there", "node2", [self.there.address], 1, NODE_GRAPH, {})
        self.gateway.cleanup("there", "node")
        self.network.flush()

        self.client().send(1, 0, b"ping")

        self.assertEqual(len(self.there.requests()), 1)
        self.assertEqual(self.there.connections, 1)

    def test_node_service_gone(self) -> None:
        """Without a node service the apps of a node cannot be relayed to."""
        client = self.client()
        self.gateway.cleanup("there", "node")
        self.network.flush()

        client.send(1, 0, b"ping")

        self.assertEqual(client.take()[0][2][0], [7, 3])


class SignsOfLifeTests(VicodynCase):
    """A connection that leads nowhere is noticed."""

    def setUp(self) -> None:
        super().setUp()
        self.there = self.remote("there", "app")
        self.peer = self.client()
        self.peer.send(1, 0, b"ping")
        (self.channel,) = self.there.requests()

    def test_answers(self) -> None:
        """A node that answers may take as long as it likes for a request."""
        self.pass_time(3 * PING_LIMIT)
        self.there.chunk(self.channel, b"1")

        self.assertEqual(self.peer.take(), [[1, 0, [b"1"]]])
        self.assertEqual(self.there.connections, 1)

    def test_asked_now_and_then(self) -> None:
        """It is asked once per interval, and leaves no channel behind."""
        self.pass_time(10 * PING_INTERVAL + 1)

        pings = [frame for frame in self.there.connection.frames if frame[1] == PING]
        self.assertLessEqual(len(pings), 10)
        self.assertGreaterEqual(len(pings), 9)
        link = self.link("there")
        self.assertEqual(len(link.session.channels), 1)

    def test_error_is_an_answer(self) -> None:
        """A node that does not know the question is there as well."""
        self.there.answers = False
        self.pass_time(PING_INTERVAL + 1)
        ((channel, *_),) = [f for f in self.there.connection.frames if f[1] == PING]
        self.there.error(channel, (7, 5, b"no such slot"))
        self.there.answers = True

        self.pass_time(PING_LIMIT + 2 * PING_INTERVAL)

        self.assertEqual(self.there.connections, 1)

    def test_silent(self) -> None:
        """A node that does not answer loses its requests, which end with an error."""
        self.there.answers = False
        self.pass_time(PING_LIMIT)
        self.assertEqual(self.peer.take(), [])
        self.pass_time(2 * PING_INTERVAL)

        (error,) = self.peer.take()
        self.assertEqual((error[1], error[2][0]), (ERROR, [2, 110]))
        self.assertIn(b"node there", error[2][1])

    def test_held(self) -> None:
        """One that we do not read is not blamed for it."""
        self.peer.stop_reading()
        self.there.answers = False
        link: Any = self.link("there")
        self.pass_time(PING_INTERVAL + 1)
        link.session.halt()

        self.pass_time(2 * PING_LIMIT)

        self.assertTrue(link.session.connected)
        link.session.release()
        self.peer.read_again()

    def test_of_old_connections(self) -> None:
        """A node that was dropped and has died meanwhile is noticed, too."""
        self.gateway.cleanup("there")
        self.there.answers = False

        self.pass_time(PING_LIMIT + 2 * PING_INTERVAL + 1)

        (error,) = self.peer.take()
        self.assertEqual(error[2][0], [2, 110])
