# -*- test-case-name: cocained.test.test_testing_docker -*-
"""
A Docker Engine of our own.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from typing_extensions import override

from cocained.testing.docker.daemon import READY_TIMEOUT, Daemon
from cocained.testing.programs import LabError

#: Times that mounts are looked for; some hide others.
UNMOUNTS = 3


class Engine(Daemon):
    """
    A Docker Engine without a bridge: its containers have the network that it
    runs in, or none.

    :param arguments: further options of ``dockerd``.
    """

    programs: Sequence[str] = ("dockerd",)

    def __init__(
        self,
        *arguments: str,
        enter: Sequence[str] = (),
        place: Path | None = None,
    ) -> None:
        self.arguments = arguments
        self.starts = 0
        super().__init__(enter, place)

    @property
    def socket(self) -> Path:
        """Where the engine listens."""
        return self.directory / "docker.sock"

    @property
    def address(self) -> str:
        """The same, as a client names it."""
        return f"unix://{self.socket}"

    @property
    def state(self) -> Path:
        """
        The engine's ``exec-root``, another one for each start.

        One that a killed engine has left delays the next start by half a
        minute: it waits for the containerd whose number it finds there.
        """
        return self.directory / f"exec{self.starts}"

    @override
    def command(self) -> list[str]:
        self.starts += 1
        # That of the machine's own engine may say anything.
        settings = self.directory / "daemon.json"
        settings.write_text("{}")
        # A namespace has no two "_" in a row, nor one at an end.
        name = self.directory.name.replace("_", "0")
        return [
            *("dockerd", "--host", self.address, "--log-level", "warn"),
            *("--config-file", str(settings)),
            # A containerd of the machine, if one runs, is shared with its engine.
            *("--containerd-namespace", name),
            *("--containerd-plugins-namespace", f"{name}.plugins"),
            *("--data-root", str(self.directory / "data")),
            *("--exec-root", str(self.state)),
            *("--pidfile", str(self.directory / f"pid{self.starts}")),
            *("--storage-driver", "overlay2", "--bridge", "none"),
            *("--iptables=false", "--ip6tables=false", "--ip-masq=false"),
            *self.arguments,
        ]

    @override
    def is_ready(self) -> bool:
        return self.request("GET", "/_ping") == b"OK"

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """
        Send one request, without :mod:`cocained.docker`.

        :param body: a tar archive, or nothing.
        :raises LabError: the engine refuses.
        """
        connection = http.client.HTTPConnection("docker", timeout=READY_TIMEOUT)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(READY_TIMEOUT)
        with contextlib.closing(connection):
            connection.sock.connect(str(self.socket))
            headers = {"Content-Type": "application/x-tar"} if body else {}
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            text = answer.read()
        if answer.status >= 400 or b'"error"' in text:
            raise LabError(f"{method} {path}: {answer.status} {text!r}")
        return text

    @override
    def sweep(self) -> None:
        """
        End the containers of an engine that was killed, and take away mounts.

        Containers outlive their engine: each has a shim of its own, whose
        command line names our directory.
        """
        for pid in _mentioning(str(self.state)):
            _kill_tree(pid)
        mine = f"{self.directory}/"
        for _ in range(UNMOUNTS):
            places = [place for place in _mounts() if place.startswith(mine)]
            for place in reversed(places):
                subprocess.run(["umount", "-l", place], check=False)


def _mounts() -> list[str]:
    """Give the places where something is mounted, outer ones first."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [line.split()[1] for line in lines]


def _mentioning(text: str) -> Iterator[int]:
    """Find the processes whose command line has *text*."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if text.encode() in (entry / "cmdline").read_bytes():
                    yield int(entry.name)


def _kill_tree(pid: int) -> None:
    """End a process and its descendants."""
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            _kill_tree(int(child))
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
