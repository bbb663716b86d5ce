# -*- test-case-name: cocained.test.test_apps_invocation_flow -*-
"""
The parts of streaming frames that are the same on both sides of the node: kind
and arguments, packed.
"""

from __future__ import annotations

from typing import Any

from cocained.errors import Category, CocainedError, InvalidArgument, to_wire
from cocained.rpc.codec import RAW_HEADS, pack

#: In front of a chunk: its kind, and the head of a list of one.
WRITE_HEAD = b"\x00\x91"

#: What stands in front of chunks of fewer than :data:`LARGE` bytes.
CHUNK_HEADS = tuple(WRITE_HEAD + head for head in RAW_HEADS)

#: All of a ``close``.
CLOSE_BODY = b"\x02\x90"

_KNOWN_CATEGORIES = frozenset(int(category) for category in Category)


def encode_error(error: CocainedError) -> bytes:
    category, code, reason = to_wire(error)
    return b"\x01" + pack([[category, code], reason])


def error_body(args: list[Any]) -> bytes:
    """
    Check an ``error`` message and pack it for the other side.

    Categories that nobody registered become 255, codes stay as they are
    (protocol.md §2.2).
    """
    match args:
        case [[int(category), int(code), *_], bytes(reason), *_]:
            pass
        case [[int(category), int(code), *_]]:
            reason = b""
        case _:
            raise InvalidArgument("an error is [[category, code], reason?]")
    if category not in _KNOWN_CATEGORIES:
        category = Category.UNKNOWN
    return b"\x01" + pack([[int(category), code], reason])
