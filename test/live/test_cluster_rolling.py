# -*- test-case-name: cocained.test.live.test_cluster_rolling -*-
"""
All nodes restarted under load, one after the other, and no request lost.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from cocained.test.live.cluster_case import APP, ClusterCase, HostNode
from cocained.test.live.cluster_load import ClusterLoad
from cocained.test.live.ledger import Ending, Ledger
from cocained.test.live.support import live_suite
from cocained.testing.lab import Host

#: The command, as it is installed.
TOOL = (sys.executable, "-c", "from cocained.tools.cli import main; main()")

#: Seconds for which a node that drains serves as before; a client asks a locator
#: more often than that, as one does who wants to miss no restart.
SETTLE = 2.0

#: Requests that a client asks on one connection: far less than :data:`SETTLE`.
STINT = 20

#: Seconds until something must have happened.
TIMEOUT = 30.0


class RollingTests(ClusterCase):
    """The app runs on all nodes; clients know the locators of all."""

    @override
    def changes(self, host: Host) -> Mapping[str, Any]:
        return {**super().changes(host), "shutdown": {"settle": SETTLE}}

    def setUp(self) -> None:
        super().setUp()
        self.ledger = Ledger()
        addresses = [node.host.address for node in self.nodes.values()]
        self.load = ClusterLoad(
            *(self.client, addresses, APP, self.ledger),
            width=6,
            depth=1,
            stint=STINT,
        )
        self.addCleanup(self.load.close)

    def run_until_answered_by(self, node: HostNode) -> None:
        """Go on until a node has given its share."""
        until = self.load.replies[node.host.address] + 2 * STINT
        self.load.run(TIMEOUT, lambda: self.load.replies[node.host.address] < until)
        told = f"nobody asks {node.host}, which finds {node.finds(APP)}; {node.tail()}"
        self.assertGreaterEqual(self.load.replies[node.host.address], until, told)

    def run_tool(self, node: HostNode, *words: str) -> str:
        """Run a command of ``cocaine-tool`` while the load goes on."""
        command = [*TOOL, *words, "--host", node.host.address]
        process = self.client.start(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.addCleanup(process.kill)
        self.load.run(TIMEOUT, lambda: process.poll() is None)
        said, _ = process.communicate(timeout=TIMEOUT)
        self.assertEqual(process.returncode, 0, said)
        return str(said)

    def test_rolling_restart(self) -> None:
        """Each node is drained, stopped, started; every request has its answer."""
        for node in self.nodes.values():
            self.run_until_answered_by(node)
        for node in self.nodes.values():
            former = node.uuid
            self.run_tool(node, "node", "drain")
            self.assertFalse(self.load.waits_for(node.host.address))
            node.stop()
            self.load.run(0.5)
            node.start()
            self.assertNotEqual(node.uuid, former)
            node.start_app(APP, "default")
            self.run_until_answered_by(node)
            self.wait_linked()
        self.load.finish(TIMEOUT)

        self.assert_kept(self.ledger)
        self.assertEqual(self.load.lost.total(), 0)
        self.assertEqual(self.ledger.count(Ending.ERROR), 0, self.ledger.table("all"))
        self.assertEqual(self.ledger.count(Ending.REPLY), len(self.ledger.entries))

    def test_resumed(self) -> None:
        """A node that has been drained serves again when it is told to."""
        node = self.nodes["b"]
        self.run_until_answered_by(node)
        self.run_tool(node, "node", "drain")
        self.wait_found("a", APP, {"a"})
        before = self.load.replies[node.host.address]
        self.load.run(0.5)
        self.assertEqual(self.load.replies[node.host.address], before)

        self.run_tool(node, "node", "resume")

        self.run_until_answered_by(node)
        self.load.finish(TIMEOUT)
        self.assert_kept(self.ledger)
        self.assertEqual(self.ledger.count(Ending.ERROR), 0, self.ledger.table("all"))


test_suite = live_suite(__name__)
