# -*- test-case-name: cocained.test.test_isolates_archive_zips -*-
"""
Readers of zip archives.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import zipfile
import zlib

from cocained.isolates.archive.members import (
    SpoolLimits,
)
from cocained.isolates.archive.zips import is_zip
from cocained.test.archive_case import TreeCase, read_zip, zip_info, zip_of


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
