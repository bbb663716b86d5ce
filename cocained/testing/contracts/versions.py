# -*- test-case-name: cocained.test.test_storages -*-
# mypy: allow-untyped-calls
# (Assertions of trial have no types.)
"""
What storages that tell versions must do.
"""

from __future__ import annotations

import errno
from typing import Any

from zope.interface.verify import verifyObject

from cocained.interfaces import IVersionedStorage
from cocained.testing.contracts.cases import StorageCase


class VersionContract(StorageCase):
    """For :class:`~cocained.interfaces.IVersionedStorage`."""

    def version(self, collection: str = "ns1", key: str = "k") -> str:
        version: str = self.result_of(self.storage.version(collection, key))
        return version

    def test_provides_versions(self) -> None:
        """The object has every method of a storage with versions."""
        self.assertTrue(verifyObject(IVersionedStorage, self.storage))

    def test_version_of_missing(self) -> None:
        """What is not there has no version, and the error is that of a read."""
        self.result_of(self.storage.write("ns1", "other", b"v"))
        for collection, key in (("ns1", "k"), ("nons", "k"), ("ns1", "a/b")):
            asked = self.storage.version(collection, key)
            error = self.assert_refused(errno.ENOENT, asked)
            read = self.error_of(self.storage.read(collection, key))
            self.assertEqual(error.reason, read.reason)

    def test_version_of_unfit_names(self) -> None:
        """Names that cannot be read have no version either."""
        for collection, key in (("ns1", ".."), ("..", "k"), ("", "k"), ("ns1", "")):
            read = self.error_of(self.storage.read(collection, key))
            self.assert_refused(read.code, self.storage.version(collection, key))

    def test_version_stays(self) -> None:
        """Reading, searching, and writing other objects leave it as it is."""
        self.result_of(self.storage.write("ns1", "k", b"v", ["t"]))
        first = self.version()
        self.result_of(self.storage.read("ns1", "k"))
        self.result_of(self.storage.find("ns1", ["t"]))
        self.result_of(self.storage.write("ns1", "other", b"v", ["t"]))
        self.result_of(self.storage.remove("ns1", "other"))

        self.assertEqual(self.version(), first)
        self.assertIsInstance(first, str)

    def test_version_changes(self) -> None:
        """No version is ever that of another content, whatever its size."""
        seen: dict[str, bytes] = {}
        for number in range(50):
            blob = b"x" * (number % 2) + str(number % 10).encode()
            self.result_of(self.storage.write("ns1", "k", blob))

            self.assertEqual(seen.setdefault(self.version(), blob), blob)

    def test_version_after_removal(self) -> None:
        """An object that comes back with other content is another one."""
        self.result_of(self.storage.write("ns1", "k", b"first"))
        first = self.version()
        self.result_of(self.storage.remove("ns1", "k"))
        self.assert_refused(errno.ENOENT, self.storage.version("ns1", "k"))
        self.result_of(self.storage.write("ns1", "k", b"other"))

        self.assertNotEqual(self.version(), first)

    def test_version_in_order(self) -> None:
        """Asked for between two writes, it is the one in between."""
        self.result_of(self.storage.write("ns1", "k", b"old"))
        old = self.version()
        written = self.storage.write("ns1", "k", b"new")
        asked = self.storage.version("ns1", "k")
        rewritten = self.storage.write("ns1", "k", b"newer")

        between = self.result_of(asked)
        self.result_of(written)
        self.result_of(rewritten)
        self.assertNotEqual(between, old)
        self.assertNotEqual(between, self.version())


class SharedVersionContract(VersionContract):
    """For storages that several nodes may share."""

    def another(self) -> Any:
        """Give one more started storage on the same objects."""
        raise NotImplementedError

    def test_version_on_two_nodes(self) -> None:
        """All nodes tell the same version, and see the others' writes."""
        other = self.another()
        self.result_of(self.storage.write("ns1", "k", b"v"))
        first = self.version()

        self.assertEqual(self.result_of(other.version("ns1", "k")), first)
        self.result_of(other.write("ns1", "k", b"w"))
        self.assertNotEqual(self.version(), first)
        self.assertEqual(self.version(), self.result_of(other.version("ns1", "k")))

    def test_version_after_restart(self) -> None:
        """A storage that was opened anew tells the same version."""
        self.result_of(self.storage.write("ns1", "k", b"v"))
        first = self.version()
        self.result_of(self.storage.stop())

        self.assertEqual(self.result_of(self.another().version("ns1", "k")), first)
