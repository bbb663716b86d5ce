"""
Archives and trees to take apart.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import SpoolError
from cocained.isolates.archive.members import (
    Member,
    SpoolLimits,
)
from cocained.isolates.archive.streams import Source, plain
from cocained.isolates.archive.tars import tar_members
from cocained.isolates.archive.tree import Tree
from cocained.isolates.archive.zips import zip_members

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
