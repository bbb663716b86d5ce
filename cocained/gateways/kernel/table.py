# -*- test-case-name: cocained.test.test_gateways_kernel_table -*-
"""
The virtual services of a gateway, and the nodes behind each.

::

                  announce                   withdraw, down
    (unknown) ───────────────▶ taking ──────────────────────▶ leaving
                                  ▲        announce, up          │ drain seconds
                                  └──────────────────────────────┤
                                                                 ▼
                                                              (gone)

A destination is an address: two nodes may name the same one, as when a node
was started anew and its former self has not been missed yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from cocained.gateways.kernel.plan import Destinations, Endpoint, Plan

#: Destinations of one service that may be leaving at a time: more than any
#: cluster that is restarted has, and few for the kernel.  Beyond it the one that
#: has been leaving for longest goes at once.
LEAVING_LIMIT: Final = 1024


class Copy(NamedTuple):
    """
    What one node says of a service.

    :ivar endpoints: at most one of each address family.
    :ivar weight: of its destinations, 0 for no new connections.
    """

    endpoints: tuple[Endpoint, ...]
    weight: int


class VirtualService:
    """
    One service, wherever it is.

    :ivar virtuals: endpoints of its own, at most one of each address family.
    :ivar version: that the first of the present nodes announced.
    :ivar graph: likewise.
    :ivar copies: by the uuid of the node.
    """

    __slots__ = ("copies", "graph", "leaving", "taking", "version", "virtuals")

    def __init__(self, virtuals: Sequence[Endpoint]) -> None:
        self.virtuals = tuple(virtuals)
        self.version = 0
        self.graph: Mapping[int, Any] = {}
        self.copies: dict[str, Copy] = {}
        #: destinations that get new connections, with their weights
        self.taking: dict[Endpoint, int] = {}
        #: the others that are left, and when they are to go
        self.leaving: dict[Endpoint, float] = {}


class Table:
    """
    All virtual services.

    :param drain: seconds that a destination is kept, with a weight of 0, after
        its node withdrew it or it stopped to answer.
    """

    def __init__(self, drain: float = 0.0) -> None:
        self._drain = drain
        self._services: dict[str, VirtualService] = {}
        self._plan: dict[Endpoint, Destinations] = {}
        #: which services each node has
        self._names: dict[str, set[str]] = {}
        #: which services lead to an address
        self._users: dict[Endpoint, set[str]] = {}
        self._down: set[Endpoint] = set()
        #: services without copies, the longest so first
        self._idle: dict[str, None] = {}
        #: who is to go when; all stay equally long, so this is in order
        self._departures: dict[tuple[str, Endpoint], float] = {}

    def __len__(self) -> int:
        return len(self._services)

    def get(self, name: str) -> VirtualService | None:
        """Find a virtual service."""
        return self._services.get(name)

    def plan(self) -> Plan:
        """Give what the kernel is to forward now."""
        return dict(self._plan)

    def virtuals(self) -> Iterator[Endpoint]:
        """Give the endpoints of all virtual services."""
        return iter(self._plan)

    def down(self) -> list[Endpoint]:
        """Give the destinations that do not answer, sorted."""
        return sorted(self._down)

    def idle(self) -> list[str]:
        """Give the names without copies, the longest so first."""
        return list(self._idle)

    # Virtual services

    def open(self, name: str, virtuals: Sequence[Endpoint]) -> None:
        """Begin a virtual service that has no copies yet."""
        service = self._services[name] = VirtualService(virtuals)
        self._idle[name] = None
        self._settle(name, service, 0.0)

    def close(self, name: str) -> None:
        """End a virtual service that has no copies any more."""
        service = self._services.pop(name)
        assert not service.copies
        del self._idle[name]
        for endpoint in list(service.leaving):
            self._stay(name, service, endpoint)
        for virtual in service.virtuals:
            del self._plan[virtual]

    # Copies

    def announce(
        self,
        uuid: str,
        name: str,
        copy: Copy,
        version: int,
        graph: Mapping[int, Any],
        now: float,
    ) -> None:
        """A node has a service from now on; there is a virtual one for it."""
        service = self._services[name]
        if not service.copies:
            service.version, service.graph = version, graph
            del self._idle[name]
        service.copies[uuid] = copy
        self._names.setdefault(uuid, set()).add(name)
        for endpoint in copy.endpoints:
            self._users.setdefault(endpoint, set()).add(name)
        self._settle(name, service, now)

    def withdraw(self, uuid: str, name: str | None, now: float) -> list[Copy]:
        """
        A node has a service no more, or none at all.

        :returns: what it had said of them.
        """
        names = self._names.get(uuid, set())
        gone = []
        for each in sorted(names) if name is None else [name] if name in names else []:
            names.discard(each)
            service = self._services[each]
            copy = service.copies.pop(uuid)
            gone.append(copy)
            if not service.copies:
                self._idle[each] = None
            for endpoint in copy.endpoints:
                self._forget(endpoint, each, service)
            self._settle(each, service, now)
        if not names:
            self._names.pop(uuid, None)
        return gone

    def _forget(self, endpoint: Endpoint, name: str, service: VirtualService) -> None:
        if any(endpoint in copy.endpoints for copy in service.copies.values()):
            return
        users = self._users[endpoint]
        users.discard(name)
        if not users:
            del self._users[endpoint]
            self._down.discard(endpoint)

    def mark(self, endpoint: Endpoint, is_up: bool, now: float) -> None:
        """A destination answers again, or does not any more."""
        if endpoint not in self._users:
            return
        if is_up:
            self._down.discard(endpoint)
        else:
            self._down.add(endpoint)
        for name in self._users[endpoint]:
            self._settle(name, self._services[name], now)

    # Departures

    def next_departure(self) -> float | None:
        """Say when :meth:`depart` is to be called."""
        return next(iter(self._departures.values()), None)

    def depart(self, now: float) -> bool:
        """
        Let those go whose time has come.

        :returns: whether the plan is another one now.
        """
        changed = False
        for (name, endpoint), due in list(self._departures.items()):
            if due > now:
                break
            service = self._services[name]
            self._stay(name, service, endpoint)
            self._publish(service)
            changed = True
        return changed

    def _leave(
        self, name: str, service: VirtualService, endpoint: Endpoint, due: float
    ) -> None:
        if len(service.leaving) >= LEAVING_LIMIT:
            self._stay(name, service, next(iter(service.leaving)))
        service.leaving[endpoint] = self._departures[name, endpoint] = due

    def _stay(self, name: str, service: VirtualService, endpoint: Endpoint) -> None:
        """Somebody does not leave any more: gone, or back."""
        if service.leaving.pop(endpoint, None) is not None:
            del self._departures[name, endpoint]

    def _settle(self, name: str, service: VirtualService, now: float) -> None:
        """Work out who takes connections and who leaves."""
        taking: dict[Endpoint, int] = {}
        for copy in service.copies.values():
            for endpoint in copy.endpoints:
                if endpoint not in self._down:
                    taking[endpoint] = max(taking.get(endpoint, 0), copy.weight)
        for endpoint in service.taking:
            if endpoint not in taking and self._drain:
                self._leave(name, service, endpoint, now + self._drain)
        for endpoint in taking:
            self._stay(name, service, endpoint)
        service.taking = taking
        self._publish(service)

    def _publish(self, service: VirtualService) -> None:
        everybody = {**dict.fromkeys(service.leaving, 0), **service.taking}
        for virtual in service.virtuals:
            self._plan[virtual] = {
                endpoint: weight
                for endpoint, weight in everybody.items()
                if is_v6(endpoint) == is_v6(virtual)
            }


def is_v6(endpoint: Endpoint) -> bool:
    """Say of which family an endpoint is."""
    return ":" in endpoint[0]
