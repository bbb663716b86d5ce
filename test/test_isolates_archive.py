# -*- test-case-name: cocained.test.test_isolates_archive -*-
"""
Members of archives, and the bytes they come in.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
from collections.abc import Callable, Iterable

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import SpoolError
from cocained.isolates.archive import streams
from cocained.isolates.archive.members import (
    SpoolLimits,
    disk_error,
    show,
)
from cocained.isolates.archive.streams import CODECS, Source, decompressed, plain
from cocained.test.archive_case import LIMITS


class MembersTests(SynchronousTestCase):
    """What readers and tree share."""

    def test_names_in_errors_can_travel(self) -> None:
        """A name that is no UTF-8 is shown escaped, so any peer can take it."""
        shown = show(b"a\xff\n")

        self.assertEqual(shown, r"'a\\xff\n'")
        self.assertEqual(shown.encode("utf-8").decode("utf-8"), shown)

    def test_names_in_errors_are_short(self) -> None:
        """A long name is cut."""
        self.assertLess(len(show(b"n" * 100_000)), 250)

    def test_limits_are_read_from_configurations(self) -> None:
        """Keys are spelled with dashes."""
        limits = msgspec.convert({"decoder-memory": 5, "file": 6}, SpoolLimits)

        self.assertEqual((limits.decoder_memory, limits.file), (5, 6))
        self.assertEqual(limits.members, LIMITS.members)

    def test_limits_are_positive(self) -> None:
        """Zero is no limit."""
        with self.assertRaises(msgspec.ValidationError):
            msgspec.convert({"members": 0}, SpoolLimits)

    def test_disk_errors_say_what_helps(self) -> None:
        """A full disk asks for space."""
        error = disk_error(OSError(errno.ENOSPC, "x"), "cannot write '/a'")

        self.assertEqual(error.code, errno.ENOSPC)
        self.assertEqual(
            error.reason,
            "cannot write '/a': No space left on device; free some space there",
        )

    def test_disk_errors_without_code(self) -> None:
        """An error without a code is an input/output error."""
        self.assertEqual(disk_error(OSError("x"), "cannot").code, errno.EIO)


class StreamsTests(SynchronousTestCase):
    """Decompression."""

    packers: tuple[Callable[[bytes], bytes], ...] = (
        gzip.compress,
        bz2.compress,
        lzma.compress,
    )

    def decompress(self, name: str, data: bytes, memory: int = 2**27) -> bytes:
        """Decode with the codec of that name."""
        (codec,) = [codec for codec in CODECS if codec.name == name]
        return b"".join(decompressed(data, codec, memory, lambda done: None))

    def each(self) -> Iterable[tuple[str, Callable[[bytes], bytes]]]:
        """Pair the codecs with what packs for them."""
        return zip([codec.name for codec in CODECS], self.packers, strict=True)

    def test_decode_of_encode_is_identity(self) -> None:
        """Every codec gives back what was packed, over several chunks."""
        data = os.urandom(streams.OUTPUT_CHUNK) + bytes(3 * streams.OUTPUT_CHUNK)
        for name, pack in self.each():
            self.assertEqual(self.decompress(name, pack(data)), data, name)

    def test_concatenated_streams(self) -> None:
        """Streams in a row, as parallel packers make them, are one."""
        for name, pack in self.each():
            packed = pack(b"one") + pack(b"") + pack(b"two")
            self.assertEqual(self.decompress(name, packed), b"onetwo", name)

    def test_zeros_behind(self) -> None:
        """Padding with zeros is ignored, in front of another stream too."""
        for name, pack in self.each():
            packed = pack(b"one") + bytes(40_000) + pack(b"two") + bytes(8)
            self.assertEqual(self.decompress(name, packed), b"onetwo", name)

    def test_something_behind(self) -> None:
        """Anything else behind a stream is damage."""
        for name, pack in self.each():
            with self.assertRaises(SpoolError) as caught:
                self.decompress(name, pack(b"one") + b"two")
            self.assertIn("something else follows", caught.exception.reason)

    def test_cut_at_every_byte(self) -> None:
        """No beginning of a stream is taken for a whole one."""
        for name, pack in self.each():
            packed = pack(b"some text to be packed")
            for size in range(1, len(packed)):
                error = self.assertRaises(
                    SpoolError, self.decompress, name, packed[:size]
                )
                self.assertEqual(error.code, errno.EBADMSG)

    def test_wrong_checksum(self) -> None:
        """The checksum at the end is verified."""
        packed = bytearray(gzip.compress(b"text"))
        packed[-8] ^= 1

        error = self.assertRaises(SpoolError, self.decompress, "gzip", bytes(packed))

        self.assertIn("bad gzip data", error.reason)

    def test_memory_of_xz_is_bounded(self) -> None:
        """A dictionary beyond the limit is refused with the remedy."""
        filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 2**24}]
        packed = lzma.compress(b"text", filters=filters)

        error = self.assertRaises(
            SpoolError, self.decompress, "xz", packed, memory=2**22
        )

        self.assertEqual(error.code, errno.ENOMEM)
        self.assertIn("decoder-memory", error.reason)

    def test_best_xz_fits(self) -> None:
        """What ``xz -9`` makes fits into the default."""
        packed = lzma.compress(b"text", preset=9)

        self.assertEqual(self.decompress("xz", packed, LIMITS.decoder_memory), b"text")

    def test_pieces_are_bounded(self) -> None:
        """A bomb comes out in chunks, however small it is."""
        codec = CODECS[1]
        packed = bz2.compress(bytes(5_000_000))

        sizes = [
            len(piece) for piece in decompressed(packed, codec, 0, lambda done: None)
        ]

        self.assertEqual(sum(sizes), 5_000_000)
        self.assertLessEqual(max(sizes), streams.OUTPUT_CHUNK)

    def test_number_of_streams_is_bounded(self) -> None:
        """An endless chain of empty streams ends."""
        self.patch(streams, "MAX_STREAMS", 3)

        error = self.assertRaises(
            SpoolError, self.decompress, "gzip", 4 * gzip.compress(b"")
        )

        self.assertIn("more than 3 concatenated", error.reason)

    def test_ticks_tell_the_position(self) -> None:
        """Progress counts compressed bytes, never backwards, up to the end."""
        ticks: list[int] = []
        packed = b"".join(gzip.compress(os.urandom(50_000)) for _ in range(3))

        for _ in decompressed(packed, CODECS[0], 0, ticks.append):
            pass

        self.assertLessEqual(max(ticks), len(packed))
        self.assertGreater(ticks[-1], len(packed) - streams.INPUT_CHUNK)

    def test_source_has_a_ceiling(self) -> None:
        """Reading or skipping beyond the ceiling is refused."""
        source = Source(plain(bytes(2000), lambda done: None), 1000)
        source.skip(1000)

        error = self.assertRaises(SpoolError, source.read, 1)

        self.assertEqual(error.code, errno.EFBIG)

    def test_source_ends_early(self) -> None:
        """Reading more than there is names the place."""
        source = Source(iter([b"ab", b"c"]), 1000)

        error = self.assertRaises(SpoolError, source.read, 4)

        self.assertIn("at byte 3", error.reason)
