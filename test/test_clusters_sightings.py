# -*- test-case-name: cocained.test.test_clusters_sightings -*-
"""
Who was heard when.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.clusters.sightings import Sightings, TooManyNodes


class SightingsTests(SynchronousTestCase):
    """The table of nodes."""

    def setUp(self) -> None:
        self.sightings = Sightings(15.0, limit=3)

    def test_new(self) -> None:
        """A node is new once."""
        self.assertTrue(self.sightings.hear("a", 0.0))
        self.assertFalse(self.sightings.hear("a", 1.0))
        self.assertEqual(len(self.sightings), 1)

    def test_nobody(self) -> None:
        """Without nodes nothing is due."""
        self.assertIsNone(self.sightings.due)
        self.assertEqual(self.sightings.expire(1e9), [])

    def test_expires(self) -> None:
        """A node is gone when its time is over, and not before."""
        self.sightings.hear("a", 0.0)
        self.sightings.hear("b", 1.0)

        self.assertEqual(self.sightings.due, 15.0)
        self.assertEqual(self.sightings.expire(14.9), [])
        self.assertEqual(self.sightings.expire(15.0), ["a"])
        self.assertEqual(self.sightings.due, 16.0)

    def test_heard_again(self) -> None:
        """Each time that it is heard its time begins anew."""
        self.sightings.hear("a", 0.0)
        self.sightings.hear("b", 1.0)
        self.sightings.hear("a", 2.0)

        self.assertEqual(self.sightings.expire(16.0), ["b"])
        self.assertEqual(self.sightings.due, 17.0)

    def test_new_again(self) -> None:
        """A node that was gone is new when it comes back."""
        self.sightings.hear("a", 0.0)
        self.sightings.expire(15.0)

        self.assertTrue(self.sightings.hear("a", 20.0))

    def test_limit(self) -> None:
        """A new node beyond the limit is refused; known ones are heard on."""
        for uuid in "abc":
            self.sightings.hear(uuid, 0.0)

        error = self.assertRaises(TooManyNodes, self.sightings.hear, "d", 1.0)

        self.assertIn("'d'", error.reason)
        self.assertIn("3 nodes", error.reason)
        self.assertFalse(self.sightings.hear("a", 1.0))
        self.assertEqual(len(self.sightings), 3)

    def test_room_again(self) -> None:
        """When a node is gone there is room for another."""
        for uuid in "abc":
            self.sightings.hear(uuid, 0.0)
        self.sightings.expire(15.0)

        self.assertTrue(self.sightings.hear("d", 16.0))

    def test_silences(self) -> None:
        """It can be asked for how long each has been silent."""
        self.sightings.hear("a", 1.0)
        self.sightings.hear("b", 3.0)

        self.assertEqual(self.sightings.silences(5.0), {"a": 4.0, "b": 2.0})

    @given(st.lists(st.tuples(st.sampled_from("abcde"), st.floats(0, 10))))
    def test_like_a_plain_table(self, steps: list[tuple[str, float]]) -> None:
        """It says the same as a table that is searched each time."""
        sightings, now = Sightings(15.0), 0.0
        last: dict[str, float] = {}
        for uuid, wait in steps:
            now += wait
            gone = {each for each, heard in last.items() if heard + 15.0 <= now}
            self.assertEqual(set(sightings.expire(now)), gone)
            for each in gone:
                del last[each]
            self.assertEqual(sightings.hear(uuid, now), uuid not in last)
            last[uuid] = now
            self.assertEqual(sightings.due, min(last.values()) + 15.0)
