# -*- test-case-name: cocained.test.test_rpc_values -*-
"""
Values that came over the wire, packed again as what they were.

:func:`cocained.rpc.codec.pack` makes an array of
:class:`~cocained.rpc.codec.Pairs`; here they are maps.  For services that give
back what they were given; slower, and not on the path of requests.
"""

from __future__ import annotations

from typing import Any

import msgpack

from cocained.rpc.codec import Pairs

#: Deepest nesting unless it is said.  Each level takes a frame of Python's stack,
#: of which there are a thousand.
DEPTH = 200


def pack_value(value: Any, depth: int = DEPTH) -> bytes:
    """
    Pack any value the old way, with maps for pairs.

    :param depth: levels of arrays and maps that it may have.
    :raises ValueError, TypeError, OverflowError: it has no such form.
    """
    packer = msgpack.Packer(
        use_bin_type=False, unicode_errors="surrogateescape", autoreset=False
    )
    _pack(packer, value, depth)
    packed: bytes = packer.bytes()
    return packed


def _pack(packer: msgpack.Packer, value: Any, depth: int) -> None:
    if not isinstance(value, list | tuple | dict):
        packer.pack(value)
    elif not depth:
        raise ValueError("it is nested too deep")
    elif isinstance(value, Pairs | dict):
        pairs = value.items() if isinstance(value, dict) else value
        packer.pack_map_header(len(pairs))
        for key, item in pairs:
            _pack(packer, key, depth - 1)
            _pack(packer, item, depth - 1)
    else:
        packer.pack_array_header(len(value))
        for item in value:
            _pack(packer, item, depth - 1)
