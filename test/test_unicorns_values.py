# -*- test-case-name: cocained.test.test_unicorns_values -*-
"""Tests for values and paths of unicorns, by themselves."""

from __future__ import annotations

from typing import Any

import msgpack
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import InvalidPath, InvalidType, InvalidValue
from cocained.rpc.codec import Pairs, pack, unpack
from cocained.rpc.values import pack_value
from cocained.unicorns.paths import check_path, check_prefix, parent
from cocained.unicorns.values import (
    NESTING_LIMIT,
    VALUE_LIMIT,
    decode,
    encode,
    number,
    total,
)

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=40),
)

_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(st.tuples(inner, inner), max_size=4).map(Pairs),
    ),
    max_leaves=12,
)


class ValueTests(SynchronousTestCase):
    """Values to bytes and back."""

    @given(_VALUES)
    def test_back_and_forth(self, value: Any) -> None:
        """Whatever came over the wire comes back as it was."""
        self.assertEqual(decode(encode(value), "/a"), value)

    @given(_VALUES)
    def test_same_as_the_wire(self, value: Any) -> None:
        """Without maps, it is packed as everything else is."""
        if "Pairs" not in repr(type(value)) and not isinstance(value, list):
            self.assertEqual(pack_value(value), pack(value))

    def test_maps(self) -> None:
        """Pairs and dictionaries are maps, at any depth."""
        value = [Pairs([(b"a", [Pairs([(1, 2)])])])]

        self.assertEqual(pack_value(value), msgpack.packb([{"a": [{1: 2}]}]))
        self.assertEqual(unpack(pack_value({"a": {}})), Pairs([(b"a", Pairs())]))

    def test_depth(self) -> None:
        """A value may be nested so deep, and no deeper."""
        value: Any = 1
        for _ in range(NESTING_LIMIT):
            value = [value]

        self.assertEqual(decode(encode(value), "/a"), value)
        self.assertRaises(InvalidValue, encode, [value])
        self.assertRaises(InvalidValue, encode, {1: value})
        self.assertRaises(InvalidValue, decode, b"\x91" * 101 + b"\x01", "/a")

    def test_size(self) -> None:
        """The limit names itself and what to do."""
        self.assertEqual(len(encode(b"x" * (VALUE_LIMIT - 5))), VALUE_LIMIT)
        error = self.assertRaises(InvalidValue, encode, b"x" * VALUE_LIMIT)

        self.assertIn("1000000 is the limit", str(error))
        self.assertIn("storage", str(error))

    def test_no_value(self) -> None:
        """Bytes that are not one value name their node."""
        for data in (b"", b"\xc1", b"\x01\x01", b"\x92\x01"):
            error = self.assertRaises(InvalidValue, decode, data, "/a/b")
            self.assertIn("/a/b", str(error))

    def test_numbers(self) -> None:
        """A boolean is no number."""
        self.assertEqual([number(1), number(-1.5)], [1, -1.5])
        refused: list[Any] = [True, None, b"1", []]
        for value in refused:
            self.assertRaises(InvalidType, number, value)

    def test_totals(self) -> None:
        """Sums of integers stay within 64 bits; floats have bounds of their own."""
        self.assertEqual(total(2**63 - 2, 1), 2**63 - 1)
        self.assertEqual(total(2**64 - 1, -(2**63)), 2**63 - 1)
        self.assertEqual(total(1, 0.5), 1.5)
        self.assertRaises(InvalidValue, total, 2**63 - 1, 1)
        self.assertRaises(InvalidValue, total, -(2**63), -1)
        self.assertEqual(total(1e308, 1e308), float("inf"))


class PathTests(SynchronousTestCase):
    """Paths."""

    def test_good(self) -> None:
        """What ZooKeeper takes."""
        for path in ("/a", "/a/b.c/d-e", "/.acls", "/...", "/a b", "/ключ", "/😀"):
            self.assertEqual(check_path(path), path)

    def test_errors_are_short(self) -> None:
        """An error does not give back a megabyte."""
        error = self.assertRaises(InvalidPath, check_path, "/" + "x" * 1_000_000)

        self.assertLess(len(str(error)), 250)

    def test_prefixes(self) -> None:
        """A prefix is a path or nothing; slashes at its end do not count."""
        self.assertEqual(check_prefix("/a/b//"), "/a/b")
        self.assertEqual(check_prefix(""), "")
        self.assertEqual(check_prefix("//"), "")
        self.assertRaises(InvalidPath, check_prefix, "a")
        self.assertRaises(InvalidPath, check_prefix, "/a//b")

    def test_parents(self) -> None:
        """What is above."""
        self.assertEqual([parent("/a/b"), parent("/a")], ["/a", ""])
