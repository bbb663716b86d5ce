# -*- test-case-name: cocained.test.test_isolates_grounds -*-
"""
Where the control groups of workers stand: made for an app, swept after a crash.

The directory of a node is claimed (:mod:`~cocained.isolates.claims`) while the
node lives; :func:`sweep` ends and removes what dead ones left.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Sequence

from cocained.errors import SpoolError
from cocained.isolates.cgroups import Group, Limits, listed, remove_tree, write
from cocained.isolates.claims import abandoned, claim
from cocained.isolates.hierarchies import LEAF, Hierarchy
from cocained.isolates.proc import descendants

#: Names of our groups begin so; what has another name is not ours.
PREFIX = "cocained-"

#: Seconds that processes of a dead node have to go away once they are killed.
SWEEP_TIMEOUT = 2.0

#: Seconds between two looks at whether they have.
SWEEP_INTERVAL = 0.02

#: Attempts to leave a group: what a worker forks meanwhile is still in there.
WITHDRAWALS = 5


class Ground:
    """
    Where the groups of one app's workers are.

    :param hierarchies: the trees of this machine.
    :param node: uuid of the node.
    :param app: name of the app.
    """

    def __init__(self, hierarchies: Sequence[Hierarchy], node: str, app: str) -> None:
        self._hierarchies = tuple(hierarchies)
        self._node = PREFIX + node
        self._app = f"app-{app}"
        self._claims: list[int] = []

    def open(self, limits: Limits) -> None:
        """
        Make the directories and claim them.  Runs in a thread.

        :param limits: their controllers must be there.
        :raises SpoolError: a controller is missing, or this process may not
            make groups; says what to do.
        """
        lacking = limits.controllers().difference(
            *(hierarchy.controllers for hierarchy in self._hierarchies)
        )
        if lacking:
            raise SpoolError(
                f"isolate argument {min(lacking)!r}: this machine has no cgroup"
                f" controller {min(lacking)!r}; mount it, or delegate it to the"
                " node's group (systemd: Delegate=yes)",
                errno.EOPNOTSUPP,
            )
        if not self._hierarchies:
            raise SpoolError(
                "isolate argument 'contain': no cgroups are mounted here; mount"
                " cgroup2 at /sys/fs/cgroup",
                errno.EOPNOTSUPP,
            )
        for hierarchy in self._hierarchies:
            try:
                self._open(hierarchy, limits)
            except OSError as error:
                raise _cannot_group(hierarchy, error) from error

    def _open(self, hierarchy: Hierarchy, limits: Limits) -> None:
        node = os.path.join(hierarchy.base, self._node)
        if hierarchy.version == 2:
            _delegate(hierarchy)
        self._claims.append(claim(node))
        if hierarchy.version == 2:
            _enable(node, hierarchy.controllers)
        app = os.path.join(node, self._app)
        # Another release of the app may be there, and end before this one.
        self._claims.append(claim(app))
        if hierarchy.version == 2:
            _enable(app, hierarchy.controllers)

    def group(self, worker: str) -> Group:
        """Give the group of a worker, which has yet to be created."""
        return Group(
            [
                Hierarchy(
                    hierarchy.version,
                    hierarchy.controllers,
                    os.path.join(hierarchy.base, self._node, self._app, worker),
                )
                for hierarchy in self._hierarchies
            ]
        )

    def close(self) -> None:
        """Give the directories up; what is empty of them goes away."""
        claims, self._claims = self._claims, []
        for descriptor in claims:
            os.close(descriptor)
        if not claims:
            return
        for hierarchy in self._hierarchies:
            node = os.path.join(hierarchy.base, self._node)
            for path in (os.path.join(node, self._app), node):
                # Other releases, other apps or what they left may be in there.
                with abandoned(path) as is_free, contextlib.suppress(OSError):
                    if is_free:
                        os.rmdir(path)


def sweep(hierarchies: Sequence[Hierarchy]) -> list[str]:
    """
    End and remove what dead nodes have left.  Runs in a thread.

    :returns: the directories that were swept, or could not be, with a reason.
    """
    told = []
    for hierarchy in hierarchies:
        try:
            names = sorted(os.listdir(hierarchy.base))
        except OSError:
            continue
        for name in names:
            path = os.path.join(hierarchy.base, name)
            if not name.startswith(PREFIX) or name == LEAF:
                continue
            with abandoned(path) as is_free:
                if is_free:
                    told.append(_swept(hierarchy, path))
    return told


def _swept(hierarchy: Hierarchy, path: str) -> str:
    deadline = time.monotonic() + SWEEP_TIMEOUT
    while True:
        for directory, _, _ in os.walk(path):
            place = Hierarchy(hierarchy.version, hierarchy.controllers, directory)
            Group([place]).kill()
        if remove_tree(path):
            return f"removed {path}, of a node that is gone"
        if time.monotonic() > deadline:
            return f"cannot remove {path}: processes in it do not end"
        time.sleep(SWEEP_INTERVAL)


def _delegate(hierarchy: Hierarchy) -> None:
    """Let groups below the node's own have its controllers."""
    # The root of all groups is the only one that tells of no events, and the
    # only one that may have both processes and limits below it.
    if hierarchy.controllers and os.path.exists(
        os.path.join(hierarchy.base, "cgroup.events")
    ):
        _withdraw(hierarchy.base)
    _enable(hierarchy.base, hierarchy.controllers)


def _withdraw(base: str) -> None:
    """
    Move this process, and what it has started, out of the group to be shared.

    With ``memory`` the kernel insists on that.  With ``cpu`` and ``pids`` alone
    it lets processes be there, but none into the groups below.

    :raises OSError: others are in it, too.
    """
    leaf = os.path.join(base, LEAF)
    for _ in range(WITHDRAWALS):
        here = listed(base)
        if not here:
            return
        ours = {os.getpid(), *descendants(os.getpid())}.intersection(here)
        if not ours:
            break
        with contextlib.suppress(FileExistsError):
            os.mkdir(leaf)
        for process in ours:
            with contextlib.suppress(ProcessLookupError):
                write(os.path.join(leaf, "cgroup.procs"), str(process))
    if listed(base):
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), base)


def _enable(directory: str, controllers: frozenset[str]) -> None:
    path = os.path.join(directory, "cgroup.subtree_control")
    with open(path, encoding="ascii") as file:
        lacking = controllers.difference(file.read().split())
    if lacking:
        write(path, " ".join(f"+{name}" for name in sorted(lacking)))


def _cannot_group(hierarchy: Hierarchy, error: OSError) -> SpoolError:
    code = error.errno or errno.EINVAL
    what = f"cannot make a cgroup in {hierarchy.base}: {os.strerror(code)}"
    if code == errno.EBUSY:
        what += "; other processes are in that group: start the node in one of its own"
    elif code in (errno.EACCES, errno.EPERM, errno.EROFS):
        what += "; run the node as root, or delegate the group (systemd: Delegate=yes)"
    return SpoolError(
        f"{what}, or leave out 'memory', 'cpu', 'pids' and 'contain'", code
    )
