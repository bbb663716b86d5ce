# -*- test-case-name: cocained.test.test_gateways_kernel_convergence -*-
"""
Brings the kernel to what is planned, and keeps it there.

::

                 changed                    done
       (idle) ────────────▶ end of turn ───────────▶ (idle)
          ▲                     │ failed                │ audit
          │                     ▼                       ▼
          └───────────── back-off, then again ◀── look again

There is one run at a time.  What changes meanwhile is one more run, however much
it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from cocained.apps.policy import Backoff
from cocained.errors import CocainedError
from cocained.gateways.kernel.plan import Plan
from cocained.interfaces import IReactor

log = Logger()


class Balancer(Protocol):
    """
    The kernel, as somebody tells it what to forward.

    One call at a time; each fails with
    :class:`~cocained.gateways.kernel.program.KernelError` only.
    """

    #: What keeps a part of the plan from being in force, for people.
    problem: str

    async def begin(self) -> None:
        """See that everything is there, and take away what is left of before."""

    async def apply(self, plan: Plan) -> Plan:
        """Make *plan* so; gives the part of it that is in force."""

    async def audit(self) -> None:
        """Look at what there is, so that :meth:`apply` mends what is not so."""

    async def clear(self) -> None:
        """Take away all that is ours."""


class Convergence:
    """
    The loop around a balancer.

    :param reactor: time.
    :param balancer: what it drives.
    :param plan: gives what is wanted now.
    :param in_force: told of what is so, after each run.
    :param audit: seconds between looks at whether the kernel still has what we
        told it.

    :ivar problem: what is wrong now, or nothing.
    :ivar runs: how often the balancer was asked.
    """

    def __init__(
        self,
        reactor: IReactor,
        balancer: Balancer,
        plan: Callable[[], Plan],
        in_force: Callable[[Plan], None],
        audit: float,
    ) -> None:
        self._reactor = reactor
        self._balancer = balancer
        self._plan = plan
        self._in_force = in_force
        self._interval = audit
        self._backoff = Backoff()
        self._failure = ""
        self._began = False
        self._stopped = False
        self._dirty = False
        self._call: IDelayedCall | None = None
        self._audit: IDelayedCall | None = None
        self._turn: Deferred[None] | None = None
        self.runs = 0

    @property
    def problem(self) -> str:
        return self._failure or self._balancer.problem

    @property
    def is_pending(self) -> bool:
        """Whether something is still to be done."""
        return self._dirty or self._turn is not None

    async def start(self) -> None:
        """
        Begin, and do what was asked for meanwhile.

        :raises cocained.gateways.kernel.program.KernelError: the balancer
            cannot begin.
        """
        await self._balancer.begin()
        self._began = True
        self._audit = self._reactor.callLater(self._interval, self._look)
        if self._dirty:
            self.changed()

    def changed(self) -> None:
        """The plan may be another one: look at it when this turn is over."""
        self._dirty = True
        if self._began and not self._stopped and self._call is None is self._turn:
            self._call = self._reactor.callLater(0, self._run, False)

    async def stop(self) -> None:
        """
        Wait for a run that goes on, and take away what is ours.

        :raises cocained.gateways.kernel.program.KernelError: it is still there.
        """
        self._stopped = True
        for call in (self._call, self._audit):
            if call is not None and call.active():
                call.cancel()
        if self._turn is not None:
            await self._turn
        if self._began:
            await self._balancer.clear()

    def _look(self) -> None:
        self._audit = self._reactor.callLater(self._interval, self._look)
        # While something fails there are looks enough.
        if self._call is None is self._turn:
            self._run(True)

    def _run(self, audit: bool) -> None:
        self._call = None
        turn = Deferred.fromCoroutine(self._converge(audit))
        # It may be over already.
        self._turn = None if turn.called else turn
        turn.addErrback(_unexpected)

    async def _converge(self, audit: bool) -> None:
        delay = 0.0
        self.runs += 1
        self._dirty = False
        plan = self._plan()
        try:
            if audit:
                await self._balancer.audit()
            done = await self._balancer.apply(plan)
        except (CocainedError, CancelledError) as error:
            delay = self._failed(str(error))
        else:
            if self._failure:
                log.info("the kernel forwards what it is told again")
            self._failure = ""
            self._backoff.reset()
            self._in_force(done)
        finally:
            self._turn = None
        if self._stopped:
            return
        if delay or self._dirty:
            self._dirty = True
            self._call = self._reactor.callLater(delay, self._run, bool(delay))

    def _failed(self, reason: str) -> float:
        delay = self._backoff.failed(self._reactor.seconds())
        if reason != self._failure:
            log.error(
                "the kernel does not forward what it is told: {reason}; next try in"
                " {seconds} s",
                reason=reason,
                seconds=delay,
            )
        self._failure = reason
        return delay


def _unexpected(failure: Failure) -> None:
    log.failure("a run of a kernel's balancer ended unexpectedly", failure)
