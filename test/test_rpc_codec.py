# -*- test-case-name: cocained.test.test_rpc_codec -*-
"""Tests of :mod:`cocained.rpc.codec`: laws, limits, and what is no frame."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from typing import Any

import msgpack
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import Category, RemoteProtocolError, TransportCode
from cocained.rpc.codec import (
    ARRAY_LIMIT,
    FRAME_LIMIT,
    MIN_FRAME_LIMIT,
    SHORT_ARRAY,
    SPARE,
    Decoder,
    Pairs,
    encode,
    frame_head,
    pack,
    raw_head,
    uint,
    unpack,
)
from cocained.rpc.headers import UNTRACED
from cocained.rpc.outline import DEPTH_LIMIT, PIECE, VALUE_LIMIT, Outline
from cocained.test.strategies import (
    EDGES,
    HUGE_FAMILIES,
    LONG_FAMILIES,
    PACKETS,
    SCALARS,
    UNSIGNED,
    VALUES,
    Sample,
    cuts,
    header_of,
    octets,
    one_by_one,
    pieces,
)

#: The start of a frame, up to its first argument.
HEAD = b"\x93\x01\x00\x91"

#: What the memory of a refused bomb may come to: SHORT_ARRAY pointers for each
#: level, once in each of two attempts, and some for the rest.
BOMB_MEMORY = 3 * 8 * SHORT_ARRAY * DEPTH_LIMIT


def decode_all(decoder: Decoder, reads: Iterable[bytes]) -> list[Any]:
    """Feed a decoder read by read."""
    frames: list[Any] = []
    for read in reads:
        frames += decoder.decode(read)
    return frames


def joined(samples: list[Sample]) -> bytes:
    return b"".join(sample.data for sample in samples)


def expected(samples: list[Sample]) -> list[Any]:
    return [sample.frame for sample in samples]


class PackTests(SynchronousTestCase):
    """What we write."""

    @given(UNSIGNED | EDGES)
    def test_uint(self, number: int) -> None:
        """Numbers are packed in their shortest form, as msgpack does it."""
        self.assertEqual(uint(number), msgpack.packb(number))

    def test_raw_head(self) -> None:
        """Strings have the heads of the old family: no str8 and no bin."""
        for size in (0, 1, 31, 32, 255, 256, 65535, 65536, 70000):
            self.assertEqual(raw_head(size) + bytes(size), pack(bytes(size)))
        self.assertEqual(raw_head(31), b"\xbf")
        self.assertEqual(raw_head(32), b"\xda\x00\x20")
        self.assertEqual(raw_head(2**32 - 1), b"\xdb\xff\xff\xff\xff")

    def test_text(self) -> None:
        """Text leaves as UTF-8, and escaped bytes as the bytes they were."""
        self.assertEqual(pack("é"), b"\xa2\xc3\xa9")
        self.assertEqual(pack(b"\xff".decode("utf-8", "surrogateescape")), b"\xa1\xff")

    def test_impossible(self) -> None:
        """What has no form on the wire is refused, and nothing else is tried."""
        self.assertRaises(TypeError, pack, object())
        self.assertRaises(OverflowError, pack, 2**64)
        self.assertRaises(ValueError, pack, "\ud800")

    def test_frame_head(self) -> None:
        """A head and its rest make the frame that encode makes."""
        self.assertEqual(
            frame_head(300) + b"\x00" + pack([1]) + UNTRACED,
            encode(300, 0, [1], UNTRACED),
        )

    @given(VALUES)
    def test_unpack(self, value: tuple[Any, Any]) -> None:
        """A value that was packed comes back, strings as bytes, maps as pairs."""
        packed, given_back = value
        self.assertEqual(unpack(pack(packed)), given_back)

    def test_unpack_type_of_maps(self) -> None:
        """Maps come as pairs, in the order sent, with repeated keys."""
        value = unpack(b"\x83\x02\xa1b\x01\xa1a\x02\xa1c")
        self.assertIs(type(value), Pairs)
        self.assertEqual(value, ((2, b"b"), (1, b"a"), (2, b"c")))

    def test_unhashable_key(self) -> None:
        """A key that no dictionary takes is no error."""
        self.assertEqual(unpack(b"\x81\x90\x01"), Pairs([([], 1)]))

    def test_unpack_refuses(self) -> None:
        """Half a value, more than one, or none is a parse error."""
        for data in (b"", b"\x92\x01", b"\x01\x02", b"\xc1", b"\xda\x00"):
            error = self.assertRaises(RemoteProtocolError, unpack, data)
            self.assertEqual(error.code, TransportCode.PARSE)


class FragmentTests(SynchronousTestCase):
    """However bytes arrive, the same frames come of them."""

    @given(PACKETS)
    def test_identity(self, samples: list[Sample]) -> None:
        """What was encoded is what is decoded."""
        decoder = Decoder()
        self.assertEqual(decoder.decode(joined(samples)), expected(samples))
        self.assertIsNone(decoder.fault)
        self.assertFalse(decoder.waiting)

    @given(PACKETS, st.data())
    def test_any_cuts(self, samples: list[Sample], data: st.DataObject) -> None:
        """Any fragmentation gives the same frames, empty reads included."""
        packet = joined(samples)
        reads = pieces(packet, data.draw(cuts(len(packet))))
        decoder = Decoder()
        self.assertEqual(decode_all(decoder, reads), expected(samples))
        self.assertIsNone(decoder.fault)
        self.assertFalse(decoder.waiting)

    @given(PACKETS)
    @settings(max_examples=30)
    def test_single_bytes(self, samples: list[Sample]) -> None:
        """So does one byte at a time."""
        decoder = Decoder()
        self.assertEqual(
            decode_all(decoder, one_by_one(joined(samples))), expected(samples)
        )
        self.assertFalse(decoder.waiting)

    def test_frame_comes_with_its_last_byte(self) -> None:
        """No frame comes before its last byte, and none waits for more."""
        data = encode(7, 0, [b"x" * 300, {1: [None]}], UNTRACED)
        decoder = Decoder()
        self.assertEqual(decode_all(decoder, one_by_one(data[:-1])), [])
        self.assertTrue(decoder.waiting)
        self.assertEqual(len(decoder.decode(data[-1:])), 1)
        self.assertFalse(decoder.waiting)

    def test_empty_read(self) -> None:
        """An empty read changes nothing, in the middle of a frame as well."""
        decoder = Decoder()
        self.assertEqual(decoder.decode(b""), [])
        decoder.decode(b"\x93\x01")
        self.assertEqual(decoder.decode(b""), [])
        self.assertEqual(decoder.decode(b"\x00\x90"), [[1, 0, []]])

    def test_strings_around_a_piece(self) -> None:
        """Strings that end next to the border of a piece come whole."""
        for size in range(PIECE - 8, PIECE + 8):
            data = encode(1, 0, [b"x" * size], UNTRACED) + b"\x93\x02\x00\x90"
            decoder = Decoder()
            frames = decoder.decode(data)
            self.assertEqual([len(frames[0][2][0]), frames[1]], [size, [2, 0, []]])
            self.assertFalse(decoder.waiting)

    def test_headers_around_a_piece(self) -> None:
        """A header cut by the border of a piece is read once it is whole."""
        for first in range(PIECE - 90, PIECE - 60):
            data = encode(1, 0, [b"x" * first, b"y" * 40, 70000], UNTRACED)
            for reads in ([data], pieces(data, [PIECE])):
                decoder = Decoder()
                [frame] = decode_all(decoder, reads)
                self.assertEqual(frame[2], [b"x" * first, b"y" * 40, 70000])

    def test_big_string_over_many_reads(self) -> None:
        """A string of many reads comes whole, whatever follows it."""
        blob = bytes(range(256)) * 2000
        packet = b"\x93\x01\x00\x90" + encode(2, 0, [blob, 5], UNTRACED) * 2
        for size in (1000, 4096, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE):
            decoder = Decoder()
            frames = decode_all(
                decoder, pieces(packet, list(range(size, len(packet), size)))
            )
            self.assertEqual([frame[0] for frame in frames], [1, 2, 2], size)
            self.assertEqual([f[2] for f in frames[1:]], [[blob, 5]] * 2, size)
            self.assertFalse(decoder.waiting)

    def test_string_at_the_end(self) -> None:
        """A frame that ends with a big string ends with that string."""
        data = HEAD + raw_head(100000) + b"z" * 100000
        decoder = Decoder()
        frames = decode_all(decoder, [data[:9], data[9:70000], data[70000:] + data])
        self.assertEqual([len(frame[2][0]) for frame in frames], [100000] * 2)
        self.assertFalse(decoder.waiting)

    def test_every_family_in_single_bytes(self) -> None:
        """Both string families, all sizes, and every scalar may be cut anywhere."""
        values = [
            header_of(family)(5) + b"hello"
            for family in ("bin8", "bin16", "bin32", "str8", "raw16", "raw32")
        ]
        values += [header_of(family)(4) + b"\x05abcd" for family in ("ext8", "ext32")]
        values += [header_of(family)(2) + b"\x01\x02" * 2 for family in LONG_FAMILIES]
        for value in (*values, *SCALARS, b"\x80", b"\x81\x01\x02", b"\x90", b"\xa0"):
            value = value if not value.startswith((b"\xdc", b"\xdd")) else value[:-2]
            data = HEAD + value + b"\x93\x02\x00\x90"
            whole, cut = Decoder(), Decoder()
            frames = whole.decode(data)
            self.assertEqual(len(frames), 2, value)
            self.assertEqual(
                repr(decode_all(cut, one_by_one(data))), repr(frames), value
            )

    def test_pieces_do_not_mix(self) -> None:
        """Two connections with half a frame each keep their halves apart."""
        one, two = Decoder(), Decoder()
        one.decode(b"\x93\x01\x00\x91\xa4ab")
        two.decode(b"\x93\x02\x00\x91\xa4xy")
        self.assertEqual(two.decode(b"zw"), [[2, 0, [b"xyzw"]]])
        self.assertEqual(one.decode(b"cd"), [[1, 0, [b"abcd"]]])

    def test_nothing_is_left_for_the_next(self) -> None:
        """A connection that ends within a frame leaves nothing to a new one."""
        for data in (
            b"\x93\x01\x00",
            b"\xc1",
            HEAD + b"\xdd\xff\xff\xff\xff",
            b"\xc0\xa4ab",
            b"\xc0\x92",
            b"\xa0\xb1" + b"x" * 16,
            b"\xb0" + b"x" * 16 + b"\xdb\x00",
        ):
            for _ in range(2 * SPARE):
                Decoder().decode(data)
                following = Decoder()
                self.assertEqual(following.decode(b"\x93\x02\x00\x90"), [[2, 0, []]])
                self.assertFalse(following.waiting)

    @given(octets(40))
    def test_random_bytes_are_not_left_for_the_next(self, data: bytes) -> None:
        """Nor does one that sent anything at all."""
        for _ in range(SPARE):
            Decoder().decode(data)
        self.assertEqual(Decoder().decode(b"\x93\x02\x00\x90"), [[2, 0, []]])


class LimitTests(SynchronousTestCase):
    """No input makes the decoder keep more than its limit."""

    def test_frame_limit_has_a_floor(self) -> None:
        """A limit that one read could break is refused by its owner."""
        self.assertRaises(ValueError, Decoder, MIN_FRAME_LIMIT - 1)

    def test_claims_of_all_families(self) -> None:
        """A claim of 4 GiB is refused with the last byte of its header."""
        for family in HUGE_FAMILIES:
            data = HEAD + header_of(family)(2**32 - 1)
            for place in range(len(data)):
                decoder = Decoder()
                self.assertEqual(decoder.decode(data[:place]), [])
                self.assertIsNone(decoder.fault, (family, place))
                self.assertEqual(decoder.decode(data[place:]), [])
                self.assertIsNotNone(decoder.fault, (family, place))
                self.assertFalse(decoder.waiting)

    def test_claims_in_single_bytes(self) -> None:
        """Nor does it help to send the header byte by byte."""
        for family in HUGE_FAMILIES:
            decoder = Decoder()
            header = HEAD + header_of(family)(2**32 - 1)
            decode_all(decoder, one_by_one(header[:-1]))
            self.assertIsNone(decoder.fault, family)
            decoder.decode(header[-1:])
            self.assertIsNotNone(decoder.fault, family)

    def test_claims_without_a_frame(self) -> None:
        """A claim that is not even in an array is refused as well."""
        for family in HUGE_FAMILIES:
            decoder = Decoder()
            decoder.decode(header_of(family)(2**32 - 1))
            self.assertIsNotNone(decoder.fault, family)

    def test_frame_limit(self) -> None:
        """A frame of the limit passes, one byte more is refused at its header."""
        limit = MIN_FRAME_LIMIT * 2
        fits = limit - len(HEAD) - 5
        decoder = Decoder(limit)
        data = HEAD + header_of("raw32")(fits) + bytes(fits)
        self.assertEqual(len(decoder.decode(data)), 1)
        self.assertIsNone(decoder.fault)
        decoder.decode(HEAD + header_of("raw32")(fits + 1))
        assert decoder.fault is not None
        self.assertEqual(
            decoder.fault.reason,
            f"a frame claims {limit + 1} bytes or more, the limit is {limit}",
        )

    def test_sum_of_strings(self) -> None:
        """Many strings that are small enough alone are counted together."""
        decoder = Decoder(MIN_FRAME_LIMIT)
        head = b"\x93\x01\x00\xdc\x40\x00"
        part = raw_head(1000) + bytes(1000)
        decoder.decode(head)
        sent = 0
        while decoder.fault is None and sent <= MIN_FRAME_LIMIT:
            decoder.decode(part)
            sent += len(part)
        self.assertEqual(sent, (MIN_FRAME_LIMIT // len(part) + 1) * len(part))

    def test_array_limit(self) -> None:
        """An array or map of the limit passes, a longer one does not."""
        for family in LONG_FAMILIES:
            double = family.startswith("map")
            for count, passes in ((ARRAY_LIMIT, True), (ARRAY_LIMIT + 1, False)):
                body = b"\x00" * count * (1 + double)
                decoder = Decoder()
                frames = decoder.decode(HEAD + header_of(family)(count) + body)
                self.assertEqual(len(frames), passes, family)
                self.assertEqual(decoder.fault is None, passes, family)

    def test_array_limit_of_a_locator(self) -> None:
        """Who asks for longer arrays gets them."""
        count = ARRAY_LIMIT * 3
        data = HEAD + header_of("array32")(count) + b"\x07" * count
        [frame] = Decoder(array_limit=count).decode(data)
        self.assertEqual(frame[2][0], [7] * count)

    def test_arrays_that_are_not_short(self) -> None:
        """Arrays around the length from which frames are outlined pass alike."""
        for count in (SHORT_ARRAY - 1, SHORT_ARRAY, SHORT_ARRAY + 1):
            array = header_of("array16")(count) + b"\x05" * count
            data = b"\x93\x01\x00\x90" + HEAD + array + b"\x93\x03\x00\x90"
            for reads in ([data], one_by_one(data), pieces(data, [9, 700])):
                frames = decode_all(Decoder(), reads)
                self.assertEqual(
                    frames, [[1, 0, []], [1, 0, [[5] * count]], [3, 0, []]]
                )

    def test_values(self) -> None:
        """The values of a frame have a limit, however they are spread."""
        inner = b"\xdc\x00\xc8" + b"\x00" * 200
        decoder = Decoder()
        decoder.decode(HEAD + b"\xdc\x40\x00")
        sent = 0
        while decoder.fault is None and sent < ARRAY_LIMIT:
            decoder.decode(inner)
            sent += 1
        assert decoder.fault is not None
        self.assertIn(f"the limit is {VALUE_LIMIT}", decoder.fault.reason)
        self.assertEqual(sent, (VALUE_LIMIT - ARRAY_LIMIT) // 200 + 1)

    def test_deep_nesting(self) -> None:
        """Nesting that would be too deep is a parse error, at once or slowly."""
        for opening in (b"\x91", b"\x81\x01", b"\xdc\x00\x01", b"\xdf\0\0\0\x01\0"):
            data = opening * (DEPTH_LIMIT + 8)
            for reads in ([data], one_by_one(data), pieces(data, [1000])):
                decoder = Decoder()
                self.assertEqual(decode_all(decoder, reads), [])
                assert decoder.fault is not None
                self.assertEqual(decoder.fault.code, TransportCode.PARSE)

    def test_some_nesting(self) -> None:
        """Nesting of a hundred levels is nothing special."""
        data = HEAD + b"\x91" * 100 + b"\xc0"
        for reads in ([data], one_by_one(data)):
            [frame] = decode_all(Decoder(), reads)
            value = frame[2]
            for _ in range(101):
                [value] = value
            self.assertIsNone(value)

    def bomb(self, *reads: bytes) -> int:
        """Give the most memory that decoding took."""
        tracemalloc.start()
        try:
            decoder = Decoder()
            decode_all(decoder, reads)
            self.assertIsNotNone(decoder.fault)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def test_array_bombs(self) -> None:
        """Arrays in arrays, each with the longest claim, take little memory."""
        for family in LONG_FAMILIES:
            for count in (ARRAY_LIMIT, SHORT_ARRAY + 1, SHORT_ARRAY):
                opening = header_of(family)(count)
                bomb = opening * (DEPTH_LIMIT - 10)
                for reads in ([bomb], [opening, bomb], [b"\x93", *[bomb] * 9]):
                    self.assertLess(self.bomb(*reads), BOMB_MEMORY, (family, count))

    def test_array_bomb_behind_a_frame(self) -> None:
        """Nor do they in a read that ends another frame."""
        bomb = header_of("array16")(ARRAY_LIMIT) * (DEPTH_LIMIT - 10)
        self.assertLess(self.bomb(b"\x93\x01\x00", b"\x90" + bomb), BOMB_MEMORY)

    def test_unfinished_frames_are_freed(self) -> None:
        """A connection that ends deep within a frame leaves no memory behind."""
        opening = header_of("array16")(SHORT_ARRAY) * 200
        Decoder().decode(opening)
        tracemalloc.start()
        try:
            for _ in range(5):
                for data in (opening, opening + b"\xc1"):
                    Decoder().decode(data)
            kept = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        self.assertLess(kept, 8 * SHORT_ARRAY * 200)

    def test_string_bomb(self) -> None:
        """A claim just below the limit takes memory only as its bytes come."""
        tracemalloc.start()
        try:
            decoder = Decoder()
            decoder.decode(HEAD + header_of("raw32")(FRAME_LIMIT - 100))
            for _ in range(4):
                decoder.decode(bytes(PIECE))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        self.assertTrue(decoder.waiting)
        self.assertLess(peak, 20 * PIECE)

    def test_idle_decoders_are_light(self) -> None:
        """A decoder that waits for nothing holds no buffer."""
        decoders = [Decoder() for _ in range(100)]
        tracemalloc.start()
        try:
            for decoder in decoders:
                self.assertEqual(len(decoder.decode(b"\x93\x01\x00\x90" * 9)), 9)
            kept = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        self.assertLess(kept, (SPARE + 1) * PIECE)


class FaultTests(SynchronousTestCase):
    """Bytes that are no frames."""

    @given(st.lists(octets(200), max_size=5))
    @settings(max_examples=300)
    def test_random_bytes(self, reads: list[bytes]) -> None:
        """Random bytes raise nothing; at worst they are a transport fault."""
        decoder = Decoder()
        decode_all(decoder, reads)
        if decoder.fault is not None:
            self.assertEqual(decoder.fault.category, Category.TRANSPORT)
            self.assertFalse(decoder.waiting)

    @given(octets(300), st.data())
    @settings(max_examples=300)
    def test_random_bytes_in_pieces(self, data: bytes, draw: st.DataObject) -> None:
        """The same values come of random bytes however they are cut."""
        whole, cut = Decoder(), Decoder()
        frames = whole.decode(data)
        reads = pieces(data, draw.draw(cuts(len(data))))
        self.assertEqual(repr(decode_all(cut, reads)), repr(frames))
        self.assertEqual(cut.fault is None, whole.fault is None)
        self.assertEqual(cut.waiting, whole.waiting)

    def test_reserved_byte(self) -> None:
        """The byte that msgpack never uses is a parse error, anywhere."""
        for data in (b"\xc1", HEAD + b"\xc1", b"\x93\x01\xc1"):
            for reads in ([data], one_by_one(data)):
                decoder = Decoder()
                self.assertEqual(decode_all(decoder, reads), [])
                assert decoder.fault is not None
                self.assertEqual(decoder.fault.code, TransportCode.PARSE)

    def test_bad_timestamp(self) -> None:
        """An extension with a body that makes no sense is one, too."""
        decoder = Decoder()
        decoder.decode(HEAD + b"\xc7\x03\xffabc")
        assert decoder.fault is not None
        self.assertEqual(decoder.fault.code, TransportCode.PARSE)

    def test_good_frames_in_front(self) -> None:
        """Frames in front of a fault are given, in the same read too."""
        good = b"\x93\x01\x00\x90"
        for bad in (b"\xc1", HEAD + b"\xc1", header_of("raw32")(2**32 - 1)):
            decoder = Decoder()
            self.assertEqual(decoder.decode(good * 2 + bad), [[1, 0, []]] * 2)
            self.assertIsNotNone(decoder.fault)

    def test_nothing_after_a_fault(self) -> None:
        """After a fault nothing is decoded any more, not even good frames."""
        decoder = Decoder()
        self.assertEqual(decoder.decode(b"\xc1\x93\x01\x00\x90"), [])
        fault = decoder.fault
        self.assertEqual(decoder.decode(b"\x93\x01\x00\x90"), [])
        self.assertIs(decoder.fault, fault)


class OutlineTests(SynchronousTestCase):
    """The headers of one frame."""

    @given(PACKETS, st.data())
    def test_end_of_the_frame(self, samples: list[Sample], data: st.DataObject) -> None:
        """It takes exactly the bytes of its frame, whatever follows."""
        frame = samples[0].data
        packet = joined(samples)
        outline = Outline(FRAME_LIMIT)
        taken = 0
        for read in pieces(packet, data.draw(cuts(len(packet)))):
            if outline.finished:
                break
            taken += outline.feed(read)
        self.assertEqual(taken, len(frame))
        self.assertTrue(outline.finished)
        self.assertEqual(outline.claimed, len(frame))

    def test_not_finished(self) -> None:
        """A frame is not finished before its last byte."""
        data = encode(1, 0, [b"abc"], b"\x90")
        for place in range(1, len(data)):
            outline = Outline(FRAME_LIMIT)
            self.assertEqual(outline.feed(data[:place]), place)
            self.assertFalse(outline.finished, place)
            self.assertEqual(outline.feed(data[place:]), len(data) - place)
            self.assertTrue(outline.finished, place)

    def test_values(self) -> None:
        """Announced values are counted with the present ones."""
        outline = Outline(FRAME_LIMIT)
        outline.feed(b"\x93\x01\x00\x82\x01")
        self.assertEqual(outline.values, 1 + 3 + 4)

    def test_depth(self) -> None:
        """It refuses what is too deep for the unpacker by itself."""
        outline = Outline(FRAME_LIMIT)
        outline.feed(b"\x91" * DEPTH_LIMIT)
        error = self.assertRaises(RemoteProtocolError, outline.feed, b"\x91")
        self.assertEqual(error.code, TransportCode.PARSE)
