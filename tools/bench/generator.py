# -*- test-case-name: cocained.test.test_tools_bench -*-
"""
Runs the native load generator and reads what it measured.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from cocained.tools.bench.client import Address
from cocained.tools.bench.errors import BenchError
from cocained.tools.bench.process import Child

#: Beyond its own time the generator waits 30 s for the last answers.
PATIENCE = 45.0

#: Seconds until all connections or channels of a held crowd are open.
HOLD_PATIENCE = 180.0


class Load(msgspec.Struct, frozen=True):
    """
    What one run of the generator measured.

    Times are in seconds or, as the names say, in microseconds; ``sent`` and
    ``received`` count bytes of payload.
    """

    mode: str
    connections: int
    in_flight: int
    payload: int
    requests: int
    errors: int
    seconds: float
    sent: int
    received: int
    cpu_seconds: float
    p50_us: float
    p90_us: float
    p99_us: float
    max_us: float
    mean_us: float
    first_error: str

    def require(self) -> Load:
        """
        Give this, if every answer was right.

        :raises BenchError: some were wrong, or none came.
        """
        if self.errors or not self.requests:
            raise BenchError(
                f"{self.mode}: {self.errors} errors in {self.requests} requests"
                + (f", the first: {self.first_error}" if self.first_error else "")
            )
        return self


class Held(msgspec.Struct):
    """
    A crowd that is open now.

    :ivar open: how many connections or channels.
    :ivar seconds: until the last of them was confirmed.
    """

    open: int
    seconds: float


class Generator:
    """
    The load generator: one process in C, one epoll loop.

    :param program: the compiled program.
    :param directory: for its log.
    """

    def __init__(self, program: Path, directory: Path) -> None:
        self.program = program
        self.directory = directory

    def run(self, mode: str, address: Address, **options: int | str) -> Load:
        """
        Put a load on *address*, check every answer, wait for the end.

        :param mode: see ``native/options.h``.
        :param address: a numeric IPv4 address and a port.
        :param options: further ones, with underscores.
        :raises BenchError: it could not run, or an answer was wrong.
        """
        lasts = float(options.get("milliseconds", 1000)) / 1000
        with self._start(mode, address, options) as child:
            return parse_load(child.read_line(lasts + PATIENCE)).require()

    @contextmanager
    def hold(self, mode: str, address: Address, **options: int | str) -> Iterator[Held]:
        """
        Open connections or channels and hold them open in the block.

        :param mode: ``idle`` or ``channels``.
        :param address: a numeric IPv4 address and a port.
        :param options: further ones, with underscores.
        :raises BenchError: not all could be opened, or some were lost.
        """
        with self._start(mode, address, options) as child:
            told: dict[str, Any] = json.loads(child.read_line(HOLD_PATIENCE))
            if told["ready"]:
                yield Held(told["open"], told["seconds"])
            child.close_input()
            load = parse_load(child.read_line(PATIENCE)).require()
            if load.requests < told["open"]:
                raise BenchError(f"{mode}: {told['open'] - load.requests} were lost")

    def _start(
        self, mode: str, address: Address, options: dict[str, int | str]
    ) -> Child:
        command = [str(self.program), "--mode", mode]
        command += ["--host", address[0], "--port", str(address[1])]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        handle, log = tempfile.mkstemp(prefix="load.", dir=self.directory)
        with open(handle, "wb"):
            return Child("the load generator", command, Path(log))


def parse_load(line: str) -> Load:
    """
    Read the record that the generator prints.

    :raises BenchError: it is none.
    """
    try:
        return msgspec.json.decode(line, type=Load)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BenchError(f"the load generator printed no record: {error}") from error
