# -*- test-case-name: cocained.test.test_links_agenda -*-
"""
What is due when, of many items with one timer.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cocained.links.agenda import OVERSLEPT, SLACK, Agenda


class Thing:
    """An item that remembers when its time has come."""

    def __init__(self, clock: Clock, act: Callable[[], object] = lambda: None) -> None:
        self._clock = clock
        self._act = act
        self.due_at: float | None = None
        self.times: list[float] = []

    def due(self) -> None:
        self.times.append(self._clock.seconds())
        self._act()


class AgendaTests(SynchronousTestCase):
    """Items and time."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.agenda = Agenda(self.clock)

    def things(self, *seconds: float) -> list[Thing]:
        """Items that are due then."""
        things = []
        for wait in seconds:
            things.append(Thing(self.clock))
            self.agenda.put(things[-1], wait)
        return things

    def pass_time(self, seconds: float) -> None:
        """Let time pass as a reactor does, without oversleeping."""
        self.clock.pump([0.25] * int(seconds * 4))

    def test_in_time(self) -> None:
        """Each item is told when its time has come, once."""
        late, early = self.things(2, 1)

        self.pass_time(5)

        self.assertEqual((early.times, late.times), ([1], [2]))
        self.assertEqual(len(self.agenda), 0)

    def test_one_timer(self) -> None:
        """A thousand items have one timer, and none have none."""
        things = self.things(*range(1, 1001))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.assertEqual(len(self.agenda), 1000)

        for thing in things:
            self.agenda.drop(thing)

        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_put_off(self) -> None:
        """An item that is put again is due then, and not when it was before."""
        (thing,) = self.things(1)
        self.agenda.put(thing, 3)

        self.pass_time(5)

        self.assertEqual(thing.times, [3])

    def test_brought_forward(self) -> None:
        """An item may become due earlier than it was."""
        (thing,) = self.things(3)
        self.agenda.put(thing, 1)

        self.pass_time(5)

        self.assertEqual(thing.times, [1])

    def test_drop(self) -> None:
        """A dropped item is told nothing; dropping it again does no harm."""
        gone, kept = self.things(1, 1)
        self.agenda.drop(gone)
        self.agenda.drop(gone)

        self.pass_time(2)

        self.assertEqual((gone.times, kept.times), ([], [1]))

    def test_dropped_by_another(self) -> None:
        """One whose time comes may drop another whose time has come as well."""
        (victim,) = things = self.things(1)
        killer = Thing(self.clock, lambda: self.agenda.drop(victim))
        # Of equal times, who was put first is told first.
        self.agenda.drop(victim)
        self.agenda.put(killer, 1)
        self.agenda.put(victim, 1)

        self.pass_time(2)

        self.assertEqual((killer.times, things[0].times), ([1], []))

    def test_again(self) -> None:
        """An item may put itself on the agenda anew, even for now."""
        thing = Thing(self.clock)

        def again() -> None:
            if len(thing.times) < 3:
                self.agenda.put(thing, 0)

        thing._act = again
        self.agenda.put(thing, 1)

        self.pass_time(2)

        self.assertEqual(thing.times, [1, 1, 1])

    def test_stumbling(self) -> None:
        """One that fails is logged, and the others are told all the same."""
        bad = Thing(self.clock, lambda: 1 // 0)
        self.agenda.put(bad, 1)
        (good,) = self.things(1)

        self.pass_time(2)

        self.assertEqual(good.times, [1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_bounded(self) -> None:
        """Items that are put off for ever do not pile up."""
        things = self.things(5, 5, 5)
        for _ in range(1000):
            for thing in things:
                self.agenda.put(thing, 5)

        self.assertLessEqual(len(self.agenda._heap), SLACK * (3 + SLACK) + 1)
        self.pass_time(6)
        self.assertEqual([thing.times for thing in things], [[5]] * 3)

    def test_overslept(self) -> None:
        """Who has slept reads what others have said before he judges them."""
        thing, other = self.things(1, 60)
        # Read in the turn in which we wake, behind timers: it puts it off.
        self.clock.callLater(1 + 2 * OVERSLEPT, self.agenda.put, thing, 5)

        self.clock.advance(1 + 2 * OVERSLEPT)

        self.assertEqual((thing.times, other.times), ([], []))
        self.pass_time(6)
        self.assertEqual(len(thing.times), 1)

    def test_overslept_once(self) -> None:
        """What nobody has put off is told right after."""
        (thing,) = self.things(1)

        self.clock.advance(60)

        self.assertEqual(thing.times, [60])

    @given(
        st.lists(
            st.tuples(st.integers(0, 4), st.one_of(st.none(), st.integers(0, 20))),
            max_size=30,
        )
    )
    def test_law(self, steps: list[tuple[int, int | None]]) -> None:
        """Whatever is put and dropped: an item is told when it was put last."""
        clock = Clock()
        agenda = Agenda(clock)
        things = [Thing(clock) for _ in range(5)]
        expected: dict[int, int] = {}
        for which, wait in steps:
            if wait is None:
                agenda.drop(things[which])
                expected.pop(which, None)
            else:
                agenda.put(things[which], wait)
                expected[which] = wait

        self.assertEqual(len(agenda), len(expected))
        clock.pump([0.5] * 50)

        for which, thing in enumerate(things):
            told = [expected[which]] if which in expected else []
            # What is due at once is told in the next turn.
            self.assertEqual([int(at) for at in thing.times], told)
        self.assertEqual((len(agenda), clock.getDelayedCalls()), (0, []))
