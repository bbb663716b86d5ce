# -*- test-case-name: cocained.test.test_isolates_archive -*-
"""Readers of archives, and the tree that they are written to."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import SpoolError
from cocained.isolates.archive import streams, tars
from cocained.isolates.archive.members import (
    Kind,
    Member,
    SpoolLimits,
    disk_error,
    show,
)
from cocained.isolates.archive.streams import CODECS, Source, decompressed, plain
from cocained.isolates.archive.tars import is_tar, pax_records, tar_members
from cocained.isolates.archive.tree import Tree
from cocained.isolates.archive.zips import is_zip, zip_members

LIMITS = SpoolLimits()


def info_of(name: str, **fields: object) -> tarfile.TarInfo:
    """Describe a member of a tar."""
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def tar_of(
    *members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT
) -> bytes:
    """Pack a tar of members with their content."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=format) as archive:
        for info, content in members:
            if info.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def file_of(
    name: str, content: bytes = b"x", **fields: object
) -> tuple[tarfile.TarInfo, bytes]:
    """Describe a file of a tar."""
    return info_of(name, **fields), content


def link_of(
    name: str, target: str, type: bytes = tarfile.SYMTYPE
) -> tuple[tarfile.TarInfo, bytes]:
    """Describe a link of a tar."""
    return info_of(name, type=type, linkname=target), b""


def directory_of(name: str, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    """Describe a directory of a tar."""
    return info_of(name, type=tarfile.DIRTYPE, mode=mode), b""


def header_of(type: bytes, payload: bytes, name: str = "header") -> bytes:
    """Pack one raw header and what follows it, as ``tarfile`` would not."""
    info = info_of(name, type=type, size=len(payload))
    padding = -len(payload) % 512
    return info.tobuf(tarfile.GNU_FORMAT) + payload + bytes(padding)


def pax_of(**records: str) -> bytes:
    """Pack PAX records into a header; dots are written as ``__``."""
    payload = b""
    for key, value in records.items():
        body = f" {key.replace('__', '.')}={value}\n".encode()
        length = len(body) + 1
        while len(f"{length}") + len(body) != length:
            length += 1
        payload += f"{length}".encode() + body
    return header_of(tarfile.XHDTYPE, payload)


def zip_info(name: str, mode: int = 0o100644, **fields: object) -> zipfile.ZipInfo:
    """Describe a member of a zip, as made on UNIX."""
    info = zipfile.ZipInfo(name, (2020, 1, 2, 3, 4, 6))
    info.create_system = 3
    info.external_attr = mode << 16
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def zip_of(
    *members: tuple[zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    """Pack a zip of members with their content."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for info, content in members:
            archive.writestr(info, content, compress_type=method)
    return packed.getvalue()


def listing(top: str) -> dict[str, object]:
    """Read a tree back: names with content, link targets or ``None``."""
    found: dict[str, object] = {}
    for directory, directories, files in os.walk(top):
        for name in directories + files:
            place = os.path.join(directory, name)
            relative = os.path.relpath(place, top)
            if os.path.islink(place):
                found[relative] = os.readlink(place)
            elif os.path.isdir(place):
                found[relative] = None
            else:
                with open(place, "rb") as opened:
                    found[relative] = opened.read()
    return found


def read_tar(archive: bytes, ceiling: int = 2**40) -> Iterable[Member]:
    """Read a plain tar."""
    return tar_members(Source(plain(archive, lambda done: None), ceiling))


def read_zip(archive: bytes, limits: SpoolLimits = LIMITS) -> Iterable[Member]:
    """Read a zip."""
    return zip_members(archive, limits, lambda done: None)


class TreeCase(SynchronousTestCase):
    """A test with a fresh tree."""

    limits = LIMITS

    def setUp(self) -> None:
        self.top = os.path.abspath(self.mktemp())
        os.mkdir(self.top, 0o700)

    def unpack(self, members: Iterable[Member]) -> dict[str, object]:
        """Write members and read the tree back."""
        tree = Tree(self.top, self.limits)
        for member in members:
            tree.add(member)
        return listing(self.top)

    def refuse(self, members: Iterable[Member], *words: str) -> SpoolError:
        """Expect that members are refused, with these words in the reason."""
        error = self.assertRaises(SpoolError, self.unpack, members)
        for word in words:
            self.assertIn(word, error.reason)
        return error

    def mode(self, name: str) -> int:
        """Give the permission bits of a file of the tree."""
        return stat.S_IMODE(os.stat(os.path.join(self.top, name)).st_mode)


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


class TarTests(TreeCase):
    """Members of tars."""

    def test_files_in_every_dialect(self) -> None:
        """Names, content and long names come through in all three formats."""
        long = "/".join(["directory" * 5] * 3)
        for format in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            packed = tar_of(file_of("a", b"A"), file_of(long, b"L"), format=format)
            members = [
                (
                    member.name.decode(),
                    member.kind,
                    b"".join(bytes(piece) for piece in member.content),
                )
                for member in read_tar(packed)
            ]
            self.assertEqual(members, [("a", Kind.FILE, b"A"), (long, Kind.FILE, b"L")])

    def test_content_may_be_left(self) -> None:
        """Content that nobody reads is skipped."""
        packed = tar_of(file_of("a", bytes(1000)), file_of("b"))

        self.assertEqual([member.name for member in read_tar(packed)], [b"a", b"b"])

    def test_names_of_any_bytes(self) -> None:
        """Names that are no UTF-8 keep their bytes in all formats."""
        name = os.fsdecode(b"caf\xe9")
        for format in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            (member,) = read_tar(tar_of(file_of(name), format=format))
            self.assertEqual(member.name, b"caf\xe9")

    def test_links(self) -> None:
        """Links carry their targets, long ones too."""
        packed = tar_of(link_of("s", "t" * 150), link_of("h", "x", tarfile.LNKTYPE))

        members = [(member.kind, member.target) for member in read_tar(packed)]

        self.assertEqual(members, [(Kind.SYMLINK, b"t" * 150), (Kind.HARDLINK, b"x")])

    def test_old_directories(self) -> None:
        """A file whose name ends in a slash is a directory."""
        (member,) = read_tar(tar_of(file_of("d/", b"", type=tarfile.AREGTYPE)))

        self.assertIs(member.kind, Kind.DIRECTORY)

    def test_specials_are_refused(self) -> None:
        """Devices, FIFOs and unknown types are refused by name."""
        for type, word in (
            (tarfile.CHRTYPE, "character device"),
            (tarfile.BLKTYPE, "block device"),
            (tarfile.FIFOTYPE, "FIFO"),
            (b"Q", "unknown type"),
        ):
            self.refuse(
                read_tar(tar_of((info_of("dev/x", type=type), b""))), word, "dev/x"
            )
        self.assertEqual(listing(self.top), {})

    def test_volume_labels_are_skipped(self) -> None:
        """What ``tar --label`` writes is no member."""
        packed = header_of(b"V", b"", "label") + tar_of(file_of("a"))

        self.assertEqual([member.name for member in read_tar(packed)], [b"a"])

    def test_times(self) -> None:
        """Fractions of seconds come through; nonsense is no time."""
        for value, expected in (
            ("1.5", 1.5),
            ("nan", None),
            ("1e999", None),
            ("x", None),
        ):
            packed = pax_of(mtime=value) + tar_of(file_of("a"))
            (member,) = read_tar(packed)
            self.assertEqual(member.mtime, expected)

    def test_global_headers(self) -> None:
        """A global header holds for all members, and the local one wins."""
        common = bytearray(pax_of(mtime="7.5"))
        common[156:157] = tarfile.XGLTYPE
        common[148:156] = b" " * 8
        common[148:156] = b"%06o\0 " % sum(common[:512])
        first = pax_of(mtime="8.5") + tar_of(file_of("a"))[:1024]

        members = read_tar(bytes(common) + first + tar_of(file_of("b")))

        self.assertEqual([member.mtime for member in members], [8.5, 7.5])

    def test_not_a_tar(self) -> None:
        """Other content is not recognized, with the reference's code (N9)."""
        for content in (b"", b"not a tar", b"x" * 2000):
            error = self.refuse(read_tar(content), "Unrecognized archive format")
            self.assertEqual(error.code, errno.EILSEQ)

    def test_bad_header_in_the_middle(self) -> None:
        """A bad header is damage, not the end."""
        packed = bytearray(tar_of(file_of("a"), file_of("b")))
        packed[1024] ^= 1

        error = self.refuse(read_tar(bytes(packed)), "at byte 1024")

        self.assertEqual(error.code, errno.EBADMSG)

    def test_cut_before_the_end_marker(self) -> None:
        """A tar without both of its last blocks was cut off."""
        packed = tar_of(file_of("a"))
        for size in (512, 1000, 1024, 1025, 1536, 2047):
            self.refuse(read_tar(packed[:size]), "damaged")

    def test_half_an_end_marker(self) -> None:
        """One zero block between members is damage."""
        packed = tar_of(file_of("a"))[:1024] + bytes(512) + tar_of(file_of("b"))

        self.refuse(read_tar(packed), "only one of the two blocks")

    def test_end_after_an_extended_header(self) -> None:
        """An extended header without a member is damage."""
        self.refuse(read_tar(pax_of(path="x") + bytes(1024)), "extended header")

    def test_huge_extended_headers(self) -> None:
        """An extended header beyond the limit is not read at all."""
        for type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME):
            info = info_of("x", type=type, size=2**33)
            packed = info.tobuf(tarfile.GNU_FORMAT) + bytes(2048)
            error = self.refuse(read_tar(packed), "extended header")
            self.assertEqual(error.code, errno.EFBIG)

    def test_chain_of_extended_headers(self) -> None:
        """Extended headers without end are refused, not followed."""
        packed = pax_of(mtime="1") * 5000 + tar_of(file_of("a"))

        self.refuse(read_tar(packed), "too many extended headers")

    def test_malformed_records(self) -> None:
        """Records of wrong length or form are damage."""
        for payload in (
            b"x",
            b"0 a=b\n",
            b"2 2 2 2 2 2 2=",
            b"99 a=b\n",
            b"6 a=b ",
            b"6 abc\n",
            b"-6 a=b\n",
            b"9" * 10_000 + b" hdrcharset=x\n",
        ):
            with self.assertRaises(SpoolError):
                list(pax_records(payload))

    def test_records(self) -> None:
        """Values may hold anything, newlines and equal signs included."""
        records = list(pax_records(b"6 a=b\n11 c=d\n=e\xff\n"))

        self.assertEqual(records, [(b"a", b"b"), (b"c", b"d\n=e\xff")])

    def test_negative_size(self) -> None:
        """A size below zero does not lead backwards."""
        info = info_of("a", size=-512)

        self.refuse(read_tar(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)), "negative")

    def test_ceiling(self) -> None:
        """Headers count for the length of the stream."""
        packed = tar_of(*(file_of(f"{index}", b"") for index in range(100)))

        error = self.assertRaises(SpoolError, list, read_tar(packed, 40 * 512))

        self.assertEqual(error.code, errno.EFBIG)

    def test_recognizes_tars(self) -> None:
        """A header or a block of zeros can begin a tar, nothing else can."""
        self.assertTrue(is_tar(tar_of(file_of("a"))))
        self.assertTrue(is_tar(bytes(512)))
        self.assertFalse(is_tar(bytes(511)))
        self.assertFalse(is_tar(b"x" * 512))


class SparseTests(TreeCase):
    """Sparse files, in the four ways of writing them."""

    data = b"A" * 600
    expected = bytes(1000) + data + bytes(400)

    def file(self, **fields: object) -> bytes:
        """Pack the stored part as an ordinary file."""
        return tar_of(file_of("f", self.data, **fields), format=tarfile.USTAR_FORMAT)

    def old(self, segments: Iterable[tuple[int, int]], size: int) -> bytes:
        """Pack in the oldest way."""
        header = bytearray(self.file()[:512])
        header[156:157] = tarfile.GNUTYPE_SPARSE
        header[257:265] = tars.GNU_MAGIC
        numbers = [number for segment in segments for number in segment]
        for index, number in enumerate(numbers):
            header[386 + 12 * index : 398 + 12 * index] = b"%011o\0" % number
        header[483:495] = b"%011o\0" % size
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        return bytes(header) + self.file()[512:]

    def test_old_gnu(self) -> None:
        """Maps in the header work."""
        found = self.unpack(read_tar(self.old([(1000, 600)], 2000)))

        self.assertEqual(found, {"f": self.expected})

    def test_version_0_0(self) -> None:
        """Maps as repeated records work."""
        payload = b"".join(
            b"%d %s\n" % (len(record) + 4, record)
            for record in (
                b"GNU.sparse.offset=1000",
                b"GNU.sparse.numbytes=600",
                b"GNU.sparse.size=2000",
            )
        )
        packed = header_of(tarfile.XHDTYPE, payload) + self.file()

        self.assertEqual(self.unpack(read_tar(packed)), {"f": self.expected})

    def test_version_0_1(self) -> None:
        """Maps in one record work."""
        header = pax_of(
            GNU__sparse__map="1000,600", GNU__sparse__size="2000", GNU__sparse__name="g"
        )

        found = self.unpack(read_tar(header + self.file()))

        self.assertEqual(found, {"g": self.expected})

    def test_version_1_0(self) -> None:
        """Maps in front of the data work."""
        header = pax_of(
            GNU__sparse__major="1", GNU__sparse__realsize="2000", GNU__sparse__name="g"
        )
        content = b"1\n1000\n600\n".ljust(512, b"\0") + self.data
        packed = header + tar_of(file_of("f", content), format=tarfile.USTAR_FORMAT)

        self.assertEqual(self.unpack(read_tar(packed)), {"g": self.expected})

    def test_map_without_end(self) -> None:
        """A map that does not end in the data is damage."""
        header = pax_of(GNU__sparse__major="1", GNU__sparse__realsize="2000")
        for content in (b"9" * 4096, b"2\n1\n" + bytes(508), b"", b"999999999\n"):
            content = content.ljust(-(-len(content) // 512) * 512, b"\0")
            packed = header + tar_of(file_of("f", content), format=tarfile.USTAR_FORMAT)
            self.refuse(read_tar(packed))

    def test_hostile_maps(self) -> None:
        """Parts that overlap, go beyond the file or the data are damage."""
        for segments, size in (
            ([(1000, 300), (1100, 300)], 2000),
            ([(1000, 300), (0, 300)], 2000),
            ([(1000, 600)], 1500),
            ([(0, 6000)], 6000),
        ):
            self.refuse(read_tar(self.old(segments, size)), "sparse file")

    def test_holes_count(self) -> None:
        """A file of nothing but a hole is as large as it looks."""
        self.limits = SpoolLimits(file=10_000)

        error = self.refuse(read_tar(self.old([(0, 600)], 10_001)), "'f'")

        self.assertEqual(error.code, errno.EFBIG)

    def test_holes_take_no_space(self) -> None:
        """Holes stay holes on the disk."""
        self.unpack(read_tar(self.old([(0, 600)], 50_000_000)))

        found = os.stat(os.path.join(self.top, "f"))
        self.assertEqual(found.st_size, 50_000_000)
        self.assertLess(found.st_blocks * 512, 1_000_000)


class ZipTests(TreeCase):
    """Members of zips."""

    def test_members(self) -> None:
        """Files, directories and links of UNIX come through."""
        packed = zip_of(
            (zip_info("d/", 0o40755), b""),
            (zip_info("d/run", 0o100755), b"#!"),
            (zip_info("link", 0o120777), b"d/run"),
        )

        found = self.unpack(read_zip(packed))

        self.assertEqual(found, {"d": None, "d/run": b"#!", "link": "d/run"})
        self.assertEqual(self.mode("d/run"), 0o755)

    def test_stored(self) -> None:
        """Members that are not compressed work."""
        packed = zip_of((zip_info("a"), b"text"), method=zipfile.ZIP_STORED)

        self.assertEqual(self.unpack(read_zip(packed)), {"a": b"text"})

    def test_without_modes(self) -> None:
        """A zip from elsewhere has usual modes."""
        packed = zip_of(
            (zip_info("d/", 0, create_system=0), b""),
            (zip_info("d/f", 0, create_system=0), b"x"),
        )

        self.assertEqual(self.unpack(read_zip(packed)), {"d": None, "d/f": b"x"})
        self.assertEqual((self.mode("d"), self.mode("d/f")), (0o755, 0o644))

    def test_names_of_any_bytes(self) -> None:
        """Names made on UNIX keep their bytes, though zipfile decodes them."""
        packed = zip_of((zip_info("nam_"), b"x")).replace(b"nam_", b"nam\xe9")

        (member,) = read_zip(packed)

        self.assertEqual(member.name, b"nam\xe9")

    def test_names_in_unicode(self) -> None:
        """Names marked as UTF-8 are."""
        (member,) = read_zip(zip_of((zip_info("имя"), b"x")))

        self.assertEqual(member.name, "имя".encode())

    def test_bad_unicode(self) -> None:
        """A name that is marked as UTF-8 and is not is damage."""
        packed = zip_of((zip_info("é"), b"x")).replace("é".encode(), b"\xe9\xe9")

        self.refuse(read_zip(packed), "damaged")

    def test_name_with_nul(self) -> None:
        """zipfile cuts names at a NUL; we refuse them."""
        packed = zip_of((zip_info("a_b"), b"x")).replace(b"a_b", b"a\0b")

        self.refuse(read_zip(packed), "NUL")

    def test_time_field(self) -> None:
        """The field in UTC wins over the local time."""
        extra = struct.pack("<HHBi", 0x5455, 5, 1, 1234567890)
        packed = zip_of((zip_info("a", extra=extra), b"x"), (zip_info("b"), b"x"))

        times = [member.mtime for member in read_zip(packed)]

        self.assertEqual(times, [1234567890.0, 1577934246.0])

    def test_specials_are_refused(self) -> None:
        """Devices, FIFOs and sockets are refused."""
        for mode in (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK):
            self.refuse(read_zip(zip_of((zip_info("x", mode | 0o644), b""))), "'x'")

    def test_encrypted(self) -> None:
        """An encrypted member is refused with the remedy."""
        packed = bytearray(zip_of((zip_info("x"), b"x")))
        packed[6] |= 1
        packed[packed.index(b"PK\1\2") + 8] |= 1

        self.refuse(read_zip(bytes(packed)), "encrypted", "without a password")

    def test_other_methods(self) -> None:
        """Methods whose memory cannot be bounded are refused."""
        for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            packed = zip_of((zip_info("x"), b"x" * 100), method=method)
            self.refuse(read_zip(packed), "deflate")

    def test_overlapping_members(self) -> None:
        """Members that share their data are a bomb."""
        packed = zip_of((zip_info("x"), bytes(10_000)), (zip_info("y"), b""))
        at = packed.rindex(b"PK\1\2")
        first = packed.index(b"PK\1\2")
        entry = packed[first:at]

        hostile = packed[:first] + entry + entry + packed[at + len(entry) :]

        self.refuse(read_zip(hostile), "overlaps")

    def test_two_names(self) -> None:
        """The name in the list has to be that in front of the data."""
        packed = zip_of((zip_info("name"), b"x")).replace(b"name", b"eman", 1)

        self.refuse(read_zip(packed), "another name", "'name'")

    def test_wrong_checksum(self) -> None:
        """Data that do not match their checksum are damage."""
        packed = zip_of((zip_info("x"), b"text"), method=zipfile.ZIP_STORED)

        self.refuse(read_zip(packed.replace(b"text", b"test")), "checksum")

    def test_more_data_than_claimed(self) -> None:
        """Real bytes count: a header cannot hide a bomb."""
        packed = bytearray(zip_of((zip_info("x"), bytes(3_000_000))))
        at = packed.index(b"PK\1\2") + 24
        packed[at : at + 4] = struct.pack("<I", 10)

        self.refuse(read_zip(bytes(packed)), "checksum or size")

        self.assertLess(os.stat(os.path.join(self.top, "x")).st_size, 3_000_000)

    def test_number_of_members(self) -> None:
        """Members are counted before a list of them is built."""
        packed = zip_of(*((zip_info(f"{index}"), b"") for index in range(5)))

        error = self.refuse(read_zip(packed, SpoolLimits(members=4)), "5 members")

        self.assertEqual(error.code, errno.EFBIG)

    def test_over_long_link(self) -> None:
        """The target of a link is not read without end."""
        packed = zip_of((zip_info("l", 0o120777), b"t" * 5000))

        self.refuse(read_zip(packed), "over-long")

    def test_directory_that_is_a_file(self) -> None:
        """A name that contradicts its mode is refused."""
        self.refuse(
            read_zip(zip_of((zip_info("x/", 0o100644), b""))), "directory by name"
        )

    def test_no_list(self) -> None:
        """A zip without its end is damage."""
        self.refuse(read_zip(zip_of((zip_info("x"), b"x"))[:-10]), "damaged")

    def test_recognizes_zips(self) -> None:
        """Zips are recognized, empty ones too."""
        self.assertTrue(is_zip(zip_of((zip_info("x"), b""))))
        self.assertTrue(is_zip(zip_of()))
        self.assertFalse(is_zip(zlib.compress(b"")))


def file(name: bytes, content: bytes = b"x", mode: int = 0o644) -> Member:
    """Make a file."""
    return Member(name, Kind.FILE, mode, size=len(content), content=[content])


def directory(name: bytes, mode: int = 0o755) -> Member:
    """Make a directory."""
    return Member(name, Kind.DIRECTORY, mode)


def symlink(name: bytes, target: bytes) -> Member:
    """Make a symbolic link."""
    return Member(name, Kind.SYMLINK, target=target)


def hardlink(name: bytes, target: bytes) -> Member:
    """Make a hard link."""
    return Member(name, Kind.HARDLINK, target=target)


class TreeTests(TreeCase):
    """What is written, and what is refused."""

    def test_directories_on_the_way(self) -> None:
        """Directories that no member names are made."""
        self.assertEqual(
            self.unpack([file(b"a/b/c")]), {"a": None, "a/b": None, "a/b/c": b"x"}
        )
        self.assertEqual(self.mode("a/b"), 0o755)

    def test_dots_and_slashes(self) -> None:
        """Dots and doubled slashes mean nothing."""
        members = [directory(b"./"), file(b"./a//b/./c"), directory(b".")]

        self.assertEqual(self.unpack(members), {"a": None, "a/b": None, "a/b/c": b"x"})

    def test_folder_named_slash(self) -> None:
        """What the published tool packs: the folder first, under "/"."""
        packed = tar_of(directory_of("/"), file_of("worker"))

        self.assertEqual(self.unpack(read_tar(packed)), {"worker": b"x"})

    def test_names_below_a_folder_named_slash(self) -> None:
        """After such a member, a leading slash is the folder."""
        members = [directory(b"/"), file(b"/a/worker"), hardlink(b"/b", b"/a/worker")]

        self.assertEqual(self.unpack(members), {"a": None, "a/worker": b"x", "b": b"x"})

    def test_folder_named_slash_later(self) -> None:
        """Only as the first member it gives leading slashes that meaning."""
        self.refuse([file(b"a"), directory(b"/"), file(b"/b")], "absolute", "'/b'")

    def test_names_that_lead_outside(self) -> None:
        """Absolute names and names that climb are refused for every kind."""
        for name in (b"/etc/passwd", b"..", b"../x", b"a/../../x", b"a/..", b"a/../b"):
            for member in (
                file(name),
                directory(name),
                symlink(name, b"x"),
                hardlink(name, b"x"),
            ):
                self.refuse([member], show(name))
        self.assertEqual(listing(self.top), {})

    def test_names_that_cannot_be(self) -> None:
        """NULs, over-long names and parts, and no name at all are refused."""
        for name, word in (
            (b"a\0b", "NUL"),
            (b"n" * 256, "over-long"),
            (b"n/" * 2048 + b"n", "over-long"),
            (b"", "without a name"),
            (b"./", "without a name"),
        ):
            self.refuse([file(name)], word)

    def test_longest_part(self) -> None:
        """A part of 255 bytes is fine."""
        self.assertEqual(self.unpack([file(b"n" * 255)]), {"n" * 255: b"x"})

    def test_depth(self) -> None:
        """Names with as many parts as allowed pass, one more does not."""
        self.limits = SpoolLimits(depth=3)
        self.unpack([file(b"a/b/c")])

        error = self.refuse([file(b"a/b/c/d")], "3 directories deep")

        self.assertEqual(error.code, errno.ENAMETOOLONG)

    def test_names_of_any_bytes(self) -> None:
        """A name that is no UTF-8 is written as it is."""
        self.unpack([file(b"caf\xe9")])

        self.assertEqual(os.listdir(os.fsencode(self.top)), [b"caf\xe9"])

    def test_modes(self) -> None:
        """The executable bit stays; what others may write and set-id go."""
        for mode, expected in (
            (0o777, 0o755),
            (0o6755, 0o755),
            (0o1666, 0o644),
            (0o555, 0o555),
            (0o000, 0o400),
            (-1, 0o755),
        ):
            self.unpack([file(b"f", mode=mode)])
            self.assertEqual(self.mode("f"), expected)

    def test_modes_of_directories(self) -> None:
        """A directory can always be entered and emptied by us."""
        self.unpack([directory(b"d", 0o2077), file(b"d/f")])

        self.assertEqual(self.mode("d"), 0o755)

    def test_top_keeps_its_mode(self) -> None:
        """The archive has no say about the top directory."""
        self.unpack([directory(b"./", 0o777)])

        self.assertEqual(stat.S_IMODE(os.stat(self.top).st_mode), 0o700)

    def test_times(self) -> None:
        """Times are restored; impossible ones are not."""
        for mtime in (-1.0, 1e30, None):
            self.unpack([Member(b"f", Kind.FILE, mtime=mtime)])
            self.assertGreater(os.stat(os.path.join(self.top, "f")).st_mtime, 1e9)
        self.unpack([Member(b"f", Kind.FILE, mtime=1000.5)])

        self.assertEqual(os.stat(os.path.join(self.top, "f")).st_mtime, 1000.5)

    def test_later_file_counts(self) -> None:
        """A file that comes again replaces the first, even a read-only one."""
        members = [file(b"f", b"long ago", 0o400), file(b"f", b"new")]

        self.assertEqual(self.unpack(members), {"f": b"new"})

    def test_replacing_leaves_hard_links(self) -> None:
        """A replaced file does not change what was linked to it."""
        members = [file(b"f", b"1"), hardlink(b"g", b"f"), file(b"f", b"2")]

        self.assertEqual(self.unpack(members), {"f": b"2", "g": b"1"})

    def test_members_that_change_type(self) -> None:
        """Nothing becomes something else."""
        self.unpack([file(b"f"), directory(b"d"), symlink(b"s", b"d")])
        for member in (
            directory(b"f"),
            symlink(b"f", b"d"),
            file(b"d"),
            symlink(b"d", b"f"),
            hardlink(b"d", b"f"),
            file(b"s"),
            directory(b"s"),
            file(b"f/x"),
        ):
            self.refuse([member], show(member.name))
        self.assertEqual(listing(self.top), {"f": b"x", "d": None, "s": "d"})

    def test_writing_through_links(self) -> None:
        """Nothing is written below a link, though it points inside."""
        self.unpack([directory(b"d"), symlink(b"s", b"d")])
        for name in (b"s/x", b"s/y/x"):
            self.refuse([file(name)], "below a file or link")
            self.refuse([directory(name)], "below a file or link")

        self.assertEqual(listing(self.top), {"d": None, "s": "d"})

    def test_links_inside(self) -> None:
        """Links may climb to their own top, dangle and replace each other."""
        members = [
            symlink(b"a/b/up", b"../../x"),
            symlink(b"a/top", b".."),
            symlink(b"self", b"."),
            symlink(b"self", b"a/b"),
        ]

        found = self.unpack(members)

        self.assertEqual(found["a/b/up"], "../../x")
        self.assertEqual(found["a/top"], "..")
        self.assertEqual(found["self"], "a/b")

    def test_links_outside(self) -> None:
        """Links that are absolute or climb too far are refused."""
        for name, target in (
            (b"s", b"/etc"),
            (b"s", b".."),
            (b"s", b"./../x"),
            (b"a/s", b"../../x"),
            (b"a/b/s", b".././../../x"),
            (b"s", b""),
            (b"s", b"x\0"),
            (b"s", b"t" * 4096),
        ):
            self.refuse([symlink(name, target)], "points to")

    def test_chain_of_links(self) -> None:
        """A link cannot climb from where another link leads."""
        members = [directory(b"d1/d2"), symlink(b"d1/d2/up", b"../..")]
        self.unpack(members)

        self.refuse([symlink(b"out", b"d1/d2/up/..")], "'..' may only be")

    def test_hard_links(self) -> None:
        """A hard link shares the file."""
        self.unpack([file(b"a/f"), hardlink(b"b/g", b"a/./f")])

        one, two = (os.stat(os.path.join(self.top, name)) for name in ("a/f", "b/g"))
        self.assertEqual(one.st_ino, two.st_ino)

    def test_hard_links_to_other_things(self) -> None:
        """Hard links are made to files of the archive only."""
        self.unpack(
            [file(b"f"), directory(b"d"), symlink(b"s", b"f"), symlink(b"t", b"d")]
        )
        for target in (
            b"nothing",
            b"d",
            b"s",
            b"t/x",
            b"f/x",
            b"",
            b"../x",
            b"/f",
            b"h",
        ):
            self.refuse([hardlink(b"h", target)], "'h'")

    def test_hard_link_to_itself(self) -> None:
        """A hard link to itself would remove the file."""
        self.unpack([file(b"f")])

        self.refuse([hardlink(b"f", b"./f")], "itself")

        self.assertEqual(listing(self.top), {"f": b"x"})

    def test_size_of_a_file(self) -> None:
        """A file is stopped at the limit, whatever it claims."""
        self.limits = SpoolLimits(file=10)
        self.unpack([file(b"f", b"x" * 10)])
        honest = file(b"a", b"x" * 11)
        lying = Member(b"b", Kind.FILE, content=[b"x" * 6, b"x" * 6])

        for member in (honest, lying):
            error = self.refuse([member], "10 bytes", show(member.name))
            self.assertEqual(error.code, errno.EFBIG)
        self.assertEqual(os.stat(os.path.join(self.top, "b")).st_size, 6)

    def test_size_of_all_files(self) -> None:
        """All files together are stopped at the limit, replaced ones included."""
        self.limits = SpoolLimits(unpacked=10)

        error = self.refuse([file(b"f", b"x" * 4)] * 3, "10 bytes for all")

        self.assertEqual(error.code, errno.EFBIG)

    def test_number_of_members(self) -> None:
        """Members count, directories made on the way too."""
        self.limits = SpoolLimits(members=3)
        self.unpack([directory(b"a"), file(b"a/b"), file(b"a/c")])

        for members in ([file(b"x/y/z/f")], [directory(b"a")] * 4):
            error = self.refuse(members, "more than 3 members")
            self.assertEqual(error.code, errno.EFBIG)
