# -*- test-case-name: cocained.test.test_isolates_cgroups -*-
"""
Which control groups this machine has, and where this process is in them.

Version 2 is one tree with all controllers.  Version 1 has a tree for each
controller or pair of them.  A *hybrid* machine has both, and then the second
version often has no controller that matters; it is still good for killing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

#: The controllers whose limits or counters are of use here.
CONTROLLERS = frozenset({"memory", "cpu", "cpuacct", "pids"})

#: The group into which a node withdraws in a tree of version 2: what has
#: controllers for its children must have no processes itself.
LEAF = "cocained-node"

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """
    One tree of control groups.

    :ivar version: 1 or 2.
    :ivar controllers: those of :data:`CONTROLLERS` that it has.
    :ivar base: the directory of the group that this process is in.
    """

    version: int
    controllers: frozenset[str]
    base: str


@dataclass(frozen=True, slots=True)
class _Mount:
    kind: str
    root: str
    point: str
    options: frozenset[str]


def discover(process: str = "/proc/self") -> tuple[Hierarchy, ...]:
    """
    Find the trees that are of use, version 2 first.

    :param process: the directory that tells of this process.
    :returns: none where the kernel or the container shows no groups.
    :raises OSError: ``/proc`` is not there.
    """
    with open(os.path.join(process, "mountinfo"), encoding="utf-8") as file:
        mounts = list(_mounts(file.read()))
    with open(os.path.join(process, "cgroup"), encoding="utf-8") as file:
        paths = dict(_memberships(file.read()))
    found: list[Hierarchy] = []
    taken: frozenset[str] = frozenset()
    for mount in sorted(mounts, key=lambda mount: mount.kind, reverse=True):
        if mount.kind == "cgroup2" and "" in paths:
            base = _base(mount, paths[""])
            if os.path.basename(base) == LEAF:
                base = os.path.dirname(base)
            names = _words(os.path.join(base, "cgroup.controllers"))
            found.append(Hierarchy(2, CONTROLLERS & names, base))
        elif mount.kind == "cgroup":
            names = (CONTROLLERS & mount.options) - taken
            path = next((paths[name] for name in names if name in paths), None)
            if path is None:
                continue
            found.append(Hierarchy(1, names, _base(mount, path)))
        else:
            continue
        taken |= found[-1].controllers
    return tuple(found)


def _mounts(text: str) -> Iterator[_Mount]:
    """Read ``mountinfo``, as ``proc(5)`` describes it."""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, _source, options) = before.split(), after.split(maxsplit=2)
        if kind in ("cgroup", "cgroup2"):
            yield _Mount(
                kind,
                _plain(fields[3]),
                _plain(fields[4]),
                frozenset(options.split(",")),
            )


def _memberships(text: str) -> Iterator[tuple[str, str]]:
    """Read ``/proc/PID/cgroup``; version 2 has the empty name."""
    for line in text.splitlines():
        _number, names, path = line.split(":", 2)
        for name in names.split(","):
            yield name, path


def _base(mount: _Mount, path: str) -> str:
    # A container may see its own group as the root of what is mounted; a path
    # outside of that cannot be reached from here.
    inside = os.path.relpath(path, mount.root)
    if inside.startswith(".."):
        inside = "."
    return os.path.normpath(os.path.join(mount.point, inside))


def _plain(escaped: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), escaped)


def _words(path: str) -> frozenset[str]:
    try:
        with open(path, encoding="ascii") as file:
            return frozenset(file.read().split())
    except FileNotFoundError:
        return frozenset()
