# -*- test-case-name: cocained.test.test_tools_bench_report -*-
"""
Shows results as tables, and as a record for programs.
"""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cocained._version import __version__
from cocained.tools.bench.bars import Verdict
from cocained.tools.bench.curves.table import curve_record, curve_table
from cocained.tools.bench.measure import extremes, paired_ratio
from cocained.tools.bench.runner import Outcome, Results
from cocained.tools.bench.scenarios.base import Scale
from cocained.tools.bench.targets import YARDSTICK

#: Grows when a reader of old records would misunderstand a new one.
RECORD_VERSION = 2

#: Figures of requests, each with its column: the heading and the decimals.
COLUMNS = {
    "rate": ("requests/s", 0),
    "cpu_us": ("CPU us/req", 2),
    "p50_us": ("p50 us", 1),
    "p99_us": ("p99 us", 1),
    "load_cpu_us": ("load us/req", 2),
}

NOTE = (
    "CPU us/req: of the target's process, user and system, from the operating "
    "system; min..max of the rounds.  load us/req: of the generator (one process "
    "in C).  ratio: of the CPU to that of the yardstick."
)


def record(results: Results, scale: Scale, verdicts: Sequence[Verdict]) -> Any:
    """
    Make the record of a run: what ``json`` can write, no NaN in it.

    :param results: of all scenarios.
    :param scale: of the run.
    :param verdicts: on the bars, perhaps none.
    """
    return {
        "version": RECORD_VERSION,
        "cocained": __version__,
        "machine": {
            "system": platform.platform(),
            "processors": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "twisted": version("Twisted"),
        },
        "scale": asdict(scale),
        "outcomes": [
            {**asdict(outcome), "medians": _plain(outcome.figures)}
            for outcome in results.outcomes
        ],
        "curves": [curve_record(outcome) for outcome in results.curves],
        "bars": [
            {**_plain(asdict(verdict)), "passed": verdict.passed}
            for verdict in verdicts
        ],
    }


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in values.items()
    }


def show(console: Console, results: Results, verdicts: Sequence[Verdict]) -> None:
    """
    Print the tables.

    :param console: where to.
    :param results: of all scenarios.
    :param verdicts: on the bars; no table for none.
    """
    requests = [each for each in results.outcomes if "rate" in each.figures]
    others = [each for each in results.outcomes if each not in requests]
    if requests:
        console.print(_requests_table(results, requests))
        console.print(NOTE, style="dim")
    if any(each.figures for each in others):
        console.print(_figures_table(others))
    for curve in results.curves:
        if curve.points:
            console.print(curve_table(curve))
    _show_rest(console, results)
    if verdicts:
        console.print(_bars_table(verdicts))


def _requests_table(results: Results, outcomes: Sequence[Outcome]) -> Table:
    table = Table(title="requests (medians)")
    table.add_column("scenario", no_wrap=True)
    table.add_column("target", no_wrap=True)
    for heading, _ in COLUMNS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("CPU min..max", justify="right", no_wrap=True)
    table.add_column("ratio", justify="right", no_wrap=True)
    title = ""
    for outcome in outcomes:
        figures = outcome.figures
        cells = [
            number(figures.get(name, math.nan), decimals)
            for name, (_, decimals) in COLUMNS.items()
        ]
        least, most = extremes(outcome.rounds, "cpu_us")
        cells.append(f"{number(least, 2)}..{number(most, 2)}")
        shown = "" if outcome.title == title else outcome.title
        table.add_row(shown, outcome.target, *cells, _to_yardstick(results, outcome))
        title = outcome.title
    return table


def _to_yardstick(results: Results, outcome: Outcome) -> str:
    yardstick = results.find(outcome.scenario, YARDSTICK)
    if yardstick is None or outcome.target == YARDSTICK:
        return ""
    return number(paired_ratio(outcome.rounds, yardstick.rounds, "cpu_us"), 2)


def _figures_table(outcomes: Sequence[Outcome]) -> Table:
    table = Table(title="other figures (medians)")
    table.add_column("scenario", no_wrap=True)
    table.add_column("target", no_wrap=True)
    table.add_column("figures")
    title = ""
    for outcome in outcomes:
        if not outcome.rounds:
            continue
        figures = ", ".join(
            f"{name} {number(value, 1)}{_spread(outcome, name)}"
            for name, value in outcome.figures.items()
        )
        shown = "" if outcome.title == title else outcome.title
        table.add_row(shown, outcome.target, figures)
        title = outcome.title
    return table


def _spread(outcome: Outcome, figure: str) -> str:
    """The range of a figure over the rounds, if there is more than one."""
    least, most = extremes(outcome.rounds, figure)
    if least == most:
        return ""
    return f" ({number(least, 1)}..{number(most, 1)})"


def _show_rest(console: Console, results: Results) -> None:
    """Say what was left out and what went wrong; each reason once."""
    skipped: dict[tuple[str, str], list[str]] = {}
    for outcome in results.outcomes:
        if outcome.skipped:
            key = (outcome.target, outcome.skipped)
            skipped.setdefault(key, []).append(outcome.scenario)
    for (target, reason), names in skipped.items():
        left_out = escape(f"not on the {target}: {', '.join(names)}: {reason}")
        console.print(left_out, style="dim")
    for curve in results.curves:
        if curve.skipped:
            console.print(escape(f"not to the end: {curve.curve}: {curve.skipped}"))
    for failure in results.failures:
        text = f"FAILED {failure.place}: {failure.failed}"
        console.print(escape(text), style="bold red")


def _bars_table(verdicts: Sequence[Verdict]) -> Table:
    table = Table(title="bars")
    table.add_column("bar")
    table.add_column("measured", justify="right")
    table.add_column("limit", justify="right")
    table.add_column("")
    words = {
        True: "[green]pass[/green]",
        False: "[bold red]FAIL[/bold red]",
        None: "[dim]not measured[/dim]",
    }
    for verdict in verdicts:
        sign = ">=" if verdict.at_least else "<="
        table.add_row(
            verdict.title,
            number(verdict.value, 2),
            f"{sign} {number(verdict.limit, 2)} {verdict.unit}",
            "[yellow]too noisy to tell[/yellow]"
            if verdict.is_noisy
            else words[verdict.passed],
        )
    return table


def number(value: float, decimals: int) -> str:
    """Write a figure for people; ``-`` where there is none."""
    return "-" if math.isnan(value) else f"{value:,.{decimals}f}"
