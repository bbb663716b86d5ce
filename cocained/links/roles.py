# -*- test-case-name: cocained.test.test_links_link -*-
"""
Who stands at the two ends of a link's connection.

A link knows nothing of sockets and frames.  It tells a :class:`Line` to dial,
and hears of everything as its :class:`Ear`.  In a node the line is
:class:`cocained.links.dialer.RealLine`; a simulation of many nodes puts
something lighter there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cocained.errors import CocainedError
from cocained.links.tidings import Tidings

#: A numeric address or host name with its port.
Address = tuple[str, int]


class Ear(Protocol):
    """Hears what comes over a line, which must not be told before it dials."""

    def reached(self, given: Address, numeric: Address) -> None:
        """
        The connection stands and ``connect`` has been sent.

        :param given: which of the line's endpoints it is.
        :param numeric: where that turned out to be.
        """

    def told(self, tidings: Tidings) -> None:
        """The other node said something; the first time, everything it has."""

    def answered(self) -> None:
        """The other node has answered a ping."""

    def ended(self, error: CocainedError) -> None:
        """
        There is no connection, or no more; nothing else comes after this.

        :param error: why.
        """


class Line(Protocol):
    """One connection to another locator, from the first attempt to its end."""

    def dial(self) -> None:
        """
        Connect to the endpoints in turn, and ask for what that node tells.

        Called once.  Its ear may hear of it at once.
        """

    def ping(self) -> None:
        """Ask for a sign of life, if there still is a connection."""

    def hang_up(self) -> None:
        """End it now; its ear hears nothing more.  May be called at any time."""


class Dialer(Protocol):
    """Makes lines."""

    def line(self, endpoints: Sequence[Address], ear: Ear) -> Line:
        """
        Make a line that has not been dialled yet.

        :param endpoints: in the order in which they are tried; not empty.
        """
