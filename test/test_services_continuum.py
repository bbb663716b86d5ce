# -*- test-case-name: cocained.test.test_services_continuum -*-
"""
The ring of a routing group, point for point that of the original.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import CocainedError
from cocained.services.continuum import POINT_LIMIT, STEPS, Continuum

WEIGHTS = st.dictionaries(
    st.text(max_size=8), st.integers(0, 1000), min_size=1, max_size=6
).filter(lambda weights: sum(weights.values()) > 0)


class _Recording(Continuum):
    """Remembers the number that a seed led to."""

    asked = -1

    def by_point(self, point: int) -> str:
        self.asked = point
        return super().by_point(point)


class VectorTests(SynchronousTestCase):
    """The published vectors (protocol.md §3.5)."""

    def test_one_member(self) -> None:
        """A lone member has 256 points, the lowest being 18838917."""
        ring = Continuum({"app_v1": 1})

        self.assertEqual(len(ring.points), 256)
        self.assertEqual(ring.points[0], (18838917, "app_v1"))

    def test_one_members_weight_is_all(self) -> None:
        """The weight of a lone member makes no difference."""
        self.assertEqual(
            Continuum({"app_v1": 7}).points, Continuum({"app_v1": 1}).points
        )

    def test_two_members(self) -> None:
        """512 points are shared three to one; the lowest is 10939163."""
        ring = Continuum({"app_v1": 3, "app_v2": 1})

        self.assertEqual(len(ring.points), 512)
        self.assertEqual(ring.points[0], (10939163, "app_v2"))
        self.assertEqual(
            Counter(name for _, name in ring.points), {"app_v1": 384, "app_v2": 128}
        )

    def test_observed_ring(self) -> None:
        """The ring seen on the wire: 172 and 340 points, begin and end."""
        ring = Continuum({"storage": 1, "logging": 2})

        self.assertEqual(
            ring.points[:6],
            [
                (797295, "storage"),
                (7113102, "logging"),
                (11788671, "logging"),
                (17353581, "logging"),
                (20759466, "logging"),
                (33349278, "logging"),
            ],
        )
        self.assertEqual(
            ring.points[-2:], [(4282194450, "logging"), (4290863688, "logging")]
        )
        self.assertEqual(
            Counter(name for _, name in ring.points), {"storage": 172, "logging": 340}
        )

    def test_seeds_lead_to_points(self) -> None:
        """The point of a seed is the first one strictly above its digest."""
        for seed, digest, one, two, member in (
            ("42", 184367282, 188932673, 184754901, "app_v1"),
            ("user-1", 1273501179, 1320800713, 1279208863, "app_v1"),
            ("hello", 1597140040, 1598241757, 1598241757, "app_v1"),
        ):
            first = Continuum({"app_v1": 1})
            second = _Recording({"app_v1": 3, "app_v2": 1})

            self.assertEqual(next(p for p, _ in first.points if p > digest), one)
            self.assertEqual(
                next(point for point in second.points if point[0] > digest),
                (two, member),
            )
            self.assertEqual(second.by_seed(seed), member)
            self.assertEqual(second.asked, digest)

    def test_users(self) -> None:
        """Twelve seeds lead where they led on the wire."""
        ring = Continuum({"storage": 1, "logging": 2})

        found = {number for number in range(12) if ring.by_seed(f"user{number}")
                 == "storage"}  # fmt: skip

        self.assertEqual(found, {4, 9, 10})


class LookupTests(SynchronousTestCase):
    """From a number to a member."""

    def setUp(self) -> None:
        self.ring = Continuum({"storage": 1, "logging": 2})

    def test_strictly_above(self) -> None:
        """A point itself leads to the next one, and just below leads to it."""
        self.assertEqual(self.ring.by_point(797294), "storage")
        self.assertEqual(self.ring.by_point(797295), "logging")

    def test_ends(self) -> None:
        """Zero leads to the first point, and behind the last it wraps around."""
        self.assertEqual(self.ring.by_point(0), "storage")
        self.assertEqual(self.ring.by_point(4290863687), "logging")
        self.assertEqual(self.ring.by_point(4290863688), "storage")
        self.assertEqual(self.ring.by_point(2**32 - 1), "storage")

    def test_seed_beyond_ascii(self) -> None:
        """Any bytes are a seed, also those that are no text."""
        self.assertIn(self.ring.by_seed("ключ"), ("storage", "logging"))
        self.assertIn(self.ring.by_seed("\udcff\udc80"), ("storage", "logging"))


class WeightTests(SynchronousTestCase):
    """What weights do."""

    def test_no_weight(self) -> None:
        """A group needs a member with a weight."""
        for weights in ({}, {"a": 0}, {"a": 0, "b": 0}):
            error = self.assertRaises(CocainedError, Continuum, weights)

            self.assertEqual((error.category, error.code), (12, 22))
            self.assertIn("needs a member", error.reason)

    def test_weightless_member(self) -> None:
        """A member of no weight gets nothing, but others get its share."""
        ring = Continuum({"a": 0, "b": 1})

        self.assertEqual({name for _, name in ring.points}, {"b"})
        self.assertEqual(len(ring.points), 512)

    def test_half_is_rounded_up(self) -> None:
        """Half a step is a whole one, as C rounds, not as Python does."""
        # 1 / 256 of 2 * 64 steps is exactly one half.
        ring = Continuum({"a": 1, "b": 255})

        self.assertEqual(sum(name == "a" for _, name in ring.points), 4)

    def test_too_many_members(self) -> None:
        """A group that would fill the memory is refused by its size."""
        most = POINT_LIMIT // STEPS // 4
        weights = {f"m{number}": 1 for number in range(most + 1)}

        error = self.assertRaises(CocainedError, Continuum, weights)

        self.assertIn(f"{most + 1} members", error.reason)
        self.assertIn(str(POINT_LIMIT), error.reason)

    def test_huge_weights(self) -> None:
        """Weights are what msgpack can say, and no number of points follows."""
        ring = Continuum({"a": 2**64 - 1, "b": 2**64 - 1})

        self.assertEqual(len(ring.points), 512)

    @given(WEIGHTS)
    @settings(max_examples=25, deadline=None)
    def test_laws(self, weights: dict[str, int]) -> None:
        """Points are sorted, belong to members, and come four for a step."""
        ring = Continuum(weights)
        numbers = [point for point, _ in ring.points]

        self.assertEqual(numbers, sorted(numbers))
        self.assertTrue(0 <= numbers[0] and numbers[-1] < 2**32)
        total = sum(weights.values())
        for name, weight in weights.items():
            count = sum(owner == name for _, owner in ring.points)
            self.assertEqual(count % 4, 0)
            exact = weight / total * STEPS * len(weights) * 4
            self.assertLessEqual(abs(count - exact), 2.0001)

    @given(WEIGHTS, st.integers(0, 2**32 - 1))
    @settings(max_examples=25, deadline=None)
    def test_lookup_law(self, weights: dict[str, int], point: int) -> None:
        """Every number leads to the owner of the first point above it."""
        ring = Continuum(weights)
        above = [owner for number, owner in ring.points if number > point]

        self.assertEqual(ring.by_point(point), above[0] if above else ring.points[0][1])
