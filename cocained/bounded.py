# -*- test-case-name: cocained.test.test_bounded -*-
"""
A storage in front of another, which answers in time.

A disk that hangs, or a storage of somebody's own that forgets a call, must not
keep requests and starting apps waiting for ever.  The node puts this in front
of each of its storages.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

from cocained.errors import StorageError
from cocained.interfaces import IReporter, IStorage, IVersionedStorage

log = Logger()

T = TypeVar("T")


class _Wait(NamedTuple):
    """An operation that has not ended: until when, what it is, who does it."""

    until: float
    what: str
    inner: Deferred[Any]


@implementer(IStorage)
class BoundedStorage:
    """
    Passes all operations on and gives each of them the same time.

    One that takes longer fails with ``ETIMEDOUT``.  Whether it took effect is
    then unknown, as with a write that was asked for right before a node died.

    It provides ``IVersionedStorage`` and ``IReporter`` if the other one does.

    :param storage: who does the work.
    :param clock: the reactor's.
    :param seconds: for each operation, from when it is asked for.

    Source: ours; the original waits for ever.
    """

    def __init__(self, storage: IStorage, clock: IReactorTime, seconds: float) -> None:
        self.name = storage.name
        self._storage = storage
        self._clock = clock
        self._seconds = seconds
        # All have the same time, so they stand in the order of their ends.
        self._waits: dict[Deferred[Any], _Wait] = {}
        self._call: IDelayedCall | None = None
        for optional in (IVersionedStorage, IReporter):
            if optional.providedBy(storage):
                alsoProvides(self, optional)

    def start(self) -> Deferred[None] | None:
        return self._storage.start()

    def stop(self) -> Deferred[None] | None:
        return self._storage.stop()

    def read(self, collection: str, key: str) -> Deferred[bytes]:
        inner = self._storage.read(collection, key)
        # Most are there already, and cost no more than this look.
        if inner.called and not inner.paused:
            return inner
        return self._bound(inner, f"reading {collection}/{key}")

    def write(
        self, collection: str, key: str, blob: bytes, tags: Iterable[str] = ()
    ) -> Deferred[None]:
        inner = self._storage.write(collection, key, blob, tags)
        return self._bound(inner, f"writing {collection}/{key}")

    def remove(self, collection: str, key: str) -> Deferred[None]:
        inner = self._storage.remove(collection, key)
        return self._bound(inner, f"removing {collection}/{key}")

    def find(self, collection: str, tags: Iterable[str]) -> Deferred[list[str]]:
        inner = self._storage.find(collection, tags)
        return self._bound(inner, f"searching {collection}")

    def version(self, collection: str, key: str) -> Deferred[str]:
        """See ``IVersionedStorage``; ``ENOTSUP`` if the other one is none."""
        if not IVersionedStorage.providedBy(self._storage):
            return fail(
                StorageError(
                    errno.ENOTSUP, f"storage {self.name!r} tells no versions of objects"
                )
            )
        inner = IVersionedStorage(self._storage).version(collection, key)
        return self._bound(inner, f"asking for the version of {collection}/{key}")

    def report(self) -> Mapping[str, Any]:
        """See ``IReporter``; nothing if the other one is none."""
        if not IReporter.providedBy(self._storage):
            return {}
        return IReporter(self._storage).report()

    def _bound(self, inner: Deferred[T], what: str) -> Deferred[T]:
        def give_up(answer: Deferred[T]) -> None:
            del self._waits[answer]
            inner.cancel()

        answer: Deferred[T] = Deferred(give_up)
        until = self._clock.seconds() + self._seconds
        self._waits[answer] = _Wait(until, what, inner)
        if self._call is None:
            self._call = self._clock.callLater(self._seconds, self._expire)
        inner.addBoth(self._answered, answer)
        return answer

    def _answered(self, result: T | Failure, answer: Deferred[T]) -> None:
        # Nobody wants what comes after the time is over.
        if self._waits.pop(answer, None) is None:
            return
        if isinstance(result, Failure):
            answer.errback(result)
        else:
            answer.callback(result)

    def _expire(self) -> None:
        """Fail what is late, all of it with one line in the log."""
        self._call = None
        now = self._clock.seconds()
        late: list[tuple[Deferred[Any], _Wait]] = []
        for answer, wait in self._waits.items():
            if wait.until > now:
                break
            late.append((answer, wait))
        if late:
            log.warn(
                "storage {storage}: {what} has not ended within {seconds} s, nor"
                " have {count} others; look for a disk that hangs",
                storage=self.name,
                count=len(late) - 1,
                seconds=self._seconds,
                what=late[0][1].what,
            )
        for answer, wait in late:
            if self._waits.pop(answer, None) is not None:
                wait.inner.cancel()
                answer.errback(self._late(wait.what))
        self._watch(now)

    def _watch(self, now: float) -> None:
        """Come back when the next is late."""
        if self._call is None and self._waits:
            first = next(iter(self._waits.values()))
            self._call = self._clock.callLater(
                max(0.0, first.until - now), self._expire
            )

    def _late(self, what: str) -> StorageError:
        return StorageError(
            errno.ETIMEDOUT,
            f"storage {self.name!r}: {what} has not ended within"
            f" {self._seconds:g} s, and whether it took effect is unknown; look for"
            " a disk that hangs, or raise limits.storage",
        )
