# -*- test-case-name: cocained.test.test_unicorns_values -*-
"""
Values of nodes: any msgpack, as the bytes that a backend stores.

Written the old way (raw strings), so that nodes of the original can read them.
"""

from __future__ import annotations

from typing import Any

from cocained.errors import InvalidType, InvalidValue, RemoteProtocolError
from cocained.rpc.codec import unpack
from cocained.rpc.values import pack_value

#: Most bytes of one value: ZooKeeper refuses requests of 1 MiB, path and all.
VALUE_LIMIT = 1_000_000

#: Deepest nesting of a value: far above any honest one, and far below what ends
#: the stack of those who read it.
NESTING_LIMIT = 100

#: What an integer of a node may be: the original adds in 64 bits.
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1


def encode(value: Any) -> bytes:
    """
    Pack a value for a node.

    :raises InvalidValue: it has no such form, or is too large or too deep.
    """
    try:
        data = pack_value(value, NESTING_LIMIT)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidValue(f"this value cannot be stored: {error}") from error
    if len(data) > VALUE_LIMIT:
        raise InvalidValue(
            f"the value has {len(data)} bytes, and {VALUE_LIMIT} is the limit; keep"
            " large things in a storage and their keys here"
        )
    return data


def decode(data: bytes, path: str) -> Any:
    """
    Unpack what a node holds.

    :param path: of the node, for the error.
    :raises InvalidValue: the bytes are not one msgpack value.
    """
    try:
        value = unpack(data)
    except RemoteProtocolError as error:
        raise InvalidValue(f"what {path} holds is no msgpack: {error}") from error
    if _is_deep(value, NESTING_LIMIT):
        raise InvalidValue(f"what {path} holds is nested too deep")
    return value


def _is_deep(value: Any, depth: int) -> bool:
    if not isinstance(value, list | tuple):
        return False
    return not depth or any(_is_deep(item, depth - 1) for item in value)


def number(value: Any) -> int | float:
    """
    Give *value* if it is a number.

    :raises InvalidType: it is none; a boolean is none.
    """
    if type(value) is int or type(value) is float:
        return value
    raise InvalidType("only a number can be added to, and only a number can be added")


def total(stored: int | float, added: int | float) -> int | float:
    """
    Add as the original does: in 64 bits, with a float if either is one.

    :raises InvalidValue: the sum of two integers does not fit; the original
        wraps around.
    """
    try:
        result = stored + added
    except OverflowError as error:
        raise InvalidValue("the sum is no number that can be stored") from error
    if type(result) is int and not INTEGER_MIN <= result <= INTEGER_MAX:
        raise InvalidValue(f"{stored} and {added} make no integer of 64 bits")
    return result
