# -*- test-case-name: cocained.test.test_examples_docker -*-
"""
How a demonstration begins, and ends when somebody wants it to.
"""

from __future__ import annotations

import importlib
import signal
import sys

#: What asks us to end.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: Exit status of a program that Ctrl-C has ended.
INTERRUPTED = 128 + signal.SIGINT


def main(module: str) -> int:
    """
    Run a demonstration.

    :param module: its module with ``main``; imported when signals are minded,
        since that takes a moment, in which somebody may have thought better of it.
    :returns: the exit status.
    """
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler)
    try:
        return int(importlib.import_module(module).main(sys.argv))
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return INTERRUPTED


def ignore_signals() -> None:
    """See that nobody interrupts the end, which would leave something behind."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
