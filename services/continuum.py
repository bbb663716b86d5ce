# -*- test-case-name: cocained.test.test_services_continuum -*-
"""
The ring of a routing group (protocol.md §3.5): weighted members of a group,
spread over the numbers of 32 bits.

Pure.  Point for point the ring of the original, since proxies get it and find
their way by themselves.
"""

from __future__ import annotations

import hashlib
import struct
from bisect import bisect_right
from collections.abc import Mapping
from functools import reduce
from operator import xor

from cocained.errors import CocainedError

#: Points that one member of an evenly weighted group has, in fours.
STEPS = 64

#: Most points of one group: a thousand members of a balanced one.
POINT_LIMIT = 1 << 18

_FOUR = struct.Struct("<4I")


class Continuum:
    """
    A ring.

    :param weights: member to weight; weights are 0 or more.
    :raises CocainedError: there is no member of any weight, or too many.
    """

    def __init__(self, weights: Mapping[str, int]) -> None:
        total = float(sum(weights.values()))
        if total < 1e-9:
            raise CocainedError("a routing group needs a member with a weight")
        members = sorted(
            (name.encode("utf-8", "surrogateescape"), name) for name in weights
        )
        if len(members) * STEPS * 4 > POINT_LIMIT:
            raise CocainedError(
                f"a routing group of {len(members)} members would have more than"
                f" {POINT_LIMIT} points"
            )
        points = []
        for encoded, name in members:
            share = weights[name] / total * STEPS * len(members)
            for step in range(_round(share)):
                digest = hashlib.md5(
                    encoded + struct.pack("<Q", step), usedforsecurity=False
                )
                points += [(point, name) for point in _FOUR.unpack(digest.digest())]
        points.sort()
        #: the whole ring, sorted by point
        self.points: list[tuple[int, str]] = points
        self._numbers = [point for point, _ in points]

    def by_seed(self, seed: str) -> str:
        """The member that a seed leads to, always the same."""
        digest = hashlib.md5(
            seed.encode("utf-8", "surrogateescape"), usedforsecurity=False
        ).digest()
        return self.by_point(reduce(xor, _FOUR.unpack(digest)))

    def by_point(self, point: int) -> str:
        """The first member strictly above *point*, or the first of all."""
        index = bisect_right(self._numbers, point)
        return self.points[index % len(self.points)][1]


def _round(number: float) -> int:
    """Round half away from zero, as C does."""
    return int(number + 0.5)
