# -*- test-case-name: cocained.test.test_tools_entities -*-
"""Tests of :mod:`cocained.tools.entities`: what the three kinds share."""

from __future__ import annotations

from cocained.test.tool_case import ToolCase


class EntityTests(ToolCase):
    """Shown with profiles, which add nothing to it."""

    def setUp(self) -> None:
        super().setUp()
        self.store("profiles", "fast", {"pool-limit": 4}, "profile")

    def test_list(self) -> None:
        """Only what carries the tag is listed."""
        self.store("profiles", "untagged", {})
        self.assertEqual(self.succeed("profile", "list").json, ["fast"])

    def test_list_of_none(self) -> None:
        """An empty list is an empty list."""
        self.storage.tags.clear()
        self.assertEqual(self.succeed("profile", "list").text, "[]\n")

    def test_view(self) -> None:
        """A document is shown as it is."""
        shown = self.succeed("profile", "view", "-n", "fast")
        self.assertEqual(shown.json, {"pool-limit": 4})

    def test_view_unknown(self) -> None:
        """One that does not exist brings the nearest names."""
        errors = self.refuse(128, "profile", "view", "-n", "fest")
        self.assertIn("did you mean fast? `cocaine-tool profile list`", errors)

    def test_view_garbage(self) -> None:
        """What is no document is told, with the way out."""
        self.storage.blobs["profiles", "fast"] = b"\xc1"
        errors = self.refuse(128, "profile", "view", "-n", "fast")
        self.assertIn("no msgpack document", errors)
        self.assertIn("profile remove -n fast", errors)

    def test_remove(self) -> None:
        """A thing is removed."""
        result = self.succeed("profile", "remove", "-n", "fast", "--json")
        self.assertEqual(result.json, {"name": "fast", "status": "removed"})
        self.assertEqual(self.storage.blobs, {})

    def test_remove_absent(self) -> None:
        """Removing what is not there succeeds, as it always did, and says so."""
        result = self.succeed("profile", "remove", "-n", "slow", "--json")
        self.assertEqual(result.json["status"], "absent")

    def test_copy(self) -> None:
        """A copy is the same, byte by byte, and carries the tags."""
        blob = self.storage.blobs["profiles", "fast"]
        self.succeed("profile", "copy", "-n", "fast", "--copyname", "new")
        self.assertEqual(self.storage.blobs["profiles", "new"], blob)
        self.assertEqual(self.storage.tags["profiles", "new"], {"profile"})
        self.assertIn(("profiles", "fast"), self.storage.blobs)

    def test_copy_over(self) -> None:
        """A copy replaces nothing."""
        self.store("profiles", "new", {}, "profile")
        errors = self.refuse(128, "profile", "copy", "-n", "fast", "-c", "new")
        self.assertIn("exists already", errors)
        self.assertEqual(self.stored("profiles", "new"), {})

    def test_copy_unknown(self) -> None:
        """What does not exist cannot be copied."""
        errors = self.refuse(128, "profile", "copy", "-n", "x", "-c", "y")
        self.assertIn("profile 'x' does not exist", errors)

    def test_copy_needs(self) -> None:
        """A copy needs two names, and two different ones."""
        self.refuse(22, "profile", "copy", "-n", "fast")
        self.refuse(22, "profile", "copy", "-c", "fast")
        self.refuse(22, "profile", "copy", "-n", "fast", "-c", "fast")

    def test_rename(self) -> None:
        """A renamed thing is there under the new name only."""
        self.succeed("profile", "rename", "-n", "fast", "--copyname", "new")
        self.assertEqual(list(self.storage.blobs), [("profiles", "new")])

    def test_rename_writes_first(self) -> None:
        """Whatever happens in between, the thing is there under one name."""
        self.succeed("profile", "rename", "-n", "fast", "--copyname", "new")
        order = [entry[0] for entry in self.storage.log if entry[0] != "find"]
        self.assertEqual(order, ["read", "write", "remove"])

    def test_edit(self) -> None:
        """What the editor gives back is stored."""
        self.edited = '{"pool-limit": 5}'
        self.succeed("profile", "edit", "-n", "fast")
        self.assertEqual(self.shown, '{\n    "pool-limit": 4\n}\n')
        self.assertEqual(self.stored("profiles", "fast"), {"pool-limit": 5})

    def test_edit_without_saving(self) -> None:
        """An editor that was left without saving stores nothing."""
        result = self.succeed("profile", "edit", "-n", "fast", "--json")
        self.assertEqual(result.json["status"], "unchanged")
        self.assertNotIn("write", [entry[0] for entry in self.storage.log])

    def test_edit_to_the_same(self) -> None:
        """A document that reads the same is not stored again."""
        self.edited = '{"pool-limit":4}'
        result = self.succeed("profile", "edit", "-n", "fast", "--json")
        self.assertEqual(result.json["status"], "unchanged")

    def test_edit_to_nonsense(self) -> None:
        """What is no JSON, or no map, is not stored."""
        for text in ("{", "[]"):
            self.edited = text
            self.refuse(22, "profile", "edit", "-n", "fast")
        self.assertEqual(self.stored("profiles", "fast"), {"pool-limit": 4})
