# -*- test-case-name: cocained.test.test_apps_pool,cocained.test.test_apps_pool_ends -*-
"""
The workers of one app: how many there are, and which one is next.

How many there should be is decided by :mod:`~cocained.apps.policy`; who wants
them, and for what, is the business of :mod:`~cocained.apps.overseer`.
"""

from __future__ import annotations

from random import random
from typing import Protocol
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from cocained.apps import policy, recycling
from cocained.apps.burdens import Burdens
from cocained.apps.documents import Profile
from cocained.apps.invocation import Invocation
from cocained.apps.recycler import Recycler
from cocained.apps.roles import Launch
from cocained.apps.roster import Roster
from cocained.apps.stats import Stats
from cocained.apps.worker import State, Worker
from cocained.errors import CocainedError, WorkerCode
from cocained.interfaces import IIsolate
from cocained.rpc.session import Session
from cocained.rpc.turn import Turn

log = Logger()

#: Workers beyond twice the pool's limit that may exist at one time, with those
#: that work no more and have yet to end: no crash may fill the machine.
LEAVERS = 8


class Watcher(Protocol):
    """The app, as its pool sees it."""

    def population_changed(self, active: int) -> None:
        """So many workers take events now."""

    def worker_failed(self, error: CocainedError) -> None:
        """A worker broke before it had served anything."""

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
        #: those that would, if their connections were not stuck
        self.shunned: dict[Worker, None] = {}
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
        self._burdens = Burdens(f"app {app}", self, clock, turn)
        self._recycler: Recycler | None = None
        if recycling.is_on(profile.recycle):
            self._recycler = Recycler(app, profile.recycle, self, clock, random)
        self._backoff = policy.Backoff()
        self._most = 2 * profile.pool_limit + LEAVERS
        self._stopping = False
        self._backoff_call: IDelayedCall | None = None
        self._idle_call: IDelayedCall | None = None
        self._empty: list[Deferred[None]] = []

    @property
    def load(self) -> int:
        """Events at the workers that take events, stuck ones included."""
        return self.roster.load + sum(worker.load for worker in self.shunned)

    @property
    def able(self) -> int:
        """Workers that work or will."""
        return len(self._able) + len(self.shunned)

    @property
    def busy(self) -> int:
        """How many of these workers have events."""
        workers = [*self.roster.by_load(), *self.shunned]
        return sum(1 for worker in workers if worker.load)

    # Owner, for the workers

    def worker_active(self, worker: Worker) -> None:
        self.roster.add(worker)
        self.active += 1
        if self._recycler is not None:
            self._recycler.active(worker)
        self._employer.worker_ready()
        self._watch_idleness()
        self._watcher.population_changed(self.active)

    def worker_freed(self, worker: Worker, invocation: Invocation) -> None:
        now = self.last_work = self._turn.now
        self.roster.freed(worker)
        if not worker.load:
            worker.idle_since = now
        if self._recycler is not None:
            self._recycler.freed(worker)
        self._employer.event_ended(invocation, now)

    def worker_burdened(self, worker: Worker, client: Session | None) -> None:
        self._burdens.watch(worker, client)

    def worker_gone(self, worker: Worker, error: CocainedError | None) -> None:
        # Its events end next, and timers do not begin a turn.
        self._turn.now = self._clock.seconds()
        self._retire(worker)
        if self._recycler is not None:
            self._recycler.gone(worker)
        if error is not None:
            self._stats.crashed += 1
            if worker.has_served:
                self._go_on()
            else:
                self._back_off(error)
                self._watcher.worker_failed(error)
        # Not from within the worker's own last breath.
        self._clock.callLater(0, self.rebalance)

    def worker_buried(self, worker: Worker) -> None:
        if len(self.workers) == self._most:
            self._clock.callLater(0, self.rebalance)
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
        self._burdens.forget(worker)
        if worker in self.shunned:
            self._unshun(worker)
        elif worker in self.roster:
            self.roster.remove(worker)
        else:
            return
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

    def _go_on(self) -> None:
        """
        Wait for nothing: one that has served before it failed shows that the
        code works, and killed workers must not keep the app from serving.
        """
        self._backoff.reset()
        call, self._backoff_call = self._backoff_call, None
        if call is not None and call.active():
            call.cancel()

    def _retry(self) -> None:
        self._backoff_call = None
        self.rebalance()

    # Shunner, for the burdens: who is shunned is as good as not there

    def shun(self, worker: Worker) -> None:
        if worker in self.roster and self.limits.pool > 1:
            self.roster.remove(worker)
            del self._able[worker]
            self.shunned[worker] = None
            self.limits = self.limits._replace(pool=self.limits.pool - 1)
            self.rebalance()

    def welcome(self, worker: Worker) -> None:
        if worker in self.shunned:
            self._unshun(worker)
            self._able[worker] = None
            self.roster.add(worker)
            self._employer.worker_ready()
            self.rebalance()

    def _unshun(self, worker: Worker) -> None:
        del self.shunned[worker]
        self.limits = self.limits._replace(pool=self.limits.pool + 1)

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
                self.dismiss(worker)
        for _ in range(decision.spawn):
            if self._backoff_call is not None or len(self.workers) >= self._most:
                break
            self._spawn()

    # Fleet, for the recycler

    def recruit(self) -> Worker | None:
        full = len(self.workers) >= self._most
        if self._stopping or full or self._backoff_call is not None:
            return None
        return self._spawn()

    def dismiss(self, worker: Worker) -> None:
        self._retire(worker)
        worker.seal()

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
            self.active - len(self.shunned),
            self.roster.load,
            self._employer.waiting,
            self.wanted,
            awake,
        )

    def _spawn(self) -> Worker:
        worker = Worker(
            str(uuid4()), self, self._launch, self._isolate, self._profile, self._clock
        )
        self.workers[worker.uuid] = worker
        self._able[worker] = None
        self._stats.spawned += 1
        worker.start()
        return worker

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

    def seal(self) -> Deferred[None]:
        """
        Spawn no more workers, and let those that there are finish their events.

        Each has its seal-timeout for that, and after it its terminate-timeout.

        :returns: fires when no worker is left.
        """
        self._settle_down()
        for worker in list(self.workers.values()):
            if worker.state is State.ACTIVE:
                self.dismiss(worker)
            elif worker.is_running:
                self._retire(worker)
                worker.terminate(WorkerCode.OVERSEER_SHUTDOWN)
        return self._when_empty()

    def stop(self, patience: float | None) -> Deferred[None]:
        """
        End all workers and spawn no more.

        :param patience: seconds after which workers are killed, if that is
            sooner than their terminate-timeout.
        :returns: fires when no worker is left.
        """
        self._settle_down()
        for worker in list(self.workers.values()):
            self._retire(worker)
            worker.terminate(WorkerCode.OVERSEER_SHUTDOWN)
        done = self._when_empty()
        if patience is not None and not done.called:
            killer = self._clock.callLater(patience, self._kill)
            done.addBoth(_cancel, killer)
        return done

    def _settle_down(self) -> None:
        """Change nothing any more of one's own accord."""
        self._stopping = True
        if self._recycler is not None:
            self._recycler.stop()
        for call in (self._backoff_call, self._idle_call):
            if call is not None and call.active():
                call.cancel()

    def _when_empty(self) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        if not self.workers:
            done.callback(None)
        else:
            self._empty.append(done)
        return done

    def _kill(self) -> None:
        for worker in list(self.workers.values()):
            worker.kill()


def _cancel(result: None, call: IDelayedCall) -> None:
    if call.active():
        call.cancel()
