# -*- test-case-name: cocained.test.test_services_locator -*-
"""
A locator with the services of the reference capture, and a client of it.
"""

from __future__ import annotations

from typing import Any

from cocained.services.locator import LocatorArgs, LocatorService
from cocained.services.logging import LoggingArgs, LoggingService
from cocained.services.storage import StorageArgs, StorageService
from cocained.test.service_case import STORAGE_GRAPH, Client, MemoryNode, ServiceCase

NOT_THERE = [[10, 1], "service is not available"]
STORAGE = [[["127.0.0.1", 12060]], 1, STORAGE_GRAPH]
DISCARD = {0: ["discard", {}]}


class LocatorCase(ServiceCase):
    """A node with the services of the reference capture."""

    args = LocatorArgs()

    def setUp(self) -> None:
        self.node = MemoryNode({"locator": 12053, "storage": 12060, "logging": 12061})
        node: Any = self.node
        self.locator = LocatorService(node, "locator", self.args)
        self.services: dict[str, Any] = {
            "locator": self.locator,
            "logging": LoggingService(node, "logging", LoggingArgs()),
            "storage": StorageService(node, "storage", StorageArgs()),
        }
        started = self.locator.start()
        assert started is not None
        self.successResultOf(started)
        for name, service in self.services.items():
            self.successResultOf(self.node.directory.expose(name, service))
        self.client = self.connect(self.locator)

    def check(self, sent: list[Any], *received: list[Any]) -> None:
        """Send a frame on the test's connection; expect these back, and no more."""
        self.assertEqual(self.client.send(sent), list(received))

    def check_alive(self, channel: int, client: Client | None = None) -> None:
        """The connection still answers."""
        answer = (client or self.client).send([channel, 0, ["nope"]])
        self.assertEqual(answer, [[channel, 1, NOT_THERE]])
        self.assertFalse((client or self.client).closed)

    def group(self, name: str, weights: Any, *tags: str) -> None:
        self.store("groups", name, weights, tags or ("group", "active"))
