# -*- test-case-name: cocained.test.test_tools_documents -*-
"""
Documents from the command line: a path to a JSON file, or JSON itself.

Whatever parses as JSON is JSON (tools.md §1).
"""

from __future__ import annotations

import json
from typing import Any

from cocained.tools.failures import BadValue

#: Largest document, in bytes; real ones have a thousandth of it.
DOCUMENT_LIMIT = 16 * 1024 * 1024


def load_document(value: str, what: str) -> Any:
    """
    Read a document.

    :param value: JSON, or the path of a file that holds it.
    :param what: for messages, such as ``profile``.
    :raises BadValue: it is neither.
    """
    try:
        return parse_json(value)
    except ValueError as inline:
        if value.lstrip()[:1] in ("{", "["):
            raise BadValue(f"the {what} is no JSON: {inline}") from inline
    return load_file(value, what)


def load_file(path: str, what: str) -> Any:
    """
    Read a JSON file.

    :raises BadValue: it cannot be read, or is none.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(DOCUMENT_LIMIT + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadValue(
            f"the {what} cannot be read from {path}: {reason}",
            "give the path of a JSON file, or JSON itself",
        ) from error
    if len(data) > DOCUMENT_LIMIT:
        raise BadValue(f"{path} is larger than {DOCUMENT_LIMIT} bytes")
    try:
        return parse_json(data.decode("utf-8-sig"))
    except ValueError as error:
        raise BadValue(f"{path} is no JSON: {error}") from error


def load_map(value: str, what: str) -> dict[str, Any]:
    """Read a document that must be a map."""
    return expect_map(load_document(value, what), what)


def expect_map(document: Any, what: str) -> dict[str, Any]:
    """
    Insist on a map.

    :raises BadValue: it is something else.
    """
    if not isinstance(document, dict):
        raise BadValue(f"the {what} must be a JSON object, {{…}}")
    return document


def parse_json(text: str) -> Any:
    """
    Parse JSON, refusing doubled keys and numbers that JSON does not have.

    :raises ValueError: with the place of the mistake.
    """
    try:
        return json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        keys = [key for key, _ in pairs]
        double = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {double!r} appears twice")
    return document


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def edit_document(text: str | None, what: str) -> Any:
    """
    Parse what came back from an editor.

    :raises BadValue: it is no JSON.
    """
    try:
        return parse_json(text or "")
    except ValueError as error:
        raise BadValue(
            f"the edited {what} is no JSON, nothing was stored: {error}"
        ) from error
