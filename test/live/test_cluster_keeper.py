# -*- test-case-name: cocained.test.live.test_cluster_keeper -*-
"""
Nodes that meet at a ZooKeeper, which comes and goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from cocained.test.live.cluster_case import APP, ClusterCase
from cocained.test.live.cluster_load import ClusterLoad
from cocained.test.live.ledger import Ending, Ledger
from cocained.test.live.support import live_suite
from cocained.test.live.test_cluster import DiscoveryContract
from cocained.test.live.zookeeper import Zookeeper
from cocained.testing.lab import Host


class ZookeeperTests(DiscoveryContract, ClusterCase):
    """The server has a host of its own; the app runs on ``a``."""

    @override
    def prepare(self) -> None:
        self.server = Zookeeper(self.lab.add_host("keeper"))
        self.addCleanup(self.server.close)
        self.server.start()

    @override
    def cluster(self, host: Host) -> Mapping[str, Any]:
        server = {"host": self.server.address, "port": self.server.port}
        arguments = {"endpoints": [server], "retry_interval": 0.5, "grace": 2.0}
        return {"type": "zookeeper", "args": arguments}

    def test_outage(self) -> None:
        """
        While ZooKeeper is away nodes serve, and hear of each other's apps; no request
        is lost, and who comes meanwhile is found when it is back.
        """
        self.wait_found("b", APP, {"a"})
        ledger = Ledger()
        address = self.nodes["b"].host.address
        load = ClusterLoad(self.client, [address], APP, ledger, width=2, stint=20)
        self.addCleanup(load.close)
        load.run(0.5)
        self.server.stop()
        load.run(2.0)
        self.nodes["c"].start_app(APP, "default")
        self.wait_found("b", APP, {"a", "c"})
        before = load.replies[self.nodes["c"].host.address]
        load.run(10.0, lambda: load.replies[self.nodes["c"].host.address] <= before)
        self.nodes["a"].pause_app(APP)
        self.wait_found("b", APP, {"c"})
        self.server.start()
        load.run(2.0)
        load.finish(10.0)

        self.wait_linked()
        self.assert_kept(ledger)
        refused = ledger.count(Ending.ERROR, (12, 32))
        self.assertEqual(ledger.count(Ending.ERROR), refused, ledger.table("all"))

    def test_comes_during_an_outage(self) -> None:
        """A node that starts while ZooKeeper is away is found when it is back."""
        self.nodes["a"].crash()
        self.server.stop()
        self.nodes["a"].start()
        self.nodes["a"].start_app(APP, "default")
        self.assertEqual(self.nodes["b"].finds(APP), "")

        self.server.start()

        self.wait_linked()
        self.wait_found("b", APP, {"a"})

    def test_cut_off(self) -> None:
        """A node that cannot reach ZooKeeper goes on with the others it knows."""
        self.wait_found("b", APP, {"a"})
        self.lab.partition([self.nodes["a"].host], [self.lab.hosts["keeper"]])
        with self.nodes["b"].client(APP) as client:
            self.assertEqual(client.stream("echo", b"token"), [b"token"])
        self.lab.heal()
        self.wait_linked()
        self.wait_found("b", APP, {"a"})


test_suite = live_suite(__name__)
