# -*- test-case-name: cocained.test.test_storages_remote -*-
"""
Tests for :mod:`cocained.storages.remote` and :mod:`cocained.storages.lines`.
"""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cocained.errors import ConfigError, StorageError
from cocained.interfaces import IReporter
from cocained.storages import remote
from cocained.storages.lines import GRACE, Lost
from cocained.storages.reach import LONGEST_WAIT
from cocained.test.remote_storage import (
    DriverError,
    MemoryRemoteStorage,
    MemoryServer,
    UnknownError,
)
from cocained.testing import stub_node
from cocained.testing.contracts import (
    SharedVersionContract,
    StorageCase,
    StorageContract,
)
from cocained.testing.reactor import THREAD_TIMEOUT

#: What the driver's words mean in these tests.
WORDS = {
    "gone": Lost(errno.ECONNRESET, "the server has gone"),
    "refused": Lost(errno.ECONNREFUSED, "no server"),
    "slow": Lost(errno.ETIMEDOUT, "too slow"),
    "full": StorageError(errno.ENOSPC, "the server is full"),
    "password": StorageError(errno.EACCES, "wrong password"),
}


class RemoteCase(StorageCase, SynchronousTestCase):
    """A storage on a server in memory."""

    max_object = 100_000

    def setUp(self) -> None:
        self.node = stub_node()
        self.server = MemoryServer()
        self.storage = self.another()

    def build(self, **work: Any) -> MemoryRemoteStorage:
        return MemoryRemoteStorage(self.node, self.server, WORDS, **work)

    def another(self, **work: Any) -> Any:
        storage = self.build(**work)
        self.assertIsNone(self.result_of(storage.start()))
        self.addCleanup(self.close, storage)
        return storage

    def close(self, storage: Any) -> None:
        if self.server.gate is not None:
            self.server.gate.set()
        self.result_of(storage.stop())

    def wait_entered(self, count: int = 1) -> None:
        """Wait until so many calls have reached the server."""
        for _ in range(count):
            self.assertTrue(self.server.entered.acquire(timeout=THREAD_TIMEOUT))

    def forget_calls(self) -> None:
        self.server.calls.clear()
        while self.server.entered.acquire(blocking=False):
            pass


class ContractTests(RemoteCase, StorageContract, SharedVersionContract):
    """What all have in common keeps the contract."""


class CallTests(RemoteCase):
    """How calls reach the server, and their errors the caller."""

    def test_reads_run_side_by_side(self) -> None:
        """Two reads of two objects are under way at once."""
        gate = self.server.hold()
        self.forget_calls()
        reads = [self.storage.read("c", "a"), self.storage.read("c", "b")]
        self.wait_entered(2)
        gate.set()

        for read in reads:
            self.assert_refused(errno.ENOENT, read)

    def test_changes_do_not(self) -> None:
        """Two writes of two objects are not."""
        gate = self.server.hold()
        self.forget_calls()
        writes = [self.storage.write("c", key, b"") for key in ("a", "b")]
        self.wait_entered()
        self.assertEqual(self.server.calls, ["write a"])
        gate.set()

        for write in writes:
            self.assertIsNone(self.result_of(write))

    def test_read_beside_a_write(self) -> None:
        """A read of another object does not wait for a write."""
        gate = self.server.hold()
        self.forget_calls()
        write = self.storage.write("c", "a", b"")
        self.wait_entered()
        read = self.storage.read("c", "b")
        self.wait_entered()
        gate.set()

        self.assertIsNone(self.result_of(write))
        self.assert_refused(errno.ENOENT, read)

    def test_known_error(self) -> None:
        """The driver's error becomes ours, and the connection stays."""
        self.server.faults = [DriverError("full")]

        error = self.assert_refused(errno.ENOSPC, self.storage.write("c", "k", b"v"))

        self.assertEqual(error.reason, "the server is full")
        self.assertIsInstance(error.__cause__, DriverError)
        self.assertEqual(self.server.closed, 0)
        self.assertEqual(self.storage.report()["problem"], "")

    def test_unknown_error(self) -> None:
        """What nobody thought of is EIO, is logged, and ends the connection."""
        self.server.faults = [UnknownError("what?")]

        error = self.assert_refused(errno.EIO, self.storage.read("c", "k"))

        self.assertIn("what?", error.reason)
        self.assertEqual(len(self.flushLoggedErrors(UnknownError)), 1)
        self.assertEqual(self.server.closed, 1)

    def test_too_many(self) -> None:
        """More operations than may wait are refused, with the limit's name."""
        storage = self.another(max_load=3)
        gate = self.server.hold()
        waiting = [storage.read("c", str(number)) for number in range(3)]

        error = self.assert_refused(errno.EAGAIN, storage.read("c", "k"))

        self.assertIn("3 operations", error.reason)
        self.assertEqual(storage.report()["waiting"], 3)
        gate.set()
        for read in waiting:
            self.assert_refused(errno.ENOENT, read)
        self.assertEqual(storage.report()["waiting"], 0)

    def test_cancelled_read(self) -> None:
        """A read that has not begun never reaches the server."""
        gate = self.server.hold()
        self.forget_calls()
        write = self.storage.write("c", "k", b"v")
        read = self.storage.read("c", "k")
        self.wait_entered()
        read.cancel()
        self.failureResultOf(read, CancelledError)
        gate.set()

        self.assertIsNone(self.result_of(write))
        self.result_of(self.storage.find("c", ["t"]))
        self.assertEqual(self.server.calls, ["write k", "find"])

    def test_too_many_found(self) -> None:
        """An answer that is too large is refused, and says what to do."""
        self.patch(remote, "MAX_FOUND", 2)
        for key in "abc":
            self.result_of(self.storage.write("c", key, b"", ["t"]))

        error = self.assert_refused(errno.EOVERFLOW, self.storage.find("c", ["t"]))

        self.assertIn("narrower", error.reason)

    def test_long_collection(self) -> None:
        """A collection with too many parts is refused before the server sees it."""
        self.forget_calls()
        for asked in (
            self.storage.write("c/" * 600 + "c", "k", b"v"),
            self.storage.read("c/" * 600 + "c", "k"),
        ):
            self.assert_refused(errno.ENAMETOOLONG, asked)
        self.assertEqual(self.server.calls, [])


class LossTests(RemoteCase):
    """A server that goes away and comes back."""

    def test_tried_once_more(self) -> None:
        """A connection that was lost meanwhile is replaced, unnoticed."""
        for call in (
            self.storage.write("c", "k", b"v"),
            self.storage.read("c", "k"),
            self.storage.remove("c", "k"),
        ):
            self.server.faults = [DriverError("gone")]
            self.result_of(call)
        self.assertEqual(self.server.closed, self.server.opened - 1)

    def test_not_for_ever(self) -> None:
        """One that is lost at once again is an error."""
        self.server.faults = [DriverError("gone"), DriverError("gone")]

        self.assert_refused(errno.ECONNRESET, self.storage.read("c", "k"))

        self.assertEqual(self.server.faults, [])

    def test_refused_at_once(self) -> None:
        """While the server is known to be away nothing is asked of it."""
        self.lose()
        self.forget_calls()

        self.assert_refused(errno.ECONNREFUSED, self.storage.read("c", "k"))

        self.assertEqual(self.server.calls, [])
        self.assertEqual(self.storage.report()["problem"], "no server")

    def test_back(self) -> None:
        """When it is back it is found, and all works again."""
        self.lose()
        self.server.refusal = None
        self.node.reactor.advance(LONGEST_WAIT)
        self.node.reactor.pump_until(lambda: not self.storage.report()["problem"])

        self.assertIsNone(self.result_of(self.storage.write("c", "k", b"v")))

    def test_slow(self) -> None:
        """A time that ran out is told, and refuses nobody while all else works."""
        self.server.faults = [DriverError("slow")]

        self.assert_refused(errno.ETIMEDOUT, self.storage.read("c", "k"))

        self.assertEqual(self.storage.report()["problem"], "")
        self.assert_refused(errno.ENOENT, self.storage.read("c", "k"))

    def test_hangs(self) -> None:
        """A driver that keeps no time is interrupted."""
        storage = self.another(timeout=3.0)
        self.server.hold()
        self.forget_calls()
        read = storage.read("c", "k")
        self.wait_entered()
        self.node.reactor.advance(3.0 + GRACE)

        error = self.assert_refused(errno.ETIMEDOUT, read)

        self.assertIn("within 3 s", error.reason)

    def lose(self) -> None:
        self.server.faults = [DriverError("gone")]
        self.server.refusal = DriverError("refused")
        self.assert_refused(errno.ECONNREFUSED, self.storage.read("c", "k"))


class LifeTests(RemoteCase):
    """Start and stop."""

    def started(self) -> Deferred[None]:
        storage = self.build()
        self.addCleanup(self.close, storage)
        self.storage = storage
        return storage.start()

    def test_start_without_the_server(self) -> None:
        """A server that is away now does not keep the node from starting."""
        self.server.refusal = DriverError("refused")

        self.assertIsNone(self.result_of(self.started()))

        self.assertEqual(self.storage.report()["problem"], "no server")

    def test_start_in_vain(self) -> None:
        """What trying again does not mend ends the start."""
        self.server.refusal = DriverError("password")
        failed = self.started()

        self.node.reactor.wait_for(failed)
        error = self.failureResultOf(failed, ConfigError).value
        self.assertIn("wrong password", str(error))

    def test_start_broken(self) -> None:
        """So does an error that nobody thought of."""
        self.server.refusal = UnknownError("what?")

        failed = self.started()

        self.failureResultOf(self.node.reactor.wait_for(failed), ConfigError)
        self.assertEqual(len(self.flushLoggedErrors(UnknownError)), 1)

    def test_report(self) -> None:
        """It says how it is, with plain values."""
        verifyObject(IReporter, self.storage)

        self.assertEqual(
            self.storage.report(),
            {
                "engine": "memory",
                "connections": 1,
                "waiting": 0,
                "waiting-bytes": 0,
                "problem": "",
            },
        )

    def test_stop(self) -> None:
        """What runs ends, what waits fails, and connections are closed."""
        gate = self.server.hold()
        self.forget_calls()
        runs = self.storage.write("c", "a", b"v")
        waits = self.storage.write("c", "b", b"v")
        self.wait_entered()
        stopped = self.storage.stop()
        gate.set()

        self.assertIsNone(self.result_of(stopped))
        self.assertIsNone(self.result_of(runs))
        self.assert_refused(errno.ESHUTDOWN, waits)
        self.assertEqual(self.server.closed, self.server.opened)
        self.assert_refused(errno.ESHUTDOWN, self.storage.read("c", "k"))

    def test_stop_while_it_hangs(self) -> None:
        """A thread that does not end is left to itself."""
        self.server.hold()
        self.forget_calls()
        hangs = self.storage.write("c", "a", b"v")
        self.wait_entered()
        stopped = self.storage.stop()
        self.node.reactor.advance(6.0)
        self.node.reactor.advance(1.0)

        self.assertIsNone(self.result_of(stopped))
        self.assert_refused(errno.ETIMEDOUT, hangs)

    def test_stop_before_start(self) -> None:
        """One that was never started stops at once."""
        self.assertIsNone(self.successResultOf(self.build().stop()))

    def test_no_call_is_left(self) -> None:
        """After the stop no time is waited for."""
        self.server.faults = [DriverError("gone")]
        self.server.refusal = DriverError("refused")
        self.assert_refused(errno.ECONNREFUSED, self.storage.read("c", "k"))
        self.result_of(self.storage.stop())

        self.assertEqual(self.node.reactor.getDelayedCalls(), [])
