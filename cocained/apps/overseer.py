# -*- test-case-name: cocained.test.test_apps_overseer -*-
"""
The pool of one app: takes events, keeps workers, brings them together.

What to do is decided elsewhere: :mod:`~cocained.apps.policy` says how many
workers there should be, :mod:`~cocained.apps.roster` which one is next,
:mod:`~cocained.apps.deadlines` what is too late.
"""

from __future__ import annotations

from typing import Protocol
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from cocained.apps import policy
from cocained.apps.backlog import Backlog
from cocained.apps.deadlines import HORIZON, SWEEP, Deadlines
from cocained.apps.documents import Profile
from cocained.apps.invocation import Invocation
from cocained.apps.roster import Roster
from cocained.apps.stats import Stats
from cocained.apps.worker import Launch, State, Worker
from cocained.errors import (
    AppStopped,
    BacklogFull,
    CocainedError,
    DeadlineExceeded,
    InvalidArgument,
    WorkerCode,
)
from cocained.interfaces import IIsolate
from cocained.rpc.headers import NO_TRACE, Header, Trace
from cocained.rpc.session import Session, Turn

log = Logger()


class Watcher(Protocol):
    """The app, as its pool sees it."""

    def population_changed(self, active: int) -> None:
        """So many workers take events now."""

    def worker_crashed(self, worker: Worker) -> None:
        """A worker ended with an error and has been buried."""

    def worker_printed(self, worker: Worker, lines: list[bytes]) -> None:
        """A worker printed whole lines."""


class Overseer:
    """
    The workers and the waiting events of one app.

    :param app: its name.
    :param profile: its limits and timeouts.
    :param launch: what a worker is started with.
    :param isolate: how a worker is started.
    :param clock: the reactor's.
    :param turn: the sessions' sense of time.
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
        watcher: Watcher,
    ) -> None:
        self.app = app
        self.profile = profile
        self.stats = Stats(clock.seconds())
        self.backlog: Backlog[Invocation] = Backlog()
        self.roster: Roster[Worker] = Roster(profile.concurrency)
        self.workers: dict[str, Worker] = {}
        #: number of workers asked for by ``control``; 0 is automatic
        self.wanted = 0
        self._launch = launch
        self._isolate = isolate
        self._clock = clock
        self._turn = turn
        self._watcher = watcher
        self._limits = policy.Limits(
            profile.pool_limit,
            profile.concurrency,
            profile.queue_limit,
            profile.grow_threshold,
        )
        self._timeout = profile.request_timeout
        self._deadlines: Deadlines[Invocation] = Deadlines()
        self._backoff = policy.Backoff()
        self._active = 0
        self._last_work = clock.seconds()
        self._pumping = False
        self._closed = False
        self._stopping = False
        self._backoff_call: IDelayedCall | None = None
        self._deadline_call: IDelayedCall | None = None
        self._idle_call: IDelayedCall | None = None
        self._quiet: list[Deferred[None]] = []
        self._empty: list[Deferred[None]] = []

    # Events

    def enqueue(
        self, session: Session, channel: int, headers: list[Header], event: bytes
    ) -> Invocation:
        """
        Take an event from a client.

        :returns: the receiver of what the client sends next.
        :raises AppStopped: the app takes no more events.
        :raises BacklogFull: there is no room.
        :raises CocainedError: its headers are wrong, or it is late already.
        """
        if self._closed:
            raise AppStopped()
        now = self._turn.now
        timeout = self._timeout
        trace = NO_TRACE
        if headers:
            trace = Trace.from_headers(headers)
            timeout = request_timeout(headers, timeout)
            if timeout <= 0:
                raise DeadlineExceeded()
        worker = None if self.backlog.events else self.roster.take()
        if worker is None and not policy.has_room(self._population(), self._limits):
            self.stats.rejected += 1
            self.rebalance()
            raise BacklogFull()
        self.stats.meter.count += 1
        invocation = Invocation(
            self, session, channel, event, headers, trace, now, now + timeout
        )
        self._last_work = now
        if timeout <= HORIZON:
            self._deadlines.file(invocation, now)
        if self._deadline_call is None or timeout <= HORIZON:
            self._watch_deadlines(now)
        if worker is not None:
            worker.inject(invocation, now)
        else:
            self.stats.depth.update(len(self.backlog), now)
            self.backlog.push(invocation)
            self.rebalance()
        return invocation

    def withdrawn(self, invocation: Invocation) -> None:
        """An event has ended without a worker."""
        self.backlog.remove(invocation)
        self._deadlines.forget(invocation)
        self._check_quiet()

    def _pump(self) -> None:
        """Bring waiting events and free workers together."""
        if self._pumping or not self.backlog:
            return
        self._pumping = True
        now = self._clock.seconds()
        self.stats.depth.update(len(self.backlog), now)
        try:
            while self.backlog:
                if self.backlog.first().deadline <= now:
                    self.backlog.pop().fail(DeadlineExceeded())
                    continue
                worker = self.roster.take()
                if worker is None:
                    break
                worker.inject(self.backlog.pop(), now)
        finally:
            self._pumping = False

    # Workers, as their owner

    def worker_active(self, worker: Worker) -> None:
        self.roster.add(worker)
        self._active += 1
        self._pump()
        self._watch_idleness()
        self._watcher.population_changed(self._active)

    def worker_freed(self, worker: Worker, invocation: Invocation) -> None:
        now = self._last_work = self._turn.now
        self.stats.timings.add(now - invocation.assigned)
        if self._deadlines.buckets:
            self._deadlines.forget(invocation)
        self.roster.freed(worker)
        if not worker.load:
            worker.idle_since = now
        if self.backlog.events:
            self._pump()
        elif self._quiet:
            self._check_quiet()

    def worker_gone(self, worker: Worker, error: CocainedError | None) -> None:
        # Its events end next, and timers do not begin a turn.
        self._turn.now = self._clock.seconds()
        self._retire(worker)
        if error is not None:
            self.stats.crashed += 1
            if self._backoff_call is None and not self._stopping:
                delay = self._backoff.failed(self._clock.seconds())
                log.warn(
                    "a worker of app {app} failed: {error};"
                    " no other is spawned for {delay} s",
                    app=self.app,
                    error=error,
                    delay=delay,
                )
                self._backoff_call = self._clock.callLater(delay, self._retry)
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
        """Give *worker* no more events."""
        if worker in self.roster:
            self.roster.remove(worker)
            self._active -= 1
            self._watcher.population_changed(self._active)

    def _retry(self) -> None:
        self._backoff_call = None
        self.rebalance()

    # Population

    @property
    def active(self) -> int:
        """Workers that take events."""
        return self._active

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
        decision = policy.decide(self._population(), self._limits)
        if decision.seal:
            for worker in self.roster.by_load()[: decision.seal]:
                self._retire(worker)
                worker.seal()
        for _ in range(decision.spawn):
            if self._backoff_call is not None:
                break
            self._spawn()

    def _population(self) -> policy.Population:
        idle_timeout = self.profile.idle_timeout
        awake = self.stats.meter.count > 0 and (
            not idle_timeout or self._clock.seconds() - self._last_work < idle_timeout
        )
        return policy.Population(
            sum(worker.is_running for worker in self.workers.values()),
            self._active,
            self.roster.load,
            len(self.backlog),
            self.wanted,
            awake,
        )

    def _spawn(self) -> None:
        worker = Worker(
            str(uuid4()), self, self._launch, self._isolate, self.profile, self._clock
        )
        self.workers[worker.uuid] = worker
        self.stats.spawned += 1
        worker.start()

    # Time

    def _watch_deadlines(self, now: float) -> None:
        """Look for late events when the next is due, and now and then."""
        wake = now + SWEEP
        soon = self._deadlines.next_time()
        if soon is not None:
            wake = min(wake, soon)
        call = self._deadline_call
        if call is not None:
            if call.getTime() <= wake:
                return
            call.cancel()
        delay = max(0.0, wake - self._clock.seconds())
        self._deadline_call = self._clock.callLater(delay, self._expire)

    def _expire(self) -> None:
        self._deadline_call = None
        self._turn.begin()
        now = self._turn.now
        for worker in self.workers.values():
            self._deadlines.sweep(worker.invocations, now)
        self._deadlines.sweep(self.backlog, now)
        for invocation in self._deadlines.due(now):
            if invocation.worker is None:
                invocation.fail(DeadlineExceeded())
            else:
                invocation.expire()
        self._turn.end()
        if self._has_events():
            self._watch_deadlines(now)

    def _has_events(self) -> bool:
        return bool(self.backlog) or any(
            worker.invocations for worker in self.workers.values()
        )

    def _watch_idleness(self) -> None:
        idle_timeout = self.profile.idle_timeout
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
        horizon = self._clock.seconds() - self.profile.idle_timeout
        if not self.wanted:
            for worker in self.roster.by_load():
                if not worker.load and worker.idle_since <= horizon:
                    self._retire(worker)
                    worker.terminate(WorkerCode.IDLE)
        if self._active:
            self._watch_idleness()

    # The end

    def drain(self) -> Deferred[None]:
        """
        Take no more events and finish those that there are.

        :returns: fires when none is left.
        """
        self._closed = True
        done: Deferred[None] = Deferred()
        self._quiet.append(done)
        self._check_quiet()
        return done

    def _check_quiet(self) -> None:
        if self._quiet and not self._has_events():
            quiet, self._quiet = self._quiet, []
            for waiting in quiet:
                waiting.callback(None)

    def stop(self, patience: float | None = None) -> Deferred[None]:
        """
        End all workers.  Events that wait are answered with an error, events at
        work have until their worker answers to ``terminate``.

        :param patience: seconds after which workers are killed, if that is
            sooner than their terminate-timeout.
        :returns: fires when no worker is left.
        """
        self._closed = self._stopping = True
        for call in (self._backoff_call, self._deadline_call, self._idle_call):
            if call is not None and call.active():
                call.cancel()
        for invocation in self.backlog.clear():
            invocation.fail(AppStopped())
        for worker in list(self.workers.values()):
            self._retire(worker)
            worker.terminate(WorkerCode.OVERSEER_SHUTDOWN)
        if not self.workers:
            done: Deferred[None] = Deferred()
            done.callback(None)
            return done
        return self._when_empty(patience)

    def _when_empty(self, patience: float | None) -> Deferred[None]:
        done: Deferred[None] = Deferred()
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


def request_timeout(headers: list[Header], default: float) -> float:
    """
    Seconds that an event may take (protocol.md §1.5).

    :param default: what holds without the header.
    :raises InvalidArgument: the header is there and is not 8 bytes.
    """
    for name, value in headers:
        if name == b"request_timeout":
            if len(value) != 8:
                raise InvalidArgument(
                    "header request_timeout is not an 8-byte little-endian"
                    " number of milliseconds"
                )
            return int.from_bytes(value, "little") / 1000
    return default


__all__ = ["Overseer", "State", "Watcher", "request_timeout"]
