# -*- test-case-name: cocained.test.test_tools_bench_report -*-
"""
The command line of the benchmark.
"""

from __future__ import annotations

import argparse
import dataclasses
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cocained.tools.bench.client import Address
from cocained.tools.bench.scenarios.base import SHORT, Scale
from cocained.tools.bench.scenarios.catalogue import TITLES
from cocained.tools.bench.targets import NODE, PEER, YARDSTICK

#: More rounds than this make no figure better and take hours.
ROUNDS_LIMIT = 1000

EPILOG = f"""\
scenarios and curves: {", ".join(TITLES)}

exit status: 0 when everything was measured, 1 when something could not be, 2 for
a wrong command line, 3 when --strict is given and a bar does not hold.
"""


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = argparse.ArgumentParser(
        prog="python -m cocained.tools.bench",
        description="Measure a node on loopback, beside a bare Twisted relay.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--short", action="store_true", help="short rounds, small crowds: for a look")
    add("--list", action="store_true", help="list all that can be measured")
    add("--rounds", type=rounds, metavar="N", help="rounds of each scenario")
    add(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="only this scenario, or all whose name begins so; may be repeated",
    )
    add(
        "--targets",
        type=targets,
        default=[YARDSTICK, NODE],
        metavar="LIST",
        help="of yardstick and node, with a comma (default: both)",
    )
    add(
        "--peer",
        type=address,
        metavar="HOST:PORT",
        help="also measure a runtime with its locator there, on this machine",
    )
    add("--peer-pid", type=int, metavar="PID", help="the process of that runtime")
    add(
        "--peer-isolate",
        default="process",
        metavar="TYPE",
        help="isolate that runs its workers, such as legacy_process",
    )
    add("--peer-spool", metavar="DIR", help="spool directory for its isolate")
    add(
        "--pin",
        type=int,
        metavar="CPU",
        help="keep generator, targets and workers on that processor: steadier "
        "ratios, since no request waits for another processor to wake up",
    )
    add("--json", type=Path, metavar="FILE", help="write a record there (- prints it)")
    add("--bars", action="store_true", help="hold the figures against the bars")
    add("--strict", action="store_true", help="exit 3 when a bar does not hold")
    return made


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """
    Parse a command line and check what belongs together.

    :raises SystemExit: it is wrong, or asked for help.
    """
    made = parser()
    options = made.parse_args(arguments)
    if (options.peer is None) != (options.peer_pid is None):
        made.error("--peer and --peer-pid belong together")
    if options.peer is not None and options.pin is not None:
        made.error("--pin would not bind the peer, so its figures would mean nothing")
    if options.peer is not None:
        options.targets.append(PEER)
    options.bars = options.bars or options.strict
    return options


def scale_of(options: argparse.Namespace) -> Scale:
    """Give the scale that was asked for."""
    scale = SHORT if options.short else Scale()
    if options.rounds is not None:
        scale = dataclasses.replace(
            scale, rounds=options.rounds, point_rounds=options.rounds
        )
    return scale


def rounds(text: str) -> int:
    """Read a number of rounds."""
    value = int(text)
    if not 1 <= value <= ROUNDS_LIMIT:
        raise argparse.ArgumentTypeError(f"must be 1 to {ROUNDS_LIMIT}")
    return value


def targets(text: str) -> list[str]:
    """Read a list of targets; the result has the order of a round."""
    wanted = text.split(",")
    for name in wanted:
        if name not in (YARDSTICK, NODE):
            raise argparse.ArgumentTypeError(
                f"{name!r} is none of {YARDSTICK}, {NODE} (--peer adds a peer)"
            )
    return [name for name in (YARDSTICK, NODE) if name in wanted]


def address(text: str) -> Address:
    """Read ``HOST:PORT``; the host is a numeric IPv4 address or ``localhost``."""
    host, _, port = text.rpartition(":")
    try:
        numeric = str(ipaddress.IPv4Address(host.replace("localhost", "127.0.0.1")))
        number = int(port)
        if not 0 < number < 65536:
            raise ValueError(port)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no IPv4 address and port, such as 127.0.0.1:10053"
        ) from None
    return numeric, number
