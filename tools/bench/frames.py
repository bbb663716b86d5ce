# -*- test-case-name: cocained.test.test_tools_bench -*-
"""
Frames as the benchmark's own clients write them, and the bytes it moves.

Three elements, old raw strings (protocol.md §1.2).  The native programs build
the same frames; the live tests hold the two together.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgpack

#: The three zero trace headers that end every frame of a node: 61 bytes
#: (protocol.md §18).
TRACE_HEADERS: bytes = msgpack.packb(
    [[False, name, b"\0" * 8] for name in ("trace_id", "span_id", "parent_id")],
    use_bin_type=False,
)

#: Messages of a stream, in both directions (protocol.md §2.1).
WRITE, ERROR, CLOSE = 0, 1, 2

#: Messages of the services that the benchmark calls (protocol.md §3.1, 4, 6.1).
RESOLVE = 0
STORAGE_READ, STORAGE_WRITE = 0, 1
START_APP, PAUSE_APP, APP_LIST, APP_INFO, APP_CONTROL = 0, 1, 2, 3, 4
ENQUEUE = 0

#: Flag of :data:`APP_INFO` that asks for the workers (protocol.md §6.2).
OVERSEER = 1


def frame(channel: int, message: int, arguments: Iterable[Any] = ()) -> bytes:
    """
    Pack one frame.

    :param channel: 1 and up.
    :param message: its number in the graph.
    :param arguments: anything that msgpack knows.
    """
    packed: bytes = msgpack.packb(
        [channel, message, list(arguments)], use_bin_type=False
    )
    return packed


def document(value: Any) -> bytes:
    """Pack what the runtime keeps in its storage (protocol.md §12.7)."""
    packed: bytes = msgpack.packb(value, use_bin_type=False)
    return packed


def pattern(size: int) -> bytes:
    """
    Give the bytes that streams and blobs carry, the same as ``wire.h`` makes.

    :param size: how many.
    """
    period = bytes((index * 31 + 7) & 0xFF for index in range(256))
    return (period * (size // 256 + 1))[:size]
