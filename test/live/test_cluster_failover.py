# -*- test-case-name: cocained.test.live.test_cluster_failover -*-
"""
Nodes that die and come back under load: what the clients see.

Clients know the locator of ``c`` only, on which the app does not run, so it is
the gateway there that leads them to ``a`` or ``b``.
"""

from __future__ import annotations

import signal
import time
from typing import Any

from cocained.test.live.cluster_case import APP, ClusterCase, HostNode
from cocained.test.live.cluster_load import ClusterLoad
from cocained.test.live.ledger import LOST, Ending, Ledger
from cocained.test.live.support import live_suite

#: Seconds of load before and after what happens.
CALM = 1.0

#: Seconds until something must have happened.
TIMEOUT = 20.0

#: Requests that a client asks on one connection: some tenths of a second.
STINT = 50


class FailoverTests(ClusterCase):
    """The app runs on two of three nodes."""

    apps = ("a", "b")

    def setUp(self) -> None:
        super().setUp()
        self.wait_found("c", APP, {"a", "b"})
        self.ledger = Ledger()
        self.load = self.make_load()

    def make_load(self, **how: Any) -> ClusterLoad:
        how = {"width": 6, "depth": 2, "stint": STINT, "patience": 5.0, **how}
        address = self.nodes["c"].host.address
        load = ClusterLoad(self.client, [address], APP, self.ledger, **how)
        self.addCleanup(load.close)
        return load

    def run_until_answered_by(self, node: HostNode) -> None:
        """Go on until a node has given its share again."""
        address = node.host.address
        until = self.load.replies[address] + STINT
        self.load.run(TIMEOUT, lambda: self.load.replies[address] < until)
        found = [self.nodes["c"].finds(APP) for _ in range(8)]
        told = (
            f"nobody asks {node.host}, but {self.load.replies} as {found} are found;"
            f" {self.nodes['c'].tail()}\n{node.tail()}"
        )
        self.assertGreaterEqual(self.load.replies[address], until, told)

    def finish(self) -> None:
        """End the load and look at how each request has ended."""
        self.load.finish(TIMEOUT)
        self.assert_kept(self.ledger)

    def test_killed(self) -> None:
        """
        When a node is killed only the requests that it had in flight fail, and
        their clients know at once; when it is back it is asked again.
        """
        victim, other = self.nodes["b"], self.nodes["a"]
        self.run_until_answered_by(victim)
        self.run_until_answered_by(other)
        victim.crash()
        exposed = self.load.exposed(victim.host.address)
        self.load.run(CALM)
        lost = self.ledger.count(Ending.ERROR)
        self.assertLessEqual(lost, exposed)
        self.assertEqual(lost, self.ledger.count(Ending.ERROR, LOST))
        self.assertEqual(lost, self.load.lost[victim.host.address])

        victim.start()
        victim.start_app(APP, "default")
        self.run_until_answered_by(victim)
        self.run_until_answered_by(other)
        self.finish()

        self.assertEqual(self.ledger.count(Ending.ERROR), lost)
        self.assertEqual(self.ledger.count(Ending.DEADLINE), 0)

    def test_killed_again_and_again(self) -> None:
        """Each node dies in turn; each time only what it had in flight fails."""
        most = 0
        for victim in (self.nodes["a"], self.nodes["b"]) * 2:
            self.run_until_answered_by(victim)
            victim.crash()
            most += self.load.exposed(victim.host.address)
            victim.start()
            victim.start_app(APP, "default")
            self.run_until_answered_by(victim)
        self.finish()

        self.assertLessEqual(self.ledger.count(Ending.ERROR), most)
        self.assertEqual(
            self.ledger.count(Ending.ERROR), self.ledger.count(Ending.ERROR, LOST)
        )

    def test_stopped_in_order(self) -> None:
        """A node that is told to stop answers what it has accepted."""
        victim = self.nodes["b"]
        self.run_until_answered_by(victim)
        assert victim.process is not None
        victim.process.send_signal(signal.SIGTERM)
        self.load.run(CALM)
        victim.process.wait(TIMEOUT)
        self.load.run(CALM)
        self.finish()

        # What reaches it in the last moment is refused, and said to be so.
        refused = self.ledger.count(Ending.ERROR, (12, 32))
        lost = self.ledger.count(Ending.ERROR, LOST)
        self.assertEqual(self.ledger.count(Ending.ERROR), refused + lost)
        self.assertEqual(self.load.lost[self.nodes["a"].host.address], 0)

    def test_frozen(self) -> None:
        """
        A node that takes connections and says nothing is left alone; what it had
        ends in time, and when it goes on it is asked again.
        """
        victim = self.nodes["b"]
        assert victim.process is not None
        self.run_until_answered_by(victim)
        victim.process.send_signal(signal.SIGSTOP)
        self.addCleanup(victim.process.send_signal, signal.SIGCONT)
        began = time.monotonic()
        self.wait_found("c", APP, {"a"})
        # Everybody has given up those that never come.
        self.load.run(8.0)
        self.assertGreater(time.monotonic() - began, 5.0)
        self.assertFalse(self.load.waits_for(victim.host.address))
        lost = self.ledger.count(Ending.ERROR)
        self.load.run(CALM)
        self.assertEqual(self.ledger.count(Ending.ERROR), lost)
        victim.process.send_signal(signal.SIGCONT)
        self.run_until_answered_by(victim)
        self.finish()

        self.assertEqual(self.load.lost[self.nodes["a"].host.address], 0)


test_suite = live_suite(__name__)
