# -*- test-case-name: cocained.test.test_examples_docker -*-
"""
The command: arguments, errors, and the order of things.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from cocained.errors import CocainedError
from demonstration.entrance import ignore_signals
from demonstration.screen import Screen
from docker_demo import machine
from docker_demo.tour import Tour

#: Steps of the demonstration, by the names that they have in the record.
STEPS = (
    *("packages", "engine", "base image", "app image", "push"),
    *("node", "calls", "cold starts", "clean-up"),
)

#: Cold starts of each kind, and the most: one takes half a second at worst.
ROUNDS, MOST_ROUNDS = 5, 100


def main(argv: Sequence[str]) -> int:
    """
    Show everything, and clean up.

    :param argv: the program and its arguments.
    :returns: the exit status.
    :raises KeyboardInterrupt: a signal came; everything is cleaned up all the same.
    """
    program, *arguments = argv
    options = parse(arguments)
    screen = Screen(STEPS, sys.stderr if options.json else sys.stdout)
    try:
        if options.prepared is None:
            with screen.step("packages", "what this needs of the system's packages"):
                machine.prepare(screen)
            took = screen.seconds["packages"]
            again = [sys.executable, program, *arguments, f"--prepared={took}"]
            machine.enter(again)
        screen.seconds["packages"] = options.prepared
        record = demonstrate(screen, options.rounds, options.keep)
    except (CocainedError, OSError, subprocess.CalledProcessError) as error:
        screen.fail(error)
        return 1
    if options.json:
        print(json.dumps(record, indent=2))
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the arguments; ends the program when they are wrong."""
    parser = argparse.ArgumentParser(description="Show apps in containers.")
    parser.add_argument(
        "--rounds",
        type=parse_rounds,
        default=ROUNDS,
        metavar="N",
        help=f"cold starts of each kind, 1 to {MOST_ROUNDS}; {ROUNDS} by default",
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep everything running until Ctrl-C"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print a record in the end; the steps go to standard error",
    )
    # For itself: the seconds of the first step, which another process has done.
    parser.add_argument("--prepared", type=float, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def parse_rounds(text: str) -> int:
    """Read a number of rounds."""
    if not text.isdecimal() or not 1 <= int(text) <= MOST_ROUNDS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number 1 to {MOST_ROUNDS}")
    return int(text)


def demonstrate(screen: Screen, rounds: int, keep: bool) -> dict[str, Any]:
    """
    Take the tour.

    :param keep: whether to wait for a signal before the clean-up.
    :returns: the record.
    """
    from twisted.internet import reactor

    tour = Tour(screen, reactor)
    try:
        tour.run(rounds)
        if keep:
            tour.show_around()
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
    finally:
        ignore_signals()
        tour.close()
    return {**tour.record, "seconds": dict(screen.seconds)}
