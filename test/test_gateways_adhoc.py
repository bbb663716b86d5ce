# -*- test-case-name: cocained.test.test_gateways_adhoc -*-
"""
Gateways: the contract, and what is the ad-hoc one's own.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cocained.config import convert
from cocained.errors import ConfigError
from cocained.gateways.adhoc import (
    CLUSTER_KEY,
    AdhocArgs,
    AdhocGateway,
    DuplicateRemote,
)
from cocained.gateways.health import JITTER
from cocained.interfaces import IReporter
from cocained.test.memory_network import MemoryNetwork, RawFactory
from cocained.testing import stub_node
from cocained.testing.contracts import GatewayContract, NodeObserverContract


def adhoc(reactor: Any = None, **args: Any) -> AdhocGateway:
    """Build a gateway from arguments as a file has them."""
    return AdhocGateway(stub_node(reactor), "locator:gateway", convert(args, AdhocArgs))


class AdhocContractTests(NodeObserverContract, SynchronousTestCase):
    """The ad-hoc gateway does what every gateway does."""

    def setUp(self) -> None:
        self.gateway = adhoc()
        self.assertIsNone(self.gateway.start())
        self.addCleanup(self.gateway.stop)


class RandomContractTests(NodeObserverContract, SynchronousTestCase):
    """So it does when it chooses by chance."""

    def setUp(self) -> None:
        self.gateway = adhoc(policy="random")
        self.gateway._chance.seed(1)


class LeastLatencyContractTests(NodeObserverContract, SynchronousTestCase):
    """So it does when it chooses by latency."""

    def setUp(self) -> None:
        self.gateway = adhoc(policy="least-latency")
        self.gateway._chance.seed(1)


class ProbingContractTests(NodeObserverContract, SynchronousTestCase):
    """So it does when it probes."""

    def setUp(self) -> None:
        self.gateway = adhoc(probe={})
        self.addCleanup(self.gateway.stop)


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

        self.assertEqual(self.gateway._services, {})
        self.assertEqual(self.gateway._nodes, {})

    def test_unknown_argument(self) -> None:
        """An argument that there is not is told, with what there is."""
        error = self.assertRaises(ConfigError, adhoc, cluster="blue")

        self.assertIn(CLUSTER_KEY, str(error))

    def test_unknown_policy(self) -> None:
        """So is a policy."""
        error = self.assertRaises(ConfigError, adhoc, policy="fastest")

        self.assertIn("least-latency", str(error))


class LocalTests(SynchronousTestCase):
    """The node's own copies are copies like others."""

    def setUp(self) -> None:
        self.gateway = adhoc()
        self.uuid = "6b1c2a34-0000-4000-8000-000000000000"
        for uuid, version in ((self.uuid, 1), ("a", 2)):
            self.gateway.consume(uuid, "app", [("192.0.2.1", version)], version, {}, {})

    def test_takes_turns(self) -> None:
        """A service published through this node gets its share."""
        answers = [self.gateway.resolve("app") for _ in range(4)]

        self.assertEqual([a and a.version for a in answers], [1, 2, 1, 2])

    def test_withdrawn(self) -> None:
        """When it is withdrawn the others are left."""
        self.gateway.cleanup(self.uuid, "app")

        answer = self.gateway.resolve("app")

        self.assertEqual(answer and answer.version, 2)


class LatencyTests(SynchronousTestCase):
    """Latencies that the locator has measured."""

    def setUp(self) -> None:
        self.gateway = adhoc(policy="least-latency")
        self.gateway._chance.seed(1)
        for number, uuid in enumerate(("near", "far", "further")):
            self.gateway.consume(uuid, "app", [("192.0.2.1", 1)], number, {}, {})
        for uuid, latency in (("near", 0.002), ("far", 0.02), ("further", 0.2)):
            self.gateway.node_observed(uuid, latency)

    def found(self) -> Counter[Any]:
        answers = (self.gateway.resolve("app") for _ in range(600))
        return Counter(answer.version for answer in answers if answer)

    def test_two_choices(self) -> None:
        """The nearest is preferred and the furthest avoided, without a stampede."""
        found = self.found()

        self.assertGreater(found[0], found[1])
        self.assertGreater(found[1], 100)
        self.assertEqual(found[2], 0)

    def test_time_passes(self) -> None:
        """What was measured long ago does not count."""
        self.gateway.node.reactor.advance(300)  # type: ignore[attr-defined]

        self.assertGreater(self.found()[2], 100)


class ProbeTests(SynchronousTestCase):
    """With ``probe`` the gateway tries to connect to each copy."""

    HERE, THERE = ("192.0.2.1", 1001), ("192.0.2.2", 1002)

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.gateway = adhoc(self.network, probe={"interval": 2.0, "timeout": 1.0})
        self.addCleanup(self.gateway.stop)
        self.network.listeners[self.HERE] = RawFactory(lambda frame: b"")
        self.gateway.consume("a", "app", [self.HERE], 1, {}, {})
        self.gateway.consume("b", "app", [self.THERE], 2, {}, {})

    def found(self) -> set[int]:
        answers = [self.gateway.resolve("app") for _ in range(10)]
        return {answer.version for answer in answers if answer}

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.network.pass_time(1.0)

    def test_down(self) -> None:
        """A copy that refuses is left out."""
        self.assertEqual(self.found(), {1, 2})
        self.pass_time(3)

        self.assertEqual(self.found(), {1})

    def test_up(self) -> None:
        """It comes back when it accepts."""
        self.pass_time(3)
        self.network.listeners[self.THERE] = RawFactory(lambda frame: b"")

        self.pass_time(4 * (1 + JITTER))

        self.assertEqual(self.found(), {1, 2})

    def test_one_address_is_enough(self) -> None:
        """A copy with two addresses is up as long as one of them is."""
        self.gateway.consume("c", "app", [self.THERE, self.HERE], 3, {}, {})

        self.pass_time(3)

        self.assertEqual(self.found(), {1, 3})

    def test_silent_and_up(self) -> None:
        """A node must give signs of life as well."""
        self.pass_time(3)
        self.gateway.node_observed("a", None)

        self.assertEqual(self.found(), {1, 2})
        self.gateway.node_observed("a", 0.001)
        self.assertEqual(self.found(), {1})

    def test_gone(self) -> None:
        """Copies that are gone are not probed any more."""
        self.gateway.cleanup("a")
        self.gateway.cleanup("b", "app")
        self.network.attempts.clear()

        self.pass_time(10)

        self.assertEqual(self.network.attempts, [])
        self.assertEqual(self.gateway._targets, {})

    def test_stop(self) -> None:
        """When the gateway stops, so does probing."""
        self.pass_time(3)
        self.gateway.stop()
        self.pass_time(1)
        self.network.attempts.clear()

        self.pass_time(40)

        self.assertEqual(self.network.attempts, [])

    def test_report(self) -> None:
        """What is down is told, with what may be the matter."""
        self.pass_time(3)

        report = self.gateway.report()

        self.assertEqual(report["down"], ["192.0.2.2:1002"])
        self.assertIn("192.0.2.2:1002", report["problem"])


class ReportTests(SynchronousTestCase):
    """What operators are told."""

    def test_report(self) -> None:
        """Nodes are listed with what is known of them."""
        gateway = adhoc()
        self.assertTrue(verifyObject(IReporter, gateway))
        gateway.consume("a", "app", [("192.0.2.1", 1)], 1, {}, {})
        gateway.consume("a", "other", [("192.0.2.1", 2)], 1, {}, {})
        gateway.node_observed("a", 0.25)

        self.assertEqual(
            gateway.report(),
            {
                "policy": "round-robin",
                "services": 2,
                "nodes": {"a": {"services": 2, "well": True, "latency": 0.25}},
                "down": [],
                "problem": "",
            },
        )

    def test_silent(self) -> None:
        """A node that gives no sign of life is a problem."""
        gateway = adhoc()
        gateway.consume("a", "app", [("192.0.2.1", 1)], 1, {}, {})
        gateway.node_observed("a", None)

        self.assertIn("no sign of life from a", gateway.report()["problem"])
