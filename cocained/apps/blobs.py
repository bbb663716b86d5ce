# -*- test-case-name: cocained.test.test_apps_documents -*-
"""
Stored blobs → plain values with text in them.
"""

from __future__ import annotations

from typing import Any

import msgpack
from msgpack import ExtType

from cocained.errors import Category, DispatchCode, DocumentError

#: Bytes of a document.  A runlist of ten thousand apps is half of it.
MAX_DOCUMENT = 1024 * 1024

#: Entries of one list or map.  The decoder reserves room for as many as a list
#: claims to have before it has seen them.
MAX_ITEMS = 65536

#: Levels of nesting; the deepest that isolates read is five.
MAX_DEPTH = 32


class UnreadableDocument(DocumentError):
    """
    A document that is no msgpack at all.

    It travels as ``[7, 7]`` "parse error", as from the original
    (reference-behaviour.md, N7); for the log it says which document it is
    and why.

    :param what: which document.
    :param detail: what the decoder said.
    """

    category = Category.DISPATCH
    code = DispatchCode.UNCAUGHT

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(what, [f"is not a msgpack document: {detail}"])
        self._text = self.reason
        self.reason = "parse error"

    def __str__(self) -> str:
        return self._text


def unpack(what: str, blob: bytes) -> object:
    """
    Decode a blob that holds one msgpack value.

    :param what: names the document in errors.
    :param blob: at most :data:`MAX_DOCUMENT` bytes; text may be of the old raw
        kind or of the new ones.
    :returns: the value; all text in it is still bytes.
    :raises UnreadableDocument: it is none, or more than one.
    :raises DocumentError: it is too long.
    """
    if len(blob) > MAX_DOCUMENT:
        raise DocumentError(what, [f"is longer than {MAX_DOCUMENT} bytes"])
    try:
        value: object = msgpack.unpackb(
            blob,
            raw=True,
            strict_map_key=False,
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_ITEMS,
        )
    # The decoder lets errors of all these kinds out: extra or missing bytes,
    # too deep a nesting, keys that cannot be keys, bad time stamps.
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        detail = str(error) or type(error).__name__
        raise UnreadableDocument(what, detail[:200]) from error
    return value


def textual(what: str, document: object) -> dict[Any, Any]:
    """
    Copy a document with text in the place of bytes.

    Bytes that are no UTF-8 are carried by ``surrogateescape``, so that they
    can be written back as they were.

    :raises DocumentError: it is no map, or nested too deeply.
    """
    copied = _copy(what, document, MAX_DEPTH)
    if not isinstance(copied, dict):
        raise DocumentError(what, ["must be a map"])
    return copied


def check_text(text: str) -> list[str]:
    """Say what keeps *text* from being given to the operating system."""
    return ["must not contain the sign with code 0"] if "\0" in text else []


def _copy(what: str, value: object, depth: int) -> object:
    if isinstance(value, (bytes, bytearray)):
        return _text(value)
    # An extension value is a tuple, but not a list of values.
    if isinstance(value, (dict, list, tuple)) and not isinstance(value, ExtType):
        if depth == 0:
            raise DocumentError(what, [f"is nested deeper than {MAX_DEPTH} levels"])
        if isinstance(value, dict):
            return {
                _text(key) if isinstance(key, bytes) else key: _copy(
                    what, item, depth - 1
                )
                for key, item in value.items()
            }
        return [_copy(what, item, depth - 1) for item in value]
    return value


def _text(value: bytes | bytearray) -> str:
    return value.decode("utf-8", "surrogateescape")
