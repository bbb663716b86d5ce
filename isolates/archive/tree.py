# -*- test-case-name: cocained.test.test_isolates_archive_tree -*-
"""
Writes members into a fresh directory, and never outside it.

What the disk holds is the only record of what has been written: no table
grows with the archive.  Three rules make that safe:

* nothing is written through a symbolic link, and a directory is never
  replaced, so the way to a member stays what it was when it was checked;
* the target of a symbolic link may climb (``..``) at its begin only.  There it
  starts from a real directory, so counting the steps is exact; further down
  it could pass a link and climb from somewhere else;
* a hard link is made to regular files only, as a symbolic link would mean
  something else in another directory.
"""

from __future__ import annotations

import errno
import os
import stat

from cocained.errors import SpoolError
from cocained.isolates.archive.members import (
    Kind,
    Member,
    SpoolLimits,
    disk_error,
    refused,
    show,
)

#: Bytes of one part of a name (NAME_MAX of every file system in use).
MAX_PART = 255

#: Bytes of a whole name or link target (PATH_MAX).
MAX_NAME = 4096

#: Permissions that survive: nothing for others to write, no set-id bits.
KEPT_MODE = 0o755

#: Times that every file system can hold, in seconds: 1970 to 2106.
MAX_TIME = 2**32 - 1


class Tree:
    """
    A directory that grows member by member.

    :param top: an empty directory that nobody else writes to.
    :param limits: what the archive may ask for.
    """

    def __init__(self, top: str, limits: SpoolLimits) -> None:
        self._top = os.fsencode(top)
        self._limits = limits
        self._members = 0
        self._rooted = False
        self._unpacked = 0
        # The directory of the last member: most often also that of the next.
        self._parts: list[bytes] = []
        self._directory = self._top

    def add(self, member: Member) -> None:
        """
        Write one member.

        A file or link may come twice, and the later one counts, as when a tar
        was appended to.  Times of directories are not restored.

        :raises SpoolError: it is refused, exceeds a limit, or the disk fails.
        """
        self._count()
        parts = self._split(member)
        try:
            if member.kind is Kind.DIRECTORY:
                self._add_directory(parts, member)
            elif not parts:
                raise refused(member.name, f"is a {member.kind.value} without a name")
            else:
                place = self._enter(parts[:-1], member) + b"/" + parts[-1]
                if member.kind is Kind.FILE:
                    self._add_file(place, member)
                elif member.kind is Kind.SYMLINK:
                    self._add_symlink(place, parts, member)
                else:
                    self._add_hardlink(place, member)
        except OSError as error:
            raise disk_error(
                error,
                f"cannot write archive member {show(member.name)} below"
                f" {show(os.path.dirname(self._top))}",
            ) from error

    def write(self, descriptor: int, data: bytes | memoryview) -> None:
        """Write all of *data*; where the disk's errors come from."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def _count(self) -> None:
        self._members += 1
        if self._members > self._limits.members:
            raise SpoolError(
                f"the archive has more than {self._limits.members} members;"
                " pack fewer files or raise the limit",
                errno.EFBIG,
            )

    def _grow(self, member: Member, size: int, added: int) -> None:
        self._unpacked += added
        if size > self._limits.file:
            raise refused(
                member.name,
                f"has more than {self._limits.file} bytes, the limit for one file",
                errno.EFBIG,
            )
        if self._unpacked > self._limits.unpacked:
            raise refused(
                member.name,
                f"exceeds the limit of {self._limits.unpacked} bytes for all files",
                errno.EFBIG,
            )

    def _split(self, member: Member) -> list[bytes]:
        # The published tool packs the folder itself as "/", and so tells that
        # its names are meant from there.
        name = member.name
        if not name.strip(b"/") and member.kind is Kind.DIRECTORY:
            self._rooted = self._rooted or self._members == 1
            return []
        return self._parts_of(name, name)

    def _parts_of(self, name: bytes, shown: bytes) -> list[bytes]:
        if b"\0" in name:
            raise refused(shown, "has a NUL in its name")
        if name.startswith(b"/") and not self._rooted:
            raise refused(shown, "has an absolute name; pack the folder's content")
        if len(name) > MAX_NAME:
            raise refused(shown, "has an over-long name", errno.ENAMETOOLONG)
        parts = [part for part in name.split(b"/") if part not in (b"", b".")]
        if b".." in parts:
            raise refused(shown, "has a name with '..' in it")
        if any(len(part) > MAX_PART for part in parts):
            raise refused(shown, "has an over-long name", errno.ENAMETOOLONG)
        if len(parts) > self._limits.depth:
            raise refused(
                shown,
                f"lies more than {self._limits.depth} directories deep",
                errno.ENAMETOOLONG,
            )
        return parts

    def _enter(self, parts: list[bytes], member: Member) -> bytes:
        # Make the directories that lead to a member; each is looked at, for
        # an earlier member may have put a link in its place.
        if parts == self._parts:
            return self._directory
        directory = self._top
        for depth, part in enumerate(parts, 1):
            directory += b"/" + part
            form = _form(directory)
            if not form:
                if depth < len(parts) or member.kind is not Kind.DIRECTORY:
                    self._count()
                os.mkdir(directory, 0o700)
                os.chmod(directory, 0o755)
            elif form != stat.S_IFDIR:
                raise refused(member.name, "would lie below a file or link")
        self._parts = parts
        self._directory = directory
        return directory

    def _add_directory(self, parts: list[bytes], member: Member) -> None:
        directory = self._enter(parts, member)
        if parts:
            os.chmod(directory, member.mode & KEPT_MODE | 0o700)

    def _add_file(self, place: bytes, member: Member) -> None:
        self._grow(member, member.size, 0)
        self._replace(place, member, stat.S_IFREG)
        descriptor = os.open(
            place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600
        )
        try:
            self._fill(descriptor, member)
            os.fchmod(descriptor, member.mode & KEPT_MODE | 0o400)
            if member.mtime is not None and 0 <= member.mtime <= MAX_TIME:
                os.utime(descriptor, (member.mtime, member.mtime))
        finally:
            os.close(descriptor)

    def _fill(self, descriptor: int, member: Member) -> None:
        size = 0
        hollow = False
        for piece in member.content:
            hollow = isinstance(piece, int)
            added = piece if isinstance(piece, int) else len(piece)
            size += added
            self._grow(member, size, added)
            if isinstance(piece, int):
                os.lseek(descriptor, size, os.SEEK_SET)
            else:
                self.write(descriptor, piece)
        if hollow:
            os.ftruncate(descriptor, size)

    def _add_symlink(self, place: bytes, parts: list[bytes], member: Member) -> None:
        target = member.target
        if not target or b"\0" in target or len(target) >= MAX_NAME:
            raise refused(member.name, "points to an impossible name")
        if target.startswith(b"/"):
            raise refused(
                member.name,
                f"points to {show(target)}, outside the app; use a relative link",
            )
        steps = [step for step in target.split(b"/") if step not in (b"", b".")]
        climbs = 0
        while climbs < len(steps) and steps[climbs] == b"..":
            climbs += 1
        if climbs > len(parts) - 1:
            raise refused(member.name, f"points to {show(target)}, outside the app")
        if b".." in steps[climbs:]:
            raise refused(
                member.name,
                f"points to {show(target)}; '..' may only be at the begin of a link",
            )
        self._replace(place, member, stat.S_IFLNK)
        os.symlink(target, place)

    def _add_hardlink(self, place: bytes, member: Member) -> None:
        parts = self._parts_of(member.target, member.name)
        source = self._top
        for part in parts[:-1]:
            source += b"/" + part
            if _form(source) != stat.S_IFDIR:
                parts = []
                break
        if parts:
            source += b"/" + parts[-1]
        if not parts or _form(source) != stat.S_IFREG:
            raise refused(
                member.name,
                f"is a hard link to {show(member.target)}, which is no file"
                " of the archive before it",
            )
        if source == place:
            raise refused(member.name, "is a hard link to itself")
        self._replace(place, member, stat.S_IFREG)
        os.link(source, place, follow_symlinks=False)

    def _replace(self, place: bytes, member: Member, form: int) -> None:
        # Clear the place of an earlier member of the same name and type.
        existing = _form(place)
        if not existing:
            return
        if existing != form:
            raise refused(member.name, "comes twice, and not as the same type")
        os.unlink(place)


def _form(place: bytes) -> int:
    # The type of what is there, never following links; 0 for nothing.
    try:
        return stat.S_IFMT(os.lstat(place).st_mode)
    except FileNotFoundError:
        return 0
