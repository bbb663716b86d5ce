# -*- test-case-name: cocained.test.test_isolates_proc -*-
"""
What ``/proc`` says of a process: what it takes, and what it has started.

A process that is gone takes nothing and has no children.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")

#: Generations below a worker's launcher that are looked at.  Chains of parents
#: are no longer than this unless somebody wants to keep us busy.
DEPTH = 64


class Share(NamedTuple):
    """
    What one process takes.

    :ivar memory: resident bytes.
    :ivar cpu: seconds so far, in user and system mode.
    """

    memory: int
    cpu: float


def share(process: int, root: str = "/proc") -> Share | None:
    """Say what *process* takes; ``None`` if there is no such process."""
    try:
        with open(f"{root}/{process}/stat", "rb") as file:
            line = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name, in brackets, may have blanks and brackets in it.  Fields are
    # counted from the one behind it, which is the third (proc(5)).
    fields = line.rpartition(b")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return Share(int(fields[21]) * _PAGE, ticks / _TICK)


def resident(process: int) -> int:
    """Give the resident bytes of a process, 0 if it is gone."""
    found = share(process)
    return 0 if found is None else found.memory


def children(process: int, root: str = "/proc") -> list[int]:
    """List what the threads of *process* have started, and not collected."""
    found: list[int] = []
    for place in _threads(f"{root}/{process}/task"):
        try:
            with open(f"{place}/children") as file:
                found += [int(child) for child in file.read().split()]
        except (FileNotFoundError, ProcessLookupError):
            # It has ended since; another thread has its children.
            continue
    return found


def _threads(directory: str) -> list[str]:
    try:
        return [f"{directory}/{thread}" for thread in os.listdir(directory)]
    except (FileNotFoundError, ProcessLookupError):
        return []


def descendants(process: int, root: str = "/proc", depth: int = DEPTH) -> Iterator[int]:
    """List what *process* has started, and what those have, parents first."""
    if depth:
        for child in children(process, root):
            yield child
            yield from descendants(child, root, depth - 1)
