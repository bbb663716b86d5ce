# -*- test-case-name: cocained.test.live.test_newcomer -*-
"""
What somebody sees who has just cloned the checkout: ``make run``.

It is run as the Makefile does, in a copy of the checkout, twice in a row, since
the second time there are documents and code of the first.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cocained.test.live.support import (
    LOOPBACK,
    ROOT,
    live_reason,
    live_suite,
    missing,
    processes_under,
    wait_for,
)

#: The port of ``examples/node.yaml``.
LOCATOR = 10053

#: Bytes of the value that the tour stores and its app measures.
ANSWER = len("If you wanna get down, down on the ground")

#: Seconds for the whole tour; it takes about four.
TOUR_TIMEOUT = 60.0

#: Seconds from Ctrl-C to the end.
END_TIMEOUT = 10.0

#: What a copy of the checkout needs not.
HEAVY = shutil.ignore_patterns(
    ".git", ".venv", "var", "_trial_temp*", ".mypy_cache", ".hypothesis", "build"
)


class MakeRunTests(SynchronousTestCase):
    """The tour of ``examples/run.py``."""

    skip = live_reason()

    def setUp(self) -> None:
        """Copy the checkout, and put its commands where the tour looks for them."""
        for command in ("twistd", "cocaine-tool"):
            if not (Path(sys.executable).parent / command).exists():
                raise missing(f"{command} is not installed beside this interpreter")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, LOCATOR))
            except OSError:
                raise missing(f"port {LOCATOR} is taken on this machine") from None
        self.place = Path(tempfile.mkdtemp(prefix="cn")).resolve()
        self.addCleanup(shutil.rmtree, self.place, True)
        self.checkout = self.place / "checkout"
        shutil.copytree(ROOT, self.checkout, symlinks=True, ignore=HEAVY)
        self.log = self.place / "output"

    def start(self) -> subprocess.Popen[bytes]:
        """Start the tour."""
        code = [str(self.checkout), str(self.checkout / "frameworks" / "python")]
        with self.log.open("wb") as log:
            tour = subprocess.Popen(
                [sys.executable, "examples/run.py"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.checkout,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(code),
                    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                    "XDG_RUNTIME_DIR": str(self.place / "r"),
                },
                start_new_session=True,
            )
        self.addCleanup(self.end, tour)
        return tour

    def end(self, tour: subprocess.Popen[bytes]) -> None:
        """End a tour that a failed test has left."""
        if tour.poll() is None:
            tour.kill()
            tour.wait()
        for pid in processes_under(self.checkout):
            os.kill(pid, signal.SIGKILL)

    def output(self) -> str:
        """Give what the tour has printed so far."""
        return self.log.read_text()

    def test_twice(self) -> None:
        """
        It prints the answer, and Ctrl-C ends it and all that it started.

        That takes the tool, the framework and the usual port (rows 98, 104, 126).
        """
        for _ in range(2):
            tour = self.start()
            wait_for(
                "the tour is over",
                lambda tour=tour: (
                    "It works." in self.output() or tour.poll() is not None
                ),
                TOUR_TIMEOUT,
            )
            self.assertIsNone(tour.poll(), self.output())
            self.assertIn(f"calculate_length('key') = {ANSWER}", self.output())
            began = time.monotonic()
            tour.send_signal(signal.SIGINT)
            status = tour.wait(END_TIMEOUT)
            self.assertLess(time.monotonic() - began, END_TIMEOUT)
            self.assertEqual(status, 0, self.output())
            self.assertNotIn("Traceback", self.output())
            wait_for(
                "no process is left",
                lambda: not list(processes_under(self.checkout)),
                2.0,
            )


test_suite = live_suite(__name__)
