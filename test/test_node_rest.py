# -*- test-case-name: cocained.test.test_node_rest -*-
"""
A node that comes to rest: how it stops where others are, and how it drains.
"""

from __future__ import annotations

from twisted.internet.testing import StringTransport

from cocained import __version__
from cocained.errors import (
    AppStopped,
    NotDrained,
)
from cocained.node import Node
from cocained.rpc.codec import pack
from cocained.test.directory_case import Recorder
from cocained.test.node_case import NodeCase


class RestTests(NodeCase):
    """A node that withdraws before it stops, or without stopping."""

    more = "shutdown: {settle: 5, drain: 7}"
    waits = "{type: step, args: {drain: wait}}"

    def serve(self, *services: str) -> Node:
        node = self.start(
            self.text(dict.fromkeys(services, self.waits), more=self.more)
        )
        self.take_journal()
        return node

    def test_settles(self) -> None:
        """A node that stops serves for a while, with open ports, while others hear."""
        node = self.serve("a")
        observer = Recorder()
        node.directory.subscribe(observer)
        observer.told.clear()

        stopped = node.stopService()
        self.assertEqual(observer.told, ["a"])
        self.reactor.advance(4.9)
        self.assertEqual(self.take_journal(), [])
        self.assertEqual(len(self.reactor.ports), 1)
        self.reactor.advance(0.1)

        self.assertEqual(self.take_journal(), ["drain a"])
        self.assertEqual(self.reactor.ports, {})
        self.assertNoResult(stopped)

    def test_locator_is_last(self) -> None:
        """Where others are found is answered as long as requests run."""
        node = self.serve("a", "locator")
        node.stopService()

        self.reactor.advance(5)

        (port,) = node.directory.endpoints("locator")
        self.assertEqual(list(self.reactor.ports), [port[1]])

    def test_farewell(self) -> None:
        """Before connections are closed calls are refused, for a moment."""
        node = self.serve("a")
        self.reactor.waiting.clear()
        stopped = node.stopService()
        self.reactor.advance(5)
        self.reactor.waiting["drain a"].callback(None)
        self.assertEqual(self.take_journal()[-1], "stop a")

        self.reactor.pump([0.05] * 18)
        self.assertNoResult(stopped)
        self.reactor.pump([0.05] * 4)

        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_last_answers(self) -> None:
        """Calls of storages are answered before their connections are closed."""
        text = self.text({"a": "{type: slow}"}, more="shutdown: {drain: 7}")
        node = self.start(text)
        (port,) = node.directory.endpoints("a")
        protocol = self.reactor.ports[port[1]].factory.buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        protocol.dataReceived(pack([1, 0, []]))

        stopped = node.stopService()
        protocol.dataReceived(pack([2, 0, []]))
        self.reactor.advance(3)
        self.assertNoResult(stopped)
        self.assertIn(b"being stopped", transport.value())
        self.reactor.waiting["ask"].callback(None)
        self.reactor.pump([0.05] * 3)

        self.successResultOf(stopped)
        self.assertIn(b"\x94\x01\x00", transport.value())

    def test_no_last_answer(self) -> None:
        """But not for longer than anything else has to finish."""
        node = self.start(self.text({"a": "{type: slow}"}, more="shutdown: {drain: 7}"))
        (port,) = node.directory.endpoints("a")
        protocol = self.reactor.ports[port[1]].factory.buildProtocol(None)
        protocol.makeConnection(StringTransport())
        protocol.dataReceived(pack([1, 0, []]))

        stopped = node.stopService()
        self.reactor.pump([0.5] * 13)
        self.assertNoResult(stopped)
        self.reactor.pump([0.5] * 2)

        self.successResultOf(stopped)

    def test_failed_start(self) -> None:
        """Of a node that has never been ready nobody has heard."""
        node = self.start(
            self.text({"a": "{type: step, args: {start: error}}"}, more=self.more)
        )

        self.successResultOf(node.stopService())

    def test_drain(self) -> None:
        """An operator may let it rest and serve again, as often as he likes."""
        node = self.serve("a")
        for _ in range(2):
            waiting = node.drain()
            self.assertEqual(node.progress()["state"], "draining")
            self.reactor.advance(5)
            self.reactor.waiting["drain a"].callback(None)
            self.successResultOf(waiting)
            self.assertEqual(node.report()["state"], "drained")
            self.assertEqual(len(self.reactor.ports), 1)

            self.successResultOf(node.resume())

            self.assertEqual(node.report()["state"], "serving")

    def test_drain_timeout(self) -> None:
        """He may say how long requests have, else it is the configuration's."""
        node = self.serve("a")
        default, short = node.drain(), node.drain(1)
        self.reactor.pump([5, 1.1])
        self.failureResultOf(short, NotDrained)
        self.assertNoResult(default)

        self.reactor.advance(6)

        self.failureResultOf(default, NotDrained)

    def test_drained_node_stops(self) -> None:
        """A node that is at rest stops at once, but for the farewell."""
        node = self.serve("a")
        node.drain()
        self.reactor.advance(5)
        self.reactor.waiting["drain a"].callback(None)

        stopped = node.stopService()
        self.reactor.pump([0.05] * 22)

        self.successResultOf(stopped)
        self.assertEqual(self.take_journal().count("drain a"), 1)

    def test_resume_while_stopping(self) -> None:
        """The end of a node cannot be undone."""
        node = self.serve("a")
        node.stopService()

        self.failureResultOf(node.resume(), AppStopped)

    def test_report(self) -> None:
        """It says who it is, for how long, and how its components are."""
        node = self.serve("a")
        self.reactor.advance(3)

        self.assertEqual(
            node.report(),
            {
                "uuid": node.uuid,
                "version": __version__,
                "uptime": 3.0,
                "state": "serving",
                "components": {"storages.core": {"problem": "full"}},
                "problems": ["storages.core: full"],
            },
        )
