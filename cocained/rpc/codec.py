# -*- test-case-name: cocained.test.test_rpc_codec -*-
"""
Bytes to frames and back, bounded and incremental.

A frame is a msgpack array ``[channel, kind, [args…], [headers…]?]`` with no
length in front (protocol.md §1.2).  The C ``Unpacker`` takes whole frames
apart; a frame that does not end with the read, or that has a long array, is
outlined by :class:`Outline` first, which looks at msgpack's own headers only,
so that a claim beyond the limits is refused when its header arrives and not
when memory for it has been taken.
"""

from __future__ import annotations

import os
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

#: Most elements of one array or map in a frame that is not outlined.  With
#: :data:`DEPTH_LIMIT` of them in each other, as no honest frame has them, the
#: unpacker allocates 8 MiB for a moment.
SHORT_ARRAY = 1024

#: Deepest nesting; the C unpacker has a stack of this many entries.
DEPTH_LIMIT = 1024

#: First allocation of an unpacker; it grows as frames ask for it.
_UNPACKER_BUFFER = 16384

#: Unpackers kept for the next one who needs one, for each pair of limits.
#: A fresh one is cleared memory of 44 KiB: more than a cache of first level.
#: None of them holds part of a frame.
SPARE = 4
_SPARES: dict[tuple[int, int], list[msgpack.Unpacker]] = {}

#: A string of ours that is fed behind the data, and nobody else can know: what a
#: peer can send as well would hide that its last frame has not ended.
_MARK = os.urandom(16)
_PACKED_MARK = b"\xb0" + _MARK

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

    @property
    def finished(self) -> bool:
        """Whether the last byte of the frame has been seen."""
        return self._done and not self._skip

    def feed(self, data: bytes) -> int:
        """
        Look at the next bytes.

        :returns: how many of them belong to the frame.
        :raises RemoteProtocolError: it claims more than is allowed.
        """
        size = len(data)
        if self._done:
            taken = min(self._skip, size)
            self._skip -= taken
            return taken
        carried = len(self._carry)
        if carried:
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
                return size
            payload, children = _measure(first, data[at + 1 : at + 1 + width])
            at += 1 + width + payload
            self.claimed += 1 + width + payload
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
                self._skip = max(0, at - end)
                return min(at, end) - carried
        self._skip = at - end
        return size

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
        "_frame_limit",
        "_outline",
        "_short_array",
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
        self._short_array = min(SHORT_ARRAY, array_limit)
        # Both belong to one frame that has begun and not ended.
        self._outline: Outline | None = None
        self._unpacker: msgpack.Unpacker | None = None
        self._spare = _SPARES.setdefault((frame_limit, array_limit), [])
        #: what was wrong with the bytes; nothing is decoded after it
        self.fault: RemoteProtocolError | None = None

    @property
    def waiting(self) -> bool:
        """Whether part of a frame has arrived and the rest has not."""
        return self._outline is not None

    def decode(self, data: bytes) -> list[Frame]:
        """
        Take the next bytes.

        :returns: the values completed by them, in order; their shape has not
            been looked at.  Look at :attr:`fault` afterwards: values in front
            of a fault are still good.
        """
        frames: list[Frame] = []
        at = 0
        size = len(data)
        try:
            while at < size and self.fault is None:
                if self._outline is not None:
                    at += self._decode_outlined(data[at:] if at else data, frames)
                elif size <= PIECE and not at:
                    at += self._decode_whole(data, frames)
                else:
                    at += self._decode_whole(data[at : at + PIECE], frames)
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

    def _decode_whole(self, data: bytes, frames: list[Frame]) -> int:
        """
        Take frames that lie within *data*.

        Data nearly always end where a frame does.  To ask the unpacker after
        each frame where it is would cost a third of the decoding, so a mark of
        ours behind the data tells: it comes out last and by itself, or the
        data end within a frame or are at fault.
        """
        spare = self._spare
        unpacker = spare.pop() if spare else self._new_unpacker(self._short_array)
        unpacker.feed(data)
        unpacker.feed(_PACKED_MARK)
        try:
            whole = list(unpacker)
        except (ValueError, TypeError, msgpack.UnpackException):
            return self._decode_some(data, frames)
        if not whole or type(whole[-1]) is not bytes or whole[-1] != _MARK:
            return self._decode_some(data, frames)
        if len(spare) < SPARE:
            spare.append(unpacker)
        whole.pop()
        frames += whole
        return len(data)

    def _decode_some(self, data: bytes, frames: list[Frame]) -> int:
        """Take frames that lie within *data*; begin to outline what follows."""
        unpacker = self._new_unpacker(self._short_array)
        unpacker.feed(data)
        taken = 0
        try:
            for frame in unpacker:
                frames.append(frame)
                taken = unpacker.tell()
        except (ValueError, TypeError, msgpack.UnpackException):
            # A long array, perhaps.  If it is worse, the same comes again.
            pass
        if taken < len(data):
            self._outline = Outline(self._frame_limit)
            self._unpacker = self._new_unpacker(self._array_limit)
        return taken

    def _decode_outlined(self, data: bytes, frames: list[Frame]) -> int:
        """Take what belongs to the frame that is being outlined."""
        outline, unpacker = self._outline, self._unpacker
        assert outline is not None and unpacker is not None
        taken = outline.feed(data)
        unpacker.feed(data if taken == len(data) else data[:taken])
        frames.extend(unpacker)
        if outline.finished:
            self._outline = self._unpacker = None
        return taken

    def _new_unpacker(self, array_limit: int) -> msgpack.Unpacker:
        return msgpack.Unpacker(
            raw=True,
            strict_map_key=False,
            object_pairs_hook=Pairs,
            max_buffer_size=self._frame_limit + PIECE,
            max_array_len=array_limit,
            max_map_len=array_limit,
            read_size=_UNPACKER_BUFFER,
        )

    def _fail(self, error: RemoteProtocolError) -> None:
        self.fault = error
        self._outline = self._unpacker = None


#: ``uint`` for small numbers, by far the most frequent ones.
_SMALL = tuple(bytes((n,)) for n in range(0x80)) + tuple(
    bytes((0xCC, n)) for n in range(0x80, 0x100)
)

_UINT16 = struct.Struct(">BH").pack
_UINT32 = struct.Struct(">BI").pack
_UINT64 = struct.Struct(">BQ").pack


#: Payloads of so many bytes are sent in pieces, not copied into one.
LARGE = 4096

#: What stands in front of raw strings of fewer than :data:`LARGE` bytes.
RAW_HEADS = tuple(
    bytes((0xA0 | n,)) if n < 32 else _UINT16(0xDA, n) for n in range(LARGE)
)


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
    if size < LARGE:
        return RAW_HEADS[size]
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
