# -*- test-case-name: cocained_annex.test.test_sqlite -*-
"""
The storage ``sqlite``: all objects in one file.

One file is easy to copy, to move and to look into.  All work is done in a
:class:`~cocained.lane.Lane`, one thread that keeps the order of the requests,
and so the reactor never waits for the disk.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Iterable
from typing import Annotated, TypeVar, TypeVarTuple

import msgspec
from cocained.component import Component
from cocained.errors import ConfigError, StorageError
from cocained.interfaces import INode, IStorage
from cocained.lane import STOP_TIMEOUT, Lane
from cocained.storages.changes import Changes
from cocained.storages.names import take_tags
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from cocained_annex.database import Database, refusal

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Default of ``max-object``: far above any app archive.
MAX_OBJECT = 1 << 28

#: Bytes of what SQLite takes in one row, less its names.
SQLITE_LIMIT = 999_000_000

log = Logger()


class SqliteArgs(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"
):
    """Arguments of the storage ``sqlite``."""

    path: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            description="The file, on a local disk; created if missing, as is its"
            " directory. Two more appear beside it while the node runs.",
        ),
    ]
    max_object: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            le=SQLITE_LIMIT,
            description="Bytes of the largest object; default 256 MiB.",
        ),
    ] = MAX_OBJECT


@implementer(IStorage)
class SqliteStorage(Component[SqliteArgs]):
    """
    Type ``sqlite``.

    A write or a removal that was asked for takes place even if its Deferred is
    cancelled; a read or find that has not begun is skipped.
    """

    Args = SqliteArgs

    def __init__(self, node: INode, name: str, args: SqliteArgs) -> None:
        super().__init__(node, name, args)
        self._database = Database(node.resolve(args.path), args.max_object)
        self._lane = Lane(node.reactor, f"storage {name!r}")
        self._changes = Changes(self._run, name)

    @override
    def start(self) -> Deferred[None]:
        """
        Open the file.

        :returns: fires when it is there; fails with ``ConfigError``.
        """
        self._lane.start()
        return self._run(self._database.open).addErrback(self._eb_open)

    def _eb_open(self, failure: Failure) -> None:
        raise ConfigError(
            f"storage {self.name!r} cannot be opened: {failure.getErrorMessage()}",
            path="path",
        ) from failure.value

    @override
    def stop(self) -> Deferred[None]:
        """
        Finish what has been asked for, close the file, end the thread.

        :returns: fires after twice ``STOP_TIMEOUT`` at the latest.
        """
        closing = self._run(self._database.close)
        closing.addTimeout(STOP_TIMEOUT, self.node.reactor)
        closing.addErrback(self._eb_close)
        return closing.addCallback(lambda _: self._lane.stop())

    def _eb_close(self, failure: Failure) -> None:
        # Nothing is lost: the next open takes what is in the log.
        log.warn(
            "storage {storage} was not closed in order: {error}",
            storage=self.name,
            error=failure.value,
        )

    def read(self, collection: str, key: str) -> Deferred[bytes]:
        return self._run(self._database.read, collection, key)

    def write(
        self, collection: str, key: str, blob: bytes, tags: Iterable[str] = ()
    ) -> Deferred[None]:
        try:
            names = take_tags(tags)
        except StorageError as error:
            return fail(error)
        # A copy: the caller may use its buffer again.
        return self._changes.run(
            len(blob), self._database.write, collection, key, bytes(blob), names
        )

    def remove(self, collection: str, key: str) -> Deferred[None]:
        return self._changes.run(0, self._database.remove, collection, key)

    def find(self, collection: str, tags: Iterable[str]) -> Deferred[list[str]]:
        try:
            names = take_tags(tags)
        except StorageError as error:
            return fail(error)
        return self._run(self._database.find, collection, names)

    def _run(self, function: Callable[[*Ts], T], *args: *Ts) -> Deferred[T]:
        return self._lane.run(self._thd_guard, function, *args)

    def _thd_guard(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Let nothing out but ``StorageError``, as the interface demands."""
        try:
            return function(*args)
        except StorageError:
            raise
        except sqlite3.Error as error:
            raise refusal(self._database.path, error) from error
        except Exception as error:
            log.failure("storage {storage}: an operation broke", storage=self.name)
            raise StorageError(
                errno.EIO, f"storage {self.name!r}: {type(error).__name__}: {error}"
            ) from error
