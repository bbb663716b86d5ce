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

    def withdrawing(self, tree: Hierarchy, *newborn: int) -> list[str]:
        """
        Behave as the kernel does when processes leave a group.

        :param newborn: those that are forked in it when the first one leaves.
        :returns: what is written into its files and the leaf's, in order.
        """
        told: list[str] = []
        waiting = list(newborn)
        write = cgroups.write

        def kernel(path: str, text: str) -> None:
            told.append(f"{os.path.relpath(path, tree.base)} {text}")
            if path == f"{tree.base}/{LEAF}/cgroup.procs":
                here = {*cgroups.listed(tree.base), *waiting} - {int(text)}
                waiting.clear()
                self.inhabit(tree.base, sorted(here))
            elif "memory" in text and cgroups.listed(tree.base):
                raise OSError(errno.EBUSY, "busy")
            else:
                write(path, text)

        self.patch(grounds, "write", kernel)
        return told

    def child(self) -> int:
        """Start a process."""
        child = subprocess.Popen(["/bin/sleep", "1000"])
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child.pid

    def test_no_internal_processes(self) -> None:
        """
        A group with processes cannot hand controllers down: the node and what
        it has started withdraw first.
        """
        tree = self.tree(2, "memory")
        child = self.child()
        self.inhabit(tree.base, [os.getpid(), child])
        told = self.withdrawing(tree)

        self.ground(tree).open(Limits(memory=1024**3))

        leaf = f"{LEAF}/cgroup.procs"
        self.assertEqual(
            sorted(told[:2]), sorted([f"{leaf} {os.getpid()}", f"{leaf} {child}"])
        )
        self.assertEqual(told[2], "cgroup.subtree_control +memory")

    def test_no_internal_processes_of_threads(self) -> None:
        """
        The kernel lets a group with processes hand ``cpu`` and ``pids`` down,
        but nobody into what is below: the node withdraws all the same.
        """
        tree = self.tree(2, "cpu", "pids")
        self.inhabit(tree.base, [os.getpid()])
        told = self.withdrawing(tree)

        self.ground(tree).open(Limits(pids=16))

        self.assertEqual(
            told[:2],
            [f"{LEAF}/cgroup.procs {os.getpid()}", "cgroup.subtree_control +cpu +pids"],
        )

    def test_enabled_before(self) -> None:
        """So it does in a group of which a former node has made use."""
        tree = self.tree(2, "pids")
        self.put(f"{tree.base}/cgroup.subtree_control", "pids")
        os.mkdir(f"{tree.base}/{LEAF}")
        self.inhabit(tree.base, [os.getpid()])
        told = self.withdrawing(tree)

        self.ground(tree).open(Limits(pids=16))

        self.assertEqual(told[0], f"{LEAF}/cgroup.procs {os.getpid()}")

    def test_forked_meanwhile(self) -> None:
        """What a worker forks while the node withdraws follows it."""
        tree = self.tree(2, "memory")
        child = self.child()
        self.inhabit(tree.base, [os.getpid()])
        told = self.withdrawing(tree, child)

        self.ground(tree).open(Limits(memory=1024**3))

        self.assertEqual(told[1], f"{LEAF}/cgroup.procs {child}")

    def test_root(self) -> None:
        """In the root of all groups everybody stays: it may have both."""
        tree = self.tree(2, "cpu", "pids")
        os.unlink(f"{tree.base}/cgroup.events")
        self.inhabit(tree.base, [1, os.getpid()])
        told = self.withdrawing(tree)

        self.ground(tree).open(Limits(pids=16))

        self.assertEqual(told[0], "cgroup.subtree_control +cpu +pids")
        self.assertFalse(os.path.exists(f"{tree.base}/{LEAF}"))

    def test_no_controllers(self) -> None:
        """Where there is nothing to hand down nobody has to withdraw."""
        tree = self.tree(2)
        self.inhabit(tree.base, [1, os.getpid()])

        self.ground(tree).open(Limits())

        self.assertFalse(os.path.exists(f"{tree.base}/{LEAF}"))

    def test_strangers(self) -> None:
        """With others in its group a node cannot withdraw, and says so."""
        for controller in ("memory", "pids"):
            tree = self.tree(2, controller)
            self.inhabit(tree.base, [1, os.getpid()])
            self.withdrawing(tree)

            error = self.assertRaises(SpoolError, self.ground(tree).open, Limits())

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
