# -*- test-case-name: cocained.test.live.test_storages_s3 -*-
"""
The storage ``s3`` on a store that speaks the protocol.
"""

from __future__ import annotations

import uuid
from typing import Any

from typing_extensions import override

from cocained.storages.s3 import S3Args, S3Storage
from cocained.test.live.s3 import BUCKET, shared
from cocained.test.live.storage_case import RemoteCase
from cocained.test.live.support import live_suite
from cocained.testing.contracts import SharedVersionContract, StorageContract

test_suite = live_suite(__name__)


class S3Case(RemoteCase):
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
    def make(self, **changes: Any) -> S3Storage:
        values: dict[str, Any] = {
            "endpoint_url": self.server.url,
            "bucket": BUCKET,
            "prefix": self.prefix,
            "region": "us-east-1",
            "access_key_id": "key",
            "secret_access_key": "secret",
            "max_object": self.max_object,
            **changes,
        }
        return S3Storage(self.node, "core", S3Args(**values))


class ContractTests(S3Case, StorageContract, SharedVersionContract):
    """Objects in a bucket keep the contract."""
