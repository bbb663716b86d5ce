# -*- test-case-name: cocained.test.test_lane -*-
"""Tests for :mod:`cocained.lane`, with a real thread and a pumped reactor."""

from __future__ import annotations

import errno
import threading
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import StorageError
from cocained.lane import MAX_UNDELIVERED, Lane
from cocained.testing import stub_node
from cocained.testing.reactor import THREAD_TIMEOUT


def pumped_reactor() -> Any:
    return stub_node().reactor


class Gate:
    """A blocking call that a test lets go on."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()

    def __call__(self, result: Any = None) -> Any:
        self.entered.set()
        if not self.release.wait(THREAD_TIMEOUT):
            raise RuntimeError("the test forgot to open the gate")
        return result


class LaneTests(SynchronousTestCase):
    """A lane that has been started."""

    def setUp(self) -> None:
        self.reactor: Any = pumped_reactor()
        self.lane = Lane(self.reactor, "test", limit=2000)
        self.lane.start()
        self.gate = Gate()
        self.addCleanup(self.close)

    def close(self) -> None:
        self.gate.release.set()
        stopped = self.lane.stop()
        self.reactor.wait_for(stopped)
        self.successResultOf(stopped)

    def held(self) -> Deferred[Any]:
        """Ask for a call that is running when this returns."""
        deferred = self.lane.run(self.gate, "held")
        self.assertTrue(self.gate.entered.wait(THREAD_TIMEOUT))
        return deferred

    def result_of(self, deferred: Deferred[Any]) -> Any:
        return self.successResultOf(self.reactor.wait_for(deferred))

    def error_of(self, deferred: Deferred[Any]) -> StorageError:
        failed = self.reactor.wait_for(deferred)
        error = self.failureResultOf(failed, StorageError).value
        assert isinstance(error, StorageError)
        return error

    def test_result(self) -> None:
        """The Deferred fires with what the function gave for its arguments."""
        self.assertEqual(self.result_of(self.lane.run(divmod, 17, 5)), (3, 2))

    def test_runs_in_its_own_thread(self) -> None:
        """Calls run in the lane's one thread and are answered in the caller's."""
        answered: list[int] = []
        first = self.lane.run(threading.get_ident)

        def note(ident: int) -> int:
            answered.append(threading.get_ident())
            return ident

        first.addCallback(note)
        second = self.lane.run(threading.get_ident)

        ident = self.result_of(first)

        self.assertNotEqual(ident, threading.get_ident())
        self.assertEqual(self.result_of(second), ident)
        self.assertEqual(answered, [threading.get_ident()])

    def test_daemon(self) -> None:
        """The thread keeps no process alive, and its name says whose it is."""
        thread = self.result_of(self.lane.run(threading.current_thread))

        self.assertTrue(thread.daemon)
        self.assertEqual(thread.name, "lane-test")

    def test_failure(self) -> None:
        """What the function raises is what the Deferred fails with."""
        deferred = self.lane.run(int, "no number")

        self.reactor.wait_for(deferred)

        failure = self.failureResultOf(deferred, ValueError)
        self.assertIn("no number", failure.getErrorMessage())

    def test_goes_on_after_failure(self) -> None:
        """A call that raises does no harm to the next, whatever it raises."""

        def leave() -> None:
            raise SystemExit(3)

        left = self.lane.run(leave)
        after = self.lane.run(str, 1)

        self.assertEqual(self.result_of(after), "1")
        self.failureResultOf(left, SystemExit)

    def test_expected_error_keeps_no_frames(self) -> None:
        """An error of ours drops its frames, which would hold the caller's blob."""

        def refuse() -> None:
            raise StorageError(errno.ENOENT, "missing")

        self.assertIsNone(self.error_of(self.lane.run(refuse)).__traceback__)

    def test_order(self) -> None:
        """Calls run in the order in which they were asked for."""
        ran: list[int] = []
        self.held()
        deferreds = [self.lane.run(ran.append, number) for number in range(1000)]

        self.gate.release.set()
        self.result_of(deferreds[-1])

        self.assertEqual(ran, list(range(1000)))

    def test_answers_in_order(self) -> None:
        """Answers come in the order of the calls."""
        answers: list[int] = []
        self.held()
        for number in range(100):
            self.lane.run(abs, -number).addCallback(answers.append)

        self.gate.release.set()
        self.reactor.pump_until(lambda: len(answers) == 100)

        self.assertEqual(answers, list(range(100)))

    def test_batches(self) -> None:
        """Many short calls wake the reactor few times."""
        # A clock that stands still: patience never ends.
        self.held()
        deferreds = [self.lane.run(abs, number) for number in range(500)]

        self.gate.release.set()
        self.result_of(deferreds[-1])

        self.assertLess(self.reactor.handed, 5)

    def test_slow_call_is_answered_at_once(self) -> None:
        """A call that took long does not wait for the next ones to end."""
        second = Gate()
        self.addCleanup(second.release.set)

        def slow() -> str:
            self.gate("x")
            self.reactor.rightNow += 1.0
            return "slow"

        first = self.lane.run(slow)
        self.assertTrue(self.gate.entered.wait(THREAD_TIMEOUT))
        blocked = self.lane.run(second, "later")

        self.gate.release.set()

        self.assertEqual(self.result_of(first), "slow")
        self.assertNoResult(blocked)

    def test_undelivered_answers_are_bounded(self) -> None:
        """The thread pauses while the reactor does not take its results."""
        ran: list[int] = []
        self.held()
        deferreds = [self.lane.run(ran.append, n) for n in range(3 * MAX_UNDELIVERED)]
        reached = threading.Event()
        self.assertLess(len(deferreds), self.lane.limit)
        deferreds.append(self.lane.run(reached.set))

        self.gate.release.set()

        # Results pile up to the limit, and the last call is far behind it.
        self.reactor._calls.put(self.reactor._calls.get(timeout=THREAD_TIMEOUT))
        self.assertFalse(reached.is_set())
        self.result_of(deferreds[-1])
        self.assertEqual(len(ran), 3 * MAX_UNDELIVERED)

    def test_pending(self) -> None:
        """Pending calls are those that are waiting, running or undelivered."""
        self.assertEqual(self.lane.pending, 0)
        held = self.held()
        second = self.lane.run(abs, 1)
        self.assertEqual(self.lane.pending, 2)

        self.gate.release.set()
        self.result_of(held)
        self.result_of(second)

        self.assertEqual(self.lane.pending, 0)

    def test_answers_see_an_idle_lane(self) -> None:
        """By the time the last batch is answered nothing is pending."""
        seen: list[int] = []
        self.held()
        deferreds = [self.lane.run(abs, 1) for _ in range(3)]
        for deferred in deferreds:
            deferred.addCallback(lambda result: seen.append(self.lane.pending))

        self.gate.release.set()
        self.reactor.pump_until(lambda: len(seen) == 3)

        self.assertEqual(seen[-1], 0)

    def test_limit(self) -> None:
        """A full lane refuses more, names the limit, and recovers."""
        self.held()
        waiting = [self.lane.run(abs, 1) for _ in range(self.lane.limit - 1)]

        error = self.failureResultOf(self.lane.run(abs, 1), StorageError).value

        self.assertEqual(error.code, errno.EAGAIN)
        self.assertIn("2000", error.reason)
        self.assertIn("test", error.reason)
        self.gate.release.set()
        self.result_of(waiting[-1])
        self.assertEqual(self.result_of(self.lane.run(abs, -2)), 2)

    def test_cancel_waiting(self) -> None:
        """A call that was cancelled before it began does not run."""
        ran: list[str] = []
        self.held()
        cancelled = self.lane.run(ran.append, "cancelled")
        after = self.lane.run(ran.append, "after")

        cancelled.cancel()
        self.gate.release.set()
        self.result_of(after)

        self.failureResultOf(cancelled, CancelledError)
        self.assertEqual(ran, ["after"])
        self.assertEqual(self.lane.pending, 0)

    def test_cancel_running(self) -> None:
        """A call that runs goes on, and its answer is dropped."""
        held = self.held()
        held.cancel()
        after = self.lane.run(abs, -1)

        self.gate.release.set()

        self.assertEqual(self.result_of(after), 1)
        self.failureResultOf(held, CancelledError)

    def test_answer_that_raises(self) -> None:
        """A callback that breaks does not keep others from their answers."""
        self.held()
        broken = self.lane.run(abs, 1).addCallback(lambda result: 1 // 0)
        after = self.lane.run(abs, -1)

        self.gate.release.set()

        self.assertEqual(self.result_of(after), 1)
        self.failureResultOf(broken, ZeroDivisionError)

    def test_answer_that_asks(self) -> None:
        """An answer may ask for the next call, and so on."""

        def again(number: int) -> Any:
            return self.lane.run(abs, number - 1) if number > 1 else number

        chain = self.lane.run(abs, 4)
        for _ in range(5):
            chain.addCallback(again)

        self.reactor.pump_until(lambda: not self.lane.pending and chain.called)
        self.assertEqual(self.successResultOf(chain), 1)

    def test_answer_that_stops(self) -> None:
        """An answer may stop the lane; those of its batch still come."""
        stopped: list[Deferred[None]] = []
        self.held()
        first = self.lane.run(abs, -1)
        first.addCallback(lambda result: stopped.append(self.lane.stop()))
        second = self.lane.run(abs, -2)

        self.gate.release.set()

        self.assertEqual(self.result_of(second), 2)
        self.reactor.wait_for(stopped[0])
        self.assertIsNone(self.successResultOf(stopped[0]))

    def test_stop_waits_for_the_running_call(self) -> None:
        """Stopping ends when the running call has, and gives its result."""
        held = self.held()

        stopped = self.lane.stop()

        self.assertNoResult(stopped)
        self.gate.release.set()
        self.reactor.wait_for(stopped)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.successResultOf(held), "held")
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stop_fails_what_waits(self) -> None:
        """A call that has not begun fails at once, and never runs."""
        ran: list[int] = []
        self.held()
        waiting = self.lane.run(ran.append, 1)

        stopped = self.lane.stop()

        error = self.failureResultOf(waiting, StorageError).value
        self.assertEqual(error.code, errno.ESHUTDOWN)
        self.gate.release.set()
        self.reactor.wait_for(stopped)
        self.assertEqual(ran, [])
        self.assertEqual(self.lane.pending, 0)

    def test_stop_gives_up(self) -> None:
        """A call that hangs fails after the bound, and stopping ends."""
        held = self.held()
        stopped = self.lane.stop(timeout=3.0)

        self.reactor.advance(2.9)
        self.assertNoResult(stopped)
        self.reactor.advance(0.2)

        self.assertIsNone(self.successResultOf(stopped))
        error = self.failureResultOf(held, StorageError).value
        self.assertEqual(error.code, errno.ETIMEDOUT)

    def test_late_end_of_a_hung_call(self) -> None:
        """What a hung call gives after all is dropped in silence."""
        held = self.held()
        self.lane.stop(timeout=1.0)
        self.reactor.advance(1.0)
        self.failureResultOf(held, StorageError)

        self.gate.release.set()
        self.reactor.pump_one()

        self.reactor.pump_ready()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_stop_twice(self) -> None:
        """Everybody who asks for the end hears of it."""
        self.held()
        first, second = self.lane.stop(), self.lane.stop()

        self.gate.release.set()
        self.reactor.wait_for(first)

        self.successResultOf(first)
        self.successResultOf(second)
        self.successResultOf(self.lane.stop())

    def test_run_after_stop(self) -> None:
        """A stopped lane takes no calls."""
        self.reactor.wait_for(self.lane.stop())

        error = self.failureResultOf(self.lane.run(abs, 1), StorageError).value

        self.assertEqual(error.code, errno.ESHUTDOWN)

    def test_start_twice(self) -> None:
        """A lane lives once."""
        self.assertRaises(RuntimeError, self.lane.start)


class IdleLaneTests(SynchronousTestCase):
    """A lane that has not been started."""

    def test_run(self) -> None:
        """It takes no calls."""
        lane = Lane(pumped_reactor(), "idle")

        error = self.failureResultOf(lane.run(abs, 1), StorageError).value

        self.assertEqual(error.code, errno.ESHUTDOWN)
        self.assertIn("idle", error.reason)

    def test_stop(self) -> None:
        """There is nothing to stop."""
        lane = Lane(pumped_reactor(), "idle")

        self.assertIsNone(self.successResultOf(lane.stop()))
