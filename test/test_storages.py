# -*- test-case-name: cocained.test.test_storages -*-
"""Tests for :mod:`cocained.storages`."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from cocained.errors import ConfigError, StorageError
from cocained.storages.changes import MAX_WAITING_BYTES, Changes
from cocained.storages.disk import CACHED_LIMIT, KNOWN_FOLDERS, Disk
from cocained.storages.files import (
    SWEEP_PAUSE,
    SWEEP_STEP,
    FilesArgs,
    FilesStorage,
)
from cocained.storages.memory import MemoryArgs, MemoryStorage
from cocained.storages.names import MAX_PLACE, Intent, check_key, place
from cocained.storages.scratch import create_scratch, sweep
from cocained.testing import stub_node
from cocained.testing.contracts import (
    NameSpaceContract,
    SharedVersionContract,
    StorageCase,
    VersionContract,
)
from cocained.testing.reactor import THREAD_TIMEOUT


class MemoryStorageTests(NameSpaceContract, VersionContract, SynchronousTestCase):
    """The storage in memory keeps the contract."""

    def setUp(self) -> None:
        self.node = stub_node()
        args = MemoryArgs(max_object=self.max_object, max_total=1_000_000)
        self.storage: Any = MemoryStorage(self.node, "core", args)

    def test_answers_at_once(self) -> None:
        """Every Deferred has fired when it is given."""
        self.assertIsNone(self.successResultOf(self.storage.write("c", "k", b"v")))
        self.assertEqual(self.successResultOf(self.storage.read("c", "k")), b"v")

    def test_keeps_a_copy(self) -> None:
        """A buffer that changes later does not change the object."""
        buffer = bytearray(b"before")
        self.storage.write("c", "k", buffer)
        buffer[:] = b"after!"

        self.assertEqual(self.successResultOf(self.storage.read("c", "k")), b"before")

    def test_total(self) -> None:
        """A full storage refuses, keeps what it has, and says the remedy."""
        for number in range(9):
            self.result_of(self.storage.write("c", f"k{number}", b"x" * 100_000))

        error = self.assert_refused(
            errno.ENOSPC, self.storage.write("c", "k9", b"x" * 100_000)
        )

        self.assertIn("max-total", error.reason)
        self.assert_refused(errno.ENOENT, self.storage.read("c", "k9"))

    def test_total_after_remove(self) -> None:
        """What is removed makes room again, to the last byte."""
        storage = MemoryStorage(self.node, "m", MemoryArgs(max_total=10_000))
        for _ in range(1000):
            self.successResultOf(storage.write("c", "k", b"x" * 5000, ["t"]))
            self.successResultOf(storage.remove("c", "k"))
            self.successResultOf(storage.find("c", ["t"]))

        self.successResultOf(storage.write("c", "other", b"x" * 8000))

    def test_total_after_rewriting(self) -> None:
        """Writing one object again and again takes the room of one."""
        storage = MemoryStorage(self.node, "m", MemoryArgs(max_total=10_000))

        for _ in range(1000):
            self.successResultOf(storage.write("c/d", "k", b"x" * 5000, ["t", "u"]))

        self.assertEqual(self.successResultOf(storage.find("c/d", ["t"])), ["k"])

    def test_full_storage_may_shrink(self) -> None:
        """A write that makes the storage smaller works when it is full."""
        storage = MemoryStorage(self.node, "m", MemoryArgs(max_total=6_000))
        self.successResultOf(storage.write("c", "k", b"x" * 5000))

        self.successResultOf(storage.write("c", "k", b"x" * 10))

        self.successResultOf(storage.write("c", "k2", b"x" * 4000))

    def test_version_of_another_life(self) -> None:
        """A version of one storage is none of another, as after a restart."""
        other = MemoryStorage(self.node, "core")
        for storage in (self.storage, other):
            self.successResultOf(storage.write("c", "k", b"v"))

        self.assertNotEqual(
            self.successResultOf(self.storage.version("c", "k")),
            self.successResultOf(other.version("c", "k")),
        )

    def test_default_arguments(self) -> None:
        """It can be built with nothing but a node and a name."""
        storage = MemoryStorage(self.node, "core")

        self.successResultOf(storage.write("c", "k", b"v"))
        self.assertIsNone(storage.start())
        self.assertIsNone(storage.stop())


class ChangesTests(SynchronousTestCase):
    """Changes that take place whether or not somebody wants the answer."""

    def setUp(self) -> None:
        self.running: list[Deferred[None]] = []
        self.changes = Changes(self.run_later, "core", limit=100)

    def run_later(self, function: Any, *args: Any) -> Deferred[None]:
        """Stand for a thread that is slow."""
        self.running.append(Deferred())
        return self.running[-1]

    def test_any_size_alone(self) -> None:
        """A change larger than the limit is taken when no other waits."""
        self.assertNoResult(self.changes.run(1000, print))

        refused = self.changes.run(1, print)

        self.assertIn("limit", str(self.failureResultOf(refused, StorageError).value))
        self.assertEqual(len(self.running), 1)

    def test_removals_are_taken(self) -> None:
        """What holds no bytes is taken whatever waits."""
        self.changes.run(1000, print)

        self.assertNoResult(self.changes.run(0, print))

    def test_cancelled(self) -> None:
        """A change whose answer is given up goes on, and counts until its end."""
        answer = self.changes.run(60, print)
        answer.cancel()

        self.failureResultOf(answer, CancelledError)
        self.assertFalse(self.running[0].called)
        self.assertEqual(self.changes.waiting_bytes, 60)
        self.running[0].callback(None)
        self.assertEqual(self.changes.waiting_bytes, 0)

    def test_failed(self) -> None:
        """A failure reaches who asked, and makes room."""
        answer = self.changes.run(60, print)
        self.running[0].errback(StorageError(errno.EIO, "no"))

        self.failureResultOf(answer, StorageError)
        self.assertEqual(self.changes.waiting_bytes, 0)


class FilesCase(StorageCase, SynchronousTestCase):
    """A started storage on a fresh directory."""

    max_object = 100_000

    def setUp(self) -> None:
        self.node = stub_node()
        self.root = Path(os.path.abspath(self.mktemp()))
        self.storage = self.build()

    def build(self, path: str | None = None) -> FilesStorage:
        args = FilesArgs(path=path or str(self.root), max_object=self.max_object)
        storage = FilesStorage(self.node, "core", args)
        self.assertIsNone(self.result_of(storage.start()))
        self.addCleanup(self.close, storage)
        return storage

    def close(self, storage: FilesStorage) -> None:
        self.result_of(storage.stop())

    def hold(self) -> threading.Event:
        """Keep the lane busy until the event is set."""
        entered, release = threading.Event(), threading.Event()
        self.addCleanup(release.set)

        def hold() -> None:
            entered.set()
            release.wait(THREAD_TIMEOUT)

        self.storage._lane.run(hold)
        self.assertTrue(entered.wait(THREAD_TIMEOUT))
        return release


class FilesStorageTests(NameSpaceContract, SharedVersionContract, FilesCase):
    """The storage on files keeps the contract."""

    def another(self) -> FilesStorage:
        return self.build()


class VersionTests(SynchronousTestCase):
    """What tells one writing of a file from another."""

    def setUp(self) -> None:
        self.root = Path(os.path.abspath(self.mktemp()))
        self.disk = Disk(str(self.root), 1 << 20)
        self.disk.prepare()
        self.path = self.disk.locate("c", "k")

    def test_number_used_again(self) -> None:
        """Files of one size and one tick of the kernel's clock are told apart."""
        versions = []
        for number in range(300):
            self.disk.write("c", "k", b"%03d" % number, [])
            versions.append(self.disk.version(self.path))

        self.assertEqual(len(set(versions)), 300)

    def test_times_are_the_writers(self) -> None:
        """The time of a file is set to the nanosecond, before it has its name."""
        self.disk._time_ns = lambda: 1_234_567_890_123_456_789
        self.disk.write("c", "k", b"v", [])

        self.assertEqual(os.stat(self.path).st_mtime_ns, 1_234_567_890_123_456_789)

    def test_written_in_place(self) -> None:
        """Another program that writes into the file, and hides it, is noticed."""
        self.disk.write("c", "k", b"old", [])
        old = self.disk.version(self.path)
        status = os.stat(self.path)
        # A tick of the kernel's clock has to pass, 10 ms at most.
        while os.stat(self.path).st_ctime_ns == status.st_ctime_ns:
            Path(os.fsdecode(self.path)).write_bytes(b"new")
            os.utime(self.path, ns=(status.st_atime_ns, status.st_mtime_ns))

        self.assertNotEqual(self.disk.version(self.path), old)

    def test_tag(self) -> None:
        """What is no object has no version."""
        self.disk.write("c", "k", b"v", ["t"])
        os.mkfifo(self.root / "c" / "fifo")
        for collection, key, code in (
            ("c", "t", errno.EISDIR),
            ("c/t", "k", errno.ELOOP),
            ("c/k", "k", errno.ENOTDIR),
            ("c", "fifo", errno.EINVAL),
        ):
            with self.assertRaises(StorageError) as caught:
                self.disk.version(self.disk.locate(collection, key))
            self.assertEqual(caught.exception.code, code)


class LaneOnlyTests(NameSpaceContract, FilesCase):
    """The contract also holds where the short cut does not exist."""

    def build(self, path: str | None = None) -> FilesStorage:
        storage = super().build(path)
        storage._disk.can_skip_disk = False
        return storage


class LayoutTests(FilesCase):
    """What lies on the disk (protocol.md §4.1)."""

    def test_layout(self) -> None:
        """Objects are files, tags directories of absolute links."""
        self.result_of(self.storage.write("ns1", "k1", b"hello", ["t1"]))

        self.assertEqual((self.root / "ns1" / "k1").read_bytes(), b"hello")
        link = os.readlink(self.root / "ns1" / "t1" / "k1")
        self.assertEqual(link, f"{self.root}/ns1/k1")
        self.assertEqual(sorted(os.listdir(self.root / "ns1")), ["k1", "t1"])

    def test_path_of_a_configuration(self) -> None:
        """A relative path starts where the node says, not where it runs."""
        home = os.path.abspath(self.mktemp())
        self.node.resolve = lambda path: os.path.join(home, path)

        self.build("store")

        self.assertTrue(os.path.isdir(os.path.join(home, "store")))

    def test_raw_names(self) -> None:
        """Names lie on the disk as the bytes that they came as."""
        self.result_of(self.storage.write("ns1", "\udcff", b"v"))

        self.assertEqual(os.listdir(os.fsencode(self.root) + b"/ns1"), [b"\xff"])

    def test_remove_leaves_links(self) -> None:
        """Removing leaves the links, as the original does."""
        self.result_of(self.storage.write("ns1", "k1", b"v", ["t1"]))

        self.result_of(self.storage.remove("ns1", "k1"))

        self.assertTrue((self.root / "ns1" / "t1" / "k1").is_symlink())

    def test_find_deletes_dangling_links(self) -> None:
        """Links without an object are deleted where find meets them."""
        self.result_of(self.storage.write("ns1", "k1", b"v", ["t1", "t2"]))
        self.result_of(self.storage.remove("ns1", "k1"))

        self.result_of(self.storage.find("ns1", ["t1", "t2"]))

        self.assertEqual(os.listdir(self.root / "ns1" / "t1"), [])
        self.assertEqual(os.listdir(self.root / "ns1" / "t2"), [])

    def foreign_store(self, target: str) -> None:
        tag = self.root / "apps" / "app"
        tag.mkdir(parents=True)
        (self.root / "apps" / "echo").write_bytes(b"archive")
        (tag / "echo").symlink_to(target)

    def test_existing_store(self) -> None:
        """A store that the original wrote opens."""
        self.foreign_store(f"{self.root}/apps/echo")

        self.assertEqual(self.result_of(self.storage.read("apps", "echo")), b"archive")
        self.assertEqual(self.result_of(self.storage.find("apps", ["app"])), ["echo"])

    def test_relative_links(self) -> None:
        """Links may be relative too."""
        self.foreign_store("../echo")

        self.assertEqual(self.result_of(self.storage.find("apps", ["app"])), ["echo"])

    def test_moved_store(self) -> None:
        """A store that was moved keeps its tags."""
        self.foreign_store("/var/lib/nowhere/apps/echo")

        self.assertEqual(self.result_of(self.storage.find("apps", ["app"])), ["echo"])
        self.assertTrue((self.root / "apps" / "app" / "echo").is_symlink())

    def test_foreign_things_in_a_tag(self) -> None:
        """What is no link in a tag directory is neither found nor deleted."""
        self.foreign_store("../echo")
        (self.root / "apps" / "app" / "note").write_bytes(b"")
        (self.root / "apps" / "app" / "sub").mkdir()

        self.assertEqual(self.result_of(self.storage.find("apps", ["app"])), ["echo"])
        self.assertEqual(len(os.listdir(self.root / "apps" / "app")), 3)

    def test_existing_link_is_left_alone(self) -> None:
        """A link that exists is not made anew."""
        self.foreign_store("../echo")

        self.result_of(self.storage.write("apps", "echo", b"new", ["app"]))

        self.assertEqual(os.readlink(self.root / "apps" / "app" / "echo"), "../echo")

    def test_linked_object(self) -> None:
        """An object that is a link is not followed, wherever it leads."""
        outside = self.root.parent / (self.root.name + "-outside")
        outside.write_bytes(b"secret")
        (self.root / "ns1").mkdir()
        (self.root / "ns1" / "k").symlink_to(outside)

        self.assert_refused(errno.ELOOP, self.storage.read("ns1", "k"))
        self.assert_refused(errno.ELOOP, self.storage.write("ns1", "k", b"x"))
        self.assertEqual(outside.read_bytes(), b"secret")

    def test_linked_collection(self) -> None:
        """An administrator may put a collection on another disk by a link."""
        elsewhere = self.root.parent / (self.root.name + "-elsewhere")
        elsewhere.mkdir()
        (self.root / "apps").symlink_to(elsewhere)

        self.result_of(self.storage.write("apps", "k", b"v", ["t"]))

        self.assertEqual((elsewhere / "k").read_bytes(), b"v")
        self.assertEqual(self.result_of(self.storage.read("apps", "k")), b"v")
        self.assertEqual(self.result_of(self.storage.find("apps", ["t"])), ["k"])

    def test_fifo(self) -> None:
        """A FIFO is no object, and nothing waits for its other end."""
        (self.root / "ns1").mkdir()
        os.mkfifo(self.root / "ns1" / "pipe")

        self.assert_refused(errno.EINVAL, self.storage.read("ns1", "pipe"))
        self.assert_refused(errno.EINVAL, self.storage.write("ns1", "pipe", b"v"))

    def test_too_large_on_disk(self) -> None:
        """A file beyond the limit is not read, hot or cold, and says so."""
        (self.root / "ns1").mkdir()
        (self.root / "ns1" / "big").write_bytes(b"x" * (self.max_object + 1))

        error = self.assert_refused(errno.EFBIG, self.storage.read("ns1", "big"))

        self.assertIn("max-object", error.reason)

    def test_permission(self) -> None:
        """A file that may not be opened is EACCES and names the file."""
        self.result_of(self.storage.write("ns1", "k", b"v"))
        (self.root / "ns1" / "k").chmod(0)
        if os.access(self.root / "ns1" / "k", os.R_OK):
            raise SkipTest("this user may read everything")

        error = self.assert_refused(errno.EACCES, self.storage.read("ns1", "k"))

        self.assertEqual(error.reason, f"{self.root}/ns1/k: Permission denied")

    def test_reason_names_the_file(self) -> None:
        """The text is the original's, path and all (S1)."""
        error = self.error_of(self.storage.read("ns1", "missing"))

        self.assertEqual(
            error.reason, f"{self.root}/ns1/missing: No such file or directory"
        )

    def test_whole_path_too_long(self) -> None:
        """A collection deeper than paths can be is refused and leaves nothing."""
        deep = "/".join(["d" * 200] * 30)

        self.assert_refused(errno.ENAMETOOLONG, self.storage.write(deep, "k", b"v"))
        self.assert_refused(errno.ENAMETOOLONG, self.storage.read(deep, "k"))
        self.assertEqual(os.listdir(self.root), [])

    def test_relative_path(self) -> None:
        """A relative path is made absolute once, when the storage is built."""
        storage = self.build(os.path.relpath(self.root))

        self.result_of(storage.write("ns1", "k", b"v", ["t"]))

        link = os.readlink(self.root / "ns1" / "t" / "k")
        self.assertEqual(link, f"{self.root}/ns1/k")


class ShortCutTests(FilesCase):
    """When a read is answered without the lane."""

    def setUp(self) -> None:
        super().setUp()
        if not self.storage._disk.can_skip_disk:
            raise SkipTest("this system has no RWF_NOWAIT")
        self.result_of(self.storage.write("ns1", "k", b"v" * 1024))
        if self.storage._disk.read_cached(self.path("k")) is None:
            raise SkipTest("this file system has no RWF_NOWAIT")

    def path(self, key: str) -> Any:
        return self.storage._disk.locate("ns1", key)

    def test_hot_object(self) -> None:
        """A small object in memory is answered on the spot."""
        read = self.storage.read("ns1", "k")

        self.assertEqual(self.successResultOf(read), b"v" * 1024)

    def test_missing_object(self) -> None:
        """So is the news that there is none."""
        failure = self.failureResultOf(self.storage.read("ns1", "no"), StorageError)

        self.assertEqual(failure.value.code, errno.ENOENT)

    def test_waits_for_pending_write(self) -> None:
        """A read never overtakes a write, of whatever object."""
        release = self.hold()
        written = self.storage.write("ns1", "k", b"new")
        read = self.storage.read("ns1", "k")
        self.assertNoResult(read)

        release.set()

        self.assertEqual(self.result_of(read), b"new")
        self.successResultOf(written)

    def test_limit(self) -> None:
        """Objects up to the limit take the short cut, larger ones do not."""
        disk = self.storage._disk
        self.result_of(self.storage.write("ns1", "at", b"x" * CACHED_LIMIT))
        self.result_of(self.storage.write("ns1", "above", b"x" * (CACHED_LIMIT + 1)))

        self.assertEqual(disk.read_cached(self.path("at")), b"x" * CACHED_LIMIT)
        self.assertIsNone(disk.read_cached(self.path("above")))
        read = self.storage.read("ns1", "above")
        self.assertNoResult(read)
        self.assertEqual(len(self.result_of(read)), CACHED_LIMIT + 1)

    def test_answers_do_not_share(self) -> None:
        """The buffer is used again, the answer is not touched by that."""
        first = self.successResultOf(self.storage.read("ns1", "k"))
        self.result_of(self.storage.write("ns1", "k", b"w" * 1024))
        self.successResultOf(self.storage.read("ns1", "k"))

        self.assertEqual(first, b"v" * 1024)

    def test_no_descriptors_left(self) -> None:
        """Every way out closes the file."""
        (self.root / "ns1" / "dir").mkdir()
        before = len(os.listdir("/proc/self/fd"))
        for key in ("k", "dir", "no", "k"):
            self.storage._disk.can_skip_disk = True
            self.node.reactor.wait_for(self.storage.read("ns1", key)).addErrback(
                lambda failure: None
            )

        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_many_collections(self) -> None:
        """The remembered collections stay within their limit."""
        disk = self.storage._disk
        for number in range(3 * KNOWN_FOLDERS):
            disk.locate(f"c{number}", "k")

        self.assertLessEqual(len(disk._folders), KNOWN_FOLDERS)
        self.assertEqual(disk.locate("c1", "k"), os.fsencode(self.root / "c1" / "k"))


class FaultyDisk(Disk):
    """A disk that fails in the middle of things."""

    broken_write: int | None = None
    broken_sync_at: int | None = None
    syncs = 0

    def _os_write(self, fd: int, data: Any) -> int:
        if self.broken_write is not None and len(data) <= 5000:
            raise OSError(self.broken_write, os.strerror(self.broken_write))
        # A short write, as a disk that fills up gives first.
        return os.write(fd, data[:5000] if len(data) > 5000 else data)

    def _os_fsync(self, fd: int) -> None:  # type: ignore[override]
        self.syncs += 1
        if self.syncs == self.broken_sync_at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fsync(fd)


class FaultTests(SynchronousTestCase):
    """Writes that fail leave the old object whole and nothing else behind."""

    def setUp(self) -> None:
        self.root = Path(os.path.abspath(self.mktemp()))
        self.disk = FaultyDisk(str(self.root), 1 << 20)
        self.disk.prepare()
        self.disk.write("c", "k", b"old", ["t"])
        self.disk.syncs = 0

    def read(self, key: str) -> bytes:
        return self.disk.read(self.disk.locate("c", key))

    def test_short_writes(self) -> None:
        """A blob is written to its end, however little goes at a time."""
        blob = os.urandom(17_000)
        self.disk.write("c", "k", blob, [])

        self.assertEqual(self.read("k"), blob)

    def test_full_disk(self) -> None:
        """A full disk, quota or broken disk is an error with its code."""
        for code in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS):
            self.disk.broken_write = code

            error = self.assertRaises(
                StorageError, self.disk.write, "c", "k", b"n" * 12_000, ["t2"]
            )

            self.assertEqual(error.code, code)
            self.assertIn(f"{self.root}/c/k: ", error.reason)
            self.assertEqual(self.read("k"), b"old")
            self.assertEqual(sorted(os.listdir(self.root / "c")), ["k", "t", "t2"])
            self.assertEqual(self.disk.find("c", ["t2"]), [])

    def test_full_disk_for_a_new_object(self) -> None:
        """No empty or half object appears."""
        self.disk.broken_write = errno.ENOSPC

        self.assertRaises(StorageError, self.disk.write, "c", "new", b"n" * 9000, [])

        self.assertEqual(sorted(os.listdir(self.root / "c")), ["k", "t"])

    def test_data_not_durable(self) -> None:
        """When the data cannot be made durable, the old object stays."""
        self.disk.broken_sync_at = 1

        error = self.assertRaises(StorageError, self.disk.write, "c", "k", b"new", [])

        self.assertEqual(error.code, errno.EIO)
        self.assertEqual(self.read("k"), b"old")
        self.assertEqual(sorted(os.listdir(self.root / "c")), ["k", "t"])

    def test_name_not_durable(self) -> None:
        """When the name cannot be made durable, the caller hears of it."""
        self.disk.broken_sync_at = 2

        self.assertRaises(StorageError, self.disk.write, "c", "k", b"new", [])

        self.assertEqual(sorted(os.listdir(self.root / "c")), ["k", "t"])

    def test_everything_is_synced(self) -> None:
        """Data, new directories, names and links are all made durable."""
        for collection, key, tags, syncs in (
            ("c", "k", [], 2),  # the data, the collection
            ("c", "k", ["t"], 2),  # the link exists
            ("c", "k2", ["t"], 3),  # a link in a known tag
            ("c", "k", ["u"], 4),  # and a new tag's name in the collection
            ("a/b", "k", [], 4),  # and the names of both directories
        ):
            self.disk.syncs = 0
            self.disk.write(collection, key, b"x", tags)
            self.assertEqual(self.disk.syncs, syncs, (collection, key, tags))

    def test_directory_sync_unsupported(self) -> None:
        """File systems that cannot sync directories are no reason to fail."""

        class Old(Disk):
            def _os_fsync(self, fd: int) -> None:  # type: ignore[override]
                if os.path.isdir(f"/proc/self/fd/{fd}"):
                    raise OSError(errno.EINVAL, "")
                os.fsync(fd)

        disk = Old(str(self.root), 1 << 20)
        disk.write("c", "k", b"new", ["t3"])

        self.assertEqual(self.read("k"), b"new")

    def test_readers_see_old_or_new(self) -> None:
        """Who has the old object open reads the old object to its end."""
        with open(self.root / "c" / "k", "rb") as reader:
            self.disk.write("c", "k", b"new", [])
            self.assertEqual(reader.read(), b"old")

        self.assertEqual(self.read("k"), b"new")

    def test_root_is_a_file(self) -> None:
        """A root that is no directory is told apart when it is prepared."""
        path = self.root / "c" / "k"

        error = self.assertRaises(StorageError, Disk(str(path), 1).prepare)

        self.assertEqual(error.code, errno.ENOTDIR)

    def test_root_under_a_file(self) -> None:
        """So is one that cannot be created."""
        path = self.root / "c" / "k" / "store"

        error = self.assertRaises(StorageError, Disk(str(path), 1).prepare)

        self.assertEqual(error.code, errno.ENOTDIR)
        self.assertIn(str(path), error.reason)


class LifeTests(FilesCase):
    """Start, stop and limits of the storage on files."""

    def test_start_creates_the_root(self) -> None:
        """The directory is created with its parents."""
        self.build(str(self.root / "deep" / "er"))

        self.assertTrue((self.root / "deep" / "er").is_dir())

    def test_start_fails(self) -> None:
        """A path that cannot be a store ends the start, named."""
        path = self.root / "file"
        path.write_bytes(b"")
        storage = FilesStorage(self.node, "core", FilesArgs(path=str(path)))
        self.addCleanup(self.close, storage)

        started = self.node.reactor.wait_for(storage.start())

        error = self.failureResultOf(started, ConfigError).value
        self.assertIn("'core'", str(error))
        self.assertIn(f"{path}: Not a directory", str(error))

    def test_stop_fails_what_waits(self) -> None:
        """Operations that have not begun fail when the storage stops."""
        release = self.hold()
        written = self.storage.write("ns1", "k", b"v")

        stopped = self.storage.stop()
        release.set()

        self.assert_refused(errno.ESHUTDOWN, written)
        self.result_of(stopped)
        self.assert_refused(errno.ESHUTDOWN, self.storage.write("ns1", "k", b"v"))

    def test_waiting_bytes(self) -> None:
        """Blobs that wait for a slow disk have a limit together."""
        release = self.hold()
        self.storage._changes.waiting_bytes = MAX_WAITING_BYTES - 10
        fits = self.storage.write("ns1", "k", b"x" * 10)

        error = self.assert_refused(errno.EAGAIN, self.storage.write("ns1", "k2", b"x"))

        self.assertIn(str(MAX_WAITING_BYTES), error.reason)
        release.set()
        self.result_of(fits)
        self.assertEqual(self.storage._changes.waiting_bytes, MAX_WAITING_BYTES - 10)

    def test_waiting_bytes_are_given_back(self) -> None:
        """Failed and cancelled writes count no longer either."""
        cancelled = self.storage.write("ns1", "k", b"x" * 10)
        cancelled.cancel()
        failed = self.storage.write("ns1", "..", b"x" * 10)

        self.assert_refused(errno.EACCES, failed)
        self.failureResultOf(cancelled, CancelledError)
        self.assertEqual(self.storage._changes.waiting_bytes, 0)

    def test_cancelled_find_is_skipped(self) -> None:
        """A find that has not begun does no work when nobody wants it."""
        self.result_of(self.storage.write("ns1", "k", b"v", ["t"]))
        self.result_of(self.storage.remove("ns1", "k"))
        release = self.hold()
        found = self.storage.find("ns1", ["t"])
        found.cancel()
        after = self.storage.write("ns1", "k2", b"")

        release.set()
        self.result_of(after)

        self.failureResultOf(found, CancelledError)
        self.assertTrue((self.root / "ns1" / "t" / "k").is_symlink())

    def test_bug_becomes_a_storage_error(self) -> None:
        """Whatever breaks inside is logged, and comes out as EIO."""
        self.storage._disk.max_object = None

        self.assert_refused(errno.EIO, self.storage.write("ns1", "k", b"v"))
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_arguments(self) -> None:
        """The path is required, and names that do not exist are refused."""
        args = msgspec.convert({"path": "/x", "max-object": 5}, FilesArgs)

        self.assertEqual((args.path, args.max_object), ("/x", 5))
        mistakes: tuple[dict[str, Any], ...] = (
            {},
            {"path": ""},
            {"path": "/x", "max_object": 5},
            {"path": "/x", "max-object": 0},
            {"path": 5},
        )
        for wrong in mistakes:
            self.assertRaises(
                msgspec.ValidationError, msgspec.convert, wrong, FilesArgs
            )


class SweepTests(FilesCase):
    """What a killed node left behind."""

    def leave(self, *names: str) -> Path:
        folder = self.root.joinpath(*names)
        folder.mkdir(parents=True, exist_ok=True)
        path, fd = create_scratch(os.fsencode(folder))
        os.close(fd)
        return Path(os.fsdecode(path))

    def sweep(self) -> None:
        reactor = self.node.reactor
        while reactor.getDelayedCalls():
            reactor.advance(SWEEP_PAUSE)
            reactor.pump_until(lambda: not self.storage._lane.pending)

    def test_scratch_files_go(self) -> None:
        """Abandoned files are deleted in every collection; objects stay."""
        left = [self.leave("c"), self.leave("c", "d", "e")]
        self.result_of(self.storage.write("c", "k", b"v", ["t"]))

        self.sweep()

        self.assertEqual([path.exists() for path in left], [False, False])
        self.assertEqual(self.result_of(self.storage.read("c", "k")), b"v")
        self.assertEqual(self.result_of(self.storage.find("c", ["t"])), ["k"])

    def test_scratch_files_in_use_stay(self) -> None:
        """A file that another node is writing is not touched."""
        path = self.leave("c")
        with open(path, "rb") as writer:
            fcntl.flock(writer, fcntl.LOCK_EX)
            self.sweep()

        self.assertTrue(path.exists())

    def test_other_hidden_files_stay(self) -> None:
        """Only files with our prefix go, and no directories or links."""
        folder = self.root / "c"
        folder.mkdir()
        (folder / ".cocained-other").write_bytes(b"")
        (folder / ".hidden").write_bytes(b"")
        (folder / ".cocained-scratch-link").symlink_to("/dev/null")
        (folder / ".cocained-scratch-dir").mkdir()

        self.sweep()

        self.assertEqual(len(os.listdir(folder)), 4)

    def test_start_does_not_wait(self) -> None:
        """The storage has started before the sweep has begun."""
        path = self.leave("c")

        self.result_of(self.storage.write("c", "k", b"v"))

        self.assertTrue(path.exists())
        self.assertEqual(len(self.node.reactor.getDelayedCalls()), 1)

    def test_steps(self) -> None:
        """A large store is walked in steps, with a pause after each."""
        folder = self.root / "c"
        folder.mkdir()
        for number in range(2 * SWEEP_STEP):
            (folder / str(number)).touch()
        steps = 0
        while self.node.reactor.getDelayedCalls():
            steps += 1
            self.node.reactor.advance(SWEEP_PAUSE)
            self.node.reactor.pump_until(lambda: not self.storage._lane.pending)

        self.assertEqual(steps, 3)

    def test_stop_before_sweep(self) -> None:
        """Stopping before the first step leaves no timer behind."""
        self.result_of(self.storage.stop())

        self.assertEqual(self.node.reactor.getDelayedCalls(), [])

    def test_stop_during_sweep(self) -> None:
        """Stopping while a step waits or runs leaves no timer behind."""
        release = self.hold()
        self.node.reactor.advance(SWEEP_PAUSE)

        stopped = self.storage.stop()
        release.set()

        self.result_of(stopped)
        self.assertEqual(self.node.reactor.getDelayedCalls(), [])

    def test_bounded(self) -> None:
        """A sweep ends after its limit of entries."""
        for _ in range(5):
            self.leave("c")

        seen = list(sweep(str(self.root), 4))

        self.assertEqual(seen, [0, 1, 2, 3])

    def test_unreadable_places(self) -> None:
        """A root that is gone is nothing to sweep."""
        self.assertEqual(list(sweep(str(self.root / "gone"), 10)), [])

    def test_scratch_goes_with_its_writer(self) -> None:
        """A scratch file is kept for as long as its writer has it open."""
        path, fd = create_scratch(os.fsencode(self.root))

        self.assertEqual(list(sweep(str(self.root), 10)), [0])
        os.close(fd)
        self.assertEqual(list(sweep(str(self.root), 10)), [1])

        self.assertFalse(os.path.exists(path))

    def test_scratch_taken_by_a_sweep(self) -> None:
        """A writer whose fresh file a sweep has just taken makes another."""
        taken: list[str] = []

        def lock(fd: int) -> int:
            if taken:
                return 0
            taken.append(os.readlink(f"/proc/self/fd/{fd}"))
            os.unlink(taken[0])
            return 0

        path, fd = create_scratch(os.fsencode(self.root), lock)
        self.addCleanup(os.close, fd)

        self.assertTrue(os.path.exists(path))
        self.assertNotEqual(os.fsdecode(path), taken[0])

    def test_scratch_always_taken(self) -> None:
        """Trying again has an end."""
        before = len(os.listdir("/proc/self/fd"))

        error = self.assertRaises(
            OSError,
            create_scratch,
            os.fsencode(self.root),
            lambda fd: errno.EWOULDBLOCK,
        )

        self.assertEqual(error.errno, errno.EBUSY)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_scratch_without_locks(self) -> None:
        """Where locks do not work, files are written all the same."""
        path, fd = create_scratch(os.fsencode(self.root), lambda fd: errno.ENOLCK)
        os.close(fd)

        self.assertTrue(os.path.exists(path))


#: Few names, so that operations meet each other; some of them hostile.
names = st.sampled_from(
    ["a", "b", "t", "", ".", "..", "a/b", "t/a", "../a", "/a", "\udcff", "k" * 256]
)
collections = st.sampled_from(["c", "c/t", "c/a", "", "..", "c/../d", "d", "c//t"])
operations = st.lists(
    st.one_of(
        st.tuples(st.just("read"), collections, names),
        st.tuples(st.just("remove"), collections, names),
        st.tuples(st.just("find"), collections, st.lists(names, max_size=2)),
        st.tuples(
            st.just("write"),
            collections,
            names,
            st.binary(max_size=3),
            st.lists(names, max_size=2),
        ),
    ),
    max_size=12,
)


class AgreementTests(SynchronousTestCase):
    """The double in memory and the disk cannot be told apart."""

    def on_disk(self, disk: Disk, name: str, *args: Any) -> Any:
        try:
            if name == "read":
                return disk.read(disk.locate(*args))
            return getattr(disk, name)(*args)
        except StorageError as error:
            return self.outcome(error, disk.root)

    def in_memory(self, storage: MemoryStorage, name: str, *args: Any) -> Any:
        outcome: list[Any] = []
        done = getattr(storage, name)(*args)
        done.addErrback(lambda failure: self.outcome(failure.value, "<core>"))
        done.addCallback(outcome.append)
        return outcome[0]

    def outcome(self, error: StorageError, root: str) -> str:
        return f"{errno.errorcode[error.code]} {error.reason.replace(root, '<root>')}"

    @given(operations)
    @settings(max_examples=150, deadline=None)
    def test_any_history(self, history: list[Any]) -> None:
        """Any operations in any order have the same outcomes in both."""
        node = stub_node()
        storage = MemoryStorage(node, "core")
        root = os.path.abspath(self.mktemp())
        disk = Disk(root, 1 << 20)
        disk.prepare()
        for operation in history:
            self.assertEqual(
                self.in_memory(storage, *operation),
                self.on_disk(disk, *operation),
                operation,
            )

    @given(operations)
    @settings(max_examples=100, deadline=None)
    def test_nothing_outside_the_root(self, history: list[Any]) -> None:
        """No operation with any name changes anything beside the root."""
        outside = Path(os.path.abspath(self.mktemp()))
        (outside / "store").mkdir(parents=True)
        (outside / "a").write_bytes(b"theirs")
        disk = Disk(str(outside / "store"), 1 << 20)
        for operation in history:
            self.on_disk(disk, *operation)

        self.assertEqual(sorted(os.listdir(outside)), ["a", "store"])
        self.assertEqual((outside / "a").read_bytes(), b"theirs")

    @given(operations)
    @settings(max_examples=100, deadline=None)
    def test_no_scratch_left(self, history: list[Any]) -> None:
        """Whatever succeeds or fails, nothing of ours stays on the disk."""
        root = os.path.abspath(self.mktemp())
        disk = Disk(root, 2)
        disk.prepare()
        for operation in history:
            self.on_disk(disk, *operation)

        for _, _, files in os.walk(root):
            self.assertEqual([f for f in files if f.startswith(".cocained-")], [])


class KilledTests(SynchronousTestCase):
    """A node that is killed in the middle of a write."""

    def test_old_object_stays(self) -> None:
        """The old object is whole, and the next start sweeps the rest."""
        root = os.path.abspath(self.mktemp())
        disk = Disk(root, 1 << 20)
        disk.prepare()
        disk.write("c", "k", b"old", ["t"])
        program = (
            "import os, signal, sys\n"
            "from cocained.storages.disk import Disk\n"
            "class Killed(Disk):\n"
            "    def _os_fsync(self, fd):\n"
            "        os.kill(os.getpid(), signal.SIGKILL)\n"
            "Killed(sys.argv[1], 1 << 20).write('c', 'k', b'new' * 1000, ['t'])\n"
        )
        ended = subprocess.run(
            [sys.executable, "-c", program, root], timeout=60, check=False
        )

        self.assertEqual(ended.returncode, -signal.SIGKILL)
        self.assertEqual(disk.read(disk.locate("c", "k")), b"old")
        self.assertEqual(disk.find("c", ["t"]), ["k"])
        self.assertEqual(len(os.listdir(os.path.join(root, "c"))), 3)
        self.assertEqual(list(sweep(root, 100))[-1], 1)
        self.assertEqual(sorted(os.listdir(os.path.join(root, "c"))), ["k", "t"])


class NameTests(SynchronousTestCase):
    """The texts and rules of names."""

    def test_place(self) -> None:
        """A place is a path without doubled slashes."""
        self.assertEqual(place("/s", "ns1", "/etc/x"), "/s/ns1/etc/x")
        self.assertEqual(place("/s", "ns1", ""), "/s/ns1")

    def test_place_is_cut(self) -> None:
        """A huge name is cut, visibly."""
        shown = place("/s", "n" * 10_000_000, "k")

        self.assertEqual(len(shown), MAX_PLACE + 1)
        self.assertTrue(shown.endswith("…"))

    def test_can_exist(self) -> None:
        """Only one plain component can be a key."""
        self.assertTrue(check_key("/s", "c", "k", Intent.FIND))
        self.assertFalse(check_key("/s", "c", "a/b", Intent.FIND))
