"""
The active workers by load: laws, and a naive model.
"""

from __future__ import annotations

from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.roster import Roster


class Worker:
    """Something with a load."""

    def __init__(self, load: int = 0) -> None:
        self.load = load


class RosterTests(SynchronousTestCase):
    """What the roster promises."""

    def test_empty(self) -> None:
        """Nobody is taken from an empty roster."""
        roster: Roster[Worker] = Roster(10)

        self.assertIsNone(roster.take())
        self.assertEqual((len(roster), roster.load, roster.by_load()), (0, 0, []))

    def test_least_loaded(self) -> None:
        """The least loaded worker is taken (§10.1)."""
        roster: Roster[Worker] = Roster(10)
        busy, idle = Worker(3), Worker(1)
        roster.add(busy)
        roster.add(idle)

        taken = [roster.take() for _ in range(2)]

        self.assertEqual(taken, [idle, idle])
        self.assertEqual((idle.load, busy.load, roster.load), (3, 3, 6))

    def test_latest_of_equals(self) -> None:
        """Among equals the latest to come is taken, so that others may rest."""
        roster: Roster[Worker] = Roster(10)
        first, second = Worker(), Worker()
        roster.add(first)
        roster.add(second)
        for _ in range(3):
            taken = roster.take()
            assert taken is not None
            self.assertIs(taken, second)
            roster.freed(taken)

    def test_full(self) -> None:
        """No worker gets more than its concurrency."""
        roster: Roster[Worker] = Roster(2)
        workers = [Worker(), Worker()]
        for worker in workers:
            roster.add(worker)

        taken = [roster.take() for _ in range(5)]

        self.assertIsNone(taken[-1])
        self.assertEqual([worker.load for worker in workers], [2, 2])

    def test_free_again(self) -> None:
        """A full one that has a place again is taken."""
        roster: Roster[Worker] = Roster(1)
        worker = Worker()
        roster.add(worker)
        roster.take()
        self.assertIsNone(roster.take())

        roster.freed(worker)

        self.assertIs(roster.take(), worker)

    def test_removed(self) -> None:
        """A removed worker is not taken, and its load does not count."""
        roster: Roster[Worker] = Roster(10)
        worker = Worker(2)
        roster.add(worker)

        roster.remove(worker)
        roster.remove(worker)

        self.assertIsNone(roster.take())
        self.assertEqual((roster.load, worker in roster), (0, False))

    def test_freed_after_removal(self) -> None:
        """The channels of a removed worker still end."""
        roster: Roster[Worker] = Roster(10)
        worker, other = Worker(2), Worker(2)
        roster.add(worker)
        roster.add(other)
        roster.remove(worker)

        roster.freed(worker)

        self.assertEqual((worker.load, roster.load), (1, 2))
        self.assertNotIn(worker, roster)

    def test_heavy_loads(self) -> None:
        """Loads of thousands leave no trail of empty buckets behind."""
        roster: Roster[Worker] = Roster(10_000)
        worker = Worker()
        roster.add(worker)
        for _ in range(5000):
            roster.take()
        for _ in range(5000):
            roster.freed(worker)

        self.assertLess(len(roster._buckets), 100)
        self.assertEqual((worker.load, roster.load), (0, 0))


class RosterMachine(RuleBasedStateMachine):
    """The roster against a list that is sorted each time."""

    concurrency: ClassVar[int] = 4
    workers: Bundle[Worker] = Bundle("workers")
    gone: Bundle[Worker] = Bundle("gone")

    def __init__(self) -> None:
        super().__init__()
        self.roster: Roster[Worker] = Roster(self.concurrency)
        self.model: list[Worker] = []

    @rule(target=workers, load=st.integers(0, 4))
    def add(self, load: int) -> Worker:
        worker = Worker(load)
        self.roster.add(worker)
        self.model.append(worker)
        return worker

    @rule(target=gone, worker=consumes(workers))
    def remove(self, worker: Worker) -> Worker:
        self.roster.remove(worker)
        self.model.remove(worker)
        return worker

    @precondition(lambda self: self.model)
    @rule()
    def take(self) -> None:
        least = min(worker.load for worker in self.model)
        taken = self.roster.take()
        if least >= self.concurrency:
            assert taken is None
        else:
            assert taken in self.model
            assert taken.load == least + 1

    @rule(worker=st.one_of(workers, gone))
    def freed(self, worker: Worker) -> None:
        if worker.load:
            before = worker.load
            self.roster.freed(worker)
            assert worker.load == before - 1

    @invariant()
    def agrees(self) -> None:
        assert len(self.roster) == len(self.model)
        assert self.roster.load == sum(worker.load for worker in self.model)
        listed = self.roster.by_load()
        assert set(listed) == set(self.model)
        loads = [worker.load for worker in listed]
        assert loads == sorted(loads)
        assert all(worker in self.roster for worker in self.model)


class RosterModelTests(SynchronousTestCase):
    """Any sequence of operations."""

    def test_model(self) -> None:
        """The roster and the model agree after every step."""
        run_state_machine_as_test(
            RosterMachine,
            settings=settings(max_examples=60, stateful_step_count=40, deadline=None),
        )
