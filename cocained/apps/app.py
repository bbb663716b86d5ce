# -*- test-case-name: cocained.test.test_apps_app -*-
"""
One app on this node, from its documents to its last worker.

::

    SPOOLING ─▶ RUNNING ─▶ STOPPED
        └────▶ BROKEN

What runs is a :class:`~cocained.apps.release.Release`.  There may be a second
one that comes (:mod:`~cocained.apps.rollover`) and others that leave.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from cocained.apps.edition import Edition
from cocained.apps.engine import free_path, next_path
from cocained.apps.invocation import Invocation
from cocained.apps.library import Library
from cocained.apps.overseer import Overseer
from cocained.apps.publication import Publication
from cocained.apps.release import Release, cause
from cocained.apps.report import Flags, overseer_report
from cocained.apps.rollover import Rollover
from cocained.apps.stats import Stats
from cocained.apps.watch import Watch
from cocained.errors import AppStopped, CocainedError
from cocained.interfaces import INode
from cocained.rpc.headers import Headers
from cocained.rpc.session import Session

log = Logger()


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
        self.state = AppState.SPOOLING
        self.error: CocainedError | None = None
        self._node = node
        self._library = library
        self._clock = node.reactor
        self._started = self._clock.seconds()
        self._stats = Stats(self._started)
        self._release = self._make_release(profile, free_path(node.runtime, name))
        #: takes an event, as :meth:`Overseer.enqueue` does once there is one
        self.enqueue: Enqueue = _no_overseer
        self._rollover: Rollover | None = None
        #: releases of which something is left, and who waits for their end
        self._leaving: dict[Release, None] = {}
        self._waiting: list[Deferred[None]] = []
        self._watch: Watch | None = None
        self._publication = Publication(node.directory, self)
        self._is_closing = False

    def _make_release(self, profile: str, endpoint: str) -> Release:
        return Release(self._node, self._library, self.name, profile, endpoint, self)

    @property
    def profile(self) -> str:
        """The name of the profile with which it runs."""
        return self._release.profile_name

    @property
    def endpoint(self) -> str:
        """The socket of the workers of the release that serves."""
        return self._release.endpoint

    # Start

    async def load(self) -> None:
        """
        Read the documents and build the isolate.

        :raises CocainedError: a document is missing or wrong, the isolate is
            unknown.  The app leaves no trace then.
        """
        await self._release.load()

    async def start(self) -> None:
        """
        Spool the code, listen for workers, publish the service.

        :raises CocainedError: it cannot; the app is then broken and says why.
        """
        release = self._release
        try:
            await release.spool()
            self._stats = Stats(self._clock.seconds())
            release.open(self._stats)
            self.enqueue = release.overseer.enqueue
            if not release.profile.publish_on:
                await self._publication.publish()
            if self.state is not AppState.SPOOLING:
                raise AppStopped("the app was paused while it was starting")
        except Exception as problem:
            if self.state is not AppState.SPOOLING:
                raise
            error = cause(problem)
            await self._give_up(error)
            raise error from problem
        self.state = AppState.RUNNING
        self._started = self._clock.seconds()
        log.info("app {app} is running", app=self.name, profile=self.profile)
        self._watch_storage()

    async def _give_up(self, error: CocainedError) -> None:
        self.state = AppState.BROKEN
        self.error = error
        log.error("app {app} cannot be started: {error}", app=self.name, error=error)
        await self._publication.close()
        await self._release.stop()

    # Use

    @property
    def overseer(self) -> Overseer:
        """
        The pool of a running app.

        :raises AppStopped: it does not run.
        """
        if self.state is AppState.STOPPED:
            raise AppStopped()
        if self.state is not AppState.RUNNING:
            raise AppStopped(f"the application is {self.state.value}: Broken pipe")
        return self._release.overseer

    def control(self, wanted: int) -> None:
        if self._release.is_open:
            self._release.overseer.pool.control(wanted)

    def report(self) -> dict[str, Any]:
        return self._report(Flags.OVERSEER)

    def _report(self, flags: int) -> dict[str, Any]:
        now = self._clock.seconds()
        report = overseer_report(self.overseer, self._release.manifest, flags, now)
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
            report["publushed"] = self._publication.is_on
            if self._release.label:
                report["version"] = self._release.label
            if self._rollover is not None:
                report["update"] = self._rollover.report()
        else:
            report = {}
        report["state"] = self.state.value
        progress = self._release.progress
        if self.state is AppState.SPOOLING and progress is not None:
            report["progress"] = progress
        if self.error is not None:
            report["error"] = int(self.error.code)
            report["cause"] = self.error.reason
        elif self.state is AppState.STOPPED:
            report["error"] = 0
            report["cause"] = "manually stopped"
        return report

    # Update

    async def update(self, profile: str | None = None) -> None:
        """
        Bring what the storage holds now into service, without a gap.

        One that is under way already is given up for it.

        :param profile: the name of another profile to run with from then on.
        :raises AppStopped: the app does not run, or the update was given up for
            another one.
        :raises CocainedError: the new release cannot serve; the old one does.
        """
        if self.state is not AppState.RUNNING or self._is_closing:
            raise AppStopped("the application takes no events: Broken pipe")
        self._give_up_rollover()
        endpoint = next_path(self._node.runtime, self.name)
        release = self._make_release(profile or self.profile, endpoint)
        rollover = self._rollover = Rollover(release, self._clock)
        log.info("app {app} is being updated", app=self.name)
        pool = self._release.overseer.pool
        try:
            # As many workers as carry the load now: it moves in one turn.
            await rollover.run(self._stats, lambda: pool.active, self._when_alone)
        except CocainedError as error:
            self._leave(release, release.stop)
            if not isinstance(error, AppStopped):
                log.error(
                    "app {app} stays as it is, its new version {version} cannot serve:"
                    " {error}",
                    app=self.name,
                    version=release.label,
                    error=error,
                )
            raise
        self._take_over(rollover)

    def _give_up_rollover(self) -> None:
        """End the update that is under way, if there is one."""
        rollover = self._rollover
        if rollover is not None and not rollover.is_over:
            rollover.give_up()
            self._leave(rollover.release, rollover.release.stop)

    def _when_alone(self) -> Deferred[None]:
        """
        Wait until no former release is left.

        A third one does not begin before: at any time there are two pools at most.
        """
        alone: Deferred[None] = Deferred()
        if self._leaving:
            self._waiting.append(alone)
        else:
            alone.callback(None)
        return alone

    def _take_over(self, rollover: Rollover) -> None:
        """Let the new release serve: from one event to the next."""
        release = rollover.release
        former, self._release = self._release, release
        self.enqueue = release.overseer.enqueue
        former.overseer.hand_over(release.overseer)
        rollover.done()
        log.info(
            "app {app} has been updated to version {version}",
            app=self.name,
            version=release.label,
            profile=self.profile,
        )
        self._leave(former, former.retire)
        active = release.overseer.pool.active
        self._publication.release_changed(release.profile, active)
        self._watch_storage()

    def _leave(
        self, release: Release, end: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Keep *release* in mind until nothing is left of it."""
        if release not in self._leaving:
            self._leaving[release] = None
            leaving = Deferred.fromCoroutine(end())
            leaving.addErrback(self._not_in_order).addCallback(self._left, release)

    def _not_in_order(self, failure: Failure) -> None:
        log.failure(
            "a release of app {app} did not end in order", failure, app=self.name
        )

    def _left(self, result: None, release: Release) -> None:
        del self._leaving[release]
        if not self._leaving:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)

    # Following the storage

    def _watch_storage(self) -> None:
        """Look for changes as the profile of the release that serves says."""
        self._ignore_storage()
        interval = self._release.profile.auto_update
        if interval and not self._is_closing:
            self._watch = Watch(
                self.name,
                self._release.edition,
                interval,
                self._release.look,
                self._settled,
                self._clock,
            )
            self._watch.start()

    def _ignore_storage(self) -> None:
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def _settled(self, edition: Edition) -> None:
        """The storage holds something else than what was tried last."""
        if edition == self._release.edition:
            # Somebody has taken the new version back.
            self._give_up_rollover()
            return
        Deferred.fromCoroutine(self.update()).addErrback(self._not_updated)

    def _not_updated(self, failure: Failure) -> None:
        if failure.check(CocainedError) is None:
            log.failure("app {app} cannot be updated", failure, app=self.name)
        elif self._watch is not None and self._rollover is not None:
            if self._rollover.error is failure.value and self._rollover.may_pass:
                self._watch.try_again()

    # Owner, for the releases

    def population_changed(self, release: Release, active: int) -> None:
        if release is self._release:
            self._publication.population_changed(release.profile, active)

    # Stop

    async def drain(self) -> None:
        """Take no more events and let those that there are finish."""
        self._is_closing = True
        self._ignore_storage()
        await self._publication.close()
        self._give_up_rollover()
        if self.state is AppState.RUNNING:
            await self._release.overseer.drain()
            await self._when_alone()

    async def leave(self) -> None:
        """
        End the app when what there is to do is done, or has had the profile's
        seal-timeout.
        """
        if self.state is AppState.RUNNING:
            patience = self._release.profile.seal_timeout
            drained = Deferred.fromCoroutine(self.drain())
            drained.addTimeout(patience, self._clock, lambda result, seconds: None)
            await drained
        await self.stop()

    async def resume(self) -> None:
        """Take events again after :meth:`drain`; one that is starting goes on to."""
        if self.state is AppState.SPOOLING:
            self._is_closing = False
            self._publication.permit()
        elif self.state is AppState.RUNNING:
            self._is_closing = False
            release = self._release
            release.overseer.resume()
            active = release.overseer.pool.active
            await self._publication.reopen(release.profile, active)
            self._watch_storage()

    @property
    def events(self) -> int:
        """Events that wait or are worked on."""
        releases = (self._release, *self._leaving)
        return sum(each.overseer.events for each in releases if each.is_open)

    async def stop(self, patience: float | None = None) -> None:
        """
        End the app.  Calling it again, with less patience maybe, waits for the
        same end.

        :param patience: seconds after which workers are killed, if that is
            sooner than the profile's terminate-timeout.
        """
        was_stopped = self.state is AppState.STOPPED
        self.state = AppState.STOPPED
        self._is_closing = True
        self._ignore_storage()
        self._give_up_rollover()
        await self._publication.close()
        ends = [release.stop(patience) for release in (self._release, *self._leaving)]
        await gatherResults(map(Deferred.fromCoroutine, ends), consumeErrors=True)
        if not was_stopped:
            log.info("app {app} has stopped", app=self.name)
