# -*- test-case-name: cocained.test.test_apps_app -*-
"""
One app on this node, from its documents to its last worker.

::

    SPOOLING ─▶ RUNNING ─▶ STOPPED
        └────▶ BROKEN
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger
from zope.interface import implementer

from cocained.apps.documents import Manifest, Profile
from cocained.apps.engine import Engine, check_path, free_path
from cocained.apps.invocation import Invocation
from cocained.apps.library import Library
from cocained.apps.overseer import Overseer
from cocained.apps.pool import LEAVERS
from cocained.apps.report import Flags, overseer_report
from cocained.apps.service import AppService
from cocained.apps.speech import Handshake
from cocained.apps.worker import Worker
from cocained.errors import (
    WORKER_TEXTS,
    AppStopped,
    CocainedError,
    IsolateError,
    SpoolError,
    WorkerCode,
)
from cocained.interfaces import IIsolate, INode, IRemoteService, ISpoolProgress
from cocained.rpc.headers import Headers
from cocained.rpc.session import Session

log = Logger()

#: Lines per second and worker that ``log-output`` lets into the log.
LOG_RATE = 200


Enqueue = Callable[[Session, int, Headers, bytes], Invocation]


def _no_overseer(
    session: Session, channel: int, headers: Headers, event: bytes
) -> Invocation:
    raise AppStopped()


class AppState(Enum):
    """States as ``info`` reports them."""

    SPOOLING = "spooling"
    RUNNING = "running"
    STOPPED = "stopped"
    BROKEN = "broken"


@implementer(IRemoteService)
class _PublishedService(AppService):
    """The app service, as the directory wants it."""


class App:
    """
    One app.

    :param node: where it runs.
    :param library: where its documents are.
    :param name: its name.
    :param profile: the name of its profile.
    """

    def __init__(self, node: INode, library: Library, name: str, profile: str) -> None:
        self.name = name
        self.profile = profile
        self.state = AppState.SPOOLING
        self.error: CocainedError | None = None
        self.manifest: Manifest | None = None
        self.executable = ""
        self.environment: Mapping[str, str] = {}
        self._node = node
        self._library = library
        self._clock = node.reactor
        self._started = self._clock.seconds()
        self._isolate: IIsolate | None = None
        self._overseer: Overseer | None = None
        self._profile: Profile | None = None
        self._engine: Engine | None = None
        #: takes an event, as :meth:`Overseer.enqueue` does once there is one
        self.enqueue: Enqueue = _no_overseer
        self._spooling: Deferred[None] | None = None
        self._service = _PublishedService(self)
        self._published = False
        self._log_second = 0
        #: lines of this second that each worker may still log
        self._log_budget: dict[str, int] = {}
        self.endpoint = free_path(node.runtime, name)

    # Start

    async def load(self) -> None:
        """
        Read the documents and build the isolate.

        :raises CocainedError: a document is missing or wrong, the isolate is
            unknown.  The app leaves no trace then.
        """
        self.manifest = await self._library.manifest(self.name)
        self._profile = await self._library.profile(self.profile)
        if self._profile.unknown:
            log.warn(
                "profile {profile} has keys that mean nothing: {keys}",
                profile=self.profile,
                keys=", ".join(self._profile.unknown),
            )
        self.executable = self.manifest.slave
        self.environment = self.manifest.environment
        isolate = self._profile.isolate
        self._isolate = self._node.component(
            "isolate", isolate.type, self.name, isolate.args
        )
        check_path(self.endpoint)

    async def start(self) -> None:
        """
        Spool the code, listen for workers, publish the service.

        :raises CocainedError: it cannot; the app is then broken and says why.
        """
        assert self._isolate is not None and self._profile is not None
        isolate = self._isolate
        try:
            self._check_wanted()
            await maybeDeferred(isolate.start)
            self._check_wanted()
            self._spooling = maybeDeferred(isolate.spool)
            await self._spooling
            self._spooling = None
            self._open_engine()
            if not self._profile.publish_on:
                await self._publish()
            self._check_wanted()
        except CancelledError:
            raise AppStopped("the app was paused while it was spooling") from None
        except Exception as problem:
            if self.state is not AppState.SPOOLING:
                raise
            error = _cause(problem)
            await self._give_up(error)
            raise error from problem
        self.state = AppState.RUNNING
        self._started = self._clock.seconds()
        log.info("app {app} is running", app=self.name, profile=self.profile)

    def _check_wanted(self) -> None:
        """
        See whether the app is still to be started; asked after each wait.

        :raises AppStopped: it was paused meanwhile.
        """
        if self.state is not AppState.SPOOLING:
            raise AppStopped("the app was paused while it was starting")

    def _open_engine(self) -> None:
        assert self.manifest is not None and self._profile is not None
        assert self._isolate is not None
        self._overseer = Overseer(
            self.name,
            self._profile,
            self,
            self._isolate,
            self._clock,
            self._node.wiring.turn,
            self,
        )
        self.enqueue = self._overseer.enqueue
        self._engine = Engine(
            self._node.wiring,
            self.endpoint,
            Handshake(self._overseer.pool.workers.get, self.manifest.protocol),
            # Twice the pool: those that come while their forerunners leave.
            limit=2 * self._profile.pool_limit + LEAVERS,
        )

    async def _give_up(self, error: CocainedError) -> None:
        self.state = AppState.BROKEN
        self.error = error
        log.error("app {app} cannot be started: {error}", app=self.name, error=error)
        await self._close()

    # Use

    @property
    def overseer(self) -> Overseer:
        """
        The pool of a running app.

        :raises AppStopped: it does not run.
        """
        if self.state is AppState.STOPPED:
            raise AppStopped()
        if self._overseer is None or self.state is not AppState.RUNNING:
            raise AppStopped(f"the application is {self.state.value}: Broken pipe")
        return self._overseer

    def control(self, wanted: int) -> None:
        if self._overseer is not None:
            self._overseer.pool.control(wanted)

    def report(self) -> dict[str, Any]:
        return self._report(Flags.OVERSEER)

    def _report(self, flags: int) -> dict[str, Any]:
        overseer = self.overseer
        now = self._clock.seconds()
        assert self.manifest is not None
        report = overseer_report(overseer, self.manifest, flags, now)
        report["uptime"] = int(now - self._started)
        return report

    def info(self, flags: int) -> dict[str, Any]:
        """
        Say how the app is.

        :param flags: of :class:`~cocained.apps.report.Flags`.
        """
        if self.state is AppState.RUNNING:
            report = self._report(flags) if flags & Flags.OVERSEER else {}
            report["uptime"] = int(self._clock.seconds() - self._started)
            report["publushed"] = self._published
        else:
            report = {}
        report["state"] = self.state.value
        isolate: Any = self._isolate
        if self.state is AppState.SPOOLING and ISpoolProgress.providedBy(isolate):
            if isolate.progress is not None:
                report["progress"] = dict(isolate.progress)
        if self.error is not None:
            report["error"] = int(self.error.code)
            report["cause"] = self.error.reason
        elif self.state is AppState.STOPPED:
            report["error"] = 0
            report["cause"] = "manually stopped"
        return report

    # Launch, for the workers

    def arguments(self, uuid: str) -> dict[str, str]:
        assert self.manifest is not None
        endpoints = self._node.directory.endpoints("locator")
        if not endpoints:
            raise IsolateError(WORKER_TEXTS[WorkerCode.LOCATOR_NOT_FOUND])
        locators = [
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            for host, port in endpoints
        ]
        arguments = {
            "--app": self.name,
            "--endpoint": self.endpoint,
            "--uuid": uuid,
        }
        if self.manifest.protocol:
            arguments["--locator"] = ",".join(locators)
            arguments["--protocol"] = str(self.manifest.protocol)
        else:
            arguments["--locator"] = locators[0]
        return arguments

    # Watcher, for the overseer

    def population_changed(self, active: int) -> None:
        profile = self._profile
        if profile is None or not profile.publish_on or self._overseer is None:
            return
        if self._overseer.is_closed:
            return
        if not self._published and active >= profile.publish_on:
            self._later(self._publish())
        elif self._published and active < profile.unpublish_under:
            self._later(self._unpublish())

    def worker_crashed(self, worker: Worker) -> None:
        lines = worker.process.lines.dump()
        if not lines:
            return  # crashlog-limit is 0
        stored = self._library.store_crashlog(
            self.name, worker.uuid, self._clock.seconds(), lines
        )
        stored.addErrback(
            lambda failure: log.error(
                "the crashlog of worker {worker} of app {app} is lost: {error}",
                worker=worker.uuid,
                app=self.name,
                error=failure.value,
            )
        )

    def worker_printed(self, worker: Worker, lines: list[bytes]) -> None:
        if self._profile is None or not self._profile.log_output:
            return
        second = int(self._clock.seconds())
        if second != self._log_second:
            self._log_second = second
            self._log_budget.clear()
        left = self._log_budget.get(worker.uuid, LOG_RATE)
        for line in lines[: max(0, left)]:
            log.debug(
                "{line}",
                line=line.decode("utf-8", "replace"),
                app=self.name,
                worker=worker.uuid,
            )
        if left > 0 and len(lines) >= left:
            log.warn(
                "worker {worker} of app {app} prints more than {rate} lines a second;"
                " the rest of this second is not logged",
                worker=worker.uuid,
                app=self.name,
                rate=LOG_RATE,
            )
        self._log_budget[worker.uuid] = left - len(lines)

    # Publication

    async def _publish(self) -> None:
        if not self._published:
            self._published = True
            try:
                await self._node.directory.expose(self.name, self._service)
            except CocainedError:
                self._published = False
                raise

    async def _unpublish(self) -> None:
        if self._published:
            self._published = False
            await self._node.directory.remove(self.name)

    def _later(self, coroutine: Any) -> None:
        Deferred.fromCoroutine(coroutine).addErrback(
            lambda failure: log.error(
                "app {app} cannot be published: {error}",
                app=self.name,
                error=failure.value,
            )
        )

    # Stop

    async def drain(self) -> None:
        """Take no more events and let those that there are finish."""
        await self._unpublish()
        if self._overseer is not None and self.state is AppState.RUNNING:
            await self._overseer.drain()

    async def resume(self) -> None:
        """Take events again after :meth:`drain`."""
        overseer, profile = self._overseer, self._profile
        if overseer is not None and profile and self.state is AppState.RUNNING:
            overseer.resume()
            if overseer.pool.active >= profile.publish_on:
                await self._publish()

    @property
    def events(self) -> int:
        """Events that wait or are worked on."""
        return 0 if self._overseer is None else self._overseer.events

    async def stop(self, patience: float | None = None) -> None:
        """
        End the app.

        :param patience: seconds after which workers are killed, if that is
            sooner than the profile's terminate-timeout.
        """
        if self.state is AppState.STOPPED:
            return
        was = self.state
        self.state = AppState.STOPPED
        if self._spooling is not None:
            self._spooling.cancel()
        if was is not AppState.BROKEN:
            await self._close(patience)
        log.info("app {app} has stopped", app=self.name)

    async def _close(self, patience: float | None = None) -> None:
        await self._unpublish()
        overseer = self._overseer
        if overseer is not None:
            await overseer.stop(patience)
        if self._engine is not None:
            engine, self._engine = self._engine, None
            await engine.close()
        if self._isolate is not None:
            isolate, self._isolate = self._isolate, None
            await maybeDeferred(isolate.stop)


def _cause(problem: Exception) -> CocainedError:
    """Give what people are told of a failed start; a bug is logged as one."""
    if isinstance(problem, CocainedError):
        return problem
    log.failure("an isolate failed in a way that it must not")
    return SpoolError(f"{type(problem).__name__}: {problem}")
