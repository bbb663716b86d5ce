# -*- test-case-name: cocained.test.live.test_docker_client -*-
"""
Real daemons in network namespaces of their own, for the tests that start them.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from typing import Self

from cocained.test.live.support import missing
from cocained.testing import docker

_numbers = itertools.count()


def require(*programs: str) -> None:
    """
    See that these programs are here and that we are root.

    :raises SkipTest: or :exc:`AssertionError`, see :func:`.support.missing`.
    """
    if os.geteuid() != 0:
        raise missing("only root can start it")
    for program, package in docker.lacking(programs).items():
        raise missing(f"no {program}: install {package}")


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


class Daemon(docker.Daemon):
    """
    One daemon in a directory of its own.

    :param network: where it runs.
    """

    def __init__(self, network: Network) -> None:
        require(*self.programs)
        self.network = network
        super().__init__(network.command())
