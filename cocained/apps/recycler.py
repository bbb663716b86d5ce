# -*- test-case-name: cocained.test.test_apps_recycler -*-
"""
Replaces workers that have worked enough (:mod:`~cocained.apps.recycling`).

First the successor is spawned; when it takes events the old one is sealed, so
that no event fails and the pool does not get smaller.  One worker of an app at
a time, from the spawn until the old one is gone: there is never more than one
process beyond the pool's limit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from cocained.apps.recycling import Keys, Lot, draw, excess
from cocained.apps.worker import Worker

log = Logger()

#: Seconds between two looks at the age and the memory of workers.
SWEEP = 5.0


class Fleet(Protocol):
    """The pool, as its recycler sees it."""

    def recruit(self) -> Worker | None:
        """Spawn one more worker; ``None`` if none can be spawned now."""

    def dismiss(self, worker: Worker) -> None:
        """Seal a worker."""


class Recycler:
    """
    The recycling of one app's workers.

    :param app: its name.
    :param keys: the profile's, of which one at least is a limit.
    :param fleet: whose workers they are.
    :param clock: the reactor's.
    :param luck: gives numbers from 0 to below 1.
    """

    def __init__(
        self,
        app: str,
        keys: Keys,
        fleet: Fleet,
        clock: IReactorTime,
        luck: Callable[[], float],
    ) -> None:
        self._app = app
        self._keys = keys
        self._fleet = fleet
        self._clock = clock
        self._luck = luck
        # Active workers and what they may do.
        self._lots: dict[Worker, Lot] = {}
        self._old: Worker | None = None
        self._successor: Worker | None = None
        self._sweep_call: IDelayedCall | None = None

    def active(self, worker: Worker) -> None:
        """A worker takes events from now on."""
        self._lots[worker] = draw(self._keys, self._luck)
        if worker is self._successor:
            self._successor = None
            self._hand_over(worker)
        self._watch()

    def freed(self, worker: Worker) -> None:
        """A worker has one event less."""
        lot = self._lots.get(worker)
        if lot is not None and worker.accepted >= lot.requests and not self._is_busy:
            self._replace(worker, excess(lot, worker.accepted, 0, 0) or "")

    def gone(self, worker: Worker) -> None:
        """A worker works no more."""
        self._lots.pop(worker, None)
        if worker is self._successor:
            # The old one stays.  The next look tries again: the pool knows
            # when it is time to spawn after a failure.
            self._old = self._successor = None
        elif worker is self._old:
            self._old = None
            self._look()

    @property
    def _is_busy(self) -> bool:
        return self._old is not None or self._successor is not None

    def stop(self) -> None:
        """Replace nobody any more."""
        self._lots.clear()
        if self._sweep_call is not None:
            self._sweep_call.cancel()
            self._sweep_call = None

    def _replace(self, worker: Worker, why: str) -> None:
        successor = self._fleet.recruit()
        if successor is None or successor.is_gone:
            return
        self._old = worker
        self._successor = successor
        log.info(
            "worker {worker} of app {app} {why}; {successor} takes its place",
            worker=worker.uuid,
            app=self._app,
            why=why,
            successor=successor.uuid,
        )

    def _hand_over(self, successor: Worker) -> None:
        old = self._old
        if old is None:
            # It has gone by itself meanwhile.
            self._look()
            return
        if not old.load:
            # An idle app must not be kept awake by its own recycling.
            successor.idle_since = old.idle_since
        self._lots.pop(old, None)
        self._fleet.dismiss(old)

    def _watch(self) -> None:
        is_wanted = self._keys.age or self._keys.memory
        if is_wanted and self._sweep_call is None:
            self._sweep_call = self._clock.callLater(SWEEP, self._sweep)

    def _sweep(self) -> None:
        self._sweep_call = None
        self._look()
        if self._lots:
            self._watch()

    def _look(self) -> None:
        """Find one that has worked enough, unless one leaves already."""
        if self._is_busy:
            return
        now = self._clock.seconds()
        for worker, lot in self._lots.items():
            memory = 0.0
            if self._keys.memory:
                memory = (worker.process.usage() or {}).get("memory", 0.0)
            why = excess(lot, worker.accepted, now - worker.started, memory)
            if why is not None and worker.is_running:
                self._replace(worker, why)
                return
