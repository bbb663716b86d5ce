# -*- test-case-name: cocained.test.test_services_continuum_moves -*-
"""
What a change of weights does to seeds: which share each member gets, how many
seeds move, and how many more that is than the change needs.

Measured exactly, over all numbers that a seed can lead to, and again with
seeds.  The ring is the original's, so what it is not good at is stated here, too
(and told to operators in ``docs/routing.rst``).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from statistics import fmean, pstdev

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cocained.services import groups
from cocained.services.continuum import STEPS, Continuum
from cocained.services.groups import RoutingGroups
from cocained.test.service_case import ServiceCase
from cocained.tools.nodes import RING, shares

Weights = Mapping[str, int]

#: Of a canary, and of what follows.
CANARY = {"app_v1": 95, "app_v2": 5}
HALF = {"app_v1": 50, "app_v2": 50}

#: As many seeds as sessions of a small site.
SEEDS = tuple(f"user-{number}" for number in range(20_000))

#: How exact a share must be: two points of a hundred.
TOLERANCE = 0.02

#: Names of pairs of apps, for what depends on names.
PAIRS = tuple((f"app{number}_v1", f"app{number}_v2") for number in range(200))

MEMBERS = st.sampled_from(("app_v1", "app_v2", "app_v3", "b", "c"))
WEIGHTS = st.dictionaries(MEMBERS, st.integers(0, 100), min_size=1).filter(
    lambda weights: sum(weights.values()) > 0
)


def exact_shares(ring: Continuum) -> Mapping[str, float]:
    """Give the part of all numbers that leads to each member."""
    return shares(ring.points)


def moves(before: Continuum, after: Continuum) -> Mapping[tuple[str, str], float]:
    """Give the part of all numbers that leads from one member to another."""
    found: Counter[tuple[str, str]] = Counter()
    points = sorted({point for ring in (before, after) for point, _ in ring.points})
    previous = points[-1] - RING
    for point in points:
        # All numbers from the previous point on, and below this one.
        owners = before.by_point(point - 1), after.by_point(point - 1)
        if owners[0] != owners[1]:
            found[owners] += point - previous
        previous = point
    return {owners: arc / RING for owners, arc in found.items()}


def needed(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Give the least part that can move when shares change so."""
    return sum(
        max(0.0, after.get(name, 0.0) - before.get(name, 0.0))
        for name in before.keys() | after.keys()
    )


def asked(weights: Weights) -> Mapping[str, float]:
    """Give the shares that weights ask for."""
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def steps(ring: Continuum) -> Counter[str]:
    """Count the steps of each member."""
    return Counter(name for _, name in ring.points)


def surplus(before: Weights, after: Weights) -> float:
    """Give the part that moves beyond what the change of shares needs."""
    first, second = Continuum(before), Continuum(after)
    least = needed(exact_shares(first), exact_shares(second))
    return sum(moves(first, second).values()) - least


class CanaryTests(SynchronousTestCase):
    """From 5 % to 50 %, with twenty thousand seeds."""

    def setUp(self) -> None:
        self.before, self.after = Continuum(CANARY), Continuum(HALF)

    def assert_shares(self, counts: Mapping[str, float], weights: Weights) -> None:
        """Insist on shares as the weights have them."""
        total = sum(counts.values())
        for name, share in asked(weights).items():
            self.assertApproximates(counts[name] / total, share, TOLERANCE)

    def test_shares(self) -> None:
        """Seeds are shared as the weights say, before and after (row 54)."""
        for ring, weights in ((self.before, CANARY), (self.after, HALF)):
            self.assert_shares(Counter(map(ring.by_seed, SEEDS)), weights)
            self.assert_shares(exact_shares(ring), weights)

    def test_no_more_moved_than_needed(self) -> None:
        """
        As many seeds move as the shares differ, all in one direction, and not
        one more (row 54).
        """
        moved = Counter(
            (first, second)
            for first, second in (
                (self.before.by_seed(seed), self.after.by_seed(seed)) for seed in SEEDS
            )
            if first != second
        )
        grown = Counter(map(self.after.by_seed, SEEDS))["app_v2"]
        grown -= Counter(map(self.before.by_seed, SEEDS))["app_v2"]

        self.assertEqual(moved, {("app_v1", "app_v2"): grown})
        self.assertApproximates(grown / len(SEEDS), 0.45, TOLERANCE)

    def test_exactly(self) -> None:
        """44.5 % of all numbers move, where the weights ask for 45 %."""
        ((owners, part),) = moves(self.before, self.after).items()

        self.assertEqual(owners, ("app_v1", "app_v2"))
        self.assertAlmostEqual(part, 0.44505, 5)
        self.assertAlmostEqual(
            part, needed(exact_shares(self.before), exact_shares(self.after)), 12
        )

    def test_back(self) -> None:
        """Who goes back to the weights of before finds each seed where it was."""
        again = Continuum(CANARY)

        self.assertEqual(again.points, self.before.points)
        self.assertEqual(
            sum(moves(self.after, again).values()),
            sum(moves(self.before, self.after).values()),
        )


class UnseededTests(ServiceCase):
    """Requests that bring no seed."""

    def test_without_seed(self) -> None:
        """Without a seed the members are shared as the weights say, too (row 54)."""
        self.patch(groups, "random", random.Random(1))
        routing = RoutingGroups(self.node.core)
        for weights in (CANARY, HALF):
            self.store("groups", "app", weights, ("group", "active"))
            self.successResultOf(Deferred.fromCoroutine(routing.refresh(["app"])))

            counts = Counter(routing.pick("app", "") for _ in SEEDS)

            for name, share in asked(weights).items():
                self.assertApproximates(counts[name] / len(SEEDS), share, TOLERANCE)


class SurplusTests(SynchronousTestCase):
    """Where the ring moves more than a change needs, and by how much."""

    def over_names(self, before: Weights, after: Weights) -> Iterator[float]:
        """Give the surplus for each of sixty choices of names."""
        for number in range(60):
            yield surplus(
                {f"{name}{number}": weight for name, weight in before.items()},
                {f"{name}{number}": weight for name, weight in after.items()},
            )

    def assert_mean(self, before: Weights, after: Weights, expected: float) -> None:
        """Insist on a mean surplus, to half a point."""
        mean = fmean(self.over_names(before, after))

        self.assertApproximates(mean, expected, 0.005)

    def test_two_members(self) -> None:
        """Of two members one grows and one shrinks: there is no surplus."""
        self.assert_mean({"a": 95, "b": 5}, {"a": 50, "b": 50}, 0.0)

    def test_bystander(self) -> None:
        """
        A third member whose weight stays loses some seeds and gains others:
        its points stay, but those of its neighbours do not.
        """
        self.assert_mean({"a": 90, "b": 5, "c": 5}, {"a": 50, "b": 45, "c": 5}, 0.0117)

    def test_member_of_equal_weight(self) -> None:
        """One more member of the same weight takes from all, and that is all."""
        self.assert_mean({"a": 1, "b": 1, "c": 1}, {**dict.fromkeys("abcd", 1)}, 0.0)

    def test_member_that_is_taken_out(self) -> None:
        """A member that is taken out leaves its seeds to others, and that is all."""
        self.assert_mean({**dict.fromkeys("abcd", 1)}, {"a": 1, "b": 1, "c": 1}, 0.0)

    def test_weight_of_zero(self) -> None:
        """
        A member that keeps a weight of 0 costs a tenth of all seeds more than one
        that is taken out: the ring keeps 64 steps for it, which the others get.
        """
        before = dict.fromkeys("abcd", 1)

        self.assert_mean(before, {**before, "d": 0}, 0.098)

    def test_newcomer_among_two(self) -> None:
        """A small third member makes the rings of both others grow by a third."""
        self.assert_mean({"a": 50, "b": 50}, {"a": 45, "b": 45, "c": 10}, 0.117)

    def test_newcomer_that_was_there_before(self) -> None:
        """It is a third of that if it was there before with a weight of 0."""
        self.assert_mean(
            {"a": 50, "b": 50, "c": 0}, {"a": 45, "b": 45, "c": 10}, 0.0435
        )


class ExactnessTests(SynchronousTestCase):
    """How well shares follow weights: that depends on names."""

    def errors(self, first: int, second: int) -> list[float]:
        """Give how far the share of the second is off, for each pair of names."""
        return [
            exact_shares(Continuum({one: first, other: second}))[other]
            - second / (first + second)
            for one, other in PAIRS
        ]

    def test_half(self) -> None:
        """Halves are off by two points and a bit in the mean square, and 7 at most."""
        errors = self.errors(50, 50)

        self.assertApproximates(fmean(errors), 0.0, 0.005)
        self.assertApproximates(pstdev(errors), 0.022, 0.002)
        self.assertLess(max(map(abs, errors)), 0.07)

    def test_canary(self) -> None:
        """5 % are 4.6 % on average, since six steps are meant to be 6.4."""
        errors = self.errors(95, 5)

        self.assertApproximates(fmean(errors), 6 / 128 - 0.05, 0.002)
        self.assertApproximates(pstdev(errors), 0.009, 0.001)
        self.assertLess(max(map(abs, errors)), 0.03)

    def test_too_little(self) -> None:
        """A member gets nothing if its weight is less than half a step."""
        self.assertNotIn("b", exact_shares(Continuum({"a": 999, "b": 3})))
        self.assertIn("b", exact_shares(Continuum({"a": 995, "b": 5})))


class StickinessTests(SynchronousTestCase):
    """Laws for any weights."""

    @given(WEIGHTS, WEIGHTS)
    @settings(max_examples=40, deadline=None)
    def test_steps(self, before: Weights, after: Weights) -> None:
        """
        A seed moves only from a member that lost steps, or to one that won some.
        """
        first, second = Continuum(before), Continuum(after)
        lost, won = steps(first) - steps(second), steps(second) - steps(first)

        for source, target in moves(first, second):
            self.assertTrue(lost[source] or won[target], (source, target))

    @given(st.data())
    @settings(max_examples=40, deadline=None)
    def test_same_members(self, data: st.DataObject) -> None:
        """
        With the same members, a seed moves only from one whose weight fell, of
        the total, or to one whose weight grew: rounding makes no exception.
        """
        before = data.draw(WEIGHTS)
        after = data.draw(
            st.fixed_dictionaries(dict.fromkeys(before, st.integers(0, 100))).filter(
                lambda weights: sum(weights.values()) > 0
            )
        )

        for source, target in moves(Continuum(before), Continuum(after)):
            old, new = asked(before), asked(after)
            self.assertTrue(
                new[source] < old[source] or new[target] > old[target],
                (source, target),
            )

    @given(st.integers(0, 100), st.integers(0, 100))
    @settings(max_examples=40, deadline=None)
    def test_two_members(self, first: int, second: int) -> None:
        """Of two members, no seed moves but those that must."""
        before = Continuum({"app_v1": first, "app_v2": 100 - first})
        after = Continuum({"app_v1": second, "app_v2": 100 - second})

        moved = moves(before, after)

        self.assertLessEqual(len(moved), 1)
        self.assertAlmostEqual(
            sum(moved.values()), needed(exact_shares(before), exact_shares(after)), 12
        )

    @given(st.integers(0, 4), st.integers(1, 60))
    @settings(max_examples=20, deadline=None)
    def test_equal_weights(self, count: int, weight: int) -> None:
        """A newcomer of the weight that all have takes seeds and moves no other."""
        names = ["app_v1", "app_v2", "app_v3", "b", "c"][: count + 1]
        before = Continuum(dict.fromkeys(names, weight))
        after = Continuum(dict.fromkeys([*names, "new"], weight))

        self.assertEqual({target for _, target in moves(before, after)}, {"new"})

    @given(WEIGHTS, st.integers(2, 50))
    @settings(max_examples=20, deadline=None)
    def test_scale(self, weights: Weights, factor: int) -> None:
        """Only the relation of weights counts."""
        scaled = {name: weight * factor for name, weight in weights.items()}
        # What is rounded may be a hair beside the half.
        first, second = Continuum(weights), Continuum(scaled)
        for name in weights:
            self.assertLessEqual(abs(steps(first)[name] - steps(second)[name]), 4)

    @given(WEIGHTS)
    @settings(max_examples=20, deadline=None)
    def test_shares_add_up(self, weights: Weights) -> None:
        """Every number leads to somebody who has a weight."""
        found = exact_shares(Continuum(weights))

        self.assertAlmostEqual(sum(found.values()), 1.0, 9)
        self.assertTrue(all(weights[name] for name in found))

    def test_steps_of_a_member(self) -> None:
        """A member of a balanced group has 64 steps of four points."""
        self.assertEqual(steps(Continuum(HALF)), dict.fromkeys(HALF, STEPS * 4))
