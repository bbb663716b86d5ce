"""
Which writings of an app's documents and code belong together.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.edition import Edition


class EditionTests(SynchronousTestCase):
    """Labels for people."""

    def test_label(self) -> None:
        """A label is short, and the same for the same everywhere."""
        self.assertEqual(Edition("1", "default@2", "3").label, "a81e325ffe0b")

    def test_parts(self) -> None:
        """Each part counts, and where it ends."""
        editions = [
            Edition("a", "b", "c"),
            Edition("a", "b", ""),
            Edition("a", "bc", ""),
            Edition("ab", "c", ""),
            Edition("", "abc", ""),
        ]
        self.assertEqual(len({edition.label for edition in editions}), len(editions))

    def test_any_text(self) -> None:
        """Names of profiles that are no UTF-8 do no harm."""
        self.assertTrue(Edition("1", "\udcff@2", "3").label)
