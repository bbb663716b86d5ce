# -*- test-case-name: cocained.test.test_isolates_archive_tars -*-
"""
Readers of tar archives.
"""

from __future__ import annotations

import errno
import os
import tarfile
from collections.abc import Iterable

from cocained.errors import SpoolError
from cocained.isolates.archive import tars
from cocained.isolates.archive.members import (
    Kind,
    SpoolLimits,
)
from cocained.isolates.archive.tars import is_tar, pax_records
from cocained.test.archive_case import (
    TreeCase,
    file_of,
    header_of,
    info_of,
    link_of,
    listing,
    pax_of,
    read_tar,
    tar_of,
)


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
