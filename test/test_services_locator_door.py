# -*- test-case-name: cocained.test.test_services_locator_door -*-
"""
The locator as those see it who come through a door.
"""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from cocained.config import ComponentConfig
from cocained.interfaces import IBehindDoors
from cocained.services.locator import LocatorArgs
from cocained.test.locator_case import LocatorCase
from cocained.test.service_case import PRIM
from cocained.testing import MemoryDoor


class DoorTests(LocatorCase):
    """What those are told who come through a door."""

    def enter(self, *services: str, walled: bool = True) -> None:
        """Come through a door that lets these services be reached."""
        self.door = MemoryDoor("/door", frozenset(services), "/door", -1, -1)
        self.client = self.connect(self.locator.seen_from(self.door, walled))

    def test_interface(self) -> None:
        """It has something of its own for doors."""
        self.assertTrue(verifyObject(IBehindDoors, self.locator))

    def test_resolve(self) -> None:
        """Services of the node are at paths."""
        self.enter("storage")

        self.check([1, 0, ["storage"]], [1, 0, [[["/door/storage", 0]], 1, {}]])
        self.check([2, 0, ["locator"]], [2, 0, [[["/door/locator", 0]], 1, {}]])

    def test_not_admitted(self) -> None:
        """What is not let through is told apart from what is not there."""
        self.enter("storage", "nope")

        ((_, kind, (pair, reason)),) = self.client.send([1, 0, ["logging"]])
        self.assertEqual((kind, pair), (1, [10, 1]))
        self.assertIn("service is not available: 'logging' is not among", reason)

    def test_groups(self) -> None:
        """A member of a routing group has to be admitted by its own name."""
        self.group("both", {"storage": 1})
        self.assertEqual(self.client.send([1, 2, [["both"]]]), [[1, 0, []]])
        self.enter("storage")
        self.check([1, 0, ["both"]], [1, 0, [[["/door/storage", 0]], 1, {}]])

        self.enter("both")

        ((_, kind, (pair, _)),) = self.client.send([1, 0, ["both"]])
        self.assertEqual((kind, pair), (1, [10, 1]))

    def test_forbidden(self) -> None:
        """Behind walls nothing else is answered but the node's uuid."""
        self.enter("storage")
        calls: list[list[Any]] = [
            [1, 1, ["u"]],
            [2, 2, [["g"]]],
            [3, 3, []],
            [4, 4, ["storage", [["::1", 1]], [0, {}]]],
            [5, 5, ["r"]],
        ]
        for call in calls:
            ((channel, kind, (pair, _)),) = self.client.send(call)
            self.assertEqual((channel, kind, pair), (call[0], 1, [12, 13]))
        self.check([6, 6, []], [6, 0, [self.node.uuid]])

    def test_open(self) -> None:
        """Without walls all is answered, and paths come first."""
        self.enter("storage", "locator", walled=False)

        self.check([1, 0, ["storage"]], [1, 0, [[["/door/storage", 0]], 1, {}]])
        self.check([2, 3, []], [2, 0, [{}]])


class RemoteDoorTests(LocatorCase):
    """Services of other nodes, for those who come through a door."""

    args = LocatorArgs(gateway=ComponentConfig(type="stub"))

    def test_elsewhere(self) -> None:
        """They are where they are."""
        there = [[["192.0.2.7", 1]], 1, {0: ["read", {}, PRIM]}]
        self.node.gateways[0].known["far"] = there
        door = MemoryDoor("/door", frozenset(["far"]), "/door", -1, -1)
        self.patch(door, "offer", lambda name: None)
        self.client = self.connect(self.locator.seen_from(door, True))

        self.check([1, 0, ["far"]], [1, 0, there])
