# -*- test-case-name: cocained.test.test_storages -*-
"""
What the storages with a thread have in common: how they run their changes.

Also for storages of third parties (``docs/extending.rst``).
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail

from cocained.errors import StorageError

T = TypeVar("T")

#: Bytes of blobs that may wait to be written.  One write of any size fits in
#: when no other waits.
MAX_WAITING_BYTES = 1 << 28


class Changes:
    """
    Changes that take place whether or not somebody still wants the answer.

    Reads may be cancelled like any call in a lane; a write that its caller gives
    up must not be lost (:class:`cocained.interfaces.IStorage`).

    :param run: runs a change, as :meth:`cocained.lane.Lane.run` does.
    :param name: of the storage, for errors.
    :param limit: bytes of blobs that may wait.
    """

    def __init__(
        self,
        run: Callable[..., Deferred[Any]],
        name: str,
        limit: int = MAX_WAITING_BYTES,
    ) -> None:
        #: Bytes of blobs of which the writing has not ended.
        self.waiting_bytes = 0
        self._run = run
        self._name = name
        self._limit = limit

    def run(self, size: int, *args: object) -> Deferred[None]:
        """
        Run one change.

        :param size: bytes that it holds in memory until it has ended.
        :param args: for the function that runs it, such as another function, and
            what that is called with in the thread.
        :returns: fires when it has taken place.  Fails with what was raised, or
            at once with ``EAGAIN`` if too much waits.  Cancelling it gives up the
            answer only.
        """
        waiting = self.waiting_bytes
        if size and waiting and waiting + size > self._limit:
            return fail(
                StorageError(
                    errno.EAGAIN,
                    f"storage {self._name!r}: {waiting} bytes wait to be written, "
                    f"and {self._limit} is the limit; try again later",
                )
            )
        self.waiting_bytes += size
        answer: Deferred[None] = Deferred()
        done = self._run(*args)
        done.addBoth(self._ended, size)
        done.addCallbacks(answer.callback, answer.errback)
        return answer

    def _ended(self, result: T, size: int) -> T:
        self.waiting_bytes -= size
        return result
