# -*- test-case-name: cocained.test.live.test_docker_demo -*-
"""
What ``make docker-demo`` shows, and that nothing is left of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cocained.test.live.daemons import require
from cocained.test.live.support import ROOT, live_reason, live_suite, missing, wait_for

DEMO = ROOT / "examples" / "docker" / "demo.py"

#: What it would install; a test does not let it do that.
PROGRAMS = (
    "dockerd",
    "docker-init",
    "runc",
    "docker-registry",
    "busybox",
    "ip",
    "unshare",
)

#: Bytes of the text that the app measures.
ANSWER = len("If you wanna get down, down on the ground")

#: Makes a machine on which an engine runs already, as far as another one would
#: notice: its containerd's socket, and settings that nobody else can use.
ANOTHER_ENGINE = """
mount -t tmpfs test /run/containerd && touch /run/containerd/containerd.sock &&
mount -t tmpfs test /etc/docker && echo '{"hosts": []}' > /etc/docker/daemon.json &&
exec "$@"
"""

#: Seconds for all of it; it takes about fifteen.
TIMEOUT = 120.0

#: Seconds from a signal to the end, which takes two.
END_TIMEOUT = 30.0


class DemoTests(SynchronousTestCase):
    """The demonstration, as the Makefile runs it."""

    skip = live_reason()

    def setUp(self) -> None:
        """Give it a directory for all temporary files, short enough for sockets."""
        require(*PROGRAMS)
        if not DEMO.exists():
            raise missing("the examples are not in an installed package")
        self.place = Path(tempfile.mkdtemp(prefix="cd"))
        self.addCleanup(shutil.rmtree, self.place, True)
        self.output, self.errors = self.place / "output", self.place / "errors"
        self.temporary = self.place / "t"
        self.temporary.mkdir()
        self.traces = traces()

    def start(
        self, *arguments: str, path: str = "", enter: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """
        Start it.

        :param path: directory of programs that go before those of the machine.
        :param enter: a command that runs it somewhere else.
        """
        code = [str(ROOT), str(ROOT / "frameworks" / "python")]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(code),
            "TMPDIR": str(self.temporary),
            "PATH": os.pathsep.join(filter(None, [path, os.environ["PATH"]])),
        }
        with self.output.open("wb") as output, self.errors.open("wb") as errors:
            demo = subprocess.Popen(
                [*enter, sys.executable, str(DEMO), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=environment,
                start_new_session=True,
            )
        self.addCleanup(self.end, demo)
        return demo

    def end(self, demo: subprocess.Popen[bytes]) -> None:
        """End one that a failed test has left."""
        if demo.poll() is None:
            demo.kill()
            demo.wait()
        for pid in mentioning(str(self.temporary)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def wait_for(self, text: str, demo: subprocess.Popen[bytes]) -> None:
        """Wait until it has printed *text*."""
        wait_for(
            f"{text!r} is shown, or it has ended",
            lambda: text in self.shown() or demo.poll() is not None,
            TIMEOUT,
        )
        self.assertIn(text, self.shown())

    def shown(self) -> str:
        """Give what it has printed so far."""
        return self.output.read_text() + self.errors.read_text()

    def check_nothing_is_left(self, demo: subprocess.Popen[bytes]) -> None:
        """See that the machine is as it was."""
        self.assertEqual(list(self.temporary.iterdir()), [])
        self.assertEqual(list(mentioning(str(self.temporary))), [])
        self.assertNotIn(str(self.temporary), Path("/proc/self/mounts").read_text())
        groups = Path("/sys/fs/cgroup").glob(f"**/cocained-demo-{demo.pid}")
        self.assertEqual(list(groups), [])
        self.assertEqual(traces(), self.traces)

    def test_record(self) -> None:
        """
        It shows all steps, and prints a record of both kinds of workers.

        An engine that the machine has is no hindrance.
        """
        for place in ("/run/containerd", "/etc/docker"):
            Path(place).mkdir(exist_ok=True)
        enter = ("unshare", "--mount", "sh", "-c", ANOTHER_ENGINE, "sh")
        demo = self.start("--json", "--rounds", "2", enter=enter)
        self.assertEqual(demo.wait(TIMEOUT), 0, self.shown())
        shown = self.errors.read_text()
        for number in range(1, 10):
            self.assertIn(f"[{number}/9] ", shown)
        self.assertIn("Step 2/4 : COPY length.py", shown)
        record = json.loads(self.output.read_text())
        self.assertEqual(record["answers"], {"docker": ANSWER, "process": ANSWER})
        starts = record["cold_starts"]
        for isolate in ("docker", "process"):
            phases = ("spawn_ms", "import_ms", "handshake_ms", "reply_ms")
            for phase in (*phases, "total_ms", "worker_mib"):
                self.assertGreater(starts[isolate][phase]["median"], 0, phase)
        self.assertIn("keeper_mib", starts["docker"])
        self.assertNotIn("keeper_mib", starts["process"])
        self.assertGreater(record["image_bytes"]["app"], record["image_bytes"]["base"])
        self.check_nothing_is_left(demo)

    def test_keep(self) -> None:
        """It keeps running, can be looked at as it says, and ends on a signal."""
        demo = self.start("--keep", "--rounds", "1")
        self.wait_for("Ctrl-C ends it", demo)
        lines = self.output.read_text().splitlines()
        (line,) = (line for line in lines if line.endswith("cocaine-tool info"))
        done = subprocess.run(
            line.split(), cwd=ROOT, capture_output=True, timeout=TIMEOUT, check=False
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"length", done.stdout)
        demo.send_signal(signal.SIGTERM)
        self.assertEqual(demo.wait(END_TIMEOUT), 0, self.shown())
        self.assertIn("[9/9] ", self.shown())
        self.check_nothing_is_left(demo)

    def test_interrupted(self) -> None:
        """Ctrl-C while a container starts ends everything all the same."""
        demo = self.start()
        self.wait_for("restart -n length -r docker", demo)
        demo.send_signal(signal.SIGINT)
        self.assertEqual(demo.wait(END_TIMEOUT), 128 + signal.SIGINT, self.shown())
        self.assertIn("Stopped.", self.shown())
        self.assertNotIn("Traceback", self.shown())
        self.check_nothing_is_left(demo)

    def test_broken(self) -> None:
        """When a part does not start, its log is shown and the others are ended."""
        programs = self.place / "programs"
        programs.mkdir()
        broken = programs / "docker-registry"
        broken.write_text("#!/bin/sh\necho no such luck; exit 7\n")
        broken.chmod(0o755)
        demo = self.start(path=str(programs))
        self.assertEqual(demo.wait(END_TIMEOUT), 1, self.shown())
        self.assertIn("That did not work: Registry ended with 7", self.shown())
        self.assertIn("no such luck", self.shown())
        self.assertNotIn("Traceback", self.shown())
        self.check_nothing_is_left(demo)


def mentioning(text: str) -> Iterator[int]:
    """Find the processes whose command line has *text*."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if text.encode() in (entry / "cmdline").read_bytes():
                    yield int(entry.name)


def traces() -> tuple[bool, list[str]]:
    """Give what an engine changes that is not kept from it."""
    settings = Path("/etc/docker")
    there = sorted(map(str, settings.rglob("*"))) if settings.exists() else ["-"]
    return Path("/sys/class/net/docker0").exists(), there


test_suite = live_suite(__name__)
