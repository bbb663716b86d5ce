# -*- test-case-name: cocained.test.test_tools_documents -*-
"""Tests of :mod:`cocained.tools.documents`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cocained.tools import documents
from cocained.tools.documents import edit_document, load_document, load_map
from cocained.tools.failures import BadValue


class DocumentTests(SynchronousTestCase):
    """JSON, or where it is."""

    def write(self, data: bytes) -> str:
        """Write a file."""
        path: str = self.mktemp()
        with open(path, "wb") as file:
            file.write(data)
        return path

    def test_inline(self) -> None:
        """Whatever parses as JSON is JSON."""
        self.assertEqual(load_document('{"a": [1, null]}', "x"), {"a": [1, None]})

    def test_file(self) -> None:
        """Anything else is a path; a byte order mark does no harm."""
        self.assertEqual(
            load_document(self.write(b'\xef\xbb\xbf{"a": 1}'), "x"), {"a": 1}
        )

    def test_broken_inline(self) -> None:
        """What was meant as JSON is not taken for a path."""
        with self.assertRaisesRegex(BadValue, "the profile is no JSON"):
            load_document('{"a": }', "profile")

    def test_missing_file(self) -> None:
        """A path that leads nowhere is told with the reason."""
        with self.assertRaisesRegex(BadValue, "No such file"):
            load_document("/nonexistent", "profile")

    def test_impossible_path(self) -> None:
        """A path that no system has is told as well."""
        with self.assertRaises(BadValue):
            load_document("a\x00b", "profile")

    def test_broken_file(self) -> None:
        """A file that is no JSON is told with the place."""
        for data in (b"{", b"\xff\xfe", b'{"a": NaN}', b"[" * 100_000):
            with self.assertRaisesRegex(BadValue, "is no JSON"):
                load_document(self.write(data), "x")

    def test_double_key(self) -> None:
        """A key that appears twice is a mistake, not a choice."""
        with self.assertRaisesRegex(BadValue, "'a' appears twice"):
            load_document('{"a": 1, "a": 2}', "x")

    def test_too_large(self) -> None:
        """A file that cannot be meant is refused."""
        self.patch(documents, "DOCUMENT_LIMIT", 4)
        with self.assertRaisesRegex(BadValue, "larger than 4"):
            load_document(self.write(b'"12345"'), "x")

    def test_map(self) -> None:
        """Where a map is wanted nothing else will do."""
        self.assertEqual(load_map("{}", "x"), {})
        with self.assertRaisesRegex(BadValue, "JSON object"):
            load_map("[]", "x")

    def test_edited(self) -> None:
        """What an editor gives back must be JSON."""
        self.assertEqual(edit_document("[1]", "x"), [1])
        for text in ("", None, "{"):
            with self.assertRaisesRegex(BadValue, "nothing was stored"):
                edit_document(text, "x")
