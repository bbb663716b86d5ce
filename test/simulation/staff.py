# -*- test-case-name: cocained.test.test_simulation -*-
"""
Who starts worker processes and hears of them: the engine's isolate, launch and
watcher.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred

from cocained.apps.worker import Worker
from cocained.component import Component, NoArgs
from cocained.errors import IsolateError
from cocained.interfaces import IWorkerHandle, IWorkerObserver
from cocained.rpc.roles import Root
from cocained.test.simulation.processes import Process
from cocained.test.simulation.stage import Stage


class Staff(Component[NoArgs]):
    """
    All worker processes of one run.

    :ivar root: takes the connections of workers; set before the first spawn.
    :ivar processes: all that ever were.
    :ivar spawned: how many were asked for.
    :ivar crashed: how many the engine reported as such.
    """

    executable = "worker"
    environment: Mapping[str, str] = {}
    root: Root

    def __init__(self, stage: Stage) -> None:
        super().__init__(None, "app", NoArgs())  # type: ignore[arg-type]
        self._stage = stage
        self.processes: list[Process] = []
        self.spawned = 0
        self.crashed = 0

    # Launch

    def arguments(self, uuid: str) -> dict[str, str]:
        self.spawned += 1
        kind = "spawn is refused before it begins"
        if self._stage.faults.strike("spawn") == kind:
            self._stage.happened(f"w{self.spawned}", kind)
            raise IsolateError("refused, as it was meant to")
        return {"--uuid": uuid}

    # Isolate

    def spool(self) -> Deferred[None]:
        raise NotImplementedError("a simulated app has been spooled long ago")

    def spawn(
        self,
        executable: str,
        arguments: Mapping[str, str],
        environment: Mapping[str, str],
        observer: IWorkerObserver,
    ) -> Deferred[IWorkerHandle]:
        name = f"w{self.spawned}"
        self._stage.journal.note(name, "is to be spawned")
        process = Process(self._stage, name, arguments["--uuid"], self.root, observer)
        self.processes.append(process)
        return process.spawned

    def living(self) -> list[Process]:
        """Give the processes that are, or will be."""
        return [process for process in self.processes if process.is_alive]

    # Watcher

    def population_changed(self, active: int) -> None:
        self._stage.journal.note("pool", "active", active)

    def worker_crashed(self, worker: Worker) -> None:
        self.crashed += 1
        worker.process.lines.dump()

    def worker_printed(self, worker: Worker, lines: list[Any]) -> None:
        """What they print is of no interest."""
