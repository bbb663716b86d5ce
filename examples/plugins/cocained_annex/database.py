# -*- test-case-name: cocained_annex.test.test_sqlite -*-
"""
The file under the storage ``sqlite``: blocking, and free of Twisted.

::

    object   collection, key  ->  value
    tag      collection, tag, key          goes away with its object

Names are stored as bytes, so that SQLite compares and sorts them as bytes.  A
change is one transaction.  The log is written ahead (WAL) and synchronised at
each commit (``synchronous = FULL``): what was answered survives a loss of power.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Sequence

from cocained.errors import StorageError
from cocained.storages.names import (
    MAX_FOUND,
    Intent,
    check_collection,
    check_key,
    check_size,
    os_refusal,
    place,
)

#: Bytes of a whole collection, as of a path in Linux.
MAX_COLLECTION = 4096

#: Seconds to wait for another program that has the file, such as a backup.
BUSY_TIMEOUT = 5.0

#: Marks the file as ours (``PRAGMA application_id``): "annx".
APPLICATION = 0x616E6E78

#: Of the tables (``PRAGMA user_version``).
VERSION = 1

SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS object (
    collection BLOB NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    UNIQUE (collection, key)
);
CREATE TABLE IF NOT EXISTS tag (
    collection BLOB NOT NULL,
    tag BLOB NOT NULL,
    key BLOB NOT NULL,
    PRIMARY KEY (collection, tag, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tag_of_object ON tag (collection, key);
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
COMMIT;
"""

#: What SQLite's primary codes are for those who ask (https://sqlite.org/rescode.html).
CODES = {
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_LOCKED: errno.EBUSY,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_TOOBIG: errno.EFBIG,
}


def refusal(path: str, error: sqlite3.Error) -> StorageError:
    """Make an error of the interface out of one of SQLite."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return StorageError(CODES.get(code, errno.EIO), f"{path}: {error}")


class Database:
    """
    One store.  Methods block, and all belong to the thread that opened it.

    They raise :class:`~cocained.errors.StorageError`, and ``sqlite3.Error`` for
    :func:`refusal`.

    :param path: absolute path of the file.
    :param max_object: bytes of the largest object.
    """

    def __init__(self, path: str, max_object: int) -> None:
        self.path = path
        self.max_object = max_object
        self._connection: sqlite3.Connection | None = None

    @property
    def _base(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StorageError(errno.ESHUTDOWN, f"{self.path}: is not open")
        return self._connection

    def open(self) -> None:
        """
        Open the file, and make it and its directory if they are missing.

        :raises StorageError: it cannot be used; says why.
        """
        folder = os.path.dirname(self.path)
        try:
            os.makedirs(folder, exist_ok=True)
            self._connection = sqlite3.connect(self.path, BUSY_TIMEOUT)
            self._prepare(self._connection)
            _sync(folder)
        except FileExistsError:
            raise os_refusal(errno.ENOTDIR, folder) from None
        except OSError as error:
            raise StorageError.from_os_error(error, self.path) from error

    def _prepare(self, base: sqlite3.Connection) -> None:
        owner = (_pragma(base, "application_id"), _pragma(base, "user_version"))
        tables = base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if owner != (APPLICATION, VERSION) and (tables or owner != (0, 0)):
            raise StorageError(
                errno.EEXIST,
                f"{self.path}: is a database of something else (application"
                f" {owner[0]}, version {owner[1]}); name another file",
            )
        mode = _pragma(base, "journal_mode = WAL")
        if mode != "wal":
            raise StorageError(
                errno.EOPNOTSUPP,
                f"{self.path}: SQLite cannot write ahead there ({mode}); put it on"
                " a local disk",
            )
        base.execute("PRAGMA synchronous = FULL")
        if owner != (APPLICATION, VERSION):
            base.executescript(SCHEMA)

    def close(self) -> None:
        """Put the log into the file, and close both."""
        base, self._connection = self._connection, None
        if base is not None:
            base.close()

    def read(self, collection: str, key: str) -> bytes:
        """Give an object whole."""
        self._check(collection, Intent.READ)
        check_key(self.path, collection, key, Intent.READ)
        row = self._base.execute(
            "SELECT value FROM object WHERE collection = ? AND key = ?",
            (_bytes(collection), _bytes(key)),
        ).fetchone()
        if row is None:
            raise os_refusal(errno.ENOENT, place(self.path, collection, key))
        value: bytes = row[0]
        return value

    def write(
        self, collection: str, key: str, blob: bytes, tags: Sequence[str]
    ) -> None:
        """Store an object and its tags, durably, or nothing."""
        self._check(collection, Intent.WRITE)
        for each in (key, *tags):
            check_key(self.path, collection, each, Intent.WRITE)
        check_size(place(self.path, collection, key), len(blob), self.max_object)
        where, name = _bytes(collection), _bytes(key)
        with self._base as base:
            base.execute(
                "INSERT INTO object VALUES (?, ?, ?)"
                " ON CONFLICT DO UPDATE SET value = excluded.value",
                (where, name, blob),
            )
            base.executemany(
                "INSERT OR IGNORE INTO tag VALUES (?, ?, ?)",
                [(where, _bytes(tag), name) for tag in tags],
            )

    def remove(self, collection: str, key: str) -> None:
        """Delete an object and its tags, durably."""
        self._check(collection, Intent.REMOVE)
        if not check_key(self.path, collection, key, Intent.REMOVE):
            return
        names = (_bytes(collection), _bytes(key))
        with self._base as base:
            for table in ("object", "tag"):
                base.execute(
                    f"DELETE FROM {table} WHERE collection = ? AND key = ?", names
                )

    def find(self, collection: str, tags: Sequence[str]) -> list[str]:
        """Give the keys with all tags, sorted by their bytes."""
        self._check(collection, Intent.FIND)
        fit = [check_key(self.path, collection, tag, Intent.FIND) for tag in tags]
        if not tags or not all(fit):
            return []
        marks = ", ".join("?" * len(tags))
        rows = self._base.execute(
            f"SELECT key FROM tag WHERE collection = ? AND tag IN ({marks})"
            " GROUP BY key HAVING count(*) = ? ORDER BY key LIMIT ?",
            (_bytes(collection), *map(_bytes, tags), len(tags), MAX_FOUND + 1),
        ).fetchall()
        if len(rows) > MAX_FOUND:
            raise StorageError(
                errno.EOVERFLOW,
                f"{place(self.path, collection)}: more than {MAX_FOUND} objects have"
                " these tags; use more tags that are narrower",
            )
        return [key.decode("utf-8", "surrogateescape") for (key,) in rows]

    def _check(self, collection: str, intent: Intent) -> None:
        check_collection(self.path, collection, intent)
        if len(_bytes(collection)) > MAX_COLLECTION:
            raise os_refusal(errno.ENAMETOOLONG, place(self.path, collection))


def _bytes(name: str) -> bytes:
    # Names are text in which bytes that are no UTF-8 are carried along.
    return name.encode("utf-8", "surrogateescape")


def _pragma(base: sqlite3.Connection, pragma: str) -> object:
    return base.execute(f"PRAGMA {pragma}").fetchone()[0]


def _sync(folder: str) -> None:
    """Make the name of a new file durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
