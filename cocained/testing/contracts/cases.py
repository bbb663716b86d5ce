# -*- test-case-name: cocained.test.test_storages -*-
# mypy: allow-untyped-calls
# (Assertions of trial have no types.)
"""
How tests of storages wait for answers, and look at them.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import StorageError

if TYPE_CHECKING:
    _Case = SynchronousTestCase
else:
    # Trial runs every test case that it finds in a module, imported or not.
    _Case = object


class StorageCase(_Case):
    """Waits for storages that answer at once and for those with a thread."""

    #: A :func:`~cocained.testing.stub_node`, which is less than a whole node.
    node: Any
    storage: Any

    def result_of(self, deferred: Deferred[Any]) -> Any:
        return self.successResultOf(self.node.reactor.wait_for(deferred))

    def error_of(self, deferred: Deferred[Any]) -> StorageError:
        failed = self.node.reactor.wait_for(deferred)
        error = self.failureResultOf(failed, StorageError).value
        assert isinstance(error, StorageError)
        return error

    def assert_refused(self, code: int, deferred: Deferred[Any]) -> StorageError:
        error = self.error_of(deferred)
        self.assertEqual(
            errno.errorcode[error.code], errno.errorcode[code], error.reason
        )
        self.assertEqual(int(error.category), 12)
        return error
