# -*- test-case-name: cocained.test.test_isolates_cgroups -*-
"""
Trees of control groups made of plain files, which behave as the kernel's do.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from cocained.isolates.hierarchies import Hierarchy

#: Files of a group, by version and controller, and what they hold at first.
FILES = {
    (1, ""): {"cgroup.procs": ""},
    (1, "memory"): {
        "memory.limit_in_bytes": "9223372036854771712",
        "memory.memsw.limit_in_bytes": "9223372036854771712",
        "memory.usage_in_bytes": "0",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
    },
    (1, "cpu"): {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "-1"},
    (1, "cpuacct"): {"cpuacct.usage": "0"},
    (1, "pids"): {"pids.max": "max", "pids.current": "0"},
    (2, ""): {
        "cgroup.procs": "",
        "cgroup.events": "populated 0\nfrozen 0\n",
        "cgroup.subtree_control": "",
        "cgroup.kill": "",
        "cpu.stat": "usage_usec 0\nuser_usec 0\nsystem_usec 0\n",
    },
    (2, "memory"): {
        "memory.max": "max",
        "memory.swap.max": "max",
        "memory.oom.group": "0",
        "memory.current": "0",
        "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n",
    },
    (2, "cpu"): {"cpu.max": "max 100000"},
    (2, "pids"): {"pids.max": "max", "pids.current": "0"},
}


class GroupCase(SynchronousTestCase):
    """Tests with trees that the test has made; real directories, no kernel."""

    def setUp(self) -> None:
        self.trees: list[Hierarchy] = []
        self._mkdir, self._rmdir = os.mkdir, os.rmdir
        self.patch(os, "mkdir", self.mkdir)
        self.patch(os, "rmdir", self.rmdir)

    def tree(self, version: int, *controllers: str) -> Hierarchy:
        """Mount a tree of these controllers."""
        base = os.path.abspath(self.mktemp())
        os.makedirs(base)
        tree = Hierarchy(version, frozenset(controllers), base)
        self.trees.append(tree)
        self.populate(tree, base)
        return tree

    def populate(self, tree: Hierarchy, directory: str) -> None:
        for controller in ("", *tree.controllers):
            for name, text in FILES[tree.version, controller].items():
                self.put(os.path.join(directory, name), text)

    def put(self, path: str, text: str) -> None:
        with open(path, "w") as file:
            file.write(text)

    def get(self, *parts: str) -> str:
        with open(os.path.join(*parts)) as file:
            return file.read()

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        """A new group has its files at once."""
        self._mkdir(path, mode)
        for tree in self.trees:
            if path.startswith(f"{tree.base}/"):
                self.populate(tree, path)

    def rmdir(self, path: str) -> None:
        """A group with processes or groups inside stays; files are no matter."""
        for tree in self.trees:
            if not path.startswith(f"{tree.base}/") or not os.path.exists(path):
                continue
            inside = [entry for entry in os.scandir(path) if entry.is_dir()]
            if inside or self.get(path, "cgroup.procs"):
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)
            for name in os.listdir(path):
                os.unlink(os.path.join(path, name))
        self._rmdir(path)

    def inhabit(self, directory: str, processes: Iterable[int]) -> None:
        """Say that these processes are in a group."""
        text = "".join(f"{process}\n" for process in processes)
        self.put(os.path.join(directory, "cgroup.procs"), text)
