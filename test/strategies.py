# -*- test-case-name: cocained.test.test_rpc_codec,cocained.test.test_rpc_session -*-
"""
What hypothesis may try: wire values, frames, and ways to cut bytes in pieces.

Values come as *pairs*: what one packs, and what the decoder is to give for it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from cocained.rpc.codec import Pairs, encode, pack
from cocained.rpc.headers import NO_TRACE, Header, encode_trace


def octets(max_size: int) -> SearchStrategy[bytes]:
    """
    Bytes, up to *max_size* of them.

    Not simply ``binary``: an empty draw has the hash of 0, so that hypothesis
    would compare the two when it looks for draws it has seen, which is an error
    under ``-bb``.
    """
    return st.just(b"") | st.binary(min_size=1, max_size=max_size)


#: What an unsigned number on the wire may be.
UNSIGNED = st.integers(0, 2**64 - 1)

#: Numbers around each change of msgpack's own forms.
EDGES = st.sampled_from(
    [
        edge + offset
        for edge in (0x20, 0x80, 0x100, 0x10000, 0x100000000, 2**63)
        for offset in (-1, 0, 1)
    ]
)


#: Leaves, as packed and as decoded.
LEAVES: SearchStrategy[tuple[Any, Any]] = st.one_of(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        EDGES,
        st.floats(allow_nan=False),
        octets(300),
    ).map(lambda value: (value, value)),
    # Text is made of bytes: hypothesis would compare the two kinds, which is a
    # warning.
    octets(40).map(lambda value: (value.decode("utf-8", "surrogateescape"), value)),
)


def _containers(
    inner: SearchStrategy[tuple[Any, Any]],
) -> SearchStrategy[tuple[Any, Any]]:
    lists = st.lists(inner, max_size=18).map(
        lambda items: ([packed for packed, _ in items], [given for _, given in items])
    )
    # One type of key per map: to compare bytes with numbers is a warning.
    maps = st.one_of(
        st.dictionaries(st.integers(0, 70000), inner, max_size=18),
        st.dictionaries(octets(9), inner, max_size=18),
    ).map(
        lambda items: (
            {key: packed for key, (packed, _) in items.items()},
            Pairs((key, given) for key, (_, given) in items.items()),
        )
    )
    return lists | maps


#: Any value, as packed and as decoded.
VALUES: SearchStrategy[tuple[Any, Any]] = st.recursive(
    LEAVES, _containers, max_leaves=12
)

#: Header lists as a receiver sees them.
HEADERS: SearchStrategy[list[Header]] = st.lists(
    st.tuples(
        st.sampled_from([b"x-a", b"authorization", b"request_timeout", b""]),
        octets(40),
    ),
    max_size=4,
)


class Sample(NamedTuple):
    """A frame: its bytes, and what the decoder is to give for them."""

    data: bytes
    frame: list[Any]


@st.composite
def frames(draw: DrawFn) -> Sample:
    """A frame of ours, four elements; or one of a client, with three or five."""
    channel, kind = draw(UNSIGNED | EDGES), draw(UNSIGNED | EDGES)
    args = draw(st.lists(VALUES, max_size=4))
    packed = [value for value, _ in args]
    given = [value for _, value in args]
    size = draw(st.sampled_from((3, 4, 5)))
    if size == 4:
        headers = NO_TRACE.headers() + draw(HEADERS)
        listed = [[False, name, value] for name, value in headers]
        data = encode(channel, kind, packed, encode_trace(NO_TRACE, headers[3:]))
        return Sample(data, [channel, kind, given, listed])
    rest = [[], b"more"][: size - 3]
    return Sample(pack([channel, kind, packed, *rest]), [channel, kind, given, *rest])


#: Bytes of a packet of several frames, with the frames.
PACKETS: SearchStrategy[list[Sample]] = st.lists(frames(), min_size=1, max_size=6)


def cuts(size: int) -> SearchStrategy[list[int]]:
    """Places at which to cut *size* bytes, empty pieces among them."""
    return st.lists(st.integers(0, size), max_size=12).map(sorted)


def pieces(data: bytes, places: list[int]) -> list[bytes]:
    """Cut *data* at *places*."""
    edges = [0, *places, len(data)]
    return [data[at:end] for at, end in pairwise(edges)]


def one_by_one(data: bytes) -> list[bytes]:
    """Cut *data* into single bytes."""
    return pieces(data, list(range(1, len(data))))


#: Every way in which msgpack announces *size* bytes or elements: a name, the
#: first byte, and how the size is written.
_SIZED: tuple[tuple[str, int, str], ...] = (
    ("bin8", 0xC4, ">B"),
    ("bin16", 0xC5, ">H"),
    ("bin32", 0xC6, ">I"),
    ("ext8", 0xC7, ">B"),
    ("ext16", 0xC8, ">H"),
    ("ext32", 0xC9, ">I"),
    ("str8", 0xD9, ">B"),
    ("raw16", 0xDA, ">H"),
    ("raw32", 0xDB, ">I"),
    ("array16", 0xDC, ">H"),
    ("array32", 0xDD, ">I"),
    ("map16", 0xDE, ">H"),
    ("map32", 0xDF, ">I"),
)


def header_of(family: str) -> Callable[[int], bytes]:
    """Write the header of one family, for any size that it can hold."""
    first, form = {name: (first, form) for name, first, form in _SIZED}[family]
    return lambda size: bytes((first,)) + struct.pack(form, size)


#: The families whose sizes have four bytes: they can claim 4 GiB.
HUGE_FAMILIES = tuple(name for name, _, form in _SIZED if form == ">I")

#: Those that can claim 64 Ki elements.
LONG_FAMILIES = ("array16", "array32", "map16", "map32")

#: Scalars that fill their size, for each first byte that has one.
SCALARS = tuple(
    bytes((first,)) + bytes(size)
    for first, size in {
        0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8,
        0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8,
        0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17,
        0xC0: 0, 0xC2: 0, 0xC3: 0, 0x00: 0, 0x7F: 0, 0xE0: 0, 0xFF: 0,
    }.items()
)  # fmt: skip
