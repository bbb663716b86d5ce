# -*- test-case-name: cocained.test.test_storages -*-
# mypy: allow-untyped-calls
# (Assertions of trial have no types.)
"""
What every storage must do.
"""

from __future__ import annotations

import errno
from typing import Any

from zope.interface.verify import verifyObject

from cocained.interfaces import IStorage
from cocained.testing.contracts.cases import StorageCase


class StorageContract(StorageCase):
    """
    What every storage must do (protocol.md §4, reference-behaviour.md §4).

    A test case inherits it beside its own base, and sets ``node`` and a started
    ``storage`` with a ``max_object`` as below in ``setUp``.
    """

    #: Bytes of the largest object that ``storage`` takes.
    max_object = 100_000

    def test_provides_the_interface(self) -> None:
        """The object has every attribute and method of a storage."""
        self.assertTrue(verifyObject(IStorage, self.storage))

    def test_missing_object(self) -> None:
        """Reading a key that is not there says so and names it (S1)."""
        error = self.assert_refused(errno.ENOENT, self.storage.read("ns1", "missing"))

        self.assertTrue(error.reason.endswith("ns1/missing: No such file or directory"))

    def test_missing_key_in_known_collection(self) -> None:
        """A collection with other objects makes no difference (S1)."""
        self.result_of(self.storage.write("ns1", "k1", b"x"))

        self.assert_refused(errno.ENOENT, self.storage.read("ns1", "missing"))

    def test_reads_what_was_written(self) -> None:
        """A blob comes back as it went in (S2)."""
        self.assertIsNone(self.result_of(self.storage.write("ns1", "k1", b"hello")))

        self.assertEqual(self.result_of(self.storage.read("ns1", "k1")), b"hello")

    def test_binary_blob(self) -> None:
        """Every byte survives, zero too (S15)."""
        blob = bytes(range(256))
        self.result_of(self.storage.write("ns1", "bin", blob))

        self.assertEqual(self.result_of(self.storage.read("ns1", "bin")), blob)

    def test_empty_blob(self) -> None:
        """An empty object is an object (S16)."""
        self.result_of(self.storage.write("ns1", "e", b""))

        self.assertEqual(self.result_of(self.storage.read("ns1", "e")), b"")

    def test_largest_blob(self) -> None:
        """An object of exactly the limit goes in and out."""
        blob = b"ab" * (self.max_object // 2)
        self.result_of(self.storage.write("ns1", "big", blob))

        self.assertEqual(self.result_of(self.storage.read("ns1", "big")), blob)

    def test_sizes_around_a_buffer(self) -> None:
        """No size is special, whatever buffers lie in between."""
        for size in (1, 4095, 4096, 4097, 65535, 65536, 65537):
            blob = bytes([size % 251]) * size
            self.result_of(self.storage.write("ns1", "k", blob))

            self.assertEqual(self.result_of(self.storage.read("ns1", "k")), blob)

    def test_many_objects(self) -> None:
        """Hundreds of objects are kept apart and are all found."""
        keys = [f"k{number:03}" for number in range(300)]
        for key in keys:
            self.storage.write("ns1", key, key.encode(), ["all", key[-1]])

        self.assertEqual(self.result_of(self.storage.find("ns1", ["all"])), keys)
        found = self.result_of(self.storage.find("ns1", ["7", "all"]))
        self.assertEqual(found, [key for key in keys if key.endswith("7")])
        self.assertEqual(self.result_of(self.storage.read("ns1", "k123")), b"k123")

    def test_refused_write_changes_nothing(self) -> None:
        """A write with one bad tag neither stores nor tags with the others."""
        self.result_of(self.storage.write("ns1", "k", b"old"))

        self.assert_refused(
            errno.EACCES, self.storage.write("ns1", "k", b"new", ["good", ".."])
        )

        self.assertEqual(self.result_of(self.storage.read("ns1", "k")), b"old")
        self.assertEqual(self.result_of(self.storage.find("ns1", ["good"])), [])

    def test_too_large(self) -> None:
        """One byte more than the limit is refused and names the limit."""
        self.result_of(self.storage.write("ns1", "k", b"old"))

        error = self.assert_refused(
            errno.EFBIG,
            self.storage.write("ns1", "k", b"x" * (self.max_object + 1)),
        )

        self.assertIn(str(self.max_object), error.reason)
        self.assertEqual(self.result_of(self.storage.read("ns1", "k")), b"old")

    def test_overwrites(self) -> None:
        """The last write wins, also when it is shorter."""
        self.result_of(self.storage.write("ns1", "k", b"a long value"))
        self.result_of(self.storage.write("ns1", "k", b"b"))

        self.assertEqual(self.result_of(self.storage.read("ns1", "k")), b"b")

    def test_collections_are_apart(self) -> None:
        """A key of one collection is not in another."""
        self.result_of(self.storage.write("ns1", "k", b"v", ["t"]))

        self.assert_refused(errno.ENOENT, self.storage.read("ns2", "k"))
        self.assertEqual(self.result_of(self.storage.find("ns2", ["t"])), [])

    def test_nested_collection(self) -> None:
        """A collection may have slashes (S14b)."""
        self.result_of(self.storage.write("ns2/sub", "k", b"v", ["t"]))

        self.assertEqual(self.result_of(self.storage.read("ns2/sub", "k")), b"v")
        self.assertEqual(self.result_of(self.storage.find("ns2/sub", ["t"])), ["k"])

    def test_remove(self) -> None:
        """A removed object is missing, and no tag finds it (S2)."""
        self.result_of(self.storage.write("ns1", "k1", b"v", ["t1"]))

        self.assertIsNone(self.result_of(self.storage.remove("ns1", "k1")))

        self.assert_refused(errno.ENOENT, self.storage.read("ns1", "k1"))
        self.assertEqual(self.result_of(self.storage.find("ns1", ["t1"])), [])

    def test_remove_missing(self) -> None:
        """Removing what is not there is no error (S6)."""
        self.result_of(self.storage.write("ns1", "k1", b"v"))

        self.assertIsNone(self.result_of(self.storage.remove("ns1", "missing")))
        self.assertIsNone(self.result_of(self.storage.remove("nons", "missing")))

    def test_find_intersection(self) -> None:
        """Only keys that have all the tags are found (S2)."""
        self.result_of(self.storage.write("ns1", "both", b"", ["t1", "t2"]))
        self.result_of(self.storage.write("ns1", "one", b"", ["t1"]))
        self.result_of(self.storage.write("ns1", "two", b"", ["t2"]))

        found = self.result_of(self.storage.find("ns1", ["t2", "t1"]))

        self.assertEqual(found, ["both"])

    def test_find_sorted_by_bytes(self) -> None:
        """Upper case comes before lower case, and both before other letters."""
        for key in ("b", "ä", "B", "a", "\U0001f600", "\uffee"):
            self.result_of(self.storage.write("ns1", key, b"", ["t"]))

        found = self.result_of(self.storage.find("ns1", ["t"]))

        self.assertEqual(found, ["B", "a", "b", "ä", "\uffee", "\U0001f600"])

    def test_find_nothing(self) -> None:
        """No tags, an unknown tag or collection give an empty list (S4)."""
        self.result_of(self.storage.write("ns1", "k3", b"v", []))

        self.assertEqual(self.result_of(self.storage.find("ns1", [])), [])
        self.assertEqual(self.result_of(self.storage.find("ns1", ["zz"])), [])
        self.assertEqual(self.result_of(self.storage.find("nons", ["zz"])), [])

    def test_find_known_and_unknown_tag(self) -> None:
        """One tag that nobody has empties the answer."""
        self.result_of(self.storage.write("ns1", "k", b"v", ["t"]))

        self.assertEqual(self.result_of(self.storage.find("ns1", ["t", "zz"])), [])

    def test_tags_only_add(self) -> None:
        """Writing with other tags keeps the old ones (S5)."""
        self.result_of(self.storage.write("ns1", "k4", b"a", ["ta"]))
        self.result_of(self.storage.write("ns1", "k4", b"b", ["tb"]))

        self.assertEqual(self.result_of(self.storage.find("ns1", ["ta"])), ["k4"])
        self.assertEqual(self.result_of(self.storage.find("ns1", ["tb"])), ["k4"])
        self.assertEqual(self.result_of(self.storage.read("ns1", "k4")), b"b")

    def test_duplicate_tags(self) -> None:
        """A tag given twice counts once (S18)."""
        self.result_of(self.storage.write("ns1", "k5", b"v", ["d", "d"]))

        self.assertEqual(self.result_of(self.storage.find("ns1", ["d", "d"])), ["k5"])

    def test_tags_from_an_iterator(self) -> None:
        """Tags may come from anything that can be walked once."""
        self.result_of(self.storage.write("ns1", "k", b"v", iter(["a", "b"])))

        found = self.result_of(self.storage.find("ns1", iter(["b", "a"])))

        self.assertEqual(found, ["k"])

    def test_tags_as_one_text(self) -> None:
        """One text instead of a list is an error and not a list of letters."""
        self.assert_refused(errno.EINVAL, self.storage.write("ns1", "k", b"", "abc"))
        self.assert_refused(errno.EINVAL, self.storage.find("ns1", "abc"))

    def test_too_many_tags(self) -> None:
        """An endless list of tags is refused and not walked to its end."""

        def endless() -> Any:
            number = 0
            while True:
                number += 1
                yield f"t{number}"

        self.assert_refused(errno.E2BIG, self.storage.write("ns1", "k", b"", endless()))
        self.assert_refused(errno.E2BIG, self.storage.find("ns1", endless()))

    def test_names_beyond_ascii(self) -> None:
        """Names are any text, and bytes that are no UTF-8 survive in them."""
        for name in ("ключ", "with space", "\udcff\udc80raw", "-rf", "a\nb"):
            self.result_of(self.storage.write("имя", name, b"v", ["метка"]))
            self.assertEqual(self.result_of(self.storage.read("имя", name)), b"v")

        found = self.result_of(self.storage.find("имя", ["метка"]))

        self.assertEqual(len(found), 5)
        self.assertIn("\udcff\udc80raw", found)

    def test_lone_surrogate(self) -> None:
        """What is neither a character nor a byte cannot be a name."""
        self.assert_refused(errno.EILSEQ, self.storage.read("ns1", "\ud800"))
        self.assert_refused(errno.EILSEQ, self.storage.read("\ud800", "k"))
        self.assert_refused(errno.EILSEQ, self.storage.write("ns1", "\ud800", b""))

    def test_leaving_the_root(self) -> None:
        """No name can climb out of its collection (S13; the original can)."""
        self.result_of(self.storage.write("ns1", "k2", b"v"))
        for collection, key in (
            ("ns1", ".."),
            ("ns1", "../ns1/k2"),
            ("ns1/..", "k2"),
            ("..", "ns1"),
            ("../ns1", "k2"),
            ("ns1", "."),
            (".", "ns1"),
            ("/ns1", "k2"),
            ("ns1/", "k2"),
            ("ns1//sub", "k2"),
            ("ns1", "k2\0"),
            ("ns1\0", "k2"),
        ):
            read = self.assert_refused(errno.EACCES, self.storage.read(collection, key))
            self.assertIn("Permission denied", read.reason)
            self.assert_refused(
                errno.EACCES, self.storage.write(collection, key, b"new")
            )
            self.assert_refused(errno.EACCES, self.storage.remove(collection, key))
        self.assertEqual(self.result_of(self.storage.read("ns1", "k2")), b"v")

    def test_tag_leaving_the_root(self) -> None:
        """A tag cannot climb out either, and the write is not done by half."""
        for tag in ("..", "../ns2", ".", "a\0"):
            self.assert_refused(
                errno.EACCES, self.storage.write("ns1", "k", b"v", [tag])
            )
            self.assert_refused(errno.EACCES, self.storage.find("ns1", [tag]))
        self.assert_refused(errno.ENOENT, self.storage.read("ns1", "k"))

    def test_empty_names(self) -> None:
        """Empty names keep the codes of the original (S12, S12b, S12c)."""
        self.result_of(self.storage.write("ns1", "k", b"v"))

        self.assert_refused(errno.EISDIR, self.storage.read("ns1", ""))
        self.assert_refused(errno.EISDIR, self.storage.read("", "ns1"))
        self.assert_refused(errno.EISDIR, self.storage.remove("ns1", ""))
        error = self.assert_refused(errno.EACCES, self.storage.write("ns1", "", b"v"))
        self.assertTrue(error.reason.endswith("/ns1: Permission denied"))
        self.assert_refused(errno.EACCES, self.storage.write("", "k", b"v"))
        self.assert_refused(errno.EACCES, self.storage.write("ns1", "k", b"v", [""]))
        self.assert_refused(errno.EACCES, self.storage.find("ns1", [""]))
        self.assert_refused(errno.EACCES, self.storage.find("", ["ns1"]))

    def test_key_with_slash(self) -> None:
        """A key makes no directories (S13, S14, S14c)."""
        error = self.assert_refused(errno.ENOENT, self.storage.read("ns1", "a/b/c"))
        self.assertTrue(error.reason.endswith("ns1/a/b/c: No such file or directory"))
        error = self.assert_refused(
            errno.EACCES, self.storage.write("ns1", "a/b", b"v")
        )
        self.assertTrue(error.reason.endswith("ns1/a/b: Permission denied"))
        self.assert_refused(errno.ENOENT, self.storage.read("ns1", "/etc/hostname"))
        self.assertIsNone(self.result_of(self.storage.remove("ns1", "a/b")))

    def test_tag_with_slash(self) -> None:
        """A tag with a slash cannot be given, and finds nothing."""
        self.assert_refused(errno.EACCES, self.storage.write("ns1", "k", b"v", ["a/b"]))
        self.assertEqual(self.result_of(self.storage.find("ns1", ["a/b"])), [])

    def test_reserved_names(self) -> None:
        """The storage's own names are no keys, tags or collections."""
        name = ".cocained-scratch-1"
        self.assert_refused(errno.EACCES, self.storage.write("ns1", name, b"v"))
        self.assert_refused(errno.EACCES, self.storage.read("ns1", name))
        self.assert_refused(errno.EACCES, self.storage.remove("ns1", name))
        self.assert_refused(errno.EACCES, self.storage.write(name, "k", b"v"))
        error = self.assert_refused(
            errno.EACCES, self.storage.write("ns1", "k", b"v", [name])
        )
        self.assertIn("reserved", error.reason)

    def test_dotted_names(self) -> None:
        """Other names with dots are fine; the runtime uses some (§12.7)."""
        self.result_of(self.storage.write(".collection-acls", ".k..", b"v", ["..."]))

        found = self.result_of(self.storage.find(".collection-acls", ["..."]))

        self.assertEqual(found, [".k.."])

    def test_long_key(self) -> None:
        """255 bytes are a key, 256 are an error and not the end of the node."""
        self.result_of(self.storage.write("ns1", "k" * 255, b"v"))

        self.assertEqual(self.result_of(self.storage.read("ns1", "k" * 255)), b"v")
        long = "ä" * 128
        self.assert_refused(errno.ENAMETOOLONG, self.storage.write("ns1", long, b"v"))
        self.assert_refused(
            errno.ENAMETOOLONG, self.storage.write("new", "k", b"v", [long])
        )
        self.assert_refused(errno.ENAMETOOLONG, self.storage.write(long, "k", b"v"))

    def test_huge_name_is_not_echoed(self) -> None:
        """The error for a name of a megabyte is short."""
        for collection, key in (("ns1", "k" * 1_000_000), ("c/" * 500_000, "k")):
            error = self.error_of(self.storage.write(collection, key, b"v"))

            self.assertLess(len(error.reason), 4096)

    def test_order_of_effects(self) -> None:
        """Operations asked for without waiting act in their order (S21)."""
        storage = self.storage
        written = storage.write("ns1", "pp", b"first", ["t"])
        read = storage.read("ns1", "pp")
        found = storage.find("ns1", ["t"])
        rewritten = storage.write("ns1", "pp", b"second")
        reread = storage.read("ns1", "pp")
        removed = storage.remove("ns1", "pp")
        gone = storage.read("ns1", "pp")

        self.assert_refused(errno.ENOENT, gone)
        self.assertIsNone(self.result_of(written))
        self.assertEqual(self.result_of(read), b"first")
        self.assertEqual(self.result_of(found), ["pp"])
        self.assertIsNone(self.result_of(rewritten))
        self.assertEqual(self.result_of(reread), b"second")
        self.assertIsNone(self.result_of(removed))

    def test_cancelled_write_takes_place(self) -> None:
        """Cancelling gives up the answer, not the operation."""
        written = self.storage.write("ns1", "k", b"v")
        written.addErrback(lambda failure: None)
        written.cancel()

        self.assertEqual(self.result_of(self.storage.read("ns1", "k")), b"v")
