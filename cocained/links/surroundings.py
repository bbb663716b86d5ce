# -*- test-case-name: cocained.test.test_links_link -*-
"""
What the links of one node have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime

from cocained.interfaces import IGateway, INodeObserver
from cocained.links.agenda import Agenda
from cocained.links.pace import Pace
from cocained.links.roles import Dialer

if TYPE_CHECKING:
    from cocained.links.link import Link


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What all links of a node share.

    :param uuid: of the node itself.
    :param clock: the only source of time.
    :param agenda: says when a link's time has come.
    :param dialer: makes connections.
    :param gateway: is told what other nodes offer.
    :param observer: the same, if it wants to hear how nodes are.
    :param pace: how long things may take.
    :param random: gives a number of 0 up to, and without, 1.
    :param linked: called when a node has said for the first time on a
        connection what it offers.
    :param refreshed: called with the routing groups that a node tells of.
    """

    uuid: str
    clock: IReactorTime
    agenda: Agenda
    dialer: Dialer
    gateway: IGateway
    observer: INodeObserver | None
    pace: Pace
    random: Callable[[], float]
    linked: Callable[[Link], None]
    refreshed: Callable[[Sequence[str]], None]
