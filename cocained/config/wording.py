# -*- test-case-name: cocained.test.test_config_convert -*-
"""
Types and values in words, for error messages and for the documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import inspect

from cocained.config.problems import shorten

#: What an unquoted YAML 1.1 file would have taken for a truth value.
_TRUTHS = frozenset({"yes", "no", "on", "off", "y", "n"})


def unwrap(annotation: Any) -> tuple[Any, list[msgspec.Meta]]:
    """Split an annotation into its bare type and its ``msgspec.Meta``."""
    if get_origin(annotation) is not Annotated:
        return annotation, []
    bare, *metas = get_args(annotation)
    return bare, [meta for meta in metas if isinstance(meta, msgspec.Meta)]


def extras(metas: list[msgspec.Meta]) -> dict[str, Any]:
    """Merge the ``extra`` of several metas; the last one wins."""
    merged: dict[str, Any] = {}
    for meta in metas:
        merged.update(meta.extra or {})
    return merged


def description(metas: list[msgspec.Meta]) -> str:
    """Give the last description among the metas, or ``""``."""
    texts = [meta.description for meta in metas if meta.description]
    return texts[-1] if texts else ""


def expectation(annotation: Any) -> str:
    """
    Say what values a type takes.

    :returns: such as ``a whole number from 0 to 65535``.
    """
    bare, _ = unwrap(annotation)
    if get_origin(bare) is Literal:
        # In the order in which they were declared; ``inspect`` sorts them.
        values = [str(value) for value in get_args(bare)]
        return values[0] if len(values) == 1 else "one of " + ", ".join(values)
    return _of(inspect.type_info(annotation))


def shown(value: object) -> str:
    """Say what a value is, briefly and in the words of a document."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {ascii_safe(value)}"
    if isinstance(value, (int, float)):
        return shorten(_number(value))
    if isinstance(value, Mapping):
        return "a section"
    if isinstance(value, (list, tuple)):
        return "a list"
    return f"a value of type {type(value).__name__}"


def ascii_safe(text: str) -> str:
    """Quote *text*, shortened; signs that cannot be printed are escaped."""
    return repr(shorten(text))


def hint(annotation: Any, value: object) -> str:
    """
    Give a remedy for the mistakes that YAML invites.

    :returns: a clause that starts with a semicolon, or ``""``.
    """
    if not isinstance(value, str):
        return ""
    kind = inspect.type_info(unwrap(annotation)[0])
    if isinstance(kind, inspect.BoolType) and value.lower() in _TRUTHS:
        return "; write true or false"
    if isinstance(kind, (inspect.IntType, inspect.FloatType)):
        if value.strip().lstrip("+-").replace("_", "").isdecimal():
            return "; write the number without quotes, zeros in front or underscores"
    return ""


def _number(value: float) -> str:
    try:
        return repr(value)
    except ValueError:
        # Python refuses to write whole numbers of more than 4300 digits.
        return "a number of thousands of digits"


def _of(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.Metadata):
        return _of(kind.type)
    if isinstance(kind, inspect.IntType):
        return "a whole number" + _bounds(kind)
    if isinstance(kind, inspect.FloatType):
        return "a number" + _bounds(kind)
    if isinstance(kind, inspect.StrType):
        return _text(kind)
    if isinstance(kind, inspect.LiteralType):
        return "one of " + ", ".join(str(value) for value in kind.values)
    if isinstance(kind, inspect.UnionType):
        parts = [t for t in kind.types if not isinstance(t, inspect.NoneType)]
        return " or ".join(_of(part) for part in parts)
    if isinstance(kind, inspect.TupleType):
        return f"a list of {len(kind.item_types)}"
    if isinstance(kind, (inspect.ListType, inspect.VarTupleType)):
        return "a list"
    if isinstance(kind, (inspect.DictType, inspect.StructType)):
        return "a section (keys with values)"
    if isinstance(kind, inspect.BoolType):
        return "true or false"
    if isinstance(kind, inspect.AnyType):
        return "anything"
    return type(kind).__name__.removesuffix("Type").lower()


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge:g} to {kind.le:.15g}"
    words = [
        f"{word} {bound:.15g}"
        for word, bound in (
            ("at least", kind.ge),
            ("greater than", kind.gt),
            ("at most", kind.le),
            ("less than", kind.lt),
        )
        if bound is not None
    ]
    return " " + " and ".join(words) if words else ""


def _text(kind: inspect.StrType) -> str:
    words = "text"
    if kind.max_length is not None:
        words += f" of {kind.min_length or 0} to {kind.max_length} signs"
    elif kind.min_length:
        words += " that is not empty"
    if kind.pattern is not None:
        words += f" like {kind.pattern}"
    return words
