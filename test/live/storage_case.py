# -*- test-case-name: cocained.test.live.test_storages_postgres -*-
"""
Storages on real servers: built by a test, with threads that answer it.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.testing import stub_node
from cocained.testing.contracts import StorageCase


class RemoteCase(StorageCase, SynchronousTestCase):
    """A started storage, and more of its kind on the same objects."""

    #: Bytes of the largest object, as the contract wants it.
    max_object = 100_000

    def setUp(self) -> None:
        self.node = stub_node()
        self.storage = self.another()

    def make(self, **changes: Any) -> Any:
        """Build a storage on this test's part of the server."""
        raise NotImplementedError

    def another(self, **changes: Any) -> Any:
        """Build one and start it."""
        storage = self.make(**changes)
        self.addCleanup(self.close, storage)
        self.assertIsNone(self.result_of(storage.start()))
        return storage

    def close(self, storage: Any) -> None:
        self.result_of(storage.stop())
