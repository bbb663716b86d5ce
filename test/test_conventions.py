# -*- test-case-name: cocained.test.test_conventions -*-
"""
Rules that no single module can keep: imports, entries, tags, tests that run.
"""

from __future__ import annotations

import ast
import functools
import os
import subprocess
import sys
from collections.abc import Iterator

from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

import cocained
from cocained.config.describe import table
from cocained.interfaces import CATEGORIES, IPluginEntry
from cocained.repository import Repository

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(cocained.__file__)))

#: Directories of source files, below the root; the links in ``cocained`` lead
#: to the last four.
PLACES = ("cocained", "services", "isolates", "tools", "test")

#: Directories that have the name of a package, and must not be one.
LINKED = ("services", "isolates", "tools")

#: Modules that only somebody who wants them imports.
HEAVY = (
    "cocained.services",
    "cocained.isolates",
    "cocained.storages",
    "cocained.loggers",
    "cocained.gateways",
    "cocained.apps",
    "cocained.node",
    "cocained.tools",
)

#: Why rules for source files are not looked at, if so: an installed package has
#: them at other places.
NO_CHECKOUT = (
    None
    if os.path.exists(os.path.join(ROOT, "setup.cfg"))
    else "source files are looked at in a checkout"
)

PREAMBLE = "# -*- test-case-name: "


def sources(*places: str) -> Iterator[tuple[str, str]]:
    """Give dotted name and path of each source file, links not followed."""
    for place in places or PLACES:
        for directory, names, files in os.walk(os.path.join(ROOT, place)):
            names[:] = [name for name in names if name != "__pycache__"]
            for file in sorted(files):
                if file.endswith(".py"):
                    path = os.path.join(directory, file)
                    inside = os.path.relpath(path, ROOT)[:-3].split(os.sep)
                    if inside[0] != "cocained":
                        inside.insert(0, "cocained")
                    if inside[-1] == "__init__":
                        inside.pop()
                    yield ".".join(inside), path


@functools.cache
def text_of(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


@functools.cache
def tree_of(path: str) -> ast.Module:
    return ast.parse(text_of(path), path)


def python(code: str) -> str:
    """Run code in a fresh interpreter; give what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Give each absolute import of a module's text, and its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or ""), node.lineno


def outside_functions(tree: ast.Module) -> Iterator[ast.stmt]:
    """Give the statements that run when a module is imported."""
    todo: list[ast.stmt] = list(tree.body)
    while todo:
        statement = todo.pop()
        yield statement
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            for name in ("body", "orelse", "finalbody", "handlers"):
                for child in getattr(statement, name, []):
                    todo += (
                        child.body if isinstance(child, ast.ExceptHandler) else [child]
                    )


class SourceTests(SynchronousTestCase):
    """Rules for every file."""

    skip = NO_CHECKOUT

    def test_something_is_looked_at(self) -> None:
        """The walk finds all kinds of files, each under one name."""
        names = [name for name, _ in sources()]

        self.assertLessEqual(
            {
                "cocained.node",
                "cocained.rpc.session",
                "cocained.services.locator",
                "cocained.isolates.child",
                "cocained.tools.cli",
                "cocained.test.test_conventions",
            },
            set(names),
        )
        self.assertEqual(len(names), len(set(names)))

    def test_tags(self) -> None:
        """Every source file begins with the tag of its tests, and those exist."""
        known = {name for name, _ in sources("test")}
        wrong = []
        for name, path in sources():
            text = text_of(path)
            first = text.partition("\n")[0]
            tagged = first.startswith(PREAMBLE) and first.endswith(" -*-")
            cases = first.removeprefix(PREAMBLE).removesuffix(" -*-").split(",")
            if tagged:
                if not set(cases) <= known:
                    wrong.append(f"{name}: there is no {' or '.join(cases)}")
            elif not (
                name.startswith("cocained.test.")
                or os.path.basename(path) == "__init__.py"
            ):
                wrong.append(f"{name}: its first line is {first!r}")
        self.assertEqual(wrong, [])

    def test_no_bare_names(self) -> None:
        """No module is imported under two names: ``services`` is ``cocained``'s."""
        wrong = [
            f"{path}:{line}: {imported}"
            for _, path in sources()
            for imported, line in imports(tree_of(path))
            if imported.split(".")[0] in (*LINKED, "test")
        ]
        self.assertEqual(wrong, [])

    def test_absolute_imports(self) -> None:
        """Imports are absolute."""
        wrong = [
            f"{path}:{line}: {imported}"
            for _, path in sources()
            for imported, line in imports(tree_of(path))
            if imported.startswith(".")
        ]
        self.assertEqual(wrong, [])

    def test_no_reactor(self) -> None:
        """No module imports the reactor when it is imported; tests may."""
        wrong = []
        for _, path in sources("cocained", *LINKED):
            for statement in outside_functions(tree_of(path)):
                names = (
                    [f"{statement.module}.{alias.name}" for alias in statement.names]
                    if isinstance(statement, ast.ImportFrom)
                    else [alias.name for alias in statement.names]
                    if isinstance(statement, ast.Import)
                    else []
                )
                if "twisted.internet.reactor" in names:
                    wrong.append(f"{path}:{statement.lineno}")
        self.assertEqual(wrong, [])

    def test_no_stars(self) -> None:
        """Nobody imports everything."""
        wrong = [
            f"{path}:{node.lineno}"
            for _, path in sources()
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.ImportFrom)
            and any(alias.name == "*" for alias in node.names)
        ]
        self.assertEqual(wrong, [])

    def test_tests_are_for_tests(self) -> None:
        """Nothing but tests imports tests."""
        wrong = [
            f"{path}:{line}: {imported}"
            for name, path in sources()
            if not name.startswith("cocained.test")
            for imported, line in imports(tree_of(path))
            if imported.startswith("cocained.test.") or imported == "cocained.test"
        ]
        self.assertEqual(wrong, [])


class TestTests(SynchronousTestCase):
    """Rules for tests."""

    skip = NO_CHECKOUT

    def classes(self) -> Iterator[tuple[str, ast.ClassDef]]:
        """Give each class of the tests."""
        for name, path in sources("test"):
            for node in ast.walk(tree_of(path)):
                if isinstance(node, ast.ClassDef):
                    yield name, node

    def is_asynchronous(self, node: ast.ClassDef, known: dict[str, set[str]]) -> bool:
        """Whether a class has ``TestCase`` above it, by the names of its bases."""
        seen: set[str] = set()
        todo = {ast.unparse(base).split("[")[0].split(".")[-1] for base in node.bases}
        while todo:
            base = todo.pop()
            if base == "TestCase":
                return True
            if base not in seen:
                seen.add(base)
                todo |= known.get(base, set())
        return False

    def test_coroutines_run(self) -> None:
        """``async def test_`` passes without running, except in a ``TestCase``."""
        known = {
            node.name: {
                ast.unparse(base).split("[")[0].split(".")[-1] for base in node.bases
            }
            for _, node in self.classes()
        }
        wrong = [
            f"{module}.{node.name}.{method.name}"
            for module, node in self.classes()
            for method in node.body
            if isinstance(method, ast.AsyncFunctionDef)
            and method.name.startswith("test")
            and not self.is_asynchronous(node, known)
        ]
        self.assertEqual(wrong, [])

    def test_docstrings(self) -> None:
        """Every test says what it is about."""
        wrong = [
            f"{module}.{node.name}.{method.name}"
            for module, node in self.classes()
            for method in node.body
            if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
            and method.name.startswith("test_")
            and not ast.get_docstring(method)
        ]
        self.assertEqual(wrong, [])

    def test_no_test_hides_another(self) -> None:
        """No class has two methods of one name: the first would never run."""
        wrong = []
        for module, node in self.classes():
            names = [
                method.name
                for method in node.body
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
                and method.name.startswith("test")
            ]
            for name in {name for name in names if names.count(name) > 1}:
                wrong.append(f"{module}.{node.name}.{name}")
        self.assertEqual(wrong, [])

    def test_no_class_hides_another(self) -> None:
        """Nor a module two classes."""
        found = [(module, node.name) for module, node in self.classes()
                 if node.name.endswith("Tests")]  # fmt: skip
        self.assertEqual(len(found), len(set(found)))

    def test_no_mock(self) -> None:
        """Doubles are written, not patched in by dotted path."""
        wrong = [
            f"{path}:{line}"
            for _, path in sources("test")
            for imported, line in imports(tree_of(path))
            if imported in ("unittest.mock", "mock")
        ]
        self.assertEqual(wrong, [])


class PluginTests(SynchronousTestCase):
    """The dropins and what they name."""

    def test_light(self) -> None:
        """Looking for plugins imports none of them, and no reactor."""
        loaded = python(
            "import sys\n"
            "from twisted.plugin import getPlugins, IPlugin\n"
            "from cocained.interfaces import IPluginEntry\n"
            "assert len(list(getPlugins(IPluginEntry))) > 10\n"
            "print('\\n'.join(sys.modules))\n"
        ).split()

        heavy = [
            name
            for name in loaded
            if any(name == module or name.startswith(f"{module}.") for module in HEAVY)
        ]
        self.assertIn("cocained.repository", loaded)
        self.assertEqual(heavy, [])
        self.assertNotIn("twisted.internet.reactor", loaded)

    def test_twistd(self) -> None:
        """``twistd`` learns of the command without importing the node."""
        loaded = python(
            "import sys\n"
            "from twisted.application.service import IServiceMaker\n"
            "from twisted.plugin import getPlugins\n"
            "names = [maker.tapname for maker in getPlugins(IServiceMaker)]\n"
            "assert names.count('cocained') == 1, names\n"
            "print('\\n'.join(sys.modules))\n"
        ).split()

        self.assertNotIn("cocained.tap", loaded)
        self.assertNotIn("cocained.node", loaded)
        self.assertNotIn("twisted.internet.reactor", loaded)

    def test_importing_everything(self) -> None:
        """No module installs a reactor or comes in under a second name."""
        names = [
            name
            for name, _ in sources("cocained", *LINKED)
            if not name.endswith("__main__")
        ]
        loaded = python(
            "import importlib, sys\n"
            f"for name in {names!r}: importlib.import_module(name)\n"
            "print('\\n'.join(sys.modules))\n"
        ).split()

        self.assertNotIn("twisted.internet.reactor", loaded)
        for name in LINKED:
            self.assertNotIn(name, loaded)
            self.assertIn(f"cocained.{name}", loaded)

    test_importing_everything.skip = NO_CHECKOUT  # type: ignore[attr-defined]

    def test_entries(self) -> None:
        """Every builtin can be loaded, and is what it says."""
        lines = Repository.discover().listing()

        ours = [line for line in lines if line.dotted.startswith("cocained.")]
        self.assertGreaterEqual(len(ours), 13)
        self.assertEqual([line for line in ours if line.problem], [])

    def test_no_strays(self) -> None:
        """Every builtin is of a known category, and has a type of its own there."""
        self.assertEqual(Repository.discover().strays, [])
        found = [
            (entry.category, entry.type)
            for entry in getPlugins(IPluginEntry)
            if entry.dotted.startswith("cocained.")
        ]
        self.assertEqual(len(found), len(set(found)))
        self.assertLessEqual({category for category, _ in found}, set(CATEGORIES))

    def test_arguments_are_described(self) -> None:
        """Arguments of every builtin can be described for the documentation."""
        repository = Repository.discover()
        for line in repository.listing():
            if line.dotted.startswith("cocained."):
                factory = repository.factory(line.category, line.type)
                self.assertIsInstance(table(factory.Args), str, line.dotted)

    def test_no_package_files(self) -> None:
        """``twisted`` here is a part of Twisted's own package, never a rival."""
        for place in ("twisted", os.path.join("twisted", "plugins")):
            self.assertFalse(os.path.exists(os.path.join(ROOT, place, "__init__.py")))

    test_no_package_files.skip = NO_CHECKOUT  # type: ignore[attr-defined]
