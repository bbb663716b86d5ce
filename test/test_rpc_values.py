# -*- test-case-name: cocained.test.test_rpc_values -*-
"""Tests for :mod:`cocained.rpc.values`; those of unicorns say more of it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cocained.rpc.codec import Pairs
from cocained.rpc.values import DEPTH, pack_value


class PackValueTests(SynchronousTestCase):
    """Values are packed as what they were."""

    def test_pairs(self) -> None:
        """Pairs are a map, with keys that are maps, and with equal keys."""
        inner = Pairs([(1, 2)])

        self.assertEqual(pack_value(Pairs([(inner, 3)])), b"\x81\x81\x01\x02\x03")
        self.assertEqual(pack_value(Pairs([(1, 2), (1, 2)])), b"\x82\x01\x02\x01\x02")

    def test_old_strings(self) -> None:
        """Text and bytes are raw strings; what is no UTF-8 survives."""
        self.assertEqual(
            pack_value(["a", b"\xff", "\udcff"]), b"\x93\xa1a\xa1\xff\xa1\xff"
        )

    def test_depth(self) -> None:
        """Too deep is refused before the stack ends."""
        value: object = 1
        for _ in range(DEPTH):
            value = [value]

        self.assertEqual(pack_value(value), b"\x91" * DEPTH + b"\x01")
        self.assertRaises(ValueError, pack_value, (value,))

    def test_nothing_of_msgpack(self) -> None:
        """What has no form is refused."""
        self.assertRaises(TypeError, pack_value, [object()])
        self.assertRaises(OverflowError, pack_value, 2**64)
