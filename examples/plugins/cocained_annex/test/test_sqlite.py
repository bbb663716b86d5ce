# -*- test-case-name: cocained_annex.test.test_sqlite -*-
"""
The storage ``sqlite``: the contract of all storages, and what is its own.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from typing import Any

from cocained.config import convert
from cocained.errors import ConfigError
from cocained.testing import stub_node
from cocained.testing.contracts import StorageCase, StorageContract
from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from cocained_annex.sqlite import (
    SqliteArgs,
    SqliteStorage,
)

#: Seconds that a child of a test may take.
TIMEOUT = 30

#: Writes an object and dies before it could close anything.
DIES = """
import os, signal, sys
from cocained_annex.database import Database
database = Database(sys.argv[1], 1000)
database.open()
database.write("ns", "k", b"answered", ["t"])
os.kill(os.getpid(), signal.SIGKILL)
"""


class SqliteCase(StorageCase, SynchronousTestCase):
    """A started storage on a fresh file."""

    max_object = 100_000

    def setUp(self) -> None:
        self.node = stub_node()
        self.path = os.path.abspath(os.path.join(self.mktemp(), "core.sqlite"))
        self.storage: Any = self.build(self.path)
        self.result_of(self.storage.start())
        self.addCleanup(lambda: self.result_of(self.storage.stop()))

    def build(self, path: str) -> SqliteStorage:
        args = SqliteArgs(path=path, max_object=self.max_object)
        return SqliteStorage(self.node, "core", args)

    def reopen(self) -> None:
        """Stop the storage and start another on the same file."""
        self.result_of(self.storage.stop())
        self.storage = self.build(self.path)
        self.result_of(self.storage.start())

    def refused_start(self, path: str) -> str:
        """Start a storage that cannot be opened; give its complaint."""
        storage = self.build(path)
        failed = self.node.reactor.wait_for(storage.start())
        self.result_of(storage.stop())
        return str(self.failureResultOf(failed, ConfigError).value)


class ContractTests(SqliteCase, StorageContract):
    """The storage keeps the contract of all storages."""


class FileTests(SqliteCase):
    """What is in the file."""

    def test_opened_again(self) -> None:
        """Objects and tags are there after a restart."""
        self.result_of(self.storage.write("ns", "k", b"v", ["t"]))

        self.reopen()

        self.assertEqual(self.result_of(self.storage.read("ns", "k")), b"v")
        self.assertEqual(self.result_of(self.storage.find("ns", ["t"])), ["k"])

    def test_one_file(self) -> None:
        """A storage that was stopped in order leaves one file."""
        self.result_of(self.storage.write("ns", "k", b"v"))

        self.result_of(self.storage.stop())

        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["core.sqlite"])
        self.reopen()

    def test_killed(self) -> None:
        """What was answered is there although the writer was killed."""
        path = os.path.abspath(self.mktemp() + ".sqlite")
        done = subprocess.run(
            [sys.executable, "-c", DIES, path],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            timeout=TIMEOUT,
        )
        self.assertEqual(done.returncode, -9)
        storage = self.build(path)
        self.result_of(storage.start())

        self.assertEqual(self.result_of(storage.read("ns", "k")), b"answered")
        self.assertEqual(self.result_of(storage.find("ns", ["t"])), ["k"])
        self.result_of(storage.stop())

    def test_tags_go_with_their_object(self) -> None:
        """An object written anew has none of the tags of the removed one."""
        self.result_of(self.storage.write("ns", "k", b"v", ["t"]))
        self.result_of(self.storage.remove("ns", "k"))
        self.result_of(self.storage.write("ns", "k", b"again"))

        self.assertEqual(self.result_of(self.storage.find("ns", ["t"])), [])

    def test_long_collection(self) -> None:
        """A collection is no longer than a path of the system."""
        self.assert_refused(
            errno.ENAMETOOLONG, self.storage.write("/".join(["c"] * 5000), "k", b"")
        )

    def test_surrogate_in_a_name_with_slashes(self) -> None:
        """A name that cannot exist is neither removed nor found."""
        self.assertIsNone(self.result_of(self.storage.remove("ns", "a/\ud800")))
        self.assertEqual(self.result_of(self.storage.find("ns", ["a/\ud800"])), [])


class RefusedFileTests(SqliteCase):
    """Files that cannot be opened fail the start, with the key to look at."""

    def test_foreign_database(self) -> None:
        """A database of another program is left alone."""
        path = os.path.abspath(self.mktemp())
        foreign = sqlite3.connect(path)
        foreign.execute("CREATE TABLE song (name)")
        foreign.close()
        with open(path, "rb") as file:
            before = file.read()

        complaint = self.refused_start(path)

        self.assertIn("path: storage 'core' cannot be opened", complaint)
        self.assertIn("is a database of something else", complaint)
        with open(path, "rb") as file:
            self.assertEqual(file.read(), before)

    def test_newer_version(self) -> None:
        """Tables of a later version are not touched."""
        self.result_of(self.storage.stop())
        base = sqlite3.connect(self.path)
        base.execute("PRAGMA user_version = 2")
        base.close()

        self.assertIn("version 2", self.refused_start(self.path))

    def test_no_database(self) -> None:
        """A file of another kind is named."""
        path = os.path.abspath(self.mktemp())
        with open(path, "w") as file:
            file.write("a letter to my mother, long enough for a header" * 20)

        complaint = self.refused_start(path)

        self.assertIn(f"{path}: file is not a database", complaint)

    def test_directory(self) -> None:
        """A directory is no file."""
        self.assertIn("unable to open", self.refused_start(os.path.dirname(self.path)))

    def test_no_directory(self) -> None:
        """What cannot be created says why."""
        path = os.path.join(self.path, "core.sqlite")

        self.assertIn("Not a directory", self.refused_start(path))


class LimitTests(SqliteCase):
    """What is too much, and when the disk says no."""

    def test_full(self) -> None:
        """A full disk refuses the write, and the old object stays whole."""
        self.result_of(self.storage.write("ns", "k", b"old"))
        self.execute("PRAGMA max_page_count = 1")

        self.assert_refused(
            errno.ENOSPC, self.storage.write("ns", "k", b"x" * 90_000, ["t"])
        )

        self.assertEqual(self.result_of(self.storage.read("ns", "k")), b"old")
        self.assertEqual(self.result_of(self.storage.find("ns", ["t"])), [])

    def test_busy(self) -> None:
        """Another program that keeps the file locked is an error in time."""
        self.execute("PRAGMA busy_timeout = 1")
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")

        self.assert_refused(errno.EBUSY, self.storage.write("ns", "k", b"v"))
        other.execute("ROLLBACK")

        self.assertIsNone(self.result_of(self.storage.write("ns", "k", b"v")))

    def execute(self, statement: str) -> None:
        """Run a statement in the storage's own connection."""
        database = self.storage._database
        self.result_of(
            self.storage._run(lambda: database._base.execute(statement).fetchall())
        )

    def test_arguments(self) -> None:
        """The limit of an object is below that of SQLite, and a file is needed."""
        for args in (
            {"path": ""},
            {},
            {"path": "p", "max-object": 0},
            {"path": "p", "max-object": 1_000_000_000},
            {"path": "p", "size": 1},
        ):
            self.assertRaises(ConfigError, convert, args, SqliteArgs)

        self.assertEqual(convert({"path": "p"}, SqliteArgs).max_object, 1 << 28)


class EndTests(SqliteCase):
    """Answers that nobody wants, bugs, and the end."""

    def test_cancelled_read(self) -> None:
        """A read that is cancelled does not disturb the next one."""
        self.result_of(self.storage.write("ns", "k", b"v"))
        read = self.storage.read("ns", "k")
        read.cancel()
        self.failureResultOf(read, CancelledError)

        self.assertEqual(self.result_of(self.storage.read("ns", "k")), b"v")

    def test_bug(self) -> None:
        """What should not happen is logged, and comes out as an error of ours."""
        self.assert_refused(errno.EIO, self.storage._run(int, "seven"))

        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_stopped(self) -> None:
        """What was asked for is done before the end; later requests are refused."""
        written = self.storage.write("ns", "k", b"v")
        stopped = self.storage.stop()
        late = self.storage.read("ns", "k")

        self.assertIsNone(self.result_of(written))
        self.assert_refused(errno.ESHUTDOWN, late)
        self.result_of(stopped)
        self.assert_refused(errno.ESHUTDOWN, self.storage.read("ns", "k"))
        self.reopen()
        self.assertEqual(self.result_of(self.storage.read("ns", "k")), b"v")
