# -*- test-case-name: cocained.test.test_versions -*-
"""Tests for :mod:`cocained.versions`."""

from __future__ import annotations

import errno

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import StorageError
from cocained.interfaces import IStorage
from cocained.storages.memory import MemoryStorage
from cocained.test.plain_storage import PlainStorage
from cocained.testing import stub_node
from cocained.versions import Versioned, read_versioned, version_of


class Overtaken(MemoryStorage):
    """A storage in which somebody writes right after the version was told."""

    def version(self, collection: str, key: str) -> Deferred[str]:
        told = super().version(collection, key)
        self.write(collection, key, b"new")
        return told


class VersionOfTests(SynchronousTestCase):
    """With storages that tell versions, and with others."""

    def setUp(self) -> None:
        self.plain = PlainStorage(MemoryStorage(stub_node(), "core"))
        self.memory = MemoryStorage(stub_node(), "core")

    def version(self, storage: IStorage) -> str:
        return self.successResultOf(version_of(storage, "c", "k"))

    def test_asked(self) -> None:
        """A storage that can tell is asked."""
        self.memory.write("c", "k", b"v")

        self.assertEqual(
            self.version(self.memory),
            self.successResultOf(self.memory.version("c", "k")),
        )

    def test_digest(self) -> None:
        """Of another the content decides, and nothing else."""
        self.plain.write("c", "k", b"one")
        one = self.version(self.plain)
        self.plain.write("c", "k", b"two")
        two = self.version(self.plain)
        self.plain.write("c", "k", b"one")

        self.assertNotEqual(one, two)
        self.assertEqual(self.version(self.plain), one)

    def test_missing(self) -> None:
        """What is not there has no version in either."""
        for storage in (self.plain, self.memory):
            error = self.failureResultOf(version_of(storage, "c", "k"), StorageError)
            self.assertEqual(error.value.code, errno.ENOENT)
            error = self.failureResultOf(
                read_versioned(storage, "c", "k"), StorageError
            )
            self.assertEqual(error.value.code, errno.ENOENT)

    def test_read(self) -> None:
        """Both come together, and a plain storage is read but once."""
        for storage in (self.plain, self.memory):
            storage.write("c", "k", b"v")
            self.plain.reads = 0
            read = self.successResultOf(read_versioned(storage, "c", "k"))
            self.assertLessEqual(self.plain.reads, 1)
            self.assertEqual(read, Versioned(self.version(storage), b"v"))

    def test_overtaken(self) -> None:
        """A write in between gives the new blob with the old version."""
        storage = Overtaken(stub_node(), "core")
        storage.write("c", "k", b"old")

        read = self.successResultOf(read_versioned(storage, "c", "k"))

        self.assertEqual(read.blob, b"new")
        self.assertNotEqual(read.version, self.version(storage))
