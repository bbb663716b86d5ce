# -*- test-case-name: cocained.test.test_config_convert -*-
"""
Where a value stands in a file, and what is wrong with it.

Everything that reads a document says *which* file, line and key; this module
is the one place that knows how such a place is kept and how it is written.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cocained.errors import ConfigError

#: Keys and positions that lead from the top of a document to a value.
Path = tuple[str | int, ...]

#: Problems that one error carries.  A terminal shows about fifty lines; who
#: has more mistakes than these mends them in rounds.
MAX_PROBLEMS = 20

#: Signs of a key or a value that messages repeat, so that a hostile document
#: cannot fill the log.
MAX_SHOWN = 60

_PLAIN_KEY = re.compile(r"[\w-]+")


@dataclass(frozen=True, slots=True)
class LineMap:
    """
    The lines of a document's values, seen from one of its sections.

    :param lines: line of every value, counted from 1, by path from the top.
    :param filename: the file, or ``None`` for text that came from elsewhere.
    :param origins: for values that were moved when an old file was
        translated: the path under which the file has them.
    :param prefix: path of the section from which this map is seen.
    """

    lines: Mapping[Path, int] = field(default_factory=dict)
    filename: str | None = None
    origins: Mapping[Path, Path] = field(default_factory=dict)
    prefix: Path = ()

    def at(self, *keys: str | int) -> LineMap:
        """Give the same map, seen from the section under *keys*."""
        return LineMap(self.lines, self.filename, self.origins, self.prefix + keys)

    def origin(self, path: Path = ()) -> Path:
        """Give *path* from the top, spelled as in the file."""
        full = self.prefix + path
        for length in range(len(full), 0, -1):
            moved = self.origins.get(full[:length])
            if moved is not None:
                return moved + full[length:]
        return full

    def line(self, path: Path = ()) -> int | None:
        """
        Give the line of a value.

        :returns: its line, or that of the nearest section around it (a
            missing key has no line of its own); ``None`` when none is known.
        """
        full = self.origin(path)
        for length in range(len(full), -1, -1):
            line = self.lines.get(full[:length])
            if line is not None:
                return line
        return None

    def error(self, reason: str, path: Path = ()) -> ConfigError:
        """Make the error that says *reason* of the value at *path*."""
        return ConfigError(
            reason, dotted(self.origin(path)), self.line(path), self.filename
        )


class ConfigErrors(ConfigError):
    """
    Several problems of one document; its text has one line for each.

    :param problems: at least one, in the order in which they are shown.
    :param omitted: how many more there are that are not kept.
    """

    def __init__(self, problems: Sequence[ConfigError], omitted: int = 0) -> None:
        first = problems[0]
        texts = [": ".join(filter(None, (p.path, p.reason))) for p in problems]
        if omitted:
            texts.append(f"and {omitted} more")
        super().__init__("; ".join(texts), first.path, first.line, first.filename)
        self.problems = list(problems)
        self.omitted = omitted

    def __str__(self) -> str:
        texts = [str(problem) for problem in self.problems]
        if self.omitted:
            texts.append(f"and {self.omitted} more")
        return "\n".join(texts)


def raise_all(problems: Sequence[ConfigError]) -> None:
    """
    Raise what was collected, sorted by line; do nothing if there is nothing.

    :raises ConfigError: the only problem, or :class:`ConfigErrors` of them all.
    """
    if not problems:
        return
    ordered = sorted(problems, key=lambda problem: problem.line or 0)
    if len(ordered) == 1:
        raise ordered[0]
    shown = ordered[:MAX_PROBLEMS]
    raise ConfigErrors(shown, len(ordered) - len(shown))


def shorten(text: str) -> str:
    """Cut *text* to what a message may repeat of it."""
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def dotted(path: Path) -> str:
    """
    Write a path as people read it.

    :returns: such as ``services.node.args`` or ``logging.loggers[0].type``;
        keys with signs of their own (dots, blanks) stand in quotes.
    """
    written = ""
    for key in path:
        if isinstance(key, int):
            written += f"[{key}]"
            continue
        cut = shorten(key)
        if not _PLAIN_KEY.fullmatch(cut.rstrip("…")):
            cut = json.dumps(cut)
        written += f".{cut}" if written else cut
    return written


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """
    Say which of the *known* names was probably meant.

    :returns: ``did you mean 'x'?``, else the names there are.
    """
    names = list(known)
    close = difflib.get_close_matches(shorten(wrong), names, 1)
    if close:
        return f"did you mean {close[0]!r}?"
    if not names:
        return "none is known here"
    return "known are " + ", ".join(sorted(names))
