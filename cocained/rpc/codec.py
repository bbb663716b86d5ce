# -*- test-case-name: cocained.test.test_rpc_codec -*-
"""
Bytes to frames and back, bounded and incremental.

A frame is a msgpack array ``[channel, kind, [args…], [headers…]?]`` with no
length in front (protocol.md §1.2).  The C ``Unpacker`` takes whole frames
apart; what is left at the end of a read, the *tail*, is outlined by
:class:`Outline`, which looks at msgpack's own headers only, so that a claim
beyond the limits is refused when its header arrives and not when it has been
buffered.
"""

from __future__ import annotations

import struct
from typing import Any

import msgpack

from cocained.errors import RemoteProtocolError, TransportCode

#: Most bytes handed to the unpacker at once: Twisted's own read size.  No
#: frame that lies whole within one piece can exceed :data:`MIN_FRAME_LIMIT`.
PIECE = 65536

#: A smaller frame limit would refuse what one read may hold.
MIN_FRAME_LIMIT = PIECE

#: Default for the largest frame: app archives travel in one ``write``.
FRAME_LIMIT = 128 * 1024 * 1024

#: Most values in one frame, claimed or present; no fewer than a piece can hold.
VALUE_LIMIT = 4 * PIECE

#: Most elements of one array or map on a connection that others open to us.
#: The unpacker allocates eight bytes per claimed element at once.
ARRAY_LIMIT = 16384

#: Deepest nesting; the C unpacker has a stack of this many entries.
DEPTH_LIMIT = 1024

#: First allocation of an unpacker; it grows as frames ask for it.
_UNPACKER_BUFFER = 16384

#: Unpackers kept for the next one who needs one, for each pair of limits.
#: A fresh one is cleared memory of 44 KiB: more than a cache of first level.
SPARE = 4
_SPARES: dict[tuple[int, int], list[msgpack.Unpacker]] = {}

Frame = Any


class Pairs(tuple[tuple[Any, Any], ...]):
    """
    A msgpack map as its pairs, in the order sent.

    Not a ``dict``: keys of the wire may be unhashable, and colliding keys
    would cost quadratic time.
    """

    __slots__ = ()


class Outline:
    """
    Follows the headers of one unfinished frame.

    :param frame_limit: most bytes that the frame may claim.
    """

    __slots__ = ("_carry", "_done", "_limit", "_open", "_skip", "claimed", "values")

    def __init__(self, frame_limit: int) -> None:
        self._limit = frame_limit
        self._open: list[int] = []
        self._skip = 0
        self._carry = b""
        self._done = False
        #: bytes claimed so far, present or announced
        self.claimed = 0
        #: values claimed so far, present or announced
        self.values = 1

    def feed(self, data: bytes) -> None:
        """
        Look at the next bytes, as far as they belong to the frame.

        :raises RemoteProtocolError: it claims more than is allowed.
        """
        if self._done:
            return
        if self._carry:
            data = self._carry + data
            self._carry = b""
        at = self._skip
        end = len(data)
        while at < end:
            first = data[at]
            width = _WIDTHS[first]
            if at + 1 + width > end:
                self._carry = data[at:]
                self._skip = 0
                return
            size, children = _measure(first, data[at + 1 : at + 1 + width])
            at += 1 + width + size
            self.claimed += 1 + width + size
            self.values += children
            if self.claimed > self._limit:
                raise RemoteProtocolError(
                    f"a frame claims {self.claimed} bytes or more, "
                    f"the limit is {self._limit}"
                )
            if self.values > VALUE_LIMIT:
                raise RemoteProtocolError(
                    f"a frame claims {self.values} values or more, "
                    f"the limit is {VALUE_LIMIT}"
                )
            if self._closes(children):
                # All headers are known; what is left is one string's body.
                self._done = True
                return
        self._skip = at - end

    def _closes(self, children: int) -> bool:
        """Count one value; say whether the frame ends with it."""
        stack = self._open
        if children:
            if len(stack) >= DEPTH_LIMIT:
                raise RemoteProtocolError(
                    f"a frame nests deeper than {DEPTH_LIMIT} levels",
                    TransportCode.PARSE,
                )
            stack.append(children)
            return False
        while stack:
            stack[-1] -= 1
            if stack[-1]:
                return False
            stack.pop()
        return True


def _widths() -> tuple[int, ...]:
    """Bytes of length that follow each first byte, scalars included."""
    table = [0] * 256
    for first, width in {
        0xC4: 1, 0xC5: 2, 0xC6: 4,
        0xC7: 1, 0xC8: 2, 0xC9: 4,
        0xD9: 1, 0xDA: 2, 0xDB: 4,
        0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4,
    }.items():  # fmt: skip
        table[first] = width
    return tuple(table)


_WIDTHS = _widths()

#: Payload bytes of scalars with a size of their own (fixext: type and data).
_SCALARS = {
    0xCA: 4, 0xCB: 8,
    0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8,
    0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8,
    0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17,
}  # fmt: skip


def _measure(first: int, length: bytes) -> tuple[int, int]:
    """Give the payload bytes and the number of children of one value."""
    if length:
        number = int.from_bytes(length, "big")
        if first in (0xDC, 0xDD):
            return 0, number
        if first in (0xDE, 0xDF):
            return 0, 2 * number
        return number + (0xC7 <= first <= 0xC9), 0
    if 0xA0 <= first <= 0xBF:
        return first & 0x1F, 0
    if 0x90 <= first <= 0x9F:
        return 0, first & 0x0F
    if 0x80 <= first <= 0x8F:
        return 0, 2 * (first & 0x0F)
    return _SCALARS.get(first, 0), 0


class Decoder:
    """
    Turns the bytes of one connection into frames.

    A decoder that waits for nothing holds no buffer: an unpacker weighs 44 KiB
    and an idle connection should not.

    :param frame_limit: largest frame in bytes, at least
        :data:`MIN_FRAME_LIMIT`.
    :param array_limit: most elements of one array or map.
    """

    __slots__ = (
        "_array_limit",
        "_fed",
        "_frame_limit",
        "_outline",
        "_spare",
        "_unpacker",
        "fault",
    )

    def __init__(
        self, frame_limit: int = FRAME_LIMIT, array_limit: int = ARRAY_LIMIT
    ) -> None:
        if frame_limit < MIN_FRAME_LIMIT:
            raise ValueError(f"frame limit below {MIN_FRAME_LIMIT}: {frame_limit}")
        self._frame_limit = frame_limit
        self._array_limit = array_limit
        self._unpacker: msgpack.Unpacker | None = None
        self._outline: Outline | None = None
        self._fed = 0
        self._spare = _SPARES.setdefault((frame_limit, array_limit), [])
        #: what was wrong with the bytes; nothing is decoded after it
        self.fault: RemoteProtocolError | None = None

    @property
    def waiting(self) -> bool:
        """Whether part of a frame has arrived and the rest has not."""
        return self._unpacker is not None

    def decode(self, data: bytes) -> list[Frame]:
        """
        Take the next bytes.

        :returns: the values completed by them, in order; their shape has not
            been looked at.  Look at :attr:`fault` afterwards: values in front
            of a fault are still good.
        """
        if len(data) <= PIECE:
            return self._decode(data)
        frames: list[Frame] = []
        for start in range(0, len(data), PIECE):
            frames += self._decode(data[start : start + PIECE])
        return frames

    def _decode(self, data: bytes) -> list[Frame]:
        frames: list[Frame] = []
        if self.fault is not None:
            return frames
        unpacker = self._unpacker
        try:
            if unpacker is None:
                unpacker = self._take_unpacker()
            elif self._outline is not None:
                self._outline.feed(data)
            unpacker.feed(data)
            append = frames.append
            tell = unpacker.tell
            end = self._fed
            self._fed += len(data)
            for frame in unpacker:
                append(frame)
                end = tell()
            tail = self._fed - end
            if not tail:
                # One that has seen a large frame keeps a large buffer.
                if self._outline is None and len(self._spare) < SPARE:
                    self._spare.append(unpacker)
                self._unpacker = self._outline = None
            elif frames or self._outline is None:
                self._outline = Outline(self._frame_limit)
                self._outline.feed(data[-tail:])
        except RemoteProtocolError as error:
            self._fail(error)
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            self._fail(
                RemoteProtocolError(
                    f"these bytes are no msgpack that can be accepted: "
                    f"{type(error).__name__} {error}".rstrip(),
                    TransportCode.PARSE,
                )
            )
        return frames

    def _take_unpacker(self) -> msgpack.Unpacker:
        if self._spare:
            unpacker = self._spare.pop()
            self._fed = unpacker.tell()
        else:
            unpacker = self._new_unpacker()
            self._fed = 0
        self._unpacker = unpacker
        return unpacker

    def _new_unpacker(self) -> msgpack.Unpacker:
        return msgpack.Unpacker(
            raw=True,
            strict_map_key=False,
            object_pairs_hook=Pairs,
            max_buffer_size=self._frame_limit + PIECE,
            max_array_len=self._array_limit,
            max_map_len=self._array_limit,
            read_size=_UNPACKER_BUFFER,
        )

    def _fail(self, error: RemoteProtocolError) -> None:
        self.fault = error
        self._unpacker = self._outline = None


#: ``uint`` for small numbers, by far the most frequent ones.
_SMALL = tuple(bytes((n,)) for n in range(0x80)) + tuple(
    bytes((0xCC, n)) for n in range(0x80, 0x100)
)

#: Heads of raw strings that have a length in one byte.
_RAW_HEADS = tuple(bytes((0xA0 | n,)) for n in range(32))

_UINT16 = struct.Struct(">BH").pack
_UINT32 = struct.Struct(">BI").pack
_UINT64 = struct.Struct(">BQ").pack


def uint(number: int) -> bytes:
    """Pack an integer of 0…2⁶⁴-1."""
    if number < 0x100:
        return _SMALL[number]
    if number < 0x10000:
        return _UINT16(0xCD, number)
    if number < 0x100000000:
        return _UINT32(0xCE, number)
    return _UINT64(0xCF, number)


def raw_head(size: int) -> bytes:
    """What stands in front of a raw string of *size* bytes, old family only."""
    if size < 32:
        return _RAW_HEADS[size]
    if size < 0x10000:
        return _UINT16(0xDA, size)
    return _UINT32(0xDB, size)


def pack(value: Any) -> bytes:
    """
    Pack any value the old way: raw strings, no str8, no bin, no ext.

    :raises ValueError, TypeError, OverflowError: it has no such form.
    """
    packed: bytes = msgpack.packb(
        value, use_bin_type=False, unicode_errors="surrogateescape"
    )
    return packed


def unpack(data: bytes) -> Any:
    """
    Unpack one whole value: strings as bytes, maps as :class:`Pairs`.

    :raises RemoteProtocolError: it is none, or there is more behind it.
    """
    try:
        return msgpack.unpackb(
            data, raw=True, strict_map_key=False, object_pairs_hook=Pairs
        )
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise RemoteProtocolError(f"parse error: {error}", TransportCode.PARSE) from (
            error
        )


def frame_head(channel: int) -> bytes:
    """The start of each four-element frame on *channel*."""
    return b"\x94" + uint(channel)


def encode(channel: int, kind: int, args: list[Any], headers: bytes) -> bytes:
    """
    Pack a whole frame.

    :param headers: the packed header list, see :mod:`cocained.rpc.headers`.
    """
    return b"".join((b"\x94", uint(channel), uint(kind), pack(args), headers))
