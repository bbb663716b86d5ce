# -*- test-case-name: cocained.test.test_tools_bench -*-
"""
What the operating system says of a process, and medians of what was measured.

Linux only: the process CPU clock and ``/proc``.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cocained.tools.bench.errors import BenchError

#: Replaced by tests.
PROC = Path("/proc")

KIB = 1024
MIB = 1024 * 1024


class Memory(NamedTuple):
    """What a process holds, in bytes."""

    rss: int
    #: As RSS, but shared pages count in proportion.
    pss: int


def cpu_seconds(pid: int, proc: Path = PROC) -> float:
    """
    Say how much CPU a process has used, all its threads, user and system.

    The kernel's CPU clock of the process counts nanoseconds and includes
    threads that have ended.  ``schedstat`` would count as finely but knows only
    one live thread each, so it is no use for a peer with a pool of threads.
    Where the clock is not to be had, ``stat`` tells in clock ticks (10 ms).

    :param pid: whose.
    :raises BenchError: there is no such process.
    """
    try:
        # Linux: CPUCLOCK_SCHED of a process, as clock_getcpuclockid(3) forms it.
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return _cpu_ticks(pid, proc) / os.sysconf("SC_CLK_TCK")


def _cpu_ticks(pid: int, proc: Path) -> int:
    """Add utime and stime; the name before them may hold spaces and brackets."""
    text = _read(proc / str(pid) / "stat")
    fields = text[text.rindex(")") + 1 :].split()
    return int(fields[11]) + int(fields[12])


def memory(pid: int, proc: Path = PROC) -> Memory:
    """
    Say what memory a process holds.

    :param pid: whose; must be ours to look at.
    :raises BenchError: it is gone or not ours.
    """
    sizes = {"Rss": 0, "Pss": 0}
    for line in _read(proc / str(pid) / "smaps_rollup").splitlines():
        name, _, rest = line.partition(":")
        if name in sizes:
            sizes[name] = int(rest.split()[0]) * KIB
    return Memory(sizes["Rss"], sizes["Pss"])


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise BenchError(
            f"{path}: {error.strerror}: the process ended, or belongs to another user"
        ) from error


def percentile(values: Iterable[float], share: float) -> float:
    """
    Give the value that *share* of all stay within (nearest rank).

    :param values: in any order; NaN if there are none.
    :param share: 0 to 1.
    """
    ordered = sorted(values)
    if not ordered:
        return math.nan
    rank = math.ceil(share * len(ordered))
    return ordered[min(max(rank, 1), len(ordered)) - 1]


def median(values: Iterable[float]) -> float:
    """Give the middle value, the mean of both middle ones, NaN if there is none."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / 2


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """
    Give the median of each figure.

    :param rounds: one mapping of figures each; a round may lack some.
    """
    names = dict.fromkeys(name for figures in rounds for name in figures)
    return {
        name: median(figures[name] for figures in rounds if name in figures)
        for name in names
    }


def extremes(rounds: Sequence[Mapping[str, float]], figure: str) -> tuple[float, float]:
    """
    Give the smallest and the largest value of a figure, NaN if there is none.

    :param rounds: one mapping of figures each; a round may lack it.
    :param figure: which.
    """
    values = [figures[figure] for figures in rounds if figure in figures]
    return (min(values), max(values)) if values else (math.nan, math.nan)


def paired_ratio(
    above: Sequence[Mapping[str, float]],
    below: Sequence[Mapping[str, float]],
    figure: str,
) -> float:
    """
    Give the median of the ratios of rounds that were run side by side.

    What disturbs the machine for a while disturbs both of a pair, so this is
    steadier than the ratio of two medians.

    :param above: rounds of the one target.
    :param below: rounds of the other, in the same order.
    :param figure: which to compare.
    :returns: NaN if no pair has it.
    """
    return median(
        one[figure] / other[figure]
        for one, other in zip(above, below, strict=False)
        if figure in one and other.get(figure)
    )
