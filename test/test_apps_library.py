"""
Documents and crashlogs in the storages (protocol.md §9, §11.5).
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Any

import msgpack
from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.library import Library
from cocained.errors import DocumentError, StorageError
from cocained.storages.memory import MemoryStorage
from cocained.test.plain_storage import PlainStorage
from cocained.testing import stub_node


class CountedStorage(MemoryStorage):
    """A storage that counts, and may be down."""

    reads = 0
    writes = 0
    down = False

    def _gone(self) -> Deferred[Any]:
        return fail(StorageError(errno.ECONNREFUSED, "the server has gone away"))

    def read(self, collection: str, key: str) -> Deferred[bytes]:
        self.reads += 1
        return self._gone() if self.down else super().read(collection, key)

    def version(self, collection: str, key: str) -> Deferred[str]:
        return self._gone() if self.down else super().version(collection, key)

    def write(
        self, collection: str, key: str, blob: bytes, tags: Iterable[str] = ()
    ) -> Deferred[None]:
        self.writes += 1
        return self._gone() if self.down else super().write(collection, key, blob, tags)

    def remove(self, collection: str, key: str) -> Deferred[None]:
        return self._gone() if self.down else super().remove(collection, key)


class FullStorage(MemoryStorage):
    """A storage that takes nothing."""

    def write(
        self, collection: str, key: str, blob: bytes, tags: Iterable[str] = ()
    ) -> Deferred[None]:
        return fail(StorageError(errno.ENOSPC, "disk is full"))


class LibraryTests(SynchronousTestCase):
    """With and without a cache in front."""

    def setUp(self) -> None:
        self.core = CountedStorage(stub_node(), "core")
        self.cache = CountedStorage(stub_node(), "cache")
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
        """What has not changed since it was copied is not read from the core."""
        self.put(self.core, "manifests", {"slave": "one"})
        self.result(self.library.manifest("echo"))
        self.core.reads = 0

        self.assertEqual(self.result(self.library.manifest("echo")).slave, "one")
        self.assertEqual(self.core.reads, 0)

    def test_changed(self) -> None:
        """What has changed is read from the core, and copied anew."""
        self.put(self.core, "manifests", {"slave": "one"})
        self.result(self.library.manifest("echo"))
        self.put(self.core, "manifests", {"slave": "two"})

        self.assertEqual(self.result(self.library.manifest("echo")).slave, "two")
        self.core.down = True
        self.assertEqual(self.result(self.library.manifest("echo")).slave, "two")

    def test_after_restart(self) -> None:
        """Copies that outlive the node are judged as its own."""
        self.put(self.core, "manifests", {"slave": "one"})
        self.result(self.library.manifest("echo"))
        later = Library(self.core, self.cache)
        self.core.reads = 0
        self.result(later.manifest("echo"))
        self.assertEqual(self.core.reads, 0)
        self.put(self.core, "manifests", {"slave": "two"})
        last = Library(self.core, self.cache)

        self.assertEqual(self.result(last.manifest("echo")).slave, "two")

    def test_copy_of_unknown_age(self) -> None:
        """A copy that the original made, or anybody else, is not trusted."""
        self.put(self.core, "manifests", {"slave": "new"})
        self.result(self.library.manifest("echo"))
        self.put(self.cache, "manifests", {"slave": "cached"})

        self.assertEqual(self.result(self.library.manifest("echo")).slave, "new")

    def test_core_is_down(self) -> None:
        """Then any copy is better than none, and the log says so."""
        self.put(self.cache, "manifests", {"slave": "cached"})
        self.core.down = True

        with capturedLogs() as events:
            manifest = self.result(self.library.manifest("echo"))

        self.assertEqual(manifest.slave, "cached")
        self.assertEqual(len(events), 1)
        self.assertIn("may be old", formatEvent(events[0]))
        self.assertIn("gone away", formatEvent(events[0]))

    def test_core_is_down_without_a_copy(self) -> None:
        """What was never copied fails as the core does."""
        self.core.down = True

        error = self.error(self.library.manifest("echo"), StorageError)

        self.assertEqual(error.code, errno.ECONNREFUSED)

    def test_removed(self) -> None:
        """What the core has no more is gone, and so is the copy."""
        self.put(self.core, "manifests", {"slave": "one"})
        self.result(self.library.manifest("echo"))
        self.successResultOf(self.core.remove("manifests", "echo"))

        self.error(self.library.manifest("echo"), StorageError)

        self.core.down = True
        error = self.error(self.library.manifest("echo"), StorageError)
        self.assertEqual(error.code, errno.ECONNREFUSED)

    def test_core_without_versions(self) -> None:
        """It is read each time, and copied when it has changed."""
        core = PlainStorage(self.core)
        library = Library(core, self.cache)
        self.put(self.core, "manifests", {"slave": "one"})
        self.result(library.manifest("echo"))
        self.cache.writes = 0
        self.result(library.manifest("echo"))
        self.assertEqual(self.cache.writes, 0)
        self.put(self.core, "manifests", {"slave": "two"})

        self.assertEqual(self.result(library.manifest("echo")).slave, "two")
        self.core.down = True
        self.assertEqual(self.result(library.manifest("echo")).slave, "two")

    def test_torn_copy(self) -> None:
        """A blob of one version under the record of another is no copy."""
        self.put(self.core, "manifests", {"slave": "one"})
        self.result(self.library.manifest("echo"))
        old = self.successResultOf(self.cache.read("manifests", "echo"))
        self.put(self.core, "manifests", {"slave": "two"})
        self.result(self.library.manifest("echo"))
        self.successResultOf(self.cache.write("manifests", "echo", old))

        self.assertEqual(self.result(self.library.manifest("echo")).slave, "two")

    def test_broken_cache(self) -> None:
        """A cache that does not answer is as good as none."""
        self.cache.down = True
        self.put(self.core, "manifests", {"slave": "one"})

        self.assertEqual(self.result(self.library.manifest("echo")).slave, "one")
        self.successResultOf(self.core.remove("manifests", "echo"))
        error = self.error(self.library.manifest("echo"), StorageError)
        self.assertEqual(error.code, errno.ENOENT)

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
