# -*- test-case-name: cocained.test.test_isolates_temporary -*-
"""
Temporary directories of workers.
"""

from __future__ import annotations

import os
import stat
import subprocess

from twisted.trial.unittest import SynchronousTestCase

from cocained.isolates import temporary
from cocained.isolates.claims import claim
from cocained.isolates.temporary import PREFIX, Temporaries, remove


class TemporaryTests(SynchronousTestCase):
    """Made for workers, removed after them."""

    def setUp(self) -> None:
        self.directory = os.path.abspath(self.mktemp())
        os.makedirs(self.directory)

    def opened(self) -> Temporaries:
        temporaries = Temporaries(self.directory)
        temporaries.open()
        self.addCleanup(temporaries.close)
        return temporaries

    def test_make(self) -> None:
        """Each is its worker's alone, wherever others may pass."""
        mask = os.umask(0o077)
        self.addCleanup(os.umask, mask)
        path = self.opened().make("w", os.geteuid())

        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o700)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode), 0o711)

    def test_close(self) -> None:
        """Nothing is left; closing twice does no harm."""
        temporaries = self.opened()
        path = temporaries.make("w", None)
        with open(f"{path}/file", "w") as file:
            file.write("x")

        temporaries.close()
        temporaries.close()

        self.assertEqual(os.listdir(self.directory), [])

    def test_never_opened(self) -> None:
        """What was not begun has no end."""
        Temporaries(self.directory).close()

        self.assertEqual(os.listdir(self.directory), [])

    def test_leftovers(self) -> None:
        """What a dead node left is removed; a living one's and the code stay."""
        for name in (PREFIX + "dead", PREFIX + "alive", "0123"):
            os.makedirs(f"{self.directory}/{name}/w")
        self.addCleanup(os.close, claim(f"{self.directory}/{PREFIX}alive"))
        temporaries = Temporaries(self.directory)
        self.addCleanup(temporaries.close)

        removed = temporaries.open()

        self.assertEqual(removed, [f"{self.directory}/{PREFIX}dead"])
        self.assertEqual(len(os.listdir(self.directory)), 3)

    def test_remove_nothing(self) -> None:
        """What is gone already is no error."""
        remove(f"{self.directory}/none")

    def test_remove_link(self) -> None:
        """A link goes, what it shows stays."""
        kept = f"{self.directory}/kept"
        os.makedirs(f"{kept}/inner")
        os.mkdir(f"{self.directory}/tree")
        os.symlink(kept, f"{self.directory}/tree/link")

        remove(f"{self.directory}/tree")

        self.assertEqual(os.listdir(self.directory), ["kept"])
        self.assertEqual(os.listdir(kept), ["inner"])

    def test_deep(self) -> None:
        """A tree that is deeper than Python's stack is no way to stay."""
        tree = f"{self.directory}/tree"
        os.mkdir(tree)
        descriptor = os.open(tree, os.O_RDONLY)
        for _ in range(1500):
            os.mkdir("d", dir_fd=descriptor)
            inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        os.close(descriptor)

        remove(tree)

        self.assertEqual(os.listdir(self.directory), [])

    def test_locked_directories(self) -> None:
        """A worker cannot keep its directory by shutting itself out."""
        tree = f"{self.directory}/tree"
        os.makedirs(f"{tree}/a/b/c")
        commands: list[list[str]] = []
        run = temporary._run

        # Root may do everything, so the first refusal is played.
        def refuse(command: list[str]) -> subprocess.CompletedProcess[bytes]:
            commands.append(command)
            if len(commands) == 1:
                return subprocess.CompletedProcess(command, 1, b"", b"denied")
            return run(command)

        self.patch(temporary, "_run", refuse)
        os.chmod(f"{tree}/a", 0)
        remove(tree)

        self.assertEqual([command[0] for command in commands], ["rm", "chmod", "rm"])
        self.assertEqual(os.listdir(self.directory), [])

    def test_cannot_remove(self) -> None:
        """What stays is an error with the system's words, a few of them."""
        self.patch(
            temporary,
            "_run",
            lambda command: subprocess.CompletedProcess(command, 1, b"", b"no! " * 999),
        )

        error = self.assertRaises(OSError, remove, "/some/where")

        self.assertIn("no! no!", str(error))
        self.assertLess(len(str(error)), 400)
