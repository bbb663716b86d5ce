# -*- test-case-name: cocained.test.test_tools_bench -*-
"""
What can be measured: the contract that the three targets share.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from cocained.tools.bench import toolchain
from cocained.tools.bench.client import Address
from cocained.tools.bench.generator import Generator

#: Name of the app that every target serves.
ECHO = "bench-echo"

YARDSTICK, NODE, PEER = "yardstick", "node", "peer"

#: In the order in which a round runs them and the table shows them.
TARGETS = (YARDSTICK, NODE, PEER)


class Target(Protocol):
    """Something that serves the echo app, and perhaps services."""

    name: str

    @property
    def pid(self) -> int:
        """The process whose CPU and memory are read."""

    def app(self) -> Address:
        """Say where the echo app is served."""

    def service(self, name: str) -> Address:
        """
        Say where a service is.

        :raises Skipped: this target has no services.
        """

    def add_app(
        self, name: str, program: bytes, environment: Mapping[str, str]
    ) -> None:
        """
        Upload an app, without starting it.

        :raises Skipped: this target cannot take apps.
        """

    def close(self) -> float:
        """End it, if it is ours to end; give the seconds that this took."""


class Bench(NamedTuple):
    """
    What a run works with.

    :ivar directory: temporary, for logs, sockets and storages.
    :ivar worker: the compiled worker.
    :ivar generator: the load generator.
    """

    directory: Path
    worker: Path
    generator: Generator


def prepare(directory: Path) -> Bench:
    """
    Compile the native programs.

    :param directory: exists and is ours.
    :raises BenchError: they cannot be compiled.
    """
    generator = Generator(toolchain.build(toolchain.LOAD), directory)
    return Bench(directory, toolchain.build(toolchain.WORKER), generator)
