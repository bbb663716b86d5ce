# -*- test-case-name: cocained.test.test_isolates_cells -*-
"""
What is around one worker, as the code that watches its process sees it.

A plain worker has nothing but its process group.  One in a control group is
ended, counted and explained by that; one in a sandbox is the grandchild of the
process that we started.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Mapping

from cocained.isolates.cgroups import Group
from cocained.isolates.proc import children, descendants, share
from cocained.status import exit_reason

#: A shell's way to say that a signal ended its child; bubblewrap's, too.
SIGNALLED = 128


class Cell:
    """No walls: the worker is the process, and its group is what it started."""

    def terminate(self, process: int) -> None:
        """Ask *process*, which has not been collected, and its own to end."""
        _signal_group(process, signal.SIGTERM)

    def kill(self, process: int) -> None:
        """Make them end."""
        _signal_group(process, signal.SIGKILL)

    def clear(self) -> bool:
        """
        End what has outlived the worker, and remove what was made for it.

        :returns: whether nothing is left; otherwise it is worth asking again.
        """
        return True

    def describe(self, status: int) -> tuple[str, bool]:
        """Put the end into words, see :func:`cocained.status.exit_reason`."""
        return exit_reason(status)

    def usage(self, process: int) -> Mapping[str, float] | None:
        """Say what the worker takes; ``None`` if it is gone."""
        found = share(process)
        if found is None:
            return None
        return {"memory": found.memory, "cpu": found.cpu}


class Walls(Cell):
    """
    A control group, a sandbox, or both.

    :param group: has been created; removed when the worker has ended.
    :param memory: bytes that the group may have, for the words.
    :param is_sandboxed: whether the process is that of a sandbox.
    :param cleared: called once when nothing of the worker runs any more.
    :param bury: takes the group if it cannot be removed yet.
    """

    def __init__(
        self,
        group: Group | None,
        memory: int | None,
        is_sandboxed: bool,
        cleared: Callable[[], None],
        bury: Callable[[Group], None],
    ) -> None:
        self._group = group
        self._memory = memory
        self._is_sandboxed = is_sandboxed
        self._cleared: Callable[[], None] | None = cleared
        self._bury = bury
        self._out_of_memory = 0

    def terminate(self, process: int) -> None:
        inside = list(self._inside(process)) if self._is_sandboxed else []
        for number in inside:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGTERM)
        if not inside:
            super().terminate(process)

    def kill(self, process: int) -> None:
        super().kill(process)
        if self._group is not None:
            self._group.kill()

    def clear(self) -> bool:
        if self._group is not None:
            self._out_of_memory = self._out_of_memory or self._group.out_of_memory()
            if not self._group.remove():
                if self._group.processes():
                    self._group.kill()
                    return False
                # Nobody runs in it, but their parent has not collected some.
                self._bury(self._group)
        self._group = None
        cleared, self._cleared = self._cleared, None
        if cleared is not None:
            cleared()
        return True

    def describe(self, status: int) -> tuple[str, bool]:
        if self._is_sandboxed and status > SIGNALLED:
            status = SIGNALLED - status
        reason, error = exit_reason(status)
        if not self._out_of_memory:
            return reason, error
        why = "out of its memory limit"
        if self._memory is not None:
            why += f" of {in_words(self._memory)}"
        if status == -signal.SIGKILL:
            return f"was killed by the kernel: {why}", True
        return f"{reason}; the kernel had killed a process of it: {why}", error

    def usage(self, process: int) -> Mapping[str, float] | None:
        if self._group is not None:
            return self._group.usage()
        if not self._is_sandboxed:
            return super().usage(process)
        found = [share(number) for number in self._inside(process)]
        shares = [one for one in found if one is not None]
        return {
            "memory": sum(one.memory for one in shares),
            "cpu": sum(one.cpu for one in shares),
            "processes": len(shares),
        }

    def _inside(self, process: int) -> list[int]:
        # bwrap ─▶ bwrap, the first process inside ─▶ the program
        return [number for first in children(process) for number in descendants(first)]


def in_words(size: int) -> str:
    """Write a number of bytes as people do, such as ``64 MiB``."""
    amount = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024:
            digits = 0 if amount.is_integer() else 1
            return f"{amount:.{digits}f} {unit}"
        amount /= 1024
    return f"{amount:.4g} TiB"


def _signal_group(process: int, number: int) -> None:
    # Not collected yet, so the number cannot have become another's.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process, number)
