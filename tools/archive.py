# -*- test-case-name: cocained.test.test_tools_archive -*-
"""
A folder to an archive that a node can unpack.

The archive is made in memory, where it has to be to leave in one frame.  It is
the same for the same folder: sorted, without owners or times of packing.
Folders of version control, virtual environments and Python's caches stay out.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from cocained.tools.failures import BadValue, ToolError
from cocained.tools.output import size_text
from cocained.tools.store import BLOB_LIMIT

#: Folders that no app runs from, by name.
SKIPPED = frozenset(
    (".git", ".hg", ".svn", ".bzr", ".venv", "__pycache__", ".tox", ".mypy_cache")
)

#: Most members, skipped ones apart.  A folder that holds more, such as a home
#: directory, was not meant.
MEMBER_LIMIT = 100_000

#: Deepest folder; a loop of mounts would otherwise never end.
DEPTH_LIMIT = 100

#: gzip's usual trade of time for size.
COMPRESSION = 6


@dataclass(frozen=True)
class Member:
    """
    One file, folder or link to be packed.

    :param path: where it is.
    :param name: its name in the archive, relative to the folder.
    :param size: bytes of a file, else 0.
    """

    path: str
    name: str
    size: int


@dataclass(frozen=True)
class Listing:
    """
    What a folder holds.

    :param members: sorted, folders in front of what is in them.
    :param skipped: names of folders and special files left out.
    """

    members: list[Member]
    skipped: list[str]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(member.size for member in self.members)


def list_folder(folder: str) -> Listing:
    """
    List what is to be packed.

    :raises BadValue: it is no folder.
    :raises ToolError: it cannot be read, or holds too much.
    """
    if not os.path.isdir(folder):
        raise BadValue(
            f"{folder} is no folder", "give the folder of the app, or use --package"
        )
    listing = Listing([], [])
    _list_into(listing, folder, "", 0)
    return listing


def _list_into(listing: Listing, folder: str, prefix: str, depth: int) -> None:
    if depth > DEPTH_LIMIT:
        raise ToolError(f"{folder} lies deeper than {DEPTH_LIMIT} folders")
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: os.fsencode(entry.name))
        for entry in entries:
            name = prefix + entry.name
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                if entry.name in SKIPPED:
                    listing.skipped.append(name)
                    continue
                listing.members.append(Member(entry.path, name, 0))
                _list_into(listing, entry.path, f"{name}/", depth + 1)
            elif stat.S_ISREG(status.st_mode):
                listing.members.append(Member(entry.path, name, status.st_size))
            elif stat.S_ISLNK(status.st_mode):
                _check_link(entry.path, name)
                listing.members.append(Member(entry.path, name, 0))
            else:
                listing.skipped.append(name)
    except OSError as error:
        raise _unreadable(error, folder) from error
    if len(listing.members) > MEMBER_LIMIT:
        raise ToolError(
            f"the app has more than {MEMBER_LIMIT} files",
            "leave out what it does not need to run",
        )


def _check_link(path: str, name: str) -> None:
    """Refuse a link that would lead elsewhere on the node."""
    target = os.readlink(path)
    reached = os.path.normpath(os.path.join(os.path.dirname(name), target))
    if os.path.isabs(target) or reached.split("/")[0] == "..":
        raise ToolError(
            f"the link {name} leads out of the app, to {target}",
            "put a copy in its place: the node has no such file",
        )


def _unreadable(error: OSError, path: str) -> ToolError:
    return ToolError(f"{error.filename or path} cannot be read: {error.strerror}")


class _Bounded(io.BytesIO):
    """Memory that does not take more than one frame can carry."""

    @override
    def write(self, data: Any) -> int:
        if self.tell() + len(data) > BLOB_LIMIT:
            raise ToolError(
                f"the packed app is larger than {size_text(BLOB_LIMIT)}, the most"
                " that a node takes in one frame",
                "leave out what it does not need to run, or have it fetched when"
                " it starts",
            )
        return super().write(data)


def pack_members(
    listing: Listing, advance: Callable[[int, int], None]
) -> Iterator[bytes]:
    """
    Pack what was listed.

    :param advance: hears of the bytes packed so far, and of all of them.
    :returns: an empty chunk after each member, for the caller to breathe, and
        the archive at last.
    :raises ToolError: a file cannot be read, or it becomes too large.
    """
    whole = listing.size
    done = 0
    target = _Bounded()
    with (
        gzip.GzipFile("", "wb", COMPRESSION, target, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for member in listing.members:
            try:
                _add(tar, member)
            except OSError as error:
                raise _unreadable(error, member.path) from error
            done += member.size
            advance(done, whole)
            yield b""
    yield target.getvalue()


def _add(tar: tarfile.TarFile, member: Member) -> None:
    info = tar.gettarinfo(member.path, member.name)
    if info.islnk():
        # A second name of a file packed already: a file of its own is safer.
        info.type = tarfile.REGTYPE
        info.linkname = ""
        info.size = os.stat(member.path).st_size
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    # Whole seconds: fractions would need a header of their own.
    info.mtime = int(info.mtime)
    if info.isreg():
        with open(member.path, "rb") as file:
            tar.addfile(info, file)
    else:
        tar.addfile(info)


def find_manifest(folder: str) -> str:
    """
    Find the manifest of an app.

    :returns: the first file whose name begins with ``manifest``;
        ``manifest.json`` and the top folder come first.
    :raises BadValue: there is none.
    """
    found = [
        member
        for member in list_folder(folder).members
        if os.path.basename(member.name).startswith("manifest")
        and os.path.isfile(member.path)
    ]
    if not found:
        raise BadValue(
            f"there is no manifest in {folder}",
            'write one as manifest.json, such as {"slave": "app.py"}, or name it'
            " with --manifest",
        )

    def rank(member: Member) -> tuple[int, bool, str]:
        base = os.path.basename(member.name)
        return member.name.count("/"), base != "manifest.json", member.name

    return min(found, key=rank).path


def read_package(path: str) -> bytes:
    """
    Read an archive that was packed elsewhere.

    :raises BadValue: it is no tar, of any compression Python reads.
    :raises ToolError: it is too large.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(BLOB_LIMIT + 1)
    except OSError as error:
        raise BadValue(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > BLOB_LIMIT:
        raise ToolError(
            f"{path} is larger than {size_text(BLOB_LIMIT)}, the most that a node"
            " takes in one frame"
        )
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            tar.next()
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise BadValue(
            f"{path} is no tar archive: {error}", "pack it with `tar czf`"
        ) from error
    return data
