# -*- test-case-name: cocained.test.test_services_routers -*-
"""
Routers that read slowly, or are too many; see also the tests of the locator.
"""

from __future__ import annotations

from cocained.services.routers import ROUTER_LIMIT
from cocained.test.locator_case import LocatorCase


class SlowRouterTests(LocatorCase):
    """A router that does not read while others refresh groups."""

    def setUp(self) -> None:
        super().setUp()
        self.router = self.connect(self.locator)
        self.router.send([1, 5, ["router"]])
        self.router.session.congest()

    def refresh(self, weight: int) -> None:
        """Give the group other weights, and let the locator read it."""
        self.group("g1", {"storage": weight, "logging": 1})
        (answer,) = self.connect(self.locator).send([1, 2, [["g1"]]])
        self.assertEqual(answer[:2], [1, 0])

    def test_told_nothing(self) -> None:
        """However often that happens, nothing piles up for it."""
        for weight in range(1, 20):
            self.refresh(weight)

        self.assertEqual(self.router.receive(), [])

    def test_told_the_latest(self) -> None:
        """When it reads again it is told the rings that there are."""
        self.refresh(1)
        self.refresh(2)
        self.router.session.drained()

        (told,) = self.router.receive()

        (fresh,) = self.client.send([1, 5, ["other"]])
        self.assertEqual(told[2], fresh[2])

    def test_goes_on(self) -> None:
        """From then on it is told each change again."""
        self.refresh(1)
        self.router.session.drained()
        self.router.receive()

        self.refresh(2)

        self.assertEqual(len(self.router.receive()), 1)

    def test_nothing_missed(self) -> None:
        """One that has missed nothing is told nothing."""
        self.router.session.drained()

        self.assertEqual(self.router.receive(), [])

    def test_gone(self) -> None:
        """One that goes away meanwhile is forgotten."""
        self.refresh(1)
        self.router.lose()
        self.refresh(2)

        self.assertEqual(self.router.receive(), [])

    def test_discarded(self) -> None:
        """One that wants to hear nothing more meanwhile does not."""
        self.refresh(1)
        self.router.send([1, 0, []])
        self.router.session.drained()

        self.assertEqual(self.router.receive(), [])

    def test_replaced(self) -> None:
        """Nor does one whose place another has taken."""
        self.refresh(1)
        self.client.send([1, 5, ["router"]])
        self.router.session.drained()

        self.assertEqual(self.router.receive(), [])


class ManyRoutersTests(LocatorCase):
    """Each router costs what all rings take."""

    def test_limit(self) -> None:
        """There is a limit, which says what to do."""
        for number in range(ROUTER_LIMIT):
            self.client.send([number + 1, 5, [f"router{number}"]])

        (answer,) = self.client.send([ROUTER_LIMIT + 1, 5, ["one more"]])

        self.assertEqual(answer[:2], [ROUTER_LIMIT + 1, 1])
        self.assertIn("let some of them follow another node", answer[2][1])
        self.check_alive(ROUTER_LIMIT + 2)

    def test_again(self) -> None:
        """One that comes again takes its own place, whatever the limit."""
        for number in range(ROUTER_LIMIT):
            self.client.send([number + 1, 5, [f"router{number}"]])

        (answer,) = self.client.send([ROUTER_LIMIT + 1, 5, ["router0"]])

        self.assertEqual(answer, [ROUTER_LIMIT + 1, 0, [{}]])
