# -*- test-case-name: cocained.test.live.test_leaks -*-
"""
What Linux says about a process: memory, descriptors, threads, processor time.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

#: Written to ``clear_refs``: the peak of the resident memory begins anew (proc(5)).
RESET_PEAK = "5"

MIB = 1 << 20


class Usage(NamedTuple):
    """
    What a process has at one moment.

    :param resident: bytes of memory.
    :param descriptors: open files and sockets.
    :param threads: at least 1.
    :param seconds: of processor time since it began.
    """

    resident: int
    descriptors: int
    threads: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.resident / MIB:.1f} MiB, {self.descriptors} descriptors,"
            f" {self.threads} threads, {self.seconds:.2f} s"
        )


class Proc:
    """
    A process.

    :param pid: of a process of ours.
    :raises FileNotFoundError: from every method, when it has ended.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._place = Path("/proc") / str(pid)

    def _status(self, key: str) -> int:
        for line in (self._place / "status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == key:
                return int(value.split()[0])
        raise KeyError(key)

    def resident(self) -> int:
        """Give the resident memory, in bytes."""
        return self._status("VmRSS") * 1024

    def peak(self) -> int:
        """Give the most that it has been since :meth:`reset_peak`, in bytes."""
        return self._status("VmHWM") * 1024

    def reset_peak(self) -> None:
        """
        Begin to look for a new peak.

        :raises OSError: this kernel does not allow it.
        """
        (self._place / "clear_refs").write_text(RESET_PEAK)

    def usage(self) -> Usage:
        """Look at everything."""
        fields = (self._place / "stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        return Usage(
            self.resident(),
            len(list((self._place / "fd").iterdir())),
            self._status("Threads"),
            ticks / os.sysconf("SC_CLK_TCK"),
        )

    def children(self) -> list[Proc]:
        """Find the processes that it has started and not collected."""
        found: list[Proc] = []
        for task in (self._place / "task").iterdir():
            found += map(Proc, map(int, (task / "children").read_text().split()))
        return found
