# -*- test-case-name: cocained.test.test_isolates_archive_tree -*-
"""
The tree that an archive is written to.
"""

from __future__ import annotations

import errno
import os
import stat

from cocained.isolates.archive.members import (
    Kind,
    Member,
    SpoolLimits,
    show,
)
from cocained.test.archive_case import (
    TreeCase,
    directory_of,
    file_of,
    listing,
    read_tar,
    tar_of,
)


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
