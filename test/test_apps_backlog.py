"""
The queue of an app.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.backlog import Backlog


class Event:
    """Something that waits since a time."""

    def __init__(self, enqueued: float = 0.0) -> None:
        self.enqueued = enqueued


def filled(number: int) -> tuple[Backlog[Event], list[Event]]:
    """A backlog and the events in it."""
    backlog: Backlog[Event] = Backlog()
    events = [Event(float(index)) for index in range(number)]
    for event in events:
        backlog.push(event)
    return backlog, events


class BacklogTests(SynchronousTestCase):
    """First come, first served."""

    def test_order(self) -> None:
        """Events leave as they came."""
        backlog, events = filled(3)

        self.assertEqual([backlog.pop() for _ in range(3)], events)
        self.assertFalse(backlog)

    def test_first(self) -> None:
        """The first can be looked at and stays."""
        backlog, events = filled(2)

        self.assertIs(backlog.first(), events[0])
        self.assertEqual(len(backlog), 2)

    def test_empty(self) -> None:
        """Nothing comes out of an empty one."""
        backlog, _ = filled(0)

        self.assertRaises(KeyError, backlog.pop)
        self.assertRaises(StopIteration, backlog.first)
        self.assertEqual(backlog.clear(), [])

    def test_leaving(self) -> None:
        """Any event may leave, and may do so twice."""
        backlog, (first, second, third) = filled(3)

        backlog.remove(second)
        backlog.remove(second)

        self.assertNotIn(second, backlog)
        self.assertEqual(list(backlog), [first, third])

    def test_clear(self) -> None:
        """All may leave, in order."""
        backlog, events = filled(3)

        self.assertEqual(backlog.clear(), events)
        self.assertEqual(len(backlog), 0)

    def test_age(self) -> None:
        """The age is that of the first, and never below zero."""
        backlog, events = filled(2)

        self.assertEqual(backlog.oldest_age(10.0), 10.0)
        backlog.remove(events[0])
        self.assertEqual(backlog.oldest_age(10.0), 9.0)
        self.assertEqual(backlog.oldest_age(0.0), 0.0)
        backlog.clear()
        self.assertEqual(backlog.oldest_age(10.0), 0.0)

    @given(st.lists(st.sampled_from(["push", "pop", "remove"]), max_size=60), st.data())
    def test_model(self, steps: list[str], data: st.DataObject) -> None:
        """It is a list from which anything can be taken."""
        backlog: Backlog[Event] = Backlog()
        model: list[Event] = []
        for step in steps:
            if step == "push":
                event = Event()
                backlog.push(event)
                model.append(event)
            elif model and step == "pop":
                self.assertIs(backlog.pop(), model.pop(0))
            elif model:
                event = data.draw(st.sampled_from(model))
                backlog.remove(event)
                model.remove(event)
            self.assertEqual(list(backlog), model)
