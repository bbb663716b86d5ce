# -*- test-case-name: cocained.test.test_fuzz -*-
"""
Header tables: what a peer may do to the one of its connection.

An input is msgpack values in a row, each the header list of one frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cocained.errors import RemoteProtocolError, TransportCode
from cocained.rpc.codec import Decoder, pack, unpack
from cocained.rpc.headers import (
    DYNAMIC,
    ENTRY_OVERHEAD,
    HEADER_BYTES_LIMIT,
    HEADER_LIMIT,
    STATIC,
    TABLE_SIZE,
    TRACE_NAMES,
    Header,
    HeaderTable,
    InvalidTrace,
    Trace,
    encode_headers,
    encode_trace,
    reply_headers,
)
from cocained.test.fuzz.targets import Target, law
from cocained.test.fuzz.wire import worked_frames


class PlainTable:
    """The table as its specification says it: a list, newest first."""

    def __init__(self) -> None:
        self.entries: list[Header] = []

    def decode(self, items: list[Any]) -> list[Header]:
        """Decode a list that is known to be good."""
        return [self._one(item) for item in items]

    def _one(self, item: Any) -> Header:
        if isinstance(item, int):
            return self._entry(item)
        stored, name, value = item
        header = (self._entry(name)[0] if isinstance(name, int) else name, value)
        if stored:
            self.entries.insert(0, header)
            while self.size > TABLE_SIZE:
                self.entries.pop()
        return header

    def _entry(self, index: int) -> Header:
        return STATIC[index] if index < DYNAMIC else self.entries[index - DYNAMIC]

    @property
    def size(self) -> int:
        """Bytes, counted as RFC 7541 does (§4.1)."""
        return sum(
            len(name) + len(value) + ENTRY_OVERHEAD for name, value in self.entries
        )


def check(data: bytes, make: type[HeaderTable] = HeaderTable) -> None:
    """
    Take one input.

    :param make: the table, or one with a fault of its own.
    """
    table, plain = make(), PlainTable()
    for items in Decoder().decode(data):
        try:
            headers = table.decode(items)
        except RemoteProtocolError as error:
            law(
                error.code in (TransportCode.HPACK, TransportCode.FRAME_FORMAT),
                "a list that is refused has a code for it",
                error,
            )
            return
        law(headers == plain.decode(items), "tables keep what was stored", headers)
        law(
            _entries(table) == plain.entries,
            "tables keep the same entries",
            plain.entries,
        )
        law(len(headers) <= HEADER_LIMIT, "headers are counted")
        size = sum(len(name) + len(value) for name, value in headers)
        law(size <= HEADER_BYTES_LIMIT, "bytes of headers are counted", size)
        _forward(headers)


def _entries(table: HeaderTable) -> list[Header]:
    """Ask a table for its entries, one by one and over the wire's own way."""
    found: list[Header] = []
    while True:
        try:
            found += table.decode([DYNAMIC + len(found)])
        except RemoteProtocolError:
            return found


def _forward(headers: list[Header]) -> None:
    """State that headers survive being sent on, and answered to."""
    law(
        HeaderTable().decode(unpack(encode_headers(headers))) == headers,
        "headers survive being sent",
        headers,
    )
    try:
        trace = Trace.from_headers(headers)
    except InvalidTrace:
        trace = Trace()
    else:
        answer = HeaderTable().decode(unpack(reply_headers(headers)))
        law(Trace.from_headers(answer) == trace, "an answer has the trace", trace)
    sent = HeaderTable().decode(unpack(encode_trace(trace, headers)))
    law(sent[:3] == trace.headers(), "the trace comes first", sent)
    rest = [header for header in headers if header[0] not in TRACE_NAMES]
    law(sent[3:] == rest, "the other headers follow in order", sent)


def seeds() -> Iterable[bytes]:
    """Lists of the worked frames, of the published clients, and some of ours."""
    lists = [
        pack(decoded[3])
        for frame in worked_frames()
        for decoded in Decoder().decode(frame)
        if len(decoded) > 3
    ]
    yield from dict.fromkeys(lists)
    number = bytes(range(8))
    traced = [[False, 80 + place, number] for place in range(3)]
    yield pack(traced)
    yield pack([[True, b"x", b"y"]]) + pack([DYNAMIC, [True, DYNAMIC, b"z"]])
    yield pack([1, 2, 3, 80, 81, 82])
    full = [[True, b"n%d" % number, bytes(300)] for number in range(20)]
    yield b"".join(pack([each]) for each in full)
    yield pack([[True, b"n", bytes(1500)]]) * 3
    for index in (0, DYNAMIC, 2**63):
        yield pack([index])
    yield pack([[True, 1, b"v"]]) + pack([DYNAMIC])
    yield pack([1] * (HEADER_LIMIT + 1))


TARGET = Target(
    run=check,
    seeds=seeds,
    words=(*TRACE_NAMES, b"\x93\xc3", b"\x93\xc2", b"\xa8", bytes([DYNAMIC])),
    size=8192,
)
