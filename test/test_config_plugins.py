# -*- test-case-name: cocained.test.test_config_plugins -*-
"""
The configuration as plugins and old installations meet it.

Arguments of a component are converted long after the file was read, by whoever
builds the component; and files that have been in use for years come in the
shapes that packages and operators gave them.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from twisted.trial.unittest import SynchronousTestCase

import cocained.config
from cocained.component import NoArgs
from cocained.config import (
    ComponentConfig,
    ConfigErrors,
    LineMap,
    NodeConfig,
    convert,
    loads,
)
from cocained.config.draft import MAX_NOTES, Draft
from cocained.config.tree import TreeBuilder
from cocained.errors import CocainedError, ConfigError


class StoreArgs(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"
):
    """What the arguments of a storage may look like."""

    path: str
    sync_every: Annotated[float, Meta(ge=0)] = 0.0
    mirrors: tuple[ComponentConfig, ...] = ()


FILE = """\
storages:
  core:
    type: files
    args:
      path: store
      sync-every: 0.5
  second.store:
    type: files
    args:
      pth: store
      sync-every: fast
      mirrors:
        - type: files
        - typ: files
  third:
    type: files
"""


class ArgumentTests(SynchronousTestCase):
    """Arguments of components."""

    def build(self, config: NodeConfig, name: str) -> StoreArgs:
        """Convert the arguments of a storage, as the node does."""
        entry = config.storages[name]
        where = config.where.at("storages", name, "args")
        return convert(entry.args, StoreArgs, f"storages.{name}.args", where)

    def test_good_arguments(self) -> None:
        """Arguments become the plugin's struct."""
        args = self.build(loads(FILE), "core")

        self.assertEqual(args, StoreArgs(path="store", sync_every=0.5))

    def test_bad_arguments(self) -> None:
        """Every fault has the file's line and the whole path."""
        config = loads(FILE, "node.yaml")

        error = self.assertRaises(ConfigErrors, self.build, config, "second.store")

        at = 'storages."second.store".args'
        self.assertEqual(
            str(error).splitlines(),
            [
                f"node.yaml:9: {at}.path: is missing; it must be text",
                f"node.yaml:10: {at}.pth: unknown key; did you mean 'path'?",
                f"node.yaml:11: {at}.sync-every: must be a number at least 0, "
                "not the text 'fast'",
                f"node.yaml:14: {at}.mirrors[1].typ: unknown key; did you mean 'type'?",
                f"node.yaml:14: {at}.mirrors[1].type: is missing; it must be text of "
                "1 to 255 signs",
            ],
        )

    def test_missing_arguments(self) -> None:
        """Without ``args`` the fault stands at the component."""
        config = loads(FILE, "node.yaml")

        error = self.assertRaises(ConfigError, self.build, config, "third")

        self.assertEqual((error.line, error.path), (15, "storages.third.args.path"))

    def test_arguments_from_a_document(self) -> None:
        """Arguments of no file are named by the path that the caller gives."""
        error = self.assertRaises(
            ConfigError, convert, {"path": 5}, StoreArgs, "isolate.args"
        )

        self.assertEqual(str(error), "isolate.args.path: must be text, not 5")

    def test_no_arguments_wanted(self) -> None:
        """A component without arguments refuses all."""
        self.assertEqual(convert({}, NoArgs), NoArgs())

        error = self.assertRaises(ConfigError, convert, {"a": 1}, NoArgs, "args")

        self.assertEqual(str(error), "args.a: unknown key; none is known here")

    def test_error_is_one_of_ours(self) -> None:
        """Errors of the configuration are caught as any of the project's."""
        error = self.assertRaises(CocainedError, loads, "a: 1\nb: 2")

        self.assertIsInstance(error, ConfigErrors)

    def test_public_names(self) -> None:
        """Everything that the package promises is there."""
        for name in cocained.config.__all__:
            self.assertTrue(hasattr(cocained.config, name), name)


class HabitTests(SynchronousTestCase):
    """What operators write."""

    def test_unspecified_address(self) -> None:
        """``::`` must be quoted in YAML; without quotes there is a line."""
        self.assertEqual(loads("network: {endpoint: '::'}").network.endpoint, "::")

        error = self.assertRaises(ConfigError, loads, "network:\n  endpoint: ::\n")

        self.assertEqual(error.line, 2)

    def test_line_ends_of_other_systems(self) -> None:
        """Lines are counted right in files with carriage returns."""
        for text in (
            "services: {}\r\n\r\nnetwork:\r\n  endpoint: x\r\n",
            '{"services": {},\r\n\r\n"network": {\r\n"endpoint": "x"}}',
        ):
            error = self.assertRaises(ConfigError, loads, text)
            self.assertEqual((error.line, error.path), (4, "network.endpoint"))

    def test_tabs_in_yaml(self) -> None:
        """A tab in front is an error with its line."""
        error = self.assertRaises(ConfigError, loads, "services:\n\tnode: x\n")

        self.assertEqual(error.line, 2)

    def test_octal_port(self) -> None:
        """A port with a zero in front is neither octal nor decimal."""
        error = self.assertRaises(ConfigError, loads, "network: {pinned: {a: 010}}")

        self.assertIn("write the number without quotes", error.reason)

    def test_truth_value_as_a_name(self) -> None:
        """A service may be called ``on`` or ``1``."""
        config = loads("services: {on: {type: x}, 1: {type: y}}")

        self.assertEqual(list(config.services), ["on", "1"])

    def test_underscore_for_a_dash(self) -> None:
        """The commonest slip gets its remedy."""
        error = self.assertRaises(ConfigError, loads, "limits: {write_stall: 5}")

        self.assertIn("did you mean 'write-stall'?", error.reason)

    def test_shared_through_an_anchor(self) -> None:
        """Who repeats himself by aliases is told what to do."""
        error = self.assertRaises(
            ConfigError, loads, "services:\n  a: &a {type: x}\n  b: *a\n"
        )

        self.assertEqual(error.line, 3)
        self.assertIn("write the value again", error.reason)

    def test_text_in_many_lines(self) -> None:
        """Arguments may be long text."""
        config = loads("services:\n a:\n  type: x\n  args:\n   t: |\n    1\n    2\n")

        self.assertEqual(config.services["a"].args, {"t": "1\n2\n"})

    def test_comment_signs_in_json_text(self) -> None:
        """An address with slashes in JSON is no comment."""
        config = loads('{"services": {"a": {"type": "x", "args": {"u": "http://h"}}}}')

        self.assertEqual(config.services["a"].args, {"u": "http://h"})

    def test_macros_that_were_not_replaced(self) -> None:
        """A template that nobody filled in is an error with its line."""
        error = self.assertRaises(
            ConfigError, loads, '{"version": 2,\n"locator": {"port": THE_PORT}}', "c"
        )

        self.assertEqual(
            str(error), "c:2: locator.port: expected a value, found 'THE_PORT'"
        )


class DraftTests(SynchronousTestCase):
    """The tree that is being translated."""

    def draft(self, tree: dict[str, Any]) -> Draft:
        """Make a draft whose every section is in line 7."""
        return Draft(tree, LineMap({(key,): 7 for key in tree}, "f"))

    def test_section_is_a_copy(self) -> None:
        """Writing to a section changes the draft, not the document."""
        tree: dict[str, Any] = {"a": {"x": 1}}
        draft = self.draft(tree)

        draft.section("a")["y"] = 2

        self.assertEqual(draft.tree, {"a": {"x": 1, "y": 2}})
        self.assertEqual(tree, {"a": {"x": 1}})

    def test_missing_section(self) -> None:
        """A section that is not there is not made by looking at it."""
        draft = self.draft({"b": None, "c": 5})

        for name in ("a", "c"):
            draft.section(name)["x"] = 1

        self.assertEqual(draft.tree, {"b": None, "c": 5})

    def test_removed_section(self) -> None:
        """A removed section is given and gone."""
        draft = self.draft({"a": {"x": 1}, "b": None})

        self.assertEqual((draft.remove("a"), draft.remove("b")), ({"x": 1}, {}))
        self.assertEqual(draft.tree, {})
        self.assertEqual(draft.problems, [])

    def test_removed_section_of_the_wrong_kind(self) -> None:
        """What is no section is a problem with its line."""
        draft = self.draft({"a": [1]})

        self.assertEqual(draft.remove("a"), {})

        (problem,) = draft.problems
        self.assertEqual((problem.path, problem.line), ("a", 7))

    def test_moves(self) -> None:
        """Values below a moved one are found below its origin."""
        draft = self.draft({"old": {"k": {"x": 1}}})

        draft.put(("new", "place"), {"x": 1}, ("old", "k"))

        self.assertEqual(draft.where.error("r", ("new", "place", "x")).path, "old.k.x")
        self.assertEqual(draft.where.line(("new", "place", "x")), 7)

    def test_notes(self) -> None:
        """Notes begin with the path and end at the limit."""
        draft = self.draft({})

        for number in range(MAX_NOTES + 10):
            draft.note(("a", number), "is odd")

        self.assertEqual(draft.notes[0], "a[0]: is odd")
        self.assertEqual(len(draft.notes), MAX_NOTES + 1)

    def test_unknown(self) -> None:
        """An unknown key of an old layout has the same words as any."""
        draft = self.draft({"a": {}})

        draft.unknown(("a", "prt"), ("port", "group"))

        self.assertEqual(
            str(draft.problems[0]), "f:7: a.prt: unknown key; did you mean 'port'?"
        )


class TreeBuilderTests(SynchronousTestCase):
    """What both readers check."""

    def test_bounds_of_whole_numbers(self) -> None:
        """64 bits, signed and unsigned, are just what is allowed."""
        builder = TreeBuilder("f")

        for number in (0, -(2**63), 2**63 - 1, 2**64 - 1):
            self.assertEqual(builder.integer(str(number), (), 1), number)
        self.assertEqual(builder.problems, [])
        for number in (-(2**63) - 1, 2**64):
            builder.integer(str(number), ("a",), 3)

        self.assertEqual([p.line for p in builder.problems], [3, 3])

    def test_good_text(self) -> None:
        """Signs beyond the first plane are whole, not halves."""
        builder = TreeBuilder("f")

        self.assertEqual(builder.text("\U0001f600é", (), 1), "\U0001f600é")
        builder.finish()
        self.assertEqual(builder.problems, [])

    def test_claim(self) -> None:
        """A key can be claimed once in its map and again in another."""
        builder = TreeBuilder("f")

        self.assertTrue(builder.claim("k", {}, ("a",), 1))
        self.assertFalse(builder.claim("k", {"k": 1}, ("a",), 2))
        self.assertTrue(builder.claim("k", {}, ("b",), 3))

        self.assertEqual(builder.lines, {("a", "k"): 1, ("b", "k"): 3})
        self.assertRaises(ConfigError, builder.finish)
