# -*- test-case-name: cocained.test.test_apps_scribe -*-
"""
What workers print: into the log, and their last words into the storage.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cocained.apps.library import Library
from cocained.apps.worker import Worker

log = Logger()

#: Lines per second and worker that ``log-output`` lets into the log.
LOG_RATE = 200


class Scribe:
    """
    Writes down what the workers of one release say.

    :param app: its name.
    :param library: where crashlogs are kept.
    :param clock: the reactor's.
    :param log_output: whether all that is printed is logged.
    """

    def __init__(
        self, app: str, library: Library, clock: IReactorTime, log_output: bool
    ) -> None:
        self._app = app
        self._library = library
        self._clock = clock
        self._log_output = log_output
        self._second = 0
        #: lines of this second that each worker may still log
        self.budget: dict[str, int] = {}

    def worker_crashed(self, worker: Worker) -> None:
        """Keep the last lines of a worker that ended with an error."""
        lines = worker.process.lines.dump()
        if not lines:
            return  # crashlog-limit is 0
        stored = self._library.store_crashlog(
            self._app, worker.uuid, self._clock.seconds(), lines
        )
        stored.addErrback(
            lambda failure: log.error(
                "the crashlog of worker {worker} of app {app} is lost: {error}",
                worker=worker.uuid,
                app=self._app,
                error=failure.value,
            )
        )

    def worker_printed(self, worker: Worker, lines: list[bytes]) -> None:
        """Log what a worker prints, within reason."""
        if not self._log_output:
            return
        second = int(self._clock.seconds())
        if second != self._second:
            self._second = second
            self.budget.clear()
        left = self.budget.get(worker.uuid, LOG_RATE)
        for line in lines[: max(0, left)]:
            log.debug(
                "{line}",
                line=line.decode("utf-8", "replace"),
                app=self._app,
                worker=worker.uuid,
            )
        if left > 0 and len(lines) >= left:
            log.warn(
                "worker {worker} of app {app} prints more than {rate} lines a second;"
                " the rest of this second is not logged",
                worker=worker.uuid,
                app=self._app,
                rate=LOG_RATE,
            )
        self.budget[worker.uuid] = left - len(lines)
