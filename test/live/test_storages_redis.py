# -*- test-case-name: cocained.test.live.test_storages_redis -*-
"""
The storage ``redis`` on a real server.
"""

from __future__ import annotations

import uuid
from typing import Any

from typing_extensions import override

from cocained.storages.redis import RedisArgs, RedisStorage
from cocained.test.live.redis import shared
from cocained.test.live.storage_case import RemoteCase
from cocained.test.live.support import live_suite
from cocained.testing.contracts import SharedVersionContract, StorageContract

test_suite = live_suite(__name__)


class RedisCase(RemoteCase):
    """A storage with a prefix of its own."""

    @override
    def setUp(self) -> None:
        self.server = self.serve()
        self.prefix = uuid.uuid4().hex
        super().setUp()

    def serve(self) -> Any:
        """Give the server."""
        return shared()

    @override
    def make(self, **changes: Any) -> RedisStorage:
        values: dict[str, Any] = {
            "url": self.server.url,
            "prefix": self.prefix,
            "max_object": self.max_object,
            **changes,
        }
        return RedisStorage(self.node, "core", RedisArgs(**values))


class ContractTests(RedisCase, StorageContract, SharedVersionContract):
    """Objects in Redis keep the contract."""
