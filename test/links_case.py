# -*- test-case-name: cocained.test.test_links_link -*-
"""
What the tests of links share: lines that a test speaks for, and a strict gateway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.task import Clock
from zope.interface import implementer

from cocained.errors import CocainedError
from cocained.interfaces import IGateway, INodeObserver
from cocained.links.links import Links
from cocained.links.pace import Pace
from cocained.links.roles import Address, Ear
from cocained.links.tidings import Offer, Tidings
from cocained.rpc.graph import Root
from cocained.test.service_case import LogCase

#: Uuids of nodes.
ME, A, B, C = "node-me", "node-a", "node-b", "node-c"

#: Where their locators are.
AT_A: Address = ("192.0.2.1", 10053)
AT_B: Address = ("192.0.2.2", 10053)

GRAPH: Root = {0: ("enqueue", {}, {})}


def offer(name: str, port: int = 1, version: int = 1) -> Offer:
    """A service at some port of node A's machine; port 0 removes it."""
    endpoints = [("192.0.2.1", port)] if port else []
    return Offer(name, endpoints, version, GRAPH)


def tidings(uuid: str, *names: str, **more: Any) -> Tidings:
    """Tidings of services that a node has."""
    return Tidings(uuid, [offer(name) for name in names], **more)


class MemoryLine:
    """
    A line whose other end is the test.

    :ivar pings: how often a sign of life was asked for.
    :ivar dialled: how often it was dialled.
    :ivar hung_up: whether it was ended from this side.
    """

    def __init__(self, endpoints: Sequence[Address], ear: Ear) -> None:
        self.endpoints = tuple(endpoints)
        self._ear = ear
        self.dialled = 0
        self.pings = 0
        self.hung_up = False

    # Line

    def dial(self) -> None:
        self.dialled += 1

    def ping(self) -> None:
        assert not self.hung_up
        self.pings += 1

    def hang_up(self) -> None:
        self.hung_up = True

    # The test's end

    @property
    def ear(self) -> Ear:
        """Who listens; a line that was ended must not speak any more."""
        assert not self.hung_up, "the line was ended"
        return self._ear

    def connect(self, numeric: Address | None = None) -> None:
        """The connection to the first endpoint stands."""
        self.ear.reached(self.endpoints[0], numeric or self.endpoints[0])

    def accept(self, uuid: str, *names: str, **more: Any) -> None:
        """The connection stands, and the node says what it has."""
        self.connect()
        self.ear.told(tidings(uuid, *names, **more))

    def lose(self, reason: str = "connection lost") -> None:
        """The connection is gone."""
        ear = self.ear
        self.hung_up = True
        ear.ended(CocainedError(reason))


class MemoryDialer:
    """
    Remembers its lines.

    :ivar lines: all that were made, in order.
    """

    def __init__(self) -> None:
        self.lines: list[MemoryLine] = []

    def line(self, endpoints: Sequence[Address], ear: Ear) -> MemoryLine:
        self.lines.append(MemoryLine(endpoints, ear))
        return self.lines[-1]

    @property
    def last(self) -> MemoryLine:
        """The line that was made last."""
        return self.lines[-1]


@implementer(IGateway, INodeObserver)
class MemoryGateway:
    """
    Knows each service of each node once, and hears how nodes are.

    :ivar known: endpoints by node and service.
    :ivar extras: extra values by node.
    :ivar observed: what was told of nodes, in order.
    :ivar refuses: names that it does not take.
    :ivar stumbles: whether it fails in everything.
    """

    name = "memory"
    full = False

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Sequence[Address]] = {}
        self.extras: dict[str, Mapping[str, Any]] = {}
        self.observed: list[tuple[str, float | None]] = []
        self.refuses: set[str] = set()
        self.stumbles = False
        #: what happened to services, in order
        self.calls: list[tuple[str, ...]] = []

    def start(self) -> None:
        """There is nothing to start."""

    def stop(self) -> None:
        """There is nothing to stop."""

    def resolve(self, name: str, seed: str = "") -> Any:
        for (_, known), endpoints in self.known.items():
            if known == name:
                return endpoints, 1, GRAPH
        return None

    def consume(
        self,
        uuid: str,
        name: str,
        endpoints: Sequence[Address],
        version: int,
        graph: Mapping[int, Any],
        extra: Mapping[str, Any],
    ) -> None:
        self._stumble()
        if name in self.refuses:
            raise CocainedError(f"{name} is refused")
        if (uuid, name) in self.known:
            raise CocainedError(f"{name} of {uuid} is known already")
        self.calls.append(("consume", uuid, name))
        self.known[uuid, name] = endpoints
        self.extras[uuid] = extra

    def cleanup(self, uuid: str, name: str | None = None) -> None:
        self.calls.append(("cleanup", uuid, *([name] if name is not None else [])))
        for key in list(self.known):
            if key[0] == uuid and name in (None, key[1]):
                del self.known[key]
        self._stumble()

    def node_observed(self, uuid: str, latency: float | None) -> None:
        self.observed.append((uuid, latency))
        self._stumble()

    def _stumble(self) -> None:
        if self.stumbles:
            raise ZeroDivisionError("stumbled")

    def services(self, uuid: str) -> set[str]:
        """The names of what a node is known to have."""
        return {name for node, name in self.known if node == uuid}


class LinksCase(LogCase):
    """
    A table of links whose chances are always the middle ones.

    :cvar pace: of the links.
    """

    pace = Pace()

    def setUp(self) -> None:
        self.clock = Clock()
        self.dialer = MemoryDialer()
        self.gateway = MemoryGateway()
        self.refreshed: list[list[str]] = []
        self.links = self.build(self.gateway)

    def build(self, gateway: Any) -> Links:
        """Make a table."""
        return Links(
            ME,
            lambda: [("127.0.0.1", 10053)],
            self.clock,
            self.dialer,
            gateway,
            self.pace,
            lambda names: self.refreshed.append(list(names)),
            lambda: 0.5,
        )

    def report(self, uuid: str) -> Mapping[str, Any]:
        """How one link is."""
        report: Mapping[str, Any] = self.links.report()[uuid]
        return report

    def state(self, uuid: str) -> str:
        """What one link does."""
        return str(self.report(uuid)["state"])

    def lose_and_wait(self) -> float:
        """Lose the last line; give the seconds until the next one is dialled."""
        began, count = self.clock.seconds(), len(self.dialer.lines)
        self.dialer.last.lose("Connection refused")
        while len(self.dialer.lines) == count:
            self.clock.advance(0.25)
        return self.clock.seconds() - began

    def linked(self, uuid: str = A, *names: str, at: Address = AT_A) -> MemoryLine:
        """Link to a node that has these services."""
        self.links.link(uuid, [at])
        self.dialer.last.accept(uuid, *names)
        return self.dialer.last
