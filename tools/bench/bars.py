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

from cocained.tools.bench.measure import paired_ratio
from cocained.tools.bench.runner import Results
from cocained.tools.bench.scenarios.catalogue import (
    ECHO_1,
    ECHO_64,
    READ_64,
    RESOLVE_64,
)
from cocained.tools.bench.targets import NODE, PEER, YARDSTICK

#: CPU per request of the yardstick where the absolute bars were set.
YARDSTICK_US = 9.0

#: The bar on memory was set for this many apps.
IDLE_APPS = 1000


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    One bar, and what was reached; ``value`` is NaN where it was not measured.

    :ivar at_least: whether more is better.
    """

    title: str
    value: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def passed(self) -> bool | None:
        """Whether it holds; ``None`` if nobody can tell."""
        if math.isnan(self.value) or math.isnan(self.limit):
            return None
        if self.at_least:
            return self.value >= self.limit
        return self.value <= self.limit


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
    """Make a bar on a figure of the node."""

    def bar(results: Results) -> Verdict:
        return Verdict(title, _figure(results, scenario, NODE, figure), limit, unit)

    return bar


def _scaled(title: str, scenario: str, limit: float) -> _Bar:
    """Make a bar on microseconds that grows with what the yardstick takes here."""

    def bar(results: Results) -> Verdict:
        here = _figure(results, ECHO_64, YARDSTICK, "cpu_us")
        value = _figure(results, scenario, NODE, "cpu_us")
        return Verdict(title, value, limit * here / YARDSTICK_US, "us")

    return bar


def _idle_apps(results: Results) -> Verdict:
    """A run with fewer apps says nothing of a thousand."""
    value = math.nan
    if _figure(results, "idle-apps", NODE, "apps") >= IDLE_APPS:
        value = _figure(results, "idle-apps", NODE, "rss_mib")
    return Verdict(f"{IDLE_APPS:,} idle apps, memory", value, 150.0, "MiB")


def _figure(results: Results, scenario: str, target: str, figure: str) -> float:
    outcome = results.find(scenario, target)
    return math.nan if outcome is None else outcome.figures.get(figure, math.nan)


_BARS: tuple[_Bar, ...] = (
    _ratio("app echo, 64 in flight, CPU per request", ECHO_64, "cpu_us", 1.75),
    _ratio("app echo, 1 in flight, p50", ECHO_1, "p50_us", 1.3),
    _scaled("resolve, CPU per request", RESOLVE_64, 8.0),
    _scaled("storage read, 1 KiB, CPU per request", READ_64, 35.0),
    _value("cold start, Python framework", "cold-framework", "total_ms", 150.0, "ms"),
    _idle_apps,
)

_PEER_BARS: tuple[_Bar, ...] = (
    _ratio("app echo, 64 in flight, requests/s", ECHO_64, "rate", 5.0, PEER, True),
    _ratio("app echo, 64 in flight, CPU per request", ECHO_64, "cpu_us", 0.25, PEER),
    _ratio("app echo, 1 in flight, p50", ECHO_1, "p50_us", 1.0, PEER),
    _ratio("resolve, requests/s", RESOLVE_64, "rate", 3.0, PEER, True),
    _ratio("storage read, 1 KiB, requests/s", READ_64, "rate", 1.0, PEER, True),
)
