# -*- test-case-name: cocained.test.test_fuzz -*-
"""
The decoder: one stream of bytes, cut in every way, gives the same frames.

The first byte of an input chooses limits and cuts, the rest is the stream.
"""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterable
from typing import Any

import msgpack

from cocained.errors import RemoteProtocolError
from cocained.rpc.codec import (
    ARRAY_LIMIT,
    MIN_FRAME_LIMIT,
    SHORT_ARRAY,
    Decoder,
    Pairs,
    encode,
)
from cocained.rpc.outline import DEPTH_LIMIT, PIECE, VALUE_LIMIT
from cocained.test.fuzz.targets import Target, law
from cocained.test.fuzz.wire import canonical, worked_frames

#: Bytes that come one by one; the rest comes as one read.
SINGLE = 256

#: Array limits to choose from: that of connections others open to us, one
#: below :data:`SHORT_ARRAY`, and one that inputs reach.
ARRAY_LIMITS = (ARRAY_LIMIT, SHORT_ARRAY - 1, 4, ARRAY_LIMIT)

#: Bits of the first byte.  To measure, or to finish a frame, costs twenty times
#: as much as to look, so that three bits must ask for it.
ARRAYS, PADDED, COSTLY = 0x03, 0x04, 0x38
MEASURED, FINISHED = 0x38, 0x30

#: A frame that fills a piece but for a few bytes, so that the input lies
#: across the place where the decoder cuts by itself.
PADDING = encode(1, 0, [bytes(PIECE - 32)], b"\x90")

#: Bytes of a whole read that may be allocated: SHORT_ARRAY pointers for each
#: level in each of two attempts, and as much again for the rest.
PEAK_LIMIT = 4 * 8 * SHORT_ARRAY * DEPTH_LIMIT

#: Bytes kept by a decoder that waits: a pointer for each value claimed, its
#: unpacker with its stack, and a hundred for each byte that has come.
KEPT_LIMIT = 8 * VALUE_LIMIT + 2 * PIECE
KEPT_PER_BYTE = 100


class Outcome:
    """
    What a decoder made of a stream.

    :param decoder: a fresh one.
    :param reads: the stream.
    """

    def __init__(self, decoder: Decoder, reads: Iterable[bytes]) -> None:
        frames: list[Any] = []
        for read in reads:
            frames += decoder.decode(read)
        self.frames = [canonical(frame) for frame in frames]
        self.fault = decoder.fault
        self.waiting = decoder.waiting
        law(
            self.fault is None or type(self.fault) is RemoteProtocolError,
            "a fault is one of the protocol",
            self.fault,
        )
        law(
            self.fault is None or not self.waiting,
            "nothing is waited for after a fault",
        )

    def same(self, other: Outcome, how: str) -> None:
        """State that *other* came to the same."""
        law(self.frames == other.frames, f"the same frames {how}", self, other)
        law(
            (self.fault is None) == (other.fault is None),
            f"the same bytes are refused {how}",
            self,
            other,
        )
        law(self.waiting == other.waiting, f"waits as well {how}", self, other)

    def __repr__(self) -> str:
        return f"<{len(self.frames)} frames, {self.fault!r}, waits: {self.waiting}>"


def check(data: bytes, make: type[Decoder] = Decoder) -> None:
    """
    Take one input.

    :param make: the decoder, or one with a fault of its own.
    """
    if not data:
        return
    options, stream = data[0], data[1:]
    limit = ARRAY_LIMITS[options & ARRAYS]
    if options & COSTLY == MEASURED:
        _measure(make(MIN_FRAME_LIMIT, limit), stream)
    elif options & COSTLY == FINISHED:
        _finish(make(MIN_FRAME_LIMIT, limit), stream)
    whole = Outcome(make(MIN_FRAME_LIMIT, limit), [stream])
    single = [stream[at : at + 1] for at in range(min(SINGLE, len(stream)))]
    single.append(stream[SINGLE:])
    whole.same(Outcome(make(MIN_FRAME_LIMIT, limit), single), "byte by byte")
    step = 2 + (options >> 6) * 7
    cut = [stream[at : at + step] for at in range(0, len(stream), step)]
    whole.same(Outcome(make(MIN_FRAME_LIMIT, limit), cut), f"by {step} bytes")
    if options & PADDED:
        padded = Outcome(make(MIN_FRAME_LIMIT, limit), [PADDING + stream])
        del padded.frames[:1]
        whole.same(padded, "across the edge of a piece")
    _agree(whole, stream, limit)
    _again(whole, make, limit)


def _agree(outcome: Outcome, stream: bytes, array_limit: int) -> None:
    """State that the msgpack library reads the same, within the limits."""
    unpacker = msgpack.Unpacker(
        raw=True,
        strict_map_key=False,
        object_pairs_hook=Pairs,
        max_array_len=array_limit,
        max_map_len=array_limit,
    )
    unpacker.feed(stream)
    refused = False
    frames = []
    try:
        for frame in itertools.islice(unpacker, len(outcome.frames) + 1):
            frames.append(canonical(frame))
    except (ValueError, TypeError, msgpack.UnpackException):
        refused = True
    if outcome.fault is None:
        law(not refused, "what msgpack refuses is refused", outcome)
        law(frames == outcome.frames, "msgpack reads the same", outcome)
    else:
        law(
            frames[: len(outcome.frames)] == outcome.frames,
            "msgpack reads the same in front of a fault",
            outcome,
        )
        # An outline knows what a frame claims before the library looks.
        limits = ("limit is", "nests deeper")
        law(
            refused or any(limit in outcome.fault.reason for limit in limits),
            "what msgpack takes is refused for a limit only",
            outcome,
        )


def _again(outcome: Outcome, make: type[Decoder], array_limit: int) -> None:
    """State that frames which were decoded can be sent, and decoded again."""
    again = Outcome(make(MIN_FRAME_LIMIT, array_limit), outcome.frames)
    # A float of four bytes is sent with eight: a frame may grow past its limit.
    if again.fault is None:
        law(again.frames == outcome.frames, "decode of encode is identity")
    else:
        law("limit is" in again.fault.reason, "a frame can be sent on", again)


def _measure(decoder: Decoder, stream: bytes) -> None:
    """State that a stream takes no more memory than it may."""
    tracemalloc.start()
    try:
        decoder.decode(stream)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    law(peak <= PEAK_LIMIT + KEPT_PER_BYTE * len(stream), "the peak is bounded", peak)
    law(
        kept <= KEPT_LIMIT + KEPT_PER_BYTE * len(stream),
        "what is kept is bounded",
        kept,
    )


def _finish(decoder: Decoder, stream: bytes) -> None:
    """State that nothing is waited for that exceeds the limit."""
    decoder.decode(stream)
    # Zeros will do for the body of any string and for any element.
    for _ in range(0, MIN_FRAME_LIMIT, 1024):
        if not decoder.waiting or decoder.decode(bytes(1024)):
            return
    law(not decoder.waiting, "a frame beyond the limit is refused", decoder)


def seeds() -> Iterable[bytes]:
    """The worked frames, one by one and in one stream, under every option."""
    frames = list(worked_frames())
    for number, frame in enumerate(frames):
        yield bytes([number * 37 % 256]) + frame
    for options in (0, MEASURED, PADDED, 0x71):
        yield bytes([options]) + b"".join(frames[:8])
    for claim in (b"\xdb", b"\xdd", b"\xdf", b"\xc6", b"\xc9"):
        for size in (b"\xff\xff\xff\xff", b"\x00\x00\x10\x00"):
            yield bytes([FINISHED]) + b"\x93\x01\x00\x91" + claim + size
    # Elements that lie between the limits of a short and of a long array.
    yield b"\x00\x93\x01\x00\xdc\x04\x4c" + bytes(1100)


TARGET = Target(
    run=check,
    seeds=seeds,
    words=(*(bytes([first]) for first in range(0xC0, 0xE0)), b"\xff" * 4),
    size=1536,
)
