# -*- test-case-name: tests.test_codec -*-
"""
Results that are a plain value and a channel at once.

``value = yield storage.read(...)`` is the style of the first frameworks,
``channel = yield storage.read(...); value = yield channel.rx.get()`` that of the
published 0.12. An instance of one of these classes serves both: it behaves as
the value and has `rx` and `tx`.

None and bool cannot be subclassed. A :class:`BoolValue` is an int that prints as
a bool, a :class:`NoneValue` is false and equal to None; ``is`` does not work
with either. `rx.get()` always gives the plain object.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class BytesValue(bytes):
    """A raw string from the wire."""

    rx: Any = None
    tx: Any = None


class StrValue(str):  # noqa: SLOT000
    """Text; only a peer that packs it so could send it."""

    rx: Any = None
    tx: Any = None


class IntValue(int):
    """An integer."""

    rx: Any = None
    tx: Any = None


class FloatValue(float):
    """A floating point number."""

    rx: Any = None
    tx: Any = None


class ListValue(list):  # type: ignore[type-arg]
    """A list: one result that is a list, several results, or none at all."""

    rx: Any = None
    tx: Any = None


class DictValue(dict):  # type: ignore[type-arg]
    """A map."""

    rx: Any = None
    tx: Any = None


class BoolValue(int):
    """A truth value; equal to the bool, not identical with it."""

    rx: Any = None
    tx: Any = None

    def __repr__(self) -> str:
        return repr(bool(self))

    __str__ = __repr__


class NoneValue:
    """A nil: false, equal to None, not identical with it."""

    rx: Any = None
    tx: Any = None

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, NoneValue)

    def __hash__(self) -> int:
        return hash(None)

    def __repr__(self) -> str:
        return "None"


class OtherValue:
    """
    Anything without a class above, a msgpack extension or a timestamp.

    :ivar value: the object itself
    """

    rx: Any = None
    tx: Any = None

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return repr(self.value)


_KINDS: dict[type, Any] = {
    bytes: BytesValue,
    str: StrValue,
    int: IntValue,
    float: FloatValue,
    list: ListValue,
    dict: DictValue,
    bool: BoolValue,
}


def with_channel(value: Any, rx: Any, tx: Any) -> Any:
    """Return `value` as an instance that also carries the channel's ends."""
    kind = _KINDS.get(type(value))
    if kind is not None:
        result = kind(value)
    elif value is None:
        result = NoneValue()
    else:
        result = OtherValue(value)
    result.rx = rx
    result.tx = tx
    return result


def to_plain(value: Any) -> Any:
    """
    Undo :func:`with_channel` where msgpack would not, or would get it wrong.

    :raises TypeError: for an object that cannot travel
    """
    if isinstance(value, NoneValue):
        return None
    if isinstance(value, BoolValue):
        return bool(value)
    if isinstance(value, OtherValue):
        return value.value
    raise TypeError(
        f"{type(value).__name__} cannot be packed; use bytes, text, numbers, bool, "
        "None, lists and dictionaries"
    )


#: The classes that need `to_plain` before packing.
WRAPPED = (BoolValue, NoneValue, OtherValue)


def plain_args(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return `args` with results of earlier calls turned into plain values."""
    for value in args:
        if isinstance(value, WRAPPED):
            return tuple(
                to_plain(each) if isinstance(each, WRAPPED) else each for each in args
            )
    return args
