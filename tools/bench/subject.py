# -*- test-case-name: cocained.test.test_tools_bench_store -*-
"""
A node as a target: one that is started here, or a peer that runs already.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cocained.errors import RemoteError
from cocained.tools.bench import frames, store
from cocained.tools.bench.client import Address, Connection, resolve, wait_for
from cocained.tools.bench.errors import BenchError
from cocained.tools.bench.process import Child
from cocained.tools.bench.targets import ECHO, NODE, PEER, Bench

LOOPBACK = "127.0.0.1"

#: The services that a node of the benchmark offers, each on a port of its own.
SERVICES = ("locator", "storage", "logging", "node")

#: Seconds until a node must answer; it takes well under one.
START_TIMEOUT = 60.0

#: Runs ``twistd`` of this interpreter, wherever its script was installed.
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")


def free_ports(count: int) -> list[int]:
    """
    Find ports that nobody listens on now.

    :param count: how many, all different.
    """
    sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    try:
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def node_configuration(directory: Path, ports: Sequence[int]) -> dict[str, Any]:
    """
    Make a node's configuration.

    :param directory: for everything that the node keeps.
    :param ports: one for each of :data:`SERVICES`.
    """
    services: dict[str, Any] = {name: {"type": name} for name in SERVICES}
    services["node"]["args"] = {"runlist": ""}
    return {
        "version": 4,
        "paths": {"runtime": str(directory / "run"), "spool": str(directory / "spool")},
        "network": {
            "endpoint": LOOPBACK,
            "pinned": dict(zip(SERVICES, ports, strict=True)),
        },
        "logging": {"loggers": [{"type": "console", "args": {"severity": "warning"}}]},
        "storages": {
            "core": {"type": "files", "args": {"path": str(directory / "store")}}
        },
        "services": services,
    }


class Subject:
    """
    Anything with a locator, a storage and a node service.

    :param name: of the target.
    :param locator: its address.
    :param blobs: where its documents go.
    :param worker: the compiled worker.
    """

    def __init__(
        self, name: str, locator: Address, blobs: store.Blobs, worker: Path
    ) -> None:
        self.name = name
        self.locator = locator
        self.blobs = blobs
        self.worker = worker

    @property
    def pid(self) -> int:
        raise NotImplementedError

    def service(self, name: str) -> Address:
        return resolve(self.locator, name)

    def app(self) -> Address:
        return self.service(ECHO)

    def add_app(
        self, name: str, program: bytes, environment: Mapping[str, str]
    ) -> None:
        store.write_app(self.blobs, name, store.archive(program), environment)

    def control(self) -> Connection:
        """Connect to the node service."""
        return Connection(self.service("node"))

    def start_echo(self, isolate: str, arguments: Mapping[str, Any]) -> None:
        """
        Upload the echo app and start it, in place of one of an earlier run.

        :param isolate: type of the isolate for all apps.
        :param arguments: its arguments.
        :raises RemoteError: the node refused it.
        :raises BenchError: the app does not echo.
        """
        store.write_profile(self.blobs, isolate, arguments)
        self.add_app(ECHO, self.worker.read_bytes(), {})
        with self.control() as connection:
            self.stop_echo(connection)
            connection.call(frames.START_APP, [ECHO, store.PROFILE])
        with Connection(self.app()) as connection:
            if connection.stream("echo", [b"ready"]) != [b"ready"]:
                raise BenchError(f"the app on the {self.name} does not echo")

    def stop_echo(self, connection: Connection) -> None:
        """Stop the echo app if there is one."""
        try:
            connection.call(frames.PAUSE_APP, [ECHO])
        except RemoteError:
            return
        # The answer comes before the app is gone (protocol.md §6.1).
        until = time.monotonic() + START_TIMEOUT
        while ECHO.encode() in connection.call(frames.APP_LIST)[0]:
            if time.monotonic() > until:
                raise BenchError(f"{ECHO} does not stop on the {self.name}")
            time.sleep(0.05)

    def close(self) -> float:
        raise NotImplementedError


class Node(Subject):
    """
    A node of ours in a directory of its own.

    :param bench: the programs and a directory.
    :param command: what to run; a configuration's path follows it.
    :ivar started: seconds from the start of the process to the moment when its
        locator knew the node service.
    :raises BenchError: it did not start.
    """

    def __init__(
        self,
        bench: Bench,
        command: Sequence[str] = (*TWISTD, "-n", "--pidfile=", "cocained", "-c"),
    ) -> None:
        # A UNIX socket's path holds about a hundred bytes: keep ours short.
        self._directory = tempfile.TemporaryDirectory(prefix="n", dir=bench.directory)
        place = Path(self._directory.name)
        for part in ("run", "spool", "store"):
            (place / part).mkdir()
        ports = free_ports(len(SERVICES))
        path = place / "node.yaml"
        path.write_text(yaml.safe_dump(node_configuration(place, ports)))
        super().__init__(
            NODE,
            (LOOPBACK, ports[0]),
            store.FileBlobs(place / "store"),
            bench.worker,
        )
        began = time.monotonic()
        try:
            self._child = Child(
                "the node",
                [*command, str(path)],
                place / "node.log",
                quiet=True,
                directory=place,
            )
        except BaseException:
            self._directory.cleanup()
            raise
        if not wait_for(self.locator, "node", START_TIMEOUT, self.is_running):
            error = self._child.failed("it did not get ready")
            self.close()
            raise error
        self.started = time.monotonic() - began

    @property
    def pid(self) -> int:
        return self._child.pid

    def is_running(self) -> bool:
        """Say whether its process lives."""
        return self._child.exit_status() is None

    def close(self) -> float:
        took = self._child.stop()
        self._directory.cleanup()
        return took


class Peer(Subject):
    """
    A runtime that somebody else started on this machine.

    :param bench: the programs.
    :param locator: its locator's address.
    :param pid: its process.
    """

    def __init__(self, bench: Bench, locator: Address, pid: int) -> None:
        try:
            blobs = store.RemoteBlobs(resolve(locator, "storage"))
        except RemoteError as error:
            raise BenchError(f"the peer has no storage service: {error}") from error
        super().__init__(PEER, locator, blobs, bench.worker)
        self._pid = pid

    @property
    def pid(self) -> int:
        return self._pid

    def close(self) -> float:
        """Take our app away; the peer itself lives on."""
        with self.control() as connection:
            self.stop_echo(connection)
        return 0.0
