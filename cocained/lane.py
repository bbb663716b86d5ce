# -*- test-case-name: cocained.test.test_lane -*-
"""
One thread that runs blocking calls strictly in order.

A :class:`Lane` is how storages and loggers touch a disk without making the
reactor wait for it.  It differs from the reactor's thread pool in three ways:
the order of calls is kept, answers come back in batches, and a call that hangs
for ever keeps neither the node nor its end from going on.

::

    reactor thread   run ──▶ queue ─┐            ┌─▶ _deliver: fires Deferreds
    lane thread                     └─▶ calls ───┘   once per batch
"""

from __future__ import annotations

import errno
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, TypeVarTuple

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall

from cocained.errors import CocainedError, StorageError
from cocained.interfaces import IReactor

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Calls that may wait at once.  A lane does 50,000 small reads a second, so a
#: full lane is a third of a second of honest work or a disk that hangs.
MAX_WAITING = 16384

#: Answers that may wait for the reactor before the thread pauses: it must not
#: pile up results faster than they are taken.
MAX_UNDELIVERED = 512

#: Seconds for which answers are gathered while more calls wait.  Long enough
#: for fifty small reads, too short for anyone to notice.
PATIENCE = 0.001

#: Seconds for which :meth:`Lane.stop` waits for the call that is running.
STOP_TIMEOUT = 5.0


class _Call:
    """One call: what to do, who waits, and how it ended."""

    __slots__ = ("args", "deferred", "dropped", "error", "function", "result")

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.function = function
        self.args = args
        self.dropped = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.deferred: Deferred[Any] = Deferred(self._drop)

    def _drop(self, deferred: Deferred[Any]) -> None:
        """Cancelled: the thread skips the call unless it has begun."""
        self.dropped = True

    def answer(self) -> None:
        """Fire the Deferred with what the thread left behind."""
        if self.dropped:
            return
        if self.error is None:
            self.deferred.callback(self.result)
            return
        if isinstance(self.error, CocainedError):
            # An expected outcome: frames would only keep the caller's blob.
            self.error.__traceback__ = None
        self.deferred.errback(self.error)

    def refuse(self, error: CocainedError) -> None:
        """Fail a call that has not been answered and never will be."""
        if not self.dropped:
            self.dropped = True
            self.deferred.errback(error)


class Lane:
    """
    A dedicated daemon thread; every method belongs to the reactor's thread.

    :param reactor: hands answers back, and gives the time for :meth:`stop`.
    :param name: for errors and for the name of the thread.
    :param limit: calls that may wait or be unanswered at once.

    Source: ours; the single storage thread of 0.12.14 has the same order of
    effects (protocol.md §4.1).
    """

    def __init__(self, reactor: IReactor, name: str, limit: int = MAX_WAITING) -> None:
        self.name = name
        self.limit = limit
        #: Calls that were asked for and not yet answered.
        self.pending = 0
        self._reactor = reactor
        self._queue: SimpleQueue[_Call | None] = SimpleQueue()
        self._done: deque[_Call] = deque()
        self._taken = threading.Event()
        self._handing = False
        self._current: _Call | None = None
        self._ended = False
        self._running = False
        self._thread: threading.Thread | None = None
        self._stopped: list[Deferred[None]] = []
        self._bound: IDelayedCall | None = None

    def start(self) -> None:
        """
        Start the thread.

        :raises RuntimeError: the lane has been started before; a lane lives once.
        """
        if self._thread is not None:
            raise RuntimeError(f"lane {self.name!r} has been started before")
        self._running = True
        self._thread = threading.Thread(
            target=self._thd_main, name=f"lane-{self.name}", daemon=True
        )
        self._thread.start()

    def run(self, function: Callable[[*Ts], T], *args: *Ts) -> Deferred[T]:
        """
        Run ``function(*args)`` in the thread, after all calls before it.

        :param function: may block; must not touch Deferreds or the reactor.
        :returns: fires in the reactor's thread with the result, or fails with
            what was raised.  Fails at once with ``StorageError``: ``EAGAIN``
            when the lane is full, ``ESHUTDOWN`` when it does not run.
            Cancelling a call that has not begun skips it; one that has begun
            goes on and its answer is dropped.
        """
        if not self._running:
            return fail(self._closed("is not running"))
        if self.pending >= self.limit:
            return fail(
                StorageError(
                    errno.EAGAIN,
                    f"{self.name}: {self.limit} calls are waiting, which is the "
                    "limit; try again later, and look for a slow disk",
                )
            )
        call = _Call(function, args)
        self.pending += 1
        self._queue.put(call)
        return call.deferred

    def stop(self, timeout: float = STOP_TIMEOUT) -> Deferred[None]:
        """
        Fail what waits and let the call that is running end.

        :param timeout: seconds to wait for it; afterwards its Deferred fails
            with ``ETIMEDOUT`` and the thread is left to itself.
        :returns: fires when the thread has ended or the time is over.
        """
        if self._thread is None or self._ended:
            return succeed(None)
        answer: Deferred[None] = Deferred()
        self._stopped.append(answer)
        if self._running:
            self._running = False
            waiting = self._withdraw()
            self._queue.put(None)
            self._bound = self._reactor.callLater(timeout, self._give_up)
            for call in waiting:
                call.refuse(self._closed("was stopped before this call began"))
        return answer

    def _withdraw(self) -> list[_Call]:
        """Take back every call that the thread has not taken yet."""
        waiting: list[_Call] = []
        while True:
            try:
                call = self._queue.get_nowait()
            except Empty:
                break
            if call is not None:
                waiting.append(call)
        self.pending -= len(waiting)
        return waiting

    def _give_up(self) -> None:
        """The running call takes too long."""
        self._bound = None
        self._deliver()
        if self._ended:
            return
        current = self._current
        self._finish()
        if current is not None:
            current.refuse(
                StorageError(
                    errno.ETIMEDOUT,
                    f"{self.name}: stopped while this call was running; "
                    "whether it took effect is unknown",
                )
            )

    def _finish(self) -> None:
        self._ended = True
        self._taken.set()
        if self._bound is not None:
            self._bound.cancel()
            self._bound = None
        stopped, self._stopped = self._stopped, []
        for answer in stopped:
            answer.callback(None)

    def _deliver(self) -> None:
        """Answer all calls that the thread has finished."""
        # Before the queue is emptied: a result that comes now asks again.
        self._handing = False
        done = self._done
        batch = [done.popleft() for _ in range(len(done))]
        self._taken.set()
        # All at once and first: what the answers ask for sees an idle lane.
        self.pending -= sum(call is not _END for call in batch)
        for call in batch:
            if call is not _END:
                call.answer()
            elif not self._ended:
                self._finish()

    def _closed(self, what: str) -> StorageError:
        return StorageError(errno.ESHUTDOWN, f"{self.name}: the lane {what}")

    def _thd_main(self) -> None:
        """Run calls until the end marker comes."""
        seconds = self._reactor.seconds
        get, empty = self._queue.get, self._queue.empty
        done = self._done
        began: float | None = None
        while (call := get()) is not None:
            if began is None:
                began = seconds()
            if not call.dropped:
                self._current = call
                try:
                    call.result = call.function(*call.args)
                except BaseException as error:
                    call.error = error
                self._current = None
            call.args = ()
            done.append(call)
            if empty() or seconds() - began >= PATIENCE:
                began = None
                self._thd_hand_over()
            if len(done) >= MAX_UNDELIVERED:
                self._thd_wait()
        done.append(_END)
        self._thd_hand_over()

    def _thd_hand_over(self) -> None:
        """Wake the reactor, unless it is on its way already."""
        if not self._handing:
            self._handing = True
            self._reactor.callFromThread(self._deliver)

    def _thd_wait(self) -> None:
        """Let the reactor take what there is."""
        self._taken.clear()
        # Looked at again: it may have been taken just before the clearing.
        if len(self._done) >= MAX_UNDELIVERED and not self._ended:
            self._thd_hand_over()
            self._taken.wait()


#: Behind the last call of a lane.
_END = _Call(lambda: None, ())
