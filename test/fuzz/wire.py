# -*- test-case-name: cocained.test.test_fuzz -*-
"""
What the targets of the wire have in common: one packed form for each value,
and honest frames to begin with.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgpack

from cocained.rpc.codec import Pairs
from cocained.test.test_rpc_frames import FROM_US, OTHER_DIALECTS, T0, TO_US


def canonical(value: Any) -> bytes:
    """
    Pack what a decoder gave, maps as maps.

    Two values are the same on the wire if and only if this gives the same
    bytes; ``==`` takes ``True`` for 1 and no NaN for itself.
    """
    packer = msgpack.Packer(use_bin_type=False, autoreset=False)
    _pack(packer, value)
    packed: bytes = packer.bytes()
    return packed


def _pack(packer: Any, value: Any) -> None:
    # A stack of its own: values nest as deep as Python's.
    stack: list[Any] = [value]
    while stack:
        value = stack.pop()
        if type(value) is list:
            packer.pack_array_header(len(value))
            stack += reversed(value)
        elif type(value) is Pairs:
            packer.pack_map_header(len(value))
            for key, item in reversed(value):
                stack += (item, key)
        else:
            packer.pack(value)


def worked_frames() -> Iterable[bytes]:
    """Give the frames of protocol.md §18, the bytes of each."""
    for written, _ in (*TO_US, *OTHER_DIALECTS):
        yield bytes.fromhex(written)
    for written, _ in FROM_US:
        yield bytes.fromhex(written) + T0
