# -*- test-case-name: cocained.test.live.test_storages_postgres -*-
"""
Storages on real servers: built by a test, with threads that answer it.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import StorageError
from cocained.testing import stub_node
from cocained.testing.contracts import StorageCase

#: Seconds that a paused server is given by the storages of these tests.
SHORT = 1.0


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

    def settled(self, storage: Any = None) -> None:
        """Let time pass until the server is known to be reached again."""
        storage = storage or self.storage
        for _ in range(600):
            if not storage.report()["problem"]:
                return
            self.node.reactor.advance(1.0)
            attempt = storage._lines.run(lambda at: None)
            self.node.reactor.wait_for(attempt).addErrback(
                lambda failure: failure.trap(StorageError)
            )
        raise AssertionError(storage.report()["problem"])
