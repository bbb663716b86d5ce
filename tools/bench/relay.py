# -*- test-case-name: cocained.test.live.test_bench -*-
"""
The yardstick as a target: its process, and one native worker.
"""

from __future__ import annotations

import json
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path

from cocained.tools.bench.client import Address, Connection
from cocained.tools.bench.errors import Skipped
from cocained.tools.bench.process import Child
from cocained.tools.bench.targets import ECHO, YARDSTICK, Bench

#: Seconds for an interpreter to import Twisted on a slow, busy machine.
START_TIMEOUT = 60.0


class Relay:
    """
    The running yardstick.

    :param bench: the programs and a directory.
    :raises BenchError: it did not start.
    """

    name = YARDSTICK

    def __init__(self, bench: Bench) -> None:
        # A UNIX socket's path holds about a hundred bytes: keep ours short.
        self._directory = tempfile.TemporaryDirectory(prefix="y", dir=bench.directory)
        place = Path(self._directory.name)
        endpoint = place / "s"
        command = [sys.executable, "-m", "cocained.tools.bench.yardstick"]
        self._children: list[Child] = []
        try:
            relay = Child(
                "the yardstick", [*command, str(endpoint)], place / "relay.log"
            )
            self._children.append(relay)
            self._port = int(json.loads(relay.read_line(START_TIMEOUT))["port"])
            arguments = ["--app", ECHO, "--endpoint", str(endpoint)]
            arguments += ["--locator", "127.0.0.1:1", "--protocol", "1"]
            arguments += ["--uuid", str(uuid.uuid4())]
            worker = Child(
                "the echo worker", [str(bench.worker), *arguments], place / "worker.log"
            )
            self._children.append(worker)
            self._await_echo(worker)
        except BaseException:
            self.close()
            raise

    def _await_echo(self, worker: Child) -> None:
        """Requests wait in the relay until the worker has connected."""
        with Connection(self.app(), START_TIMEOUT) as connection:
            if connection.stream("echo", [b"ready"]) != [b"ready"]:
                raise worker.failed("the yardstick does not echo")

    @property
    def pid(self) -> int:
        return self._children[0].pid

    def app(self) -> Address:
        return ("127.0.0.1", self._port)

    def service(self, name: str) -> Address:
        raise Skipped("the yardstick has no services")

    def add_app(
        self, name: str, program: bytes, environment: Mapping[str, str]
    ) -> None:
        raise Skipped("the yardstick starts no apps")

    def close(self) -> float:
        took = sum(child.stop() for child in reversed(self._children))
        self._directory.cleanup()
        return took
