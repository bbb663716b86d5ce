# -*- test-case-name: cocained.test.test_tools_nodes -*-
"""Tests of :mod:`cocained.tools.nodes`."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cocained import __version__
from cocained.test.tool_case import ToolCase
from cocained.tools.failures import ToolError
from cocained.tools.nodes import shares


class InfoTests(ToolCase):
    """What the apps do."""

    def setUp(self) -> None:
        super().setUp()
        self.node.apps = {
            "echo": {"state": "running"},
            "echo2": {"state": "running"},
            "other": {"state": "broken", "cause": b"\xff"},
        }

    def flags(self) -> set[int]:
        """The flags that the node was asked with."""
        return {entry[2] for entry in self.node.log if entry[0] == "info"}

    def test_all(self) -> None:
        """All apps are shown, and counted."""
        result = self.succeed("info").json
        self.assertEqual(result["count"], 3)
        self.assertEqual(result["apps"]["echo"], {"state": "running"})
        self.assertEqual(self.flags(), {1})

    def test_alias(self) -> None:
        """``i`` is the same."""
        self.assertEqual(self.succeed("i").json["count"], 3)

    def test_wildcards(self) -> None:
        """A name may have wildcards."""
        apps = self.succeed("info", "-n", "echo*").json["apps"]
        self.assertEqual(sorted(apps), ["echo", "echo2"])

    def test_nothing_matches(self) -> None:
        """A pattern that matches nothing is an empty answer."""
        self.assertEqual(self.succeed("info", "-n", "x*").json["count"], 0)

    def test_unknown_name(self) -> None:
        """A plain name that is not there brings the nearest ones."""
        errors = self.refuse(128, "info", "-n", "ohter")
        self.assertIn("did you mean other?", errors)

    def test_exact(self) -> None:
        """With ``-w`` the name is taken as it is, and the apps are not listed."""
        apps = self.succeed("info", "-w", "-n", "echo*").json["apps"]
        self.assertIn("app 'echo*' is not running [12, 22]", apps["echo*"])

    def test_flags(self) -> None:
        """Each letter is a flag of the node's."""
        for args, flags in {
            ("-m",): 3,
            ("-p",): 5,
            ("-m", "-p"): 7,
            ("-b",): 0,
        }.items():
            self.node.log.clear()
            self.succeed("info", *args)
            self.assertEqual(self.flags(), {flags})

    def test_unresponsive(self) -> None:
        """An app that does not answer is told as such, the others are shown."""
        self.node.apps["echo"] = Deferred()
        apps = self.succeed("info", "--timeout", "3").json["apps"]
        self.assertEqual(apps["echo"]["state"], "unresponsive")
        self.assertEqual(apps["echo2"], {"state": "running"})

    def test_many(self) -> None:
        """Of many apps only so many are asked at a time."""
        waiting: dict[str, Deferred[None]] = {f"a{n:02}": Deferred() for n in range(60)}
        self.node.apps = dict(waiting)
        asked = []

        def answer() -> None:
            asked.append(len([e for e in self.node.log if e[0] == "info"]))
            for app in waiting.values():
                if not app.called:
                    app.callback(None)

        self.network.callLater(1, answer)
        self.assertEqual(self.succeed("info").json["count"], 60)
        self.assertEqual(asked, [25])

    def test_no_node_service(self) -> None:
        """A node without the service is told once, not for each app."""
        del self.locator.services["node"]
        for args in ((), ("-w", "-n", "echo")):
            errors = self.refuse(128, "info", *args)
            self.assertIn("service is not available [10, 1]", errors)


class PlaceTests(ToolCase):
    """Where things are."""

    def test_locate(self) -> None:
        """A service is shown with its methods and addresses."""
        found = self.succeed("locate", "-n", "storage").json
        self.assertEqual(found["endpoints"], ["127.0.0.1:3001"])
        self.assertEqual(found["version"], 1)
        self.assertEqual(found["api"]["0"], "read")

    def test_locate_unknown(self) -> None:
        """One that is not there is told, with what to look at."""
        errors = self.refuse(128, "locate", "-n", "nothing")
        self.assertIn("[10, 1]", errors)
        self.assertIn("has no 'nothing'", errors)

    def test_uuid(self) -> None:
        """The node's id is one JSON string."""
        self.assertTrue(self.succeed("uuid").json.startswith("00000000-"))

    def test_cluster(self) -> None:
        """Linked nodes are shown with their addresses."""
        self.locator.nodes = {"u1": ["192.0.2.7", 10053], "u2": ["0.0.0.0", 0]}
        nodes = self.succeed("cluster", "--resolve", "no").json
        self.assertEqual(nodes, {"u1": ["192.0.2.7", 10053], "u2": ["0.0.0.0", 0]})

    def test_cluster_connecting(self) -> None:
        """A node that is still being connected has no name to look up."""
        self.locator.nodes = {"u2": ["0.0.0.0", 0]}
        self.assertEqual(self.succeed("cluster").json, {"u2": ["0.0.0.0", 0]})

    def test_version(self) -> None:
        """The version needs no node."""
        self.assertEqual(self.succeed("version").text, f"{__version__}\n")
        result = self.succeed("version", "--json")
        self.assertEqual(result.json, {"version": __version__})


class RoutingTests(ToolCase):
    """Shares of a group."""

    def test_shares(self) -> None:
        """A group is shown with the share of each app."""
        self.locator.rings = {"G": [[1 << 30, "a"], [1 << 31, "b"]], "other": []}
        self.assertEqual(
            self.succeed("routing", "-n", "G").json, {"G": {"a": 0.75, "b": 0.25}}
        )

    def test_unknown(self) -> None:
        """A group that is not loaded may only need a refresh."""
        errors = self.refuse(128, "routing", "-n", "G")
        self.assertIn("routing group 'G' does not exist", errors)
        self.assertIn("group refresh -n G", errors)


class ShareTests(SynchronousTestCase):
    """Arcs of a ring."""

    def test_whole(self) -> None:
        """Shares add up to one, in whatever order points come."""
        ring = [[7, b"a".decode()], [4_000_000_000, "b"], [1_000_000, "a"]]
        self.assertAlmostEqual(sum(shares(ring).values()), 1.0)

    def test_single_point(self) -> None:
        """A single point has the whole ring."""
        self.assertEqual(shares([[5, "a"]]), {"a": 1.0})

    def test_empty(self) -> None:
        """No points, no shares."""
        self.assertEqual(shares([]), {})

    def test_nonsense(self) -> None:
        """What is no ring is told."""
        for ring in (5, [5], [["x", "a"]], [[1, 2, 3]]):
            with self.assertRaises(ToolError):
                shares(ring)
