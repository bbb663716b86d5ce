# -*- test-case-name: cocained.test.test_links_offers -*-
"""
What a node offers, and who hears of it.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import formatEvent

from cocained.errors import CocainedError, InvalidArgument
from cocained.links.errors import TooManyServices
from cocained.links.offers import (
    OFFER_LIMIT,
    PUBLISHED_LIMIT,
    DuplicateService,
    Offers,
    packed_offer,
)
from cocained.links.tidings import Offer
from cocained.rpc.codec import unpack
from cocained.test.links_case import ME, MemoryGateway
from cocained.test.service_case import LogCase, plain


class MemoryAnnouncements:
    """Remembers what would be told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def set(self, name: str, packed: bytes) -> None:
        self.told.append((name, plain(unpack(packed))))

    def remove(self, name: str, packed: bytes) -> None:
        self.set(name, packed)


def local(name: str, port: int = 1) -> Offer:
    """A service of the node itself."""
    return Offer(name, [("127.0.0.1", port)], 1, {0: ("m", {}, {})})


def external(name: str, port: int = 9) -> Offer:
    """A service that somebody publishes."""
    return Offer(name, [("192.0.2.9", port)], 2, {})


class OffersCase(LogCase):
    """A node with a gateway and a cluster."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.announcements = MemoryAnnouncements()
        self.offers = self.build(self.gateway, self.announcements)

    def build(self, gateway: Any, announcements: Any) -> Offers:
        """Make the offers of a node."""
        return Offers(ME, {"weight": 5}, gateway, announcements, {"locator", "secret"})

    @property
    def told(self) -> list[tuple[str, Any]]:
        """What others were told, in order."""
        return self.announcements.told


class LocalTests(OffersCase):
    """Services of the node itself."""

    def test_exposed(self) -> None:
        """They go to the gateway under the node's uuid, and to others."""
        self.offers.expose(local("app"))

        self.assertEqual(self.gateway.known, {(ME, "app"): [("127.0.0.1", 1)]})
        self.assertEqual(self.gateway.extras[ME], {"weight": 5})
        self.assertEqual(
            self.told, [("app", [[["127.0.0.1", 1]], 1, {0: ["m", {}, {}]}])]
        )

    def test_removed(self) -> None:
        """The end of one keeps its version and graph."""
        self.offers.expose(local("app"))
        self.offers.remove("app")
        self.offers.remove("app")

        self.assertEqual(self.gateway.known, {})
        self.assertEqual(self.told[1:], [("app", [[], 1, {0: ["m", {}, {}]}])])

    def test_hidden(self) -> None:
        """What is restricted goes to the gateway only."""
        for name in ("locator", "secret"):
            self.offers.expose(local(name))
        self.assertEqual(self.gateway.services(ME), {"locator", "secret"})

        self.offers.remove("secret")

        self.assertEqual(self.gateway.services(ME), {"locator"})
        self.assertEqual(self.told, [])

    def test_refused(self) -> None:
        """A gateway that refuses one is no reason not to announce it."""
        events = self.record_log()
        self.gateway.refuses = {"app"}

        self.offers.expose(local("app"))

        self.assertEqual([name for name, _ in self.told], ["app"])
        self.assertIn("app is refused", str(formatEvent(events[0])))

    def test_stumbling(self) -> None:
        """Neither is one that fails, which is seen in the log."""
        self.gateway.stumbles = True

        self.offers.expose(local("app"))

        self.assertEqual([name for name, _ in self.told], ["app"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_alone(self) -> None:
        """A node alone has neither gateway nor cluster."""
        offers = self.build(None, None)

        offers.expose(local("app"))
        withdraw = offers.publish(external("ext"))
        withdraw()
        offers.remove("app")

        self.assertEqual((self.told, self.gateway.calls), ([], []))


class PublishedTests(OffersCase):
    """Services of others."""

    def test_published(self) -> None:
        """They go the same way; their end has neither version nor graph."""
        withdraw = self.offers.publish(external("ext"))
        self.assertEqual(self.gateway.services(ME), {"ext"})

        withdraw()

        self.assertEqual(self.gateway.known, {})
        self.assertEqual(
            self.told,
            [("ext", [[["192.0.2.9", 9]], 2, {}]), ("ext", [[], 0, {}])],
        )

    def test_withdrawn_twice(self) -> None:
        """To withdraw one again does not touch its successor."""
        withdraw = self.offers.publish(external("ext"))
        withdraw()
        self.offers.publish(external("ext", 8))

        withdraw()

        self.assertEqual(self.gateway.services(ME), {"ext"})

    def test_hidden(self) -> None:
        """A restricted name is not announced, whoever has it."""
        withdraw = self.offers.publish(external("secret"))
        withdraw()

        self.assertEqual(self.told, [])

    def test_duplicate(self) -> None:
        """With a gateway a name is published once, and not over a local one."""
        self.offers.expose(local("app"))
        self.offers.publish(external("ext"))

        for name in ("app", "ext"):
            error = self.assertRaises(
                DuplicateService, self.offers.publish, external(name, 8)
            )
            self.assertEqual((error.category, error.code), (10, 4))
            self.assertIn(repr(name), str(error))
        self.assertEqual(len(self.told), 2)

    def test_refused(self) -> None:
        """What the gateway refuses is not announced; its publisher hears why."""
        self.gateway.refuses = {"ext"}

        self.assertRaises(CocainedError, self.offers.publish, external("ext"))

        self.assertEqual(self.told, [])
        self.gateway.refuses = set()
        self.offers.publish(external("ext"))

    def test_too_many(self) -> None:
        """So many can be published; whoever leaves makes room, once."""
        withdraw = [
            self.offers.publish(external(f"ext{number}"))
            for number in range(PUBLISHED_LIMIT)
        ]

        error = self.assertRaises(
            TooManyServices, self.offers.publish, external("more")
        )

        self.assertIn("through other nodes", str(error))
        self.offers.expose(local("echo"))
        withdraw[0]()
        withdraw[0]()
        self.offers.publish(external("more"))
        self.assertRaises(TooManyServices, self.offers.publish, external("yet more"))

    def test_too_large(self) -> None:
        """A graph that peers could not read is refused."""
        graph: Any = {0: ("m" * OFFER_LIMIT, {}, {})}

        error = self.assertRaises(
            InvalidArgument,
            self.offers.publish,
            Offer("ext", [("192.0.2.9", 9)], 1, graph),
        )

        self.assertIn(f"the limit is {OFFER_LIMIT}", str(error))
        self.assertEqual(self.told, [])

    def test_local_comes_second(self) -> None:
        """A local service of a published name waits for the publisher to go."""
        events = self.record_log()
        withdraw = self.offers.publish(external("app"))
        self.offers.expose(local("app"))
        self.assertEqual(len(self.told), 1)
        self.assertIn("published by somebody else", str(formatEvent(events[0])))

        withdraw()

        self.assertEqual(self.gateway.known[ME, "app"], [("127.0.0.1", 1)])
        self.assertEqual(self.told[1][1][0], [["127.0.0.1", 1]])

    def test_local_goes_first(self) -> None:
        """One that goes while it waits changes nothing."""
        self.offers.publish(external("app"))
        self.offers.expose(local("app"))

        self.offers.remove("app")

        self.assertEqual(self.gateway.known[ME, "app"], [("192.0.2.9", 9)])
        self.assertEqual(len(self.told), 1)


class WithoutGatewayTests(OffersCase):
    """A node that only announces."""

    def setUp(self) -> None:
        super().setUp()
        self.offers = self.build(None, self.announcements)

    def test_second_publisher(self) -> None:
        """A second one is accepted, as by the original, and takes over later."""
        events = self.record_log()
        first = self.offers.publish(external("ext", 1))
        second = self.offers.publish(external("ext", 2))
        self.assertEqual(len(self.told), 1)
        self.assertIn("the first one is announced", str(formatEvent(events[0])))

        first()
        second()

        self.assertEqual(
            [value[0] for _, value in self.told],
            [[["192.0.2.9", 1]], [["192.0.2.9", 2]], []],
        )

    def test_second_goes_first(self) -> None:
        """If the second one goes first, nobody notices."""
        first = self.offers.publish(external("ext", 1))
        second = self.offers.publish(external("ext", 1))

        second()
        self.assertEqual(len(self.told), 1)
        first()

        self.assertEqual(self.told[1], ("ext", [[], 0, {}]))


class PackedTests(LogCase):
    """One form for ``resolve`` and for announcements."""

    def test_bytes(self) -> None:
        """Endpoints, version and graph, as clients know them."""
        packed = packed_offer([("10.0.0.1", 32770)], 1, {})

        self.assertEqual(packed.hex(), "939192a831302e302e302e31cd80020180")
