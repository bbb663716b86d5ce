# -*- test-case-name: cocained.test.live.test_docker_demo -*-
"""
A demonstration in a process of its own, as the Makefile runs it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cocained.test.live.daemons import require
from cocained.test.live.support import ROOT, live_reason, missing, wait_for

#: Seconds for all of it; they take about twenty.
TIMEOUT = 120.0

#: Seconds from a signal to the end, which takes two.
END_TIMEOUT = 40.0


class LiveDemoCase(SynchronousTestCase):
    """
    Tests of a demonstration.

    :cvar demo: its program.
    :cvar programs: what it would install; a test does not let it do that.
    """

    skip = live_reason()
    demo: Path
    programs: Sequence[str]

    def setUp(self) -> None:
        """Give it a directory for all temporary files, short enough for sockets."""
        require(*self.programs)
        if not self.demo.exists():
            raise missing("the examples are not in an installed package")
        self.place = Path(tempfile.mkdtemp(prefix="cd"))
        self.addCleanup(shutil.rmtree, self.place, True)
        self.output, self.errors = self.place / "output", self.place / "errors"
        self.temporary = self.place / "t"
        self.temporary.mkdir()

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
                [*enter, sys.executable, str(self.demo), *arguments],
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
        raise NotImplementedError

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
        """See that it has removed its files and ended its processes."""
        self.assertEqual(list(self.temporary.iterdir()), [])
        self.assertEqual(list(mentioning(str(self.temporary))), [])


def mentioning(text: str) -> Iterator[int]:
    """Find the processes whose command line has *text*."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it has ended
            if text.encode() in command:
                yield int(entry.name)
