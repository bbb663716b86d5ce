"""
Deadlines in buckets: laws, and a naive model.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.deadlines import GRAIN, HORIZON, SWEEP, Deadlines

#: A time such as real clocks have.
NOW = 1_795_341_600.0


class Item:
    """Something that is due."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline


class DeadlinesTests(SynchronousTestCase):
    """What is filed, and what is due."""

    def setUp(self) -> None:
        self.deadlines: Deadlines[Item] = Deadlines()

    def test_due(self) -> None:
        """An item is due once its deadline has passed, and only once."""
        item = Item(NOW + 1)
        self.assertTrue(self.deadlines.file(item, NOW))

        self.assertEqual(self.deadlines.due(NOW + 1), [])
        self.assertEqual(self.deadlines.due(NOW + 1 + 1 / GRAIN), [item])
        self.assertEqual(self.deadlines.due(NOW + 9), [])
        self.assertFalse(self.deadlines)

    def test_order(self) -> None:
        """The earliest come first."""
        items = [Item(NOW + delay) for delay in (3, 1, 2)]
        for item in items:
            self.deadlines.file(item, NOW)

        due = self.deadlines.due(NOW + 10)

        self.assertEqual([item.deadline - NOW for item in due], [1, 2, 3])

    def test_beyond_the_horizon(self) -> None:
        """What is due much later is not filed, a sweep finds it in time."""
        item = Item(NOW + HORIZON + SWEEP)
        self.assertFalse(self.deadlines.file(item, NOW))
        self.assertEqual(len(self.deadlines), 0)

        self.deadlines.sweep([item], NOW + SWEEP)

        self.assertEqual(len(self.deadlines), 1)

    def test_sweeps_meet(self) -> None:
        """Between two sweeps nothing can slip past the horizon."""
        self.assertLess(SWEEP, HORIZON)

    def test_past(self) -> None:
        """What is late already is due at once."""
        item = Item(NOW - 5)
        self.deadlines.file(item, NOW)

        self.assertEqual(self.deadlines.due(NOW), [item])

    def test_filed_twice(self) -> None:
        """Filing twice does no harm."""
        item = Item(NOW + 1)
        self.deadlines.file(item, NOW)
        self.deadlines.file(item, NOW)

        self.assertEqual(len(self.deadlines), 1)

    def test_forgotten(self) -> None:
        """A finished item is not due, and may be forgotten again."""
        first, second = Item(NOW + 1), Item(NOW + 1)
        self.deadlines.file(first, NOW)
        self.deadlines.file(second, NOW)

        self.deadlines.forget(first)
        self.deadlines.forget(first)

        self.assertEqual(self.deadlines.due(NOW + 2), [second])

    def test_forgotten_and_never_filed(self) -> None:
        """An item that was never filed may be forgotten."""
        self.deadlines.file(Item(NOW + 1), NOW)

        self.deadlines.forget(Item(NOW + 1))
        self.deadlines.forget(Item(NOW + 9999))

        self.assertEqual(len(self.deadlines), 1)

    def test_nothing_next(self) -> None:
        """Without items there is no next time."""
        self.assertIsNone(self.deadlines.next_time())

    @given(st.floats(0, HORIZON))
    def test_next_time(self, delay: float) -> None:
        """At the next time something is due, no earlier than its deadline."""
        deadlines: Deadlines[Item] = Deadlines()
        item = Item(NOW + delay)
        deadlines.file(item, NOW)
        at = deadlines.next_time()
        assert at is not None

        self.assertGreaterEqual(at, item.deadline)
        self.assertLessEqual(at - item.deadline, 1 / GRAIN + 1e-6)
        self.assertEqual(deadlines.due(at), [item])


class DeadlinesMachine(RuleBasedStateMachine):
    """The buckets against a set that is searched each time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.swept = NOW
        self.deadlines: Deadlines[Item] = Deadlines()
        self.model: set[Item] = set()

    @rule(delay=st.floats(-1, 200))
    def file(self, delay: float) -> None:
        item = Item(self.now + delay)
        self.model.add(item)
        self.deadlines.file(item, self.now)

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        if self.model:
            ordered = sorted(self.model, key=lambda item: item.deadline)
            item = data.draw(st.sampled_from(ordered))
            self.model.discard(item)
            self.deadlines.forget(item)

    @rule(seconds=st.floats(0, SWEEP))
    def pass_time(self, seconds: float) -> None:
        if self.now + seconds - self.swept >= SWEEP:
            self.now = self.swept = self.swept + SWEEP
            self.deadlines.sweep(self.model, self.now)
        else:
            self.now += seconds
        for item in self.deadlines.due(self.now):
            assert item in self.model, "forgotten, or due twice"
            assert item.deadline <= self.now, "too early"
            self.model.discard(item)
        assert all(i.deadline > self.now - 1.001 / GRAIN for i in self.model), "late"

    @invariant()
    def nothing_is_left(self) -> None:
        assert self._filed() <= self.model
        assert len(self.deadlines) == len(self._filed())
        assert bool(self.deadlines) == bool(self._filed())

    def _filed(self) -> set[Item]:
        buckets = self.deadlines.buckets.values()
        return {item for bucket in buckets for item in bucket}


class DeadlinesModelTests(SynchronousTestCase):
    """Any sequence of operations."""

    def test_model(self) -> None:
        """The buckets and the model agree after every step."""
        run_state_machine_as_test(
            DeadlinesMachine,
            settings=settings(max_examples=60, stateful_step_count=40, deadline=None),
        )
