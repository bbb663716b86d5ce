# -*- test-case-name: cocained.test.live.test_cluster_demo -*-
"""
What ``make cluster-demo`` shows, and that nothing is left of it.
"""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from typing_extensions import override

from cocained.test.live.demo_case import END_TIMEOUT, TIMEOUT, LiveDemoCase
from cocained.test.live.support import ROOT, live_suite
from cocained.testing.lab import NEEDS


class DemoTests(LiveDemoCase):
    """The demonstration of a cluster."""

    demo = ROOT / "examples" / "cluster" / "demo.py"
    programs = NEEDS

    @override
    def end(self, demo: subprocess.Popen[bytes]) -> None:
        # In order, so that it cleans up.
        if demo.poll() is None:
            demo.terminate()
            demo.wait(END_TIMEOUT)

    @override
    def check_nothing_is_left(self, demo: subprocess.Popen[bytes]) -> None:
        super().check_nothing_is_left(demo)
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
        self.wait_for("answered", demo)
        demo.send_signal(signal.SIGINT)
        self.assertEqual(demo.wait(END_TIMEOUT), 128 + signal.SIGINT, self.shown())
        self.assertIn("[6/6] ", self.shown())
        self.assertIn("Stopped.", self.shown())
        self.assertNotIn("Traceback", self.shown())
        self.check_nothing_is_left(demo)


test_suite = live_suite(__name__)
