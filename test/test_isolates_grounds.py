# -*- test-case-name: cocained.test.test_isolates_grounds -*-
"""
The groups around those of workers: made, claimed, delegated, swept.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time

from cocained.errors import SpoolError
from cocained.isolates import cgroups, grounds
from cocained.isolates.cgroups import Limits
from cocained.isolates.claims import claim
from cocained.isolates.grounds import Ground, sweep
from cocained.isolates.hierarchies import LEAF, Hierarchy
from cocained.test.cgroup_case import GroupCase

ALL = Limits(memory=1024**3, cpu=0.5, pids=16)


class OpenTests(GroupCase):
    """Before the first worker."""

    def ground(self, *trees: Hierarchy, app: str = "echo") -> Ground:
        ground = Ground(trees, "node-1", app)
        self.addCleanup(ground.close)
        return ground

    def test_version_2(self) -> None:
        """Each level hands the controllers to that below."""
        tree = self.tree(2, "memory", "cpu", "pids")
        ground = self.ground(tree)

        ground.open(ALL)
        group = ground.group("w")
        group.create(ALL)

        place = f"{tree.base}/cocained-node-1/app-echo"
        self.assertEqual(group.entrances(), [f"{place}/w/cgroup.procs"])
        for directory in (tree.base, os.path.dirname(place), place):
            self.assertEqual(
                self.get(directory, "cgroup.subtree_control"), "+cpu +memory +pids"
            )

    def test_version_1(self) -> None:
        """There is nothing to hand down."""
        trees = [self.tree(1, name) for name in ("memory", "cpu", "pids")]
        ground = self.ground(*trees)

        ground.open(ALL)
        ground.group("w").create(ALL)

        for tree in trees:
            self.assertTrue(os.path.exists(f"{tree.base}/cocained-node-1/app-echo/w"))

    def test_no_internal_processes(self) -> None:
        """
        A group with processes cannot hand controllers down: the node and what
        it has started withdraw, strangers stay.
        """
        tree = self.tree(2, "memory")
        child = subprocess.Popen(["/bin/sleep", "1000"])
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        self.inhabit(tree.base, [1, os.getpid(), child.pid])
        moved: list[str] = []
        write = cgroups.write

        def kernel(path: str, text: str) -> None:
            if path == f"{tree.base}/{LEAF}/cgroup.procs":
                moved.append(text)
            elif path == f"{tree.base}/cgroup.subtree_control" and len(moved) < 2:
                raise OSError(errno.EBUSY, "busy")
            else:
                write(path, text)

        self.patch(grounds, "write", kernel)
        self.ground(tree).open(Limits(memory=1024**3))

        self.assertEqual(sorted(map(int, moved)), sorted([os.getpid(), child.pid]))
        self.assertEqual(self.get(tree.base, "cgroup.subtree_control"), "+memory")

    def test_strangers(self) -> None:
        """With others in its group a node cannot withdraw, and says so."""
        tree = self.tree(2, "memory")

        def kernel(path: str, text: str) -> None:
            raise OSError(errno.EBUSY, "busy")

        self.patch(grounds, "write", kernel)

        error = self.assertRaises(SpoolError, self.ground(tree).open, Limits(pids=None))

        self.assertEqual(error.code, errno.EBUSY)
        self.assertIn("start the node in one of its own", error.reason)

    def test_no_controller(self) -> None:
        """A limit that nothing here can keep is named, with the remedy."""
        ground = self.ground(self.tree(2, "memory"), self.tree(1, "cpu"))

        error = self.assertRaises(SpoolError, ground.open, ALL)

        self.assertEqual(
            error.reason,
            "isolate argument 'pids': this machine has no cgroup controller 'pids';"
            " mount it, or delegate it to the node's group (systemd: Delegate=yes)",
        )
        self.assertEqual(error.code, errno.EOPNOTSUPP)

    def test_no_cgroups(self) -> None:
        """Nor can anything be contained where no tree is mounted."""
        error = self.assertRaises(SpoolError, self.ground().open, Limits())

        self.assertIn("'contain': no cgroups are mounted here", error.reason)

    def test_not_allowed(self) -> None:
        """A node that may not make groups is told what would help."""
        tree = self.tree(1, "memory")

        def refuse(path: str, mode: int = 0o777) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

        self.patch(os, "mkdir", refuse)

        error = self.assertRaises(
            SpoolError, self.ground(tree).open, Limits(memory=1024**3)
        )

        self.assertIn(f"cannot make a cgroup in {tree.base}", error.reason)
        self.assertIn("run the node as root, or delegate the group", error.reason)

    def test_close(self) -> None:
        """Nothing is left after the last app of a node."""
        tree = self.tree(1, "memory")
        first, second = self.ground(tree), self.ground(tree, app="other")
        first.open(Limits())
        second.open(Limits())

        first.close()
        self.assertEqual(
            os.listdir(f"{tree.base}/cocained-node-1").count("app-other"), 1
        )
        second.close()
        second.close()

        self.assertFalse(os.path.exists(f"{tree.base}/cocained-node-1"))


class SweepTests(GroupCase):
    """What dead nodes left."""

    def dead(self, tree: Hierarchy, *processes: int) -> str:
        """Leave a worker's group behind, without a node."""
        place = f"{tree.base}/cocained-dead/app-echo/w"
        os.makedirs(place)
        self.inhabit(place, processes)
        return place

    def test_nothing(self) -> None:
        """There may be nothing to sweep, or no tree."""
        tree = self.tree(1, "pids")
        gone = Hierarchy(1, frozenset(), f"{tree.base}/gone")

        self.assertEqual(sweep([tree, gone]), [])

    def test_empty(self) -> None:
        """Empty groups are removed, and it is told."""
        tree = self.tree(1, "pids")
        self.dead(tree)

        told = sweep([tree])

        place = f"{tree.base}/cocained-dead"
        self.assertEqual(told, [f"removed {place}, of a node that is gone"])
        self.assertFalse(os.path.exists(place))

    def test_processes(self) -> None:
        """Who is left in there is killed first."""
        tree = self.tree(1, "pids")
        child = subprocess.Popen(["/bin/sleep", "1000"])
        self.addCleanup(child.wait)
        place = self.dead(tree, child.pid)

        def sleep(_: float) -> None:
            # The kernel takes who has ended out of the list.
            self.assertEqual(child.wait(), -signal.SIGKILL)
            self.inhabit(place, [])

        self.patch(time, "sleep", sleep)
        sweep([tree])

        self.assertFalse(os.path.exists(place))

    def test_stubborn(self) -> None:
        """Who cannot be killed is given up in time, and named."""
        tree = self.tree(1, "pids")
        child = subprocess.Popen(["/bin/true"])
        child.wait()
        place = self.dead(tree, child.pid)
        self.patch(grounds, "SWEEP_TIMEOUT", 0.0)
        self.patch(grounds, "SWEEP_INTERVAL", 0.0)

        (told,) = sweep([tree])

        self.assertIn("processes in it do not end", told)
        self.assertTrue(os.path.exists(place))

    def test_living_nodes(self) -> None:
        """The groups of nodes that run, the leaf and strangers stay."""
        tree = self.tree(2, "pids")
        names = ("cocained-alive", LEAF, "system.slice")
        for name in names:
            os.mkdir(f"{tree.base}/{name}")
        self.addCleanup(os.close, claim(f"{tree.base}/cocained-alive"))

        self.assertEqual(sweep([tree]), [])

        for name in names:
            self.assertTrue(os.path.exists(f"{tree.base}/{name}"))
