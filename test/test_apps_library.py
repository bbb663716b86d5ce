"""
Documents and crashlogs in the storages (protocol.md §9, §11.5).
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Any

import msgpack
from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.library import Library
from cocained.errors import DocumentError, StorageError
from cocained.storages.memory import MemoryStorage
from cocained.testing import stub_node


class FullStorage(MemoryStorage):
    """A storage that takes nothing."""

    def write(
        self, collection: str, key: str, blob: bytes, tags: Iterable[str] = ()
    ) -> Deferred[None]:
        return fail(StorageError(errno.ENOSPC, "disk is full"))


class LibraryTests(SynchronousTestCase):
    """With and without a cache in front."""

    def setUp(self) -> None:
        self.core = MemoryStorage(stub_node(), "core")
        self.cache = MemoryStorage(stub_node(), "cache")
        self.library = Library(self.core, self.cache)

    def result(self, coroutine: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def error(self, coroutine: Any, kind: type[Exception]) -> Any:
        return self.failureResultOf(Deferred.fromCoroutine(coroutine), kind).value

    def put(self, storage: MemoryStorage, collection: str, document: Any) -> None:
        blob = msgpack.packb(document, use_bin_type=False)
        self.successResultOf(storage.write(collection, "echo", blob))

    def test_without_a_cache(self) -> None:
        """The core storage is asked each time."""
        library = Library(self.core, None)
        self.put(self.core, "manifests", {"slave": "one"})
        self.assertEqual(self.result(library.manifest("echo")).slave, "one")
        self.put(self.core, "manifests", {"slave": "two"})

        self.assertEqual(self.result(library.manifest("echo")).slave, "two")

    def test_miss(self) -> None:
        """A miss is read from the core and copied, without tags."""
        self.put(self.core, "profiles", {"pool-limit": 3})

        self.assertEqual(self.result(self.library.profile("echo")).pool_limit, 3)

        copied = self.cache.read("profiles", "echo")
        self.assertEqual(
            msgpack.unpackb(self.successResultOf(copied)), {"pool-limit": 3}
        )

    def test_hit(self) -> None:
        """A hit is used as it is, even if the core has another by now."""
        self.put(self.cache, "manifests", {"slave": "cached"})
        self.put(self.core, "manifests", {"slave": "new"})

        self.assertEqual(self.result(self.library.manifest("echo")).slave, "cached")

    def test_full_cache(self) -> None:
        """A cache that does not take the copy is no reason to fail."""
        library = Library(self.core, FullStorage(stub_node(), "cache"))
        self.put(self.core, "manifests", {"slave": "worker"})

        self.assertEqual(self.result(library.manifest("echo")).slave, "worker")

    def test_missing(self) -> None:
        """What neither has is the core's error."""
        error = self.error(self.library.manifest("echo"), StorageError)

        self.assertEqual(error.code, errno.ENOENT)
        self.assertIn("<core>/manifests/echo", error.reason)

    def test_mistaken(self) -> None:
        """A document with mistakes names itself."""
        self.put(self.core, "profiles", {"pool-limit": 0})

        error = self.error(self.library.profile("echo"), DocumentError)

        self.assertIn("profile 'echo'", str(error))

    def test_crashlog(self) -> None:
        """A crashlog goes to the core, under time and worker, with its tags."""
        stored = self.library.store_crashlog("echo", "uuid", 1795341600.5, [b"boom"])
        self.successResultOf(stored)

        key = "1795341600500000:uuid"
        found = self.core.find("crashlogs", ["echo", "cocaine-2026-11-22"])
        self.assertEqual(self.successResultOf(found), [key])
        blob = self.successResultOf(self.core.read("crashlogs", key))
        self.assertEqual(msgpack.unpackb(blob, raw=True), [b"boom"])
        self.assertEqual(
            self.successResultOf(self.cache.find("crashlogs", ["echo"])), []
        )
