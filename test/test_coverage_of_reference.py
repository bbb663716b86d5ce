# -*- test-case-name: cocained.test.test_coverage_of_reference -*-
"""
Every promise has a test, or says what will keep it.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from cocained.repository import Repository
from cocained.test.promised_sections import SECTIONS
from cocained.test.promises import NOTES, PLAYED, PROBES, ROWS, UNBUILT
from cocained.test.test_conventions import NO_CHECKOUT, sources, tree_of

#: Where tests are; the Python framework has its own.
PLACES = ("test", "frameworks")

#: How a docstring cites rows.
CITATION = re.compile(r"\brows?\s+(\d+(?:(?:,|\s+and)\s+\d+)*)")


def tests() -> Iterator[tuple[str, str]]:
    """Give the name of each test, by module, class and itself, and its docstring."""
    for place in PLACES:
        for name, path in sources(place):
            module = name.rpartition(".")[2]
            if not module.startswith("test_"):
                continue
            for case in tree_of(path).body:
                if not isinstance(case, ast.ClassDef):
                    continue
                for test in case.body:
                    if isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef) and (
                        test.name.startswith("test_")
                    ):
                        full = f"{module}.{case.name}.{test.name}"
                        yield full, ast.get_docstring(test) or ""


def cited(docstring: str) -> set[int]:
    """Read the numbers of the rows that a docstring cites."""
    return {
        int(number)
        for numbers in CITATION.findall(docstring)
        for number in re.findall(r"\d+", numbers)
    }


def played() -> Iterator[tuple[str, str]]:
    """Give each probe or note that is played, and by which test."""
    for module, names in PLAYED.items():
        for test, promises in names.items():
            for promise in promises.split():
                yield promise, f"{module}.{test}"


def unbuilt(kind: str) -> set[str]:
    """Give the names of the promises of a kind that cannot be kept yet."""
    return {
        name.removeprefix(kind).strip() for name in UNBUILT if name.startswith(kind)
    }


class PromiseTests(SynchronousTestCase):
    """The tables and the tests."""

    skip = NO_CHECKOUT

    def test_tests_are_there(self) -> None:
        """Every test that a table names exists, once."""
        found = Counter(name for name, _ in tests())
        named = {test for _, test in played()}
        named.update(test for names in SECTIONS.values() for test in names)
        self.assertEqual({test: found[test] for test in named if found[test] != 1}, {})

    def test_probes(self) -> None:
        """Every probe, and every note beside them, is played or not built."""
        self.assertEqual(
            {promise for promise, _ in played()} | unbuilt("probe"),
            {*PROBES, *NOTES},
        )
        self.assertEqual({p for p, _ in played()} & unbuilt("probe"), set())

    def test_no_probe_is_lost(self) -> None:
        """There are as many as were recorded, none of them twice."""
        self.assertEqual((len(PROBES), len(set(PROBES))), (194, 194))

    def test_sections(self) -> None:
        """Every section of the protocol has a test or is not built."""
        self.assertEqual({name for name in SECTIONS if not SECTIONS[name]}, set())
        self.assertEqual(SECTIONS.keys() & unbuilt("section"), set())
        self.assertEqual(len(SECTIONS) + len(unbuilt("section")), 71)

    def test_rows(self) -> None:
        """Every row is cited by a test or not built, and not both."""
        shown = set().union(*(cited(docstring) for _, docstring in tests()))
        missing = {int(row) for row in unbuilt("row")}
        self.assertEqual(ROWS - shown, missing)

    def test_unbuilt(self) -> None:
        """What is not built is not there: once it is, it wants a test."""
        built = {
            (line.category, line.type)
            for line in Repository.discover().listing()
            if line.dotted.startswith("cocained.")
        }
        self.assertEqual(
            {name for name, promise in UNBUILT.items() if promise.plugin in built},
            set(),
        )
        self.assertIn(("isolate", "process"), built)


class CitationTests(SynchronousTestCase):
    """How rows are found in docstrings."""

    def test_cited(self) -> None:
        """One row, or several; a number alone is none."""
        self.assertEqual(cited("It gets SIGTERM (row 113)."), {113})
        self.assertEqual(cited("It grows (rows 99,\n 124)."), {99, 124})
        self.assertEqual(cited("Chunks: rows 155 and 156."), {155, 156})
        self.assertEqual(cited("Of 20 requests 6 are accepted, in a row."), set())
