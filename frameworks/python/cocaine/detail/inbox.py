# -*- test-case-name: tests.test_inbox -*-
"""
What one half of a channel has received and nobody has read yet.
"""

from __future__ import annotations

from collections import deque

from cocaine.detail.future import Future
from cocaine.exceptions import ChokeEvent, OverrunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Bytes that may wait unread in one channel. Reading from the connection cannot
#: be paused instead: heartbeats and all other channels come the same way.
MAX_QUEUED = 128 * 1024 * 1024
#: What an item counts for beside its bytes, so that empty chunks are not free.
ITEM_OVERHEAD = 64


class Inbox:
    """
    A queue with an end.

    Items are read in order; then every read raises what the end says. An item
    given to a read whose caller has gone is not lost: the next read gets it.
    """

    __slots__ = ("__weakref__", "_end", "_items", "_loop", "_queued", "_waiters")

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._items: deque[tuple[Any, int]] | None = None
        self._waiters: deque[Future] | None = None
        self._end: Callable[[], BaseException] | None = None
        self._queued = 0

    def _open(self, item: Any) -> Any:
        """Turn an item into what the reader gets; may raise that instead."""
        return item

    def _put(self, item: Any, size: int) -> None:
        if self._end is not None:
            return
        waiters = self._waiters
        while waiters:
            waiter = waiters.popleft()
            if waiter.wanted():
                self._give(waiter, item)
                return
        self._queued += size + ITEM_OVERHEAD
        if self._queued > MAX_QUEUED:
            self._items = None
            self._end_with(
                lambda: OverrunError(
                    f"more than {MAX_QUEUED} bytes were waiting unread; "
                    "read chunks as they come"
                )
            )
            return
        if self._items is None:
            self._items = deque()
        self._items.append((item, size))

    def _give(self, waiter: Future, item: Any) -> None:
        try:
            value = self._open(item)
        except Exception as error:
            waiter.set_exception(error)
        else:
            waiter.set_result(value)

    def _end_with(self, end: Callable[[], BaseException]) -> None:
        """Let reads raise `end()` once the items are read; the first one counts."""
        if self._end is not None:
            return
        self._end = end
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            waiter.set_exception(end())

    def _discard(self) -> None:
        """Forget what is here and what may come: nobody will read it."""
        self._end_with(ChokeEvent)
        self._items = None
        self._queued = 0

    def _get(self, timeout: float | None, what: str) -> Future:
        future = Future(self._loop)
        items = self._items
        if items:
            item, size = items.popleft()
            self._queued -= size + ITEM_OVERHEAD
            self._give(future, item)
        elif self._end is not None:
            future.set_exception(self._end())
        else:
            if self._waiters is None:
                self._waiters = deque()
            self._waiters.append(future)
            if timeout:
                future.expire_after(timeout, what)
        return future
