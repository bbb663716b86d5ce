"""
Releases that follow each other in the simulation, and engines that do it wrong.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed

from cocained.apps.invocation import Invocation
from cocained.apps.overseer import Overseer
from cocained.test.simulation.runner import Totals, play
from cocained.test.test_simulation import FEW, BrokenEngineCase, SimulationCase

#: Seeds that differ from those of the other tests.
FIRST = 1000


class UpdateTests(SimulationCase):
    """The engine keeps its promises while releases come and go (row 187)."""

    def test_some_seeds(self) -> None:
        """Some take over, some fail, and no request can tell."""
        totals = Totals()
        for seed in range(FIRST, FIRST + FEW):
            play(seed, totals)

        self.assertEqual([(each.seed, each.reason) for each in totals.failing], [])
        self.assertGreater(totals.figures["releases that took over"], FEW // 10)
        self.assertGreater(totals.figures["releases that failed"], 0)


class DropsWaiting(Overseer):
    """Forgets those that wait when another release takes over."""

    def hand_over(self, successor: Overseer) -> None:
        self.backlog.clear()
        super().hand_over(successor)


class KeepsWaiting(Overseer):
    """Lets them wait where nobody comes any more."""

    def hand_over(self, successor: Overseer) -> None:
        events = self.backlog.clear()
        super().hand_over(successor)
        for event in events:
            self.backlog.push(event)


class ForgetsDeadlines(Overseer):
    """Lets them wait for ever where they are then."""

    def _adopt(self, events: list[Invocation]) -> None:
        super()._adopt(events)
        for event in events:
            event.deadline += 1e6


class RetiresAtOnce(Overseer):
    """Says that its workers have gone when they have not."""

    def retire(self) -> Deferred[None]:
        super().retire()
        return succeed(None)


class NeverRetires(Overseer):
    """Keeps its workers for good."""

    def retire(self) -> Deferred[None]:
        return Deferred()

    def stop(self, patience: float | None = None) -> Deferred[None]:
        done = super().stop(patience)
        return Deferred() if self.pool.workers else done


class BrokenUpdateTests(BrokenEngineCase):
    """These must be found out."""

    def test_drops_waiting(self) -> None:
        """Events that wait are not lost."""
        self.assert_caught(DropsWaiting, "never ended", "deadlines are still filed")

    def test_keeps_waiting(self) -> None:
        """They wait where the workers are."""
        self.assert_caught(KeepsWaiting, "wait for a release that leaves")

    def test_forgets_deadlines(self) -> None:
        """Their deadlines are kept."""
        reasons = "after its deadline", "never ended", "deadlines are still filed"
        self.assert_caught(ForgetsDeadlines, *reasons)

    def test_retires_at_once(self) -> None:
        """A release is there until its last worker has gone."""
        self.assert_caught(RetiresAtOnce, "too early that it has ended")

    def test_never_retires(self) -> None:
        """And not any longer."""
        self.assert_caught(NeverRetires, "does not stop", "never")
