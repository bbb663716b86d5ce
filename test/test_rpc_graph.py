# -*- test-case-name: cocained.test.test_rpc_graph -*-
"""Tests of :mod:`cocained.rpc.graph`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import InvalidArgument
from cocained.rpc.codec import Pairs, pack, unpack
from cocained.rpc.graph import (
    DISCARDABLE,
    GRAPH_DEPTH,
    GRAPH_SIZE,
    PRIMITIVE,
    STREAMING,
    TERMINAL,
    parse_root,
)
from cocained.test.strategies import VALUES

NAMES = st.text(max_size=8)

#: Nested graphs, as a service declares them.
NESTED: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.just({}),
    lambda inner: st.dictionaries(
        st.integers(0, 2**64 - 1), st.tuples(NAMES, inner), max_size=4
    ),
    max_leaves=6,
)

ROOTS = st.dictionaries(
    st.integers(0, 2**64 - 1), st.tuples(NAMES, NESTED, NESTED), max_size=5
)


def nested(levels: int) -> Any:
    """A graph that is *levels* deep."""
    graph: Any = {}
    for _ in range(levels - 1):
        graph = {0: ["next", graph]}
    return graph


class GraphTests(SynchronousTestCase):
    """Graphs as they travel."""

    def test_generic_protocols(self) -> None:
        """The three generic protocols are packed as protocol.md §2.1 has them."""
        self.assertEqual(
            pack(PRIMITIVE), b"\x82\x00\x92\xa5value\x80\x01\x92\xa5error\x80"
        )
        self.assertEqual(
            pack(STREAMING),
            b"\x83\x00\x92\xa5write\xc0\x01\x92\xa5error\x80\x02\x92\xa5close\x80",
        )
        self.assertEqual(pack(DISCARDABLE), b"\x81\x00\x92\xa7discard\x80")
        self.assertEqual(pack(TERMINAL), b"\x80")

    @given(ROOTS)
    def test_identity(self, root: Any) -> None:
        """A graph that was packed is the graph that is parsed."""
        self.assertEqual(parse_root(unpack(pack(root))), root)

    def test_recursive_and_terminal(self) -> None:
        """Nil and the empty map are kept apart."""
        root = parse_root(unpack(pack({0: ["a", None, {}], 1: ["b", {}, None]})))
        self.assertEqual(root, {0: ("a", None, {}), 1: ("b", {}, None)})

    def test_names_of_any_bytes(self) -> None:
        """A name that is no UTF-8 leaves as the bytes it came as."""
        packed = b"\x81\x00\x93\xa2\xff\xfe\x80\x80"
        self.assertEqual(pack(parse_root(unpack(packed))), packed)


class RefusalTests(SynchronousTestCase):
    """What is no graph."""

    def assert_refused(self, value: Any) -> None:
        error = self.assertRaises(InvalidArgument, parse_root, unpack(pack(value)))
        self.assertIn("graph", error.reason)

    def test_roots(self) -> None:
        """Each wrong type and size is refused, at every place of a root."""
        values: tuple[Any, ...] = (
            None,
            [],
            b"",
            5,
            {-1: [b"a", {}, {}]},
            {b"0": [b"a", {}, {}]},
            {True: [b"a", {}, {}]},
            {0.0: [b"a", {}, {}]},
            {0: None},
            {0: [b"a", {}]},
            {0: [b"a", {}, {}, {}]},
            {0: {0: b"a"}},
            {0: [1, {}, {}]},
            {0: [None, {}, {}]},
            {0: [b"a", [], {}]},
            {0: [b"a", {}, b""]},
            {0: [b"a", False, {}]},
        )
        for value in values:
            self.assert_refused(value)

    def test_nested(self) -> None:
        """So is it further in."""
        for inner in (
            {0: [b"a"]},
            {0: [b"a", {}, {}]},
            {0: [1, {}]},
            {-1: [b"a", {}]},
            {0: [b"a", 5]},
            {0: [b"a", {1: [b"b", [b"c"]]}]},
        ):
            self.assert_refused({0: [b"m", inner, {}]})
            self.assert_refused({0: [b"m", {}, inner]})

    def test_depth(self) -> None:
        """A graph of the limit passes, a deeper one does not."""
        self.assertTrue(parse_root(unpack(pack({0: ["m", nested(GRAPH_DEPTH), {}]}))))
        self.assert_refused({0: ["m", nested(GRAPH_DEPTH + 1), {}]})

    def test_size(self) -> None:
        """Entries are counted together, wherever they are."""
        half = {number: ["a", {}] for number in range(GRAPH_SIZE // 2)}
        rest = {number: ["a", {}] for number in range(GRAPH_SIZE // 2 - 1)}
        self.assertTrue(parse_root(unpack(pack({0: ["m", half, rest]}))))
        self.assert_refused({0: ["m", half, half]})

    @given(VALUES)
    def test_any_value(self, value: tuple[Any, Any]) -> None:
        """Any value is a graph or an invalid argument, and nothing else."""
        decoded = value[1]
        try:
            root = parse_root(decoded)
        except InvalidArgument:
            return
        self.assertIs(type(decoded), Pairs)
        self.assertEqual(len(root), len({number for number, _ in decoded}))
