# -*- test-case-name: cocained.test.test_isolates_cgroups -*-
"""
Control groups: one for each worker, so that it is limited, counted and ended
as a whole.

::

    <group of the node>/cocained-<node>/app-<app>/<worker>

in every tree that the machine has, see :mod:`~cocained.isolates.hierarchies`.
What is above the worker's own is the matter of :mod:`~cocained.isolates.grounds`.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cocained.isolates.hierarchies import Hierarchy
from cocained.isolates.proc import resident

#: Microseconds in which a CPU limit is kept: the kernel's own default.
PERIOD = 100_000


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What the processes of one worker may take together; ``None`` is no limit.

    :ivar memory: bytes, swap included.
    :ivar cpu: processors, such as 0.5.
    :ivar pids: processes and threads.
    """

    memory: int | None = None
    cpu: float | None = None
    pids: int | None = None

    def controllers(self) -> frozenset[str]:
        """Name the controllers that these limits need."""
        wanted = {"memory": self.memory, "cpu": self.cpu, "pids": self.pids}
        return frozenset(name for name, value in wanted.items() if value is not None)


def settings(limits: Limits, version: int) -> Iterator[tuple[str, str, str, bool]]:
    """
    Say what to write where.

    :returns: controller, file, text, and whether the file is always there:
        those that count swap need not be.
    """
    if limits.memory is not None:
        size = str(limits.memory)
        if version == 2:
            yield "memory", "memory.max", size, True
            yield "memory", "memory.swap.max", "0", False
            yield "memory", "memory.oom.group", "1", True
        else:
            yield "memory", "memory.limit_in_bytes", size, True
            yield "memory", "memory.memsw.limit_in_bytes", size, False
    if limits.cpu is not None:
        quota = str(round(limits.cpu * PERIOD))
        if version == 2:
            yield "cpu", "cpu.max", f"{quota} {PERIOD}", True
        else:
            yield "cpu", "cpu.cfs_period_us", str(PERIOD), True
            yield "cpu", "cpu.cfs_quota_us", quota, True
    if limits.pids is not None:
        yield "pids", "pids.max", str(limits.pids), True


class Group:
    """
    The control group of one worker.

    :param places: its directory in each tree, whether they exist or not.
    """

    def __init__(self, places: Sequence[Hierarchy]) -> None:
        self._places = tuple(places)

    def create(self, limits: Limits) -> None:
        """
        Make it, with its limits.

        :raises OSError: it cannot be; nothing is left then.
        """
        try:
            for place in self._places:
                os.mkdir(place.base)
                for controller, name, text, always in settings(limits, place.version):
                    path = os.path.join(place.base, name)
                    if controller in place.controllers and (
                        always or os.path.exists(path)
                    ):
                        write(path, text)
        except OSError:
            self.remove()
            raise

    def entrances(self) -> list[str]:
        """Give the files into which a process writes ``0`` to join."""
        return [os.path.join(place.base, "cgroup.procs") for place in self._places]

    def processes(self) -> set[int]:
        """List the processes in it."""
        found: set[int] = set()
        for place in self._places:
            found |= set(_inhabitants(place.base))
        return found

    def usage(self) -> dict[str, float]:
        """
        Say what it takes: ``memory`` in bytes, ``cpu`` in seconds so far,
        ``processes``, where threads count.
        """
        found: dict[str, float] = {}
        for place in self._places:
            for key, name, field, scale in _COUNTERS:
                value = _counter(os.path.join(place.base, name), field)
                if value is not None:
                    found[key] = value if scale == 1 else value / scale
        if "memory" not in found or "processes" not in found:
            processes = self.processes()
            found.setdefault("processes", len(processes))
            found.setdefault("memory", sum(map(resident, processes)))
        return found

    def out_of_memory(self) -> int:
        """Count the processes that the kernel has killed for their memory."""
        return max(
            (
                int(_counter(os.path.join(place.base, name), "oom_kill") or 0)
                for place in self._places
                for name in ("memory.events", "memory.oom_control")
            ),
            default=0,
        )

    def kill(self) -> None:
        """
        Send SIGKILL to every process in it; says nothing of their end.

        Where the kernel cannot do this at once (``cgroup.kill`` is of 5.14),
        the group is shut for new processes first, so that one that keeps
        forking does not run away.
        """
        for place in self._places:
            with contextlib.suppress(OSError):
                write(os.path.join(place.base, "cgroup.kill"), "1")
            if "pids" in place.controllers:
                with contextlib.suppress(OSError):
                    write(os.path.join(place.base, "pids.max"), "0")
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)

    def remove(self) -> bool:
        """
        Remove it with what the worker has made inside.

        :returns: whether it is gone; it stays while there are processes in it.
        """
        gone = [remove_tree(place.base) for place in self._places]
        return all(gone)


def _inhabitants(directory: str) -> Iterator[int]:
    for inside, _, _ in os.walk(directory):
        yield from listed(inside)


def listed(directory: str) -> list[int]:
    """List the processes of a group, without those inside."""
    try:
        with open(os.path.join(directory, "cgroup.procs"), encoding="ascii") as file:
            return [int(process) for process in file.read().split()]
    except OSError:
        # Gone since it was listed.
        return []


def remove_tree(directory: str) -> bool:
    """Remove a group with those inside; say whether it is gone."""
    for inside, _, _ in os.walk(directory, topdown=False):
        try:
            os.rmdir(inside)
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


def write(path: str, text: str) -> None:
    """
    Write into a file of the kernel's.

    :raises OSError: it is not there, or does not take this.
    """
    # No O_CREAT: a file that is not there is a controller that is not.
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _counter(path: str, field: str) -> float | None:
    """Read a number: the file's only one, or that behind *field*."""
    try:
        with open(path, encoding="ascii") as file:
            words = file.read().split()
    except OSError:
        return None
    if not field:
        return int(words[0])
    pairs: Mapping[str, str] = dict(zip(words[::2], words[1::2], strict=False))
    return int(pairs[field]) if field in pairs else None


#: What to read: key, file, field, and how many of its units make one of ours.
_COUNTERS = (
    ("memory", "memory.current", "", 1),
    ("memory", "memory.usage_in_bytes", "", 1),
    ("cpu", "cpu.stat", "usage_usec", 10**6),
    ("cpu", "cpuacct.usage", "", 10**9),
    ("processes", "pids.current", "", 1),
)
