# -*- test-case-name: cocained.test.live.test_gateways_director -*-
"""
A load balancer of its own: a whole node without apps, whose kernel forwards to
the nodes that it finds (row 11).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from cocained.test.live.cluster_case import APP, RESOLVE, ClusterCase
from cocained.test.live.support import (
    TWISTD,
    Client,
    LiveNode,
    live_reason,
    missing,
    wait_for,
)
from cocained.testing.lab import Host, LabError
from cocained.testing.programs import require

#: Ports of virtual services.
SHARED = [20000, 20020]

GATEWAY = {
    "type": "nftables",
    "args": {"scheduler": "rr", "probe": {"interval": 0.3, "timeout": 2.0}},
}

#: Seconds until the director has heard of everything, and told its kernel.
PATIENCE = 20.0


class DirectorTests(ClusterCase):
    """A director, and two nodes that run the app."""

    names = ("director", "one", "two")
    apps = ("one", "two")

    @override
    def prepare(self) -> None:
        """Let the director pass packets on."""
        self.lab.hosts["director"].namespace.set("ipv4/ip_forward", "1")

    @override
    def changes(self, host: Host) -> Mapping[str, Any]:
        """Give the director its gateway, and ports for it."""
        arguments: dict[str, Any] = {"cluster": self.cluster(host)}
        if host.name != "director":
            # Without a gateway it would link to nobody.
            return {
                "services": {
                    "locator": {"args": {**arguments, "gateway": self.gateway}}
                }
            }
        return {
            "network": {"shared": SHARED},
            "services": {"locator": {"args": {**arguments, "gateway": GATEWAY}}},
        }

    def setUp(self) -> None:
        super().setUp()
        self.director = self.nodes["director"]
        host, self.port = wait_for("the app is balanced", self.resolve, PATIENCE)
        self.assertEqual(host, self.director.host.address)
        self.assertIn(self.port, range(*SHARED))

    def resolve(self) -> tuple[str, int] | None:
        """Ask the director where the app is."""
        if not self.director.finds(APP):
            return None
        with self.director.client("locator") as locator:
            ((host, port),) = locator.call(RESOLVE, APP)[0]
        return host.decode(), port

    def ask(self, number: int) -> Counter[bytes]:
        """Send requests over so many connections; say which workers answered."""
        answers: Counter[bytes] = Counter()
        for _ in range(number):
            with self.client.inside():
                client = Client((self.director.host.address, self.port))
            with client:
                answers[client.stream("who", b"")[0]] += 1
        return answers

    def test_shared(self) -> None:
        """Connections are shared by the apps of both nodes (row 11)."""
        wait_for("both get some", lambda: len(self.ask(2)) == 2, PATIENCE)

        self.assertEqual(sorted(self.ask(20).values()), [10, 10])

    def test_crash(self) -> None:
        """When a node dies, all connections go to the other one."""
        wait_for("both get some", lambda: len(self.ask(2)) == 2, PATIENCE)
        self.nodes["two"].crash()

        def is_out() -> bool:
            try:
                return len(self.ask(4)) == 1
            except (OSError, AssertionError):
                return False

        wait_for("one gets all", is_out, PATIENCE)
        self.assertEqual(list(self.ask(20).values()), [20])


class RefusalTests(SynchronousTestCase):
    """A node that may not do what its gateway needs."""

    skip = live_reason()

    def test_no_capability(self) -> None:
        """It does not start, and says what it needs."""
        try:
            require(["setpriv", "nft"])
        except LabError as error:
            raise missing(str(error)) from error
        node = LiveNode(
            {
                "network": {"shared": SHARED},
                "services": {"locator": {"args": {"gateway": {"type": "nftables"}}}},
            }
        )
        self.addCleanup(node.close)
        without = ("--inh-caps=-net_admin", "--bounding-set=-net_admin")
        node.program = ("setpriv", *without, *TWISTD)

        node.launch()

        assert node.process is not None
        self.assertEqual(node.process.wait(PATIENCE), 1, node.tail())
        self.assertIn("the node cannot start: nft ended with status 1", node.tail())
        self.assertIn("CAP_NET_ADMIN", node.tail())
