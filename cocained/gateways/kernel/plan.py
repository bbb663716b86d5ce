# -*- test-case-name: cocained.test.test_gateways_kernel_table -*-
"""
What the kernel is to forward, and what one has to change for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import NamedTuple, TypeAlias

#: A numeric address and a port.
Endpoint: TypeAlias = tuple[str, int]

#: Where one virtual service leads to: the weight of each destination.  One of
#: weight 0 gets no new connections and keeps those that it has.
Destinations: TypeAlias = Mapping[Endpoint, int]

#: All virtual services by their endpoints.  A plan does not change once it is
#: made, and plans share what is the same in both.
Plan: TypeAlias = Mapping[Endpoint, Destinations]


class Verb(Enum):
    """What is done to a virtual service, or to a destination of one."""

    ADD_SERVICE = auto()
    REMOVE_SERVICE = auto()
    ADD = auto()
    EDIT = auto()
    REMOVE = auto()


class Change(NamedTuple):
    """
    One step from a plan to another.

    :ivar virtual: which virtual service.
    :ivar destination: which of its destinations, if it is about one.
    :ivar weight: that it is to have.
    """

    verb: Verb
    virtual: Endpoint
    destination: Endpoint | None = None
    weight: int = 0


def changes(before: Plan, after: Plan) -> Iterator[Change]:
    """
    Give the steps from one plan to another, in an order that always works.

    New destinations come before old ones go, so that there is no moment without
    any.
    """
    for virtual in before:
        if virtual not in after:
            yield Change(Verb.REMOVE_SERVICE, virtual)
    for virtual, wanted in after.items():
        found = before.get(virtual)
        if found is wanted:
            continue
        if found is None:
            yield Change(Verb.ADD_SERVICE, virtual)
            found = {}
        for destination, weight in wanted.items():
            if destination not in found:
                yield Change(Verb.ADD, virtual, destination, weight)
            elif found[destination] != weight:
                yield Change(Verb.EDIT, virtual, destination, weight)
        for destination in found:
            if destination not in wanted:
                yield Change(Verb.REMOVE, virtual, destination)


def takes_connections(plan: Plan, virtual: Endpoint) -> bool:
    """Say whether somebody behind *virtual* gets new connections."""
    return any(plan.get(virtual, {}).values())


def text(endpoint: Endpoint) -> str:
    """Write an endpoint as both programs and people do."""
    host, port = endpoint
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
