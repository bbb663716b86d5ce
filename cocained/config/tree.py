# -*- test-case-name: cocained.test.test_config_source -*-
"""
What the readers of both syntaxes share: bounds, checks, lines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from cocained.config.problems import LineMap, Path, dotted, raise_all, shorten
from cocained.errors import ConfigError

#: Levels of nesting.  The deepest value the original has is nine levels down
#: (a blackhole sink inside another); Python's own stack bears some hundreds.
MAX_DEPTH: Final = 64

#: Digits of a number: enough for 64 bits.
_MAX_DIGITS = 20

#: What a signed and an unsigned number of 64 bits can hold, as the original
#: keeps them.
_MIN_INT, _MAX_INT = -(2**63), 2**64 - 1


@dataclass(frozen=True, slots=True)
class Source:
    """
    A document that has been read.

    :param tree: maps with text keys, lists, text, numbers, truth values,
        ``None``; nothing else and no value twice.
    :param where: its lines.
    """

    tree: object
    where: LineMap


class TreeBuilder:
    """
    Collects lines and problems while a text is read.

    :param filename: for messages.
    """

    def __init__(self, filename: str | None) -> None:
        self.filename = filename
        self.lines: dict[Path, int] = {}
        self.problems: list[ConfigError] = []

    def error(self, reason: str, path: Path, line: int | None) -> ConfigError:
        """Make an error after which reading cannot go on."""
        return ConfigError(reason, dotted(path), line, self.filename)

    def note(self, reason: str, path: Path, line: int) -> None:
        """Keep an error after which reading goes on."""
        self.problems.append(self.error(reason, path, line))

    def finish(self) -> None:
        """
        Raise what has been kept.

        :raises ConfigError: if there is anything.
        """
        raise_all(self.problems)

    def claim(self, key: str, taken: dict[str, object], path: Path, line: int) -> bool:
        """Note the line of a key; tell whether it is there for the first time."""
        place = (*path, key)
        if key in taken:
            first = self.lines.get(place)
            self.note(f"is there twice, first in line {first}", place, line)
            return False
        self.lines[place] = line
        return True

    def text(self, text: str, path: Path, line: int) -> str:
        """Refuse text that no file name and no log can carry."""
        if "\0" in text:
            self.note("text must not contain the sign with code 0", path, line)
        elif any("\ud800" <= sign <= "\udfff" for sign in text):
            self.note("text contains half of a surrogate pair", path, line)
        return text

    def integer(self, text: str, path: Path, line: int) -> int:
        """Read a whole number of at most 64 bits."""
        number = int(text) if len(text) <= _MAX_DIGITS + 1 else _MAX_INT + 1
        if not _MIN_INT <= number <= _MAX_INT:
            self.note(f"the number {shorten(text)} exceeds 64 bits", path, line)
            return 0
        return number

    def decimal(self, text: str, path: Path, line: int) -> float:
        """Read a finite number."""
        number = float(text)
        if not math.isfinite(number):
            self.note(f"the number {shorten(text)} is too large", path, line)
            return 0.0
        return number
