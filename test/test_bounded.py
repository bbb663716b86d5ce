# -*- test-case-name: cocained.test.test_bounded -*-
"""Tests for :mod:`cocained.bounded`."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from cocained.bounded import BoundedStorage
from cocained.errors import StorageError
from cocained.interfaces import IReporter, IStorage, IVersionedStorage
from cocained.storages.memory import MemoryArgs, MemoryStorage
from cocained.testing import stub_node
from cocained.testing.contracts import NameSpaceContract, VersionContract


@implementer(IStorage)
class SilentStorage:
    """A storage that answers when the test says so."""

    name = "core"

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.answers: list[Deferred[object]] = []
        self.cancelled = 0

    def _ask(self, *call: object) -> Deferred[object]:
        self.asked.append(call)
        self.answers.append(Deferred(self._cancel))
        return self.answers[-1]

    def _cancel(self, answer: Deferred[object]) -> None:
        self.cancelled += 1

    def start(self) -> None:
        self.asked.append(("start",))

    def stop(self) -> None:
        self.asked.append(("stop",))

    def read(self, collection: str, key: str) -> Deferred[bytes]:
        return self._ask("read", collection, key)  # type: ignore[return-value]

    def write(
        self, collection: str, key: str, blob: bytes, tags: Iterable[str] = ()
    ) -> Deferred[None]:
        call = self._ask("write", collection, key, blob, list(tags))
        return call  # type: ignore[return-value]

    def remove(self, collection: str, key: str) -> Deferred[None]:
        return self._ask("remove", collection, key)  # type: ignore[return-value]

    def find(self, collection: str, tags: Iterable[str]) -> Deferred[list[str]]:
        return self._ask("find", collection, list(tags))  # type: ignore[return-value]


class ContractTests(NameSpaceContract, VersionContract, SynchronousTestCase):
    """In front of a storage that works it changes nothing."""

    def setUp(self) -> None:
        self.node = stub_node()
        args = MemoryArgs(max_object=self.max_object, max_total=1_000_000)
        memory = MemoryStorage(self.node, "core", args)
        self.storage: Any = BoundedStorage(memory, Clock(), 1)


@implementer(IVersionedStorage, IReporter)
class SilentVersions(SilentStorage):
    """One that also tells versions, and how it is."""

    def version(self, collection: str, key: str) -> Deferred[str]:
        return self._ask("version", collection, key)  # type: ignore[return-value]

    def report(self) -> Mapping[str, Any]:
        return {"problem": "silent"}


class BoundedStorageTests(SynchronousTestCase):
    """In front of a storage that is slow, or hangs."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.inner = SilentStorage()
        self.storage = BoundedStorage(self.inner, self.clock, 10)

    def assert_late(self, answer: Deferred[Any]) -> StorageError:
        error = self.failureResultOf(answer, StorageError).value
        assert isinstance(error, StorageError)
        self.assertEqual(error.code, errno.ETIMEDOUT)
        return error

    def test_interface(self) -> None:
        """It is a storage."""
        verifyObject(IStorage, self.storage)

    def test_no_more_than_the_other(self) -> None:
        """In front of a storage without versions there are none."""
        self.assertFalse(IVersionedStorage.providedBy(self.storage))
        self.assertFalse(IReporter.providedBy(self.storage))
        error = self.failureResultOf(self.storage.version("c", "k"), StorageError).value
        self.assertEqual(error.code, errno.ENOTSUP)
        self.assertEqual(self.storage.report(), {})

    def test_as_much_as_the_other(self) -> None:
        """In front of one with versions and reports there are both."""
        inner = SilentVersions()
        storage = BoundedStorage(inner, self.clock, 10)
        verifyObject(IVersionedStorage, storage)
        verifyObject(IReporter, storage)

        self.assertEqual(storage.report(), {"problem": "silent"})
        answer = storage.version("c", "k")
        self.assertEqual(inner.asked, [("version", "c", "k")])
        self.clock.advance(10)
        self.assertIn("version of c/k", self.assert_late(answer).reason)

    def test_passes_on(self) -> None:
        """Whatever is asked of it is asked of the other."""
        self.storage.start()
        self.storage.read("c", "k")
        self.storage.write("c", "k", b"v", ["t"])
        self.storage.remove("c", "k")
        self.storage.find("c", ["t"])
        self.storage.stop()
        self.assertEqual(
            self.inner.asked,
            [
                ("start",),
                ("read", "c", "k"),
                ("write", "c", "k", b"v", ["t"]),
                ("remove", "c", "k"),
                ("find", "c", ["t"]),
                ("stop",),
            ],
        )

    def test_answer(self) -> None:
        """An answer in time is given as it is, and no timer is left."""
        answer = self.storage.read("c", "k")
        self.clock.advance(9.9)
        self.inner.answers[0].callback(b"v")
        self.assertEqual(self.successResultOf(answer), b"v")
        self.clock.advance(0.1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_error(self) -> None:
        """So is an error."""
        answer = self.storage.remove("c", "k")
        error = StorageError(errno.EROFS, "read-only")
        self.inner.answers[0].errback(error)
        self.assertIs(self.failureResultOf(answer, StorageError).value, error)

    def test_at_once(self) -> None:
        """An answer that is there already costs no timer."""
        self.inner._ask = lambda *call: succeed(b"v")  # type: ignore[method-assign]
        self.assertEqual(self.successResultOf(self.storage.read("c", "k")), b"v")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late(self) -> None:
        """What takes longer fails, says what it was, and is cancelled."""
        answer = self.storage.write("c", "k", b"v")
        self.clock.advance(9.9)
        self.assertNoResult(answer)
        self.clock.advance(0.1)
        error = self.assert_late(answer)
        self.assertIn("writing c/k", error.reason)
        self.assertIn("limits.storage", error.reason)
        self.assertEqual(self.inner.cancelled, 1)

    def test_later(self) -> None:
        """What comes after that is dropped."""
        inner: Deferred[object] = Deferred(lambda answer: answer.callback(b"too late"))
        self.inner._ask = lambda *call: inner  # type: ignore[method-assign]
        answer = self.storage.find("c", ["t"])
        self.clock.advance(10)
        self.assert_late(answer)

    def test_each_has_its_time(self) -> None:
        """Operations are late one by one, though there is one timer."""
        first = self.storage.read("c", "1")
        self.clock.advance(4)
        second = self.storage.read("c", "2")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(6)
        self.assert_late(first)
        self.assertNoResult(second)
        self.clock.advance(4)
        self.assert_late(second)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_asked_again_at_once(self) -> None:
        """Who asks again from within an error has the whole time again."""
        again: list[Deferred[bytes]] = []
        first = self.storage.read("c", "k")
        first.addErrback(lambda _: again.append(self.storage.read("c", "k")))
        self.clock.advance(10)
        self.clock.advance(9.9)
        self.assertNoResult(again[0])
        self.clock.advance(0.1)
        self.assert_late(again[0])

    def test_cancel(self) -> None:
        """Who cancels cancels the operation, and hears nothing more."""
        answer = self.storage.read("c", "k")
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual(self.inner.cancelled, 1)
        self.clock.advance(10)
        self.assertEqual(self.clock.getDelayedCalls(), [])
