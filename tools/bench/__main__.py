# -*- test-case-name: cocained.test.test_tools_bench_report -*-
"""
``python -m cocained.tools.bench``; see :mod:`cocained.tools.bench.options`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from cocained.errors import CocainedError
from cocained.tools.bench import options as command_line
from cocained.tools.bench import runner
from cocained.tools.bench.bars import judge
from cocained.tools.bench.curves.base import Curve
from cocained.tools.bench.curves.runner import echo_node, run_curves
from cocained.tools.bench.process import pin, raise_file_limit
from cocained.tools.bench.relay import Relay
from cocained.tools.bench.report import record, show
from cocained.tools.bench.scenarios.base import Scale, Scenario
from cocained.tools.bench.scenarios.catalogue import TITLES, choose
from cocained.tools.bench.subject import Peer
from cocained.tools.bench.targets import NODE, PEER, YARDSTICK, Bench, Target, prepare

#: Columns of the tables where no terminal says how wide it is.
WIDTH = 150

OK, FAILED, USAGE, BELOW_A_BAR = 0, 1, 2, 3


def attach_peer(bench: Bench, options: argparse.Namespace) -> Target:
    """Put the echo app on the peer."""
    peer = Peer(bench, options.peer, options.peer_pid)
    arguments: dict[str, Any] = {}
    if options.peer_spool is not None:
        arguments["spool"] = options.peer_spool
    peer.start_echo(options.peer_isolate, arguments)
    return peer


#: How each target is made.
MAKERS: Mapping[str, Callable[[Bench, argparse.Namespace], Target]] = {
    YARDSTICK: lambda bench, options: Relay(bench),
    NODE: lambda bench, options: echo_node(bench),
    PEER: attach_peer,
}


def measure(
    options: argparse.Namespace,
    scenarios: Sequence[Scenario],
    curves: Sequence[Curve],
    scale: Scale,
    screen: Console,
) -> runner.Results:
    """
    Start the targets, run the scenarios, end the targets; measure the curves.

    :raises CocainedError: a target could not be started.
    """
    with (
        tempfile.TemporaryDirectory(prefix="cocained-bench-") as directory,
        contextlib.ExitStack() as stack,
    ):
        screen.print("compiling the native programs, starting the targets")
        bench = prepare(Path(directory))
        targets: list[Target] = []
        for name in options.targets if scenarios else ():
            targets.append(MAKERS[name](bench, options))
            stack.callback(targets[-1].close)
        if NODE not in options.targets:
            curves = ()
        steps = sum(runner.rounds_of(each, scale) for each in scenarios) * len(targets)
        steps += sum(len(each.sizes(scale)) for each in curves) * scale.point_rounds
        progress = stack.enter_context(
            Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=screen,
                disable=not screen.is_terminal,
                transient=True,
            )
        )
        task = progress.add_task("", total=steps)

        def step(title: str, where: str, number: int) -> None:
            text = f"{title}, {where}, round {number}"
            progress.update(task, advance=1, description=text)

        results = runner.run(bench, targets, scenarios, scale, step)
        yardstick = Relay if YARDSTICK in options.targets else None
        results.curves = run_curves(
            bench, curves, scale, step, make_yardstick=yardstick
        )
        return results


def show_list(output: Console) -> None:
    """Print what can be measured."""
    for name, title in TITLES.items():
        output.print(f"{name:22}{title}", markup=False, highlight=False)


def main(arguments: Sequence[str]) -> int:
    """
    Run the benchmark.

    :param arguments: without the program's name.
    :returns: the exit status.
    """
    options = command_line.parse(arguments)
    if options.list:
        show_list(Console())
        return OK
    scale = command_line.scale_of(options)
    screen = Console(stderr=True)
    raise_file_limit()
    try:
        scenarios, curves = choose(options.only)
        if options.pin is not None:
            pin(options.pin)
    except CocainedError as error:
        screen.print(str(error), markup=False, style="bold red")
        return USAGE
    try:
        results = measure(options, scenarios, curves, scale, screen)
    except CocainedError as error:
        screen.print(str(error), markup=False, style="bold red")
        return FAILED
    verdicts = judge(results) if options.bars else []
    to_stdout = options.json is not None and str(options.json) == "-"
    output = screen if to_stdout else Console()
    if not output.is_terminal:
        output.width = WIDTH
    show(output, results, verdicts)
    if options.json is not None:
        text = json.dumps(record(results, scale, verdicts), indent=1, allow_nan=False)
        if to_stdout:
            print(text)
        else:
            options.json.write_text(text + "\n")
    if results.failures:
        return FAILED
    if options.strict and any(verdict.passed is False for verdict in verdicts):
        return BELOW_A_BAR
    return OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
