# -*- test-case-name: cocained.test.test_apps_overseer -*-
"""
The events of one app: takes them in, lets them wait, gives them to workers.

The workers are :mod:`~cocained.apps.pool`'s; what is too late,
:mod:`~cocained.apps.deadlines` knows.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from cocained.apps.backlog import Backlog
from cocained.apps.deadlines import HORIZON, SWEEP, Deadlines
from cocained.apps.documents import Profile
from cocained.apps.invocation import Invocation
from cocained.apps.pool import Pool, Watcher
from cocained.apps.roles import Launch
from cocained.apps.stats import Stats
from cocained.errors import (
    AppStopped,
    BacklogFull,
    DeadlineExceeded,
    InvalidArgument,
)
from cocained.interfaces import IIsolate
from cocained.rpc.headers import NO_TRACE, Header, Trace
from cocained.rpc.session import Session
from cocained.rpc.turn import Turn

log = Logger()


class Overseer:
    """
    The events of one app, and the pool that works on them.

    :param app: its name.
    :param profile: its limits and timeouts.
    :param launch: what a worker is started with.
    :param isolate: how a worker is started.
    :param clock: the reactor's.
    :param turn: the sessions' sense of time.
    :param watcher: hears of what people may want to know.
    :param stats: where it counts; those of its forerunner, if it has one.
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
        stats: Stats | None = None,
    ) -> None:
        self.profile = profile
        self.stats = Stats(clock.seconds()) if stats is None else stats
        self.backlog: Backlog[Invocation] = Backlog()
        self.pool = Pool(
            app, profile, launch, isolate, clock, turn, self.stats, self, watcher
        )
        self._take = self.pool.roster.take
        self._clock = clock
        self._turn = turn
        self._timeout = profile.request_timeout
        self._deadlines: Deadlines[Invocation] = Deadlines()
        self._deadline_call: IDelayedCall | None = None
        self._pumping = False
        self._closed = False
        self._quiet: list[Deferred[None]] = []

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
        worker = None if self.backlog.events else self._take()
        if worker is None and not self.pool.has_room():
            self.stats.rejected += 1
            self.pool.rebalance()
            raise BacklogFull()
        self.stats.meter.count += 1
        invocation = Invocation(
            self, session, channel, event, headers, trace, now, now + timeout
        )
        self.pool.last_work = now
        if timeout <= HORIZON:
            self._deadlines.file(invocation, now)
            self._watch_deadlines(now)
        elif self._deadline_call is None:
            self._watch_deadlines(now)
        if worker is not None:
            worker.inject(invocation, now)
        else:
            self.stats.depth.update(len(self.backlog), now)
            self.backlog.push(invocation)
            self.pool.rebalance()
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
                worker = self._take()
                if worker is None:
                    break
                worker.inject(self.backlog.pop(), now)
        finally:
            self._pumping = False

    # Employer, for the pool

    @property
    def waiting(self) -> int:
        return len(self.backlog)

    def worker_ready(self) -> None:
        self._pump()

    def event_ended(self, invocation: Invocation, now: float) -> None:
        self.stats.timings.add(now - invocation.assigned)
        if self._deadlines.buckets:
            self._deadlines.forget(invocation)
        if self.backlog.events:
            self._pump()
        elif self._quiet:
            self._check_quiet()

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
        for worker in self.pool.workers.values():
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
            worker.invocations for worker in self.pool.workers.values()
        )

    # Succession

    def hand_over(self, successor: Overseer) -> None:
        """
        Take no more events, and let those that wait wait with *successor*.

        They keep their order and their deadlines, and none is refused, even if
        there are more than may wait there.  Events at work stay where they are.
        The successor keeps as many workers as people asked this one for.
        """
        self._closed = True
        events = self.backlog.clear()
        for invocation in events:
            self._deadlines.forget(invocation)
        successor.pool.control(self.pool.wanted)
        successor._adopt(events)

    def _adopt(self, events: list[Invocation]) -> None:
        now = self.pool.last_work = self._clock.seconds()
        for invocation in events:
            invocation.origin = self
            self._deadlines.file(invocation, now)
            self.backlog.push(invocation)
        if events:
            self._watch_deadlines(now)
        self._pump()
        self.pool.rebalance()

    def retire(self) -> Deferred[None]:
        """
        Take no more events, and end once those at work have been finished, or
        their workers' seal-timeout and terminate-timeout are over.

        Called after :meth:`hand_over`.

        :returns: fires when no worker is left.
        """
        self._closed = True
        return self.pool.seal().addCallback(self._stop_watching)

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

    def resume(self) -> None:
        """Take events again."""
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether no more events are taken."""
        return self._closed

    @property
    def events(self) -> int:
        """Events that wait or are worked on."""
        at_work = sum(len(worker.invocations) for worker in self.pool.workers.values())
        return len(self.backlog) + at_work

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
        self._closed = True
        for invocation in self.backlog.clear():
            invocation.fail(AppStopped())
        return self.pool.stop(patience).addCallback(self._stop_watching)

    def _stop_watching(self, result: None) -> None:
        """No event is left that could be late."""
        if self._deadline_call is not None and self._deadline_call.active():
            self._deadline_call.cancel()


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
