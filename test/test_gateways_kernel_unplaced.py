# -*- test-case-name: cocained.test.test_gateways_kernel_unplaced -*-
"""
Services that are not forwarded.
"""

from __future__ import annotations

from twisted.logger import formatEvent

from cocained.gateways.kernel.unplaced import LIMIT, Unplaced
from cocained.test.service_case import LogCase


class UnplacedTests(LogCase):
    """What a gateway says of them."""

    def setUp(self) -> None:
        self.events = self.record_log()
        self.unplaced = Unplaced("g")

    def test_told(self) -> None:
        """It is logged why, and reported."""
        self.unplaced.skip("a", "app", "no port")

        (event,) = self.events
        self.assertEqual(formatEvent(event), "gateway g does not balance app: no port")
        self.assertEqual(self.unplaced.names, ["app"])
        self.assertEqual(self.unplaced.reasons, ["no port"])

    def test_told_once(self) -> None:
        """A node that comes again and again is not news; another reason is."""
        for uuid in ("a", "b", "a"):
            self.unplaced.skip(uuid, "app", "no port")
        self.assertEqual(len(self.events), 1)

        self.unplaced.skip("a", "app", "no address")

        self.assertEqual(len(self.events), 2)
        self.assertEqual(self.unplaced.reasons, ["no address"])

    def test_limit(self) -> None:
        """A node with thousands of services fills neither log nor memory."""
        for number in range(LIMIT + 50):
            self.unplaced.skip("a", f"app{number}", "no port")

        self.assertEqual(len(self.events), LIMIT)
        self.assertEqual(len(self.unplaced.names), LIMIT)
        self.assertEqual(self.unplaced.reasons, ["no port"])

    def test_placed(self) -> None:
        """One that is forwarded after all is none of them."""
        self.unplaced.skip("a", "app", "no port")

        self.unplaced.placed("app")
        self.unplaced.placed("app")

        self.assertEqual(self.unplaced.names, [])

    def test_gone(self) -> None:
        """Nor is one that its node has no more, or whose node is gone."""
        for name in ("one", "two", "three"):
            self.unplaced.skip("a", name, "no port")
        self.unplaced.skip("b", "four", "no port")

        self.unplaced.forget("a", "one")
        self.assertEqual(self.unplaced.names, ["four", "three", "two"])
        self.unplaced.forget("a", None)

        self.assertEqual(self.unplaced.names, ["four"])

    def test_somebody_elses(self) -> None:
        """What another node does not have is another thing."""
        self.unplaced.skip("a", "app", "no port")

        self.unplaced.forget("b", "app")
        self.unplaced.forget("b", "unknown")

        self.assertEqual(self.unplaced.names, ["app"])
