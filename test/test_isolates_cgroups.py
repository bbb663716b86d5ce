# -*- test-case-name: cocained.test.test_isolates_cgroups -*-
"""
Control groups of both versions, on trees of plain files
(legacy-and-seeds.md row 258).
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess

from twisted.trial.unittest import SynchronousTestCase

from cocained.isolates.cgroups import Group, Limits, settings
from cocained.isolates.hierarchies import LEAF, Hierarchy, discover
from cocained.test.cgroup_case import GroupCase

MIB = 1024**2

ALL = Limits(memory=64 * MIB, cpu=0.5, pids=16)


class DiscoverTests(SynchronousTestCase):
    """Which trees there are, and where this process is in them."""

    def setUp(self) -> None:
        self.process = self.mktemp()
        os.makedirs(self.process)

    def found(self, mounts: list[str], groups: list[str]) -> tuple[Hierarchy, ...]:
        for name, lines in (("mountinfo", mounts), ("cgroup", groups)):
            with open(os.path.join(self.process, name), "w") as file:
                file.write("".join(f"{line}\n" for line in lines))
        return discover(self.process)

    def mount(self, kind: str, point: str, options: str = "rw", root: str = "/") -> str:
        return f"30 25 0:26 {root} {point} rw,relatime shared:9 - {kind} none {options}"

    def unified(self, controllers: str, path: str = "") -> str:
        """Make a tree of version 2 with a group that has these controllers."""
        point = os.path.abspath(self.mktemp())
        os.makedirs(point + path)
        with open(f"{point}{path}/cgroup.controllers", "w") as file:
            file.write(controllers)
        return point

    def test_nothing(self) -> None:
        """A machine without control groups."""
        self.assertEqual(self.found([self.mount("ext4", "/")], []), ())

    def test_unified(self) -> None:
        """Version 2: one tree, with those controllers that are of use."""
        point = self.unified("cpuset cpu io memory pids\n", "/system.slice/node")

        found = self.found([self.mount("cgroup2", point)], ["0::/system.slice/node"])

        self.assertEqual(
            found,
            (
                Hierarchy(
                    2,
                    frozenset({"cpu", "memory", "pids"}),
                    f"{point}/system.slice/node",
                ),
            ),
        )

    def test_withdrawn(self) -> None:
        """A node that has withdrawn into its leaf stands where it stood."""
        point = self.unified("memory", "/node")

        (found,) = self.found([self.mount("cgroup2", point)], [f"0::/node/{LEAF}"])

        self.assertEqual(found.base, f"{point}/node")
        self.assertEqual(found.controllers, {"memory"})

    def test_legacy(self) -> None:
        """Version 1: a tree for each, some of them for two."""
        found = self.found(
            [
                self.mount("cgroup", "/cg/memory", "rw,memory"),
                self.mount("cgroup", "/cg/cpu,cpuacct", "rw,cpu,cpuacct"),
                self.mount("cgroup", "/cg/freezer", "rw,freezer"),
                self.mount("cgroup", "/cg/systemd", "rw,name=systemd"),
            ],
            ["4:memory:/a/b", "2:cpu,cpuacct:/", "3:freezer:/", "1:name=systemd:/"],
        )

        self.assertEqual(
            found,
            (
                Hierarchy(1, frozenset({"memory"}), "/cg/memory/a/b"),
                Hierarchy(1, frozenset({"cpu", "cpuacct"}), "/cg/cpu,cpuacct"),
            ),
        )

    def test_hybrid(self) -> None:
        """What version 2 has is not looked for in version 1."""
        point = self.unified("memory hugetlb")

        found = self.found(
            [
                self.mount("cgroup", "/cg/memory", "rw,memory"),
                self.mount("cgroup", "/cg/pids", "rw,pids"),
                self.mount("cgroup2", point),
            ],
            ["4:memory:/a", "2:pids:/", "0::/"],
        )

        self.assertEqual(
            found,
            (
                Hierarchy(2, frozenset({"memory"}), point),
                Hierarchy(1, frozenset({"pids"}), "/cg/pids"),
            ),
        )

    def test_container(self) -> None:
        """A container sees its own group as the root of the mount."""
        lines = [self.mount("cgroup", "/cg/pids", "rw,pids", "/docker/abc")]

        inside = self.found(lines, ["2:pids:/docker/abc/x"])
        outside = self.found(lines, ["2:pids:/other"])

        self.assertEqual(inside[0].base, "/cg/pids/x")
        self.assertEqual(outside[0].base, "/cg/pids")

    def test_blanks(self) -> None:
        """Blanks in paths are escaped in the kernel's table."""
        (found,) = self.found(
            [self.mount("cgroup", r"/my\040groups/pids", "rw,pids")], ["2:pids:/"]
        )

        self.assertEqual(found.base, "/my groups/pids")


class SettingsTests(SynchronousTestCase):
    """What is written for which limit."""

    def written(self, limits: Limits, version: int) -> dict[str, str]:
        return {name: text for _, name, text, _ in settings(limits, version)}

    def test_no_limits(self) -> None:
        """Nothing asked for, nothing written."""
        for version in (1, 2):
            self.assertEqual(self.written(Limits(), version), {})

    def test_version_2(self) -> None:
        """Swap is counted as memory, and the group dies as a whole."""
        self.assertEqual(
            self.written(ALL, 2),
            {
                "memory.max": "67108864",
                "memory.swap.max": "0",
                "memory.oom.group": "1",
                "cpu.max": "50000 100000",
                "pids.max": "16",
            },
        )

    def test_version_1(self) -> None:
        """The limit with swap comes after that without, as the kernel wants."""
        written = self.written(ALL, 1)

        self.assertEqual(
            list(written.items()),
            [
                ("memory.limit_in_bytes", "67108864"),
                ("memory.memsw.limit_in_bytes", "67108864"),
                ("cpu.cfs_period_us", "100000"),
                ("cpu.cfs_quota_us", "50000"),
                ("pids.max", "16"),
            ],
        )

    def test_controllers(self) -> None:
        """Each limit needs the controller of its name."""
        self.assertEqual(ALL.controllers(), {"memory", "cpu", "pids"})
        self.assertEqual(Limits(cpu=2).controllers(), {"cpu"})
        self.assertEqual(Limits().controllers(), set())


class GroupTests(GroupCase):
    """One worker's group."""

    def group(self, *trees: Hierarchy) -> Group:
        return Group(
            [
                Hierarchy(tree.version, tree.controllers, f"{tree.base}/w")
                for tree in trees
            ]
        )

    def hybrid(self) -> tuple[Hierarchy, ...]:
        """Trees as a hybrid machine has them."""
        names = ("memory", "cpu", "cpuacct", "pids")
        return (self.tree(2), *(self.tree(1, name) for name in names))

    def test_create_version_2(self) -> None:
        """The limits are there before anybody is in the group (row 258)."""
        tree = self.tree(2, "memory", "cpu", "pids")
        group = self.group(tree)

        group.create(ALL)

        self.assertEqual(self.get(tree.base, "w", "memory.max"), "67108864")
        self.assertEqual(self.get(tree.base, "w", "memory.swap.max"), "0")
        self.assertEqual(self.get(tree.base, "w", "cpu.max"), "50000 100000")
        self.assertEqual(self.get(tree.base, "w", "pids.max"), "16")
        self.assertEqual(group.entrances(), [f"{tree.base}/w/cgroup.procs"])

    def test_create_hybrid(self) -> None:
        """Each limit is set in the tree of its controller, and only there."""
        trees = self.hybrid()
        group = self.group(*trees)

        group.create(ALL)

        unified, memory, cpu, _, pids = (f"{tree.base}/w" for tree in trees)
        self.assertEqual(self.get(memory, "memory.limit_in_bytes"), "67108864")
        self.assertEqual(self.get(cpu, "cpu.cfs_quota_us"), "50000")
        self.assertEqual(self.get(pids, "pids.max"), "16")
        self.assertFalse(os.path.exists(f"{unified}/memory.max"))
        self.assertEqual(len(group.entrances()), 5)

    def test_no_swap_accounting(self) -> None:
        """A kernel that does not count swap has no file for it."""
        tree = self.tree(1, "memory")
        group = self.group(tree)
        populate = self.populate

        def without(tree: Hierarchy, directory: str) -> None:
            populate(tree, directory)
            os.unlink(f"{directory}/memory.memsw.limit_in_bytes")

        self.populate = without  # type: ignore[method-assign]
        group.create(Limits(memory=64 * MIB))

        self.assertEqual(self.get(tree.base, "w", "memory.limit_in_bytes"), "67108864")

    def test_cannot_create(self) -> None:
        """When the second tree refuses, nothing is left in the first."""
        first, second = self.tree(1, "memory"), self.tree(1, "pids")
        os.mkdir(f"{second.base}/w")
        group = self.group(first, second)

        error = self.assertRaises(OSError, group.create, ALL)

        self.assertEqual(error.errno, errno.EEXIST)
        self.assertFalse(os.path.exists(f"{first.base}/w"))

    def test_usage_version_2(self) -> None:
        """Bytes, seconds and processes, as the controllers count them."""
        tree = self.tree(2, "memory", "cpu", "pids")
        group = self.group(tree)
        group.create(Limits())
        self.put(f"{tree.base}/w/memory.current", "1048576\n")
        self.put(f"{tree.base}/w/cpu.stat", "usage_usec 2500000\nuser_usec 1\n")
        self.put(f"{tree.base}/w/pids.current", "3\n")

        self.assertEqual(group.usage(), {"memory": 1048576, "cpu": 2.5, "processes": 3})

    def test_usage_version_1(self) -> None:
        """Version 1 counts time in billionths of a second."""
        trees = self.hybrid()[1:]
        group = self.group(*trees)
        group.create(Limits())
        self.put(f"{trees[0].base}/w/memory.usage_in_bytes", "4096\n")
        self.put(f"{trees[2].base}/w/cpuacct.usage", "1500000000\n")
        self.put(f"{trees[3].base}/w/pids.current", "2\n")

        self.assertEqual(group.usage(), {"memory": 4096, "cpu": 1.5, "processes": 2})

    def test_usage_without_controllers(self) -> None:
        """What no controller counts is added up over the processes."""
        tree = self.tree(2)
        group = self.group(tree)
        group.create(Limits())
        self.inhabit(f"{tree.base}/w", [os.getpid()])

        usage = group.usage()

        self.assertEqual(usage["processes"], 1)
        self.assertGreater(usage["memory"], MIB)

    def test_usage_of_nothing(self) -> None:
        """A group that is gone takes nothing."""
        group = self.group(self.tree(2, "memory", "pids"))

        self.assertEqual(group.usage(), {"memory": 0, "processes": 0})

    def test_out_of_memory(self) -> None:
        """Both versions count whom the kernel kills."""
        unified, memory = self.tree(2, "memory"), self.tree(1, "memory")
        for tree, name in ((unified, "memory.events"), (memory, "memory.oom_control")):
            group = self.group(tree)
            group.create(Limits())
            self.assertEqual(group.out_of_memory(), 0)
            text = self.get(tree.base, "w", name)

            self.put(f"{tree.base}/w/{name}", text.replace("oom_kill 0", "oom_kill 2"))

            self.assertEqual(group.out_of_memory(), 2)

    def test_kill(self) -> None:
        """The kernel is told, the door is shut, and who is there is killed."""
        unified, pids = self.tree(2), self.tree(1, "pids")
        group = self.group(unified, pids)
        group.create(Limits(pids=9))
        child = subprocess.Popen(["/bin/sleep", "1000"])
        self.addCleanup(child.wait)
        self.inhabit(f"{pids.base}/w", [child.pid])

        group.kill()

        self.assertEqual(child.wait(), -signal.SIGKILL)
        self.assertEqual(self.get(unified.base, "w", "cgroup.kill"), "1")
        self.assertEqual(self.get(pids.base, "w", "pids.max"), "0")

    def test_kill_nobody(self) -> None:
        """Processes that are gone, and groups that are, do no harm."""
        tree = self.tree(1, "pids")
        group = self.group(tree)
        group.kill()
        group.create(Limits())
        child = subprocess.Popen(["/bin/true"])
        child.wait()
        self.inhabit(f"{tree.base}/w", [child.pid])

        group.kill()

        self.assertEqual(group.processes(), {child.pid})

    def test_remove(self) -> None:
        """It goes with what the worker has made inside; twice is no error."""
        tree = self.tree(2, "memory")
        group = self.group(tree)
        group.create(Limits())
        os.mkdir(f"{tree.base}/w/inner")

        self.assertTrue(group.remove())
        self.assertFalse(os.path.exists(f"{tree.base}/w"))
        self.assertTrue(group.remove())

    def test_remove_too_early(self) -> None:
        """While a process is in one tree, the others are removed already."""
        first, second = self.tree(1, "memory"), self.tree(1, "pids")
        group = self.group(first, second)
        group.create(Limits())
        self.inhabit(f"{first.base}/w", [os.getpid()])

        self.assertFalse(group.remove())
        self.assertTrue(os.path.exists(f"{first.base}/w"))
        self.assertFalse(os.path.exists(f"{second.base}/w"))

        self.inhabit(f"{first.base}/w", [])
        self.assertTrue(group.remove())
