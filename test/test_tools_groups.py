# -*- test-case-name: cocained.test.test_tools_groups -*-
"""Tests of :mod:`cocained.tools.groups`."""

from __future__ import annotations

from cocained.test.tool_case import ToolCase


class GroupTests(ToolCase):
    """Routing groups."""

    def test_create(self) -> None:
        """A group is stored in the old encoding with both its tags."""
        self.succeed("group", "create", "-n", "G", "-c", '{"echo": 10}')
        self.assertEqual(self.storage.blobs["groups", "G"], b"\x81\xa4echo\x0a")
        self.assertEqual(self.storage.tags["groups", "G"], {"group", "active"})

    def test_create_nonsense(self) -> None:
        """What a locator would refuse to load is not stored."""
        for content in ("{}", '{"a": 0}', '{"a": -1}', '{"a": 1.5}', '{"a": true}'):
            self.refuse(22, "group", "create", "-n", "G", "-c", content)
        self.assertEqual(self.storage.log, [])

    def test_push(self) -> None:
        """An app joins, or changes its weight."""
        self.store("groups", "G", {"a": 1}, "group", "active")
        self.succeed("group", "push", "-n", "G", "--app", "b", "-w", "3")
        self.succeed("group", "push", "-n", "G", "--app", "a", "-w", "0")
        self.assertEqual(self.stored("groups", "G"), {"a": 0, "b": 3})

    def test_push_needs(self) -> None:
        """A weight is demanded, and must be one."""
        self.store("groups", "G", {"a": 1}, "group", "active")
        args = ("group", "push", "-n", "G", "--app", "b")
        self.assertIn("-w", self.refuse(22, *args))
        self.refuse(22, *args, "-w", "-1")
        self.refuse(2, *args, "-w", "heavy")

    def test_pop(self) -> None:
        """An app leaves."""
        self.store("groups", "G", {"a": 1, "b": 1}, "group", "active")
        self.succeed("group", "pop", "-n", "G", "--app", "a")
        self.assertEqual(self.stored("groups", "G"), {"b": 1})

    def test_pop_the_last(self) -> None:
        """The last one stays: no group is empty."""
        self.store("groups", "G", {"a": 1}, "group", "active")
        self.refuse(22, "group", "pop", "-n", "G", "--app", "a")
        self.assertEqual(self.stored("groups", "G"), {"a": 1})

    def test_pop_unknown(self) -> None:
        """One that is not in it brings those that are."""
        self.store("groups", "G", {"a": 1}, "group", "active")
        errors = self.refuse(128, "group", "pop", "-n", "G", "--app", "x")
        self.assertIn("it has a", errors)

    def test_refresh(self) -> None:
        """One group, or all of them, are refreshed in one call."""
        self.store("groups", "b", {}, "group", "active")
        self.store("groups", "a", {}, "group", "active")
        self.succeed("group", "refresh", "-n", "G")
        self.succeed("group", "refresh")
        self.assertEqual(self.locator.refreshed, [["G"], ["a", "b"]])

    def test_refresh_forgets(self) -> None:
        """A refresh of all groups names those, too, that only the locator knows."""
        self.store("groups", "b", {}, "group", "active")
        self.locator.rings = {"a": [], "b": []}
        result = self.succeed("group", "refresh", "--json")
        self.assertEqual(self.locator.refreshed, [["a", "b"]])
        self.assertEqual(result.json["groups"], ["a", "b"])

    def test_edit_is_checked(self) -> None:
        """An edited group is checked like a new one."""
        self.store("groups", "G", {"a": 1}, "group", "active")
        self.edited = '{"a": 0}'
        self.refuse(22, "group", "edit", "-n", "G")
        self.assertEqual(self.stored("groups", "G"), {"a": 1})

    def test_refresh_is_recalled(self) -> None:
        """Each change says how locators come to heed it, and what is not one does
        not."""
        self.edited = '{"a": 2}'
        for told, args in (
            ("G", ("create", "-n", "G", "-c", '{"a": 1, "b": 1}')),
            ("G", ("push", "-n", "G", "--app", "b", "-w", "2")),
            ("G", ("pop", "-n", "G", "--app", "b")),
            ("G", ("edit", "-n", "G")),
            ("H", ("copy", "-n", "G", "-c", "H")),
            ("I", ("rename", "-n", "G", "-c", "I")),
            ("H", ("remove", "-n", "H")),
        ):
            result = self.succeed("group", *args)
            self.assertIn(f"`cocaine-tool group refresh -n {told}`", result.text)
        self.assertNotIn("refresh", self.succeed("group", "edit", "-n", "I").text)
        self.assertNotIn("refresh", self.succeed("group", "remove", "-n", "H").text)

    def test_renamed_is_to_be_forgotten(self) -> None:
        """Locators are to be told of both names of what was renamed."""
        self.store("groups", "G", {"a": 1}, "group", "active")
        result = self.succeed("group", "rename", "-n", "G", "-c", "I")
        for name in "GI":
            self.assertIn(f"group refresh -n {name}`", result.text)
