# -*- test-case-name: cocained.test.test_gateways_kernel_nftables -*-
"""
The language of ``nft``: one table that holds all virtual services of a gateway.

::

    prerouting ─┐                                   ┌▶ chain s0: dnat to … map
                ├─▶ services4, services6 (maps) ────┼▶ chain s1: dnat to … map
    output ─────┘   address . port : goto chain     └▶ …
    postrouting ──▶ masquerade what was forwarded by one of ours

The whole table is written anew in one transaction.  Connections are in the
connection tracking and stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from math import gcd
from typing import NamedTuple

from cocained.gateways.kernel.plan import Destinations, Endpoint, Plan


class Family(NamedTuple):
    """How one address family is spoken of."""

    number: int
    word: str
    type: str


V4 = Family(4, "ip", "ipv4_addr")
V6 = Family(6, "ip6", "ipv6_addr")

#: Written when there is nothing to forward, to see whether all that is needed is
#: there; addresses are those of the documentation.
TRIAL: Plan = {
    ("192.0.2.1", 1): {("192.0.2.2", 1): 1, ("192.0.2.3", 1): 2},
    ("2001:db8::1", 1): {("2001:db8::2", 1): 1, ("2001:db8::3", 1): 2},
}

#: Schedulers by the names that IPVS has for their like, and the number that
#: chooses.  The last two go by weights.
SCHEDULERS: Mapping[str, Callable[[Family], str]] = {
    "rr": lambda family: "numgen inc",
    "wrr": lambda family: "numgen random",
    "sh": lambda family: f"jhash {family.word} saddr",
}


def family_of(endpoint: Endpoint) -> Family:
    """Say of which family an endpoint is."""
    return V6 if ":" in endpoint[0] else V4


def remove(table: str) -> str:
    """Write what removes a table, whether it is there or not."""
    return f"table inet {table}\ndelete table inet {table}\n"


def write(
    table: str, plan: Plan, scheduler: str, masquerade: bool = True, turn: int = 0
) -> str:
    """
    Write what puts a table in the place of the one that is there, if any.

    :param table: its name.
    :param scheduler: one of :data:`SCHEDULERS`.
    :param masquerade: whether destinations see the address of this machine.
    :param turn: a number that grows: a table begins to count anew, and not
        always with the same destination.
    """
    return remove(table) + "\n".join(_table(table, plan, scheduler, masquerade, turn))


def is_ours(listing: str) -> bool:
    """See whether the listing of the chain ``prerouting`` is as we wrote it."""
    return "vmap @services4" in listing and "vmap @services6" in listing


def _table(
    table: str, plan: Plan, scheduler: str, masquerade: bool, turn: int
) -> Iterator[str]:
    live = {
        virtual: taking
        for virtual, destinations in plan.items()
        if (taking := {each: n for each, n in destinations.items() if n})
    }
    yield f"table inet {table} {{"
    for index, (virtual, taking) in enumerate(live.items()):
        yield f"  chain s{index} {{"
        yield f"    meta l4proto tcp {_choice(virtual, taking, scheduler, turn)}"
        yield "  }"
    for family in (V4, V6):
        keys = [
            (f"{virtual[0]} . {virtual[1]}", index)
            for index, virtual in enumerate(live)
            if family_of(virtual) is family
        ]
        type = f"type {family.type} . inet_service"
        yield from _block(f"set virtual{family.number}", type, [key for key, _ in keys])
        yield from _block(
            f"map services{family.number}",
            f"{type} : verdict",
            [f"{key} : goto s{index}" for key, index in keys],
        )
    for hook, priority in (("prerouting", "dstnat"), ("output", "-100")):
        yield f"  chain {hook} {{"
        yield f"    type nat hook {hook} priority {priority}; policy accept;"
        for family in (V4, V6):
            key = f"{family.word} daddr . tcp dport"
            yield f"    {key} vmap @services{family.number}"
        yield "  }"
    yield "  chain postrouting {"
    yield "    type nat hook postrouting priority srcnat; policy accept;"
    if masquerade:
        for family in (V4, V6):
            key = f"ct original {family.word} daddr . ct original proto-dst"
            yield (
                f"    meta l4proto tcp ct status dnat {key}"
                f" @virtual{family.number} masquerade"
            )
    yield "  }"
    yield "}\n"


def _block(head: str, type: str, elements: Sequence[str]) -> Iterator[str]:
    yield f"  {head} {{"
    yield f"    {type};"
    if elements:
        yield f"    elements = {{ {', '.join(elements)} }}"
    yield "  }"


def _choice(
    virtual: Endpoint, destinations: Destinations, scheduler: str, turn: int
) -> str:
    """Write the rule that sends a connection to one of its destinations."""
    family = family_of(virtual)
    order = sorted(destinations)
    first = turn % len(order)
    order = order[first:] + order[:first]
    if scheduler == "rr":
        weights = [1] * len(order)
    else:
        weights = [destinations[each] for each in order]
        # Whoever is chosen by source stays chosen when the table is written anew.
        if scheduler == "sh":
            order.sort()
            weights = [destinations[each] for each in order]
        divisor = reduce(gcd, weights)
        weights = [weight // divisor for weight in weights]
    total = sum(weights)
    parts = []
    end = 0
    for (host, port), weight in zip(order, weights, strict=True):
        begin, end = end, end + weight
        key = str(begin) if weight == 1 else f"{begin}-{end - 1}"
        parts.append(f"{key} : {host} . {port}")
    number = SCHEDULERS[scheduler](family)
    return f"dnat {family.word} to {number} mod {total} map {{ {', '.join(parts)} }}"
