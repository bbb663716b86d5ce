# -*- test-case-name: cocained.test.test_tools_bench_report -*-
"""
The bars: what a node must reach.

Ratios to the yardstick and to a peer come from rounds that were run side by
side.  The bars in microseconds hold for a machine on which the yardstick takes
:data:`YARDSTICK_US` per request, and are scaled to the one at hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from cocained.tools.bench.curves.base import Curve
from cocained.tools.bench.curves.catalogue import CURVES
from cocained.tools.bench.measure import extremes, paired_ratio
from cocained.tools.bench.runner import Results
from cocained.tools.bench.scenarios.catalogue import (
    COLD_ASYNC,
    COLD_PLAIN,
    ECHO_1,
    ECHO_64,
    READ_64,
    RESOLVE_64,
)
from cocained.tools.bench.targets import NODE, PEER, YARDSTICK

#: CPU per request of the yardstick where the absolute bars were set.
YARDSTICK_US = 9.0

#: The bars on idle apps were set for this many.
IDLE_APPS = 1000

#: A cost that does not grow stays within this over the whole of a curve: room
#: for a processor's caches.  One that grew with the size would be tenfold or more.
GROWTH = 1.25


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    One bar, and what was reached; ``value`` is NaN where it was not measured.

    :ivar at_least: whether more is better.
    :ivar certain: what is left of ``value`` when the spread of the rounds is
        taken for noise; NaN where that is not asked.
    """

    title: str
    value: float
    limit: float
    unit: str
    at_least: bool = False
    certain: float = math.nan

    @property
    def passed(self) -> bool | None:
        """Whether it holds; ``None`` if nobody can tell."""
        if math.isnan(self.value) or math.isnan(self.limit) or self.is_noisy:
            return None
        if self.at_least:
            return self.value >= self.limit
        return self.value <= self.limit

    @property
    def is_noisy(self) -> bool:
        """Whether it may hold or not, for all that the rounds say."""
        return self.certain <= self.limit < self.value


def judge(results: Results) -> list[Verdict]:
    """
    Hold the figures against every bar.

    :param results: of a run; bars for what it lacks have no verdict.
    """
    verdicts = [bar(results) for bar in _BARS]
    if any(outcome.target == PEER for outcome in results.outcomes):
        verdicts += [bar(results) for bar in _PEER_BARS]
    return verdicts


_Bar = Callable[[Results], Verdict]


def _ratio(
    title: str,
    scenario: str,
    figure: str,
    limit: float,
    below: str = YARDSTICK,
    at_least: bool = False,
) -> _Bar:
    """Make a bar on the ratio of a figure of the node to another target's."""

    def bar(results: Results) -> Verdict:
        node, other = results.find(scenario, NODE), results.find(scenario, below)
        value = (
            paired_ratio(node.rounds, other.rounds, figure)
            if node is not None and other is not None
            else math.nan
        )
        return Verdict(title, value, limit, f"x {below}", at_least)

    return bar


def _value(title: str, scenario: str, figure: str, limit: float, unit: str) -> _Bar:
    """
    Make a bar on a time that the node takes.

    Whatever else the machine does makes it longer, so the best round is certain.
    """

    def bar(results: Results) -> Verdict:
        value = _figure(results, scenario, NODE, figure)
        outcome = results.find(scenario, NODE)
        best, _ = extremes([] if outcome is None else outcome.rounds, figure)
        return Verdict(title, value, limit, unit, certain=best)

    return bar


def _scaled(title: str, scenario: str, limit: float) -> _Bar:
    """Make a bar on microseconds that grows with what the yardstick takes here."""

    def bar(results: Results) -> Verdict:
        here = _figure(results, ECHO_64, YARDSTICK, "cpu_us")
        value = _figure(results, scenario, NODE, "cpu_us")
        return Verdict(title, value, limit * here / YARDSTICK_US, "us")

    return bar


def _idle_apps(title: str, figure: str, limit: float, unit: str) -> _Bar:
    """Make a bar of which a run with fewer apps says nothing."""

    def bar(results: Results) -> Verdict:
        value = math.nan
        if _figure(results, "idle-apps", NODE, "apps") >= IDLE_APPS:
            value = _figure(results, "idle-apps", NODE, figure)
        return Verdict(f"{IDLE_APPS:,} idle apps, {title}", value, limit, unit)

    return bar


def _flat(curve: Curve) -> _Bar:
    """Make a bar on the growth of a curve."""

    def bar(results: Results) -> Verdict:
        outcome = results.find_curve(curve.name)
        growth = math.nan if outcome is None else outcome.growth
        certain = math.nan if outcome is None else outcome.certain_growth
        title = f"{curve.title}: CPU, largest to smallest"
        return Verdict(title, growth, GROWTH, "x", certain=certain)

    return bar


def _figure(results: Results, scenario: str, target: str, figure: str) -> float:
    outcome = results.find(scenario, target)
    return math.nan if outcome is None else outcome.figures.get(figure, math.nan)


_BARS: tuple[_Bar, ...] = (
    _ratio("app echo, 64 in flight, CPU per request", ECHO_64, "cpu_us", 1.75),
    _ratio("app echo, 1 in flight, p50", ECHO_1, "p50_us", 1.3),
    _scaled("resolve, CPU per request", RESOLVE_64, 8.0),
    _scaled("storage read, 1 KiB, CPU per request", READ_64, 35.0),
    _value("cold start, plain handler", COLD_PLAIN, "total_ms", 90.0, "ms"),
    _value("cold start, async def", COLD_ASYNC, "total_ms", 150.0, "ms"),
    _value("node start to ready", "node-start", "ready_ms", 800.0, "ms"),
    _idle_apps("start", "start_s", 5.0, "s"),
    _idle_apps("memory", "rss_mib", 150.0, "MiB"),
    *(_flat(curve) for curve in CURVES),
)

_PEER_BARS: tuple[_Bar, ...] = (
    _ratio("app echo, 64 in flight, requests/s", ECHO_64, "rate", 5.0, PEER, True),
    _ratio("app echo, 64 in flight, CPU per request", ECHO_64, "cpu_us", 0.25, PEER),
    _ratio("app echo, 1 in flight, p50", ECHO_1, "p50_us", 1.0, PEER),
    _ratio("resolve, requests/s", RESOLVE_64, "rate", 3.0, PEER, True),
    _ratio("storage read, 1 KiB, requests/s", READ_64, "rate", 1.0, PEER, True),
)
