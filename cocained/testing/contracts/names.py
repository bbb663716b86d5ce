# -*- test-case-name: cocained.test.test_storages -*-
# mypy: allow-untyped-calls
# (Assertions of trial have no types.)
"""
What storages do in which names are files, or might be.
"""

from __future__ import annotations

import errno

from cocained.testing.contracts.storages import StorageContract


class NameSpaceContract(StorageContract):
    """
    For storages where keys, tags and nested collections share one name space,
    as they do in directories (protocol.md §4.1).
    """

    def test_read_tag(self) -> None:
        """A tag read as a key is a directory (S11)."""
        self.result_of(self.storage.write("ns1", "k", b"v", ["t1"]))

        error = self.assert_refused(errno.EISDIR, self.storage.read("ns1", "t1"))

        self.assertTrue(error.reason.endswith("ns1/t1: Is a directory"))

    def test_change_tag_as_key(self) -> None:
        """A tag can neither be written nor removed as a key."""
        self.result_of(self.storage.write("ns1", "k", b"v", ["t1"]))

        self.assert_refused(errno.EISDIR, self.storage.write("ns1", "t1", b"x"))
        self.assert_refused(errno.EISDIR, self.storage.remove("ns1", "t1"))
        self.assertEqual(self.result_of(self.storage.find("ns1", ["t1"])), ["k"])

    def test_tag_equal_to_key(self) -> None:
        """It is refused, and no object appears (S18; the original truncates)."""
        error = self.assert_refused(
            errno.ENOTDIR, self.storage.write("ns1", "k6", b"v", ["k6"])
        )

        self.assertTrue(error.reason.endswith("ns1/k6: Not a directory"))
        self.assert_refused(errno.ENOENT, self.storage.read("ns1", "k6"))

    def test_tag_is_an_object(self) -> None:
        """It is refused, and the old object stays whole (S19)."""
        self.result_of(self.storage.write("ns1", "k2", b"v"))
        self.result_of(self.storage.write("ns1", "k7", b"old"))

        error = self.assert_refused(
            errno.ENOTDIR, self.storage.write("ns1", "k7", b"new", ["fine", "k2"])
        )

        self.assertTrue(error.reason.endswith("ns1/k2: Not a directory"))
        self.assertEqual(self.result_of(self.storage.read("ns1", "k7")), b"old")
        self.assertEqual(self.result_of(self.storage.find("ns1", ["fine"])), [])

    def test_find_by_an_object(self) -> None:
        """An object is no tag that anything has."""
        self.result_of(self.storage.write("ns1", "k2", b"v"))

        self.assertEqual(self.result_of(self.storage.find("ns1", ["k2"])), [])

    def test_collection_is_an_object(self) -> None:
        """Nothing can be put under an object (S20)."""
        self.result_of(self.storage.write("ns1", "k2", b"v"))

        error = self.assert_refused(
            errno.ENOTDIR, self.storage.write("ns1/k2", "k", b"v")
        )

        self.assertTrue(error.reason.endswith("ns1/k2: Not a directory"))
        self.assert_refused(errno.ENOTDIR, self.storage.read("ns1/k2", "k"))
        self.assertIsNone(self.result_of(self.storage.remove("ns1/k2", "k")))
        self.assertEqual(self.result_of(self.storage.find("ns1/k2", ["t"])), [])

    def test_object_through_a_tag(self) -> None:
        """The link of a tag is no object of a nested collection."""
        self.result_of(self.storage.write("ns1", "k", b"v", ["t"]))

        self.assert_refused(errno.ELOOP, self.storage.read("ns1/t", "k"))
        self.assert_refused(errno.ELOOP, self.storage.write("ns1/t", "k", b"x"))
        self.assert_refused(errno.ELOOP, self.storage.remove("ns1/t", "k"))
        self.assertEqual(self.result_of(self.storage.read("ns1", "k")), b"v")
        self.assertEqual(self.result_of(self.storage.find("ns1", ["t"])), ["k"])

    def test_tag_through_an_object(self) -> None:
        """An object of a nested collection is not taken for a tag's link."""
        self.result_of(self.storage.write("ns1/t", "k", b"nested"))

        self.assert_refused(errno.EEXIST, self.storage.write("ns1", "k", b"v", ["t"]))
        self.assert_refused(errno.ENOENT, self.storage.read("ns1", "k"))
        self.assertEqual(self.result_of(self.storage.find("ns1", ["t"])), [])
        self.assertEqual(self.result_of(self.storage.read("ns1/t", "k")), b"nested")

    def test_tags_outlive_their_object(self) -> None:
        """Written anew before any find, an object has its old tags."""
        self.result_of(self.storage.write("ns1", "k", b"v", ["t"]))
        self.result_of(self.storage.remove("ns1", "k"))
        self.result_of(self.storage.write("ns1", "k", b"again"))

        self.assertEqual(self.result_of(self.storage.find("ns1", ["t"])), ["k"])

    def test_find_drops_stale_tags(self) -> None:
        """A find in between has dropped the tag for good."""
        self.result_of(self.storage.write("ns1", "k", b"v", ["t"]))
        self.result_of(self.storage.remove("ns1", "k"))
        self.assertEqual(self.result_of(self.storage.find("ns1", ["t"])), [])
        self.result_of(self.storage.write("ns1", "k", b"again"))

        self.assertEqual(self.result_of(self.storage.find("ns1", ["t"])), [])
