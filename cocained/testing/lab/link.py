# -*- test-case-name: cocained.test.live.test_lab -*-
"""
The program :mod:`cocained.testing.lab.latency`, as a lab uses it.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys

from cocained.testing.lab import latency
from cocained.testing.programs import LabError

#: Seconds until it has ended when it is told to.
END_TIMEOUT = 5.0


class LatencyLink:
    """
    A slow cable, instead of the ordinary one, between a host and the bridge.

    :param ends: namespace and interface of each end, which it makes.
    :raises LabError: it did not start.
    """

    def __init__(self, *ends: tuple[str, str]) -> None:
        words = [word for end in ends for word in end]
        self._process = subprocess.Popen(
            # The program must not be stopped by what a user has in his way.
            [sys.executable, "-m", latency.__name__, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if not self._is_ready():
            _, said = self._process.communicate()
            raise LabError(f"no slow cable: {said.strip().splitlines()[-1:]}")

    def _is_ready(self) -> bool:
        assert self._process.stdout is not None, "it was asked for"
        return bool(self._process.stdout.readline().strip() == latency.READY)

    def change(self, delay: float, jitter: float = 0.0, loss: float = 0.0) -> None:
        """
        Say how slow and how bad it is in each direction, and wait until it is.

        :param delay: seconds for each frame.
        :param jitter: seconds by which that varies: a standard deviation.
        :param loss: percent.
        :raises LabError: it has ended.
        """
        assert self._process.stdin is not None, "it was asked for"
        try:
            self._process.stdin.write(f"{delay} {jitter} {loss}\n")
            self._process.stdin.flush()
        except OSError as error:
            raise LabError(f"the slow cable has ended: {error}") from error
        if not self._is_ready():
            raise LabError("the slow cable has ended")

    def close(self) -> None:
        """End it; its interfaces go with it."""
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
