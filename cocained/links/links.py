# -*- test-case-name: cocained.test.test_links_links -*-
"""
All nodes that a node listens to.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from cocained.errors import CocainedError, InvalidArgument
from cocained.interfaces import IGateway, ILinks, INodeObserver
from cocained.links.agenda import Agenda
from cocained.links.link import Link
from cocained.links.pace import Pace
from cocained.links.roles import Address, Dialer
from cocained.links.surroundings import Surroundings
from cocained.links.tidings import ENDPOINT_LIMIT, check_name

log = Logger()

#: Most links: four times the thousand nodes of a large cluster, since nodes that
#: were started anew are there twice for a while.
LINK_LIMIT = 4096


@implementer(ILinks)
class Links:
    """
    The table of links.

    :param uuid: of this node.
    :param endpoints: gives the addresses of this node's locator.
    :param clock: the only source of time.
    :param dialer: makes connections.
    :param gateway: is told what other nodes offer.  Without one this node only
        announces, and no links are made.
    :param pace: how long things may take.
    :param refreshed: called with names of routing groups that another node has
        refreshed; with none for all of them, also after each new connection.
    :param rng: spreads attempts over time; gives a number of 0 up to 1.
    """

    def __init__(
        self,
        uuid: str,
        endpoints: Callable[[], Sequence[Address]],
        clock: IReactorTime,
        dialer: Dialer,
        gateway: IGateway | None,
        pace: Pace,
        refreshed: Callable[[Sequence[str]], None],
        rng: Callable[[], float] = random.random,
    ) -> None:
        self.uuid = uuid
        self._endpoints = endpoints
        self._refreshed = refreshed
        self._links: dict[str, Link] = {}
        # Who was the last to be found at an address.
        self._found: dict[Address, Link] = {}
        self._around: Surroundings | None = None
        self._refused = False
        if gateway is not None:
            self._around = Surroundings(
                uuid,
                clock,
                Agenda(clock),
                dialer,
                gateway,
                gateway if INodeObserver.providedBy(gateway) else None,
                pace,
                rng,
                self._linked,
                refreshed,
            )

    # ILinks

    def endpoints(self) -> Sequence[Address]:
        return self._endpoints()

    def link(self, uuid: str, endpoints: Sequence[Address]) -> None:
        if self._around is None or uuid == self.uuid:
            return
        known = self._links.get(uuid)
        if known is not None and tuple(endpoints) == known.endpoints:
            return
        try:
            self._check(uuid, endpoints, known is None)
        except CocainedError as error:
            self._refuse(uuid, error)
            return
        self._refused = False
        if known is not None:
            known.retarget(endpoints)
            return
        self._links[uuid] = link = Link(self._around, uuid, endpoints)
        link.start()

    def drop(self, uuid: str) -> None:
        link = self._links.pop(uuid, None)
        if link is not None:
            self._leave_place(link)
            link.drop()
            log.info("node {node} is no longer listened to", node=uuid)

    def _check(self, uuid: str, endpoints: Sequence[Address], new: bool) -> None:
        check_name(uuid, "the uuid of a node")
        if not 0 < len(endpoints) <= ENDPOINT_LIMIT:
            raise InvalidArgument(
                f"it has {len(endpoints)} endpoints, not 1 to {ENDPOINT_LIMIT}"
            )
        if new and len(self._links) >= LINK_LIMIT:
            raise InvalidArgument(
                f"{LINK_LIMIT} nodes are listened to already, the limit"
            )

    def _refuse(self, uuid: str, error: CocainedError) -> None:
        # Plugins come again every few seconds.
        tell = log.debug if self._refused else log.warn
        self._refused = True
        tell("no link to node {node:.255}: {error}", node=uuid, error=error)

    # For links

    def _linked(self, link: Link) -> None:
        assert link.numeric is not None  # it has been reached
        former = self._found.get(link.numeric)
        if former is not link:
            self._leave_place(link)
            self._found[link.numeric] = link
            link.place = link.numeric
        if former is not None and former is not link:
            # One address is one node: the former has been started anew.  It
            # goes only now, so that what both offer is never missing.
            former.place = None
            log.info(
                "node {node} takes the place of {former}",
                node=link.uuid,
                former=former.uuid,
            )
            self.drop(former.uuid)
        # Some may have been refreshed while nobody told us.
        self._refreshed(())

    def _leave_place(self, link: Link) -> None:
        if link.place is not None:
            del self._found[link.place]
            link.place = None

    # For the locator

    def cluster(self) -> dict[str, Address]:
        """Where each node is, as the method of that name says it."""
        return {uuid: link.endpoint for uuid, link in self._links.items()}

    def report(self) -> Mapping[str, Any]:
        """Say how each link is, by uuid."""
        return {uuid: link.report() for uuid, link in self._links.items()}

    def close(self) -> None:
        """Let go of all nodes, and link to no more."""
        self._around = None
        links, self._links = self._links, {}
        self._found.clear()
        for link in links.values():
            link.drop()
