# -*- test-case-name: cocained.test.live.test_cluster_demo -*-
"""
What ``make cluster-demo`` shows, and that nothing is left of it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cocained.test.live.daemons import require
from cocained.test.live.support import ROOT, live_reason, live_suite, missing, wait_for
from cocained.test.live.test_docker_demo import mentioning
from cocained.testing.lab import NEEDS

DEMO = ROOT / "examples" / "cluster" / "demo.py"

#: Seconds for all of it; it takes about 25.
TIMEOUT = 120.0

#: Seconds from a signal to the end.
END_TIMEOUT = 40.0


class DemoTests(SynchronousTestCase):
    """The demonstration, as the Makefile runs it."""

    skip = live_reason()

    def setUp(self) -> None:
        """Give it a directory for all temporary files, short enough for sockets."""
        require(*NEEDS)
        if not DEMO.exists():
            raise missing("the examples are not in an installed package")
        self.place = Path(tempfile.mkdtemp(prefix="cd"))
        self.addCleanup(shutil.rmtree, self.place, True)
        self.output, self.errors = self.place / "output", self.place / "errors"
        self.temporary = self.place / "t"
        self.temporary.mkdir()

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start it."""
        code = [str(ROOT), str(ROOT / "frameworks" / "python")]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(code),
            "TMPDIR": str(self.temporary),
        }
        with self.output.open("wb") as output, self.errors.open("wb") as errors:
            demo = subprocess.Popen(
                [sys.executable, str(DEMO), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=environment,
                start_new_session=True,
            )
        self.addCleanup(self.end, demo)
        return demo

    def end(self, demo: subprocess.Popen[bytes]) -> None:
        """End one that a failed test has left, in order, so that it cleans up."""
        if demo.poll() is None:
            demo.terminate()
            demo.wait(END_TIMEOUT)

    def shown(self) -> str:
        """Give what it has printed so far."""
        return self.output.read_text() + self.errors.read_text()

    def check_nothing_is_left(self, demo: subprocess.Popen[bytes]) -> None:
        """See that the machine is as it was."""
        self.assertEqual(list(self.temporary.iterdir()), [])
        self.assertEqual(list(mentioning(str(self.temporary))), [])
        left = list(Path("/run/netns").glob(f"demo{demo.pid}x*"))
        self.assertEqual(left, [])

    def test_record(self) -> None:
        """
        It shows all steps, and the death of a node costs what it had in flight.
        """
        demo = self.start("--json")
        self.assertEqual(demo.wait(TIMEOUT), 0, self.shown())
        shown = self.errors.read_text()
        for number in range(1, 7):
            self.assertIn(f"[{number}/6] ", shown)
        record = json.loads(self.output.read_text())
        self.assertNotEqual(record["uuid"]["before"], record["uuid"]["after"])
        seconds = record["table"]
        self.assertGreaterEqual(len(seconds), 15)
        (death,) = (
            number
            for number, second in enumerate(seconds)
            if any("killed" in event for event in second["events"])
        )
        # A client each, at most; all of them see it in this second or the next.
        self.assertLessEqual(record["load"]["failed"], 12)
        near = sum(second["failed"] for second in seconds[death : death + 2])
        self.assertEqual(record["load"]["failed"], near)
        # The others go on, and the one that is back is asked again.
        for second in seconds[death + 1 : 15]:
            self.assertGreater(second["answered"], 0)
        self.assertEqual(seconds[death + 2]["nodes"]["three"], 0)
        self.assertGreater(sum(second["nodes"]["three"] for second in seconds[9:]), 0)
        self.check_nothing_is_left(demo)

    def test_interrupted(self) -> None:
        """Ctrl-C in the midst of the load ends everything all the same."""
        demo = self.start()
        wait_for(
            "the load is shown, or it has ended",
            lambda: "answered" in self.shown() or demo.poll() is not None,
            TIMEOUT,
        )
        demo.send_signal(signal.SIGINT)
        self.assertEqual(demo.wait(END_TIMEOUT), 128 + signal.SIGINT, self.shown())
        self.assertIn("[6/6] ", self.shown())
        self.assertIn("Stopped.", self.shown())
        self.assertNotIn("Traceback", self.shown())
        self.check_nothing_is_left(demo)


test_suite = live_suite(__name__)
