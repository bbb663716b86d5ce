# -*- test-case-name: cocained.test.test_gateways_kernel_convergence -*-
"""
The loop that brings the kernel to what is planned.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.logger import formatEvent

from cocained.gateways.kernel.convergence import Convergence
from cocained.gateways.kernel.plan import Plan
from cocained.gateways.kernel.program import KernelError
from cocained.test.kernel_case import A, B
from cocained.test.service_case import LogCase
from cocained.testing import MemoryReactor

V = ("192.0.2.100", 20000)
AUDIT = 30.0


class MemoryBalancer:
    """
    A kernel that takes its time.

    :ivar calls: what was asked, in order.
    :ivar waiting: the call that goes on.
    :ivar refusal: fails whatever is asked next.
    """

    def __init__(self) -> None:
        self.problem = ""
        self.calls: list[Any] = []
        self.waiting: Deferred[None] | None = None
        self.slow = False
        self.refusal: Exception | None = None

    async def _call(self, call: Any) -> None:
        self.calls.append(call)
        if self.slow:
            self.waiting = Deferred()
            await self.waiting
        if self.refusal is not None:
            raise self.refusal

    def go_on(self) -> None:
        assert self.waiting is not None
        waiting, self.waiting = self.waiting, None
        waiting.callback(None)

    async def begin(self) -> None:
        await self._call("begin")

    async def apply(self, plan: Plan) -> Plan:
        await self._call(plan)
        return plan

    async def audit(self) -> None:
        await self._call("audit")

    async def clear(self) -> None:
        await self._call("clear")


class ConvergenceTests(LogCase):
    """One run at a time, and as many as are needed."""

    def setUp(self) -> None:
        self.clock = MemoryReactor()
        self.balancer = MemoryBalancer()
        self.plan: Plan = {}
        self.in_force: list[Plan] = []
        self.convergence = Convergence(
            cast(Any, self.clock),
            self.balancer,
            lambda: self.plan,
            self.in_force.append,
            AUDIT,
        )

    def start(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.convergence.start()))
        self.balancer.calls.clear()

    def change(self, plan: Plan) -> None:
        self.plan = plan
        self.convergence.changed()

    def test_start(self) -> None:
        """It begins, and does what was asked for before."""
        self.change({V: {A: 1}})
        self.clock.pass_time(1)
        self.assertEqual(self.balancer.calls, [])

        self.start()
        self.clock.pass_time(0)

        self.assertEqual(self.balancer.calls, [{V: {A: 1}}])

    def test_cannot_start(self) -> None:
        """Whoever starts it hears of the failure; there is nothing to clear."""
        self.balancer.refusal = KernelError("no")

        failure = self.failureResultOf(
            Deferred.fromCoroutine(self.convergence.start()), KernelError
        )

        self.assertEqual(str(failure.value), "no")
        self.successResultOf(Deferred.fromCoroutine(self.convergence.stop()))
        self.assertEqual(self.balancer.calls, ["begin"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_turn(self) -> None:
        """All changes of one turn are one run."""
        self.start()
        for weight in range(10):
            self.change({V: {A: weight}})
        self.assertEqual(self.balancer.calls, [])
        self.assertTrue(self.convergence.is_pending)

        self.clock.pass_time(0)

        self.assertEqual(self.balancer.calls, [{V: {A: 9}}])
        self.assertEqual(self.in_force, [{V: {A: 9}}])
        self.assertFalse(self.convergence.is_pending)

    def test_meanwhile(self) -> None:
        """All changes during a run are one more run."""
        self.start()
        self.balancer.slow = True
        self.change({V: {A: 0}})
        self.clock.pass_time(0)
        for weight in range(1, 10):
            self.change({V: {A: weight}})
        self.clock.pass_time(5)
        self.assertEqual(self.balancer.calls, [{V: {A: 0}}])

        self.balancer.go_on()
        self.clock.pass_time(0)

        self.assertEqual(self.balancer.calls, [{V: {A: 0}}, {V: {A: 9}}])
        self.assertEqual(self.in_force, [{V: {A: 0}}])

    def test_failure(self) -> None:
        """A failure is told, and tried again with growing patience."""
        events = self.record_log()
        self.start()
        self.balancer.refusal = KernelError("no such module; load it")
        self.change({V: {A: 1}})

        self.clock.pass_time(0)
        self.assertEqual(self.convergence.problem, "no such module; load it")
        self.clock.pass_time(7.5)

        self.assertEqual(self.balancer.calls, [{V: {A: 1}}, "audit", "audit", "audit"])
        self.assertEqual(self.in_force, [])
        self.assertIn("no such module; load it", formatEvent(events[0]))
        self.assertEqual(len(events), 1)

    def test_recovered(self) -> None:
        """When it works again, nothing is wrong any more."""
        self.start()
        self.balancer.refusal = KernelError("no")
        self.change({V: {A: 1}})
        self.clock.pass_time(0)
        self.balancer.refusal = None
        events = self.record_log()

        self.clock.pass_time(1)

        self.assertEqual(self.balancer.calls[1:], ["audit", {V: {A: 1}}])
        self.assertEqual(self.convergence.problem, "")
        self.assertEqual(self.in_force, [{V: {A: 1}}])
        self.assertIn("again", formatEvent(events[0]))

    def test_changes_while_failing(self) -> None:
        """What changes meanwhile waits for the next try."""
        self.start()
        self.balancer.refusal = KernelError("no")
        self.change({V: {A: 1}})
        self.clock.pass_time(0)
        for _ in range(5):
            self.change({V: {B: 1}})
        self.clock.pass_time(0.5)
        self.assertEqual(self.balancer.calls, [{V: {A: 1}}])
        self.balancer.refusal = None

        self.clock.pass_time(0.5)

        self.assertEqual(self.in_force, [{V: {B: 1}}])

    def test_audit(self) -> None:
        """From time to time it looks, though nothing has changed."""
        self.start()

        self.clock.pass_time(2 * AUDIT)

        self.assertEqual(self.balancer.calls, ["audit", {}, "audit", {}])

    def test_audit_during_a_run(self) -> None:
        """It does not look while it works."""
        self.start()
        self.balancer.slow = True
        self.change({V: {A: 1}})

        self.clock.pass_time(2 * AUDIT)

        self.assertEqual(self.balancer.calls, [{V: {A: 1}}])

    def test_problem_of_a_part(self) -> None:
        """What the balancer itself finds wrong is wrong."""
        self.balancer.problem = "in the way"

        self.assertEqual(self.convergence.problem, "in the way")

    def test_stop(self) -> None:
        """It takes away what is ours, and leaves no timer."""
        self.start()
        self.change({V: {A: 1}})

        self.successResultOf(Deferred.fromCoroutine(self.convergence.stop()))

        self.assertEqual(self.balancer.calls, ["clear"])
        self.change({V: {B: 1}})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_during_a_run(self) -> None:
        """It waits for the run that goes on."""
        self.start()
        self.balancer.slow = True
        self.change({V: {A: 1}})
        self.clock.pass_time(0)

        stopped = Deferred.fromCoroutine(self.convergence.stop())
        self.assertNoResult(stopped)
        self.balancer.go_on()
        self.assertEqual(self.balancer.calls, [{V: {A: 1}}, "clear"])
        self.balancer.go_on()

        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_during_a_failure(self) -> None:
        """A try that is planned is given up."""
        self.start()
        self.balancer.refusal = KernelError("no")
        self.change({V: {A: 1}})
        self.clock.pass_time(0)
        self.balancer.refusal = None

        self.successResultOf(Deferred.fromCoroutine(self.convergence.stop()))

        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bug(self) -> None:
        """An error of another kind is logged, and the next change is tried."""
        self.start()
        self.balancer.refusal = ZeroDivisionError()
        self.change({V: {A: 1}})
        self.clock.pass_time(0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.balancer.refusal = None

        self.change({V: {B: 1}})
        self.clock.pass_time(0)

        self.assertEqual(self.in_force, [{V: {B: 1}}])
