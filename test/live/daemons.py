# -*- test-case-name: cocained.test.live.test_docker_client -*-
"""
Real daemons in network namespaces of their own, for the tests that start them.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from cocained.test.live.support import missing, wait_for

#: Seconds until a daemon must answer: an engine takes one, twenty when loaded.
READY_TIMEOUT = 60.0

#: Seconds for an orderly end, containers included.
STOP_TIMEOUT = 30.0

#: Shown of a daemon's log when something went wrong.
LOG_TAIL = 4000

#: Programs that these tests start, and the packages that have them.
PROGRAMS = {
    "busybox": "busybox-static",
    "docker-registry": "docker-registry",
    "dockerd": "docker.io",
    "htpasswd": "apache2-utils",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "podman": "podman",
    "runc": "runc",
}

_numbers = itertools.count()


def require(*programs: str) -> None:
    """
    See that these programs are here and that we are root.

    :raises SkipTest: or :exc:`AssertionError`, see :func:`.support.missing`.
    """
    if os.geteuid() != 0:
        raise missing("only root can start it")
    for program in programs:
        if shutil.which(program) is None:
            raise missing(f"no {program}: install {PROGRAMS[program]}")


class Network:
    """A network namespace with a loopback interface, and nothing else."""

    def __init__(self) -> None:
        require("ip", "nsenter")
        self.name = f"cd{os.getpid()}n{next(_numbers)}"
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.run("ip", "link", "set", "lo", "up")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def command(self, *command: str) -> list[str]:
        """
        Give *command* as it is run in here.

        Not by ``ip netns exec``: that mounts a fresh ``/sys``, without the
        control groups that an engine needs.
        """
        return ["nsenter", f"--net=/run/netns/{self.name}", *command]

    def run(self, *command: str) -> bytes:
        """Run a command in here, and give its output."""
        return subprocess.run(
            self.command(*command), check=True, capture_output=True
        ).stdout

    def close(self) -> None:
        """Remove the namespace; those who run in it keep it alive, unnamed."""
        subprocess.run(["ip", "netns", "del", self.name], check=False)


class Daemon:
    """
    One daemon in a directory of its own.

    :param network: where it runs.
    :cvar programs: that it needs.
    """

    programs: Sequence[str] = ()

    def __init__(self, network: Network) -> None:
        require(*self.programs)
        self.network = network
        # Short, since a UNIX socket's path holds about a hundred bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="cd"))
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
        """Ask the daemon whether it answers."""
        raise NotImplementedError

    def start(self) -> None:
        """
        Start the daemon and wait until it answers.

        :raises AssertionError: it does not; shows its log.
        """
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.network.command(*self.command()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_for(f"{self.programs[0]} answers", self._has_come, READY_TIMEOUT)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from error

    def _has_come(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"it ended with {self.process.returncode}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.is_ready()
        return False

    def tail(self) -> str:
        """Give the end of the log."""
        text = self.log.read_bytes()[-LOG_TAIL:].decode(errors="replace")
        return f"the log ends:\n{text}"

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
            raise AssertionError(f"{how.name} did not end it\n{self.tail()}") from None
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
