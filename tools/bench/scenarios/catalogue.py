# -*- test-case-name: cocained.test.test_tools_bench_runs -*-
"""
All scenarios, in the order in which they run and are shown; the curves follow.
"""

from __future__ import annotations

from collections.abc import Iterable

from cocained.tools.bench.curves.base import Curve
from cocained.tools.bench.curves.catalogue import CURVES
from cocained.tools.bench.errors import BenchError
from cocained.tools.bench.scenarios.base import Scenario
from cocained.tools.bench.scenarios.crowds import (
    IdleApps,
    IdleConnections,
    OpenChannels,
)
from cocained.tools.bench.scenarios.loads import Echo, Resolving, Storing, Streaming
from cocained.tools.bench.scenarios.starts import ColdStart, FrameworkStart, NodeStart

#: The scenario that the issue's bars call *the* echo, and its slow sibling.
ECHO_64, ECHO_1 = "echo-64", "echo-1"
RESOLVE_64, READ_64 = "resolve-64", "storage-read-64"
COLD_PLAIN, COLD_ASYNC = "cold-framework-plain", "cold-framework-async"

SCENARIOS: tuple[Scenario, ...] = (
    Echo(ECHO_1, "app echo, 16 B, 1 in flight", 1, 1, 16),
    Echo(ECHO_64, "app echo, 16 B, 64 in flight", 1, 64, 16),
    Echo("echo-4x64", "app echo, 16 B, 4 x 64 in flight", 4, 64, 16),
    Echo("echo-1k-1", "app echo, 1 KiB, 1 in flight", 1, 1, 1024),
    Echo("echo-1k-64", "app echo, 1 KiB, 64 in flight", 1, 64, 1024),
    Echo("echo-1k-4x64", "app echo, 1 KiB, 4 x 64 in flight", 4, 64, 1024),
    Echo("echo-64k-1", "app echo, 64 KiB, 1 in flight", 1, 1, 65536),
    Echo("echo-64k-64", "app echo, 64 KiB, 64 in flight", 1, 64, 65536),
    Echo("echo-64k-4x64", "app echo, 64 KiB, 4 x 64 in flight", 4, 64, 65536),
    Streaming("stream-up", "stream, client to worker", "stream-up"),
    Streaming("stream-down", "stream, worker to client", "stream-down"),
    Resolving("resolve-1", "resolve, 1 in flight", 1),
    Resolving(RESOLVE_64, "resolve, 64 in flight", 64),
    Storing("storage-read-1", "storage read, 1 KiB, 1 in flight", "storage-read", 1),
    Storing(READ_64, "storage read, 1 KiB, 64 in flight", "storage-read", 64),
    Storing(
        "storage-write-64", "storage write, 1 KiB, 64 in flight", "storage-write", 64
    ),
    NodeStart(),
    ColdStart(),
    FrameworkStart(COLD_PLAIN, "cold start, framework, plain handler", False),
    FrameworkStart(COLD_ASYNC, "cold start, framework, async def", True),
    IdleApps(),
    IdleConnections(),
    OpenChannels(),
)

#: All that can be chosen, in order: names and titles.
TITLES = {each.name: each.title for each in SCENARIOS} | {
    each.name: each.title for each in CURVES
}


def choose(patterns: Iterable[str]) -> tuple[list[Scenario], list[Curve]]:
    """
    Choose scenarios and curves by name.

    :param patterns: names or beginnings of names; none chooses all.
    :raises BenchError: one of them fits nothing.
    """
    wanted = list(patterns)
    for pattern in wanted:
        if not any(fits(name, pattern) for name in TITLES):
            known = ", ".join(TITLES)
            raise BenchError(f"no scenario is called {pattern!r}; there are: {known}")

    def is_wanted(name: str) -> bool:
        return not wanted or any(fits(name, pattern) for pattern in wanted)

    return (
        [each for each in SCENARIOS if is_wanted(each.name)],
        [each for each in CURVES if is_wanted(each.name)],
    )


def fits(name: str, pattern: str) -> bool:
    """Say whether *pattern* is a name or the beginning of one, by whole words."""
    return name == pattern or name.startswith(pattern + "-")
