# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
The figures as a picture: ``python -m cocained.test.cluster_simulation.plot``.

Both axes are logarithmic, so that what grows with the nodes is a straight line,
and what grows with their square a steeper one.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

import msgspec

from cocained.test.cluster_simulation.figures import Figures

#: Size of the picture, and where the axes are in it; in pixels.
WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 560, 24, 372


class Curve(NamedTuple):
    """One line: its name, its colour, its values."""

    name: str
    colour: str
    value: Callable[[Figures], float]


CURVES: Sequence[Curve] = (
    Curve("links in the cluster", "#7f3c8d", lambda f: f.links),
    Curve("services that a node knows", "#11a579", lambda f: f.known),
    Curve("messages/s of a node at rest", "#3969ac", lambda f: f.rest_messages),
    Curve("KiB/s of a node at rest", "#f2b701", lambda f: f.rest_bytes / 1024),
    Curve("KiB of all for one change", "#e73f74", lambda f: f.change_bytes / 1024),
    Curve("s until silence is seen", "#666666", lambda f: f.silence),
)


def draw(found: Sequence[Figures], curves: Sequence[Curve] = CURVES) -> str:
    """Give the picture as SVG."""
    values = [curve.value(each) for curve in curves for each in found]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    first, last = math.log10(found[0].nodes), math.log10(found[-1].nodes)

    def across(nodes: float) -> float:
        part = (math.log10(nodes) - first) / (last - first or 1)
        return LEFT + part * (RIGHT - LEFT)

    def up(value: float) -> float:
        return BOTTOM - (math.log10(value) - low) / (high - low) * (BOTTOM - TOP)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for power in range(low, high + 1):
        at = up(10.0**power)
        parts.append(
            f'<line x1="{LEFT}" y1="{at:.1f}" x2="{RIGHT}" y2="{at:.1f}"'
            ' stroke="#dddddd"/>'
        )
        parts.append(_text(LEFT - 8, at + 4, f"{10.0**power:,g}", "end"))
    for each in found:
        at = across(each.nodes)
        parts.append(
            f'<line x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{BOTTOM}"'
            ' stroke="#eeeeee"/>'
        )
        parts.append(_text(at, BOTTOM + 18, f"{each.nodes:,}", "middle"))
    parts.append(_text((LEFT + RIGHT) / 2, BOTTOM + 38, "nodes", "middle"))
    places = _apart([up(curve.value(found[-1])) for curve in curves])
    for curve, place in zip(curves, places, strict=True):
        points = [(across(each.nodes), up(curve.value(each))) for each in found]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{curve.colour}"'
            ' stroke-width="2"/>'
        )
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{curve.colour}"/>'
            for x, y in points
        ]
        parts.append(_text(RIGHT + 10, place + 4, curve.name, "start", curve.colour))
    return "\n".join([*parts, "</svg>", ""])


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#333333") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">'
        f"{escape(text)}</text>"
    )


def _apart(places: Sequence[float]) -> list[float]:
    """Move what would be written over each other, a line of text apart."""
    moved = list(places)
    order = sorted(range(len(places)), key=places.__getitem__)
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + 15)
    return moved


def main(arguments: Sequence[str]) -> None:
    """
    Draw a file of figures.

    :param arguments: that file, and the picture's.
    """
    source, target = arguments
    with open(source, "rb") as file:
        found = msgspec.json.decode(file.read(), type=list[Figures])
    with open(target, "w", encoding="utf-8") as picture:
        picture.write(draw(found))


if __name__ == "__main__":
    main(sys.argv[1:])
