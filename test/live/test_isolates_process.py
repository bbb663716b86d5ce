# -*- test-case-name: cocained.test.live.test_isolates_process -*-
"""
Workers behind limits and walls, seen from inside and from the machine
(legacy-and-seeds.md rows 25, 26, 258).

Needs root, Debian's ``python3`` and ``bubblewrap``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typing_extensions import override

from cocained.errors import RemoteError
from cocained.isolates.grounds import PREFIX
from cocained.isolates.hierarchies import discover
from cocained.test.live.support import (
    WORKERS,
    LiveCase,
    LiveNode,
    live_suite,
    missing,
    processes_under,
    program,
    wait_for,
)

MIB = 1024**2

#: A Python that every user may run; that of the tests may be in a home.
PYTHON = "/usr/bin/python3"

#: What is mounted, as this process sees it.
MOUNTS = Path("/proc/self/mountinfo")

#: Seconds for what the kernel does.
SOON = 15.0

#: A daemon of the old school: out of the process group and of the session.
ESCAPE = "(setsid sh -c 'setsid sleep 98765 >/dev/null 2>&1 &' >/dev/null 2>&1 &)"


def groups() -> list[str]:
    """List the control groups that nodes have here."""
    return sorted(
        entry.path
        for hierarchy in discover()
        for entry in os.scandir(hierarchy.base)
        if entry.name.startswith(PREFIX)
    )


def running(*words: str) -> Iterator[int]:
    """Find processes by their whole command line."""
    line = b"".join(word.encode() + b"\0" for word in words)
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cmdline").read_bytes() == line:
                yield int(entry.name)


class ConfinedCase(LiveCase):
    """Apps whose workers run what they are told."""

    @override
    def prepare(self) -> None:
        """Upload the app, and one more that has no limits."""
        if os.geteuid() or not shutil.which("bwrap") or not os.path.exists(PYTHON):
            raise missing("needs root, Debian's python3 and bubblewrap")
        # Other users must get to the code and to the socket.
        os.chmod(self.node.directory, 0o755)
        source = (WORKERS / "confined.py").read_bytes()
        worker = f"#!{PYTHON}\n".encode() + source
        for name in ("caged", "other"):
            self.node.upload(name, {"worker": worker})
        self.node.upload("plain", {"worker": program("probe.py")})
        self.node.profile("plain", pool_limit=1)
        self.node.start_app("plain", "plain")

    def start(
        self, app: str = "caged", node: LiveNode | None = None, **args: Any
    ) -> None:
        """Start an app with these arguments of its isolate."""
        node = node or self.node
        keys = {"isolate": {"type": "process", "args": args}}
        node.profile(app, pool_limit=1, heartbeat_timeout=60, spawn_timeout=10, **keys)
        node.start_app(app, app)

    def run_inside(self, command: str, app: str = "caged") -> list[str]:
        """Run a command in a worker; give what it printed and its status."""
        with self.node.client(app) as client:
            answer = b"".join(client.stream(command))
        return answer.decode().split("\n")

    def refused(self, part: str, **args: Any) -> None:
        """See that an app cannot be started, and why; others are not harmed."""
        error = self.assertRaises(RemoteError, self.start, **args)
        self.assertIn(part, error.reason)
        self.others_answer()

    def others_answer(self) -> None:
        """See that the node and its other app are well."""
        with self.node.client("plain") as client:
            self.assertEqual(client.stream("ping"), [b"pong"])

    def slave(self) -> dict[bytes, Any]:
        """Give what ``info`` says of the only worker."""
        (slave,) = self.node.info("caged")[b"pool"][b"slaves"].values()
        found: dict[bytes, Any] = slave
        return found


class GroupTests(ConfinedCase):
    """Limits that the kernel keeps for a worker as a whole (row 258)."""

    def test_memory(self) -> None:
        """A worker that takes too much is killed, and the reason says so."""
        self.start(memory=64 * MIB)
        with self.node.client("caged") as client:
            self.assertRaises(RemoteError, client.stream, "!eat")

        (lines,) = wait_for("a crash log", lambda: self.node.crashlogs("caged"), SOON)

        self.assertIn(
            b"was killed by the kernel: out of its memory limit of 64 MiB",
            b"\n".join(lines),
        )
        self.others_answer()

    def test_processes(self) -> None:
        """A fork bomb ends in its own group."""
        self.start(pids=24)
        with self.node.client("caged") as client:
            client.send(1, 0, ["b() { b | b & }; b; sleep 60"])
            wait_for(
                "the limit is reached",
                lambda: self.slave()[b"usage"][b"processes"] >= 20,
                SOON,
            )
            self.others_answer()
            self.assertLessEqual(self.slave()[b"usage"][b"processes"], 24)

        self.node.pause_app("caged")

        wait_for("its groups are gone", lambda: not groups(), SOON)
        self.others_answer()

    def test_processor(self) -> None:
        """A worker with a fifth of a processor gets that, and not more."""
        self.start(cpu=0.2)
        busy = "import time; t = time.time()\nwhile time.time() < t + 1.5: pass"
        spent, status = self.run_inside(
            f"{PYTHON} -c '{busy}\nprint(time.process_time())'"
        )

        self.assertEqual(status, "0")
        # 0.3 s, and as much as one period may be late at both ends.
        self.assertLess(float(spent), 0.6)

    def test_usage(self) -> None:
        """``info`` says what a worker takes."""
        self.start(contain=True)
        self.run_inside("true")

        usage = self.slave()[b"usage"]

        self.assertGreater(usage[b"memory"], MIB)
        self.assertGreater(usage[b"cpu"], 0)
        self.assertEqual(usage[b"processes"], 1)
        with self.node.client("plain") as client:
            client.stream("ping")
        pool = self.node.info("plain")[b"pool"]
        (plain,) = pool[b"slaves"].values()
        self.assertEqual(sorted(plain[b"usage"]), [b"cpu", b"memory"])

    def test_escape(self) -> None:
        """What leaves its process group and session ends with its worker."""
        self.start(contain=True)
        self.run_inside(ESCAPE)
        command = ("sleep", "98765")
        wait_for("it has escaped", lambda: list(running(*command)), SOON)

        self.node.pause_app("caged")

        wait_for("it is gone", lambda: not list(running(*command)), SOON)
        self.assertEqual(groups(), [])

    def test_node_is_killed(self) -> None:
        """What a killed node leaves is swept when its app starts again."""
        self.start(contain=True, tmpdir="private")
        self.run_inside(ESCAPE)
        command = ("sleep", "98765")
        wait_for("it has escaped", lambda: list(running(*command)), SOON)
        assert self.node.process is not None
        self.node.process.send_signal(signal.SIGKILL)
        self.node.process.wait()
        self.assertNotEqual(groups(), [])
        self.assertNotEqual(self.temporaries(), [])
        left = set(groups() + self.temporaries())

        self.node.start()
        self.node.start_app("caged", "caged")

        self.assertEqual(list(running(*command)), [])
        self.assertEqual(left & set(groups() + self.temporaries()), set())

    def temporaries(self) -> list[str]:
        """List the temporary directories of the app."""
        place = self.node.directory / "spool" / "caged"
        return [str(path) for path in place.glob(".temporary-*")]


class ProcessTests(ConfinedCase):
    """What is set for each process."""

    def test_rlimits(self) -> None:
        """Limits are what was asked for, seen from inside."""
        self.start(rlimits={"nofile": [100, 200], "core": 0, "fsize": 1024})

        found = self.run_inside("ulimit -Sn; ulimit -Hn; ulimit -c; ulimit -f")

        self.assertEqual(found, ["100", "200", "0", "2", "0"])

    def test_user(self) -> None:
        """A worker is the user, in one group, and privileges do not come back."""
        self.start(user="nobody", tmpdir="private")

        found = self.run_inside(
            "id -un; id -G; grep NoNewPrivs /proc/self/status; grep CapEff"
            " /proc/self/status; touch $TMPDIR/x; stat -c '%U %a' $TMPDIR; echo $HOME"
        )

        self.assertEqual(
            found,
            [
                *("nobody", "65534", "NoNewPrivs:\t1", "CapEff:\t0000000000000000"),
                *("nobody 700", "/nonexistent", "0"),
            ],
        )

    def test_no_new_privs(self) -> None:
        """It may be had alone."""
        self.start(no_new_privs=True)

        found = self.run_inside("grep NoNewPrivs /proc/self/status; id -u")

        self.assertEqual(found, ["NoNewPrivs:\t1", "0", "0"])

    def test_private_directory(self) -> None:
        """Each worker has its own, which goes with it."""
        self.start(tmpdir="private")
        path, *_ = self.run_inside("echo $TMPDIR; mkdir -p $TMPDIR/a/b")
        self.assertTrue(os.path.isdir(path))

        self.node.pause_app("caged")

        wait_for("it is removed", lambda: not os.path.exists(path), SOON)
        # That of all workers goes with the app, which ends after its last worker.
        above = os.path.dirname(path)
        wait_for("so is that of all", lambda: not os.path.exists(above), SOON)

    def test_refusals(self) -> None:
        """What cannot be had is an error of ``start_app`` with its remedy."""
        self.refused("there is no user 'no-such-user'", user="no-such-user")
        self.refused(
            "/no/such does not exist", sandbox="bwrap", bwrap={"binds": ["/no/such"]}
        )
        self.refused("must be a whole number", memory="64M")
        self.refused("is always on in a sandbox", sandbox="bwrap", no_new_privs=False)

    def test_cannot_enter(self) -> None:
        """A user who does not get to the code is noticed before the first worker."""
        os.chmod(self.node.directory, 0o700)

        self.refused("chmod o+x", user="nobody")


class SandboxTests(ConfinedCase):
    """Bubblewrap."""

    def test_view(self) -> None:
        """Nothing can be written but ``/tmp``; no network, no others' processes."""
        self.start(sandbox="bwrap")

        found = self.run_inside(
            "touch /x 2>/dev/null; echo $?; touch worker 2>/dev/null; echo $?;"
            " touch /tmp/x; echo $?; ls /run | wc -l; echo $TMPDIR;"
            " ls /sys/class/net; grep CapEff /proc/self/status;"
            " ls /proc | grep -c '^[0-9]'"
        )

        self.assertEqual(found[:5], ["1", "1", "0", "0", "/tmp"])
        self.assertEqual(found[-3], "CapEff:\t0000000000000000")
        self.assertLess(int(found[-2]), 10)
        seen = self.run_inside("cat /proc/net/dev | tail -n +3 | wc -l")
        self.assertEqual(seen, ["1", "0"])

    def test_options(self) -> None:
        """What the profile shares is shared."""
        shared = self.node.directory / "shared"
        shared.mkdir()
        network = os.readlink("/proc/self/ns/net")
        self.start(
            sandbox="bwrap", bwrap={"network": True, "binds": [str(shared), "/etc:ro"]}
        )

        found = self.run_inside(
            f"readlink /proc/self/ns/net; echo hello > {shared}/file;"
            " touch /etc/x 2>/dev/null; echo $?"
        )

        self.assertEqual(found, [network, "1", "0"])
        self.assertEqual((shared / "file").read_text(), "hello\n")

    def test_everything(self) -> None:
        """All walls at once; the worker answers and ends in order."""
        self.start(
            sandbox="bwrap",
            user="nobody",
            memory=128 * MIB,
            cpu=1.0,
            pids=32,
            rlimits={"nofile": 128},
        )

        found = self.run_inside("id -un; ulimit -n; touch /tmp/mine; echo $?")

        self.assertEqual(found, ["nobody", "128", "0", "0"])
        self.node.pause_app("caged")
        wait_for("its groups are gone", lambda: not groups(), SOON)
        self.assertEqual(self.node.crashlogs("caged"), [])

    def test_escape(self) -> None:
        """A sandbox ends with all that is in it, groups or not."""
        self.start(sandbox="bwrap")
        self.run_inside(ESCAPE)
        command = ("sleep", "98765")
        wait_for("it has escaped", lambda: list(running(*command)), SOON)

        self.node.pause_app("caged")

        wait_for("it is gone", lambda: not list(running(*command)), SOON)

    def test_many(self) -> None:
        """Fifty workers, all walls: nothing is left of them."""
        keys = {
            "isolate": {
                "type": "process",
                "args": {"sandbox": "bwrap", "pids": 32, "tmpdir": "private"},
            }
        }
        self.node.profile(
            "many", pool_limit=10, spawn_timeout=30, handshake_timeout=30, **keys
        )
        mounts = set(MOUNTS.read_text().splitlines())
        for _ in range(5):
            self.node.start_app("caged", "many")
            with self.node.client("caged") as client:
                client.send(1, 2, [])
                client.send(1, 0, [10])
                wait_for("ten workers", self.ten_active, 60)
            self.node.pause_app("caged")
            wait_for("its groups are gone", lambda: not groups(), SOON)

        spool = str(self.node.directory / "spool" / "caged")
        self.assertEqual(list(processes_under(Path(spool))), [])
        sockets = os.listdir(self.node.directory / "run")
        self.assertFalse([name for name in sockets if name.startswith("caged.")])
        here = str(self.node.directory)
        more = {*MOUNTS.read_text().splitlines()} - mounts
        self.assertEqual([mount for mount in more if here in mount], [])

    def ten_active(self) -> bool:
        """Say whether all workers of the pool are up."""
        slaves = self.node.info("caged")[b"pool"][b"slaves"].values()
        return sum(1 for slave in slaves if slave[b"state"] == b"active") == 10


class RecycleTests(ConfinedCase):
    """Workers that are replaced while events flow."""

    def test_requests(self) -> None:
        """No event fails while workers come and go."""
        self.node.profile(
            "caged",
            pool_limit=1,
            recycle={"requests": 5, "jitter": 0.0},
            isolate={"type": "process", "args": {"contain": True}},
        )
        self.node.start_app("caged", "caged")
        seen = set()

        def served() -> bool:
            seen.add(self.run_inside("echo $PPID")[0])
            return len(seen) >= 4

        wait_for("four workers in a row", served, 30)

        report = self.node.info("caged")
        self.assertEqual(report[b"pool"][b"total:crashed"], 0)
        self.assertEqual(report[b"requests"][b"rejected"], 0)


test_suite = live_suite(__name__)
