# -*- test-case-name: cocained.test.live.test_cluster -*-
"""
Nodes that find each other: by multicast of both families, and by configuration.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from cocained.test.live.cluster_case import (
    APP,
    INTERVAL,
    REFRESH,
    STATUS,
    ClusterCase,
)
from cocained.test.live.support import live_suite, pack
from cocained.testing.lab import Host
from cocained.testing.lab.network import CARD, MULTICAST


class DiscoveryContract:
    """What holds however nodes find each other; the app runs on ``a`` only."""

    apps = ("a",)

    def test_found(self: Any) -> None:
        """
        An app of one node is found through every other one, and answers (rows
        134, 261).
        """
        for name in ("b", "c"):
            self.wait_found(name, APP, {"a"})
        with self.nodes["c"].client(APP) as client:
            self.assertEqual(client.stream("echo", b"token"), [b"token"])

    def test_back(self: Any) -> None:
        """A node that was killed is forgotten, and known when it is back."""
        node = self.nodes["a"]
        self.wait_found("b", APP, {"a"})
        node.crash()
        self.wait_found("b", APP, set())
        self.wait_found("c", APP, set())
        node.start()
        node.start_app(APP, "default")
        self.wait_linked()
        self.wait_found("b", APP, {"a"})


class MulticastTests(DiscoveryContract, ClusterCase):
    """IPv4, as the original has it."""

    def test_gone(self) -> None:
        """An app that stops is found no more; one that starts is."""
        self.wait_found("b", APP, {"a"})
        self.nodes["a"].pause_app(APP)
        self.wait_found("b", APP, set())
        self.nodes["c"].start_app(APP, "default")
        self.wait_found("b", APP, {"c"})

    def test_stopped(self) -> None:
        """A node that stops in order is not found any more."""
        self.wait_found("b", APP, {"a"})
        self.nodes["a"].stop()
        self.wait_found("b", APP, set())
        self.assertIn(self.nodes["c"].uuid, self.nodes["b"].peers())

    def test_bad_packets(self) -> None:
        """Whatever is sent to the group, nodes go on hearing each other."""
        with self.client.inside():
            noise = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(noise.close)
        forged = pack(["forged", [[self.client.address, 9]]])
        for datagram in (b"", b"\xc1", b"\x91" * 60_000, pack(["x", 5]), forged):
            noise.sendto(datagram, ("239.0.100.53", 10053))
        self.nodes["b"].wait_for_log("was refused")
        self.nodes["a"].crash()
        self.nodes["a"].start()
        self.wait_linked()

    def test_no_network(self) -> None:
        """A node that starts without a network says so, and is found later."""
        node = self.nodes["a"]
        node.crash()
        node.host.namespace.ip("route", "del", MULTICAST)
        node.start()
        with node.client("admin") as admin:
            status = repr(admin.call(STATUS))
        self.assertIn("239.0.100.53:10053 cannot be reached", status)
        node.host.namespace.ip("route", "add", MULTICAST, "dev", CARD)

        self.wait_linked()
        node.wait_for_log("is reached again")

    def test_refresh(self) -> None:
        """A routing group that one node refreshes is followed by the others."""
        node = self.nodes["a"]
        node.write("groups", "alias", pack({APP: 1}), "group", "active")
        node.ask(REFRESH, ["alias"])
        for name in ("b", "c"):
            self.wait_found(name, "alias", {"a"})


class Multicast6Tests(ClusterCase):
    """IPv6, a group of the link."""

    apps = ("a",)

    @override
    def cluster(self, host: Host) -> Mapping[str, Any]:
        args = {"group": "ff02::c0ca", "interface": "eth0", "interval": INTERVAL}
        return {"type": "multicast", "args": args}

    def test_found(self) -> None:
        """Nodes find each other, and forget who is silent."""
        self.wait_found("b", APP, {"a"})
        self.nodes["a"].crash()
        self.wait_linked("b", "c")
        self.assertEqual(self.nodes["b"].finds(APP), "")


class PredefineTests(DiscoveryContract, ClusterCase):
    """Nodes of which the addresses stand in the configuration, and no more."""

    @override
    def cluster(self, host: Host) -> Mapping[str, Any]:
        nodes = [f"{self.lab.hosts[name].address}:10053" for name in self.names]
        return {"type": "predefine", "args": {"nodes": nodes, "interval": INTERVAL}}


test_suite = live_suite(__name__)
