# -*- test-case-name: cocained.test.live.test_docker_demo -*-
"""
What ``make docker-demo`` shows, and that nothing is left of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

from typing_extensions import override

from cocained.test.live.demo_case import (
    END_TIMEOUT,
    TIMEOUT,
    LiveDemoCase,
    mentioning,
)
from cocained.test.live.support import ROOT, live_suite

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


class DemoTests(LiveDemoCase):
    """The demonstration of apps in containers."""

    demo = ROOT / "examples" / "docker" / "demo.py"
    programs = PROGRAMS

    @override
    def setUp(self) -> None:
        super().setUp()
        self.traces = traces()

    @override
    def end(self, demo: subprocess.Popen[bytes]) -> None:
        if demo.poll() is None:
            demo.kill()
            demo.wait()
        for pid in mentioning(str(self.temporary)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @override
    def check_nothing_is_left(self, demo: subprocess.Popen[bytes]) -> None:
        super().check_nothing_is_left(demo)
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


def traces() -> tuple[bool, list[str]]:
    """Give what an engine changes that is not kept from it."""
    settings = Path("/etc/docker")
    there = sorted(map(str, settings.rglob("*"))) if settings.exists() else ["-"]
    return Path("/sys/class/net/docker0").exists(), there


test_suite = live_suite(__name__)
