# -*- test-case-name: cocained.test.live.test_isolates_guest -*-
"""
A node in a guest, in a control group that a test has chosen.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import override

from cocained.errors import RemoteError
from cocained.test.live.guest_root import imported, traced
from cocained.test.live.support import (
    LOOPBACK,
    READY_TIMEOUT,
    SERVICES,
    WORKERS,
    Client,
    LiveNode,
    merge,
    wait_for,
)

if TYPE_CHECKING:
    from cocained.test.live.guest import Guest

#: Ports of the guest: those of services, and then those of apps.
NODE_PORTS = range(20100, 20108)

#: Starts nodes there.
SEED = Path(__file__).absolute().with_name("seed.py")

#: Where it listens.
FIFO = "/run/seed"

#: A Python that every user may run, with nothing but the standard library.
WORKER_PYTHON = f"{sys._base_executable} -SE"  # type: ignore[attr-defined]

#: Seconds until a node there answers: it is forked, but the machine is emulated.
PATIENCE = 180.0


def confined_worker() -> bytes:
    """Give the worker that runs what it is told."""
    source = (WORKERS / "confined.py").read_bytes()
    return f"#!{WORKER_PYTHON}\n".encode() + source


def modules() -> set[Path]:
    """Learn what a node imports, from one that runs an app here."""
    with tempfile.TemporaryDirectory(prefix="ck") as directory:
        listing = Path(directory, "modules")
        node = LiveNode()
        node.program = traced("from twisted.scripts.twistd import run; run()", listing)
        try:
            node.start()
            node.upload("model", {"worker": confined_worker()})
            # Walls of a kind that needs nothing of this machine.
            walls = {"type": "process", "args": {"tmpdir": "private"}}
            node.profile("model", pool_limit=1, isolate=walls)
            node.start_app("model", "model")
            with node.client("model") as client:
                client.stream("true")
            node.info("model")
            node.pause_app("model")
            node.process.send_signal(signal.SIGUSR1)
            wait_for("a list", listing.exists, READY_TIMEOUT)
            node.stop()
        finally:
            node.close()
        return imported(listing) | {SEED}


class GuestNode(LiveNode):
    """
    A node in a guest.

    It has the same paths there as it would have here.

    :param guest: where.
    :param group: directory of the control group in which it begins.
    :param user: number of the user that it is.
    """

    def __init__(self, guest: Guest, group: str, user: int = 0) -> None:
        super().__init__({"shutdown": {"settle": 0}})
        self._guest = guest
        self.group = group
        self.user = user
        self.pid: int | None = None
        network = {
            "endpoint": guest.address,
            "hostname": guest.address,
            "shared": [NODE_PORTS.start + len(SERVICES), NODE_PORTS.stop],
        }
        self.configuration = merge(self.configuration, {"network": network})

    @override
    def choose_ports(self) -> dict[str, int]:
        return dict(zip(SERVICES, NODE_PORTS, strict=False))

    @override
    def dial(self, port: int) -> Client:
        return Client((LOOPBACK, self._guest.ports[port]), PATIENCE)

    @override
    def launch(self) -> None:
        seed = {
            "directory": str(self.directory),
            "configuration": self.configuration,
            "group": self.group,
            "user": self.user,
        }
        pid_file = f"{self.directory}/node.pid"
        self._guest.run(f"rm -f {pid_file}; echo '{json.dumps(seed)}' >{FIFO}")
        wait_for("a process", lambda: self._guest.says(f"[ -s {pid_file} ]"), PATIENCE)
        self.pid = int(self._guest.run(f"cat {pid_file}"))

    @override
    def _is_ready(self) -> bool:
        if not self.is_running():
            raise AssertionError("the node has ended")
        # The emulator takes connections for which nobody listens there.
        with contextlib.suppress(AssertionError, OSError, RemoteError):
            return bool(self.resolve("node"))
        return False

    def is_running(self) -> bool:
        """Say whether it has not ended."""
        return self._guest.says(f"kill -0 {self.pid}")

    @override
    def stop(self, timeout: float = PATIENCE) -> float:
        if self.pid is not None:
            self._guest.run(f"kill {self.pid}")
            self._wait_for_end()
            log = self.tail()
            if "Traceback" in log:
                raise AssertionError(f"the node logged a traceback\n{log}")
        return 0.0

    def kill(self) -> None:
        """End it without a chance to do anything."""
        if self.pid is not None:
            self._guest.run(f"kill -9 {self.pid}")
            self._wait_for_end()

    def _wait_for_end(self) -> None:
        wait_for("the node has ended", lambda: not self.is_running(), PATIENCE)
        self.pid = None

    @override
    def tail(self) -> str:
        return self._guest.run(f"cat {self.directory}/node.log")

    @override
    def close(self) -> None:
        if self.pid is not None and self.is_running():
            self.kill()
        super().close()
