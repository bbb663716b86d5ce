# -*- test-case-name: cocained.test.test_isolates_archive_tars -*-
"""
Members of a tar: ustar, GNU and PAX, sparse files of all four kinds.

Single headers are decoded by ``tarfile``; what spans several is read here,
because ``tarfile`` trusts it: it reads an extended header of any size at
once, needs quadratic time and memory for a malicious one (before 3.11.10),
recurses per header, and takes a bad header in the middle for the end.
"""

from __future__ import annotations

import errno
import math
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cocained.errors import SpoolError
from cocained.isolates.archive.members import (
    Kind,
    Member,
    SpoolLimits,
    damaged,
    refused,
    unrecognized,
)
from cocained.isolates.archive.streams import Source

BLOCK = tarfile.BLOCKSIZE

#: Bytes of one extended header.  Names take 8 KiB at most; the rest is for
#: extended attributes (64 KiB each), which are skipped, and sparse maps.
MAX_EXTENDED = 1024 * 1024

#: Extended headers before one member: four kinds exist, archives that were
#: glued together have a few global ones more.
MAX_EXTENDED_CHAIN = 16

#: Data segments of one sparse file.  A map of this length is 2 MiB of text;
#: a gigabyte that alternates in steps of 4 KiB has 131 072.
MAX_SEGMENTS = 150_000

#: Bytes of headers that each member may have on average before the stream is
#: taken for a bomb: a plain header and a small PAX one with its own header.
HEADERS_PER_MEMBER = 3 * BLOCK

#: Digits of the largest number that is believed, a 64-bit one.
MAX_DIGITS = 20

REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
KINDS = {
    tarfile.DIRTYPE: Kind.DIRECTORY,
    tarfile.SYMTYPE: Kind.SYMLINK,
    tarfile.LNKTYPE: Kind.HARDLINK,
}
REFUSED = {
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a FIFO",
}
VOLUME_LABEL = b"V"
GNU_MAGIC = b"ustar  \0"


@dataclass
class Extension:
    """What extended headers say of the member that follows them."""

    records: dict[bytes, bytes] = field(default_factory=dict)
    sparse: list[int] = field(default_factory=list)
    seen: bool = False

    def add(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Take the records that matter; owners, attributes and the like do not."""
        for key, value in records:
            if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
                self.sparse.append(number(value))
            elif key == b"GNU.sparse.map":
                self.sparse = [number(part) for part in value.split(b",") if part]
            elif key in WANTED:
                self.records[key] = value


WANTED = frozenset(
    (
        b"path",
        b"linkpath",
        b"size",
        b"mtime",
        b"GNU.sparse.name",
        b"GNU.sparse.size",
        b"GNU.sparse.realsize",
        b"GNU.sparse.major",
    )
)


def is_tar(block: bytes) -> bool:
    """Tell whether *block*, the first one, can begin a tar."""
    try:
        tarfile.TarInfo.frombuf(block[:BLOCK], "utf-8", "surrogateescape")
    except tarfile.TarError:
        return len(block) >= BLOCK and not any(block[:BLOCK])
    return True


def ceiling(limits: SpoolLimits) -> int:
    """Give the length in bytes of the longest tar that can be within *limits*."""
    # A mebibyte more for the padding that large tape records leave at the end.
    return limits.unpacked + limits.members * HEADERS_PER_MEMBER + 1024**2


def number(value: bytes) -> int:
    """Decode a decimal number of a header."""
    if not value.isdigit() or len(value) > MAX_DIGITS:
        raise damaged(f"{value[:MAX_DIGITS]!r} is no number")
    return int(value)


def timestamp(value: bytes) -> float | None:
    """Decode the seconds of a PAX header; nonsense is ``None``."""
    try:
        seconds = float(value[:64])
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


def pax_records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """
    Decode an extended header, strictly and in linear time.

    :param data: ``<length> <key>=<value>\\n`` over and over, the length being
        that of the whole record.
    :raises SpoolError: it is anything else.
    """
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + MAX_DIGITS + 1)
        if space < 0:
            raise damaged("an extended header has no length")
        end = position + number(data[position:space])
        if not space < end <= len(data) or data[end - 1] != 0x0A:
            raise damaged("an extended header has a wrong length")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals:
            raise damaged("an extended header has no value")
        yield key, value
        position = end


def tar_members(source: Source) -> Iterator[Member]:
    """
    Read the members one after another.

    :param source: the tar, decompressed.
    :raises SpoolError: it is no tar, or ends before its end marker, or holds
        something that is neither file nor directory nor link.
    """
    lasting: dict[bytes, bytes] = {}
    block = b"".join(source.available(BLOCK))
    if not is_tar(block):
        raise unrecognized("the content is no tar")
    while True:
        extension = Extension(dict(lasting))
        header = None
        for _ in range(MAX_EXTENDED_CHAIN):
            if not any(block):
                break
            header = _header(block, source)
            if not _extend(header, source, extension, lasting):
                break
            block = source.read(BLOCK)
            header = None
        else:
            raise damaged("it has too many extended headers in a row")
        if header is None:
            break
        yield from _member(header, block, source, extension)
        block = source.read(BLOCK)
    if extension.seen:
        raise damaged("it ends after an extended header")
    # One zero block may be left of a tar that was cut off; two are its end.
    if any(source.read(BLOCK)):
        raise damaged("it has only one of the two blocks that end a tar")
    source.drain()


def _header(block: bytes, source: Source) -> tarfile.TarInfo:
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise damaged(f"{error} at byte {source.position - BLOCK}") from error
    if header.size < 0:
        raise damaged(f"negative size at byte {source.position - BLOCK}")
    return header


def _extend(
    header: tarfile.TarInfo,
    source: Source,
    extension: Extension,
    lasting: dict[bytes, bytes],
) -> bool:
    # Tells whether the header was only an extension of the one to come.
    if header.type == VOLUME_LABEL:
        source.skip(_padded(header.size))
        return True
    if header.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        key = b"path" if header.type == tarfile.GNUTYPE_LONGNAME else b"linkpath"
        name, _, _ = _payload(header, source).partition(b"\0")
        extension.records[key] = name
    elif header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
        extension.add(pax_records(_payload(header, source)))
    elif header.type == tarfile.XGLTYPE:
        shared = Extension()
        shared.add(pax_records(_payload(header, source)))
        lasting.update(shared.records)
        extension.records = {**shared.records, **extension.records}
        return True
    else:
        return False
    extension.seen = True
    return True


def _payload(header: tarfile.TarInfo, source: Source) -> bytes:
    if header.size > MAX_EXTENDED:
        raise SpoolError(
            f"an extended header of the archive has {header.size} bytes,"
            f" more than {MAX_EXTENDED}",
            errno.EFBIG,
        )
    data = source.read(header.size)
    source.skip(_padded(header.size) - header.size)
    return data


def _member(
    header: tarfile.TarInfo, block: bytes, source: Source, extension: Extension
) -> Iterator[Member]:
    # Yields one member, and afterwards leaves the source behind its content.
    records = extension.records
    name = header.name.encode("utf-8", "surrogateescape")
    if block[257:265] == GNU_MAGIC:
        # GNU keeps times where ustar keeps the front part of the name.
        name, _, _ = block[:100].partition(b"\0")
    name = records.get(b"path", name)
    name = records.get(b"GNU.sparse.name", name)
    mtime: float | None = float(header.mtime)
    if b"mtime" in records:
        mtime = timestamp(records[b"mtime"])
    kind = KINDS.get(header.type)
    if kind is not None:
        target = header.linkname.encode("utf-8", "surrogateescape")
        target = records.get(b"linkpath", target)
        yield Member(name, kind, header.mode, mtime, target=target)
        return
    if header.type not in (*REGULAR, tarfile.GNUTYPE_SPARSE):
        what = REFUSED.get(header.type, f"of the unknown type {header.type!r}")
        raise refused(name, f"is {what}; only files, directories and links are taken")
    stored = header.size
    if b"size" in records:
        stored = number(records[b"size"])
    if name.endswith(b"/") and not stored:
        # How the oldest format spells a directory.
        yield Member(name, Kind.DIRECTORY, header.mode, mtime)
        return
    size, segments, end = _layout(header, block, source, extension, stored)
    content = _content(source, segments, size)
    yield Member(name, Kind.FILE, header.mode, mtime, size, content=content)
    source.skip(end - source.position)


def _layout(
    header: tarfile.TarInfo,
    block: bytes,
    source: Source,
    extension: Extension,
    stored: int,
) -> tuple[int, list[tuple[int, int]], int]:
    # The file's size, its segments of data, and where in the source it ends.
    size, numbers = stored, [0, stored]
    records = extension.records
    begin = source.position
    if header.type == tarfile.GNUTYPE_SPARSE:
        size, numbers = _old_sparse(block, source)
        begin = source.position
    elif records.get(b"GNU.sparse.major") == b"1":
        numbers = _sparse_map(source, stored)
    elif extension.sparse:
        numbers = extension.sparse
    for key in (b"GNU.sparse.size", b"GNU.sparse.realsize"):
        if key in records:
            size = number(records[key])
    end = begin + _padded(stored)
    if len(numbers) % 2 or len(numbers) > 2 * MAX_SEGMENTS:
        raise damaged(f"a sparse file has a map of {len(numbers)} numbers")
    segments = list(zip(numbers[::2], numbers[1::2], strict=True))
    position = 0
    for offset, length in segments:
        if offset < position or length < 0:
            raise damaged("the parts of a sparse file overlap")
        position = offset + length
    if position > size or source.position + sum(numbers[1::2]) > end:
        raise damaged("the parts of a sparse file exceed it")
    return size, segments, end


def _old_sparse(block: bytes, source: Source) -> tuple[int, list[int]]:
    numbers: list[int] = []
    size = _field(block[483:495])
    area, more = block[386:482], block[482]
    while True:
        for start in range(0, len(area), 24):
            if any(area[start : start + 24]):
                numbers.append(_field(area[start : start + 12]))
                numbers.append(_field(area[start + 12 : start + 24]))
        if not more or len(numbers) > 2 * MAX_SEGMENTS:
            return size, numbers
        following = source.read(BLOCK)
        area, more = following[:504], following[504]


def _sparse_map(source: Source, stored: int) -> list[int]:
    # Version 1.0: decimal lines at the begin of the data, in whole blocks.
    numbers: list[int] = []
    wanted, rest, room = None, b"", stored
    while wanted is None or len(numbers) < wanted:
        if room < BLOCK or len(rest) > MAX_DIGITS:
            raise damaged("the map of a sparse file ends early")
        room -= BLOCK
        *lines, rest = (rest + source.read(BLOCK)).split(b"\n")
        values = [number(line) for line in lines]
        if wanted is None and values:
            wanted = 2 * values.pop(0)
            if wanted > 2 * MAX_SEGMENTS:
                raise damaged(f"a sparse file has {wanted // 2} parts")
        numbers += values
    return numbers[:wanted]


def _field(raw: bytes) -> int:
    # A number of a header: octal text, or base 256 where that is too short.
    if raw[0] == 0x80:
        return int.from_bytes(raw[1:], "big")
    digits = raw.strip(b" \0")
    if digits.strip(b"01234567"):
        raise damaged(f"{digits!r} is no octal number")
    return int(digits or b"0", 8)


def _content(
    source: Source, segments: list[tuple[int, int]], size: int
) -> Iterator[memoryview | int]:
    position = 0
    for offset, length in segments:
        if offset > position:
            yield offset - position
        yield from source.pieces(length)
        position = offset + length
    if size > position:
        yield size - position


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
