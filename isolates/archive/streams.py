# -*- test-case-name: cocained.test.test_isolates_archive -*-
"""
Bytes of a compressed archive, forward only and in bounded pieces.

Each decoder is driven by hand rather than through ``gzip.open`` and its like:
only so are memory, the number of concatenated streams and the checksum at the
very end under control.
"""

from __future__ import annotations

import bz2
import errno
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from cocained.errors import SpoolError
from cocained.isolates.archive.members import damaged

#: Compressed bytes given to a decoder at once.  What it leaves over at the
#: end of a stream is copied, so a chain of tiny streams costs this much each.
INPUT_CHUNK = 16 * 1024

#: Decompressed bytes taken at once; also how often one looks for a cancel.
OUTPUT_CHUNK = 256 * 1024

#: Concatenated streams in one archive.  bgzip starts one per 64 KiB, which is
#: 32 768 for the default 2 GiB; pbzip2 and pixz start far fewer.
MAX_STREAMS = 100_000

#: Called with the bytes of the archive that are done; raises to stop.
Tick = Callable[[int], None]

#: What decoders raise for bad data; ``bz2`` says ``OSError`` without a code.
DECODER_ERRORS = (
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    ValueError,
    OverflowError,
)


class Decoder(Protocol):
    """The part of ``bz2.BZ2Decompressor`` that is used here."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class ZlibDecoder:
    """
    Give zlib the manners of the other two.

    :param wbits: 31 for gzip, -15 for the bare deflate of zip.
    """

    def __init__(self, wbits: int) -> None:
        self._inflater = zlib.decompressobj(wbits)

    @property
    def eof(self) -> bool:
        return self._inflater.eof

    @property
    def needs_input(self) -> bool:
        return not self._inflater.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inflater.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        rest = self._inflater.unconsumed_tail
        return self._inflater.decompress(rest + data if rest else data, max_length)


class Codec:
    """
    One kind of compression.

    :param name: for people.
    :param magic: how each stream begins.
    :param new: makes a decoder that takes at most so many bytes of memory.
    """

    def __init__(self, name: str, magic: bytes, new: Callable[[int], Decoder]) -> None:
        self.name = name
        self.magic = magic
        self.new = new


# zlib needs at most 44 KiB and bzip2 4 MiB: only xz has to be told.
CODECS = (
    Codec("gzip", b"\x1f\x8b\x08", lambda memory: ZlibDecoder(31)),
    Codec("bzip2", b"BZh", lambda memory: bz2.BZ2Decompressor()),
    Codec(
        "xz",
        b"\xfd7zXZ\x00",
        lambda memory: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=memory),
    ),
)


def decode(
    decoder: Decoder, data: memoryview, what: str, tick: Tick
) -> Iterator[bytes]:
    """
    Run one stream through *decoder* to its end.

    :param data: begins with the stream and may go on after it; when the
        iteration is over, ``decoder.unused_data`` and the last tick tell
        where the stream ended.
    :param tick: called with the bytes of *data* given to the decoder.
    :raises SpoolError: bad data, no end, or *tick* said so.
    """
    position = 0
    while not decoder.eof:
        piece = b""
        starving = decoder.needs_input
        if starving:
            piece = bytes(data[position : position + INPUT_CHUNK])
            position += len(piece)
        tick(position)
        try:
            output = decoder.decompress(piece, OUTPUT_CHUNK)
        except DECODER_ERRORS as error:
            if "emory" in str(error):
                raise SpoolError(
                    f"the {what} data needs more memory than allowed;"
                    " pack it with a smaller dictionary or raise decoder-memory",
                    errno.ENOMEM,
                ) from error
            raise damaged(f"bad {what} data ({error})") from error
        except MemoryError as error:
            raise SpoolError(f"no memory to decode {what}", errno.ENOMEM) from error
        if output:
            yield output
        elif starving and not piece and not decoder.eof:
            raise damaged(f"the {what} data ends early")


def plain(archive: bytes, tick: Tick) -> Iterator[memoryview]:
    """Cut what is not compressed into pieces, without copying."""
    view = memoryview(archive)
    for start in range(0, len(view), OUTPUT_CHUNK):
        tick(start)
        yield view[start : start + OUTPUT_CHUNK]


def decompressed(
    archive: bytes, codec: Codec, memory: int, tick: Tick
) -> Iterator[bytes]:
    """
    Decode all concatenated streams of *archive*, which zeros may follow.

    :param memory: bytes that a decoder may take.
    :raises SpoolError: bad or missing data, or *tick* said so.
    """
    view = memoryview(archive)
    start = consumed = 0

    def advance(position: int) -> None:
        nonlocal consumed
        consumed = position
        tick(start + position)

    for _ in range(MAX_STREAMS):
        decoder = codec.new(memory)
        yield from decode(decoder, view[start:], codec.name, advance)
        start += consumed - len(decoder.unused_data)
        start = _after_zeros(view, start)
        if start == len(view):
            return
        if view[start : start + len(codec.magic)] != codec.magic:
            raise damaged(f"something else follows the {codec.name} data")
    raise damaged(f"more than {MAX_STREAMS} concatenated {codec.name} streams")


def _after_zeros(view: memoryview, start: int) -> int:
    # Tapes pad gzip with zeros, and xz does so by its own rules.
    while start < len(view):
        piece = bytes(view[start : start + INPUT_CHUNK])
        rest = piece.lstrip(b"\0")
        start += len(piece) - len(rest)
        if rest:
            break
    return start


class Source:
    """
    A stream that is read once, from its begin to its end.

    :param pieces: the stream; none of them is empty.
    :param ceiling: bytes after which it is taken for a bomb.
    """

    def __init__(
        self, pieces: Iterator[bytes] | Iterator[memoryview], ceiling: int
    ) -> None:
        self._pieces = pieces
        self._piece = memoryview(b"")
        self._ceiling = ceiling
        #: Bytes that were read or skipped so far.
        self.position = 0

    def available(self, size: int) -> Iterator[memoryview]:
        """Give the next *size* bytes in pieces, fewer at the end."""
        while size > 0:
            if not self._piece:
                following = next(self._pieces, None)
                if following is None:
                    return
                self._piece = memoryview(following)
            taken = self._piece[:size]
            self._piece = self._piece[len(taken) :]
            size -= len(taken)
            self.position += len(taken)
            if self.position > self._ceiling:
                raise SpoolError(
                    f"the archive unpacks to more than {self._ceiling} bytes;"
                    " raise the limits if that is meant",
                    errno.EFBIG,
                )
            yield taken

    def pieces(self, size: int) -> Iterator[memoryview]:
        """
        Give the next *size* bytes in pieces.

        :raises SpoolError: the stream ends before.
        """
        end = self.position + size
        yield from self.available(size)
        if self.position != end:
            raise damaged(f"it ends early, at byte {self.position}")

    def read(self, size: int) -> bytes:
        """Give the next *size* bytes at once; the caller bounds *size*."""
        return b"".join(self.pieces(size))

    def skip(self, size: int) -> None:
        """Leave out the next *size* bytes."""
        for _ in self.pieces(size):
            pass

    def drain(self) -> None:
        """Read to the end, so that checksums there are verified."""
        while any(True for _ in self.available(OUTPUT_CHUNK)):
            pass
