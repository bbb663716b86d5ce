# -*- test-case-name: cocained.test.test_draining -*-
"""
How a node comes to rest without failing a request.

::

    serving ──drain──▶ draining: withdrawn, settles, finishes ──▶ drained
       ▲                  │                                          │
       └──────────────────┴──────────────── resume ──────────────────┘

First all services are *withdrawn*: peers and the locator hear that they are gone,
and send new clients elsewhere.  Who has asked a moment ago still comes, and so the
node *settles*: for a while it serves as before.  Then its services *finish*: they
refuse what is new with an error that sends clients elsewhere, too, and answer what
they have accepted.  An operator, or the end of the node, may want that.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from enum import Enum
from typing import Any

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    maybeDeferred,
    succeed,
)
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from cocained.directory import Directory
from cocained.errors import NotDrained
from cocained.interfaces import IRemoteService, IReporter, IResumable

log = Logger()


class State(Enum):
    """States as reports name them."""

    SERVING = "serving"
    DRAINING = "draining"
    DRAINED = "drained"


class Draining:
    """
    The rest of one node.

    :param clock: the reactor's.
    :param directory: what is withdrawn.
    :param services: those of the configuration, in the order of their start.
    :param patience: seconds that requests have to finish after that, where
        nobody says otherwise.

    :ivar settle: seconds for which new requests are served after the withdrawal.
    """

    def __init__(
        self,
        clock: IReactorTime,
        directory: Directory,
        services: Mapping[str, IRemoteService],
        patience: float,
    ) -> None:
        self.state = State.SERVING
        self.settle = 0.0
        self._clock = clock
        self._directory = directory
        self._services = services
        self._patience = patience
        self._began = 0.0
        self._running: Deferred[None] | None = None
        #: which drain it is; that of one which was given up is over
        self._turn = 0
        self._settled: list[Deferred[None]] = []
        self._waiting: list[Deferred[None]] = []

    # Drain

    def _begin(self) -> None:
        if self.state is State.SERVING:
            log.info(
                "the node drains: its services are withdrawn, and serve for another"
                " {seconds} s",
                seconds=self.settle,
            )
            self.state = State.DRAINING
            self._began = self._clock.seconds()
            self._running = Deferred.fromCoroutine(self._run())
            self._running.addErrback(_given_up)

    async def _run(self) -> None:
        turn = self._turn
        self._directory.withdraw(own=self._services)
        if self.settle:
            await deferLater(self._clock, self.settle)
        _fire(self._settled)
        await DeferredList(
            [
                maybeDeferred(service.drain).addErrback(_not_drained)
                for service in self._services.values()
            ]
        )
        if turn == self._turn:
            self.state = State.DRAINED
            log.info("the node is drained")
            _fire(self._waiting)

    @property
    def settling(self) -> float:
        """Seconds for which new requests are still served, 0 afterwards."""
        if self.state is not State.DRAINING:
            return 0.0
        return max(0.0, self._began + self.settle - self._clock.seconds())

    def settled(self) -> Deferred[None]:
        """
        Drain, and wait until new requests need not be served any more.

        :returns: fires then; fails with :class:`NotDrained` if the drain is undone.
        """
        self._begin()
        if not self.settling:
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._settled.remove)
        self._settled.append(waiting)
        return waiting

    def drained(self, timeout: float | None = None) -> Deferred[None]:
        """
        Drain, and wait for the end of it.

        :param timeout: seconds for requests to finish, after the node has settled.
        :returns: fires when it is over.  Fails with :class:`NotDrained` when
            requests take longer, while the drain goes on; or when it is undone.
        """
        self._begin()
        if self.state is State.DRAINED:
            return succeed(None)
        seconds = self._patience if timeout is None else timeout
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)

        def late() -> None:
            self._waiting.remove(waiting)
            waiting.errback(
                NotDrained(
                    f"requests are still running {seconds:g} s after new ones were"
                    f" refused: {self.requests}; the drain goes on, wait for it, or"
                    " stop the node, which ends them"
                )
            )

        call = self._clock.callLater(self.settling + seconds, late)

        def over(result: Any) -> Any:
            if call.active():
                call.cancel()
            return result

        return waiting.addBoth(over)

    def give_up(self, reason: str) -> None:
        """
        Wait no longer for what still runs.

        :param reason: what those are told who wait.
        """
        self._turn += 1
        if self._running is not None:
            self._running.cancel()
        for waiting in (self._settled, self._waiting):
            _fire(waiting, NotDrained(reason, errno.ECANCELED))

    # Resume

    def resume(self) -> Deferred[None]:
        """
        Undo a drain, whether it is over or not.

        :returns: fires when everything is announced again.
        """
        return Deferred.fromCoroutine(self._resume())

    async def _resume(self) -> None:
        if self.state is State.SERVING:
            return
        log.info("the node serves again")
        self.state = State.SERVING
        self.give_up("the drain was undone")
        self._directory.restore()
        for service in self._services.values():
            if IResumable.providedBy(service):
                try:
                    await maybeDeferred(IResumable(service).resume)
                except Exception:
                    log.failure("a service could not be resumed")

    # What people want to know

    @property
    def requests(self) -> int:
        """Requests that have been accepted and not been answered."""
        return self._count("requests") + self._directory.owed

    def _count(self, key: str) -> int:
        reporters = filter(IReporter.providedBy, self._services.values())
        return sum(IReporter(service).report().get(key, 0) for service in reporters)

    def progress(self) -> Mapping[str, Any]:
        """See :meth:`cocained.interfaces.INode.progress`."""
        began = self._clock.seconds() if self.state is State.SERVING else self._began
        return {
            "state": self.state.value,
            "requests": self.requests,
            "apps": self._count("busy"),
            "seconds": self._clock.seconds() - began,
            "settling": self.settling,
        }


def _fire(waiting: list[Deferred[None]], error: Exception | None = None) -> None:
    """Answer all who wait, of whom each may come back at once."""
    fired = waiting[:]
    waiting.clear()
    for deferred in fired:
        if error is None:
            deferred.callback(None)
        else:
            deferred.errback(error)


def _not_drained(failure: Failure) -> None:
    # Cancelled is what had no more time; who gave it up says so.
    if not failure.check(CancelledError):
        log.failure("a service could not be drained", failure=failure)


def _given_up(failure: Failure) -> None:
    failure.trap(CancelledError)
