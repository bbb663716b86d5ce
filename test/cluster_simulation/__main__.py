# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
``python -m cocained.test.cluster_simulation``: many seeds, the trace of one, or
what a cluster costs as it grows.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from functools import partial

from rich.console import Console

from cocained.test.cluster_simulation import growth
from cocained.test.cluster_simulation.runner import play, portion
from cocained.test.simulation.__main__ import (
    ENOUGH,
    FAILED,
    OK,
    positive,
    run_all,
    show,
    show_failing,
)
from cocained.test.simulation.runner import Totals, silence, undisturbed

#: How it is called.
PROGRAM = "python -m cocained.test.cluster_simulation"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Put whole clusters through storms; each is decided by its seed.",
    )
    parser.add_argument(
        "--seeds", type=positive, default=200, help="how many (default: 200)"
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
    parser.add_argument(
        "--nodes", type=positive, help="of each cluster (default: a few, drawn)"
    )
    parser.add_argument(
        "--apps",
        type=positive,
        help="in each cluster, each on a tenth of the nodes (default: a few, drawn)",
    )
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument(
        "--trace",
        "-v",
        action="store_true",
        help="with --seed: show all that happens",
    )
    parser.add_argument(
        "--growth",
        metavar="FILE",
        help="measure clusters of 10 to 1,000 nodes instead; keep the figures there",
    )
    parser.add_argument(
        "--most",
        type=positive,
        default=1000,
        help="with --growth: the largest of them (default: 1000)",
    )
    options = parser.parse_args(arguments)
    if options.trace and options.seed is None:
        parser.error("--trace needs --seed")
    if bool(options.nodes) != bool(options.apps):
        parser.error("--nodes and --apps belong together")
    return options


def run_one(console: Console, options: argparse.Namespace) -> Totals:
    """Make one run; show its trace if that is wanted."""
    silence()
    totals = Totals()
    with undisturbed():
        world = play(options.seed, totals, options.nodes, options.apps)
        if options.trace:
            for line in world.journal.lines():
                console.out(line, highlight=False)
        else:
            console.print(f"true again after {world.converged:.1f} s of calm")
    return totals


def run_many(console: Console, options: argparse.Namespace) -> Totals:
    """Make many runs, and say what happened in them."""
    began = time.perf_counter()
    make = partial(portion, nodes=options.nodes, apps=options.apps)
    totals = run_all(console, options, make, 1 if options.nodes else 10)
    elapsed = time.perf_counter() - began
    show(console, totals)
    console.print(f"{totals.runs:,} seeds in {elapsed:.1f} s")
    return totals


def main(arguments: Sequence[str]) -> int:
    """
    Run the command line.

    :returns: the exit status: 1 if a promise was broken.
    """
    options = parse(arguments)
    console = Console(highlight=False, soft_wrap=True)
    if options.growth:
        growth.measure_all(console, options.growth, options.most)
        return OK
    make = run_many if options.seed is None else run_one
    totals = make(console, options)
    size = f" --nodes {options.nodes} --apps {options.apps}" if options.nodes else ""
    for failing in sorted(totals.failing, key=lambda each: each.seed)[:ENOUGH]:
        show_failing(console, failing, PROGRAM + size)
    if totals.failing:
        return FAILED
    console.print("every promise was kept")
    return OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
