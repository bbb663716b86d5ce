# -*- test-case-name: cocained.test.live.test_storages_postgres -*-
"""
The storage ``postgres``: objects in a table, or only their tags.

Without ``pg_underlying_storage`` the table holds everything, and each change is
one transaction.  With it, blobs lie in that other storage, and the table is the
index of their tags, laid out as the original's (plugins.md §6.3)::

    cocaine_index(collection, key, tags jsonb, blob bytea, version text)
                  └── unique ──┘   └ GIN

``blob`` and ``version`` are ours, and null in a row that is only an index.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import uuid
from collections.abc import Callable, Iterable
from typing import Annotated, TypeVar

import msgspec
import psycopg
from msgspec import Meta
from twisted.internet.defer import Deferred, fail
from typing_extensions import override

from cocained.errors import ConfigError, StorageError
from cocained.interfaces import INode, IStorage
from cocained.storages.lines import Lost
from cocained.storages.names import MAX_FOUND, Intent
from cocained.storages.remote import Connection, MaxLoad, RemoteStorage, Threads, Work
from cocained.storages.tables import Columns, Table
from cocained.storages.texts import from_text, to_text
from cocained.versions import version_of

T = TypeVar("T")

#: Default of ``max_object``.  A value has 1 GiB in PostgreSQL, and one of a
#: quarter of that is copied a few times on its way.
MAX_OBJECT = 1 << 28

#: Default of ``max_load``: the original's.
MAX_LOAD = 1000

#: What SQLSTATE classes and codes say, as ``errno`` values; the longest that fits.
_CODES = {
    "28": errno.EACCES,
    "42501": errno.EACCES,
    "25006": errno.EROFS,
    "3D000": errno.ENOENT,
    "54": errno.ENAMETOOLONG,
    "53100": errno.ENOSPC,
    "53": errno.EAGAIN,
    "57014": errno.ETIMEDOUT,
    "55P03": errno.ETIMEDOUT,
    "08": errno.ECONNRESET,
    "57P": errno.ECONNREFUSED,
    "40": errno.EAGAIN,
}

#: Codes that go away by themselves: too many connections, a server that starts or
#: stops, one that is a copy until it takes over.
_PASSING = ("53300", "57P", "08", "25006")

#: What the client library says, and what that means.
_WORDS = (
    (
        ("password authentication failed", "no password supplied", "no pg_hba.conf"),
        StorageError,
        errno.EACCES,
        "set user and password in connection_string, or in ~/.pgpass",
    ),
    (
        ("does not exist",),
        StorageError,
        errno.ENOENT,
        "create it, or name another in connection_string",
    ),
    (
        ("invalid integer", "invalid port", "invalid sslmode", "SSL was required"),
        StorageError,
        errno.EINVAL,
        "correct connection_string",
    ),
    (
        ("timeout expired",),
        Lost,
        errno.ETIMEDOUT,
        "see whether the server runs and the network lets it be reached",
    ),
    (
        ("Connection refused", "No such file or directory"),
        Lost,
        errno.ECONNREFUSED,
        "see whether the server runs, and whether connection_string names it",
    ),
    (
        ("could not translate host name", "No route to host", "unreachable"),
        Lost,
        errno.EHOSTUNREACH,
        "see whether connection_string names the host, and the network",
    ),
)


class PostgresArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of the storage type ``postgres``."""

    connection_string: Annotated[
        str,
        Meta(
            description="Where the server is, as libpq has it: ``host=db dbname=cocaine"
            " user=cocaine`` or ``postgresql://cocaine@db/cocaine``. What is not said"
            " comes from the ``PG…`` variables and from ``~/.pgpass``.",
        ),
    ] = ""
    pool_size: Threads = 4
    max_load: MaxLoad = MAX_LOAD
    timeout: Annotated[
        float,
        Meta(
            ge=1,
            le=3600,
            description="Seconds for connecting, and for each answer of the server. "
            "Keep it below ``limits.storage``.",
        ),
    ] = 10.0
    max_object: Annotated[
        int,
        Meta(ge=1, le=1 << 29, description="Bytes of the largest object."),
    ] = MAX_OBJECT
    pg_underlying_storage: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="Name of the storage that holds the blobs; without it they"
            " are in the table, too.",
        ),
    ] = None
    pg_table_name: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=50,
            description="The table, made if it is missing; ``schema.table`` is"
            " one of a schema.",
        ),
    ] = "cocaine_index"
    pg_collection_column: Annotated[
        str, Meta(min_length=1, max_length=63, description="Column of collections.")
    ] = "collection"
    pg_key_column: Annotated[
        str, Meta(min_length=1, max_length=63, description="Column of keys.")
    ] = "key"
    pg_tags_column: Annotated[
        str, Meta(min_length=1, max_length=63, description="Column of tags.")
    ] = "tags"


class PostgresConnection:
    """
    One connection, blocking.

    :param connection: of the driver, in its autocommit mode.
    :param table: what is asked.
    """

    def __init__(
        self, connection: psycopg.Connection[tuple[object, ...]], table: Table
    ) -> None:
        self._connection = connection
        self._table = table
        # A descriptor of our own: the driver's may be closed, and given to another
        # connection, at any time.
        self._socket = socket.socket(fileno=os.dup(connection.fileno()))

    def read(self, collection: str, key: str) -> bytes | None:
        row = self._row(self._table.read, [to_text(collection), to_text(key)])
        if row is None:
            return None
        assert isinstance(row[0], bytes)
        return row[0]

    def version(self, collection: str, key: str) -> str | None:
        row = self._row(self._table.version, [to_text(collection), to_text(key)])
        return None if row is None else str(row[0])

    def write(self, collection: str, key: str, blob: bytes, tags: list[str]) -> None:
        self._write(collection, key, tags, blob, uuid.uuid4().hex)

    def index(self, collection: str, key: str, tags: list[str]) -> None:
        """Add tags to an object that lies elsewhere."""
        self._write(collection, key, tags)

    def remove(self, collection: str, key: str) -> None:
        self._connection.execute(
            self._table.remove, [to_text(collection), to_text(key)]
        )

    def find(self, collection: str, tags: list[str]) -> Iterable[str]:
        values = [to_text(collection), _listed(tags), MAX_FOUND + 1]
        rows = self._connection.execute(self._table.find, values, binary=True)
        return [from_text(str(key)) for (key,) in rows]

    def ping(self) -> None:
        self._connection.execute("SELECT 1")

    def close(self) -> None:
        self._socket.close()
        self._connection.close()

    def interrupt(self) -> None:
        """Cut the connection: the driver waits for its server without a limit."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _row(
        self, query: psycopg.sql.Composed, values: list[str]
    ) -> tuple[object, ...] | None:
        return self._connection.execute(query, values, binary=True).fetchone()

    def _write(self, collection: str, key: str, tags: list[str], *blob: object) -> None:
        values = [to_text(collection), to_text(key), _listed(tags), *blob]
        self._connection.execute(self._table.write, values)


def _listed(tags: list[str]) -> str:
    return msgspec.json.encode([to_text(tag) for tag in tags]).decode()


class PostgresStorage(RemoteStorage[PostgresArgs]):
    """Objects in PostgreSQL, or their tags there and the blobs elsewhere."""

    Args = PostgresArgs
    engine = "PostgreSQL"

    def __init__(self, node: INode, name: str, args: PostgresArgs) -> None:
        work = Work(
            threads=args.pool_size,
            max_object=args.max_object,
            max_load=args.max_load,
            timeout=args.timeout,
        )
        super().__init__(node, name, args, work)
        columns = Columns(
            args.pg_collection_column, args.pg_key_column, args.pg_tags_column
        )
        self._holds_blobs = args.pg_underlying_storage is None
        self._table = Table(args.pg_table_name, columns, self._holds_blobs)
        self._underlying: IStorage | None = None
        try:
            given = psycopg.conninfo.conninfo_to_dict(args.connection_string)
        except psycopg.ProgrammingError as error:
            raise ConfigError(
                f"connection_string is none: {str(error).strip()}; write"
                " 'host=… dbname=… user=…' or 'postgresql://user@host/dbname'",
                path="connection_string",
            ) from error
        if args.pg_underlying_storage == name:
            raise ConfigError(
                f"storage {name!r} cannot lie under itself; name another",
                path="pg_underlying_storage",
            )
        milliseconds = round(args.timeout * 1000)
        self._settings: dict[str, object] = {
            "connect_timeout": max(2, round(args.timeout)),
            "application_name": "cocained",
            # A server that stopped without a word is noticed by its silence.
            "tcp_user_timeout": milliseconds,
            "keepalives_idle": 30,
            **given,
            "options": f"{given.get('options', '')} "
            f"-c statement_timeout={milliseconds}ms -c lock_timeout={milliseconds}ms",
        }

    @override
    def start(self) -> Deferred[None]:
        if self.args.pg_underlying_storage is not None:
            # Not before: storages are built in the order of their names.
            self._underlying = self.node.storage(self.args.pg_underlying_storage)
        return super().start()

    @override
    def _connect(self) -> PostgresConnection:
        connection = psycopg.connect("", autocommit=True, **self._settings)  # type: ignore[arg-type]
        try:
            self._table.prepare(connection)
        except BaseException:
            connection.close()
            raise
        return PostgresConnection(connection, self._table)

    @override
    def _translate(self, error: Exception) -> StorageError | None:
        if not isinstance(error, psycopg.Error):
            return None
        words = " ".join(str(error).split())
        state = error.sqlstate or ""
        text = f"storage {self.name!r}: PostgreSQL says: {words}"
        fitting = [known for known in _CODES if known and state.startswith(known)]
        if not state:
            return self._translate_lost(error, words, text)
        code = _CODES[max(fitting, key=len)] if fitting else errno.EIO
        if state.startswith(_PASSING):
            return Lost(code, text)
        return StorageError(code, text)

    def _translate_lost(
        self, error: psycopg.Error, words: str, text: str
    ) -> StorageError | None:
        """Errors without a code are those of the client library."""
        if not isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
            return StorageError(errno.EIO, text)
        for phrases, kind, code, remedy in _WORDS:
            if any(phrase in words for phrase in phrases):
                return kind(code, f"{text}; {remedy}")
        return Lost(errno.ECONNRESET, text)

    # With the blobs in another storage

    @override
    def read(self, collection: str, key: str) -> Deferred[bytes]:
        underlying = self._underlying
        if underlying is None:
            return super().read(collection, key)
        return self._look_under(
            collection, key, lambda: underlying.read(collection, key)
        )

    @override
    def version(self, collection: str, key: str) -> Deferred[str]:
        underlying = self._underlying
        if underlying is None:
            return super().version(collection, key)
        return self._look_under(
            collection, key, lambda: version_of(underlying, collection, key)
        )

    def _look_under(
        self, collection: str, key: str, start: Callable[[], Deferred[T]]
    ) -> Deferred[T]:
        try:
            self._check(collection, key, Intent.READ)
        except StorageError as error:
            return fail(error)
        return self._run([(collection, key)], start)

    @override
    def _begin_write(
        self, collection: str, key: str, blob: bytes, tags: list[str]
    ) -> Deferred[None]:
        if self._underlying is None:
            return super()._begin_write(collection, key, blob, tags)
        # First the object: a tag must never find what is not there.
        written = self._underlying.write(collection, key, blob)
        return written.addCallback(
            lambda ignored: self._ask(lambda at: _index(at, collection, key, tags))
        )

    @override
    def _begin_remove(self, collection: str, key: str) -> Deferred[None]:
        underlying = self._underlying
        if underlying is None:
            return super()._begin_remove(collection, key)
        # The original removes the object first; killed in between, it finds it
        # for ever.
        removed = super()._begin_remove(collection, key)
        return removed.addCallback(lambda ignored: underlying.remove(collection, key))


def _index(at: Connection, collection: str, key: str, tags: list[str]) -> None:
    assert isinstance(at, PostgresConnection)
    at.index(collection, key, tags)
