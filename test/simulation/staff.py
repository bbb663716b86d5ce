# -*- test-case-name: cocained.test.test_simulation -*-
"""
Who starts worker processes and hears of them: the engine's isolate, launch and
watcher.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred

from cocained.apps.warmup import WarmUp
from cocained.apps.worker import Worker
from cocained.component import Component, NoArgs
from cocained.errors import CocainedError, IsolateError
from cocained.interfaces import IWorkerHandle, IWorkerObserver
from cocained.rpc.roles import Root
from cocained.test.simulation.processes import Process
from cocained.test.simulation.stage import Stage


class Staff:
    """
    All worker processes of one run.

    :ivar processes: all that ever were.
    :ivar spawned: how many were asked for.
    :ivar crashed: how many the engine reported as such.
    """

    def __init__(self) -> None:
        self.processes: list[Process] = []
        self.spawned = 0
        self.crashed = 0

    def living(self) -> list[Process]:
        """Give the processes that are, or will be."""
        return [process for process in self.processes if process.is_alive]


class Crew(Component[NoArgs]):
    """
    Those of one release.

    :param staff: where they are listed.
    :ivar root: takes their connections; set before the first spawn.
    :ivar warm_up: hears of them until the release serves.
    """

    executable = "worker"
    environment: Mapping[str, str] = {}
    root: Root

    def __init__(self, stage: Stage, staff: Staff) -> None:
        super().__init__(None, "app", NoArgs())  # type: ignore[arg-type]
        self._stage = stage
        self._staff = staff
        self.warm_up: WarmUp | None = None

    # Launch

    def arguments(self, uuid: str) -> dict[str, str]:
        staff = self._staff
        staff.spawned += 1
        kind = "spawn is refused before it begins"
        if self._stage.faults.strike("spawn") == kind:
            self._stage.happened(f"w{staff.spawned}", kind)
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
        name = f"w{self._staff.spawned}"
        self._stage.journal.note(name, "is to be spawned")
        process = Process(self._stage, name, arguments["--uuid"], self.root, observer)
        self._staff.processes.append(process)
        return process.spawned

    # Watcher

    def population_changed(self, active: int) -> None:
        self._stage.journal.note("pool", "active", active)
        if self.warm_up is not None:
            self.warm_up.population_changed(active)

    def worker_failed(self, error: CocainedError) -> None:
        if self.warm_up is not None:
            self.warm_up.worker_failed(error)

    def worker_crashed(self, worker: Worker) -> None:
        self._staff.crashed += 1
        worker.process.lines.dump()

    def worker_printed(self, worker: Worker, lines: list[Any]) -> None:
        """What they print is of no interest."""
