# -*- test-case-name: cocained.test.test_simulation -*-
"""
``python -m cocained.test.simulation``: many seeds, or the trace of one.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from cocained.test.simulation.runner import (
    PORTION,
    Failing,
    Totals,
    play,
    portion,
    silence,
    simulate,
    undisturbed,
)

OK, FAILED = 0, 1

#: How it is called.
PROGRAM = "python -m cocained.test.simulation"

#: Failing runs after which no more are made.
ENOUGH = 3


def positive(text: str) -> int:
    """Read a number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Put the engine through many storms; each is decided by its seed.",
    )
    parser.add_argument(
        "--seeds", type=positive, default=1000, help="how many (default: 1000)"
    )
    parser.add_argument(
        "--first", type=int, default=1, help="the first of them (default: 1)"
    )
    parser.add_argument(
        "--jobs",
        type=positive,
        default=min(2, os.cpu_count() or 1),
        help="processes (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument(
        "--trace", action="store_true", help="with --seed: show all that happens"
    )
    options = parser.parse_args(arguments)
    if options.trace and options.seed is None:
        parser.error("--trace needs --seed")
    return options


def run_all(
    console: Console,
    options: argparse.Namespace,
    make: Callable[[Sequence[int]], Totals] = portion,
    size: int = PORTION,
) -> Totals:
    """
    Make the runs, show how far they are, and which fail.

    :param make: makes some of them.
    :param size: how many.
    """
    seeds = range(options.first, options.first + options.seeds)
    totals = Totals()
    progress = Progress(
        TextColumn("seeds"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with progress:
        task = progress.add_task("seeds", total=len(seeds))
        for some in simulate(seeds, options.jobs, make, size):
            totals.add(some)
            progress.advance(task, some.runs)
            if len(totals.failing) >= ENOUGH:
                break
    return totals


def run_one(console: Console, options: argparse.Namespace) -> Totals:
    """Make one run; show its trace if that is wanted."""
    silence()
    totals = Totals()
    with undisturbed():
        world = play(options.seed, totals)
        if options.trace:
            for line in world.stage.journal.lines():
                console.out(line, highlight=False)
    return totals


def show(console: Console, totals: Totals) -> None:
    """Say what happened: that faults do, above all."""
    parts = (
        ("What happened", totals.figures),
        ("How requests ended", totals.endings),
        ("What went wrong", totals.faults),
    )
    for title, counts in parts:
        console.print(f"{title}:")
        for what, count in _ordered(counts):
            console.out(f"{count:>11,}  {what}", highlight=False)


def _ordered(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def show_failing(console: Console, failing: Failing, program: str = PROGRAM) -> None:
    """
    Say what broke, and how to see it again.

    :param program: what to call for that.
    """
    console.rule(f"seed {failing.seed}")
    for line in failing.trace:
        console.out(line, highlight=False)
    console.out(f"seed {failing.seed}: {failing.reason}", highlight=False)
    console.out(
        f"replay: {program} --seed {failing.seed} --trace",
        highlight=False,
    )


def main(arguments: Sequence[str]) -> int:
    """
    Run the command line.

    :returns: the exit status: 1 if a promise was broken.
    """
    options = parse(arguments)
    console = Console(highlight=False, soft_wrap=True)
    started = time.perf_counter()
    if options.seed is None:
        totals = run_all(console, options)
        elapsed = time.perf_counter() - started
        show(console, totals)
        console.print(
            f"{totals.runs:,} seeds in {elapsed:.1f} s,"
            f" {totals.runs / elapsed:.0f} a second"
        )
    else:
        totals = run_one(console, options)
    for failing in sorted(totals.failing, key=lambda each: each.seed)[:ENOUGH]:
        show_failing(console, failing)
    if totals.failing:
        return FAILED
    console.print("every promise was kept")
    return OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
