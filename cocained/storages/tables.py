# -*- test-case-name: cocained.test.live.test_storages_postgres -*-
"""
The table under the storage ``postgres``: its statements, and how it comes to be.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import psycopg
from psycopg import errors, sql

#: Held while a table is made, so that nodes which start at one moment do it one
#: after the other.  Any number, but the same for all nodes.
LOCK = 0x636F6361696E65

#: What a table that is not whole makes of a statement.
_INCOMPLETE = (
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.InvalidColumnReference,
)


class Columns(NamedTuple):
    """The names of the original's columns."""

    collection: str
    key: str
    tags: str


class Table:
    """
    One table.

    :param name: of the table, possibly with that of a schema before a dot.
    :param columns: of the original.
    :param holds_blobs: whether blobs are in it, or tags only.
    :ivar read: takes collection and key, gives the blob.
    :ivar version: the same, gives the version.
    :ivar write: takes collection, key, tags as JSON, and if it holds blobs, the blob
        and the version.
    :ivar remove: takes collection and key.
    :ivar find: takes collection, tags as JSON, and how many keys at most.
    """

    def __init__(self, name: str, columns: Columns, holds_blobs: bool) -> None:
        self._identifier = sql.Identifier(*name.split("."))
        self._short = name.rpartition(".")[2]
        self._columns = columns
        self._holds_blobs = holds_blobs
        self._prepared = False
        self._lock = threading.Lock()
        alive = "AND blob IS NOT NULL" if holds_blobs else ""
        self.read = self._compose(
            f"SELECT blob FROM {{table}} WHERE {{c}} = %s AND {{k}} = %s {alive}"
        )
        self.version = self._compose(
            f"SELECT version FROM {{table}} WHERE {{c}} = %s AND {{k}} = %s {alive}"
        )
        self.remove = self._compose("DELETE FROM {table} WHERE {c} = %s AND {k} = %s")
        self.find = self._compose(
            "SELECT {k} FROM {table} WHERE {c} = %s AND {t} @> %s::text::jsonb"
            f" {alive} LIMIT %s"
        )
        self.write = self._upsert("%s, %s, %s::text::jsonb", "%b::bytea, %s")

    def _compose(self, text: str) -> sql.Composed:
        return sql.SQL(text).format(
            table=self._identifier,
            c=sql.Identifier(self._columns.collection),
            k=sql.Identifier(self._columns.key),
            t=sql.Identifier(self._columns.tags),
            key_index=sql.Identifier(f"{self._short}_key"),
            tags_index=sql.Identifier(f"{self._short}_tags"),
        )

    def _upsert(self, index: str, blob: str, where: str = "") -> sql.Composed:
        """
        Add tags, and replace the blob if this table holds it.

        The original replaces the tags, and names the columns of the conflict as
        if they could not be renamed.

        :param index: values of the original's columns.
        :param blob: values of ours.
        """
        columns, values, change = "{c}, {k}, {t}", index, ""
        if self._holds_blobs:
            columns, values = f"{columns}, blob, version", f"{index}, {blob}"
            change = ", blob = excluded.blob, version = excluded.version"
        return self._compose(
            f"INSERT INTO {{table}} AS old ({columns}) SELECT {values} {where}"
            " ON CONFLICT ({k}, {c}) DO UPDATE SET {t} ="
            " (SELECT coalesce(jsonb_agg(DISTINCT tag), '[]') FROM"
            " jsonb_array_elements(coalesce(old.{t}, '[]') || excluded.{t}) AS tag)"
            + change
        )

    def prepare(self, connection: psycopg.Connection[Any]) -> None:
        """
        See that the table is whole, or make it so; once in a life.

        Nothing is made of a table that has all it needs, so the user of the
        database needs no right to do it then.
        """
        with self._lock:
            if self._prepared:
                return
            if not self._is_whole(connection):
                with connection.transaction():
                    connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
                    self._make(connection)
            self._prepared = True

    def _is_whole(self, connection: psycopg.Connection[Any]) -> bool:
        """Try a write of no rows: it needs all that other writes need."""
        nothing = self._upsert(
            "'', '', '[]'::jsonb", "NULL::bytea, NULL::text", "WHERE false"
        )
        try:
            with connection.transaction():
                connection.execute(nothing)
        except _INCOMPLETE:
            return False
        return True

    def _make(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(
            self._compose(
                "CREATE TABLE IF NOT EXISTS {table} ({c} text NOT NULL,"
                " {k} text NOT NULL, {t} jsonb NOT NULL DEFAULT '[]',"
                " UNIQUE ({k}, {c}))"
            )
        )
        if self._holds_blobs:
            connection.execute(
                self._compose(
                    "ALTER TABLE {table} ADD COLUMN IF NOT EXISTS blob bytea,"
                    " ADD COLUMN IF NOT EXISTS version text"
                )
            )
        if not self._is_whole(connection):
            # A table of somebody's own, without the key that the original demands.
            connection.execute(
                self._compose("CREATE UNIQUE INDEX {key_index} ON {table} ({k}, {c})")
            )
        indexed = connection.execute(
            "SELECT 1 FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
            " JOIN pg_am ON pg_am.oid = relam"
            " WHERE indrelid = to_regclass(%s) AND amname = 'gin'",
            [self._identifier.as_string(connection)],
        )
        if indexed.fetchone() is None:
            connection.execute(
                self._compose("CREATE INDEX {tags_index} ON {table} USING gin ({t})")
            )
