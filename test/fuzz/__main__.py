# -*- test-case-name: cocained.test.test_fuzz -*-
"""
``python -m cocained.test.fuzz``; see :mod:`cocained.test.fuzz`.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cocained.errors import CocainedError
from cocained.test.fuzz.campaign import Report, fuzz, minimise
from cocained.test.fuzz.targets import NAMES, inputs, load

OK, FOUND, USAGE = 0, 1, 2

#: Where new inputs and findings go unless it is said otherwise.
DIRECTORY = Path("var/fuzz")

#: Seconds for each target unless it is said otherwise.
SECONDS = 60

#: Seconds between two lines of progress.
PACE = 10.0


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m cocained.test.fuzz",
        description="Fuzz what reads bytes of others, guided by coverage.",
        epilog="Ends with 0 if nothing was found, with 1 if something was,"
        " with 2 if it could not run.",
    )
    made.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)}; all"
    )
    made.add_argument(
        "--seconds",
        type=_seconds,
        default=SECONDS,
        metavar="N",
        help=f"for each target, {SECONDS} by default",
    )
    made.add_argument(
        "--corpus",
        type=Path,
        default=DIRECTORY,
        metavar="DIR",
        help=f"for new inputs and findings, {DIRECTORY} by default",
    )
    modes = made.add_mutually_exclusive_group()
    modes.add_argument("--list", action="store_true", help="show the targets")
    modes.add_argument(
        "--reproduce",
        type=Path,
        metavar="FILE",
        help="run one input through one target; needs no atheris",
    )
    modes.add_argument(
        "--minimise",
        action="store_true",
        help="thin what was found, and keep it with the tests",
    )
    return made


def _seconds(text: str) -> int:
    seconds = int(text)
    if seconds < 1:
        raise ValueError(text)
    return seconds


def main(
    arguments: Sequence[str],
    say: Callable[[str], object] = print,
    seconds: Callable[[], float] = time.monotonic,
    run: Callable[..., Report] = fuzz,
) -> int:
    """
    Run the command.

    :param arguments: without the name of the program.
    :param say: takes a line of output.
    :param seconds: the clock, for the pace of progress.
    :param run: :func:`~cocained.test.fuzz.campaign.fuzz`, or a double.
    :returns: the exit status.
    """
    made = parser()
    options = made.parse_args(arguments)
    unknown = [name for name in options.targets if name not in NAMES]
    if unknown:
        made.error(f"there is no target {unknown[0]}; there are {', '.join(NAMES)}")
    names: Sequence[str] = options.targets or NAMES
    if options.list:
        for name in names:
            summary = (sys.modules[load(name).run.__module__].__doc__ or "").strip()
            say(f"{name:10} {len(inputs(name)):4} kept  {summary.splitlines()[0]}")
        return OK
    if options.reproduce is not None:
        if len(options.targets) != 1:
            made.error("--reproduce needs one TARGET")
        return reproduce(names[0], load(names[0]).run, options.reproduce, say)
    try:
        if options.minimise:
            for name in names:
                say(f"{name}: {minimise(name, options.corpus)} inputs kept")
            return OK
        show = progress(say, seconds)
        reports = []
        for name in names:
            say(f"{name}: {options.seconds} s")
            reports.append(run(name, options.seconds, options.corpus, show))
            tell(reports[-1], say)
    except CocainedError as error:
        say(f"error: {error}")
        return USAGE
    for line in ("", *table(reports)):
        say(line)
    return FOUND if any(report.findings for report in reports) else OK


def tell(report: Report, say: Callable[[str], object]) -> None:
    """Show what a run has found, and how to see it again."""
    for path in report.findings:
        say("\n".join(report.tail))
        say(f"{report.name}: FOUND {path}; reproduce it with")
        say(f"    python -m cocained.test.fuzz {report.name} --reproduce {path}")


def table(reports: Sequence[Report]) -> Iterator[str]:
    """Write one line for each run."""
    yield (
        f"{'target':10} {'executions':>12} {'per s':>8} {'coverage':>9} "
        f"{'features':>9} {'inputs':>7} {'findings':>9}"
    )
    for report in reports:
        yield (
            f"{report.name:10} {report.executions:12} {report.speed:8} "
            f"{report.coverage:9} {report.features:9} {report.corpus:7} "
            f"{len(report.findings):9}"
        )


def progress(
    say: Callable[[str], object], seconds: Callable[[], float]
) -> Callable[[Report], None]:
    """Make what shows a report at most once in :data:`PACE` seconds."""
    due = seconds() + PACE

    def show(report: Report) -> None:
        nonlocal due
        if seconds() >= due:
            due = seconds() + PACE
            say(
                f"{report.name}: {report.executions} executions, "
                f"{report.speed}/s, coverage {report.coverage}, "
                f"{report.corpus} inputs"
            )

    return show


def reproduce(
    name: str,
    run: Callable[[bytes], None],
    path: Path,
    say: Callable[[str], object],
) -> int:
    """
    Run one input through one target.

    :param run: of the target.
    :returns: the exit status.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        say(f"error: {path}: {error.strerror}")
        return USAGE
    try:
        run(data)
    except Exception as error:
        say(traceback.format_exc().rstrip())
        say(f"{name}: {path} ({len(data)} bytes) breaks a law: {error}")
        return FOUND
    say(f"{name}: {path} ({len(data)} bytes) passes")
    return OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
