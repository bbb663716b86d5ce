# -*- test-case-name: cocained.test.test_docs_examples -*-
"""A storage of one's own: everything in one SQLite file."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Iterable
from typing import Annotated, TypeVar, TypeVarTuple

import msgspec
from twisted.internet.defer import Deferred
from zope.interface import implementer

from cocained.component import Component
from cocained.errors import StorageError
from cocained.interfaces import INode, IStorage
from cocained.lane import Lane

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Bytes of the largest object; SQLite itself ends at 2 GiB.
MAX_OBJECT = 1 << 30

SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS object
    (collection BLOB, key BLOB, value BLOB, PRIMARY KEY (collection, key));
CREATE TABLE IF NOT EXISTS tag
    (collection BLOB, tag BLOB, key BLOB, PRIMARY KEY (collection, tag, key));
"""


class SqliteArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of the SQLite storage."""

    path: Annotated[str, msgspec.Meta(min_length=1, description="The file.")]


def _bytes(name: str) -> bytes:
    # Names are text in which bytes that are no UTF-8 are carried along.
    return name.encode("utf-8", "surrogateescape")


@implementer(IStorage)
class SqliteStorage(Component[SqliteArgs]):
    """Type ``sqlite``: all work in one thread, and so in the order asked."""

    Args = SqliteArgs

    def __init__(self, node: INode, name: str, args: SqliteArgs) -> None:
        super().__init__(node, name, args)
        self._path = node.resolve(args.path)
        self._lane = Lane(node.reactor, f"storage {name!r}")
        self._base: sqlite3.Connection | None = None

    def start(self) -> Deferred[None]:
        self._lane.start()
        return self._run(self._thd_open)

    def stop(self) -> Deferred[None]:
        closing = self._run(self._thd_close)
        return closing.addBoth(lambda _: self._lane.stop())

    def read(self, collection: str, key: str) -> Deferred[bytes]:
        return self._run(self._thd_read, collection, key)

    def write(
        self, collection: str, key: str, blob: bytes, tags: Iterable[str] = ()
    ) -> Deferred[None]:
        return self._run(self._thd_write, collection, key, blob, list(tags))

    def remove(self, collection: str, key: str) -> Deferred[None]:
        return self._run(self._thd_remove, collection, key)

    def find(self, collection: str, tags: Iterable[str]) -> Deferred[list[str]]:
        return self._run(self._thd_find, collection, list(tags))

    def _run(self, function: Callable[[*Ts], T], *args: *Ts) -> Deferred[T]:
        return self._lane.run(self._thd_guarded, function, *args)

    def _thd_guarded(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Let nothing out but ``StorageError``, as the interface demands."""
        try:
            return function(*args)
        except sqlite3.Error as error:
            raise StorageError(errno.EIO, f"{self._path}: {error}") from error

    @property
    def _open_base(self) -> sqlite3.Connection:
        if self._base is None:
            raise StorageError(errno.ESHUTDOWN, f"{self._path}: is not open")
        return self._base

    def _thd_open(self) -> None:
        self._base = sqlite3.connect(self._path, check_same_thread=False)
        self._base.executescript(SCHEMA)

    def _thd_close(self) -> None:
        base, self._base = self._base, None
        if base is not None:
            base.close()

    def _thd_read(self, collection: str, key: str) -> bytes:
        row = self._open_base.execute(
            "SELECT value FROM object WHERE collection = ? AND key = ?",
            (_bytes(collection), _bytes(key)),
        ).fetchone()
        if row is None:
            raise StorageError(
                errno.ENOENT, f"{collection}/{key}: No such file or directory"
            )
        return bytes(row[0])

    def _thd_write(
        self, collection: str, key: str, blob: bytes, tags: list[str]
    ) -> None:
        if len(blob) > MAX_OBJECT:
            raise StorageError(errno.EFBIG, f"{collection}/{key}: File too large")
        where, name = _bytes(collection), _bytes(key)
        # One transaction: the object and its tags, or nothing.
        with self._open_base as base:
            base.execute("REPLACE INTO object VALUES (?, ?, ?)", (where, name, blob))
            base.executemany(
                "INSERT OR IGNORE INTO tag VALUES (?, ?, ?)",
                [(where, _bytes(tag), name) for tag in tags],
            )

    def _thd_remove(self, collection: str, key: str) -> None:
        names = (_bytes(collection), _bytes(key))
        with self._open_base as base:
            base.execute("DELETE FROM object WHERE collection = ? AND key = ?", names)
            base.execute("DELETE FROM tag WHERE collection = ? AND key = ?", names)

    def _thd_find(self, collection: str, tags: list[str]) -> list[str]:
        found: set[bytes] | None = None
        for tag in tags:
            rows = self._open_base.execute(
                "SELECT key FROM tag WHERE collection = ? AND tag = ?",
                (_bytes(collection), _bytes(tag)),
            )
            keys = {bytes(row[0]) for row in rows}
            found = keys if found is None else found & keys
        return [key.decode("utf-8", "surrogateescape") for key in sorted(found or ())]
