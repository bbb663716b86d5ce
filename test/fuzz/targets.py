# -*- test-case-name: cocained.test.test_fuzz -*-
"""
What a target is, and which ones there are.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

#: The targets in the order in which they run.  Each is a module of this
#: package with a ``TARGET``; none is imported before it is needed, since only
#: what is imported under the eyes of the fuzzer is measured.
NAMES = (
    *("decoder", "headers", "session", "documents", "config", "archive"),
    *("announcement", "tidings", "journal"),
)

#: Inputs that are kept with the tests; see :func:`inputs`.
CORPUS = Path(__file__).absolute().parent / "corpus"

#: What the first file of a fixed fault is called; such files are never thinned.
REGRESSION = "regression-"


class Violation(AssertionError):
    """A law that does not hold."""


def law(holds: bool, text: str, *facts: object) -> None:
    """
    State that something holds.

    Not an ``assert``: those are gone under ``python -O``.

    :param text: what ought to be so.
    :param facts: what one needs to see why it is not.
    :raises Violation: it does not hold.
    """
    if not holds:
        raise Violation("; ".join([text, *map(repr, facts)]))


@dataclass(frozen=True, slots=True)
class Target:
    """
    One thing to fuzz.

    :ivar run: takes one input; what it raises is a finding.
    :ivar seeds: makes the inputs to begin with, from honest material.
    :ivar words: what the fuzzer may write into inputs.
    :ivar size: bytes of the longest input.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    words: tuple[bytes, ...] = ()
    size: int = 1024


def load(name: str) -> Target:
    """
    Import a target.

    :param name: one of :data:`NAMES`.
    """
    target: Target = importlib.import_module(f"cocained.test.fuzz.{name}").TARGET
    return target


def inputs(name: str) -> list[Path]:
    """List the files that are kept for a target, sorted."""
    return sorted(path for path in (CORPUS / name).glob("*") if path.is_file())
