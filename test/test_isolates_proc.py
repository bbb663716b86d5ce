# -*- test-case-name: cocained.test.test_isolates_proc -*-
"""
What ``/proc`` says, from files that the test has written and from the kernel's.
"""

from __future__ import annotations

import os
import subprocess

from twisted.trial.unittest import SynchronousTestCase

from cocained.isolates.proc import Share, children, descendants, resident, share

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class ProcTests(SynchronousTestCase):
    """A ``/proc`` in a temporary directory."""

    def setUp(self) -> None:
        self.root = self.mktemp()

    def process(self, number: int, name: str = "sh", *started: int) -> None:
        directory = os.path.join(self.root, str(number))
        os.makedirs(f"{directory}/task/{number}")
        fields = ["S", "1", "1", "1", "0", "-1", "0", "0", "0", "0", "0"]
        fields += [str(3 * TICK), str(TICK // 2), "0", "0", "20", "0", "1", "0", "7"]
        fields += ["99999", "25", "0"]
        with open(f"{directory}/stat", "w") as file:
            file.write(f"{number} ({name}) {' '.join(fields)}\n")
        with open(f"{directory}/task/{number}/children", "w") as file:
            file.write("".join(f"{child} " for child in started))

    def test_share(self) -> None:
        """Resident pages in bytes, both kinds of time in seconds."""
        self.process(7)

        self.assertEqual(share(7, self.root), Share(25 * PAGE, 3.5))

    def test_odd_name(self) -> None:
        """A program's name may have blanks, brackets and numbers in it."""
        self.process(7, "a) S 1 (b")

        self.assertEqual(share(7, self.root), Share(25 * PAGE, 3.5))

    def test_nobody(self) -> None:
        """A process that is gone takes nothing and has no children."""
        self.assertIsNone(share(7, self.root))
        self.assertEqual(children(7, self.root), [])
        self.assertEqual(list(descendants(7, self.root)), [])

    def test_descendants(self) -> None:
        """Children and theirs, parents first."""
        self.process(1, "a", 2, 5)
        self.process(2, "b", 3)
        self.process(3)
        self.process(5)

        self.assertEqual(children(1, self.root), [2, 5])
        self.assertEqual(list(descendants(1, self.root)), [2, 3, 5])

    def test_threads(self) -> None:
        """Every thread of a process may have children."""
        self.process(1, "a", 2)
        os.makedirs(f"{self.root}/1/task/9")
        with open(f"{self.root}/1/task/9/children", "w") as file:
            file.write("4 ")

        self.assertEqual(sorted(children(1, self.root)), [2, 4])

    def test_bottomless(self) -> None:
        """A chain that nobody needs is not followed to its end."""
        self.process(1, "a", 1)

        self.assertEqual(list(descendants(1, self.root, 4)), [1] * 4)

    def test_real(self) -> None:
        """The kernel's own files are read."""
        found = share(os.getpid())
        assert found is not None
        self.assertGreater(found.memory, 10**6)
        self.assertGreater(found.cpu, 0)
        child = subprocess.Popen(["/bin/sleep", "1000"])
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)

        self.assertIn(child.pid, children(os.getpid()))
        self.assertGreater(resident(os.getpid()), 10**6)
        self.assertEqual(resident(2**22 + 1), 0)
