"""
Something that is looked at again and again.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.rounds import JITTER, Rounds

INTERVAL = 10.0


class RoundsTests(SynchronousTestCase):
    """When visits are made."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.visits: list[float] = []
        self.gate: Deferred[None] | None = None
        self.luck = 0.5
        self.rounds = Rounds(self.clock, INTERVAL, self.visit, lambda: self.luck)

    async def visit(self) -> None:
        self.visits.append(self.clock.seconds())
        if self.gate is not None:
            await self.gate

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.1] * round(seconds * 10))

    def test_intervals(self) -> None:
        """The first is drawn by lot within an interval; the others follow."""
        self.rounds.start()
        self.pass_time(30.05)

        self.assertEqual([round(at) for at in self.visits], [5, 15, 25])

    def test_first(self) -> None:
        """It may come at once, or nearly an interval later."""
        for self.luck, at in ((0.0, 0), (0.99, 10)):
            clock = self.clock = Clock()
            self.visits.clear()
            Rounds(clock, INTERVAL, self.visit, lambda: self.luck).start()
            clock.pump([0.1] * 100)
            self.assertEqual(round(self.visits[0]), at)

    def test_jitter(self) -> None:
        """An interval is a tenth longer or shorter, at most."""
        for self.luck, factor in ((0.0, 1 - JITTER), (0.999, 1 + JITTER)):
            clock = self.clock = Clock()
            self.visits.clear()
            Rounds(clock, INTERVAL, self.visit, lambda: self.luck).start()
            clock.pump([0.01] * 3000)
            first, second = self.visits[:2]
            self.assertAlmostEqual(second - first, INTERVAL * factor, places=1)

    def test_slow_visit(self) -> None:
        """There is one visit at a time, however long it takes."""
        self.gate = Deferred()
        self.rounds.start()
        self.pass_time(100)
        self.assertEqual(len(self.visits), 1)

        gate, self.gate = self.gate, None
        gate.callback(None)
        self.pass_time(9.5)
        self.assertEqual(len(self.visits), 1)
        self.pass_time(1)

        self.assertEqual(len(self.visits), 2)

    def test_failing_visit(self) -> None:
        """A visit with a bug is logged, and others follow."""
        self.gate = Deferred()
        self.gate.errback(ZeroDivisionError("a bug"))
        self.rounds.start()

        self.pass_time(6)
        self.gate = None
        self.pass_time(10)

        self.assertEqual(len(self.visits), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stop(self) -> None:
        """After the stop there is no visit, and no timer."""
        self.rounds.start()
        self.pass_time(6)

        self.rounds.stop()
        self.rounds.stop()

        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_during_a_visit(self) -> None:
        """One that is under way ends as it will, and is the last."""
        gate = self.gate = Deferred()
        self.rounds.start()
        self.pass_time(6)

        self.rounds.stop()
        gate.callback(None)

        self.pass_time(100)
        self.assertEqual(len(self.visits), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
