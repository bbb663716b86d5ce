# -*- test-case-name: cocained.test.live.test_differences -*-
"""
``docs/differences.rst`` and the tests that are marked with its rows agree.

Needs no node, so it always runs.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

from cocained.test import live
from cocained.test.live.support import ROOT

PAGE = ROOT / "docs" / "differences.rst"


def modules() -> Iterator[ModuleType]:
    """Import all modules of live tests."""
    for module in iter_modules(live.__path__, f"{live.__name__}."):
        if ".test_" in module.name:
            yield import_module(module.name)


def marks(module: ModuleType) -> set[str]:
    """Find the rows with which a module's tests are marked."""
    return {
        row
        for _, case in inspect.getmembers(module, inspect.isclass)
        if case.__module__ == module.__name__
        for _, test in inspect.getmembers(case, inspect.isfunction)
        for row in getattr(test, "differs", ())
    }


def rows(page: Path) -> list[list[str]]:
    """Read the cells of the table of the page."""
    table = page.read_text(encoding="utf-8").partition(".. list-table::")[2]
    table = table.partition("\nNot on the wire\n")[0]
    found = []
    for row in re.split(r"^   \* - ", table, flags=re.M)[2:]:
        cells = re.split(r"^     - ", row, flags=re.M)
        found.append([" ".join(cell.split()) for cell in cells])
    return found


class DifferencesTests(SynchronousTestCase):
    """The page and the tests."""

    skip = None if PAGE.exists() else "the page is in the checkout"

    def test_agree(self) -> None:
        """Every row has a test, and every marked test has its row."""
        marked = set().union(*map(marks, modules()))
        self.assertEqual({row[0] for row in rows(PAGE)}, marked)

    def test_whole(self) -> None:
        """Every row says what was, what is, and why."""
        for row in rows(PAGE):
            self.assertEqual(len(row), 4, row)
            self.assertTrue(all(row), row)

    def test_once(self) -> None:
        """No row comes twice."""
        names = [row[0] for row in rows(PAGE)]
        self.assertEqual(sorted(set(names)), sorted(names))
