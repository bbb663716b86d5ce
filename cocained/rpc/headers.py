# -*- test-case-name: cocained.test.test_rpc_headers -*-
"""
Header lists of frames, and the trace they carry (protocol.md §1.5).

On input every form is understood: table entries, literals, literals to be
stored.  The table belongs to the connection, so the headers of *every* frame
are decoded, in order.  On output there are literals only, traces first.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from cocained.errors import CocainedError, RemoteProtocolError, TransportCode
from cocained.rpc.codec import pack

Header = tuple[bytes, bytes]
Headers = list[Header]

#: Size of the dynamic table in bytes, each entry counted with 32 more.
TABLE_SIZE = 4096
ENTRY_OVERHEAD = 32

#: Most headers in one frame; clients send up to ten.
HEADER_LIMIT = 256

#: Most bytes of all names and values that one frame's headers may hold.
HEADER_BYTES_LIMIT = 65536

#: Index of the first dynamic entry.
DYNAMIC = 83

_PLAIN_NAMES = (
    "accept-language accept-ranges accept access-control-allow-origin age allow"
    " authorization cache-control content-disposition content-encoding"
    " content-language content-length content-location content-range content-type"
    " cookie date etag expect expires from host if-match if-modified-since"
    " if-none-match if-range if-unmodified-since last-modified link location"
    " max-forwards proxy-authenticate proxy-authorization range referer refresh"
    " retry-after server set-cookie strict-transport-security transfer-encoding"
    " user-agent vary via www-authenticate"
)

_ZERO = bytes(8)


def _static_table() -> tuple[Header, ...]:
    table: list[Header] = [
        (b"", b""),  # index 0 is never valid
        (b":authority", b""),
        (b":method", b"GET"),
        (b":method", b"POST"),
        (b":path", b"/"),
        (b":path", b"/index.html"),
        (b":scheme", b"http"),
        (b":scheme", b"https"),
    ]
    table += [
        (b":status", status)
        for status in (b"200", b"204", b"206", b"304", b"400", b"404", b"500")
    ]
    table += [(b"accept-charset", b""), (b"accept-encoding", b"gzip, deflate")]
    table += [(name.encode(), b"") for name in _PLAIN_NAMES.split()]
    table += [(b"", b"")] * (80 - len(table))
    table += [(b"trace_id", _ZERO), (b"span_id", _ZERO), (b"parent_id", _ZERO)]
    return tuple(table)


STATIC = _static_table()

#: Names that never are forwarded as they came: the trace has its own place.
_TRIO = (b"trace_id", b"span_id", b"parent_id")
TRACE_NAMES = frozenset(_TRIO)


def _refuse(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(reason, TransportCode.HPACK)


class HeaderTable:
    """The decoding table of one direction of one connection."""

    __slots__ = ("_entries", "_size")

    def __init__(self) -> None:
        self._entries: deque[Header] = deque()  # newest first, as in the RFC
        self._size = 0

    def decode(self, items: Any) -> list[Header]:
        """
        Decode the fourth element of a frame.

        :raises RemoteProtocolError: it is no header list.  The tables of both
            sides differ from then on, so the connection cannot go on.
        """
        if type(items) is not list:
            raise RemoteProtocolError("the headers of a frame are no array")
        if len(items) > HEADER_LIMIT:
            raise _refuse(f"a frame has more than {HEADER_LIMIT} headers")
        headers = [self._decode_one(item) for item in items]
        if sum(len(name) + len(value) for name, value in headers) > HEADER_BYTES_LIMIT:
            raise _refuse(f"headers of a frame exceed {HEADER_BYTES_LIMIT} bytes")
        return headers

    def _decode_one(self, item: Any) -> Header:
        if type(item) is int:
            return self._entry(item)
        if type(item) is not list or len(item) != 3:
            raise _refuse("a header is neither an index nor of three elements")
        store, name, value = item
        if type(name) is int:
            name = self._entry(name)[0]
        if type(store) is not bool or type(name) is not bytes:
            raise _refuse("a header literal is not [bool, name, value]")
        if type(value) is not bytes:
            raise _refuse("the value of a header is no string")
        header = (name, value)
        if store:
            self._store(header)
        return header

    def _entry(self, index: int) -> Header:
        if 0 < index < DYNAMIC:
            return STATIC[index]
        if DYNAMIC <= index < DYNAMIC + len(self._entries):
            return self._entries[index - DYNAMIC]
        raise _refuse(f"header index {index} is in no table")

    def _store(self, header: Header) -> None:
        size = len(header[0]) + len(header[1]) + ENTRY_OVERHEAD
        while self._entries and self._size + size > TABLE_SIZE:
            name, value = self._entries.pop()
            self._size -= len(name) + len(value) + ENTRY_OVERHEAD
        if size <= TABLE_SIZE:
            self._entries.appendleft(header)
            self._size += size


class InvalidTrace(CocainedError):
    """The three trace headers of a request contradict each other."""


class Trace(NamedTuple):
    """
    Where a request belongs in a tree of requests.

    Each is an unsigned 64-bit number; all are 0 when there is no trace.
    """

    trace: int = 0
    span: int = 0
    parent: int = 0

    @classmethod
    def from_headers(cls, headers: Iterable[Header]) -> Trace:
        """
        Find the trace of a request.

        :returns: no trace unless all three headers are there.
        :raises InvalidTrace: values that are not 8 bytes, or a trace without
            a span (protocol.md §1.5).
        """
        found = {name: value for name, value in headers if name in TRACE_NAMES}
        if len(found) < 3:
            return NO_TRACE
        if any(len(value) != 8 for value in found.values()):
            raise InvalidTrace("a trace header is not 8 bytes long")
        trace = cls(
            *(
                int.from_bytes(found[name], "little")
                for name in (b"trace_id", b"span_id", b"parent_id")
            )
        )
        if trace.trace == 0 and (trace.span or trace.parent):
            raise InvalidTrace("a span or parent without a trace")
        if trace.trace and not trace.span:
            raise InvalidTrace("a trace without a span")
        return trace

    def child(self, span: int) -> Trace:
        """
        The trace of a request made on behalf of this one.

        :param span: a new number of 1…2⁶³-2; ignored when there is no trace.
        """
        return Trace(self.trace, span, self.span) if self.trace else self

    def headers(self) -> list[Header]:
        """The three headers, in the order in which the original writes them."""
        pack_number = struct.Struct("<Q").pack
        return [
            (b"trace_id", pack_number(self.trace)),
            (b"span_id", pack_number(self.span)),
            (b"parent_id", pack_number(self.parent)),
        ]


NO_TRACE = Trace()


def encode_headers(headers: Iterable[Header]) -> bytes:
    """Pack *headers* as literals that are not to be stored."""
    return pack([[False, name, value] for name, value in headers])


def encode_trace(trace: Trace, more: Iterable[Header] = ()) -> bytes:
    """
    Pack the header list of a frame of ours.

    :param more: what is forwarded; trace headers among it are left out.
    """
    rest = [header for header in more if header[0] not in TRACE_NAMES]
    return encode_headers(trace.headers() + rest)


#: The header list of every frame that belongs to no trace: 61 bytes.
UNTRACED = encode_trace(NO_TRACE)


def is_untraced(items: Any) -> bool:
    """
    Say whether a frame's headers say nothing: :data:`UNTRACED`, unpacked.

    They touch no table, and each frame between two nodes has them.

    :param items: the fourth element of a frame, whatever it is.
    """
    if type(items) is not list or len(items) != 3:
        return False
    for item, name in zip(items, _TRIO, strict=True):
        if type(item) is not list or len(item) != 3:
            return False
        store, key, value = item
        # Types first: the names of others may be numbers.
        if store is not False or type(key) is not bytes or type(value) is not bytes:
            return False
        if key != name or value != _ZERO:
            return False
    return True


def reply_headers(headers: Iterable[Header]) -> bytes:
    """
    The packed headers for answers to a request that came with *headers*.

    :raises InvalidTrace: see :meth:`Trace.from_headers`.
    """
    trace = Trace.from_headers(headers)
    return encode_trace(trace) if trace.trace else UNTRACED
