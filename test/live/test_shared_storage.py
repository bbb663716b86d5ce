# -*- test-case-name: cocained.test.live.test_shared_storage -*-
"""
Nodes on a database that they share: the storage alone makes them do the same.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from cocained.test.live import postgres, redis
from cocained.test.live.support import live_suite
from cocained.test.live.test_rollover import SharedStorageCase


class PostgresTests(SharedStorageCase):
    """Two nodes whose core is a table in PostgreSQL."""

    @override
    def core(self) -> Mapping[str, Any]:
        return {
            "type": "postgres",
            "args": {
                "path": None,
                "connection_string": postgres.shared().address(),
                "pg_table_name": f"t{uuid.uuid4().hex}",
            },
        }

    def test_everywhere(self) -> None:
        """Both run what the runlist in the database says (row 147)."""
        self.assert_same_everywhere()


class RedisTests(SharedStorageCase):
    """Two nodes whose core is a Redis."""

    @override
    def core(self) -> Mapping[str, Any]:
        return {
            "type": "redis",
            "args": {
                "path": None,
                "url": redis.shared().url,
                "prefix": uuid.uuid4().hex,
            },
        }

    def test_everywhere(self) -> None:
        """Both run what the runlist in the database says (row 147)."""
        self.assert_same_everywhere()


test_suite = live_suite(__name__)
