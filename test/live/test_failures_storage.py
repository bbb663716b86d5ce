# -*- test-case-name: cocained.test.live.test_failures_storage -*-
"""
Stores that are read-only or full.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from typing_extensions import override

from cocained.errors import RemoteError
from cocained.test.live.support import LiveCase, live_suite, missing


class MountedCase(LiveCase):
    """A store on a small file system of its own, which takes root to mount."""

    @override
    def prepare(self) -> None:
        """Mount 1 MiB of memory for the store, and keep one value there."""
        self.store = self.node.directory / "store"
        self.mount("-t", "tmpfs", "-o", "size=1m", "tmpfs")
        self.addCleanup(self.unmount)
        self.node.write("ns", "old", b"kept", "tag")

    def mount(self, *options: str) -> None:
        """Mount something at the store, or skip the test."""
        if os.getuid() != 0:
            raise missing("only root can mount a file system for the store")
        done = subprocess.run(
            ["mount", *options, str(self.store)], capture_output=True, check=False
        )
        if done.returncode:
            raise missing(f"cannot mount: {done.stderr.decode().strip()}")

    def unmount(self) -> None:
        """Take it away, also while the node uses it."""
        subprocess.run(["umount", "-l", str(self.store)], check=False)

    def read(self, key: str) -> bytes:
        """Read a value."""
        with self.node.client("storage") as storage:
            value: bytes = storage.call(0, "ns", key)[0]
        return value

    def leftovers(self) -> list[Path]:
        """Find the files of the collection that are neither key nor tag."""
        return [
            path
            for path in (self.store / "ns").iterdir()
            if path.is_file() and path.name != "old"
        ]


class FullTests(MountedCase):
    """A store without room."""

    def test_full(self) -> None:
        """A write that does not fit is ENOSPC, and what was there is there."""
        large = b"x" * (2 << 20)
        self.assert_refused(
            12, 28, "No space left", self.node.write, "ns", "large", large
        )
        self.assert_refused(12, 2, "ns/large", self.read, "large")
        self.assertEqual(self.read("old"), b"kept")
        self.assertEqual(self.leftovers(), [])

    def test_overwrite(self) -> None:
        """A value that cannot be replaced is as it was."""
        large = b"x" * (2 << 20)
        self.assert_refused(12, 28, "", self.node.write, "ns", "old", large)
        self.assertEqual(self.read("old"), b"kept")
        self.node.write("ns", "small", b"fits")
        self.assertEqual(self.read("small"), b"fits")


class ReadOnlyTests(MountedCase):
    """A store that cannot be written."""

    @override
    def prepare(self) -> None:
        """Mount it, then make it read-only."""
        super().prepare()
        self.mount("-o", "remount,ro")

    def test_write(self) -> None:
        """A write is EROFS with the place; a read works."""
        error = self.assert_refused(
            12, 30, "Read-only file system", self.node.write, "ns", "new", b"x"
        )
        self.assertIn(str(self.store), error.reason)
        self.assertEqual(self.read("old"), b"kept")

    def test_remove(self) -> None:
        """So is a removal."""
        with self.node.client("storage") as storage:
            self.assert_refused(12, 30, "", storage.call, 2, "ns", "old")
        self.assertEqual(self.read("old"), b"kept")


class UnreachableTests(LiveCase):
    """A store whose directory has gone."""

    def test_gone(self) -> None:
        """The error names the place; with the directory back all is well."""
        store, elsewhere = self.node.directory / "store", self.node.directory / "e"
        store.rename(elsewhere)
        self.assert_refused(12, 2, str(store), self.node.write, "ns", "key", b"value")
        elsewhere.rename(store)
        self.node.write("ns", "key", b"value")
        with self.node.client("storage") as storage:
            self.assertEqual(storage.call(0, "ns", "key"), [b"value"])

    def test_blocked(self) -> None:
        """With a file in its place the error names the place."""
        store = self.node.directory / "store"
        store.rename(self.node.directory / "elsewhere")
        store.write_bytes(b"")
        error: RemoteError = self.assertRaises(
            RemoteError, self.node.write, "ns", "key", b"value"
        )
        self.assertEqual((error.category, error.code), (12, 20))
        self.assertIn(str(store), error.reason)


test_suite = live_suite(__name__)
