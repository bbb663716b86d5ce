# -*- test-case-name: cocained.test.test_gateways_adhoc -*-
"""
Gateways: the contract, and what is the ad-hoc one's own.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.config import convert
from cocained.errors import ConfigError
from cocained.gateways.adhoc import (
    CLUSTER_KEY,
    AdhocArgs,
    AdhocGateway,
    DuplicateRemote,
)
from cocained.testing import stub_node
from cocained.testing.contracts import GatewayContract


def adhoc(**args: Any) -> AdhocGateway:
    """Build a gateway from arguments as a file has them."""
    return AdhocGateway(stub_node(), "locator:gateway", convert(args, AdhocArgs))


class AdhocContractTests(GatewayContract, SynchronousTestCase):
    """The ad-hoc gateway does what every gateway does."""

    def setUp(self) -> None:
        self.gateway = adhoc()
        self.assertIsNone(self.gateway.start())


class AdhocTests(GatewayContract, SynchronousTestCase):
    """Its own ways; the contract holds with a cluster's name, too."""

    def setUp(self) -> None:
        self.gateway = adhoc(**{CLUSTER_KEY: "blue"})

    def consume(
        self, uuid: str, name: str, version: int = 1, **extra: Any
    ) -> list[tuple[str, int]]:
        extra.setdefault(CLUSTER_KEY, "blue")
        return super().consume(uuid, name, version, **extra)

    def test_resolves_what_was_announced(self) -> None:
        """A node that says no cluster is not of this one."""
        self.gateway.consume("a", "app", self.ENDPOINTS, 3, self.GRAPH, {})

        self.assertIsNone(self.gateway.resolve("app"))

    def test_plain_service(self) -> None:
        """A node of another cluster is not heard, and that is no error."""
        self.consume("a", "app", 1, **{CLUSTER_KEY: "green"})

        self.assertIsNone(self.gateway.resolve("app"))

    def test_extra(self) -> None:
        """A second announcement of another cluster's node is no duplicate."""
        self.consume("a", "app", 1)
        self.consume("a", "app", 2, **{CLUSTER_KEY: "green"})

        self.assertEqual(self.found("app"), {1})

    def test_turns(self) -> None:
        """Copies take turns, in the order in which they came."""
        for version, uuid in enumerate(("a", "bb", "ccc"), 1):
            self.consume(uuid, "app", version)

        versions = [self.gateway.resolve("app")[1] for _ in range(7)]

        self.assertEqual(versions, [1, 2, 3, 1, 2, 3, 1])

    def test_turns_of_services(self) -> None:
        """Each service has a row of its own."""
        for name in ("app", "other"):
            self.consume("a", name, 1)
            self.consume("bb", name, 2)

        self.assertEqual(self.gateway.resolve("app")[1], 1)
        self.assertEqual(self.gateway.resolve("other")[1], 1)
        self.assertEqual(self.gateway.resolve("app")[1], 2)

    def test_turns_go_on(self) -> None:
        """A copy that goes away is skipped, a new one waits for its turn."""
        for version, uuid in enumerate(("a", "bb", "ccc"), 1):
            self.consume(uuid, "app", version)
        self.gateway.resolve("app")
        self.gateway.cleanup("bb")
        self.consume("dddd", "app", 4)

        versions = [self.gateway.resolve("app")[1] for _ in range(4)]

        self.assertEqual(versions, [3, 1, 4, 3])

    def test_seed_does_not_matter(self) -> None:
        """A seed makes no difference: it is for routing groups."""
        self.consume("a", "app", 1)
        self.consume("bb", "app", 2)

        self.assertEqual(self.found("app", "seed"), {1, 2})

    def test_local_first(self) -> None:
        """The locator looks at its own services first."""
        self.assertIs(self.gateway.full, False)

    def test_duplicate(self) -> None:
        """A service that a node announces twice is an error, named."""
        self.consume("a", "app", 1)

        error = self.assertRaises(DuplicateRemote, self.consume, "a", "app", 2)

        self.assertEqual((error.category, error.code), (10, 4))
        self.assertEqual(error.reason, "service 'app' of node a is known already")
        self.assertEqual(self.found("app"), {1})

    def test_nothing_is_left(self) -> None:
        """Nodes that come and go leave nothing behind."""
        for number in range(100):
            self.consume(f"node{number}", f"app{number}")
            self.gateway.cleanup(f"node{number}")

        self.assertEqual(self.gateway._remotes, {})

    def test_unknown_argument(self) -> None:
        """The original's key is the only argument."""
        error = self.assertRaises(ConfigError, adhoc, cluster="blue")

        self.assertIn(CLUSTER_KEY, str(error))
