# -*- test-case-name: cocained.test.test_fuzz -*-
"""
Archives of app code: whatever is in one, it stays in its directory.

The first byte of an input says how the rest is wrapped.  Checksums of tar
headers are mended, since no fuzzer guesses those.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from cocained.errors import SpoolError
from cocained.isolates.archive.members import SpoolLimits
from cocained.isolates.spool import Spool, unwrap
from cocained.rpc.codec import pack
from cocained.test.fuzz.targets import Target, law

#: So little that inputs reach it.
LIMITS = SpoolLimits(
    unpacked=256 * 1024,
    file=128 * 1024,
    members=32,
    depth=6,
    decoder_memory=8 * 1024**2,
)

#: Bits of the first byte.
GZIPPED, PACKED, UNMENDED = 0x01, 0x02, 0x04

BLOCK = tarfile.BLOCKSIZE
CHECKSUM = slice(148, 156)
MAGIC = slice(257, 262)

#: A place that no archive may touch.
OUTSIDE = "outside"


def check(data: bytes, make: type[Spool] = Spool) -> None:
    """
    Take one input.

    :param make: the spool, or one with a fault of its own.
    """
    if not data:
        return
    options, content = data[0], data[1:]
    if not options & UNMENDED:
        content = mended(content)
    if options & GZIPPED:
        content = gzip.compress(content, 1)
    if options & PACKED:
        content = pack(content)
    with tempfile.TemporaryDirectory(prefix="fuzz", dir=memory()) as directory:
        top = Path(directory)
        (top / OUTSIDE).write_bytes(b"safe")
        _unpack(top, content, make)
        law(sorted(os.listdir(top)) in ([OUTSIDE], [OUTSIDE, "spool"]), "nothing else")
        law((top / OUTSIDE).read_bytes() == b"safe", "the outside is not touched")
        law((top / OUTSIDE).stat().st_nlink == 1, "the outside is not linked to")


def memory() -> str | None:
    """Give a directory that is no disk, if there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _unpack(top: Path, content: bytes, make: type[Spool]) -> None:
    """Unpack, and state what holds for what is there."""
    spool = make(str(top / "spool"), "app", LIMITS)
    try:
        final = spool.prepare(unwrap(content))
    except SpoolError as error:
        law(bool(error.reason) and error.code > 0, "an error says something", error)
        # It will be an answer to ``start_app``.
        pack([error.code, error.reason])
        left = [path for path in top.rglob("*") if path.name not in (OUTSIDE, "spool")]
        law(not left, "nothing stays of what was refused", left)
        return
    law(os.listdir(spool.directory) == [os.path.basename(final)], "one version")
    _look(Path(final))


def _look(final: Path) -> None:
    """State that a tree is harmless and small."""
    size = members = 0
    for place, directories, files in os.walk(os.fsencode(final)):
        for name in directories + files:
            path = os.path.join(place, name)
            found = os.lstat(path)
            members += 1
            form = stat.S_IFMT(found.st_mode)
            law(
                form in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK),
                "there are files, directories and links only",
                path,
            )
            if form == stat.S_IFLNK:
                real = os.path.realpath(path)
                inside = os.path.realpath(os.fsencode(final))
                law(
                    real == inside or real.startswith(inside + b"/"),
                    "links stay inside",
                    path,
                    os.readlink(path),
                )
            else:
                law(not found.st_mode & 0o7022, "no harmful modes", path, found.st_mode)
            if form == stat.S_IFREG:
                size += found.st_size // found.st_nlink
                law(found.st_size <= LIMITS.file, "files are limited", path)
    law(size <= LIMITS.unpacked, "all files together are limited", size)
    law(members <= LIMITS.members, "members are limited", members)


def mended(content: bytes) -> bytes:
    """Give every block that looks like a header of tar the right checksum."""
    blocks = bytearray(content)
    for at in range(0, len(blocks) - BLOCK + 1, BLOCK):
        block = blocks[at : at + BLOCK]
        if block[MAGIC] == b"ustar":
            block[CHECKSUM] = b" " * 8
            block[CHECKSUM] = b"%06o\0 " % sum(block)
            blocks[at : at + BLOCK] = block
    return bytes(blocks)


def tar(*members: tuple[str, bytes, str], form: int = tarfile.GNU_FORMAT) -> bytes:
    """
    Write a tar.

    :param members: name, tar type, and content or target.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as writer:
        for name, kind, text in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind == tarfile.REGTYPE:
                member.size = len(text)
            else:
                member.linkname = text
            writer.addfile(member, io.BytesIO(text.encode()))
    # Of the zeros that fill up twenty blocks, two blocks will do.
    content = buffer.getvalue().rstrip(b"\0")
    return content + bytes(-len(content) % BLOCK + 2 * BLOCK)


def seeds() -> Iterable[bytes]:
    """Archives of each kind, honest ones and others."""
    file, link, hard = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
    archives = [
        tar(("worker", file, "x")),
        tar(("d", tarfile.DIRTYPE, ""), ("d/f", file, "y"), ("l", link, "d/f")),
        tar(("a", file, "z"), ("b", hard, "a")),
        tar(("../up", file, "x")),
        tar(("l", link, "../.."), ("l/f", file, "x")),
        tar(("up", link, "../..")),
        tar(("root", link, "/etc"), ("d/up", link, "x/../../..")),
        tar(("d/l", link, ".."), ("fifo", tarfile.FIFOTYPE, "")),
        tar(("n" * 120, file, "long")),
        tar(("n" * 120, file, "long"), form=tarfile.PAX_FORMAT),
    ]
    for number, archive in enumerate(archives):
        yield bytes((number % 4,)) + archive
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr("worker", "x" * 40)
        writer.writestr("d/", "")
        writer.writestr("../up", "x")
    yield bytes((UNMENDED,)) + buffer.getvalue()
    for magic in (b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\x00", b"PK\x05\x06", b"\xda"):
        yield bytes((UNMENDED,)) + magic


TARGET = Target(
    run=check,
    seeds=seeds,
    words=(b"ustar\x0000", b"ustar  \0", b"../", b"PK\x03\x04", b"PK\x01\x02"),
    size=8192,
)
