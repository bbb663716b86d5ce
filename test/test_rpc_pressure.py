# -*- test-case-name: cocained.test.test_rpc_pressure -*-
"""
Who is stopped when a peer does not read, and who is not (decision 0007).
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cocained.rpc.pressure import ALLOWANCE, MESSAGE_OVERHEAD, Pressure
from cocained.test.rpc_case import FakeSource, MemoryLink


class PressTests(SynchronousTestCase):
    """What a source may still say to a congested peer."""

    def setUp(self) -> None:
        self.pressure = Pressure(MemoryLink())
        self.source = FakeSource()
        self.pressure.congest()

    def test_allowance(self) -> None:
        """A source is held once it has said more than its allowance."""
        whole = ALLOWANCE - 2 * MESSAGE_OVERHEAD
        self.pressure.press(self.source, whole // 2)
        self.pressure.press(self.source, whole - whole // 2)
        self.assertEqual(self.source.halts, 0)

        self.pressure.press(self.source, 0)

        self.assertEqual(self.source.halts, 1)
        self.assertTrue(self.pressure.holds(self.source))

    def test_each_its_own(self) -> None:
        """What one has said is not counted against another."""
        other = FakeSource()
        self.pressure.press(self.source, ALLOWANCE)
        self.pressure.press(other, 1)

        self.assertEqual((self.source.halts, other.halts), (1, 0))

    def test_empty_messages(self) -> None:
        """Messages without bytes count, too."""
        for _ in range(ALLOWANCE // MESSAGE_OVERHEAD):
            self.pressure.press(self.source, 0)
        self.assertEqual(self.source.halts, 0)

        self.pressure.press(self.source, 0)

        self.assertEqual(self.source.halts, 1)

    def test_held_once(self) -> None:
        """More of the same, from the same turn, holds it no second time."""
        for _ in range(3):
            self.pressure.press(self.source, ALLOWANCE)

        self.assertEqual(self.source.halts, 1)

    def test_drained(self) -> None:
        """With the peer the allowance is back."""
        self.pressure.press(self.source, ALLOWANCE)
        self.pressure.drained()
        self.assertEqual(self.source.halts, 0)

        self.pressure.congest()
        self.pressure.press(self.source, 1)

        self.assertEqual(self.source.halts, 0)

    def test_let_go(self) -> None:
        """One source is let go, and the others stay."""
        other = FakeSource()
        for source in (self.source, other):
            self.pressure.press(source, ALLOWANCE)

        self.pressure.let_go(self.source)

        self.assertEqual((self.source.halts, other.halts), (0, 1))
        self.assertFalse(self.pressure.holds(self.source))
        self.pressure.drained()
        self.assertEqual((self.source.halts, other.halts), (0, 0))

    def test_let_go_of_a_stranger(self) -> None:
        """Who is not held need not be let go."""
        self.pressure.let_go(self.source)

        self.assertEqual(self.source.halts, 0)

    def test_pauses(self) -> None:
        """A peer that takes something is congested anew, which shows."""
        before = self.pressure.progress
        self.assertEqual(self.pressure.progress, before)
        self.pressure.congest()

        self.assertNotEqual(self.pressure.progress, before)
