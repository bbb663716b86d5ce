# -*- test-case-name: cocained.test.test_rpc_codec -*-
"""
Bytes to frames and back, bounded and incremental.

A frame is a msgpack array ``[channel, kind, [args…], [headers…]?]`` with no
length in front (protocol.md §1.2).  The C ``Unpacker`` takes whole frames
apart.  One that does not end with the read, or that has a long array, is
outlined first (:mod:`cocained.rpc.outline`): a claim beyond the limits is
refused when its header arrives, not when memory for it has been taken.
"""

from __future__ import annotations

import os
import struct
from typing import Any

import msgpack

from cocained.errors import RemoteProtocolError, TransportCode
from cocained.rpc.outline import PIECE, Outline

#: A smaller frame limit would refuse what one read may hold.
MIN_FRAME_LIMIT = PIECE

#: Default for the largest frame: app archives travel in one ``write``.
FRAME_LIMIT = 128 * 1024 * 1024

#: Most elements of one array or map on a connection that others open to us.
#: The unpacker allocates eight bytes per claimed element at once.
ARRAY_LIMIT = 16384

#: Most elements of one array or map in a frame that is not outlined.  With
#: :data:`DEPTH_LIMIT` of them in each other, as no honest frame has them, the
#: unpacker allocates 8 MiB for a moment.
SHORT_ARRAY = 1024

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
        "_is_ragged",
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
        # The last data ended within a frame; the next probably do, too.
        self._is_ragged = False
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
        if self._is_ragged:
            return self._decode_some(data, frames)
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
        self._is_ragged = taken < len(data)
        if self._is_ragged:
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
_HEAD16 = struct.Struct(">BBH").pack


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
    if 0xFF < channel < 0x10000:
        return _HEAD16(0x94, 0xCD, channel)
    return b"\x94" + uint(channel)


def short_head(channel: int) -> bytes:
    """The start of each three-element frame on *channel*."""
    return b"\x93" + uint(channel)


def encode(channel: int, kind: int, args: list[Any], headers: bytes) -> bytes:
    """
    Pack a whole frame.

    :param headers: the packed header list, see :mod:`cocained.rpc.headers`.
    """
    return b"".join((b"\x94", uint(channel), uint(kind), pack(args), headers))
