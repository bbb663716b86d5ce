# -*- test-case-name: cocained.test.test_tools_runlists -*-
"""Tests of :mod:`cocained.tools.runlists`."""

from __future__ import annotations

from cocained.test.tool_case import ToolCase


class RunlistTests(ToolCase):
    """Which apps a node starts."""

    def test_create(self) -> None:
        """A new runlist is an empty map with its tag."""
        self.succeed("runlist", "create", "-n", "R")
        self.assertEqual(self.storage.blobs["runlists", "R"], b"\x80")
        self.assertEqual(self.storage.tags["runlists", "R"], {"runlist"})

    def test_upload(self) -> None:
        """A runlist is stored whole."""
        self.succeed("runlist", "upload", "-n", "R", "--runlist", '{"echo": "P"}')
        self.assertEqual(self.stored("runlists", "R"), {"echo": "P"})

    def test_upload_of_something_else(self) -> None:
        """Profiles are names."""
        args = ("runlist", "upload", "-n", "R", "--runlist", '{"echo": 1}')
        self.assertIn("app 'echo' must be a name", self.refuse(22, *args))

    def test_list_and_view(self) -> None:
        """Runlists are listed and shown."""
        self.store("runlists", "R", {"echo": "P"}, "runlist")
        self.assertEqual(self.succeed("runlist", "list").json, ["R"])
        self.assertEqual(self.succeed("runlist", "view", "-n", "R").json, {"echo": "P"})

    def test_add_app(self) -> None:
        """An app joins those that are there, in the published tool's words."""
        self.store("runlists", "R", {"a": "P"}, "runlist")
        args = ("-n", "R", "--app", "echo", "--profile", "NP")
        result = self.succeed("runlist", "add-app", *args)
        self.assertEqual(self.stored("runlists", "R"), {"a": "P", "echo": "NP"})
        self.assertEqual(
            result.json,
            {
                "added": {"app": "echo", "profile": "NP"},
                "runlist": "R",
                "status": "modified",
            },
        )

    def test_add_app_to_nothing(self) -> None:
        """A runlist that does not exist is an error that names the way out."""
        args = ("-n", "R", "--app", "echo", "--profile", "NP")
        self.assertIn("-f creates it", self.refuse(128, "runlist", "add-app", *args))

    def test_add_app_by_force(self) -> None:
        """With ``-f`` it is created."""
        args = ("-n", "R", "--app", "echo", "--profile", "NP", "-f")
        result = self.succeed("runlist", "add-app", *args)
        self.assertEqual(result.json["status"], "created")
        self.assertEqual(self.storage.blobs["runlists", "R"], b"\x81\xa4echo\xa2NP")

    def test_add_app_needs(self) -> None:
        """Each of the three is demanded by its flag."""
        given: tuple[str, ...] = ("runlist", "add-app")
        for flag in ("-n", "--app", "--profile"):
            self.assertIn(f"give it with {flag}", self.refuse(22, *given))
            given += (flag, "x")

    def test_remove_app(self) -> None:
        """An app is taken off, the others stay."""
        self.store("runlists", "R", {"a": "P", "b": "P"}, "runlist")
        result = self.succeed("runlist", "remove-app", "-n", "R", "--app", "a")
        self.assertEqual(result.json["status"], "successfully removed")
        self.assertEqual(self.stored("runlists", "R"), {"b": "P"})

    def test_remove_app_that_is_not_there(self) -> None:
        """One that is not on it is told, nothing is written."""
        self.store("runlists", "R", {"a": "P"}, "runlist")
        result = self.succeed("runlist", "remove-app", "-n", "R", "--app", "x")
        self.assertIn("x is not in runlist", result.json["status"])
        self.assertNotIn("write", [entry[0] for entry in self.storage.log])

    def test_remove_app_from_nothing(self) -> None:
        """A runlist that does not exist is an error."""
        args = ("runlist", "remove-app", "-n", "R", "--app", "x")
        self.assertIn("runlist 'R' does not exist", self.refuse(128, *args))

    def test_not_a_map(self) -> None:
        """A stored runlist that is no map is told, not overwritten."""
        self.store("runlists", "R", [1], "runlist")
        args = ("-n", "R", "--app", "a", "--profile", "p")
        self.assertIn("is no map", self.refuse(128, "runlist", "add-app", *args))
