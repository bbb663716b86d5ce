# -*- test-case-name: cocained.test.test_gateways_vicodyn_info -*-
"""
The service ``vicodyn``, and what the gateway reports.
"""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from cocained.interfaces import IRemoteService, IReporter
from cocained.test.vicodyn_case import VicodynCase


class InfoTests(VicodynCase):
    """What operators are told over the wire."""

    def setUp(self) -> None:
        super().setUp()
        self.there = self.remote("there", "app", "other")
        self.gone = self.remote("gone")
        self.gone.refuse()
        self.gone.announce("app", **{"x-own": "value"})
        self.peer = self.node.client(self.node.directory.services["vicodyn"])
        self.service: Any = self.node.directory.services["vicodyn"]

    def ask(self, method: int, *args: Any) -> Any:
        self.peer.send(method + 1, method, *args)
        ((_, kind, values),) = self.peer.take()
        self.assertEqual(kind, 0)
        return values[0]

    def test_interface(self) -> None:
        """It is a service like others."""
        self.assertTrue(verifyObject(IRemoteService, self.service))
        self.assertEqual(self.service.protocol.version, 1)
        names = [entry[0] for entry in self.service.protocol.graph.values()]
        self.assertEqual(names, ["info", "peers", "apps"])

    def test_announced(self) -> None:
        """It is found by its name."""
        self.assertEqual(self.node.directory.quiet, {"virtual::app", "virtual::other"})

    def test_info(self) -> None:
        """Apps with their nodes, and nodes with what is known of them."""
        info = self.ask(0)

        self.assertEqual(
            info[b"apps"], {b"app": [b"there", b"gone"], b"other": [b"there"]}
        )
        there, gone = info[b"peers"][b"there"], info[b"peers"][b"gone"]
        self.assertEqual(
            there,
            {
                b"uuid": b"there",
                b"endpoints": [[b"192.0.2.9", self.there.address[1]]],
                b"connected": True,
                b"last_active": 0,
                b"extra": {},
            },
        )
        self.assertEqual(gone[b"connected"], False)
        self.assertEqual(gone[b"extra"], {b"x-own": b"value"})

    def test_peers(self) -> None:
        """All nodes, or one; an unknown one is nil."""
        self.assertEqual(set(self.ask(1)[b"peers"]), {b"there", b"gone"})
        self.peer = self.node.client(self.service)
        self.assertEqual(set(self.ask(1, b"gone")[b"peers"]), {b"gone"})
        self.peer = self.node.client(self.service)
        self.assertEqual(self.ask(1, b"nope"), {b"peers": {b"nope": None}})

    def test_apps(self) -> None:
        """All apps, or one; an unknown one is nil."""
        self.assertEqual(set(self.ask(2)[b"apps"]), {b"app", b"other"})
        self.peer = self.node.client(self.service)
        self.assertEqual(self.ask(2, b"other"), {b"apps": {b"other": [b"there"]}})
        self.peer = self.node.client(self.service)
        self.assertEqual(self.ask(2, b"nope"), {b"apps": {b"nope": None}})

    def test_last_active(self) -> None:
        """The last answer of a node is dated, by the clock of this one."""
        self.network.pass_time(1000)
        client = self.client("other")
        client.send(1, 0, b"ping")
        (channel,) = self.there.requests()
        self.there.chunk(channel, b"1")

        peers = self.ask(1, b"there")[b"peers"]

        self.assertEqual(peers[b"there"][b"last_active"], 1000)

    def test_no_dead_nodes(self) -> None:
        """A node that was dropped is nowhere any more, which the original misses."""
        self.gateway.cleanup("gone")

        info = self.ask(0)

        self.assertEqual(info[b"apps"], {b"app": [b"there"], b"other": [b"there"]})
        self.assertEqual(set(info[b"peers"]), {b"there"})


class ReportTests(VicodynCase):
    """What the gateway reports to operators of this node."""

    def test_fine(self) -> None:
        """Requests are counted."""
        self.assertTrue(verifyObject(IReporter, self.gateway))
        there = self.remote("there", "app")
        client = self.client()
        client.send(1, 0, b"ping")
        there.take()

        self.assertEqual(
            self.gateway.report(),
            {
                "policy": "least-latency",
                "apps": {
                    "app": {
                        "nodes": 1,
                        "reachable": True,
                        "accepted": 1,
                        "retried": 0,
                        "refused": 0,
                    }
                },
                "peers": {"there": {"requests": 1, "well": True, "refusal": ""}},
                "problem": "",
            },
        )

    def test_refusing(self) -> None:
        """A node that cannot be reached is a problem, with the reason."""
        there = self.remote("there")
        there.refuse()
        there.announce("app")

        report = self.gateway.report()

        self.assertIn("no connection to there", report["problem"])
        self.assertIn("refused", report["peers"]["there"]["refusal"])
        self.assertFalse(report["apps"]["app"]["reachable"])

    def test_silent(self) -> None:
        """So is one that gives no sign of life."""
        self.remote("there", "app")
        self.gateway.node_observed("there", None)

        self.assertIn("no sign of life from there", self.gateway.report()["problem"])
