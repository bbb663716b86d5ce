# -*- test-case-name: cocained.test.test_isolates_archive -*-
"""What the readers of archives and the writer of trees have in common."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Annotated

import msgspec

from cocained.errors import SpoolError

#: Bytes of a name that an error repeats: enough to find the member, too few
#: to fill a log with.
SHOWN_NAME = 200

#: What helps against errors of the disk.
REMEDIES = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there or raise the quota",
    errno.EROFS: "mount it writable or configure another spool directory",
    errno.EACCES: "let the node's user write there",
    errno.EPERM: "let the node's user write there",
}

Positive = Annotated[int, msgspec.Meta(ge=1)]


class SpoolLimits(
    msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True
):
    """
    How much an archive may ask of the machine (ours).

    :ivar unpacked: bytes of all files together, holes of sparse files
        included, since whoever copies the tree pays for them.  Default 2 GiB:
        a runtime with its libraries and a model fit, a bomb fills no disk.
    :ivar file: bytes of one file.  Default 1 GiB: half of the above.
    :ivar members: files, links and directories, those made on the way to a
        member included.  Default 200 000: several times a large ``npm`` tree.
    :ivar depth: parts of one member's name.  Default 64: nested packages stay
        below 40, and code that walks a tree recursively copes with 64.
    :ivar decoder_memory: bytes that the xz decoder may take.  Default
        128 MiB: ``xz -9`` needs 65.
    """

    unpacked: Positive = 2 * 1024**3
    file: Positive = 1024**3
    members: Positive = 200_000
    depth: Positive = 64
    decoder_memory: Positive = 128 * 1024**2


class Kind(Enum):
    """What a member is; there are no others that we would write."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symbolic link"
    HARDLINK = "hard link"


@dataclass(frozen=True, slots=True)
class Member:
    """
    One entry of an archive, nothing about it believed yet.

    :ivar name: as the archive spells it, any bytes.
    :ivar mode: permission bits, and whatever else the archive put there.
    :ivar mtime: seconds since the epoch; ``None`` if unknown or nonsense.
    :ivar size: bytes that a file claims to have.
    :ivar target: where a link points, as the archive spells it.
    :ivar content: of a file, piece by piece; an ``int`` is a hole of so many
        bytes.  To be used up before the next member is asked for.
    """

    name: bytes
    kind: Kind
    mode: int = 0o644
    mtime: float | None = None
    size: int = 0
    target: bytes = b""
    content: Iterable[bytes | memoryview | int] = ()


def show(name: bytes) -> str:
    """Write *name* such that any log, terminal and peer can take it."""
    text = name[:SHOWN_NAME].decode("utf-8", "backslashreplace")
    return repr(text) + ("…" if len(name) > SHOWN_NAME else "")


def refused(name: bytes, reason: str, code: int = errno.EINVAL) -> SpoolError:
    """Make the error for a member that we will not write."""
    return SpoolError(f"archive member {show(name)} {reason}", code)


def damaged(reason: str) -> SpoolError:
    """Make the error for an archive that is cut off or broken."""
    return SpoolError(f"damaged archive: {reason}; upload the app again", errno.EBADMSG)


def unrecognized(reason: str) -> SpoolError:
    """Make the error for what is no archive at all (N9: code 84)."""
    return SpoolError(
        f"Unrecognized archive format: {reason}; tar, tar.gz, tar.bz2, tar.xz"
        " and zip are known",
        errno.EILSEQ,
    )


def disk_error(error: OSError, what: str) -> SpoolError:
    """
    Make the error for a disk that does not do what it should.

    :param what: what could not be done, with the place.
    """
    code = error.errno or errno.EIO
    remedy = REMEDIES.get(code)
    text = f"{what}: {os.strerror(code)}"
    return SpoolError(f"{text}; {remedy}" if remedy else text, code)
