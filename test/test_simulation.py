# -*- test-case-name: cocained.test.test_simulation -*-
"""
The simulation of the engine: some hundred of its seeds, and whether it can fail.

Thousands of seeds are for ``make simulate``.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

import cocained
from cocained.apps.bodies import CLOSE_BODY
from cocained.apps.invocation import Invocation
from cocained.apps.overseer import Overseer
from cocained.apps.worker import Worker
from cocained.errors import CocainedError, DeadlineExceeded
from cocained.rpc.codec import frame_head
from cocained.rpc.headers import UNTRACED, Header
from cocained.rpc.session import Session
from cocained.test import simulation
from cocained.test.simulation.__main__ import parse, show, show_failing
from cocained.test.simulation.dice import Dice
from cocained.test.simulation.faults import KINDS
from cocained.test.simulation.processes import SpawnBug
from cocained.test.simulation.runner import Totals, play, undisturbed

#: Seeds that the unit tests play, and within how many of them a broken engine
#: must be found out.
FEW, ENOUGH = 100, 60


class SimulationCase(SynchronousTestCase):
    """Plays seeds without the garbage of other tests."""

    def setUp(self) -> None:
        calm = undisturbed()
        calm.__enter__()
        self.addCleanup(calm.__exit__, None, None, None)
        # Isolates that raise are logged, as they should be.
        self.addCleanup(self.flushLoggedErrors, SpawnBug)


class StormTests(SimulationCase):
    """The engine keeps its promises."""

    def test_some_seeds(self) -> None:
        """No seed breaks a promise, and all kinds of things happen in them."""
        totals = Totals()
        for seed in range(FEW):
            play(seed, totals)

        self.assertEqual([(each.seed, each.reason) for each in totals.failing], [])
        self.assertEqual(totals.runs, FEW)
        self.assertGreater(totals.endings["reply"], FEW)
        self.assertGreater(totals.endings["deadline, at a worker"], 0)
        self.assertGreater(totals.figures["workers broken"], FEW)
        kinds = {kind for kinds in KINDS.values() for kind in kinds}
        self.assertEqual(kinds - set(totals.faults), set())
        self.assertLessEqual(set(totals.faults), kinds)

    def test_same_again(self) -> None:
        """A seed gives the same run, to the last byte of its trace."""
        for seed in range(10):
            first, second = (
                "\n".join(play(seed, Totals()).stage.journal.lines()) for _ in range(2)
            )
            self.assertEqual(first, second)
            self.assertIn("calms down", first)

    def test_same_elsewhere(self) -> None:
        """Another process, with other hashes, gives the same trace."""
        mine = play(7, Totals()).stage.journal.lines()
        root = os.path.dirname(os.path.dirname(os.path.abspath(cocained.__file__)))

        done = subprocess.run(
            [sys.executable, "-m", simulation.__name__, "--seed", "7", "--trace"],
            env={**os.environ, "PYTHONPATH": root, "PYTHONHASHSEED": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        self.assertEqual(done.stderr, "")
        self.assertEqual(done.stdout.splitlines(), [*mine, "every promise was kept"])
        self.assertEqual(done.returncode, 0)

    def test_seeds_differ(self) -> None:
        """Another seed gives another run."""
        first, second = (play(seed, Totals()).stage.journal.lines() for seed in (1, 2))
        self.assertNotEqual(first, second)


class LosesOne(Overseer):
    """Forgets every third event that has waited."""

    forgotten = 0

    def worker_ready(self) -> None:
        self.forgotten += 1
        if self.backlog and self.forgotten % 3 == 0:
            self.backlog.pop()
        super().worker_ready()


class AnswersTwice(Overseer):
    """Says the end of an answer once more."""

    def event_ended(self, invocation: Invocation, now: float) -> None:
        head = frame_head(invocation._channel)
        invocation._session.send(head + CLOSE_BODY + UNTRACED)
        super().event_ended(invocation, now)


class LeaksSlots(Overseer):
    """Does not get back the slot of an event that has ended."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.pool.worker_freed = self._freed  # type: ignore[method-assign]

    def _freed(self, worker: Worker, invocation: Invocation) -> None:
        self.event_ended(invocation, self._clock.seconds())


class MixesUp(Overseer):
    """Gives an event the name of the one before."""

    before = b"0"

    def enqueue(
        self, session: Session, channel: int, headers: list[Header], event: bytes
    ) -> Invocation:
        before, self.before = self.before, event
        return super().enqueue(session, channel, headers, before)


class NeverLate(Overseer):
    """Looks at no deadline."""

    def _watch_deadlines(self, now: float) -> None:
        pass


class TooEarly(Overseer):
    """Takes half of the time for all of it."""

    def _expire(self) -> None:
        for invocation in list(self.backlog):
            invocation.fail(DeadlineExceeded())
        super()._expire()


class NoCause(Overseer):
    """Ends events at work with an error that nothing has caused."""

    def worker_ready(self) -> None:
        super().worker_ready()
        for worker in list(self.pool.workers.values()):
            for invocation in list(worker.invocations):
                invocation.fail(CocainedError("for no reason"))


class RefusesAll(Overseer):
    """Says that the queue is full when it is not."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.pool.has_room = lambda: False  # type: ignore[method-assign]


class Miscounts(Overseer):
    """Counts an event twice now and then."""

    def withdrawn(self, invocation: Invocation) -> None:
        self.stats.meter.count += 1
        super().withdrawn(invocation)


class KeepsAll(Overseer):
    """Forgets no event."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.kept: list[Invocation] = []

    def enqueue(self, *args: Any) -> Invocation:
        invocation = super().enqueue(*args)
        self.kept.append(invocation)
        return invocation


class LeavesTimer(Overseer):
    """Forgets to cancel a timer when it stops."""

    def stop(self, patience: float | None = None) -> Deferred[None]:
        self._clock.callLater(1e6, self._pump)
        return super().stop(patience)


class NeverStops(Overseer):
    """Does not say when it has stopped."""

    def stop(self, patience: float | None = None) -> Deferred[None]:
        super().stop(patience)
        return Deferred()


class NeverDrains(Overseer):
    """Does not say when it is empty."""

    def _check_quiet(self) -> None:
        pass


class DrainsAtOnce(Overseer):
    """Says that it is empty when it is not."""

    def drain(self) -> Deferred[None]:
        super().drain()
        return succeed(None)


class SparesProcesses(Overseer):
    """Leaves processes behind: nobody is told to end."""

    def stop(self, patience: float | None = None) -> Deferred[None]:
        for worker in self.pool.workers.values():
            if worker.process.has_run:
                worker.process.end = "not at all"
        return super().stop(patience)


class Raises(Overseer):
    """Has a bug that raises."""

    def event_ended(self, invocation: Invocation, now: float) -> None:
        raise ZeroDivisionError("a bug")


class BrokenEngineCase(SimulationCase):
    """Puts broken engines through it."""

    def assert_caught(self, engine: Callable[..., Overseer], *reasons: str) -> None:
        """Play seeds until one breaks a promise; it must be one of *reasons*."""
        totals = Totals()
        for seed in range(ENOUGH):
            play(seed, totals, engine)
            if totals.failing:
                break
        self.flushLoggedErrors(ZeroDivisionError)
        self.assertEqual(len(totals.failing), 1, f"{engine} was not found out")
        reason = totals.failing[0].reason
        self.assertTrue(any(text in reason for text in reasons), reason)


class BrokenEngineTests(BrokenEngineCase):
    """A simulation that cannot fail is worth nothing: these engines must."""

    def test_loses_one(self) -> None:
        """An event that is forgotten never ends."""
        reasons = "never ended", "deadlines are still filed", "still in memory"
        self.assert_caught(LosesOne, *reasons)

    def test_answers_twice(self) -> None:
        """An event ends once."""
        self.assert_caught(AnswersTwice, "has ended and was sent 2", "by nobody")

    def test_leaks_slots(self) -> None:
        """Loads are what workers have to do."""
        self.assert_caught(LeaksSlots, "slots of a worker", "a load of")

    def test_mixes_up(self) -> None:
        """Nobody gets another's answer."""
        self.assert_caught(MixesUp, "never accepted", "was sent b'", "went to")

    def test_never_late(self) -> None:
        """Deadlines are kept."""
        reasons = "never ended", "after its deadline", "deadlines are still filed"
        self.assert_caught(NeverLate, *reasons)

    def test_too_early(self) -> None:
        """Deadlines are not kept before their time."""
        self.assert_caught(TooEarly, "has no cause")

    def test_no_cause(self) -> None:
        """Errors have causes."""
        self.assert_caught(NoCause, "for no reason")

    def test_refuses_all(self) -> None:
        """What there is room for is taken."""
        self.assert_caught(RefusesAll, "was refused: queue is full")

    def test_miscounts(self) -> None:
        """Counters add up."""
        self.assert_caught(Miscounts, "are counted as accepted")

    def test_keeps_all(self) -> None:
        """Memory is given back."""
        self.assert_caught(KeepsAll, "still in memory")

    def test_leaves_timer(self) -> None:
        """No timer survives the stop."""
        self.assert_caught(LeavesTimer, "a timer is left: Overseer._pump")

    def test_never_stops(self) -> None:
        """A stop comes to its end."""
        self.assert_caught(NeverStops, "does not stop")

    def test_never_drains(self) -> None:
        """And a drain."""
        self.assert_caught(NeverDrains, "not drained")

    def test_drains_at_once(self) -> None:
        """A drain comes not to its end before that of the last event."""
        self.assert_caught(DrainsAtOnce, "too early that it is drained")

    def test_spares_processes(self) -> None:
        """No process survives the stop."""
        self.assert_caught(SparesProcesses, "lives on", "too early that it has stopped")

    def test_raises(self) -> None:
        """What the engine catches and logs as a bug is one."""
        reasons = "the engine logged ZeroDivisionError", "ZeroDivisionError: a bug"
        self.assert_caught(Raises, *reasons)


class DiceTests(SynchronousTestCase):
    """Chance, and its ranges."""

    def test_ranges(self) -> None:
        """All kinds of throws stay within their ranges, and reach their ends."""
        dice = Dice(1)

        self.assertEqual({dice.below(3) for _ in range(99)}, {0, 1, 2})
        self.assertEqual({dice.among(1, 3) for _ in range(99)}, {1, 2, 3})
        self.assertEqual({dice.pick("ab") for _ in range(99)}, {"a", "b"})
        for _ in range(99):
            self.assertTrue(2 <= dice.between(2, 3) < 3)
            self.assertTrue(0.01 <= dice.spread(0.01, 100) <= 100)
            self.assertGreaterEqual(dice.wait(1.0), 0.0)
        self.assertFalse(dice.chance(0.0))
        self.assertTrue(dice.chance(1.0))


class CommandTests(SimulationCase):
    """What people see."""

    def setUp(self) -> None:
        super().setUp()
        self.text = io.StringIO()
        self.console = Console(file=self.text, soft_wrap=True)

    def test_failing(self) -> None:
        """A failing seed is shown with its promise, its trace and its command."""
        totals = Totals()
        play(1, totals, KeepsAll)

        show_failing(self.console, totals.failing[0])

        text = self.text.getvalue()
        self.assertIn("halves of events are still in memory", text)
        self.assertIn(totals.failing[0].trace[-1], text)
        self.assertIn("python -m cocained.test.simulation --seed 1 --trace", text)

    def test_totals(self) -> None:
        """The totals name figures, endings and faults, the most frequent first."""
        totals = Totals(1)
        totals.figures["requests"] = 12345
        totals.endings.update({"reply": 2, "deadline, in the queue": 3})
        totals.faults["drain"] = 1

        show(self.console, totals)

        self.assertEqual(
            [line.split(None, 1) for line in self.text.getvalue().splitlines()],
            [
                ["What", "happened:"],
                ["12,345", "requests"],
                ["How", "requests ended:"],
                ["3", "deadline, in the queue"],
                ["2", "reply"],
                ["What", "went wrong:"],
                ["1", "drain"],
            ],
        )

    def test_command_line(self) -> None:
        """Numbers are read; a trace of many runs is refused."""
        options = parse(["--seeds", "7", "--first", "3", "--jobs", "1"])

        self.assertEqual((options.seeds, options.first, options.jobs), (7, 3, 1))
        for wrong in (["--trace"], ["--seeds", "0"], ["--seed", "x"]):
            self.assertRaises(SystemExit, parse, wrong)
