# -*- test-case-name: cocained.test.live.test_storages_postgres -*-
"""
The storage ``postgres`` on a real server.
"""

from __future__ import annotations

import uuid
from typing import Any

from typing_extensions import override

from cocained.storages.memory import MemoryArgs, MemoryStorage
from cocained.storages.postgres import PostgresArgs, PostgresStorage
from cocained.test.live.postgres import shared
from cocained.test.live.storage_case import RemoteCase
from cocained.test.live.support import live_suite
from cocained.testing.contracts import SharedVersionContract, StorageContract

test_suite = live_suite(__name__)


class PostgresCase(RemoteCase):
    """A storage with a table of its own."""

    @override
    def setUp(self) -> None:
        self.server = shared()
        self.table = f"t{uuid.uuid4().hex}"
        self.addCleanup(self.server.ask, "DROP TABLE IF EXISTS {}", self.table)
        super().setUp()

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
