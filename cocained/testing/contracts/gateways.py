# -*- test-case-name: cocained.test.test_gateways_adhoc -*-
# mypy: allow-untyped-calls
# (Assertions of trial have no types.)
"""
What every gateway must do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cocained.interfaces import IGateway, INodeObserver

if TYPE_CHECKING:
    _Case = SynchronousTestCase
else:
    # Trial runs every test case that it finds in a module, imported or not.
    _Case = object


class GatewayContract(_Case):
    """
    What every gateway must do (protocol.md §3.6).

    A test case inherits it beside its own base, and sets a started ``gateway``
    in ``setUp``.
    """

    gateway: Any

    #: Endpoints and a graph, as the locator gives them.
    ENDPOINTS = [("192.0.2.1", 9999), ("2001:db8::1", 9998)]
    GRAPH: Mapping[int, Any] = {0: ("m", {}, {0: ("value", {}), 1: ("error", {})})}

    def consume(
        self, uuid: str, name: str, version: int = 1, **extra: Any
    ) -> list[tuple[str, int]]:
        """Announce a service; its first port is its version plus a thousand."""
        endpoints = [(f"192.0.2.{len(uuid)}", 1000 + version)]
        self.gateway.consume(uuid, name, endpoints, version, self.GRAPH, extra)
        return endpoints

    def found(self, name: str, seed: str = "") -> set[int]:
        """Give the versions that twenty calls of resolve come to."""
        answers = [self.gateway.resolve(name, seed) for _ in range(20)]
        return {answer[1] for answer in answers if answer is not None}

    def test_provides_the_interface(self) -> None:
        """The object has every attribute and method of a gateway."""
        self.assertTrue(verifyObject(IGateway, self.gateway))
        self.assertIsInstance(self.gateway.full, bool)

    def test_unknown(self) -> None:
        """A name that nobody announced has no copy."""
        self.consume("a", "other")

        self.assertIsNone(self.gateway.resolve("nope"))
        self.assertIsNone(self.gateway.resolve("nope", "seed"))

    def test_resolves_what_was_announced(self) -> None:
        """Endpoints, version and graph come back as they came."""
        self.gateway.consume("a", "app", self.ENDPOINTS, 3, self.GRAPH, {})

        endpoints, version, graph = self.gateway.resolve("app")

        self.assertEqual(list(endpoints), self.ENDPOINTS)
        self.assertEqual(version, 3)
        self.assertEqual(graph, self.GRAPH)

    def test_plain_service(self) -> None:
        """A service without version and graph is one too."""
        self.gateway.consume("a", "ext", self.ENDPOINTS, 0, {}, {})

        self.assertEqual(tuple(self.gateway.resolve("ext"))[1:], (0, {}))

    def test_all_copies_are_used(self) -> None:
        """Every node that has a service gets a share of the answers."""
        self.consume("a", "app", 1)
        self.consume("bb", "app", 2)
        self.consume("ccc", "app", 3)

        self.assertEqual(self.found("app"), {1, 2, 3})

    def test_forget_a_service(self) -> None:
        """One service of a node is forgotten, and nothing else."""
        self.consume("a", "app", 1)
        self.consume("a", "other", 2)
        self.consume("bb", "app", 3)

        self.gateway.cleanup("a", "app")

        self.assertEqual(self.found("app"), {3})
        self.assertEqual(self.found("other"), {2})

    def test_forget_a_node(self) -> None:
        """All services of a node are forgotten, and those of others are not."""
        self.consume("a", "app", 1)
        self.consume("a", "other", 2)
        self.consume("bb", "app", 3)

        self.gateway.cleanup("a")

        self.assertEqual(self.found("app"), {3})
        self.assertEqual(self.found("other"), set())

    def test_forget_unknown(self) -> None:
        """To forget what is not known does no harm."""
        self.consume("a", "app", 1)

        self.gateway.cleanup("bb")
        self.gateway.cleanup("bb", "app")
        self.gateway.cleanup("a", "nope")

        self.assertEqual(self.found("app"), {1})

    def test_announced_again(self) -> None:
        """A service that was forgotten may come back, with other values."""
        self.consume("a", "app", 1)
        self.gateway.cleanup("a", "app")

        self.consume("a", "app", 2)

        self.assertEqual(self.found("app"), {2})

    def test_extra(self) -> None:
        """Announcements carry values that this gateway may know nothing of."""
        self.gateway.consume(
            "a", "app", self.ENDPOINTS, 1, self.GRAPH, {"weight": 5, "x-region": "r1"}
        )

        self.assertEqual(self.found("app"), {1})

    def test_node_comes_back(self) -> None:
        """A node that was forgotten whole may announce itself anew."""
        self.consume("a", "app", 1)
        self.consume("a", "other", 2)
        self.gateway.cleanup("a")

        self.consume("a", "app", 3)

        self.assertEqual(self.found("app"), {3})
        self.assertEqual(self.found("other"), set())

    def test_forget_twice(self) -> None:
        """A node that is gone may go again, and one service of it, too."""
        self.consume("a", "app", 1)
        self.consume("bb", "app", 2)

        for name in ("app", None, "app", None):
            self.gateway.cleanup("a", name)

        self.assertEqual(self.found("app"), {2})


class NodeObserverContract(GatewayContract):
    """What a gateway must do that hears how nodes are."""

    def test_observes(self) -> None:
        """The object has what the locator calls."""
        self.assertTrue(verifyObject(INodeObserver, self.gateway))

    def test_silent_node(self) -> None:
        """A node that gave no sign of life is left out while there are others."""
        self.consume("a", "app", 1)
        self.consume("bb", "app", 2)

        self.gateway.node_observed("a", None)

        self.assertEqual(self.found("app"), {2})

    def test_node_that_answers_again(self) -> None:
        """It comes back when it answers."""
        self.consume("a", "app", 1)
        self.consume("bb", "app", 2)
        self.gateway.node_observed("a", None)

        self.gateway.node_observed("a", 0.001)

        self.assertEqual(self.found("app"), {1, 2})

    def test_only_silent_nodes(self) -> None:
        """If no other is left, it is better than nothing."""
        self.consume("a", "app", 1)

        self.gateway.node_observed("a", None)

        self.assertEqual(self.found("app"), {1})

    def test_new_service_of_a_silent_node(self) -> None:
        """What a silent node has announced meanwhile is left out as well."""
        self.consume("a", "other", 1)
        self.gateway.node_observed("a", None)
        self.consume("a", "app", 2)
        self.consume("bb", "app", 3)

        self.assertEqual(self.found("app"), {3})

    def test_unknown_node(self) -> None:
        """A node of which nothing is known may be observed."""
        self.consume("bb", "app", 1)

        self.gateway.node_observed("a", None)
        self.gateway.node_observed("a", 0.5)
        self.gateway.cleanup("a")

        self.assertEqual(self.found("app"), {1})


class ForwardingContract(GatewayContract):
    """
    What every gateway must do that forwards by itself (plugins.md §4.4).

    All copies are behind one endpoint, so there is one answer for all of them:
    version and graph are those of the first.  Announcements take effect before
    ``consume`` and ``cleanup`` return, or the test case sees to it.
    """

    def test_resolves_what_was_announced(self) -> None:
        """Version and graph come back, and an endpoint that is the gateway's."""
        self.gateway.consume("a", "app", self.ENDPOINTS, 3, self.GRAPH, {})

        endpoints, version, graph = self.gateway.resolve("app")

        self.assertTrue(endpoints)
        self.assertEqual(set(endpoints) & set(self.ENDPOINTS), set())
        self.assertEqual(version, 3)
        self.assertEqual(graph, self.GRAPH)

    def test_all_copies_are_used(self) -> None:
        """However many nodes have a service, it is at one place."""
        self.consume("a", "app", 1)
        before = self.gateway.resolve("app")
        self.consume("bb", "app", 2)
        self.consume("ccc", "app", 3)

        self.assertEqual(self.gateway.resolve("app"), before)

    def test_forget_a_service(self) -> None:
        """A service is where it was as long as one node has it."""
        self.consume("a", "app", 1)
        self.consume("a", "other", 2)
        self.consume("bb", "app", 3)
        before = self.gateway.resolve("app")

        self.gateway.cleanup("a", "app")

        self.assertEqual(self.gateway.resolve("app"), before)
        self.assertEqual(self.found("other"), {2})
        self.gateway.cleanup("bb", "app")
        self.assertIsNone(self.gateway.resolve("app"))

    def test_forget_a_node(self) -> None:
        """All services of a node are forgotten, and those of others are not."""
        self.consume("a", "app", 1)
        self.consume("a", "other", 2)
        self.consume("bb", "app", 3)

        self.gateway.cleanup("a")

        self.assertEqual(self.found("app"), {1})
        self.assertEqual(self.found("other"), set())

    def test_same_place_again(self) -> None:
        """A service that was forgotten comes back where it was."""
        self.consume("a", "app", 1)
        before = self.gateway.resolve("app")[0]
        self.gateway.cleanup("a")
        self.assertIsNone(self.gateway.resolve("app"))

        self.consume("bb", "app", 1)

        self.assertEqual(self.gateway.resolve("app")[0], before)

    def test_forget_twice(self) -> None:
        """A node that is gone may go again, and one service of it, too."""
        self.consume("a", "app", 1)
        self.consume("bb", "app", 2)

        for name in ("app", None, "app", None):
            self.gateway.cleanup("a", name)

        self.assertEqual(self.found("app"), {1})
