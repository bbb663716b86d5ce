# -*- test-case-name: cocained.test.test_config_source -*-
"""
JSON with comments and trailing commas, as the original's version 4 allows
(protocol.md §12.3), with the line of every value.

The standard library's reader knows neither comments nor lines, and YAML's
neither comments of this kind nor tabs.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from json import JSONDecodeError, JSONDecoder
from typing import NoReturn

from cocained.config.problems import Path, shorten
from cocained.config.tree import MAX_DEPTH, TreeBuilder

_TRIVIA = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*(?s:.*?)\*/)*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORD = re.compile(r"[^\s,:\[\]{}\"]+")
_WORDS = {"true": True, "false": False, "null": None}
_STRING = JSONDecoder()


def is_json(text: str) -> bool:
    """Whether *text* is an object of JSON: a brace, then a quoted key or none."""
    start = _skip(text, 0)
    return text[start : start + 1] == "{" and text[
        (key := _skip(text, start + 1)) : key + 1
    ] in ('"', "}", "")


def parse_json(text: str, builder: TreeBuilder) -> object:
    """
    Read one value and nothing after it.

    :raises ConfigError: not JSON, nested too deeply; with the line.
    """
    return _Reader(text, builder).document()


def _skip(text: str, position: int) -> int:
    match = _TRIVIA.match(text, position)
    return match.end() if match else position


class _Reader:
    """A recursive descent over *text*; *position* only grows."""

    def __init__(self, text: str, builder: TreeBuilder) -> None:
        self.text = text
        self.builder = builder
        self.position = 0
        self.breaks = [match.start() for match in re.finditer("\n", text)]

    def line(self) -> int:
        return bisect_left(self.breaks, self.position) + 1

    def fail(self, reason: str, path: Path) -> NoReturn:
        if self.text.startswith("/*", self.position):
            reason = "the comment that starts here never ends"
        raise self.builder.error(reason, path, self.line())

    def peek(self) -> str:
        """Step over blanks and comments; give the next sign, ``""`` at the end."""
        self.position = _skip(self.text, self.position)
        return self.text[self.position : self.position + 1]

    def document(self) -> object:
        self.peek()
        self.builder.lines[()] = self.line()
        value = self.value(())
        if self.peek():
            self.fail("there is text after the end of the document", ())
        return value

    def value(self, path: Path) -> object:
        sign = self.peek()
        if sign in ("{", "[") and len(path) >= MAX_DEPTH:
            self.fail(f"is nested deeper than {MAX_DEPTH} levels", path)
        if sign == "{":
            return self.members(path)
        if sign == "[":
            return self.elements(path)
        if sign == '"':
            return self.string(path)
        line = self.line()
        number = _NUMBER.match(self.text, self.position)
        if number and not _WORD.match(self.text, number.end()):
            self.position = number.end()
            if number[1] or number[2]:
                return self.builder.decimal(number[0], path, line)
            return self.builder.integer(number[0], path, line)
        word = _WORD.match(self.text, self.position)
        if word and word[0] in _WORDS:
            self.position = word.end()
            return _WORDS[word[0]]
        found = repr(shorten(word[0])) if word else repr(sign) if sign else "the end"
        self.fail(f"expected a value, found {found}", path)

    def members(self, path: Path) -> dict[str, object]:
        built: dict[str, object] = {}
        self.position += 1
        while (sign := self.peek()) != "}":
            if sign != '"':
                self.fail("expected a key in double quotes or '}'", path)
            line = self.line()
            key = self.string(path)
            if self.peek() != ":":
                self.fail("expected ':' after the key", (*path, key))
            self.position += 1
            if self.builder.claim(key, built, path, line):
                built[key] = self.value((*path, key))
            else:
                self.value((*path, key))
            self.separate("}", path)
        self.position += 1
        return built

    def elements(self, path: Path) -> list[object]:
        built: list[object] = []
        self.position += 1
        while self.peek() != "]":
            place = (*path, len(built))
            self.builder.lines[place] = self.line()
            built.append(self.value(place))
            self.separate("]", path)
        self.position += 1
        return built

    def separate(self, end: str, path: Path) -> None:
        sign = self.peek()
        if sign == ",":
            self.position += 1
        elif sign != end:
            self.fail(f"expected ',' or '{end}'", path)

    def string(self, path: Path) -> str:
        line = self.line()
        try:
            text, self.position = _STRING.raw_decode(self.text, self.position)
        except JSONDecodeError as error:
            self.position = min(error.pos, len(self.text))
            self.fail(f"broken text: {error.msg}", path)
        assert isinstance(text, str)
        return self.builder.text(text, path, line)
