# -*- test-case-name: cocained.test.test_gateways_vicodyn_likeness -*-
"""
Apps and nodes are told by their graphs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.gateways.vicodyn.likeness import (
    APP_GRAPH,
    ENQUEUE,
    NODE_GRAPH,
    is_app,
    is_node,
)
from cocained.gateways.vicodyn.virtual import VirtualService
from cocained.rpc.codec import Pairs, pack, unpack
from cocained.rpc.graph import DISCARDABLE, PRIMITIVE, parse_root
from cocained.services.locator import LocatorService
from cocained.services.node import NodeService
from cocained.services.storage import StorageService
from cocained.test.memory_network import graph_on_the_wire

#: As nodes of 0.12.13 and later have them in each graph (protocol.md §1.4).
CONTROLS: Mapping[int, Any] = {
    65532: ("goaway", {}, {}),
    65533: ("ping", {}, PRIMITIVE),
    65534: ("settings", {}, {}),
    65535: ("revoke", {}, {}),
}


def with_controls(graph: Mapping[int, Any]) -> dict[int, Any]:
    """A graph as the original writes it."""

    def nested(inner: Any) -> Any:
        if not inner:
            return inner
        more: Mapping[int, Any] = {
            number: (name, {}) for number, (name, *_) in CONTROLS.items()
        }
        return {**inner, **more}

    plain = {
        number: (name, nested(dispatch), nested(upstream))
        for number, (name, dispatch, upstream) in graph.items()
    }
    return {**plain, **CONTROLS}


class LikenessTests(SynchronousTestCase):
    """What is an app, what is a node."""

    def test_ours(self) -> None:
        """Our own services are what they are."""
        self.assertTrue(is_node(NodeService.protocol.graph))
        self.assertTrue(is_app(APP_GRAPH))
        for service in (LocatorService, StorageService):
            self.assertFalse(is_node(service.protocol.graph))
            self.assertFalse(is_app(service.protocol.graph))

    def test_not_both(self) -> None:
        """An app is no node, and a node no app."""
        self.assertFalse(is_node(APP_GRAPH))
        self.assertFalse(is_app(NODE_GRAPH))

    def test_virtual(self) -> None:
        """What clients of an app see is the same with a gateway between."""
        self.assertEqual(VirtualService.protocol.graph, APP_GRAPH)

    def test_control_messages(self) -> None:
        """Nodes that list the control messages are no less nodes."""
        self.assertTrue(is_node(with_controls(NODE_GRAPH)))
        self.assertTrue(is_app(with_controls(APP_GRAPH)))

    def test_over_the_wire(self) -> None:
        """A graph that came over the wire is the same graph."""
        for graph, like in ((NODE_GRAPH, is_node), (APP_GRAPH, is_app)):
            value = unpack(pack(graph_on_the_wire(with_controls(graph))))
            self.assertIsInstance(value, Pairs)
            self.assertTrue(like(parse_root(value)))

    def test_older_node(self) -> None:
        """A node without ``enqueue`` cannot be given requests."""
        older = {number: NODE_GRAPH[number] for number in range(4)}

        self.assertFalse(is_node(older))

    def test_other_names(self) -> None:
        """One other name is another service."""
        self.assertFalse(is_node({**NODE_GRAPH, 2: ("lost", {}, PRIMITIVE)}))
        self.assertFalse(is_app({**APP_GRAPH, 3: ("more", {}, PRIMITIVE)}))

    def test_other_streams(self) -> None:
        """Where ``enqueue`` is no stream it is another one."""
        for dispatch, upstream in (({}, PRIMITIVE), (DISCARDABLE, PRIMITIVE)):
            entry = ("enqueue", dispatch, upstream)
            self.assertFalse(is_node({**NODE_GRAPH, ENQUEUE: entry}))
            self.assertFalse(is_app({**APP_GRAPH, 0: entry}))

    def test_recursive(self) -> None:
        """``None`` in a graph, the same again, is compared as such."""
        self.assertFalse(is_app({**APP_GRAPH, 0: ("enqueue", None, None)}))

    def test_nothing(self) -> None:
        """A service without a graph is neither."""
        self.assertFalse(is_node({}))
        self.assertFalse(is_app({}))
