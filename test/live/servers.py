# -*- test-case-name: cocained.test.live.test_storages_postgres -*-
"""
Servers of storages: each a process in a directory of its own, on a free port.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from cocained.test.live.support import LOG_TAIL, free_ports, missing, wait_for

#: Seconds until a server must answer, and until it must have ended.
READY_TIMEOUT = 30.0
END_TIMEOUT = 15.0


class Server:
    """
    One server; it keeps its data when it is started again.

    :cvar program: what it runs, and the package that brings it.
    """

    program: tuple[str, str]

    def __init__(self) -> None:
        if shutil.which(self.program[0]) is None:
            raise missing(f"no {self.program[0]}: install {self.program[1]}")
        self.directory = Path(tempfile.mkdtemp(prefix="cs"))
        # Servers that give up root's rights have to get there.
        self.directory.chmod(0o755)
        self.port = free_ports(1)[0]
        self.log = self.directory / "log"
        self.process: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    def prepare(self) -> None:
        """Make what the server needs; called before its first start."""

    def command(self) -> list[str]:
        """Give the command that runs it."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Say whether it answers."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it answers."""
        if not self.log.exists():
            self.log.touch()
            self.prepare()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,
            )
        wait_for("the server is ready", self._is_ready, READY_TIMEOUT)

    def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            tail = self.log.read_text(errors="replace")[-LOG_TAIL:]
            raise AssertionError(f"{self.program[0]} ended:\n{tail}")
        return self.is_ready()

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it with a signal and wait for the end."""
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)
            try:
                process.wait(END_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def family(self) -> list[int]:
        """Give the ids of the process and of its children."""
        assert self.process is not None
        first = self.process.pid
        children = ""
        with contextlib.suppress(FileNotFoundError):
            children = Path(f"/proc/{first}/task/{first}/children").read_text()
        return [first, *map(int, children.split())]

    def pause(self) -> None:
        """Let it hang, with all its connections open."""
        for pid in self.family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        if self.process is not None:
            for pid in self.family():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        """End it and leave nothing behind."""
        if self.process is not None:
            self.resume()
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)
