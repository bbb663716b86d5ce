# -*- test-case-name: tests.test_codec -*-
"""
Frames to bytes and back.

A frame is ``[channel, type, [arguments], [headers]?]`` (protocol.md 1.2). The
runtime writes only the old raw family of msgpack, and an old one reads nothing
else, so nothing here ever writes str8 or bin.
"""

from __future__ import annotations

from msgpack import Packer, Unpacker  # type: ignore[import-untyped]

from cocaine.detail.values import to_plain
from cocaine.exceptions import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

#: The longest frame taken from a peer, bytes. The protocol has no limit of its
#: own; the engine's chunks are far smaller, storage blobs are the longest.
MAX_FRAME = 128 * 1024 * 1024

# Shared by all threads: it calls nothing back, so it runs undisturbed.
_pack: Any = Packer(use_bin_type=False).pack


def pack(value: Any) -> bytes:
    """
    Pack with the old raw family.

    :raises TypeError: for an object that cannot travel, naming its type
    :raises UnicodeEncodeError: for text with lone surrogates
    """
    try:
        packed: bytes = _pack(value)
    except TypeError:
        # Perhaps a result of a call deep inside; or `to_plain` words the error.
        packed = Packer(use_bin_type=False, default=to_plain).pack(value)
    return packed


class FrameDecoder:
    """
    Cuts a byte stream into frames; keeps at most one unfinished frame.

    :param limit: the longest frame, bytes
    """

    __slots__ = ("_unpacker",)

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._unpacker = Unpacker(raw=True, strict_map_key=False, max_buffer_size=limit)

    def feed(self, data: bytes) -> Iterator[Any]:
        """
        Add bytes and return an iterator over the objects that are complete.

        The iterator may raise anything msgpack raises; `broken` words it.

        :raises ProtocolError: when an unfinished frame exceeds the limit
        """
        try:
            self._unpacker.feed(data)
        except Exception as error:
            raise broken(error) from error
        return iter(self._unpacker)


def broken(error: Exception) -> ProtocolError:
    """Word a failure of decoding for whoever reads the log."""
    if isinstance(error, ProtocolError):
        return error
    if type(error).__name__ == "BufferFull":
        return ProtocolError("a frame is longer than the limit of this side")
    return ProtocolError(
        f"not a frame [channel, type, [arguments]]: {type(error).__name__}: {error}"
    )
