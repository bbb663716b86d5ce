# -*- test-case-name: cocained.test.test_tools_profiles -*-
"""Tests of :mod:`cocained.tools.profiles`."""

from __future__ import annotations

from cocained.test.tool_case import ToolCase


class UploadTests(ToolCase):
    """Storing a profile."""

    def test_inline(self) -> None:
        """JSON of the command line is stored in the old encoding, with its tag."""
        args = ("-n", "P1", "-r", '{"pool-limit": 2}')
        self.succeed("profile", "upload", *args)
        self.assertEqual(
            self.storage.blobs["profiles", "P1"], b"\x81\xaapool-limit\x02"
        )
        self.assertEqual(self.storage.tags["profiles", "P1"], {"profile"})

    def test_old_strings(self) -> None:
        """Strings of any length have no new-style head."""
        self.succeed("profile", "upload", "-n", "P", "-r", '{"a": "' + "x" * 40 + '"}')
        self.assertIn(b"\xda\x00\x28xxx", self.storage.blobs["profiles", "P"])

    def test_file(self) -> None:
        """A file will do."""
        path = self.mktemp()
        with open(path, "w") as file:
            file.write('{"concurrency": 3}')
        self.succeed("profile", "upload", "-n", "P", "--profile", path)
        self.assertEqual(self.stored("profiles", "P"), {"concurrency": 3})

    def test_mistakes(self) -> None:
        """What is missing or no map is refused, and nothing is sent."""
        self.assertIn("-n", self.refuse(22, "profile", "upload", "-r", "{}"))
        self.assertIn("--profile", self.refuse(22, "profile", "upload", "-n", "P"))
        self.refuse(22, "profile", "upload", "-n", "P", "-r", "[]")
        self.assertEqual(self.storage.log, [])

    def test_too_large_a_number(self) -> None:
        """A number that msgpack has no form for is a bad value."""
        value = f'{{"a": {10**30}}}'
        errors = self.refuse(22, "profile", "upload", "-n", "P", "-r", value)
        self.assertIn("cannot be stored", errors)
