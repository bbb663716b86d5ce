# -*- test-case-name: cocained.test.live.test_cluster_demo -*-
"""
A node on a host of its own, and what a user types there.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import yaml

from cocained.testing.lab import Host
from cocained.tools.bench.client import wait_for
from cocained.tools.bench.process import Child
from cocained.tools.bench.subject import TWISTD, node_configuration
from demonstration.screen import Screen
from demonstration.tool import BIN, run_tool

#: Ports of a node: the usual one of the locator, and the next.
PORTS = (10053, 10054, 10055, 10056)

#: How nodes find each other; the original's documented group.
CLUSTER = {"type": "multicast", "args": {"group": "239.0.100.53", "interval": 0.5}}

#: Chooses among the nodes that have an app.
GATEWAY = {"type": "adhoc"}

#: Apps that each node starts by itself.
RUNLIST = "default"

#: Seconds until a node must answer; it takes well under one.
READY_TIMEOUT = 30.0


def configuration(host: Host, directory: Path, store: Path) -> dict[str, Any]:
    """
    Make the configuration of a node.

    :param directory: for what it keeps for itself.
    :param store: the storage that it shares with the others.
    """
    made = node_configuration(directory, PORTS)
    made["network"]["endpoint"] = host.address
    made["storages"]["core"]["args"]["path"] = str(store)
    made["services"]["node"]["args"] = {"runlist": RUNLIST}
    # In the end all of them stop: nobody is there who would come late.
    made["shutdown"] = {"settle": 0}
    made["services"]["locator"]["args"] = {"cluster": CLUSTER, "gateway": GATEWAY}
    return made


class Node:
    """
    A node.

    :param screen: where commands are shown.
    :param host: on which it runs.
    :param place: where it makes a directory.
    :param store: the storage that it shares with the others.
    """

    def __init__(self, screen: Screen, host: Host, place: Path, store: Path) -> None:
        self.host = host
        self._screen = screen
        self._directory = place / host.name
        self._path = f"{BIN}:{os.environ['PATH']}"
        for part in (".", "run", "spool"):
            (self._directory / part).mkdir()
        self._config = self._directory / "node.yaml"
        made = configuration(host, self._directory, store)
        self._config.write_text(yaml.safe_dump(made))
        self._child: Child | None = None

    def start(self) -> None:
        """Start it; :meth:`wait` sees that it answers."""
        command = [*TWISTD, "-n", "--pidfile=", "cocained", "-c", str(self._config)]
        self._child = Child(
            f"node {self.host.name}",
            self.host.command(command),
            self._directory / "log",
            quiet=True,
            directory=self._directory,
            environment={"PATH": self._path},
        )

    def wait(self, service: str = "node") -> None:
        """
        Wait until its locator knows a service.

        :raises BenchError: it does not; shows its log.
        """
        child = self._child
        assert child is not None, "it has been started"
        address = (self.host.address, PORTS[0])

        def is_alive() -> bool:
            return child.exit_status() is None

        with self.host.inside():
            if not wait_for(address, service, READY_TIMEOUT, is_alive):
                raise child.failed(f"it has no service {service}")

    def kill(self) -> None:
        """Kill it, as a machine does that is out of memory."""
        assert self._child is not None, "it has been started"
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child.pid, signal.SIGKILL)
        self._child.stop()

    def close(self) -> None:
        """End it in order, with its workers."""
        if self._child is not None:
            self._child.stop()

    def tool(self, *words: str, show: bool = True) -> str:
        """
        Run a command of ``cocaine-tool`` on its host.

        :param show: whether to show it, and what it has printed.
        :returns: what it has printed.
        :raises CalledProcessError: it failed; its complaint is shown.
        """
        environment = {**os.environ, "PATH": self._path}
        words = (*words, "--host", self.host.address)
        enter = self.host.command([])
        return run_tool(self._screen, words, environment, enter, show)
