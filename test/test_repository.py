# -*- test-case-name: cocained.test.test_repository -*-
"""
Plugins by category and type: what is found, and what is wrong with the rest.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import msgspec
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from cocained.component import Component, NoArgs
from cocained.config import loads
from cocained.errors import (
    BrokenPlugin,
    ConfigError,
    DuplicatePlugin,
    PluginError,
    UnknownPlugin,
)
from cocained.interfaces import CATEGORIES, IComponent, IGateway, IPluginEntry
from cocained.repository import Entry, Repository

HERE = __name__


class GoodArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of the plugin below."""

    size: Annotated[int, msgspec.Meta(ge=1)]
    colour: str = "blue"


@implementer(IGateway)
class Good(Component[GoodArgs]):
    """A plugin that is what it says."""

    Args = GoodArgs
    full = False

    def resolve(self, name: str, seed: str = "") -> None:
        return None

    def consume(
        self,
        uuid: str,
        name: str,
        endpoints: Any,
        version: int,
        graph: Any,
        extra: Any,
    ) -> None:
        """Not used."""

    def cleanup(self, uuid: str, name: str | None = None) -> None:
        """Not used."""


@implementer(IGateway)
class Bare:
    """A plugin that inherits nothing and has no arguments."""

    full = False

    def __init__(self, node: Any, name: str, args: NoArgs) -> None:
        self.built = (node, name, args)
        self.name = name

    start = stop = Good.start
    resolve, consume, cleanup = Good.resolve, Good.consume, Good.cleanup


@implementer(IGateway)
class Partial(Component[NoArgs]):  # type: ignore[misc]  # that is its point
    """A plugin that promises more than it has."""

    full = False

    def resolve(self, name: str, seed: str = "") -> None:
        return None


class Silent(Component[NoArgs]):
    """A plugin that does not say what it is."""


class OddArgs(Good):
    """A plugin whose arguments are no struct."""

    Args = dict  # type: ignore[assignment]


class Crash(Good):
    """A plugin that cannot be built."""

    def __init__(self, node: Any, name: str, args: GoodArgs) -> None:
        raise KeyError("colour")


#: Looks like a class from afar.
NO_CLASS = 5


def gateway(type: str, name: str, extra: str = "") -> Entry:
    """Make an entry for a name of this module."""
    return Entry("gateway", type, f"{HERE}.{name}", extra)


class FactoryTests(SynchronousTestCase):
    """From category and type to code."""

    def broken(self, entry: Entry) -> str:
        """Ask for a plugin that cannot be used; give what is said."""
        repository = Repository([entry])
        error = self.assertRaises(
            BrokenPlugin, repository.factory, entry.category, entry.type
        )
        self.assertTrue(
            error.reason.startswith(f"{entry.category} {entry.type} ({entry.dotted}) "),
            error.reason,
        )
        return error.reason

    def test_found(self) -> None:
        """A plugin is found by category and type."""
        repository = Repository([gateway("good", "Good"), gateway("bare", "Bare")])

        self.assertIs(repository.factory("gateway", "good"), Good)
        self.assertIs(repository.factory("gateway", "bare"), Bare)

    def test_same_type_in_two_categories(self) -> None:
        """Types are apart by category."""
        other = Entry("storage", "good", "cocained.storages.memory.MemoryStorage")
        repository = Repository([gateway("good", "Good"), other])

        self.assertIs(repository.factory("gateway", "good"), Good)
        self.assertEqual(
            repository.factory("storage", "good").__name__, "MemoryStorage"
        )

    def test_unknown_but_near(self) -> None:
        """A slip of the pen is answered with the name that was meant."""
        repository = Repository([gateway("adhoc", "Good"), gateway("ipvs", "Good")])

        error = self.assertRaises(
            UnknownPlugin, repository.factory, "gateway", "addhoc"
        )

        self.assertEqual(
            error.reason,
            "gateway type 'addhoc' has not been registered in the repository;"
            " did you mean 'adhoc'?",
        )
        self.assertEqual((error.category, error.code), (8, 7))

    def test_unknown(self) -> None:
        """Far from all names, all names are told."""
        repository = Repository([gateway("adhoc", "Good"), gateway("ipvs", "Good")])

        error = self.assertRaises(UnknownPlugin, repository.factory, "gateway", "x")

        self.assertIn("there are ['adhoc', 'ipvs']", error.reason)

    def test_unknown_category(self) -> None:
        """A category without plugins has none."""
        error = self.assertRaises(
            UnknownPlugin, Repository([]).factory, "cluster", "multicast"
        )

        self.assertIn("there are []", error.reason)

    def test_duplicate(self) -> None:
        """Two plugins of one type are an error that names both."""
        repository = Repository([gateway("same", "Good"), gateway("same", "Bare")])

        error = self.assertRaises(
            DuplicatePlugin, repository.factory, "gateway", "same"
        )

        self.assertEqual(
            error.reason, f"gateway type 'same' is claimed by {HERE}.Good, {HERE}.Bare"
        )
        self.assertEqual((error.category, error.code), (8, 2))

    def test_no_module(self) -> None:
        """A module that is not there is named."""
        reason = self.broken(Entry("gateway", "gone", "no_such_module_here.Gateway"))

        self.assertIn("no_such_module_here", reason)

    def test_no_name_in_module(self) -> None:
        """So is a name that its module has not."""
        self.assertIn("NoSuchThing", self.broken(gateway("gone", "NoSuchThing")))

    def test_missing_dependency(self) -> None:
        """Where an import fails, the remedy is the extra that brings it."""
        self.write_module("broken_import", "import no_such_dependency\nGateway = 5\n")

        reason = self.broken(
            Entry("gateway", "inner", "broken_import.Gateway", "mongo")
        )

        self.assertIn("no_such_dependency", reason)
        self.assertIn("install cocained[mongo]", reason)

    def test_listed_without_dependency(self) -> None:
        """In the listing it is not broken: what it needs stands beside it."""
        self.write_module("bare_import", "import no_such_dependency\nGateway = 5\n")
        entry = Entry("gateway", "inner", "bare_import.Gateway", "mongo")

        (line,) = Repository([entry]).listing()

        self.assertEqual((line.problem, line.extra), ("", "mongo"))

    def test_error_in_module(self) -> None:
        """An error of any kind while a plugin is imported is told with its kind."""
        self.write_module("broken_module", "1 / 0\n")

        reason = self.broken(Entry("gateway", "x", "broken_module.Gateway"))

        self.assertIn("cannot be loaded: ZeroDivisionError: division by zero", reason)

    def write_module(self, name: str, text: str) -> None:
        """Make a module that can be imported during this test."""
        directory = self.mktemp()
        os.makedirs(directory)
        with open(os.path.join(directory, f"{name}.py"), "w") as file:
            file.write(text)
        sys.path.insert(0, directory)
        self.addCleanup(sys.modules.pop, name, None)
        self.addCleanup(sys.path.remove, directory)

    def test_does_not_say(self) -> None:
        """A class that does not implement its interface is refused."""
        reason = self.broken(gateway("silent", "Silent"))

        self.assertIn("is not what it says", reason)
        self.assertIn("IGateway", reason)

    def test_lacks_methods(self) -> None:
        """A class that lacks methods of its interface is refused, with names."""
        reason = self.broken(gateway("partial", "Partial"))

        self.assertIn("consume", reason)
        self.assertIn("cleanup", reason)
        self.assertNotIn("\n", reason)

    def test_wrong_category(self) -> None:
        """A gateway is no storage."""
        self.assertIn("IStorage", self.broken(Entry("storage", "x", f"{HERE}.Good")))

    def test_no_class(self) -> None:
        """What is no class is no factory."""
        self.broken(gateway("five", "NO_CLASS"))


class BuildTests(SynchronousTestCase):
    """From arguments to components."""

    def setUp(self) -> None:
        self.repository = Repository(
            [
                gateway("good", "Good"),
                gateway("bare", "Bare"),
                gateway("odd", "OddArgs"),
                gateway("crash", "Crash"),
            ]
        )
        self.node: Any = object()

    def build(self, type: str, args: Any, **more: Any) -> Any:
        return self.repository.build("gateway", type, self.node, "mine", args, **more)

    def test_component(self) -> None:
        """A component gets the node, its name and its checked arguments."""
        component = self.build("good", {"size": 3})

        self.assertIs(component.node, self.node)
        self.assertEqual(component.name, "mine")
        self.assertEqual(component.args, GoodArgs(size=3, colour="blue"))
        self.assertTrue(verifyObject(IComponent, component))

    def test_without_args(self) -> None:
        """A factory without ``Args`` takes none."""
        component = self.build("bare", {})

        self.assertEqual(component.built, (self.node, "mine", NoArgs()))
        self.assertRaises(ConfigError, self.build, "bare", {"size": 1})

    def test_bad_arguments(self) -> None:
        """Arguments that do not fit are named by their path."""
        error = self.assertRaises(
            ConfigError, self.build, "good", {"size": 0}, path="gateway.args"
        )

        self.assertEqual(error.path, "gateway.args.size")

    def test_lines(self) -> None:
        """Arguments from a file are named by file and line."""
        config = loads("storages:\n  s:\n    type: t\n    args:\n      size: no\n", "f")

        error = self.assertRaises(
            ConfigError,
            self.build,
            "good",
            config.storages["s"].args,
            where=config.where.at("storages", "s", "args"),
        )

        self.assertTrue(str(error).startswith("f:5: storages.s.args.size: "), error)

    def test_odd_args(self) -> None:
        """``Args`` that are no struct are the plugin's mistake."""
        error = self.assertRaises(BrokenPlugin, self.build, "odd", {})

        self.assertIn("Args is no msgspec.Struct", error.reason)

    def test_crash(self) -> None:
        """A plugin that fails while it is built is named, with what it said."""
        error = self.assertRaises(BrokenPlugin, self.build, "crash", {"size": 1})

        self.assertEqual(
            error.reason,
            f"gateway crash ({HERE}.Crash) cannot be built: KeyError: 'colour'",
        )
        self.assertIsInstance(error.__cause__, KeyError)

    def test_unknown(self) -> None:
        """All mistakes about plugins have one base."""
        self.assertRaises(PluginError, self.build, "nope", {})


class ListingTests(SynchronousTestCase):
    """What ``--plugins`` shows."""

    def test_sorted(self) -> None:
        """Lines are sorted by category, as the interfaces have them, and type."""
        entries = [
            Entry("storage", "b", "cocained.storages.memory.MemoryStorage"),
            gateway("z", "Good"),
            gateway("a", "Good"),
            Entry("storage", "a", "cocained.storages.memory.MemoryStorage"),
        ]

        found = Repository(entries).listing()

        self.assertEqual(
            [(line.category, line.type) for line in found],
            [("storage", "a"), ("storage", "b"), ("gateway", "a"), ("gateway", "z")],
        )
        self.assertEqual({line.problem for line in found}, {""})
        self.assertEqual(found[2].dotted, f"{HERE}.Good")

    def test_problems(self) -> None:
        """A plugin that cannot be used has its reason; the others are listed."""
        found = Repository(
            [
                gateway("good", "Good"),
                gateway("gone", "NoSuchThing"),
                gateway("silent", "Silent"),
                gateway("twice", "Good"),
                gateway("twice", "Bare"),
            ]
        ).listing()

        problems = {line.type: line.problem for line in found}
        self.assertEqual(len(found), 5)
        self.assertEqual(problems["good"], "")
        self.assertIn("NoSuchThing", problems["gone"])
        self.assertIn("IGateway", problems["silent"])
        self.assertIn("is claimed by", problems["twice"])

    def test_strays(self) -> None:
        """Entries of no known category are kept apart, and do not break others."""
        stray = Entry("flavour", "vanilla", f"{HERE}.Good")

        repository = Repository([stray, gateway("good", "Good"), object()])

        self.assertEqual(len(repository.listing()), 1)
        self.assertEqual(len(repository.strays), 2)
        self.assertEqual(
            repository.strays[0],
            f"Entry('flavour', 'vanilla', '{HERE}.Good') is of no known category",
        )

    def test_entry(self) -> None:
        """An entry is a plugin for Twisted, and one of ours."""
        entry = gateway("good", "Good")

        self.assertTrue(verifyObject(IPlugin, entry))
        self.assertTrue(verifyObject(IPluginEntry, entry))

    def test_discover(self) -> None:
        """The dropins of this project are found."""
        found = {(line.category, line.type) for line in Repository.discover().listing()}

        self.assertLessEqual(
            {
                ("service", "locator"),
                ("service", "logging"),
                ("service", "node"),
                ("service", "node::v2"),
                ("service", "storage"),
                ("storage", "files"),
                ("storage", "memory"),
                ("logger", "console"),
                ("logger", "file"),
                ("logger", "syslog"),
                ("gateway", "adhoc"),
                ("isolate", "process"),
                ("isolate", "legacy_process"),
            },
            found,
        )
        self.assertLessEqual({category for category, _ in found}, set(CATEGORIES))
