# -*- test-case-name: cocained.test.test_config_describe -*-
"""
The structs → tables for the documentation.

``python -m cocained.config.describe`` prints every key of ``node.yaml``;
:func:`table` does the same for the arguments of any plugin.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo

from cocained.config.original import IGNORED, IGNORED_KEYS
from cocained.config.problems import dotted
from cocained.config.schema import Settings
from cocained.config.wording import description, expectation, extras, unwrap


class Row(NamedTuple):
    """One key, all of it in reStructuredText."""

    key: str
    type: str
    unit: str
    default: str
    description: str


_HEADER = Row("Key", "Type", "Unit", "Default", "Meaning")


def rows(struct: type[msgspec.Struct], prefix: str = "") -> Iterator[Row]:
    """
    List the keys of a struct, sections before what is in them.

    :param prefix: dotted path of the section, ``""`` for the top.
    :returns: one row for each; ``NAME`` stands for a name of the user's, ``N``
        for a position in a list.
    """
    for info in msgspec.structs.fields(struct):
        key = f"{prefix}.{info.encode_name}" if prefix else info.encode_name
        bare, metas = unwrap(info.type)
        extra = extras(metas)
        yield Row(
            f"``{key}``",
            _in_words(info.type),
            extra.get("unit", ""),
            extra.get("default") or _default(info),
            description(metas),
        )
        inner, place = _section(bare, key)
        if inner is not None:
            yield from rows(inner, place)


def table(struct: type[msgspec.Struct], prefix: str = "") -> str:
    """Render :func:`rows` as a reStructuredText ``list-table``."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (_HEADER, *rows(struct, prefix)):
        for index, cell in enumerate(row):
            mark = "   * - " if index == 0 else "     - "
            lines.append((mark + cell).rstrip())
    return "\n".join(lines) + "\n"


def ignored() -> str:
    """List the original's keys that are accepted and do nothing."""
    reasons = {dotted((name,)): text for name, text in IGNORED.items()}
    reasons |= {dotted(path): text for path, text in IGNORED_KEYS.items()}
    return "".join(f"* ``{key}``: {text}.\n" for key, text in sorted(reasons.items()))


def document() -> str:
    """Render everything there is to say about ``node.yaml``'s keys."""
    return (
        table(Settings)
        + "\nThe original's keys that are accepted and ignored, with a note in the "
        "log:\n\n" + ignored()
    )


def _in_words(annotation: Any) -> str:
    """Say what values a type takes; a pattern's backslashes are no markup."""
    words, like, pattern = expectation(annotation).partition(" like ")
    return f"{words}{like}``{pattern}``" if like else words


def _default(info: FieldInfo) -> str:
    if info.required:
        return "required"
    value: Any = info.default
    if value is msgspec.NODEFAULT:
        assert callable(info.default_factory)
        value = info.default_factory()
    return _written(value)


def _written(value: Any) -> str:
    """Write a default as one would write it in YAML."""
    if isinstance(value, msgspec.Struct):
        return "see below"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"``{str(value).lower()}``"
    if isinstance(value, dict | str) and not value:
        return "empty"
    if isinstance(value, (list, tuple)):
        return f"``{list(value)}``"
    if isinstance(value, float):
        return f"``{value:g}``"
    return f"``{value}``"


def _section(bare: Any, key: str) -> tuple[type[msgspec.Struct] | None, str]:
    """Give the struct inside a type, and the path that leads to it."""
    args = get_args(bare)
    if get_origin(bare) is dict:
        bare, key = unwrap(args[1])[0], f"{key}.NAME"
    elif get_origin(bare) in (list, tuple):
        bare, key = unwrap(args[0])[0], f"{key}[N]"
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        return bare, key
    return None, key


if __name__ == "__main__":
    print(document(), end="")
