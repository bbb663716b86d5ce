# -*- test-case-name: cocained.test.test_links_offers -*-
"""
What this node offers: its own services, and those published through it.

Both go to the gateway under this node's uuid (plugins.md §1.6) and to the
nodes that listen (protocol.md §3.2).  A name has one owner: the first who came,
and when he leaves the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from twisted.logger import Logger

from cocained.errors import Category, CocainedError, InvalidArgument, LocatorCode
from cocained.interfaces import IGateway
from cocained.links.announcements import Announcements
from cocained.links.errors import TooManyServices
from cocained.links.tidings import Offer
from cocained.rpc.codec import pack
from cocained.rpc.graph import Root

log = Logger()

#: Most services that are published through a node.  Its peers take no more than
#: 16384 from one node, and what clients publish must not push its own out.
PUBLISHED_LIMIT = 4096

#: Most bytes of what is said of one: a usual graph has a hundred or two, and the
#: frames of peers must bear it.
OFFER_LIMIT = 65536


class DuplicateService(CocainedError):
    """A service of that name is offered by this node already."""

    category = Category.LOCATOR
    code = LocatorCode.GATEWAY_DUPLICATE


class Offers:
    """
    All services of this node.

    :param uuid: of this node.
    :param extra: values that go along with each.
    :param gateway: hears of them, if there is one.
    :param announcements: tells them to others, if anybody may listen.
    :param hidden: names that others are not told of.
    """

    def __init__(
        self,
        uuid: str,
        extra: Mapping[str, Any],
        gateway: IGateway | None,
        announcements: Announcements | None,
        hidden: Collection[str],
    ) -> None:
        self._uuid = uuid
        self._extra = extra
        self._gateway = gateway
        self._announcements = announcements
        self._hidden = frozenset(hidden)
        self._published = 0
        # By name, the owner first.
        self._offers: dict[str, list[Offer]] = {}
        self._local: dict[str, Offer] = {}

    # Services of this node

    def expose(self, offer: Offer) -> None:
        """
        Offer a service of this node.

        A gateway that refuses it is no reason not to have it.
        """
        self._local[offer.name] = offer
        waiting = self._offers.setdefault(offer.name, [])
        waiting.append(offer)
        if len(waiting) > 1:
            log.warn(
                "service {service} is published by somebody else too, who is found"
                " by other nodes",
                service=offer.name,
            )
            return
        self._feed(offer)
        self._announce(offer)

    def remove(self, name: str) -> None:
        """A service of this node is there no more; unknown is no error."""
        offer = self._local.pop(name, None)
        if offer is not None:
            self._withdraw(offer, offer.version, offer.graph)

    # Services of others

    def publish(self, offer: Offer) -> Callable[[], None]:
        """
        Offer a service that is published through this node.

        :returns: withdraws it.
        :raises TooManyServices: see :data:`PUBLISHED_LIMIT`.
        :raises InvalidArgument: see :data:`OFFER_LIMIT`.
        :raises DuplicateService: there is one of that name, and a gateway.
        :raises CocainedError: the gateway refuses it.
        """
        self._check(offer)
        waiting = self._offers.get(offer.name, [])
        if self._gateway is not None:
            if waiting:
                raise DuplicateService(
                    f"service {offer.name!r} is offered by this node already"
                )
            self._consume(offer)
        elif waiting:
            log.warn(
                "service {service} is offered already; the first one is announced",
                service=offer.name,
            )
        self._offers.setdefault(offer.name, []).append(offer)
        self._published += 1
        if not waiting:
            self._announce(offer)
        return lambda: self._unpublish(offer)

    def _check(self, offer: Offer) -> None:
        if self._published >= PUBLISHED_LIMIT:
            raise TooManyServices(
                f"{PUBLISHED_LIMIT} services are published through this node already,"
                " the limit; publish some through other nodes"
            )
        size = len(packed_offer(offer.endpoints, offer.version, offer.graph))
        if size > OFFER_LIMIT:
            raise InvalidArgument(
                f"endpoints and graph have {size} bytes, the limit is {OFFER_LIMIT}"
            )

    def _unpublish(self, offer: Offer) -> None:
        if self._withdraw(offer, 0, {}):
            self._published -= 1

    def _withdraw(self, offer: Offer, version: int, graph: Root) -> bool:
        """Take an offer back; says whether it was there."""
        waiting = self._offers.get(offer.name, [])
        # Those who came first go first when all go at once.
        at = next((at for at, other in enumerate(waiting) if other is offer), None)
        if at is None:
            return False
        del waiting[at]
        if not at:
            self._leave(offer, waiting, version, graph)
        return True

    def _leave(
        self, offer: Offer, waiting: list[Offer], version: int, graph: Root
    ) -> None:
        """The owner of a name is gone; the next one has it, if there is one."""
        if self._gateway is not None:
            self._gateway.cleanup(self._uuid, offer.name)
        if waiting:
            self._feed(waiting[0])
            self._announce(waiting[0])
            return
        del self._offers[offer.name]
        if self._announcements is not None and offer.name not in self._hidden:
            gone = packed_offer([], version, graph)
            self._announcements.remove(offer.name, gone)

    def _feed(self, offer: Offer) -> None:
        """Tell the gateway, which may refuse."""
        if self._gateway is None:
            return
        try:
            self._consume(offer)
        except CocainedError as error:
            log.warn(
                "the gateway does not take service {service} of this node: {error}",
                service=offer.name,
                error=error,
            )
        except Exception:
            log.failure(
                "the gateway stumbles over service {service}", service=offer.name
            )

    def _consume(self, offer: Offer) -> None:
        assert self._gateway is not None  # asked for by both callers
        self._gateway.consume(self._uuid, *offer, self._extra)

    def _announce(self, offer: Offer) -> None:
        if self._announcements is not None and offer.name not in self._hidden:
            packed = packed_offer(offer.endpoints, offer.version, offer.graph)
            self._announcements.set(offer.name, packed)


def packed_offer(
    endpoints: Sequence[tuple[str, int]], version: int, graph: Root
) -> bytes:
    """
    Pack what is said of a service.

    It is the argument list of the answer of ``resolve`` as well.
    """
    return pack([[list(endpoint) for endpoint in endpoints], version, graph])
