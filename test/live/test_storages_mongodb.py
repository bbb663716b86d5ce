# -*- test-case-name: cocained.test.live.test_storages_mongodb -*-
"""
The storage ``mongodb`` on what stands in for a server.
"""

from __future__ import annotations

import functools
import uuid
from typing import Any

from typing_extensions import override

from cocained.storages.mongodb import MongoArgs, MongoStorage
from cocained.test.live.mongodb import Mongo
from cocained.test.live.storage_case import RemoteCase
from cocained.test.live.support import live_suite
from cocained.testing.contracts import SharedVersionContract, StorageContract

test_suite = live_suite(__name__)


@functools.cache
def shared() -> Mongo:
    """Give the server that all tests of a run may share, and must not stop."""
    server = Mongo()
    server.start()
    return server


class MongoCase(RemoteCase):
    """A storage with a database of its own."""

    @override
    def setUp(self) -> None:
        self.server = self.serve()
        self.database = uuid.uuid4().hex
        super().setUp()
        self.node.reactor.callInThread = lambda function: function()

    def serve(self) -> Any:
        """Give the server."""
        return shared()

    @override
    def make(self, **changes: Any) -> MongoStorage:
        values: dict[str, Any] = {
            "uri": self.server.uri,
            "database": self.database,
            "max_object": self.max_object,
            **changes,
        }
        return MongoStorage(self.node, "core", MongoArgs(**values))


class ContractTests(MongoCase, StorageContract, SharedVersionContract):
    """Objects in GridFS keep the contract."""
