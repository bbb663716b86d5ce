# -*- test-case-name: cocained.test.test_isolates_confinement -*-
"""
The walls around one app's workers, where the machine is a few plain files.
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from typing import Any

from cocained.config import convert
from cocained.errors import SpawnError, SpoolError
from cocained.isolates import checks
from cocained.isolates.claims import claim
from cocained.isolates.confinement import Confinement
from cocained.isolates.hierarchies import Hierarchy
from cocained.isolates.keys import ProcessArgs
from cocained.isolates.launch import Identity
from cocained.test.cgroup_case import GroupCase

PROGRAM = ["/code/worker"]


class ConfinementCase(GroupCase):
    """Confinements of an app ``echo``."""

    def setUp(self) -> None:
        super().setUp()
        self.directory = os.path.abspath(self.mktemp())
        self.code = f"{self.directory}/spool/echo/1"
        self.runtime = f"{self.directory}/run"
        for path in (self.code, self.runtime):
            os.makedirs(path)
        self.hierarchies: list[Hierarchy] = []
        self.later: list[tuple[Callable[..., object], tuple[object, ...]]] = []
        self.launched: list[list[str]] = []
        self.patch(subprocess, "run", self.run_command)

    def run_command(self, command: list[str], **more: Any) -> Any:
        self.launched.append(command)
        return subprocess.CompletedProcess(command, 0, b"", b"")

    def confinement(self, **args: Any) -> Confinement:
        made = Confinement(
            convert(args, ProcessArgs), "echo", "node-1", self.runtime, self.in_thread
        )
        made.discover = lambda: self.hierarchies
        self.addCleanup(made.close)
        return made

    def in_thread(self, function: Callable[..., object], *args: object) -> None:
        self.later.append((function, args))

    def prepared(self, **args: Any) -> Confinement:
        made = self.confinement(**args)
        made.prepare(self.code)
        return made

    def refused(self, **args: Any) -> SpoolError:
        made = self.confinement(**args)
        return self.assertRaises(SpoolError, made.prepare, self.code)


class PrepareTests(ConfinementCase):
    """What is found out before the first worker."""

    def test_proof(self) -> None:
        """The whole command line is tried, with what workers must reach."""
        self.prepared(rlimits={"core": 0})

        (command,) = self.launched
        self.assertTrue(command[0].endswith("/prlimit"))
        self.assertEqual(command[1], "--core=0:0")
        self.assertEqual(command[-2:], [self.code, self.runtime])

    def test_proof_fails(self) -> None:
        """A launch that does not work is told in the system's own words."""

        def fail(command: list[str], **more: Any) -> Any:
            raise subprocess.CalledProcessError(1, command, stderr=b"bwrap: No way\n")

        self.patch(subprocess, "run", fail)

        error = self.refused(sandbox="bwrap")

        self.assertIn("isolate argument 'sandbox': nothing can be launched", str(error))
        self.assertIn("'bwrap: No way'", str(error))
        self.assertIn("bubblewrap needs root or user namespaces", str(error))
        self.assertEqual(error.code, errno.EPERM)

    def test_proof_hangs(self) -> None:
        """One that never ends is given up."""

        def hang(command: list[str], **more: Any) -> Any:
            raise subprocess.TimeoutExpired(command, more["timeout"])

        self.patch(subprocess, "run", hang)

        self.assertIn("timed out after 10", str(self.refused(no_new_privs=True)))

    def test_proof_leaves_nothing(self) -> None:
        """Its group is removed when it has ended."""
        self.hierarchies = [self.tree(2, "pids")]
        self.prepared(pids=10)

        place = f"{self.hierarchies[0].base}/cocained-node-1/app-echo"
        self.assertEqual([e.name for e in os.scandir(place) if e.is_dir()], [])

    def test_missing_tool(self) -> None:
        """What is not installed is named; nothing is launched."""
        self.patch(checks, "SYSTEM_PATH", self.directory)
        self.patch(os, "environ", {"PATH": self.directory})

        error = self.refused(sandbox="bwrap")

        self.assertIn("apt-get install bubblewrap", error.reason)
        self.assertEqual(self.launched, [])

    def test_missing_controller(self) -> None:
        """A limit that cannot be kept is an error."""
        self.hierarchies = [self.tree(2, "pids")]

        self.assertIn("no cgroup controller 'memory'", str(self.refused(memory=2**26)))

    def test_leftovers(self) -> None:
        """What a dead node has left is swept first."""
        tree = self.tree(2, "pids")
        self.hierarchies = [tree]
        for name in ("cocained-dead", "cocained-alive"):
            os.mkdir(f"{tree.base}/{name}")
        self.addCleanup(os.close, claim(f"{tree.base}/cocained-alive"))

        self.prepared(contain=True)

        names = sorted(e.name for e in os.scandir(tree.base) if e.is_dir())
        self.assertEqual(names, ["cocained-alive", "cocained-node-1"])

    def test_no_place_for_temporaries(self) -> None:
        """A directory that cannot be made is named."""

        def refuse(path: str, mode: int = 0o777) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

        self.patch(os, "mkdir", refuse)

        error = self.refused(tmpdir="private")

        self.assertIn("isolate argument 'tmpdir': cannot make a directory", str(error))
        self.assertEqual(error.code, errno.EACCES)

    def test_stopped_meanwhile(self) -> None:
        """An app that was stopped while it spooled leaves nothing."""
        self.hierarchies = [self.tree(2, "pids")]
        made = self.confinement(contain=True)
        made.close()

        error = self.assertRaises(SpoolError, made.prepare, self.code)

        self.assertEqual(error.code, errno.ECANCELED)
        names = [e.name for e in os.scandir(self.hierarchies[0].base) if e.is_dir()]
        self.assertEqual(names, [])

    def test_close(self) -> None:
        """Groups and directories go with the app."""
        self.hierarchies = [self.tree(2, "pids")]
        made = self.prepared(contain=True, tmpdir="private")

        made.close()

        self.assertEqual(
            [e.name for e in os.scandir(self.hierarchies[0].base) if e.is_dir()], []
        )


class GraveTests(ConfinementCase):
    """Groups with zombies in them."""

    def test_removed_later(self) -> None:
        """They are tried again with the next worker, and with the app's end."""
        tree = self.tree(2, "pids")
        self.hierarchies = [tree]
        made = self.prepared(contain=True)
        busy: list[str] = []

        def rmdir(path: str) -> None:
            if path in busy:
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)
            self.rmdir(path)

        self.patch(os, "rmdir", rmdir)
        place = f"{tree.base}/cocained-node-1/app-echo"
        for _ in range(2):
            launched = made.launch(PROGRAM, self.code)
            busy[:] = [entry.path for entry in os.scandir(place) if entry.is_dir()]
            self.assertEqual(len(busy), 1)
            self.assertTrue(launched.cell.clear())
            self.assertTrue(os.path.exists(busy[0]))
            busy.clear()

        made.close()

        self.assertFalse(os.path.exists(os.path.dirname(place)))


class LaunchTests(ConfinementCase):
    """What one worker gets."""

    def test_group(self) -> None:
        """A group of its own, with its limits, before it runs."""
        tree = self.tree(2, "pids", "memory")
        self.hierarchies = [tree]
        made = self.prepared(pids=10, memory=2**26)

        first = made.launch(PROGRAM, self.code)
        second = made.launch(PROGRAM, self.code)

        place = f"{tree.base}/cocained-node-1/app-echo"
        groups = [e.path for e in os.scandir(place) if e.is_dir()]
        self.assertEqual(len(groups), 2)
        for group in groups:
            self.assertEqual(self.get(group, "pids.max"), "10")
            self.assertEqual(self.get(group, "memory.max"), str(2**26))
        self.assertNotEqual(first.command, second.command)
        for launched in (first, second):
            self.assertTrue(launched.cell.clear())

    def test_no_group(self) -> None:
        """A machine that refuses leaves nothing half made."""
        tree = self.tree(2, "pids")
        self.hierarchies = [tree]
        made = self.prepared(contain=True, tmpdir="private")

        def refuse(path: str, mode: int = 0o777) -> None:
            if path.startswith(tree.base):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            self.mkdir(path, mode)

        self.patch(os, "mkdir", refuse)

        error = self.assertRaises(SpawnError, made.launch, PROGRAM, self.code)

        self.assertEqual(error.code, errno.ENOSPC)
        self.assertIn("cannot confine a worker", error.reason)
        # That of the proof, and that of this worker.
        self.assertEqual(len(self.later), 2)

    def test_temporary_directory(self) -> None:
        """``TMPDIR`` is the worker's own, and goes when it has ended."""
        made = self.prepared(tmpdir="private")
        self.later.clear()

        launched = made.launch(PROGRAM, self.code)

        path = launched.environment["TMPDIR"]
        self.assertTrue(os.path.isdir(path))
        self.assertTrue(path.startswith(f"{self.directory}/spool/echo/.temporary-"))
        self.assertEqual(launched.command, PROGRAM)
        launched.cell.clear()
        self.assertEqual([args for _, args in self.later], [(path,)])

    def test_sandbox(self) -> None:
        """The code and the app's socket are seen, other sockets are not."""
        made = self.prepared(sandbox="bwrap", tmpdir="private")
        endpoint = f"{self.runtime}/echo.1"

        launched = made.launch(PROGRAM, self.code, endpoint)

        text = " ".join(launched.command)
        self.assertIn(f"--tmpfs {self.runtime}", text)
        self.assertIn(f"--ro-bind {self.code} {self.code}", text)
        self.assertIn(f"--ro-bind {endpoint} {endpoint}", text)
        self.assertEqual(launched.environment, {"TMPDIR": "/tmp"})

    def test_user(self) -> None:
        """The socket becomes the user's, and no privileges come back."""
        made = self.confinement(user="someone")
        owned: list[tuple[str, int, int]] = []
        identity = Identity(1234, 5678, "someone", "/home/someone")
        self.patch(checks, "identify", lambda text, euid: identity)
        self.patch(os, "chown", lambda path, uid, gid: owned.append((path, uid, gid)))
        made.prepare(self.code)

        launched = made.launch(PROGRAM, self.code, "/run/echo.1")

        self.assertEqual(owned, [("/run/echo.1", 1234, -1)])
        self.assertIn("--reuid=1234", launched.command)
        self.assertIn("--no-new-privs", launched.command)
        self.assertEqual(launched.environment["HOME"], "/home/someone")

    def test_privileges_may_stay(self) -> None:
        """A profile may want set-uid programs to work all the same."""
        made = self.confinement(user="someone", no_new_privs=False)
        self.patch(checks, "identify", lambda text, euid: Identity(1234, 5678))
        made.prepare(self.code)

        self.assertNotIn("--no-new-privs", made.launch(PROGRAM, self.code).command)
