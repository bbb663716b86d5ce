# -*- test-case-name: cocained.test.test_apps_release -*-
"""
One release of an app: its documents as they were read, its isolate, the socket
of its workers, and the overseer above them.

An app has one that serves, at times one that comes, and those that leave
(:mod:`~cocained.apps.rollover`)::

    load ─▶ spool ─▶ open ─▶ [warm_up ─▶] serves ─▶ retire | stop
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger

from cocained.apps.documents import Manifest, Profile
from cocained.apps.edition import Edition
from cocained.apps.engine import Engine, check_path
from cocained.apps.library import Library
from cocained.apps.overseer import Overseer
from cocained.apps.pool import LEAVERS
from cocained.apps.scribe import Scribe
from cocained.apps.speech import Handshake
from cocained.apps.stats import Stats
from cocained.apps.warmup import WarmUp
from cocained.apps.worker import Worker
from cocained.errors import (
    WORKER_TEXTS,
    AppStopped,
    CocainedError,
    IsolateError,
    SpoolError,
    WorkerCode,
)
from cocained.interfaces import ICodeVersion, IIsolate, INode, ISpoolProgress

log = Logger()

T = TypeVar("T")


class Owner(Protocol):
    """The app, as its releases see it."""

    def population_changed(self, release: Release, active: int) -> None:
        """So many workers of that release take events now."""


class Release:
    """
    One release.

    :param node: where it runs.
    :param library: where its documents are.
    :param app: name of the app.
    :param profile: the name of its profile.
    :param endpoint: path of the socket of its workers.
    :param owner: hears of its workers.

    :ivar edition: what it is made of, once that is known.
    """

    def __init__(
        self,
        node: INode,
        library: Library,
        app: str,
        profile: str,
        endpoint: str,
        owner: Owner,
    ) -> None:
        self.app = app
        self.endpoint = endpoint
        self.profile_name = profile
        self.executable = ""
        self.environment: Mapping[str, str] = {}
        self.edition: Edition | None = None
        self._node = node
        self._library = library
        self._owner = owner
        self._manifest: Manifest | None = None
        self._profile: Profile | None = None
        self._isolate: IIsolate | None = None
        self._overseer: Overseer | None = None
        self._scribe: Scribe | None = None
        self._engine: Engine | None = None
        self._warm_up: WarmUp | None = None
        #: what is waited for, and is given up by a stop
        self._pending: Deferred[Any] | None = None
        self._is_strict = False
        self._is_wanted = True

    @property
    def manifest(self) -> Manifest:
        """What it runs, once it is loaded."""
        assert self._manifest is not None
        return self._manifest

    @property
    def profile(self) -> Profile:
        """How it runs, likewise."""
        assert self._profile is not None
        return self._profile

    @property
    def is_open(self) -> bool:
        """Whether it has an overseer."""
        return self._overseer is not None

    @property
    def overseer(self) -> Overseer:
        """Its events and workers, once it is open."""
        assert self._overseer is not None
        return self._overseer

    @property
    def label(self) -> str:
        """That of its edition; empty as long as that is not known."""
        return "" if self.edition is None else self.edition.label

    @property
    def progress(self) -> Mapping[str, Any] | None:
        """How far the spooling is, if the isolate tells."""
        isolate: Any = self._isolate
        if ISpoolProgress.providedBy(isolate) and isolate.progress is not None:
            return dict(isolate.progress)
        return None

    # Start

    async def load(self, fresh: bool = False) -> None:
        """
        Read the documents and build the isolate.

        :param fresh: whether they must be those of the core storage now.
        :raises CocainedError: a document is missing or wrong, the isolate is
            unknown.  The release leaves no trace then.
        """
        library = self._library
        self._is_strict = fresh
        if not fresh:
            await self._read(fresh=False)
            # Who is to see changes must know from which version on.
            fresh = self.profile.auto_update > 0
        if fresh:
            # First the versions: of a document that changes in between it
            # is better to know too little.
            manifest = await library.version("manifests", self.app)
            profile = await library.version("profiles", self.profile_name)
            await self._read(fresh=True)
            self.edition = Edition(manifest, self._versioned(profile), "")
        if self.profile.unknown:
            log.warn(
                "profile {profile} has keys that mean nothing: {keys}",
                profile=self.profile_name,
                keys=", ".join(self.profile.unknown),
            )
        self.executable = self.manifest.slave
        self.environment = self.manifest.environment
        isolate = self.profile.isolate
        self._isolate = self._node.component(
            "isolate", isolate.type, self.app, isolate.args
        )
        check_path(self.endpoint)

    async def _read(self, fresh: bool) -> None:
        self._manifest = await self._library.manifest(self.app, fresh)
        self._profile = await self._library.profile(self.profile_name, fresh)

    def _versioned(self, profile: str) -> str:
        return f"{self.profile_name}@{profile}"

    async def look(self) -> Edition:
        """
        Say what a release would be made of now.

        :raises CocainedError: a document is missing, or nobody answers.
        """
        manifest = await self._library.version("manifests", self.app)
        profile = await self._library.version("profiles", self.profile_name)
        code = await self._code_version()
        return Edition(manifest, self._versioned(profile), code)

    async def _code_version(self) -> str:
        isolate: Any = self._isolate
        if not ICodeVersion.providedBy(isolate):
            return ""
        try:
            version: str = await isolate.code_version()
        except Exception as problem:
            raise cause(problem) from problem
        return version

    async def spool(self) -> None:
        """
        Get the code.

        :raises CocainedError: it cannot be had.
        :raises AppStopped: the release was stopped meanwhile.
        """
        assert self._isolate is not None
        isolate = self._isolate
        self._check_wanted()
        await maybeDeferred(isolate.start)
        self._check_wanted()
        if self.edition is not None:
            await self._look_at_code(self.edition)
            self._check_wanted()
        await self.wait(maybeDeferred(isolate.spool))

    async def _look_at_code(self, edition: Edition) -> None:
        """Learn which code is about to be spooled."""
        try:
            self.edition = edition._replace(code=await self._code_version())
        except CocainedError:
            if self._is_strict:
                raise
            # An app starts without; the first look finds a version all the same.
            self.edition = None

    async def wait(self, deferred: Deferred[T]) -> T:
        """
        Wait for something that a stop cancels.

        :raises AppStopped: the release was stopped.
        """
        self._pending = deferred
        try:
            result = await deferred
        except CancelledError:
            self._check_wanted()
            raise
        self._pending = None
        self._check_wanted()
        return result

    def _check_wanted(self) -> None:
        """
        See whether the release is still to be started; asked after each wait.

        :raises AppStopped: it was stopped meanwhile.
        """
        if not self._is_wanted:
            raise AppStopped("the app was paused while it was starting")

    def open(self, stats: Stats) -> None:
        """
        Listen for workers, without any yet.

        :param stats: where it counts.
        :raises AppStopped: the release was stopped meanwhile.
        :raises SpoolError: the socket cannot be had.
        """
        self._check_wanted()
        assert self._isolate is not None
        clock = self._node.reactor
        profile = self.profile
        self._scribe = Scribe(self.app, self._library, clock, profile.log_output)
        self._overseer = Overseer(
            self.app,
            profile,
            self,
            self._isolate,
            clock,
            self._node.wiring.turn,
            self,
            stats,
        )
        self._engine = Engine(
            self._node.wiring,
            self.endpoint,
            Handshake(self._overseer.pool.workers.get, self.manifest.protocol),
            # Twice the pool: those that come while their forerunners leave.
            limit=2 * profile.pool_limit + LEAVERS,
        )

    async def warm_up(self, wanted: int) -> None:
        """
        Get workers, as :class:`~cocained.apps.warmup.WarmUp` does.

        :raises CocainedError: none of them has come.
        :raises AppStopped: the release was stopped meanwhile.
        """
        warm_up = self._warm_up = WarmUp(
            self.app,
            self.overseer.pool,
            self._node.reactor,
            self.profile.handshake_timeout,
        )
        try:
            await self.wait(warm_up.begin(min(wanted, self.profile.pool_limit)))
        finally:
            self._warm_up = None

    # Launch, for the workers

    def arguments(self, uuid: str) -> dict[str, str]:
        endpoints = self._node.directory.endpoints("locator")
        if not endpoints:
            raise IsolateError(WORKER_TEXTS[WorkerCode.LOCATOR_NOT_FOUND])
        locators = [
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            for host, port in endpoints
        ]
        arguments = {
            "--app": self.app,
            "--endpoint": self.endpoint,
            "--uuid": uuid,
        }
        if self.manifest.protocol:
            arguments["--locator"] = ",".join(locators)
            arguments["--protocol"] = str(self.manifest.protocol)
        else:
            arguments["--locator"] = locators[0]
        return arguments

    # Watcher, for the pool

    def population_changed(self, active: int) -> None:
        if self._warm_up is not None:
            self._warm_up.population_changed(active)
        self._owner.population_changed(self, active)

    def worker_failed(self, error: CocainedError) -> None:
        if self._warm_up is not None:
            self._warm_up.worker_failed(error)

    def worker_crashed(self, worker: Worker) -> None:
        if self._scribe is not None:
            self._scribe.worker_crashed(worker)

    def worker_printed(self, worker: Worker, lines: list[bytes]) -> None:
        if self._scribe is not None:
            self._scribe.worker_printed(worker, lines)

    # The end

    async def retire(self) -> None:
        """
        End when the events at work are finished, or have had their time:
        ``seal-timeout``, and ``terminate-timeout`` after it.
        """
        await self.overseer.retire()
        await self._close()

    async def stop(self, patience: float | None = None) -> None:
        """
        End, in whatever state it is; calling it again does no harm.

        :param patience: seconds after which workers are killed, if that is
            sooner than the profile's terminate-timeout.
        """
        self._is_wanted = False
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.cancel()
        if self._overseer is not None:
            await self._overseer.stop(patience)
        await self._close()

    async def _close(self) -> None:
        if self._engine is not None:
            engine, self._engine = self._engine, None
            await engine.close()
        if self._isolate is not None:
            isolate, self._isolate = self._isolate, None
            await maybeDeferred(isolate.stop)


def cause(problem: Exception) -> CocainedError:
    """Give what people are told of a failed start; a bug is logged as one."""
    if isinstance(problem, CocainedError):
        return problem
    log.failure("an isolate failed in a way that it must not")
    return SpoolError(f"{type(problem).__name__}: {problem}")
