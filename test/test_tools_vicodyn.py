# -*- test-case-name: cocained.test.test_tools_vicodyn -*-
"""Tests of :mod:`cocained.tools.vicodyn`, through the command line."""

from __future__ import annotations

from typing import Any

from cocained.gateways.vicodyn.info import InfoService
from cocained.rpc.dispatch import Protocol
from cocained.test.tool_case import ToolCase

APPS = {"echo": ["a", "b"], "other": ["a"]}
PEERS = {
    "a": {
        "uuid": "a",
        "endpoints": [["192.0.2.1", 1000]],
        "connected": True,
        "last_active": 0,
        "extra": {},
    }
}


class Gateway:
    """What a gateway shows."""

    def show_apps(self) -> dict[str, Any]:
        return APPS

    def show_peers(self) -> dict[str, Any]:
        return PEERS


class Strange:
    """A service of that name that is another one."""

    protocol = Protocol(version=1)

    @protocol.method(0)
    def info(self) -> list[int]:
        return [1]

    @protocol.method(2)
    def apps(self) -> dict[str, int]:
        return {"apps": 1}


class VicodynTests(ToolCase):
    """What the gateway knows."""

    def setUp(self) -> None:
        super().setUp()
        self.serve("vicodyn", InfoService(Gateway()), 3010)

    def test_info(self) -> None:
        """All of it."""
        result = self.succeed("vicodyn", "info").json

        self.assertEqual(result, {"apps": APPS, "peers": PEERS})

    def test_apps(self) -> None:
        """All apps, or one."""
        self.assertEqual(self.succeed("vicodyn", "apps").json, {"apps": APPS})
        one = self.succeed("vicodyn", "apps", "-n", "other").json
        self.assertEqual(one, {"apps": {"other": ["a"]}})

    def test_peers(self) -> None:
        """All peers, or one."""
        self.assertEqual(self.succeed("vicodyn", "peers").json, {"peers": PEERS})
        one = self.succeed("vicodyn", "peers", "-n", "a").json
        self.assertEqual(one, {"peers": PEERS})

    def test_unknown(self) -> None:
        """One that there is not brings the nearest ones."""
        errors = self.refuse(128, "vicodyn", "apps", "-n", "ecko")

        self.assertIn("did you mean echo?", errors)

    def test_other_answers(self) -> None:
        """A service that is another one is told as such."""
        self.serve("vicodyn", Strange(), 3011)

        self.assertIn("map", self.refuse(128, "vicodyn", "info"))
        self.assertIn("map of apps", self.refuse(128, "vicodyn", "apps"))


class WithoutTests(ToolCase):
    """A node with another gateway, or none."""

    def test_not_offered(self) -> None:
        """The error says what to do about it."""
        errors = self.refuse(128, "vicodyn", "info")

        self.assertIn("no service 'vicodyn'", errors)
        self.assertIn("type: vicodyn", errors)
