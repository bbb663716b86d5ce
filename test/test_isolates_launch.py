# -*- test-case-name: cocained.test.test_isolates_launch -*-
"""
Command lines, row by row.
"""

from __future__ import annotations

import subprocess
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.isolates.launch import (
    JOIN,
    PACKAGES,
    Identity,
    Sandbox,
    command_line,
)

PROGRAM = ["/code/worker", "--app", "echo"]

TOOLS = {name: f"/bin/{name}" for name in PACKAGES}

NOBODY = Identity(65534, 65533, "nobody", "/nonexistent")


class CommandLineTests(SynchronousTestCase):
    """What stands in front of the program."""

    def prefix(self, **more: Any) -> list[str]:
        command = command_line(PROGRAM, TOOLS, **more)
        self.assertEqual(command[-len(PROGRAM) :], PROGRAM)
        return command[: -len(PROGRAM)]

    def test_nothing(self) -> None:
        """With nothing asked for the program is alone, and no tool is needed."""
        self.assertEqual(command_line(PROGRAM, {}), PROGRAM)

    def test_groups(self) -> None:
        """The shell joins all groups, and becomes the program."""
        self.assertEqual(
            self.prefix(entrances=["/a b/cgroup.procs", "/c/cgroup.procs"]),
            [
                *("/bin/sh", "-c", JOIN, "cocained-launch"),
                *("/a b/cgroup.procs", "/c/cgroup.procs", "--"),
            ],
        )

    def test_rlimits(self) -> None:
        """Soft and hard limits by name, in alphabetical order."""
        self.assertEqual(
            self.prefix(rlimits={"nofile": (10, 20), "core": (0, 0), "as": (5, -1)}),
            [
                "/bin/prlimit",
                *("--as=5:unlimited", "--core=0:0", "--nofile=10:20", "--"),
            ],
        )

    def test_user(self) -> None:
        """One group, no others, no capabilities that could be inherited."""
        self.assertEqual(
            self.prefix(user=NOBODY, no_new_privs=True),
            [
                *("/bin/setpriv", "--reuid=65534", "--regid=65533"),
                *("--clear-groups", "--inh-caps=-all", "--no-new-privs", "--"),
            ],
        )

    def test_no_new_privs(self) -> None:
        """Which may be asked for alone."""
        self.assertEqual(
            self.prefix(no_new_privs=True), ["/bin/setpriv", "--no-new-privs", "--"]
        )

    def test_sandbox(self) -> None:
        """Everything read-only, nothing of others' sockets, no network."""
        self.assertEqual(
            self.prefix(
                sandbox=Sandbox(
                    "/spool/echo/1", ("/srv/sockets",), ("/srv/sockets/echo.1",)
                )
            ),
            [
                *("/bin/bwrap", "--ro-bind", "/", "/", "--dev", "/dev"),
                *("--proc", "/proc", "--perms", "1777", "--tmpfs", "/tmp"),
                *("--tmpfs", "/run", "--tmpfs", "/srv/sockets"),
                *("--ro-bind", "/spool/echo/1", "/spool/echo/1"),
                *("--ro-bind", "/srv/sockets/echo.1", "/srv/sockets/echo.1"),
                *("--chdir", "/spool/echo/1"),
                *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net"),
                *("--unshare-cgroup-try", "--die-with-parent", "--cap-drop", "ALL"),
                "--",
            ],
        )

    def test_sandbox_options(self) -> None:
        """Network, a writable root, and what is shared with the machine."""
        prefix = self.prefix(
            sandbox=Sandbox(
                "/code",
                binds=(("/data", False), ("/models", True)),
                network=True,
                read_only=False,
            )
        )

        text = " ".join(prefix)
        self.assertNotIn("--unshare-net", prefix)
        self.assertIn("/bin/bwrap --bind / / ", text)
        self.assertIn("--ro-bind-try /run/systemd/resolve", text)
        self.assertIn("--bind /data /data --ro-bind /models /models", text)

    def test_covered_directories(self) -> None:
        """What leads to a shared path below a covered one can be entered."""
        text = " ".join(
            self.prefix(
                sandbox=Sandbox("/tmp/a/spool/echo", ("/tmp/a/run",), ("/tmp/a/run/s",))
            )
        )

        self.assertIn("--dir /tmp/a --tmpfs /tmp/a/run", text)
        self.assertIn(
            "--dir /tmp/a --dir /tmp/a/spool --ro-bind /tmp/a/spool/echo", text
        )

    def test_everything(self) -> None:
        """Groups first, while we are root; the user last, inside the walls."""
        command = self.prefix(
            entrances=["/g/cgroup.procs"],
            rlimits={"core": (0, 0)},
            sandbox=Sandbox("/code"),
            user=NOBODY,
            no_new_privs=True,
        )

        tools = [word for word in command if word in TOOLS.values()]
        self.assertEqual(
            tools, ["/bin/sh", "/bin/prlimit", "/bin/bwrap", "/bin/setpriv"]
        )
        text = " ".join(command)
        self.assertIn("--cap-add CAP_SETUID --cap-add CAP_SETGID", text)

    def test_sandbox_has_no_new_privs(self) -> None:
        """Bubblewrap sees to that by itself."""
        self.assertNotIn(
            "/bin/setpriv", self.prefix(sandbox=Sandbox("/code"), no_new_privs=True)
        )


class JoinTests(SynchronousTestCase):
    """The shell's few words."""

    def run_shell(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-c", JOIN, "cocained-launch", *words],
            capture_output=True,
            text=True,
            timeout=20,
        )

    def test_joins(self) -> None:
        """Each group is joined; the program's words arrive as they are."""
        paths = [self.mktemp(), self.mktemp() + " b"]

        done = self.run_shell(*paths, "--", "/bin/echo", "a  b", "--", "$HOME")

        self.assertEqual(done.stdout, "a  b -- $HOME\n")
        for path in paths:
            with open(path) as file:
                self.assertEqual(file.read(), "0\n")

    def test_refused(self) -> None:
        """Nothing runs outside of its group."""
        done = self.run_shell(f"{self.mktemp()}/none", "--", "/bin/echo", "ran")

        self.assertEqual(done.stdout, "")
        self.assertEqual(done.returncode, 125)
        self.assertIn("none", done.stderr)


class IdentityTests(SynchronousTestCase):
    """What programs expect of their user."""

    def test_environment(self) -> None:
        """Name and home, as far as there are any."""
        self.assertEqual(
            NOBODY.environment(),
            {"HOME": "/nonexistent", "USER": "nobody", "LOGNAME": "nobody"},
        )
        self.assertEqual(Identity(5000, 5000).environment(), {"HOME": "/"})
