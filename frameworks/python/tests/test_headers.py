# -*- test-case-name: tests.test_headers -*-
"""
Tests for `cocaine.detail.headers`.
"""

from __future__ import annotations

import unittest

from cocaine.detail import headers
from cocaine.detail.headers import HeaderReader, HeaderTable, Trace
from cocaine.exceptions import ProtocolError

from .support import pack, raw, unpack


class DecodeTests(unittest.TestCase):
    """The three forms and the dynamic table (protocol.md 1.5)."""

    def setUp(self):
        self.table = HeaderTable()

    def test_static_names(self):
        """The table of the specification, by samples."""
        names = headers.static_names()
        self.assertEqual(len(names), 83)
        for index, name in (
            (1, b":authority"),
            (16, b"accept-encoding"),
            (23, b"authorization"),
            (40, b"if-modified-since"),
            (61, b"www-authenticate"),
            (62, b""),
            (79, b""),
            (80, b"trace_id"),
            (82, b"parent_id"),
        ):
            self.assertEqual(names[index], name, index)

    def test_literal(self):
        """A name and a value."""
        self.assertEqual(self.table.decode([[False, b"a", b"b"]]), [(b"a", b"b")])

    def test_indexed_name(self):
        """A name from the static table with a value of its own."""
        pairs = self.table.decode([[False, 80, b"12345678"]])
        self.assertEqual(pairs, [(b"trace_id", b"12345678")])

    def test_whole_entry(self):
        """A bare index gives name and value."""
        pairs = self.table.decode([2, 81])
        self.assertEqual(pairs, [(b":method", b"GET"), (b"span_id", bytes(8))])

    def test_newest_is_83(self):
        """Stored entries move up as newer ones come."""
        self.table.decode([[True, b"a", b"1"]])
        self.assertEqual(self.table.decode([83]), [(b"a", b"1")])
        self.table.decode([[True, b"b", b"2"]])
        self.assertEqual(self.table.decode([83, 84]), [(b"b", b"2"), (b"a", b"1")])

    def test_not_stored(self):
        """False leaves the table alone."""
        self.table.decode([[False, b"a", b"1"]])
        with self.assertRaises(ProtocolError):
            self.table.decode([83])

    def test_eviction(self):
        """The oldest entry goes when 4096 bytes are not enough."""
        self.table.decode([[True, b"a", b"x" * 2000], [True, b"b", b"y" * 2000]])
        self.table.decode([[True, b"c", b"z" * 100]])
        self.assertEqual(
            [name for name, _ in self.table.decode([83, 84])], [b"c", b"b"]
        )
        with self.assertRaises(ProtocolError):
            self.table.decode([85])

    def test_exact_fit(self):
        """An entry of the table's very size is stored."""
        self.table.decode([[True, b"a", b"x" * (4096 - 33)]])
        self.assertEqual(self.table.decode([83])[0][0], b"a")

    def test_too_big_an_entry(self):
        """One beyond the size empties the table and is not stored."""
        self.table.decode([[True, b"a", b"1"], [True, b"b", b"x" * 4096]])
        with self.assertRaises(ProtocolError):
            self.table.decode([83])

    def test_malformed(self):
        """Anything else is a protocol error."""
        for item in (0, -1, 83, b"x", [], [False, b"a"], [1, b"a", b"b"], None):
            with self.subTest(item), self.assertRaises(ProtocolError):
                self.table.decode([item])
        for item in ([False, b"a", 1], [False, None, b"a"], [False, 0, b"a"]):
            with self.subTest(item), self.assertRaises(ProtocolError):
                self.table.decode([item])


class ReaderTests(unittest.TestCase):
    """Decoding late what has no state."""

    def test_stateless_is_kept(self):
        """Literals that are not stored are not looked at."""
        items = unpack(raw("94 01 00 90 {T0}"))[0][3]
        self.assertIs(HeaderReader().accept(items), items)
        self.assertEqual(headers.to_dict(items)["trace_id"], bytes(8))

    def test_stored_is_decoded(self):
        """A stored one is, and remembered over frames."""
        reader = HeaderReader()
        reader.accept([[True, b"custom", b"v"]])
        self.assertEqual(headers.to_dict(reader.accept([83])), {"custom": b"v"})

    def test_not_a_list(self):
        """The fourth element has to be a list."""
        with self.assertRaises(ProtocolError):
            HeaderReader().accept({})

    def test_late_error(self):
        """A malformed literal shows when it is looked at."""
        with self.assertRaises(ProtocolError):
            headers.to_dict([[False, b"a", 5]])
        with self.assertRaises(ProtocolError):
            headers.to_dict([[False, b"a"], [False]])

    def test_none(self):
        """No headers give an empty dictionary."""
        self.assertEqual(headers.to_dict(None), {})


class EncodeTests(unittest.TestCase):
    """What keyword arguments become."""

    def test_trace(self):
        """The bytes of protocol.md 18."""
        trace = Trace(0x1122334455667788, 0x1122334455667788)
        self.assertEqual(
            pack(headers.encode({"trace": trace})),
            raw(
                "91 93 93 c2 50 a8 88 77 66 55 44 33 22 11 93 c2 51 a8 88 77 66 55 44"
                "33 22 11 93 c2 52 a8 00 00 00 00 00 00 00 00"
            ),
        )

    def test_no_trace(self):
        """trace=None is no header."""
        self.assertEqual(headers.encode({"trace": None}), [])

    def test_text_and_bytes(self):
        """Both go out as raw strings."""
        encoded = headers.encode({"a": "é", "b": b"\xff"})
        self.assertEqual(encoded, [(False, "a", b"\xc3\xa9"), (False, "b", b"\xff")])

    def test_request_timeout(self):
        """Milliseconds, eight bytes, little-endian."""
        encoded = headers.encode({"request_timeout": 1500})
        self.assertEqual(
            encoded, [(False, "request_timeout", (1500).to_bytes(8, "little"))]
        )

    def test_other_values(self):
        """Anything else is refused by name."""
        for value in (1, None, 1.5, [], True):
            with self.subTest(value), self.assertRaises(TypeError) as caught:
                headers.encode({"colour": value})
            self.assertIn("colour", str(caught.exception))

    def test_numbers_out_of_range(self):
        """A number that does not fit is refused."""
        for value in (-1, 2**64):
            with self.subTest(value), self.assertRaises(OverflowError):
                headers.encode({"request_timeout": value})


class TraceTests(unittest.TestCase):
    """Traces read from headers."""

    def test_round_trip(self):
        """What was encoded is found again."""
        encoded = headers.encode({"trace": Trace(1, 2, 3)})
        pairs = HeaderTable().decode([list(item) for item in encoded])
        trace = Trace.from_headers(headers.to_dict(pairs))
        self.assertEqual((trace.traceid, trace.spanid, trace.parentid), (1, 2, 3))

    def test_absent(self):
        """Zero, missing and malformed ones are none."""
        self.assertIsNone(Trace.from_headers({}))
        zero = dict.fromkeys(("trace_id", "span_id", "parent_id"), bytes(8))
        self.assertIsNone(Trace.from_headers(zero))
        self.assertIsNone(Trace.from_headers({**zero, "trace_id": b"x"}))

    def test_repr(self):
        """It shows in logs."""
        self.assertEqual(repr(Trace(255, 1)), "Trace(0xff, 0x1, 0x0)")
