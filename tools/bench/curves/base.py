# -*- test-case-name: cocained.test.test_tools_bench_curves -*-
"""
Points, curves, and the growth that is read off them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

from cocained.tools.bench.measure import median, percentile
from cocained.tools.bench.scenarios.base import Scale
from cocained.tools.bench.subject import Node
from cocained.tools.bench.targets import ECHO, Bench


class Crowd(Protocol):
    """Something on a node that becomes more and more."""

    def grow(self, size: int) -> None:
        """
        Make it so large; it is at most that large now.

        :raises Skipped: this machine does not allow so much.
        :raises BenchError: it went wrong.
        """


#: Makes a crowd; what has to be undone afterwards goes to the stack.
MakeCrowd = Callable[[Bench, Node, ExitStack], Crowd]


@dataclass(frozen=True, slots=True)
class Curve:
    """
    One measurement at several sizes.

    :ivar name: as ``--only`` takes it.
    :ivar title: for the table.
    :ivar unit: what there are so many of.
    :ivar make: makes what grows.
    :ivar sizes: from which to which it grows at a scale, ascending.
    :ivar mode: of the generator.
    :ivar service: that the load is put on.
    :ivar in_flight: requests at a time, on one connection, at a size.
    """

    name: str
    title: str
    unit: str
    make: MakeCrowd
    sizes: Callable[[Scale], Sequence[int]]
    mode: str = "echo"
    service: str = ECHO
    in_flight: Callable[[int], int] = lambda size: 64


@dataclass(frozen=True, slots=True)
class Point:
    """
    Microseconds of CPU per request at one size, one value for each round.

    :ivar node: of the node.
    :ivar yardstick: of the yardstick in the same rounds; perhaps none.
    """

    size: int
    node: list[float] = field(default_factory=list)
    yardstick: list[float] = field(default_factory=list)

    @property
    def cost(self) -> float:
        """The node's median; NaN without a round."""
        return median(self.node)

    @property
    def ratios(self) -> list[float]:
        """What the node takes beside what the yardstick took at the same time."""
        pairs = zip(self.node, self.yardstick, strict=False)
        return [node / yardstick for node, yardstick in pairs]

    @property
    def relative(self) -> float:
        """The median of the ratios; NaN without a yardstick."""
        return median(self.ratios)


@dataclass(slots=True)
class CurveOutcome:
    """
    What became of one curve.

    :ivar points: in the order of their sizes.
    :ivar skipped: why there are no points, or no more, or ``""``.
    :ivar failed: what went wrong, or ``""``; no further point was measured.
    """

    curve: str
    title: str
    unit: str
    points: list[Point] = field(default_factory=list)
    skipped: str = ""
    failed: str = ""

    @property
    def place(self) -> str:
        """For messages."""
        sizes = [f"{point.size:,}" for point in self.points]
        return f"{self.curve} after {sizes[-1]}" if sizes else self.curve

    @property
    def growth(self) -> float:
        """
        Largest median over smallest, 1 for a flat curve.

        Costs are relative to the yardstick's where it was measured.  NaN when
        there are less than two sizes.
        """
        return _largest_to_smallest(self._costs, 0.5, 0.5)

    @property
    def certain_growth(self) -> float:
        """
        The same from the lower quartile of the one to the upper quartile of the
        other: what is left when the spread of the rounds is taken for noise.
        """
        return _largest_to_smallest(self._costs, 0.25, 0.75)

    @property
    def _costs(self) -> list[list[float]]:
        """The rounds of each size, relative where that is possible everywhere."""
        relative = [point.ratios for point in self.points]
        return relative if all(relative) else [point.node for point in self.points]


def _largest_to_smallest(
    costs: Sequence[Sequence[float]], above: float, below: float
) -> float:
    if len(costs) < 2 or not all(costs):
        return math.nan
    largest = max(percentile(rounds, above) for rounds in costs)
    return largest / min(percentile(rounds, below) for rounds in costs)


def steps(last: int, factor: int, count: int) -> list[int]:
    """
    Give sizes that grow by a factor.

    :param last: the largest, 1 and up.
    :param factor: between neighbours, 2 and up.
    :param count: how many at most; none is below 1.
    """
    sizes = {max(last // factor**power, 1) for power in range(count)}
    return sorted(sizes)
