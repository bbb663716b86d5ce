# -*- test-case-name: cocained.test.test_storages_texts -*-
"""
Names as text for servers that take valid UTF-8 only, and forbid some characters.

Almost all names stay what they are, so that people and other programs find them.
What cannot stay is written as the control character SUBSTITUTE and two hexadecimal
digits, and SUBSTITUTE itself twice; no two names become one.
"""

from __future__ import annotations

import re

#: ASCII's SUBSTITUTE: made for this, and in no name that anybody types.
MARK = "\x1a"

#: Where ``surrogateescape`` keeps the bytes that are no UTF-8.
_RAW = "\udc80-\udcff"

_ALWAYS = re.compile(f"[{MARK}{_RAW}]")
_MARKED = re.compile(f"{MARK}({MARK}|[0-9a-f]{{2}})")


def to_text(name: str, unfit: re.Pattern[str] | None = None) -> str:
    """
    Write a name as valid UTF-8.

    :param unfit: matches single ASCII characters that must not stay either.
    """
    text = _ALWAYS.sub(_mark, name)
    return text if unfit is None else unfit.sub(_mark, text)


def from_text(text: str) -> str:
    """Give the name of which :func:`to_text` made *text*."""
    return _MARKED.sub(_unmark, text)


def _mark(match: re.Match[str]) -> str:
    found = match[0]
    return MARK * 2 if found == MARK else f"{MARK}{ord(found) & 0xFF:02x}"


def _unmark(match: re.Match[str]) -> str:
    if match[1] == MARK:
        return MARK
    code = int(match[1], 16)
    return chr(code) if code < 0x80 else chr(0xDC00 + code)
