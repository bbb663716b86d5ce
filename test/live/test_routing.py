# -*- test-case-name: cocained.test.live.test_routing -*-
"""
A routing group from its first member to its last, by the tool and over two nodes.

Node A has the apps and tells node B of them, which has none: a balancer, as far
as it is there without an HTTP front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from typing_extensions import override

from cocained.errors import RemoteError
from cocained.services.continuum import Continuum
from cocained.test.live.support import (
    WORKERS,
    Client,
    LiveNode,
    live_suite,
    pack,
    program,
    wait_for,
)
from cocained.test.live.test_admin import outcome, tool
from cocained.test.live.test_reference_cluster import ClusterCase
from cocained.tools.nodes import shares

#: Sessions of the site.
SEEDS = tuple(f"user-{number}" for number in range(300))

#: Methods of a locator.
RESOLVE, REFRESH, ROUTING = 0, 2, 5

#: Seconds until a refresh at one node must have reached the other; it takes a
#: quarter of one.
SOON = 20.0

APPS = ("shop_v1", "shop_v2")


class RoutingCase(ClusterCase):
    """Two versions of an app on A, and node B, which shares A's storage."""

    @override
    def prepare(self) -> None:
        changes = dict(self.listening(self.node.ports["locator"]))
        changes["storages"] = {
            "core": {"args": {"path": str(self.node.directory / "store")}}
        }
        self.other = self.start_node(changes)
        self.wait_for_link(self.other, self.node)
        self.node.profile("default", pool_limit=1, heartbeat_timeout=20)
        for number, app in enumerate(APPS, 1):
            files = {
                "worker": program("edition.py"),
                "speech.py": (WORKERS / "speech.py").read_bytes(),
                "edition.txt": str(number).encode(),
            }
            manifest = {"environment": {"EDITION": app}}
            self.node.upload(app, files, manifest)
            self.node.start_app(app, "default")
            self.wait_until_found(self.other, app)
        self.places = {self.other.resolve(app): app for app in APPS}
        self.balancer = self.other.client("locator")
        self.addCleanup(self.balancer.close)

    def put(self, **weights: int) -> None:
        """Store the group at A, and refresh it there."""
        self.node.write("groups", "shop", pack(weights), "group", "active")
        with self.node.client("locator") as client:
            client.call(REFRESH, ["shop"])

    def rings(self, node: LiveNode) -> Mapping[str, float]:
        """Ask a node for the shares."""
        with node.client("locator") as client:
            client.send(1, ROUTING, ["asks"])
            ring = client.receive()[2][0].get(b"shop", ())
        return shares((point, name.decode()) for point, name in ring)

    def wait_for_shares(self, weights: Mapping[str, int]) -> None:
        """Wait until both nodes share the group so."""
        expected = shares(Continuum(weights).points)
        for node in (self.node, self.other):
            wait_for("the shares", lambda node=node: self.rings(node) == expected, SOON)

    def found(self) -> Sequence[str]:
        """Resolve the group at B for each session."""
        ports = (self.balancer.call(RESOLVE, "shop", seed)[0][0][1] for seed in SEEDS)
        return [self.places[port] for port in ports]


class CanaryTests(RoutingCase):
    """From the first to the second version, and back."""

    def group(self, *words: str, **environment: str) -> Any:
        """Run a command of ``cocaine-tool group`` at A."""
        return outcome(tool(self.node, "group", *words, **environment))

    def change(self, weights: Mapping[str, int]) -> None:
        """Give the group these members, step by step, and refresh it."""
        there = self.group("view", "-n", "shop")
        for app, weight in weights.items():
            self.group("push", "-n", "shop", "--app", app, "-w", str(weight))
        for app in there.keys() - weights.keys():
            self.group("pop", "-n", "shop", "--app", app)
        self.group("refresh", "-n", "shop")

    def test_canary(self) -> None:
        """
        Weights that the tool changes at one node are heeded by another: each session
        stays or goes where the ring says, and goes back with them (row 54).
        """
        self.group("create", "-n", "shop", "-c", '{"shop_v1": 100}')
        steps: list[Sequence[str]] = []
        for weights in (
            {"shop_v1": 95, "shop_v2": 5},
            {"shop_v1": 50, "shop_v2": 50},
            {"shop_v2": 100},
            {"shop_v2": 50, "shop_v1": 50},
        ):
            self.change(weights)
            self.wait_for_shares(weights)
            ring = Continuum(weights)
            steps.append(self.found())
            self.assertEqual(steps[-1], [ring.by_seed(seed) for seed in SEEDS])

        # Nobody who had come to the new version went back while it grew.
        for before, after in pairwise(steps[:3]):
            ways = set(zip(before, after, strict=True))
            self.assertEqual({way for way in ways if way[0] != way[1]}, {APPS})
        self.assertEqual(steps[1], steps[3])
        self.assertEqual(
            outcome(tool(self.other, "routing", "-n", "shop")),
            {"shop": shares(Continuum({"shop_v1": 50, "shop_v2": 50}).points)},
        )

    def test_the_rest_of_the_tool(self) -> None:
        """
        Groups are listed, copied, renamed, edited, removed and refreshed at a real
        node; it forgets those that are gone once it is told to.
        """
        self.group("create", "-n", "shop", "-c", '{"shop_v1": 1}')
        self.group("copy", "-n", "shop", "-c", "copied")
        self.group("rename", "-n", "copied", "-c", "other")
        self.assertEqual(self.group("list"), ["other", "shop"])
        script = self.node.directory / "editor"
        script.write_text('#!/bin/sh\nsed -i s/v1/v2/ "$1"; touch -d 2040-01-01 "$1"\n')
        script.chmod(0o755)
        self.group("edit", "-n", "other", VISUAL=str(script))
        self.assertEqual(self.group("view", "-n", "other"), {"shop_v2": 1})
        self.assertEqual(self.group("refresh")["groups"], ["other", "shop"])
        self.assertEqual(self.node.resolve("other"), self.node.resolve("shop_v2"))

        self.group("remove", "-n", "other")
        self.assertEqual(self.group("refresh")["groups"], ["other", "shop"])

        self.assertRaises(RemoteError, self.node.resolve, "other")
        self.assertEqual(self.group("list"), ["shop"])

    def test_member_is_not_there(self) -> None:
        """
        A member that no node has is an error for its own sessions only, and they
        are served again once it is taken out.
        """
        weights = {"shop_v1": 1, "shop_v9": 1}
        self.put(**weights)
        self.wait_for_shares(weights)
        ring = Continuum(weights)
        for seed in SEEDS[:20]:
            if ring.by_seed(seed) == "shop_v1":
                self.balancer.call(RESOLVE, "shop", seed)
            else:
                error = self.assertRaises(
                    RemoteError, self.balancer.call, RESOLVE, "shop", seed
                )
                self.assertEqual((error.category, error.code), (10, 1))

        self.put(shop_v1=1)
        self.wait_for_shares({"shop_v1": 1})

        self.assertEqual(set(self.found()), {"shop_v1"})


class BalancerTests(RoutingCase):
    """The way of a request by a node that has no apps."""

    def ask(self) -> bytes:
        """Resolve at B, connect to where it says, and ask who is there."""
        endpoints = self.balancer.call(RESOLVE, "shop")[0]
        with Client(endpoints[0][1]) as app:
            return app.stream("edition", b"?")[0].split()[0]

    def test_follows_weights(self) -> None:
        """
        A client that resolves anew at the balancer follows the weights: requests are
        answered on the other node by whom they lead to, then by the other one, with
        no client being told.
        """
        self.put(shop_v1=1)
        self.wait_for_shares({"shop_v1": 1})
        self.assertEqual({self.ask() for _ in range(5)}, {b"shop_v1"})

        self.put(shop_v1=1, shop_v2=1)
        self.wait_for_shares({"shop_v1": 1, "shop_v2": 1})
        # That one of them is missed forty times is a chance of one to 10^11.
        self.assertEqual({self.ask() for _ in range(40)}, {b"shop_v1", b"shop_v2"})

        self.put(shop_v2=1)
        self.wait_for_shares({"shop_v2": 1})
        self.assertEqual({self.ask() for _ in range(5)}, {b"shop_v2"})

    def test_connection_outlives_weights(self) -> None:
        """Who keeps a connection stays where it is, whatever the weights are."""
        self.put(shop_v1=1)
        self.wait_for_shares({"shop_v1": 1})
        endpoints = self.balancer.call(RESOLVE, "shop")[0]
        with Client(endpoints[0][1]) as app:
            self.put(shop_v2=1)
            self.wait_for_shares({"shop_v2": 1})

            self.assertEqual(app.stream("edition", b"?"), [b"shop_v1 1"])


test_suite = live_suite(__name__)
