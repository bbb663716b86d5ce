# -*- test-case-name: cocained.test.test_apps_process -*-
"""
One worker's process, or container: from the isolate's ``spawn`` until it is gone.

What the worker says on its connection is the business of
:mod:`~cocained.apps.worker`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cocained.apps.crashlog import Lines
from cocained.apps.roles import Launch
from cocained.errors import CocainedError, IsolateError
from cocained.interfaces import IIsolate, IWorkerHandle, IWorkerObserver

log = Logger()


class Parent(Protocol):
    """Who hears of a worker's process."""

    def spawned(self) -> None:
        """It runs."""

    def spawn_failed(self, error: CocainedError | None) -> None:
        """It never will; ``None`` if it was given up."""

    def printed(self, lines: list[bytes]) -> None:
        """It wrote whole lines."""

    def exited(self) -> None:
        """It ran, and is gone."""


@implementer(IWorkerObserver)
class Process:
    """
    A process that an isolate has been asked for.

    :param isolate: how it is started.
    :param launch: what to start.
    :param crashlog_limit: lines of its output that are kept.
    :param parent: hears of what happens.
    """

    def __init__(
        self, isolate: IIsolate, launch: Launch, crashlog_limit: int, parent: Parent
    ) -> None:
        #: the last lines that it wrote
        self.lines = Lines(crashlog_limit)
        #: how it ended, once it has; for people
        self.end: str | None = None
        self._isolate = isolate
        self._launch = launch
        self._parent = parent
        self._spawning: Deferred[IWorkerHandle] | None = None
        self._handle: IWorkerHandle | None = None

    @property
    def app(self) -> str:
        """The name of the app."""
        return self._isolate.name

    @property
    def identity(self) -> str:
        """The process or container, for people."""
        return self._handle.identity if self._handle is not None else ""

    @property
    def has_run(self) -> bool:
        """Whether it was spawned, gone or not."""
        return self._handle is not None

    @property
    def is_running(self) -> bool:
        """Whether it was spawned and is not gone."""
        return self._handle is not None and self.end is None

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is there, nor will be."""
        return self._spawning is None and not self.is_running

    def usage(self) -> Mapping[str, float] | None:
        """What it takes now, see :meth:`IWorkerHandle.usage`."""
        return None if self._handle is None else self._handle.usage()

    def start(self, uuid: str) -> None:
        """
        Spawn it; once.

        :param uuid: of the worker.
        :raises IsolateError: it cannot be said what to start.
        """
        arguments = self._launch.arguments(uuid)
        self._spawning = maybeDeferred(
            self._isolate.spawn,
            self._launch.executable,
            arguments,
            self._launch.environment,
            self,
        )
        self._spawning.addCallbacks(self._spawned, self._failed)

    def _spawned(self, handle: IWorkerHandle) -> None:
        self._spawning = None
        self._handle = handle
        self._parent.spawned()

    def _failed(self, failure: Failure) -> None:
        self._spawning = None
        error = failure.value
        if isinstance(error, CancelledError):
            self.end = "never started"
            self._parent.spawn_failed(None)
            return
        self.end = "could not be started"
        if not isinstance(error, CocainedError):
            log.failure("cannot spawn a worker", failure=failure)
            error = IsolateError(str(error))
        # The frames of whoever asked for the worker are not to be kept with it.
        self._parent.spawn_failed(error.with_traceback(None))

    def terminate(self) -> None:
        """Ask it to end, then make it; one that is gone needs nothing."""
        if self._handle is not None and self.end is None:
            self._handle.terminate()

    def kill(self) -> None:
        """Make it end now, or never begin."""
        if self._spawning is not None:
            self._spawning.cancel()
        elif self._handle is not None and self.end is None:
            self._handle.kill()

    # From the isolate

    def output(self, data: bytes) -> None:
        lines = self.lines.feed(data)
        if lines:
            self._parent.printed(lines)

    def exited(self, reason: str, error: bool) -> None:
        self.end = reason
        self._parent.exited()
