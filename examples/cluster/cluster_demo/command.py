# -*- test-case-name: cocained.test.test_examples_cluster -*-
"""
The command: arguments, errors, and the order of things.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from cluster_demo.tour import Tour
from cocained.errors import CocainedError
from cocained.testing.lab import NEEDS, LabError
from demonstration import packages
from demonstration.entrance import ignore_signals
from demonstration.screen import Screen

#: Steps of the demonstration, by the names that they have in the record.
STEPS = ("packages", "network", "nodes", "app", "load", "clean-up")


def main(argv: Sequence[str]) -> int:
    """
    Show everything, and clean up.

    :param argv: the program and its arguments.
    :returns: the exit status.
    :raises KeyboardInterrupt: a signal came; everything is cleaned up all the same.
    """
    options = parse(argv[1:])
    screen = Screen(STEPS, sys.stderr if options.json else sys.stdout)
    try:
        record = demonstrate(screen, options.keep)
    except (CocainedError, OSError, subprocess.CalledProcessError) as error:
        screen.fail(error)
        return 1
    if options.json:
        print(json.dumps(record, indent=2))
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the arguments; ends the program when they are wrong."""
    parser = argparse.ArgumentParser(
        description="Show a cluster, and a node that dies."
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep everything running until Ctrl-C"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print a record in the end; the steps go to standard error",
    )
    return parser.parse_args(arguments)


def demonstrate(screen: Screen, keep: bool) -> dict[str, Any]:
    """
    Take the tour.

    :param keep: whether to wait for a signal before the clean-up.
    :returns: the record.
    """
    with screen.step("packages", "what this needs of the system's packages"):
        if os.geteuid() != 0:
            raise LabError("hosts of one's own need root: sudo make cluster-demo")
        packages.provide(screen, NEEDS)
    tour = Tour(screen)
    try:
        tour.run()
        if keep:
            tour.show_around()
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
    finally:
        ignore_signals()
        tour.close()
    return {**tour.record, "seconds": dict(screen.seconds)}
