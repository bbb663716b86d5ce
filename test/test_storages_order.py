# -*- test-case-name: cocained.test.test_storages_order -*-
"""Tests for :mod:`cocained.storages.order`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from cocained.storages.order import Order


class OrderTests(SynchronousTestCase):
    """Operations that end when the test says so."""

    def setUp(self) -> None:
        self.order = Order()
        self.begun: list[str] = []
        self.running: dict[str, Deferred[str]] = {}

    def start(self, name: str) -> Callable[[], Deferred[str]]:
        def begin() -> Deferred[str]:
            self.begun.append(name)
            self.running[name] = Deferred()
            return self.running[name]

        return begin

    def ask(self, name: str, *places: object) -> Deferred[str]:
        return self.order.run(places, self.start(name))

    def end(self, name: str) -> None:
        self.running.pop(name).callback(name)

    def test_nothing_in_common(self) -> None:
        """Operations with different places run side by side."""
        self.ask("a", 1)
        self.ask("b", 2)

        self.assertEqual(self.begun, ["a", "b"])

    def test_one_place(self) -> None:
        """Those with one in common run one after the other."""
        answers = [self.ask(name, "k") for name in "abc"]
        self.assertEqual(self.begun, ["a"])
        self.end("a")
        self.assertEqual(self.successResultOf(answers[0]), "a")
        self.assertEqual(self.begun, ["a", "b"])
        self.end("b")

        self.assertEqual(self.begun, ["a", "b", "c"])

    def test_waits_for_all(self) -> None:
        """One of two places is not enough."""
        self.ask("a", 1)
        self.ask("b", 2)
        self.ask("both", 1, 2)
        self.end("b")
        self.assertNotIn("both", self.begun)
        self.end("a")

        self.assertIn("both", self.begun)

    def test_no_overtaking(self) -> None:
        """What is asked later does not begin before one that waits for its place."""
        self.ask("a", 1)
        self.ask("both", 1, 2)
        self.ask("later", 2)

        self.assertEqual(self.begun, ["a"])

    def test_failure(self) -> None:
        """A failure is the answer, and those behind it go on."""
        answer = self.ask("a", 1)
        self.ask("b", 1)
        self.running["a"].errback(ValueError("no"))

        self.failureResultOf(answer, ValueError)
        self.assertEqual(self.begun, ["a", "b"])

    def test_cancelled_before(self) -> None:
        """One that has not begun is skipped, in its turn."""
        self.ask("a", 1)
        skipped = self.ask("b", 1)
        self.ask("c", 1)
        skipped.cancel()
        self.failureResultOf(skipped, CancelledError)
        self.assertEqual(self.begun, ["a"])
        self.end("a")

        self.assertEqual(self.begun, ["a", "c"])

    def test_cancelled_after(self) -> None:
        """Of one that has begun the answer is dropped, and the place is kept."""
        dropped = self.ask("a", 1)
        self.ask("b", 1)
        dropped.cancel()
        self.failureResultOf(dropped, CancelledError)
        self.assertEqual(self.begun, ["a"])
        self.end("a")

        self.assertEqual(self.begun, ["a", "b"])

    def test_nothing_is_left(self) -> None:
        """When all has ended, nothing is remembered."""
        for number in range(10):
            self.ask(str(number), number % 3, "all")
        while self.running:
            self.end(next(iter(self.running)))

        self.assertEqual(self.order.pending, 0)
        self.assertEqual(self.order._last, {})

    def test_long_chain(self) -> None:
        """Ten thousand that end at once do not exhaust the stack."""
        self.ask("first", 1)
        answers = [self.order.run([1], lambda: succeed(0)) for _ in range(10_000)]
        self.end("first")

        self.assertEqual([self.successResultOf(each) for each in answers], [0] * 10_000)

    def test_asks_again_in_the_answer(self) -> None:
        """An answer may ask for more, and finds its place free."""
        answer = self.ask("a", 1)
        answer.addCallback(lambda ignored: self.ask("again", 1))
        self.end("a")

        self.assertEqual(self.begun, ["a", "again"])

    @given(
        st.lists(st.frozensets(st.integers(0, 3), min_size=1, max_size=3), max_size=12),
        st.randoms(use_true_random=False),
    )
    def test_any_order_of_ends(self, asked: list[frozenset[int]], random: Any) -> None:
        """However they end: all run, and those in common in their order."""
        self.setUp()
        for number, places in enumerate(asked):
            self.ask(str(number), *places)
        while self.running:
            self.end(random.choice(sorted(self.running)))

        begun = [int(name) for name in self.begun]
        self.assertEqual(sorted(begun), list(range(len(asked))))
        for place in range(4):
            touching = [number for number in begun if place in asked[number]]
            self.assertEqual(touching, sorted(touching))
