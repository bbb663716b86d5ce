# -*- test-case-name: cocained.test.test_isolates_archive_zips -*-
"""
Members of a zip.

``zipfile`` reads the list of members; their data is decoded here, because
some versions of it accept members that overlap, and its bzip2 and LZMA
decoders cannot be bounded.
"""

from __future__ import annotations

import calendar
import errno
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator

from cocained.errors import SpoolError
from cocained.isolates.archive.members import (
    Kind,
    Member,
    SpoolLimits,
    damaged,
    refused,
)
from cocained.isolates.archive.streams import (
    OUTPUT_CHUNK,
    Tick,
    ZlibDecoder,
    decode,
)

MAGICS = (b"PK\3\4", b"PK\5\6")
DIRECTORY_ENTRY = b"PK\1\2"
LOCAL_ENTRY = b"PK\3\4"

#: Bytes of a member's header in front of its name.
LOCAL_SIZE = 30

#: Fewest bytes of a member in the list at the end.
ENTRY_SIZE = 46

#: Systems (upper byte of "made by") whose attributes hold a UNIX mode.
UNIX_SYSTEMS = (3, 19)

#: Encrypted, strongly encrypted, with an encrypted list.
ENCRYPTED = 0x1 | 0x40 | 0x2000
UTF8_NAME = 0x800

#: The field of the list that holds the time in UTC, whole seconds.
TIME_FIELD = 0x5455

#: Bytes of a symbolic link's target (PATH_MAX).
MAX_TARGET = 4096

FORMATS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
}

#: What ``zipfile`` raises for archives that are none.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    NotImplementedError,
    EOFError,
    OSError,
    LookupError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
)


def is_zip(archive: bytes) -> bool:
    """Tell whether *archive* can be a zip."""
    return archive.startswith(MAGICS)


def zip_members(archive: bytes, limits: SpoolLimits, tick: Tick) -> Iterator[Member]:
    """
    Read the members one after another.

    :param tick: called with the compressed bytes that are done.
    :raises SpoolError: damaged, encrypted, packed by an unusual method, with
        members that share data or are neither file, directory nor link.
    """
    # The list is built as a whole, at some 700 bytes per member, so it has to
    # be counted first.  Archives inside an archive that are not compressed
    # count too, which matters for very large ones only.
    count = archive.count(DIRECTORY_ENTRY)
    if count > limits.members:
        raise SpoolError(
            f"the archive has {count} members, more than {limits.members};"
            " pack fewer files or raise the limit",
            errno.EFBIG,
        )
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            infos = opened.infolist()
            end = opened.start_dir
    except ZIP_ERRORS as error:
        raise damaged(f"no list of a zip's members ({error})") from error
    starts = _data_starts(archive, infos, end)
    done = 0
    for info, start in zip(infos, starts, strict=True):
        tick(done)
        data = memoryview(archive)[start : start + info.compress_size]
        yield _member(info, data, done, tick)
        done += info.compress_size


def _data_starts(archive: bytes, infos: list[zipfile.ZipInfo], end: int) -> list[int]:
    # Where the data of each member begins; no byte may belong to two of them,
    # or a few kilobytes are petabytes.
    starts = []
    for info in infos:
        name = _raw_name(info)
        offset = info.header_offset
        local = archive[offset : offset + LOCAL_SIZE] if offset >= 0 else b""
        if len(local) < LOCAL_SIZE or not local.startswith(LOCAL_ENTRY):
            raise damaged(f"no data of {info.filename!r}")
        name_size, extra_size = struct.unpack("<HH", local[26:30])
        begin = offset + LOCAL_SIZE
        if archive[begin : begin + name_size] != name:
            raise refused(name, "has another name in the list of the zip")
        starts.append(begin + name_size + extra_size)
    order = sorted(range(len(infos)), key=lambda index: infos[index].header_offset)
    for position, index in enumerate(order):
        limit = end
        if position + 1 < len(order):
            limit = infos[order[position + 1]].header_offset
        if starts[index] + infos[index].compress_size > limit:
            raise refused(_raw_name(infos[index]), "overlaps other parts of the zip")
    return starts


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    # zipfile decodes what is not marked as UTF-8 by a table that loses nothing.
    encoding = "utf-8" if info.flag_bits & UTF8_NAME else "cp437"
    return info.orig_filename.encode(encoding)


def _member(info: zipfile.ZipInfo, data: memoryview, done: int, tick: Tick) -> Member:
    name = _raw_name(info)
    mode = 0
    if info.create_system in UNIX_SYSTEMS:
        mode = info.external_attr >> 16
    else:
        # DOS has no bytes beyond its own table: the readable name is meant.
        name = info.orig_filename.encode("utf-8")
    form = stat.S_IFMT(mode)
    if not form:
        form = stat.S_IFDIR if name.endswith(b"/") else stat.S_IFREG
    kind = FORMATS.get(form)
    if kind is None:
        raise refused(
            name,
            "is a device, FIFO or socket; only files, directories and links are taken",
        )
    if name.endswith(b"/") and kind is not Kind.DIRECTORY:
        raise refused(name, f"is a {kind.value} by its mode but a directory by name")
    if info.flag_bits & ENCRYPTED:
        raise refused(name, "is encrypted; pack it without a password")
    mtime = _mtime(info)
    if kind is Kind.DIRECTORY:
        return Member(name, kind, stat.S_IMODE(mode) or 0o755, mtime)
    content = _content(info, name, data, done, tick)
    if kind is Kind.SYMLINK:
        if info.file_size > MAX_TARGET:
            raise refused(name, "points to an over-long name", errno.ENAMETOOLONG)
        return Member(name, kind, mtime=mtime, target=b"".join(content))
    return Member(
        name,
        kind,
        stat.S_IMODE(mode) or 0o644,
        mtime,
        info.file_size,
        content=content,
    )


def _content(
    info: zipfile.ZipInfo, name: bytes, data: memoryview, done: int, tick: Tick
) -> Iterator[bytes | memoryview]:
    checksum = size = 0
    for piece in _decoded(info, name, data, done, tick):
        checksum = zlib.crc32(piece, checksum)
        size += len(piece)
        if size > info.file_size:
            break
        yield piece
    if size != info.file_size or checksum != info.CRC:
        raise damaged(f"{info.filename!r} does not match its checksum or size")


def _decoded(
    info: zipfile.ZipInfo, name: bytes, data: memoryview, done: int, tick: Tick
) -> Iterator[bytes | memoryview]:
    if info.compress_type == zipfile.ZIP_STORED:
        for start in range(0, len(data), OUTPUT_CHUNK):
            tick(done + start)
            yield data[start : start + OUTPUT_CHUNK]
    elif info.compress_type == zipfile.ZIP_DEFLATED:
        yield from decode(
            ZlibDecoder(-zlib.MAX_WBITS),
            data,
            "zip",
            lambda position: tick(done + position),
        )
    else:
        raise refused(
            name,
            f"is packed by method {info.compress_type}; pack it with deflate",
            errno.ENOTSUP,
        )


def _mtime(info: zipfile.ZipInfo) -> float | None:
    # Without the field there is only local time, of nobody knows where: UTC is
    # as good as any and the same on every node.
    extra = info.extra
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        if kind == TIME_FIELD and size >= 5 and len(extra) >= 9 and extra[4] & 1:
            seconds: int = struct.unpack("<i", extra[5:9])[0]
            return float(seconds)
        extra = extra[4 + size :]
    try:
        return float(calendar.timegm((*info.date_time, 0, 0, 0)))
    except ValueError:
        return None
