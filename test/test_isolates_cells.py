# -*- test-case-name: cocained.test.test_isolates_cells -*-
"""
What is around a worker: how it is asked to end, explained, counted, cleared.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time

from twisted.trial.unittest import SynchronousTestCase

from cocained.isolates.cells import Cell, Walls, in_words
from cocained.isolates.cgroups import Group, Limits
from cocained.isolates.hierarchies import Hierarchy
from cocained.isolates.proc import children
from cocained.test.cgroup_case import GroupCase

#: Where no group is ever buried.
NO_GRAVES: list[Group] = []

KILLED = -signal.SIGKILL


class WordsTests(SynchronousTestCase):
    """Numbers of bytes."""

    def test_rows(self) -> None:
        """The largest unit that leaves a readable number."""
        for size, words in (
            (0, "0 bytes"),
            (1000, "1000 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (64 * 1024**2, "64 MiB"),
            (3 * 1024**3, "3 GiB"),
            (2 * 1024**4, "2 TiB"),
        ):
            self.assertEqual(in_words(size), words)


class CellTests(SynchronousTestCase):
    """A process and nothing around it."""

    def sleeper(self, *command: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command or ["/bin/sleep", "1000"],
            start_new_session=True,
            stdout=subprocess.PIPE,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.stdout.close)  # type: ignore[union-attr]
        self.addCleanup(Cell().kill, process.pid)
        return process

    def test_usage(self) -> None:
        """A plain worker's own memory and time; nothing once it has ended."""
        usage = Cell().usage(os.getpid())

        assert usage is not None
        self.assertEqual(sorted(usage), ["cpu", "memory"])
        self.assertGreater(usage["memory"], 10**6)
        self.assertIsNone(Cell().usage(2**22 + 1))
        self.assertTrue(Cell().clear())
        self.assertEqual(Cell().describe(KILLED), ("was killed by SIGKILL", True))

    def test_signals(self) -> None:
        """The whole process group is asked, or made to."""
        for send, number in (
            (Cell().terminate, signal.SIGTERM),
            (Cell().kill, signal.SIGKILL),
        ):
            process = self.sleeper()
            send(process.pid)
            self.assertEqual(process.wait(), -number)
            send(process.pid)

    def sandboxed(self) -> subprocess.Popen[bytes]:
        """Start a chain of three, as bubblewrap makes it."""
        inner = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done"
        middle = f'/bin/sh -c "{inner}" & wait $!; exit $?'
        process = self.sleeper(
            "/bin/sh",
            "-c",
            "/bin/sh -c '" + middle.replace("'", "'\\''") + "'; exit $?",
        )
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return process

    def test_terminate_in_a_sandbox(self) -> None:
        """Only what is inside is asked; the sandbox ends with it."""
        process = self.sandboxed()
        cell = Walls(None, None, True, lambda: None, NO_GRAVES.append)

        cell.terminate(process.pid)

        self.assertEqual(process.wait(), 7)

    def test_usage_in_a_sandbox(self) -> None:
        """What is inside counts, the sandbox does not."""
        process = self.sandboxed()
        usage = Walls(None, None, True, lambda: None, NO_GRAVES.append).usage(
            process.pid
        )

        assert usage is not None
        self.assertIn(usage["processes"], (1, 2))
        self.assertGreater(usage["memory"], 10**5)

    def test_sandbox_without_content(self) -> None:
        """Before there is anything inside, the sandbox itself is asked."""
        process = self.sleeper()
        deadline = time.monotonic() + 20
        while children(process.pid):
            self.assertLess(time.monotonic(), deadline)

        Walls(None, None, True, lambda: None, NO_GRAVES.append).terminate(process.pid)

        self.assertEqual(process.wait(), -signal.SIGTERM)

    def test_signals_in_a_sandbox(self) -> None:
        """Bubblewrap tells of a signal as shells do."""
        sandboxed = Walls(None, None, True, lambda: None, NO_GRAVES.append)
        plain = Walls(None, None, False, lambda: None, NO_GRAVES.append)

        self.assertEqual(sandboxed.describe(137), ("was killed by SIGKILL", True))
        self.assertEqual(sandboxed.describe(3), ("exited with status 3", True))
        self.assertEqual(plain.describe(137), ("exited with status 137", True))


class GroupedTests(GroupCase):
    """A worker in a control group."""

    def setUp(self) -> None:
        super().setUp()
        tree = self.tree(2, "memory", "pids")
        self.place = f"{tree.base}/w"
        self.group = Group([Hierarchy(2, tree.controllers, self.place)])
        self.group.create(Limits())
        self.cleared = 0
        self.graves: list[Group] = []

    def walls(self, memory: int | None = 64 * 1024**2) -> Walls:
        return Walls(self.group, memory, False, self.clear, self.graves.append)

    def clear(self) -> None:
        self.cleared += 1

    def oom(self) -> None:
        self.put(f"{self.place}/memory.events", "oom_kill 1\n")

    def test_clear(self) -> None:
        """An empty group goes, and what was made for the worker after it."""
        walls = self.walls()

        self.assertTrue(walls.clear())
        self.assertTrue(walls.clear())

        self.assertFalse(os.path.exists(self.place))
        self.assertEqual(self.cleared, 1)

    def test_survivors(self) -> None:
        """What outlived the worker is killed until nobody is left."""
        child = subprocess.Popen(["/bin/sleep", "1000"])
        self.addCleanup(child.wait)
        self.inhabit(self.place, [child.pid])
        walls = self.walls()

        self.assertFalse(walls.clear())
        self.assertEqual(child.wait(), KILLED)
        self.assertEqual(self.cleared, 0)
        self.inhabit(self.place, [])

        self.assertTrue(walls.clear())
        self.assertEqual(self.cleared, 1)

    def test_zombies(self) -> None:
        """A group in which nobody runs is left to be removed later."""
        walls = self.walls()

        def busy(path: str) -> None:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)

        self.patch(os, "rmdir", busy)

        self.assertTrue(walls.clear())
        self.assertEqual(self.graves, [self.group])
        self.assertEqual(self.cleared, 1)

    def test_out_of_memory(self) -> None:
        """The kernel's kill is named, with the limit."""
        walls = self.walls()
        self.oom()
        walls.clear()

        self.assertEqual(
            walls.describe(KILLED),
            ("was killed by the kernel: out of its memory limit of 64 MiB", True),
        )

    def test_part_out_of_memory(self) -> None:
        """A worker may outlive what the kernel has killed of it."""
        walls = self.walls()
        self.oom()
        walls.clear()

        reason, error = walls.describe(0)

        self.assertEqual(
            reason,
            "exited with status 0; the kernel had killed a process of it: out of its"
            " memory limit of 64 MiB",
        )
        self.assertFalse(error)

    def test_limit_of_others(self) -> None:
        """The limit may be that of a group around it."""
        walls = self.walls(None)
        self.oom()
        walls.clear()

        self.assertEqual(
            walls.describe(KILLED)[0],
            "was killed by the kernel: out of its memory limit",
        )

    def test_ordinary_end(self) -> None:
        """Without such a kill an end is what it is."""
        walls = self.walls()
        walls.clear()

        self.assertEqual(walls.describe(KILLED), ("was killed by SIGKILL", True))

    def test_usage(self) -> None:
        """The group's, not the process's."""
        self.put(f"{self.place}/memory.current", "5")
        self.put(f"{self.place}/pids.current", "2")

        usage = self.walls().usage(os.getpid())

        assert usage is not None
        self.assertEqual((usage["memory"], usage["processes"]), (5, 2))

    def test_kill(self) -> None:
        """The group is killed with the process."""
        child = subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True)
        self.addCleanup(child.wait)

        self.walls().kill(child.pid)

        self.assertEqual(child.wait(), KILLED)
        self.assertEqual(self.get(self.place, "cgroup.kill"), "1")
