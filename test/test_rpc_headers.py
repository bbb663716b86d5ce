# -*- test-case-name: cocained.test.test_rpc_headers -*-
"""Tests of :mod:`cocained.rpc.headers`: tables, traces and their forms."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import Category, RemoteProtocolError, TransportCode, to_wire
from cocained.rpc.codec import pack, unpack
from cocained.rpc.headers import (
    DYNAMIC,
    ENTRY_OVERHEAD,
    HEADER_BYTES_LIMIT,
    HEADER_LIMIT,
    NO_TRACE,
    STATIC,
    TABLE_SIZE,
    UNTRACED,
    Header,
    HeaderTable,
    InvalidTrace,
    Trace,
    encode_headers,
    encode_trace,
    is_untraced,
    reply_headers,
)
from cocained.test.strategies import HEADERS, octets

#: The static table as protocol.md §1.5 prints it, column by column.
PRINTED = """
1 :authority
2 :method GET
3 :method POST
4 :path /
5 :path /index.html
6 :scheme http
7 :scheme https
8 :status 200
9 :status 204
10 :status 206
11 :status 304
12 :status 400
13 :status 404
14 :status 500
15 accept-charset
16 accept-encoding gzip, deflate
17 accept-language
18 accept-ranges
19 accept
20 access-control-allow-origin
21 age
22 allow
23 authorization
24 cache-control
25 content-disposition
26 content-encoding
27 content-language
28 content-length
29 content-location
30 content-range
31 content-type
32 cookie
33 date
34 etag
35 expect
36 expires
37 from
38 host
39 if-match
40 if-modified-since
41 if-none-match
42 if-range
43 if-unmodified-since
44 last-modified
45 link
46 location
47 max-forwards
48 proxy-authenticate
49 proxy-authorization
50 range
51 referer
52 refresh
53 retry-after
54 server
55 set-cookie
56 strict-transport-security
57 transfer-encoding
58 user-agent
59 vary
60 via
61 www-authenticate
"""

#: A trace with three different numbers.
TRACED = [
    (b"trace_id", b"\x07" + bytes(7)),
    (b"span_id", b"\x08" + bytes(7)),
    (b"parent_id", b"\x09" + bytes(7)),
]

NUMBERS = st.integers(1, 2**64 - 1)


def literal(name: Any, value: Any, store: Any = True) -> list[Any]:
    return [store, name, value]


class StaticTableTests(SynchronousTestCase):
    """What both sides know from the start."""

    def test_printed_entries(self) -> None:
        """Every index of the printed table gives its name and value."""
        table = HeaderTable()
        lines = PRINTED.strip().splitlines()
        for line in lines:
            number, name, *value = line.split(" ", 2)
            self.assertEqual(
                table.decode([int(number)]),
                [(name.encode(), "".join(value).encode())],
            )
        self.assertEqual(len(lines), 61)

    def test_reserved_entries(self) -> None:
        """The reserved ones are empty."""
        self.assertEqual(
            HeaderTable().decode(list(range(62, 80))), [(b"", b"")] * (80 - 62)
        )

    def test_trace_entries(self) -> None:
        """The last three are the trace of those who have none."""
        self.assertEqual(HeaderTable().decode([80, 81, 82]), NO_TRACE.headers())
        self.assertEqual((len(STATIC), DYNAMIC), (83, 83))

    def test_name_by_index(self) -> None:
        """A literal may take its name from the table."""
        self.assertEqual(
            HeaderTable().decode([[False, 80, b"\x07" + bytes(7)], [False, 23, b"t"]]),
            [TRACED[0], (b"authorization", b"t")],
        )

    def test_large_form_of_an_index(self) -> None:
        """An index in nine bytes, as 0.12.3 writes it, is the same index."""
        packed = b"\x93" + b"".join(
            b"\xcf" + index.to_bytes(8, "big") for index in (80, 81, 82)
        )
        self.assertEqual(HeaderTable().decode(unpack(packed)), NO_TRACE.headers())

    def test_outside(self) -> None:
        """Index 0, negative ones and those beyond the tables are refused."""
        for index in (0, -1, 83, 9999, 2**64 - 1):
            for item in (index, [False, index, b"x"]):
                error = self.assertRaises(
                    RemoteProtocolError, HeaderTable().decode, [item]
                )
                self.assertEqual(error.code, TransportCode.HPACK, item)


class DynamicTableTests(SynchronousTestCase):
    """What one side asks the other to remember."""

    def setUp(self) -> None:
        self.table = HeaderTable()

    def store(self, name: bytes, size: int) -> Header:
        """Store an entry that counts as *size* bytes."""
        header = (name, bytes(size - ENTRY_OVERHEAD - len(name)))
        self.assertEqual(self.table.decode([literal(*header)]), [header])
        return header

    def entries(self) -> list[Header]:
        """All that the table remembers, newest first."""
        found: list[Header] = []
        try:
            while True:
                found += self.table.decode([DYNAMIC + len(found)])
        except RemoteProtocolError:
            return found

    def test_store_and_reuse(self) -> None:
        """A stored header is index 83 from then on, also for its name alone."""
        self.table.decode([literal(b"x-a", b"b")])
        self.assertEqual(
            self.table.decode([83, [False, 83, b"c"]]), [(b"x-a", b"b"), (b"x-a", b"c")]
        )

    def test_within_one_list(self) -> None:
        """It can be used by the next header of the same frame."""
        self.assertEqual(
            self.table.decode([literal(b"x-a", b"b"), 83]), [(b"x-a", b"b")] * 2
        )

    def test_not_stored(self) -> None:
        """A header that is not to be stored is not."""
        self.table.decode([literal(b"x-a", b"b", store=False)])
        self.assertEqual(self.entries(), [])

    def test_newest_first(self) -> None:
        """The newest one has the lowest index, as in the RFC."""
        self.table.decode([literal(b"x-a", b"1"), literal(b"x-b", b"2")])
        self.assertEqual(self.entries(), [(b"x-b", b"2"), (b"x-a", b"1")])

    def test_repeated(self) -> None:
        """Storing the same pair twice takes two places."""
        self.table.decode([literal(b"x-a", b"1")] * 2)
        self.assertEqual(self.entries(), [(b"x-a", b"1")] * 2)

    def test_static_name_stored(self) -> None:
        """A stored literal with a name of the table is stored with that name."""
        self.table.decode([literal(80, b"\x07" + bytes(7))])
        self.assertEqual(self.entries(), [TRACED[0]])

    def test_name_of_an_evicted_entry(self) -> None:
        """The name may come from the very entry that has to go."""
        self.store(b"old", TABLE_SIZE)
        self.assertEqual(self.table.decode([literal(83, b"new")]), [(b"old", b"new")])
        self.assertEqual(self.entries(), [(b"old", b"new")])

    def test_exactly_full(self) -> None:
        """Entries that come to exactly 4096 bytes all stay."""
        first, second = self.store(b"a", 4000), self.store(b"b", 96)
        self.assertEqual(self.entries(), [second, first])

    def test_one_byte_too_many(self) -> None:
        """With one byte more the oldest goes."""
        self.store(b"a", 4000)
        second = self.store(b"b", 97)
        self.assertEqual(self.entries(), [second])

    def test_only_as_many_as_needed(self) -> None:
        """No more entries go than have to."""
        self.store(b"a", 1000)
        rest = [self.store(b"b", 1000), self.store(b"c", 1000), self.store(b"d", 1097)]
        self.assertEqual([name for name, _ in self.entries()], [b"d", b"c", b"b"])
        rest.append(self.store(b"e", 999))
        self.assertEqual(self.entries(), rest[::-1])
        self.store(b"f", 33)
        self.assertEqual(len(self.entries()), 4)

    def test_size_returns(self) -> None:
        """What has gone leaves its room: a hundred rounds fit like the first."""
        for _ in range(100):
            first, second = self.store(b"a", 4000), self.store(b"b", 96)
            self.assertEqual(self.entries(), [second, first])

    def test_fills_the_table(self) -> None:
        """An entry of exactly 4096 bytes is stored, and alone."""
        self.store(b"a", 100)
        entry = self.store(b"b", TABLE_SIZE)
        self.assertEqual(self.entries(), [entry])

    def test_larger_than_the_table(self) -> None:
        """A larger one empties the table and is not stored, but arrives."""
        self.store(b"a", 100)
        self.store(b"b", TABLE_SIZE + 1)
        self.assertEqual(self.entries(), [])
        entry = self.store(b"c", TABLE_SIZE)
        self.assertEqual(self.entries(), [entry])

    @given(st.lists(st.tuples(octets(300), octets(900))))
    def test_model(self, headers: list[Header]) -> None:
        """The table holds the newest entries that fit, whatever is stored."""
        table = HeaderTable()
        model: list[Header] = []
        for header in headers:
            self.assertEqual(table.decode([literal(*header)]), [header])
            model.insert(0, header)
            while sum(len(n) + len(v) + ENTRY_OVERHEAD for n, v in model) > TABLE_SIZE:
                model.pop()
        indices = list(range(DYNAMIC, DYNAMIC + len(model)))
        self.assertEqual(table.decode(indices), model)
        self.assertRaises(RemoteProtocolError, table.decode, [DYNAMIC + len(model)])


class RefusalTests(SynchronousTestCase):
    """What is no header list."""

    def assert_refused(self, items: Any, code: TransportCode) -> None:
        error = self.assertRaises(RemoteProtocolError, HeaderTable().decode, items)
        self.assertEqual((error.category, error.code), (Category.TRANSPORT, code))

    def test_no_list(self) -> None:
        """Anything but an array is a fault of the framing."""
        wrong: tuple[Any, ...] = (None, 0, b"", {}, (), True, 1.5)
        for items in wrong:
            self.assert_refused(items, TransportCode.FRAME_FORMAT)

    def test_bad_items(self) -> None:
        """Each item that has none of the three forms is a fault of the headers."""
        for item in (
            None,
            True,
            1.0,
            b"trace_id",
            [],
            [b"trace_id", b"x"],
            [False, b"a", b"b", b"c"],
            [0, b"a", b"b"],
            [None, b"a", b"b"],
            [False, True, b"b"],
            [False, None, b"b"],
            [False, 1.0, b"b"],
            [False, b"a", 5],
            [False, b"a", None],
            [False, b"a", [b"b"]],
            (False, b"a", b"b"),
        ):
            self.assert_refused([item], TransportCode.HPACK)

    def test_too_many(self) -> None:
        """The number of headers in a frame has a limit."""
        self.assertEqual(len(HeaderTable().decode([1] * HEADER_LIMIT)), HEADER_LIMIT)
        self.assert_refused([1] * (HEADER_LIMIT + 1), TransportCode.HPACK)

    def test_too_long(self) -> None:
        """So has their size, however small they are on the wire."""
        most = HEADER_BYTES_LIMIT - len(b"x-a")
        table = HeaderTable()
        self.assertEqual(len(table.decode([[False, b"x-a", bytes(most)]])), 1)
        self.assert_refused([[False, b"x-a", bytes(most + 1)]], TransportCode.HPACK)
        stored = literal(b"x-a", bytes(TABLE_SIZE - ENTRY_OVERHEAD - 3))
        self.assert_refused([stored, *[83] * 16], TransportCode.HPACK)


class UntracedTests(SynchronousTestCase):
    """Headers that say nothing are recognised without taking them apart."""

    def test_ours(self) -> None:
        """What every frame of a node ends with."""
        self.assertTrue(is_untraced(unpack(UNTRACED)))

    def test_others(self) -> None:
        """Whatever differs says something, or is to be refused."""
        trio = unpack(UNTRACED)
        others: list[Any] = [
            None,
            7,
            [],
            [80, 81, 82],
            [1, 2, 3],
            trio[:2],
            [*trio, trio[0]],
            [*trio[:2], 82],
            [*trio[:2], [False, b"parent_id"]],
            [*trio[:2], [True, b"parent_id", bytes(8)]],
            [*trio[:2], [0, b"parent_id", bytes(8)]],
            [*trio[:2], [False, 82, bytes(8)]],
            [*trio[:2], [False, b"parent_id", 0]],
            [*trio[:2], [False, b"parent_id", bytes(7) + b"\x01"]],
            [*trio[:2], [False, b"parent_id", bytes(7)]],
            [*trio[:2], [False, b"other", bytes(8)]],
            [trio[1], trio[0], trio[2]],
        ]

        for items in others:
            self.assertFalse(is_untraced(items), items)


class TraceTests(SynchronousTestCase):
    """Where a request belongs."""

    def test_little_endian(self) -> None:
        """The three numbers are little-endian."""
        trace = Trace.from_headers([(name, value[::-1]) for name, value in TRACED])
        self.assertEqual(trace, Trace(7 << 56, 8 << 56, 9 << 56))
        self.assertEqual(Trace.from_headers(TRACED), Trace(7, 8, 9))

    @given(NUMBERS, NUMBERS, st.integers(0, 2**64 - 1))
    def test_round_trip(self, trace: int, span: int, parent: int) -> None:
        """A trace that was written is the trace that is read."""
        written = Trace(trace, span, parent)
        self.assertEqual(Trace.from_headers(written.headers()), written)

    def test_incomplete(self) -> None:
        """Two of three headers are no trace, whatever is in them."""
        for missing in range(3):
            some = [h for place, h in enumerate(TRACED) if place != missing]
            self.assertEqual(Trace.from_headers(some), NO_TRACE)
        self.assertEqual(Trace.from_headers([(b"trace_id", b"1")]), NO_TRACE)

    def test_zero(self) -> None:
        """Three zeros are no trace."""
        self.assertEqual(Trace.from_headers(NO_TRACE.headers()), NO_TRACE)

    def test_invalid(self) -> None:
        """Wrong sizes and contradictions fail the request as [12, 22]."""
        for headers in (
            [(name, value[:7]) for name, value in TRACED],
            [(name, value + b"\0") for name, value in TRACED],
            [(name, b"1") for name, _ in TRACED],
            Trace(1, 0, 0).headers(),
            Trace(0, 1, 0).headers(),
            Trace(0, 0, 1).headers(),
        ):
            error = self.assertRaises(InvalidTrace, Trace.from_headers, headers)
            self.assertEqual(to_wire(error)[:2], (12, 22))

    def test_child(self) -> None:
        """A child has the trace, a span of its own, and ours as its parent."""
        self.assertEqual(Trace(7, 8, 9).child(10), Trace(7, 10, 8))
        self.assertEqual(NO_TRACE.child(10), NO_TRACE)


class WritingTests(SynchronousTestCase):
    """What we write: literals, never stored, the trace in front."""

    @given(HEADERS)
    def test_identity(self, headers: list[Header]) -> None:
        """What was written is what is read."""
        packed = encode_headers(headers)
        self.assertEqual(HeaderTable().decode(unpack(packed)), headers)

    @given(HEADERS)
    def test_nothing_is_stored(self, headers: list[Header]) -> None:
        """Reading it leaves the table of the reader as it was."""
        table = HeaderTable()
        table.decode(unpack(encode_headers(headers)))
        self.assertRaises(RemoteProtocolError, table.decode, [DYNAMIC])

    def test_untraced(self) -> None:
        """Answers without a trace carry three zeros in 61 bytes."""
        self.assertEqual(len(UNTRACED), 61)
        self.assertEqual(
            UNTRACED,
            pack(
                [
                    [False, b"trace_id", bytes(8)],
                    [False, b"span_id", bytes(8)],
                    [False, b"parent_id", bytes(8)],
                ]
            ),
        )

    def test_forwarded(self) -> None:
        """Forwarded headers follow the trace; their own trace is left out."""
        more = [(b"x-a", b"1"), *TRACED, (b"authorization", b"2")]
        decoded = HeaderTable().decode(unpack(encode_trace(Trace(1, 2, 3), more)))
        self.assertEqual(
            decoded,
            [*Trace(1, 2, 3).headers(), (b"x-a", b"1"), (b"authorization", b"2")],
        )

    def test_reply(self) -> None:
        """A trace comes back in the answer, nothing else does."""
        self.assertEqual(
            reply_headers([(b"x-a", b"1"), *TRACED]), encode_trace(Trace(7, 8, 9))
        )
        self.assertEqual(reply_headers([(b"x-a", b"1"), TRACED[0]]), UNTRACED)
        self.assertRaises(InvalidTrace, reply_headers, Trace(1, 0, 0).headers())
