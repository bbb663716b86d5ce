# -*- test-case-name: cocained.test.test_tools_bench_curves -*-
"""
Shows curves: a table of points for people, and plain values for programs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.table import Table

from cocained.tools.bench.curves.base import CurveOutcome, Point
from cocained.tools.bench.measure import median

#: Eighths of a line's height, from none to all of it.
EIGHTHS = " ▁▂▃▄▅▆▇█"

#: Signs of the longest bar.
BAR_WIDTH = 30


def sparkline(values: Sequence[float]) -> str:
    """
    Draw values as a line of blocks that begins at zero, so that twice as high
    is twice as much.

    :param values: 0 and up; the largest has the full height.
    """
    top = max(values, default=0.0)
    last = len(EIGHTHS) - 1
    return "".join(
        EIGHTHS[round(value / top * last)] if top else EIGHTHS[0] for value in values
    )


def curve_table(outcome: CurveOutcome) -> Table:
    """Make the table of one curve."""
    line = sparkline([_height(point) for point in outcome.points])
    table = Table(title=f"{escape(outcome.title)}  {line}")
    table.add_column(escape(outcome.unit), justify="right")
    table.add_column("CPU us/req", justify="right")
    table.add_column("min..max", justify="right")
    table.add_column("yardstick", justify="right")
    table.add_column("CPU x yardstick", justify="right")
    table.add_column("")
    top = max(_height(point) for point in outcome.points)
    for point in outcome.points:
        table.add_row(
            f"{point.size:,}",
            f"{point.cost:.2f}",
            f"{min(point.node):.2f}..{max(point.node):.2f}",
            f"{median(point.yardstick):.2f}" if point.yardstick else "-",
            f"{point.relative:.2f}" if point.yardstick else "-",
            "█" * round(_height(point) / top * BAR_WIDTH),
        )
    table.caption = f"largest to smallest: {_times(outcome.growth)}"
    return table


def curve_record(outcome: CurveOutcome) -> dict[str, Any]:
    """Make the record of one curve, with every round of every point."""
    return {
        **asdict(outcome),
        "growth": _plain(outcome.growth),
        "certain_growth": _plain(outcome.certain_growth),
    }


def _height(point: Point) -> float:
    """What is drawn: what the bar is about."""
    return point.relative if point.yardstick else point.cost


def _times(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f} x"


def _plain(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value
