# -*- test-case-name: cocained.test.test_examples_docker -*-
"""
A node, what a user does with it, and how long its workers take to come.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from cocained.tools.bench import store
from cocained.tools.bench.client import wait_for
from cocained.tools.bench.measure import MIB, memory
from cocained.tools.bench.process import Child
from cocained.tools.bench.scenarios.starts import FRAMEWORK_PHASES, phases, started
from cocained.tools.bench.subject import LOOPBACK, TWISTD, Subject, node_configuration
from demonstration.screen import Screen
from demonstration.tool import BIN, run_tool

#: Ports of the node, with the usual one of the locator: in a network namespace
#: of its own all are free.
PORTS = (10053, 10054, 10055, 10056)

#: Seconds until a node must answer; it takes well under one.
READY_TIMEOUT = 30.0

#: The program that tells when it began, for both kinds of workers.
TIMER = store.FRAMEWORK_APP.format(python="/usr/bin/env python", define="def").encode()


class Node:
    """
    A node in a directory of its own.

    :param screen: where commands are shown.
    :param directory: an empty one.
    :raises BenchError: it does not start; shows its log.
    """

    def __init__(self, screen: Screen, directory: Path) -> None:
        self._screen = screen
        self._directory = directory
        self._path = f"{BIN}:{os.environ['PATH']}"
        for part in ("run", "spool", "store"):
            (directory / part).mkdir()
        path = directory / "node.yaml"
        path.write_text(yaml.safe_dump(node_configuration(directory, PORTS)))
        screen.command("twistd", "-n", "cocained", "-c", str(path))
        self._child = Child(
            "the node",
            [*TWISTD, "-n", "--pidfile=", "cocained", "-c", str(path)],
            directory / "log",
            quiet=True,
            directory=directory,
            environment={"PATH": self._path},
        )
        locator = (LOOPBACK, PORTS[0])
        blobs = store.FileBlobs(directory / "store")
        self.subject = Subject("node", locator, blobs, directory)
        try:
            if not wait_for(locator, "node", READY_TIMEOUT, self._is_alive):
                raise self._child.failed("it does not answer")
        except BaseException:
            self.close()
            raise

    def _is_alive(self) -> bool:
        return self._child.exit_status() is None

    def close(self) -> None:
        """End it in order, with its workers."""
        self._child.stop()

    def tool(self, *words: str) -> str:
        """
        Show a command of ``cocaine-tool`` and run it.

        :returns: what it has printed, which is shown, too.
        :raises CalledProcessError: it failed; its complaint is shown.
        """
        environment = {**os.environ, "PATH": self._path}
        return run_tool(self._screen, words, environment)

    def add_profile(self, name: str, isolate: Mapping[str, Any]) -> None:
        """Write a profile of one worker, show it and upload it."""
        path = self._directory / f"{name}.json"
        path.write_text(json.dumps({"pool-limit": 1, "isolate": isolate}, indent=2))
        self._screen.say(json.dumps({"isolate": isolate}))
        self.tool("profile", "upload", "-n", name, "--profile", str(path))

    def start_cold(self, profile: str, number: int) -> dict[str, float]:
        """
        Start :data:`TIMER` as an app without a worker, and call it.

        :param number: makes it a new app, of which nothing is there.
        :returns: milliseconds by phase, and memory in MiB.
        """
        app = f"timer-{profile}-{number}"
        self.subject.add_app(app, TIMER, {})
        with started(self.subject, app, profile) as run:
            began, answer, ended = run.first_answer("times")
            held = weigh(app)
        split = phases(began, answer, ended, FRAMEWORK_PHASES)
        return {**split, "spool_ms": run.took * 1e3, **held}


def weigh(app: str, proc: Path = Path("/proc")) -> dict[str, float]:
    """
    Weigh the worker of an app, and what was started only to keep it.

    Shared pages count in proportion.

    :returns: MiB; of keepers there are none without containers.
    """
    found = {"worker_mib": 0.0, "keeper_mib": 0.0}
    pids = list(workers(app, proc))
    for pid in pids:
        command = (proc / str(pid) / "cmdline").read_bytes()
        kind = "keeper_mib" if b"docker-init" in command else "worker_mib"
        found[kind] += memory(pid, proc).pss / MIB
        keeper = parent(pid, proc)
        if (proc / str(keeper) / "comm").read_text().startswith("containerd-shim"):
            found["keeper_mib"] += memory(keeper, proc).pss / MIB
    return {kind: held for kind, held in found.items() if held}


def workers(app: str, proc: Path) -> Iterator[int]:
    """Find the processes that were started with the arguments of a worker."""
    wanted = b"\0--app\0" + app.encode() + b"\0"
    for entry in proc.iterdir():
        if entry.name.isdigit():
            # It may end while we look.
            with contextlib.suppress(OSError):
                if wanted in (entry / "cmdline").read_bytes():
                    yield int(entry.name)


def parent(pid: int, proc: Path) -> int:
    """Give the parent of a process; the name before it may hold anything."""
    text = (proc / str(pid) / "stat").read_text()
    return int(text.rpartition(")")[2].split()[1])
