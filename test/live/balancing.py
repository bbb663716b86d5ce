# -*- test-case-name: cocained.test.live.test_gateways_nftables -*-
"""
Conversations with a gateway in another process, see :mod:`.balancer`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from cocained.test.live.support import ROOT, wait_for

#: Not run as a module: what its package imports takes a guest four seconds.
PROGRAM = Path(__file__).absolute().with_name("balancer.py")

#: Seconds until what was asked for must be so, on a machine with other work.
PATIENCE = 15.0


class Conversed:
    """
    The far end of a gateway's lines.

    :param reader: its lines.
    :param writer: ours.
    """

    def __init__(self, reader: IO[bytes], writer: IO[bytes]) -> None:
        self._reader = reader
        self._writer = writer

    def hear(self) -> Any:
        """Give what it says next."""
        line = self._reader.readline()
        if not line:
            raise AssertionError("the gateway said nothing more")
        return json.loads(line)

    def ask(self, *words: Any) -> Any:
        """Ask for something, and give the answer."""
        return self.say(words)

    def say(self, line: Any) -> Any:
        """Write a line, and give the next one that comes."""
        self._writer.write(json.dumps(line).encode() + b"\n")
        self._writer.flush()
        return self.hear()

    def consume(
        self,
        uuid: str,
        name: str,
        *endpoints: tuple[str, int],
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """A node has a service."""
        answer = self.ask("consume", uuid, name, endpoints, dict(extra or {}))
        assert answer is None, answer

    def cleanup(self, uuid: str, name: str | None = None) -> None:
        """A node has it no more."""
        assert self.ask("cleanup", uuid, name) is None

    def resolve(self, name: str) -> list[tuple[str, int]]:
        """Ask where a service is, until it is somewhere."""
        found: list[Any] = []

        def is_there() -> bool:
            found[:] = self.ask("resolve", name) or []
            return bool(found)

        wait_for(f"{name} can be resolved", is_there, PATIENCE)
        return [(host, port) for host, port in found]

    def wait_until_gone(self, name: str) -> None:
        """Wait until a service is nowhere."""
        wait_for(f"{name} is nowhere", lambda: not self.ask("resolve", name), PATIENCE)

    def settle(self) -> None:
        """Wait until the kernel was told of everything."""
        wait_for(
            "the gateway is quiet", lambda: not self.ask("report")["pending"], PATIENCE
        )


class Balancer(Conversed):
    """
    A gateway in a process of its own.

    :param directory: for its files.
    :param gateway: its type.
    :param args: its arguments.
    :param network: the node's section.
    :param prefix: what the command begins with, such as ``nsenter``.
    """

    def __init__(
        self,
        directory: Path,
        gateway: str,
        args: Mapping[str, Any],
        network: Mapping[str, Any],
        prefix: Sequence[str] = (),
    ) -> None:
        directory.mkdir(exist_ok=True)
        self.log = directory / "log"
        settings = {
            "type": gateway,
            "args": dict(args),
            "network": dict(network),
            "paths": {"runtime": str(directory / "run")},
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *prefix,
                    *(sys.executable, "-P", str(PROGRAM)),
                    json.dumps(settings),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        assert self.process.stdout is not None and self.process.stdin is not None
        super().__init__(self.process.stdout, self.process.stdin)
        self.began = self.hear()

    def stop(self) -> None:
        """End it in order."""
        if self.process.poll() is None:
            assert self.ask("stop") == "stopped", self.log.read_text()
            assert self.process.wait(PATIENCE) == 0, self.log.read_text()
        self._writer.close()
        self._reader.close()

    def kill(self) -> None:
        """End it without a chance to do anything."""
        self.process.kill()
        self.process.wait()
