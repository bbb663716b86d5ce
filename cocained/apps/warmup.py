# -*- test-case-name: cocained.test.test_apps_warmup -*-
"""
The first workers of a release, until it can take over from the one before.

One that has shaken hands proves that the release works.  It should come with as
many as its forerunner has, though, or the load that those carry would wait at
one; so the others have a while longer.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from cocained.apps.pool import Pool
from cocained.errors import CocainedError, IsolateError

log = Logger()


class WarmUp:
    """
    A pool that is being filled.

    It has to hear of all that happens there: :meth:`population_changed` and
    :meth:`worker_failed`.

    :param app: its name, for the log.
    :param pool: without workers, and not in use.
    :param clock: the reactor's.
    :param patience: seconds that the others have when one is there.
    """

    def __init__(
        self, app: str, pool: Pool, clock: IReactorTime, patience: float
    ) -> None:
        self._app = app
        self._pool = pool
        self._clock = clock
        self._patience = patience
        self._wanted = 0
        self._error: CocainedError | None = None
        self._look_call: IDelayedCall | None = None
        self._late_call: IDelayedCall | None = None
        self._is_late = False
        self._done: Deferred[None] | None = None

    def begin(self, wanted: int) -> Deferred[None]:
        """
        Spawn workers; called once.

        :param wanted: how many; there is at least one, and no more than the
            profile allows.
        :returns: fires when all of them are active, or some are and the others
            have failed or are late; fails with the last worker's error
            when all have failed.  Cancelling it ends no worker.
        """
        self._wanted = wanted
        self._done = Deferred(lambda _: self._end())
        self._pool.control(max(1, wanted))
        self._look_soon()
        return self._done

    def population_changed(self, active: int) -> None:
        """So many workers take events now."""
        self._look_soon()

    def worker_failed(self, error: CocainedError) -> None:
        """A worker broke before it had served anything."""
        self._error = error
        self._look_soon()

    def _look_soon(self) -> None:
        # Not from within a worker's handshake or last breath: who hears that
        # all is ready will move events to these workers.
        if self._done is not None and self._look_call is None:
            self._look_call = self._clock.callLater(0, self._look)

    def _look(self) -> None:
        self._look_call = None
        pool = self._pool
        if not pool.able:
            error = self._error or IsolateError("no worker could be spawned")
            self._finish(error)
        elif pool.active >= pool.able or (pool.active and self._is_late):
            if pool.active < self._wanted:
                log.warn(
                    "app {app} goes on with {active} workers instead of {wanted}",
                    app=self._app,
                    active=pool.active,
                    wanted=self._wanted,
                )
            self._finish(None)
        elif pool.active and self._late_call is None:
            self._late_call = self._clock.callLater(self._patience, self._late)

    def _late(self) -> None:
        self._is_late = True
        self._look_soon()

    def _finish(self, error: CocainedError | None) -> None:
        done = self._done
        self._end()
        if done is not None and error is not None:
            done.errback(error)
        elif done is not None:
            done.callback(None)

    def _end(self) -> None:
        self._done = None
        for call in (self._look_call, self._late_call):
            if call is not None and call.active():
                call.cancel()
