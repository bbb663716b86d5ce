# -*- test-case-name: cocained.test.test_apps_overseer -*-
"""
The workers of one app: how many there are, and which one is next.

How many there should be is decided by :mod:`~cocained.apps.policy`; who wants
them, and for what, is the business of :mod:`~cocained.apps.overseer`.
"""

from __future__ import annotations

from typing import Protocol
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from cocained.apps import policy
from cocained.apps.documents import Profile
from cocained.apps.invocation import Invocation
from cocained.apps.roles import Launch
from cocained.apps.roster import Roster
from cocained.apps.stats import Stats
from cocained.apps.worker import Worker
from cocained.errors import CocainedError, WorkerCode
from cocained.interfaces import IIsolate
from cocained.rpc.turn import Turn

log = Logger()


class Watcher(Protocol):
    """The app, as its pool sees it."""

    def population_changed(self, active: int) -> None:
        """So many workers take events now."""

    def worker_crashed(self, worker: Worker) -> None:
        """A worker ended with an error and has been buried."""

    def worker_printed(self, worker: Worker, lines: list[bytes]) -> None:
        """A worker printed whole lines."""


class Employer(Protocol):
    """Who has events for the workers."""

    @property
    def waiting(self) -> int:
        """Events that wait for a worker."""

    def worker_ready(self) -> None:
        """A worker has come that takes events."""

    def event_ended(self, invocation: Invocation, now: float) -> None:
        """A worker has one event less."""


class Pool:
    """
    The workers of one app.

    :param app: its name.
    :param profile: its limits and timeouts.
    :param launch: what a worker is started with.
    :param isolate: how a worker is started.
    :param clock: the reactor's.
    :param turn: the sessions' sense of time.
    :param stats: where workers are counted.
    :param employer: who has events.
    :param watcher: hears of what people may want to know.
    """

    def __init__(
        self,
        app: str,
        profile: Profile,
        launch: Launch,
        isolate: IIsolate,
        clock: IReactorTime,
        turn: Turn,
        stats: Stats,
        employer: Employer,
        watcher: Watcher,
    ) -> None:
        #: all there are, by uuid, until they are buried
        self.workers: dict[str, Worker] = {}
        #: those that take events
        self.roster: Roster[Worker] = Roster(profile.concurrency)
        #: number of workers asked for by ``control``; 0 is automatic
        self.wanted = 0
        #: workers that take events
        self.active = 0
        #: when the app last had work, in seconds of the clock
        self.last_work = clock.seconds()
        self.limits = policy.Limits(
            profile.pool_limit,
            profile.concurrency,
            profile.queue_limit,
            profile.grow_threshold,
        )
        self._app = app
        self._profile = profile
        self._launch = launch
        self._isolate = isolate
        self._clock = clock
        self._turn = turn
        self._stats = stats
        self._employer = employer
        self._watcher = watcher
        # Those that work or will; counted for every event that has to wait.
        self._able: dict[Worker, None] = {}
        self._backoff = policy.Backoff()
        self._stopping = False
        self._backoff_call: IDelayedCall | None = None
        self._idle_call: IDelayedCall | None = None
        self._empty: list[Deferred[None]] = []

    # Owner, for the workers

    def worker_active(self, worker: Worker) -> None:
        self.roster.add(worker)
        self.active += 1
        self._employer.worker_ready()
        self._watch_idleness()
        self._watcher.population_changed(self.active)

    def worker_freed(self, worker: Worker, invocation: Invocation) -> None:
        now = self.last_work = self._turn.now
        self.roster.freed(worker)
        if not worker.load:
            worker.idle_since = now
        self._employer.event_ended(invocation, now)

    def worker_gone(self, worker: Worker, error: CocainedError | None) -> None:
        # Its events end next, and timers do not begin a turn.
        self._turn.now = self._clock.seconds()
        self._retire(worker)
        if error is not None:
            self._stats.crashed += 1
            self._back_off(error)
        # Not from within the worker's own last breath.
        self._clock.callLater(0, self.rebalance)

    def worker_buried(self, worker: Worker) -> None:
        self.workers.pop(worker.uuid, None)
        if worker.error is not None:
            self._watcher.worker_crashed(worker)
        if not self.workers:
            empty, self._empty = self._empty, []
            for waiting in empty:
                waiting.callback(None)

    def worker_output(self, worker: Worker, lines: list[bytes]) -> None:
        self._watcher.worker_printed(worker, lines)

    def _retire(self, worker: Worker) -> None:
        """Give *worker* no more events; once is enough."""
        self._able.pop(worker, None)
        if worker in self.roster:
            self.roster.remove(worker)
            self.active -= 1
            self._watcher.population_changed(self.active)

    def _back_off(self, error: CocainedError) -> None:
        if self._backoff_call is not None or self._stopping:
            return
        delay = self._backoff.failed(self._clock.seconds())
        log.warn(
            "a worker of app {app} failed: {error}; no other is spawned for {delay} s",
            app=self._app,
            error=error,
            delay=delay,
        )
        self._backoff_call = self._clock.callLater(delay, self._retry)

    def _retry(self) -> None:
        self._backoff_call = None
        self.rebalance()

    # Population

    def control(self, wanted: int) -> None:
        """
        Keep so many workers, within the pool's limit.

        :param wanted: 0 or less hands over to the automatic mode.
        """
        self.wanted = max(0, wanted)
        self.rebalance()

    def rebalance(self) -> None:
        """Spawn or seal workers as the policy says."""
        if self._stopping:
            return
        decision = policy.decide(self._population(), self.limits)
        if decision.seal:
            for worker in self.roster.by_load()[: decision.seal]:
                self._retire(worker)
                worker.seal()
        for _ in range(decision.spawn):
            if self._backoff_call is not None:
                break
            self._spawn()

    def has_room(self) -> bool:
        """Say whether one more event may wait for these workers."""
        return policy.has_room(self._population(), self.limits)

    def _population(self) -> policy.Population:
        idle_timeout = self._profile.idle_timeout
        awake = self._stats.meter.count > 0 and (
            not idle_timeout or self._clock.seconds() - self.last_work < idle_timeout
        )
        return policy.Population(
            len(self._able),
            self.active,
            self.roster.load,
            self._employer.waiting,
            self.wanted,
            awake,
        )

    def _spawn(self) -> None:
        worker = Worker(
            str(uuid4()), self, self._launch, self._isolate, self._profile, self._clock
        )
        self.workers[worker.uuid] = worker
        self._able[worker] = None
        self._stats.spawned += 1
        worker.start()

    # Idleness

    def _watch_idleness(self) -> None:
        idle_timeout = self._profile.idle_timeout
        if not idle_timeout or self._idle_call is not None or self._stopping:
            return
        now = since = self._clock.seconds()
        if not self.wanted:
            idle = (w.idle_since for w in self.roster.by_load() if not w.load)
            since = min(idle, default=now)
        delay = max(0.0, since + idle_timeout - now)
        self._idle_call = self._clock.callLater(delay, self._end_idle)

    def _end_idle(self) -> None:
        self._idle_call = None
        horizon = self._clock.seconds() - self._profile.idle_timeout
        if not self.wanted:
            for worker in self.roster.by_load():
                if not worker.load and worker.idle_since <= horizon:
                    self._retire(worker)
                    worker.terminate(WorkerCode.IDLE)
        if self.active:
            self._watch_idleness()

    # The end

    def stop(self, patience: float | None) -> Deferred[None]:
        """
        End all workers and spawn no more.

        :param patience: seconds after which workers are killed, if that is
            sooner than their terminate-timeout.
        :returns: fires when no worker is left.
        """
        self._stopping = True
        for call in (self._backoff_call, self._idle_call):
            if call is not None and call.active():
                call.cancel()
        for worker in list(self.workers.values()):
            self._retire(worker)
            worker.terminate(WorkerCode.OVERSEER_SHUTDOWN)
        done: Deferred[None] = Deferred()
        if not self.workers:
            done.callback(None)
            return done
        self._empty.append(done)
        if patience is not None:
            killer = self._clock.callLater(patience, self._kill)
            done.addBoth(_cancel, killer)
        return done

    def _kill(self) -> None:
        for worker in list(self.workers.values()):
            worker.kill()


def _cancel(result: None, call: IDelayedCall) -> None:
    if call.active():
        call.cancel()
