# -*- test-case-name: cocained.test.test_examples_docker -*-
"""
Figures side by side; pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from cocained.tools.bench.measure import median, medians

#: Figures of one start, by the isolate that it was done with.
Rounds = Mapping[str, Sequence[Mapping[str, float]]]

#: Rows of the table: a figure, what it is, and its unit.
ROWS = (
    ("spawn_ms", "spawn: until the first line of its program", "ms"),
    ("import_ms", "import: the framework", "ms"),
    ("handshake_ms", "handshake: until it has the event", "ms"),
    ("reply_ms", "reply: until the client has the answer", "ms"),
    ("total_ms", "cold start, all of it", "ms"),
    ("spool_ms", "before: app start with its image or code", "ms"),
    ("worker_mib", "memory of a worker (PSS)", "MiB"),
    ("keeper_mib", "memory of its keepers: shim, init (PSS)", "MiB"),
)

#: What stands where nothing was measured.
NOTHING = "-"


def render(rounds: Rounds) -> str:
    """
    Draw a table of medians.

    :param rounds: isolates in the order of the columns.
    """
    columns = {name: medians(figures) for name, figures in rounds.items()}
    width = max(len(title) for _, title, _ in ROWS)
    lines = [f"{'':{width}}  " + "  ".join(f"{name:>12}" for name in columns)]
    for figure, title, unit in ROWS:
        cells = [_cell(each.get(figure, math.nan), unit) for each in columns.values()]
        lines.append(f"{title:{width}}  " + "  ".join(f"{cell:>12}" for cell in cells))
    return "\n".join(lines)


def _cell(value: float, unit: str) -> str:
    return NOTHING if math.isnan(value) else f"{value:.1f} {unit}"


def summary(rounds: Rounds) -> dict[str, dict[str, dict[str, float]]]:
    """Give median, smallest and largest of each figure, for the record."""
    return {
        isolate: {
            figure: _spread([each[figure] for each in starts if figure in each])
            for figure, _, _ in ROWS
            if any(figure in each for each in starts)
        }
        for isolate, starts in rounds.items()
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "median": round(median(values), 3),
        "least": round(min(values), 3),
        "most": round(max(values), 3),
    }
