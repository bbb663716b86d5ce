# -*- test-case-name: cocained.test.test_config_original -*-
"""
A tree that is being translated from an older layout to ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cocained.config.problems import LineMap, Path, dotted, suggestion
from cocained.errors import ConfigError

#: Sentences about ignored keys that are kept; a thousand sinks need no
#: thousand lines of log.
MAX_NOTES = 50


class Draft:
    """
    A tree in the making; every value remembers where the file has it.

    :param tree: the top of the document; not changed, what is written to is
        copied first.
    :param where: its lines.
    """

    def __init__(self, tree: dict[str, Any], where: LineMap) -> None:
        self.tree = dict(tree)
        self.problems: list[ConfigError] = []
        self.notes: list[str] = []
        self._where = where
        self._origins: dict[Path, Path] = {}

    @property
    def where(self) -> LineMap:
        """The lines, knowing all moves made so far."""
        return LineMap(self._where.lines, self._where.filename, dict(self._origins))

    def note(self, path: Path, sentence: str) -> None:
        """Say of a key that it does not do what it did in the original."""
        if len(self.notes) < MAX_NOTES:
            self.notes.append(f"{dotted(path)}: {sentence}")
        elif len(self.notes) == MAX_NOTES:
            self.notes.append("more keys have no meaning here and are ignored")

    def fault(self, path: Path, reason: str) -> None:
        """Say of a key, spelled as in the file, that it is wrong."""
        self.problems.append(self._where.error(reason, path))

    def unknown(self, path: Path, known: Iterable[str]) -> None:
        """Refuse a key of an older layout."""
        self.fault(path, f"unknown key; {suggestion(str(path[-1]), known)}")

    def section(self, name: str) -> dict[str, Any]:
        """
        Give a copy of a section at the top that may be changed.

        :returns: the copy, already part of the tree; a section of the wrong
            kind is left to the schema and an unattached one is given.
        """
        found = self.tree.get(name)
        if found is not None and not isinstance(found, dict):
            return {}
        copied = dict(found or {})
        if name in self.tree:
            self.tree[name] = copied
        return copied

    def remove(self, name: str) -> dict[str, Any]:
        """Take a section out of the tree, for translation."""
        found = self.tree.pop(name, None)
        if found is None:
            return {}
        if not isinstance(found, dict):
            self.fault((name,), "must be a section (keys with values)")
            return {}
        return dict(found)

    def put(self, path: Path, value: object, origin: Path | None = None) -> None:
        """
        Write a value into the new layout.

        :param path: text keys only; sections on the way are made.
        :param origin: where the file has it; ``None`` if nowhere.
        """
        here = self.tree
        for key in path[:-1]:
            below = here.get(str(key))
            here[str(key)] = below = dict(below) if isinstance(below, dict) else {}
            here = below
        here[str(path[-1])] = value
        if origin is not None:
            self._origins[path] = origin

    def moved(self, path: Path, origin: Path) -> None:
        """Remember a move that was made by other means."""
        self._origins[path] = origin
