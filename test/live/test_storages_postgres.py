# -*- test-case-name: cocained.test.live.test_storages_postgres -*-
"""
The storage ``postgres`` on a real server.
"""

from __future__ import annotations

import errno
import uuid
from typing import Any

from typing_extensions import override

from cocained.errors import ConfigError
from cocained.storages.memory import MemoryArgs, MemoryStorage
from cocained.storages.postgres import PostgresArgs, PostgresStorage
from cocained.test.live.postgres import USER, Postgres, shared
from cocained.test.live.storage_case import RemoteCase
from cocained.test.live.storage_faults import Faults
from cocained.test.live.support import live_suite
from cocained.testing.contracts import SharedVersionContract, StorageContract

test_suite = live_suite(__name__)


class PostgresCase(RemoteCase):
    """A storage with a table of its own."""

    @override
    def setUp(self) -> None:
        self.server = self.serve()
        self.table = f"t{uuid.uuid4().hex}"
        super().setUp()

    def serve(self) -> Postgres:
        """Give the server."""
        return shared()

    @override
    def make(self, **changes: Any) -> PostgresStorage:
        values: dict[str, Any] = {
            "connection_string": self.server.address(),
            "max_object": self.max_object,
            "pg_table_name": self.table,
            **changes,
        }
        return PostgresStorage(self.node, "core", PostgresArgs(**values))


class ContractTests(PostgresCase, StorageContract, SharedVersionContract):
    """Blobs and tags in one table keep the contract."""


class IndexContractTests(PostgresCase, StorageContract, SharedVersionContract):
    """So do tags in a table in front of another storage."""

    @override
    def setUp(self) -> None:
        self.blobs = None
        super().setUp()

    @override
    def make(self, **changes: Any) -> PostgresStorage:
        if self.blobs is None:
            args = MemoryArgs(max_object=self.max_object)
            self.blobs = MemoryStorage(self.node, "core", args)
            self.node.storage = lambda name: {"blobs": self.blobs}[name]
        return super().make(pg_underlying_storage="blobs", **changes)


class FaultTests(Faults, PostgresCase):
    """A server that fails."""

    make_server = Postgres

    @override
    def through(self, port: int) -> dict[str, Any]:
        return {"connection_string": self.server.address(port=port)}

    def test_sessions_are_ended(self) -> None:
        """A server that ends all sessions, as an administrator may, is not noticed."""
        self.outcome(self.storage.write("c", "k", b"v"))
        self.server.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'cocained'"
        )

        self.assertEqual(self.outcome(self.storage.read("c", "k")), b"v")

    def test_restarted(self) -> None:
        """A server that was restarted in between is not noticed either."""
        self.outcome(self.storage.write("c", "k", b"v"))
        self.server.stop()
        self.server.start()

        self.assertEqual(self.outcome(self.storage.read("c", "k")), b"v")

    def test_locked(self) -> None:
        """Somebody who locks the table makes operations fail in time."""
        storage = self.another(timeout=1.0)
        with self.server.connect() as connection, connection.transaction():
            connection.execute(f"LOCK TABLE {self.table}")
            error = self.outcome(storage.write("c", "k", b"v"))

        self.assertEqual(error.code, errno.ETIMEDOUT)
        self.assertEqual(storage.report()["problem"], "")
        self.assertIsNone(self.outcome(storage.write("c", "k", b"v")))


class AccessTests(PostgresCase):
    """Users, rights and names that do not fit."""

    def refused(self, **changes: Any) -> str:
        storage = self.make(**changes)
        self.addCleanup(self.close, storage)
        failed = self.node.reactor.wait_for(storage.start())
        return str(self.failureResultOf(failed, ConfigError).value)

    def user(self, rights: str = "") -> str:
        """Create a user with the password ``right``."""
        name = f"u{uuid.uuid4().hex}"
        self.server.ask("CREATE USER {} PASSWORD 'right'", name)
        if rights:
            self.server.ask(f"GRANT {rights} ON {{}} TO {{}}", self.table, name)
        return self.server.address(name)

    def test_wrong_password(self) -> None:
        """The node does not start, and hears why and where to set it."""
        text = self.refused(connection_string=f"{self.user()} password=wrong")

        self.assertIn("password authentication failed", text)
        self.assertIn("connection_string", text)
        self.assertNotIn("wrong", text.replace("wrong password", ""))

    def test_no_such_database(self) -> None:
        """Nor with a database that is not there."""
        text = self.refused(connection_string=self.server.address(database="nowhere"))

        self.assertIn('"nowhere" does not exist', text)

    def test_no_right_to_make_the_table(self) -> None:
        """Nor if the table is missing and may not be made."""
        address = f"{self.user()} password=right"

        self.assertIn(
            "permission denied",
            self.refused(connection_string=address, pg_table_name="lacking"),
        )

    def test_right_to_write_is_enough(self) -> None:
        """With the table there, rights on its rows are all that is needed."""
        address = self.user("SELECT, INSERT, UPDATE, DELETE")
        storage = self.another(connection_string=f"{address} password=right")

        self.assertIsNone(self.result_of(storage.write("c", "k", b"v", ["t"])))
        self.assertEqual(self.result_of(storage.find("c", ["t"])), ["k"])

    def test_bad_strings(self) -> None:
        """A connection string that is none is refused before anything starts."""
        for text in ("nonsense", "colour=red", "postgresql://a b"):
            with self.assertRaises(ConfigError) as caught:
                self.make(connection_string=text)
            self.assertEqual(caught.exception.path, "connection_string")

    def test_bad_values(self) -> None:
        """Values that are found wrong later end the start."""
        for text in ("host=127.0.0.1 port=x", "host=127.0.0.1 sslmode=maybe"):
            self.assertIn("connection_string", self.refused(connection_string=text))

    def test_under_itself(self) -> None:
        """A storage cannot hold its own blobs."""
        with self.assertRaises(ConfigError):
            self.make(pg_underlying_storage="core")


class TableTests(PostgresCase):
    """The table, as others see it."""

    def test_made_by_many_at_once(self) -> None:
        """Nodes that start at one moment make one table, and all can use it."""
        self.server.ask("DROP TABLE {}", self.table)
        storages = [self.make() for _ in range(8)]
        starts = []
        for storage in storages:
            self.addCleanup(self.close, storage)
            starts.append(storage.start())
        for start in starts:
            self.assertIsNone(self.result_of(start))
        for number, storage in enumerate(storages):
            self.result_of(storage.write("c", str(number), b"v", ["t"]))

        self.assertEqual(len(self.result_of(storages[0].find("c", ["t"]))), 8)

    def test_indexes(self) -> None:
        """It has the unique key and the index of the tags, each once."""
        for _ in range(2):
            self.another()
        rows = self.server.ask(
            f"SELECT indexdef FROM pg_indexes WHERE tablename = '{self.table}'"
        )

        self.assertEqual(len(rows), 2)
        self.assertEqual(sum("USING gin (tags)" in str(row) for row in rows), 1)
        self.assertEqual(sum("(key, collection)" in str(row) for row in rows), 1)

    def index_of_original(self) -> tuple[PostgresStorage, MemoryStorage]:
        """Make the table as its administrators were told to, with other names."""
        self.server.ask("DROP TABLE {}", self.table)
        self.server.ask(
            "CREATE TABLE {} (ns text, id text, marks jsonb, UNIQUE (ns, id))",
            self.table,
        )
        blobs = MemoryStorage(self.node, "blobs")
        self.node.storage = lambda name: {"blobs": blobs}[name]
        storage = self.another(
            pg_underlying_storage="blobs",
            pg_collection_column="ns",
            pg_key_column="id",
            pg_tags_column="marks",
        )
        return storage, blobs

    def test_table_of_the_original(self) -> None:
        """An index of the original is used as it is, with renamed columns too."""
        storage, blobs = self.index_of_original()
        self.server.ask(
            "INSERT INTO {} VALUES ('apps', 'old', '[\"APPS\"]')", self.table
        )
        self.result_of(storage.write("apps", "new", b"v", ["APPS"]))
        self.result_of(storage.write("apps", "new", b"w", ["more"]))

        self.assertEqual(self.result_of(storage.find("apps", ["APPS"])), ["new", "old"])
        rows = self.server.ask("SELECT * FROM {} WHERE id = 'new'", self.table)
        self.assertEqual(rows, [("apps", "new", ["APPS", "more"])])
        self.assertEqual(self.result_of(blobs.read("apps", "new")), b"w")
        self.assertEqual(self.result_of(blobs.find("apps", ["APPS"])), [])

    def test_underlying_fails(self) -> None:
        """A blob that its storage does not take gets no tags."""
        storage, blobs = self.index_of_original()
        self.assert_refused(errno.EISDIR, blobs.read("", "k"))
        self.result_of(blobs.write("c/k", "nested", b"v"))

        self.assert_refused(errno.EISDIR, storage.write("c", "k", b"v", ["t"]))

        self.assertEqual(self.result_of(storage.find("c", ["t"])), [])

    def test_one_becomes_the_other(self) -> None:
        """A table that was an index takes blobs, and what has none is not found."""
        self.server.ask("DROP TABLE {}", self.table)
        self.server.ask(
            "CREATE TABLE {} (collection text, key text, tags jsonb,"
            " UNIQUE (key, collection))",
            self.table,
        )
        self.server.ask("INSERT INTO {} VALUES ('c', 'old', '[\"t\"]')", self.table)
        storage = self.another()

        self.assertEqual(self.result_of(storage.find("c", ["t"])), [])
        self.assert_refused(errno.ENOENT, storage.read("c", "old"))
        self.assert_refused(errno.ENOENT, storage.version("c", "old"))
        self.result_of(storage.write("c", "old", b"v"))
        self.assertEqual(self.result_of(storage.find("c", ["t"])), ["old"])

    def test_names_that_are_statements(self) -> None:
        """Names of tables and columns are never taken for more than names."""
        name = "x'; DROP TABLE y; --\""
        self.table = name[:20]
        storage = self.another(pg_table_name=self.table, pg_key_column=name)
        self.addCleanup(self.server.ask, "DROP TABLE {}", self.table)

        self.result_of(storage.write("c'", "k'\"", b"v", ["t'"]))

        self.assertEqual(self.result_of(storage.find("c'", ["t'"])), ["k'\""])
        self.assertEqual(self.server.connect().info.user, USER)
