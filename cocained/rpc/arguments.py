# -*- test-case-name: cocained.test.test_rpc_arguments -*-
"""
Wire values to typed arguments, one small converter per type.

A converter takes what the decoder gave and returns what the method wants, or
raises :class:`~cocained.errors.InvalidArgument`.  Extra arguments are ignored
and optional ones may be left out, but not be nil (reference-behaviour.md §2).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any

from cocained.errors import InvalidArgument
from cocained.rpc.codec import Pairs

Converter = Callable[[Any], Any]

#: Signs of a numeric address: 45 of IPv6, and a zone.
ADDRESS_LIMIT = 128


def blob(value: Any) -> bytes:
    """Bytes as they came; both string families of msgpack."""
    if type(value) is bytes:
        return value
    raise InvalidArgument(f"expected a string, got {_kind(value)}")


def text(value: Any) -> str:
    """A name: text, with bytes that are no UTF-8 as surrogates."""
    if type(value) is bytes:
        return value.decode("utf-8", "surrogateescape")
    raise InvalidArgument(f"expected a string, got {_kind(value)}")


def integer(value: Any) -> int:
    """A signed number."""
    if type(value) is int:
        return value
    raise InvalidArgument(f"expected an integer, got {_kind(value)}")


def unsigned(value: Any) -> int:
    """A number of 0 or more."""
    if type(value) is int and value >= 0:
        return value
    raise InvalidArgument(f"expected an unsigned integer, got {_kind(value)}")


def numeric_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """
    Read an address that strangers tell, and that will stand in logs.

    :raises ValueError: it is none, or its zone is long or cannot be printed; the
        library takes anything for a zone.
    """
    if len(text) > ADDRESS_LIMIT:
        raise ValueError("an address is not that long")
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("an address is one word")
    return ipaddress.ip_address(text)


def anything(value: Any) -> Any:
    """Whatever came."""
    return value


def listing(item: Converter) -> Converter:
    """A list of one type."""

    def convert(value: Any) -> list[Any]:
        if type(value) is not list:
            raise InvalidArgument(f"expected a list, got {_kind(value)}")
        return [item(element) for element in value]

    return convert


def record(*items: Converter) -> Converter:
    """A list with a type per place; further elements are ignored."""

    def convert(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or len(value) < len(items):
            raise InvalidArgument(f"expected {len(items)} elements")
        return tuple(item(element) for item, element in zip(items, value, strict=False))

    return convert


class optional:  # noqa: N801 - reads as a word in declarations
    """An argument that may be left out at the end."""

    def __init__(self, converter: Converter, default: Any) -> None:
        self.converter = converter
        self.default = default

    def __call__(self, value: Any) -> Any:
        return self.converter(value)


class Signature:
    """
    The arguments of one message.

    :param converters: one per argument, optional ones last.
    """

    __slots__ = ("_converters", "_defaults", "_required")

    def __init__(self, converters: Sequence[Converter]) -> None:
        defaults = [c.default for c in converters if isinstance(c, optional)]
        self._converters = tuple(converters)
        self._required = len(converters) - len(defaults)
        self._defaults = tuple(defaults)
        if any(isinstance(c, optional) for c in converters[: self._required]):
            raise TypeError("optional arguments come last")

    def convert(self, args: list[Any]) -> list[Any]:
        """
        Convert the arguments of a frame.

        :raises InvalidArgument: too few, or of a wrong type.
        """
        given = len(args)
        if given == 1 == self._required:
            return [self._converters[0](args[0]), *self._defaults]
        if given < self._required:
            raise InvalidArgument(
                f"sequence size mismatch - got {given} element(s), "
                f"expected at least {self._required}"
            )
        # The shorter one ends it: extra arguments are ignored.
        values = [
            convert(arg) for convert, arg in zip(self._converters, args, strict=False)
        ]
        if given < len(self._converters):
            values += self._defaults[given - self._required :]
        return values


def _kind(value: Any) -> str:
    if value is None:
        return "nil"
    if isinstance(value, Pairs):
        return "a map"
    return {
        bytes: "a string",
        int: "a negative integer" if type(value) is int and value < 0 else "an integer",
        bool: "a boolean",
        float: "a float",
        list: "a list",
    }.get(type(value), "an extension")
