# -*- test-case-name: cocained.test.test_apps_runlists -*-
"""
The apps of a node's runlist: started with the node, and kept up with
(``runlist-refresh``).

What people did by hand stays as it is: an app that somebody else has started is
not stopped for the runlist's sake, and one that was paused is not started again
before the runlist names it anew.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from random import random
from typing import Any, NamedTuple, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from cocained.apps.library import Library
from cocained.apps.rounds import Rounds
from cocained.errors import AppExists, CocainedError

log = Logger()

#: Seconds until an app that could not be started is tried again, at most; it
#: doubles from one look on.
LAST_DELAY = 600.0


class Host(Protocol):
    """Who starts and ends apps."""

    async def start_named(self, name: str, profile: str) -> None:
        """
        Start an app, and wait until it runs.

        :raises CocainedError: it cannot be started.
        """

    def change_profile(self, name: str, profile: str) -> Deferred[None]:
        """
        Let an app go on with another profile, without a gap.

        :returns: fires when it does; fails with :class:`CocainedError` if it cannot,
            which is logged and goes on as it was.
        """

    def let_go(self, name: str) -> None:
        """End an app once what it has to do is done, within reason."""


class _Failed(NamedTuple):
    """
    An app that could not be started, or not go on with its profile: why, and when
    that is tried again.
    """

    reason: str
    delay: float
    due: float


_NEVER = _Failed("", 0.0, 0.0)


class Follower:
    """
    Follows one runlist.

    :param library: where it is.
    :param runlist: its name.
    :param interval: seconds from one look to the next; 0 is never again.
    :param host: starts and ends apps.
    :param clock: the reactor's.
    :param luck: gives numbers from 0 to below 1.
    """

    def __init__(
        self,
        library: Library,
        runlist: str,
        interval: float,
        host: Host,
        clock: IReactorTime,
        luck: Callable[[], float] = random,
    ) -> None:
        self._library = library
        self._name = runlist
        self._interval = interval
        self._host = host
        self._clock = clock
        self._luck = luck
        self._rounds = self._make_rounds()
        self._version = ""
        self._apps: Mapping[str, str] = {}
        #: those of them that are to be started yet
        self._unstarted: dict[str, str] = {}
        #: those of them that were started for the runlist's sake
        self._ours: set[str] = set()
        self._failed: dict[str, _Failed] = {}
        #: those that are on their way to another profile
        self._changing: dict[str, Deferred[None]] = {}
        self._is_blind = False
        self._is_stopped = False

    def _make_rounds(self) -> Rounds:
        return Rounds(self._clock, self._interval, self._look, self._luck)

    def start(self) -> None:
        """Start the apps, while the node is there already, and go on to look."""
        self._run(self._begin())

    def resume(self) -> None:
        """Go on after a :meth:`stop`, with what was not done then."""
        if self._is_stopped:
            self._is_stopped = False
            self._rounds = self._make_rounds()
            self._run(self._start_rest())

    def _run(self, beginning: Coroutine[Any, Any, None]) -> None:
        running = Deferred.fromCoroutine(beginning)
        running.addCallback(self._go_on, self._rounds)
        running.addErrback(
            lambda failure: log.failure("a runlist cannot be followed", failure)
        )

    def _go_on(self, result: None, rounds: Rounds) -> None:
        # There may have been a stop meanwhile, and others go on since.
        if self._interval and rounds is self._rounds and not self._is_stopped:
            rounds.start()

    def stop(self) -> None:
        """Start and end nothing any more; an app that is starting goes on to."""
        self._is_stopped = True
        self._rounds.stop()

    def forget(self, name: str) -> None:
        """Somebody has paused that app by hand."""
        self._ours.discard(name)
        self._forget_attempts(name)

    def _forget_attempts(self, name: str) -> None:
        for attempts in (self._failed, self._unstarted, self._changing):
            attempts.pop(name, None)

    async def _begin(self) -> None:
        if self._interval:
            await self._look()
            return
        try:
            runlist = await self._library.runlist(self._name)
        except CocainedError as error:
            self._lose_sight(error)
        else:
            await self._apply(runlist.apps)

    async def _look(self) -> None:
        try:
            version = await self._library.version("runlists", self._name)
            apps = self._apps
            if version != self._version:
                # Fresh: a copy in the cache is from an earlier start.
                apps = (await self._library.runlist(self._name, fresh=True)).apps
        except CocainedError as error:
            self._lose_sight(error)
            return
        if self._is_stopped:
            # What is new is found once more by the next look, if there is one.
            return
        self._is_blind = False
        self._version = version
        await self._apply(apps)

    def _lose_sight(self, error: CocainedError) -> None:
        if self._is_stopped or self._is_blind:
            return
        self._is_blind = True
        log.warn(
            "runlist {runlist} cannot be read, {what}: {error}",
            runlist=self._name,
            what="all apps stay as they are" if self._version else "no app is started",
            error=error,
        )

    async def _apply(self, apps: Mapping[str, str]) -> None:
        """Do what has changed, and what could not be done before."""
        former, self._apps = self._apps, apps
        for name in former:
            if name not in apps:
                self._remove(name)
        for name, profile in apps.items():
            has_changed = former.get(name) != profile
            is_due = self._is_due(name, has_changed)
            if name not in former or (is_due and name not in self._ours):
                self._unstarted[name] = profile
            elif has_changed or (is_due and name not in self._changing):
                if name in self._ours:
                    self._change(name, profile)
        await self._start_rest()

    async def _start_rest(self) -> None:
        while self._unstarted and not self._is_stopped:
            name = next(iter(self._unstarted))
            await self._start(name, self._unstarted.pop(name))

    def _remove(self, name: str) -> None:
        self._forget_attempts(name)
        if name in self._ours:
            self._ours.discard(name)
            log.info(
                "app {app} is not in runlist {runlist} any more",
                app=name,
                runlist=self._name,
            )
            self._host.let_go(name)

    def _change(self, name: str, profile: str) -> None:
        changing = self._host.change_profile(name, profile)
        self._changing[name] = changing
        changing.addBoth(self._changed, name, changing)

    def _changed(
        self, result: Failure | None, name: str, changing: Deferred[None]
    ) -> None:
        if result is not None and result.check(CocainedError) is None:
            log.failure("app {app} cannot be given a profile", result, app=name)
        if self._changing.get(name) is not changing:
            return  # another one was asked for since, or nobody cares any more
        del self._changing[name]
        if result is None:
            self._failed.pop(name, None)
            return
        before = self._failed.get(name, _NEVER)
        self._try_later(name, result.getErrorMessage(), before.delay)

    def _is_due(self, name: str, has_changed: bool) -> bool:
        failed = self._failed.get(name)
        if failed is None:
            return False
        return has_changed or failed.due <= self._clock.seconds()

    async def _start(self, name: str, profile: str) -> None:
        try:
            await self._host.start_named(name, profile)
        except CocainedError as error:
            self._cannot(name, error)
        else:
            self._failed.pop(name, None)
            self._ours.add(name)

    def _cannot(self, name: str, error: CocainedError) -> None:
        before = self._failed.pop(name, _NEVER)
        reason = str(error)
        if reason != before.reason and not self._is_stopped:
            log.warn(
                "app {app} of runlist {runlist} cannot be started: {error}",
                app=name,
                runlist=self._name,
                error=error,
            )
        if not isinstance(error, AppExists):
            self._try_later(name, reason, before.delay)

    def _try_later(self, name: str, reason: str, delay: float) -> None:
        delay = min(max(2 * delay, self._interval), LAST_DELAY)
        due = self._clock.seconds() + delay
        self._failed[name] = _Failed(reason, delay, due)
