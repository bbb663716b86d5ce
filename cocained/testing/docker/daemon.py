# -*- test-case-name: cocained.test.test_testing_docker -*-
"""
One daemon in a directory of its own: started, waited for, ended for certain.
"""

from __future__ import annotations

import contextlib
import http.client
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from cocained.testing.programs import LabError, require

#: Seconds until a daemon must answer: an engine takes one, twenty when loaded.
READY_TIMEOUT = 60.0

#: Seconds for an orderly end, containers included.
STOP_TIMEOUT = 30.0

#: Seconds between two looks at a daemon that is to come.
POLL = 0.02

#: Bytes shown of a daemon's log when something went wrong.
LOG_TAIL = 4000


class Daemon:
    """
    One daemon.

    :param enter: a command that runs what follows it, such as one that enters
        a network namespace.
    :param place: where its directory is made; by default that of temporary files.
    :raises LabError: it does not start.
    :cvar programs: that it needs.
    :ivar directory: for all that it keeps.
    """

    programs: Sequence[str] = ()

    def __init__(self, enter: Sequence[str] = (), place: Path | None = None) -> None:
        require(self.programs)
        self.enter = enter
        # Short, since a UNIX socket's path holds about a hundred bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="cd", dir=place))
        self.log = self.directory / "log"
        self.process: subprocess.Popen[bytes] | None = None
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def command(self) -> list[str]:
        """Give the command of one start."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """
        Ask the daemon whether it answers.

        :raises OSError: or :exc:`http.client.HTTPException`, when it does not.
        """
        raise NotImplementedError

    def start(self) -> None:
        """
        Start the daemon and wait until it answers.

        :raises LabError: it does not; shows its log.
        """
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.enter, *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A signal from the keyboard is for us, who end it in order.
                start_new_session=True,
            )
        name = type(self).__name__
        until = time.monotonic() + READY_TIMEOUT
        while not self._has_come():
            status = self.process.poll()
            if status is not None:
                raise LabError(
                    f"{type(self).__name__} ended with {status}; {self.tail()}"
                )
            if time.monotonic() > until:
                raise LabError(
                    f"{name} does not answer within {READY_TIMEOUT:g} s; {self.tail()}"
                )
            time.sleep(POLL)

    def _has_come(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.is_ready()
        return False

    def tail(self) -> str:
        """Give the end of the log."""
        text = self.log.read_bytes()[-LOG_TAIL:].decode(errors="replace")
        return f"its log ends:\n{text}" if text else "it said nothing"

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise LabError(
                f"{how.name} did not end {type(self).__name__}; {self.tail()}"
            ) from None
        finally:
            self.process = None
            self.sweep()

    def sweep(self) -> None:
        """Remove what the daemon leaves behind when it ends."""

    def restart(self) -> None:
        """Stop it in order, and start it with the same data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End it, and remove its directory."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)
