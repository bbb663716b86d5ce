# -*- test-case-name: cocained.test.test_errors -*-
"""
Configuration, documents and plugins that cannot be used.
"""

from __future__ import annotations

from collections.abc import Sequence

from cocained.errors.base import CocainedError
from cocained.errors.codes import Category, RepositoryCode


class ConfigError(CocainedError):
    """
    A file of ours that cannot be used.

    :param reason: what is wrong and, where one can tell, the remedy.
    :param path: dotted path of the key inside the document, ``""`` for all.
    :param line: line in the file, counted from 1, or ``None``.
    :param filename: the file, or ``None`` for a document that has none.
    """

    def __init__(
        self,
        reason: str,
        path: str = "",
        line: int | None = None,
        filename: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.path = path
        self.line = line
        self.filename = filename

    def __str__(self) -> str:
        place = ":".join(
            str(part) for part in (self.filename, self.line) if part is not None
        )
        parts = [part for part in (place, self.path, self.reason) if part]
        return ": ".join(parts)


class DocumentError(CocainedError):
    """
    A manifest, profile or runlist with mistakes, all of them listed at once.

    :param what: which document, such as ``profile 'default'``.
    :param problems: one sentence each.
    """

    def __init__(self, what: str, problems: Sequence[str]) -> None:
        super().__init__(f"{what}: {'; '.join(problems)}")
        self.what = what
        self.problems = list(problems)


class PluginError(CocainedError):
    """Something is wrong with a plugin; the base of three precise errors."""

    category = Category.REPOSITORY
    code = RepositoryCode.INITIALIZATION


class UnknownPlugin(PluginError):
    """No plugin of that kind has that type name."""

    code = RepositoryCode.NOT_REGISTERED


class DuplicatePlugin(PluginError):
    """Two plugins of one kind claim the same type name."""

    code = RepositoryCode.DUPLICATE


class BrokenPlugin(PluginError):
    """A plugin that cannot be imported, built, or lacks its interface."""

    code = RepositoryCode.INVALID_INTERFACE


class MissingExtra(BrokenPlugin):
    """
    A plugin without the optional dependency that it needs.

    :param reason: what cannot be imported, and the remedy.
    :param extra: the dependency's name, such as ``zookeeper``.
    """

    def __init__(self, reason: str, extra: str) -> None:
        super().__init__(reason)
        self.extra = extra
