# -*- test-case-name: cocained.test.test_apps_rollover -*-
"""
How a new release of an app comes into service, or does not.

::

    LOADING ─▶ SPOOLING ─▶ WAITING ─▶ WARMING ─▶ DONE
       └──────────┴───────────┴──────────┴─────▶ FAILED

Until it is done, nothing of the release that serves is touched.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cocained.apps.release import Release, cause
from cocained.apps.stats import Stats
from cocained.errors import (
    AppStopped,
    CocainedError,
    SpoolError,
    StorageError,
)

log = Logger()

#: What a spool fails with if the code itself is to blame: a second attempt
#: would find the same.
_VERDICTS = frozenset(
    {errno.EILSEQ, errno.EBADMSG, errno.EFBIG, errno.ENAMETOOLONG, errno.EINVAL}
)


class Phase(Enum):
    """How far a rollover is, as ``info`` reports it."""

    LOADING = "loading"
    SPOOLING = "spooling"
    WAITING = "waiting"
    WARMING = "warming up"
    DONE = "done"
    FAILED = "failed"


class Rollover:
    """
    One attempt.

    :param release: that comes; not loaded yet.
    :param clock: the reactor's.
    """

    def __init__(self, release: Release, clock: IReactorTime) -> None:
        self.release = release
        self.phase = Phase.LOADING
        self.error: CocainedError | None = None
        self._clock = clock
        self._since = clock.seconds()

    async def run(
        self,
        stats: Stats,
        wanted: Callable[[], int],
        when_alone: Callable[[], Deferred[None]],
    ) -> None:
        """
        Get the release ready.

        :param stats: where it is to count.
        :param wanted: says how many workers it is to have.
        :param when_alone: gives something to wait for until workers may be
            spawned.
        :raises AppStopped: it was given up meanwhile.
        :raises CocainedError: it cannot serve.  The release has to be stopped.
        """
        try:
            await self._prepare(stats, wanted, when_alone)
        except Exception as problem:
            if self.is_over:
                # Whatever it stumbled over on its way out.
                raise AppStopped("the update was given up") from problem
            error = cause(problem)
            self._fail(error)
            raise error from problem

    async def _prepare(
        self,
        stats: Stats,
        wanted: Callable[[], int],
        when_alone: Callable[[], Deferred[None]],
    ) -> None:
        release = self.release
        await release.load(fresh=True)
        self._enter(Phase.SPOOLING)
        await release.spool()
        if await release.look() != release.edition:
            # Documents and code were read one after the other: they may be of
            # different versions.
            raise StorageError(
                errno.EAGAIN, f"app {release.app!r} has changed while it was spooled"
            )
        self._enter(Phase.WAITING)
        await release.wait(when_alone())
        self._enter(Phase.WARMING)
        release.open(stats)
        await release.warm_up(wanted())

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._since = self._clock.seconds()

    def done(self) -> None:
        """The release serves."""
        self._enter(Phase.DONE)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.phase in (Phase.DONE, Phase.FAILED)

    @property
    def may_pass(self) -> bool:
        """
        Whether the same might succeed later: what failed was a storage, a
        registry or this machine, and not the release.
        """
        error = self.error
        if isinstance(error, SpoolError):
            return error.code not in _VERDICTS
        return isinstance(error, StorageError)

    def give_up(self) -> None:
        """It is not wanted any more; its release has to be stopped."""
        self._fail(AppStopped("the update was given up"))

    def _fail(self, error: CocainedError) -> None:
        self.error = error
        self._enter(Phase.FAILED)

    def report(self) -> dict[str, Any]:
        """Say how it is, for ``info``."""
        report: dict[str, Any] = {
            "state": self.phase.value,
            "since": int(self._since),
        }
        if self.release.label:
            report["version"] = self.release.label
        if self.error is not None:
            report["error"] = int(self.error.code)
            report["cause"] = self.error.reason
        progress = self.release.progress
        if self.phase is Phase.SPOOLING and progress is not None:
            report["progress"] = progress
        return report
