# -*- test-case-name: tests.test_future -*-
"""
The light loop: what plain and generator handlers run on.

It has the handful of methods of an asyncio loop that the framework needs, under
the same names, because importing asyncio costs a worker more than everything
else it does at start-up.
"""

from __future__ import annotations

import sys
from _thread import _local
from collections import deque
from heapq import heapify, heappop, heappush
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from selectors import BaseSelector
    from typing import Any

    from cocaine.detail.future import Future

#: Cancelled timers that may stay in the heap before it is rebuilt, when they are
#: also the majority: reads with a timeout cancel one each.
MAX_CANCELLED = 100


class Timer:
    """A scheduled call; `cancel` makes it void."""

    __slots__ = ("_args", "_callback", "_loop", "_when")

    def __init__(
        self, loop: Loop, when: float, callback: Callable[..., object], args: Any
    ) -> None:
        self._loop = loop
        self._when = when
        self._callback: Callable[..., object] | None = callback
        self._args = args

    def __lt__(self, other: Timer) -> bool:
        return self._when < other._when

    def cancel(self) -> None:
        """Do not make the call; nothing happens if it was made already."""
        if self._callback is not None:
            self._callback = None
            self._args = ()
            self._loop._cancelled += 1


class Loop:
    """
    Readiness, timers and deferred calls of one thread.

    An exception that a callback lets out ends `run_until`: the framework's own
    callbacks let out only `SystemExit` and `KeyboardInterrupt`.
    """

    def __init__(self) -> None:
        self._ready: deque[tuple[Callable[..., object], Any]] = deque()
        self._timers: list[Timer] = []
        self._cancelled = 0
        self._selector: BaseSelector | None = None
        self._waker: Any = None
        self._inner: Any = None
        self._running = False

    time = staticmethod(monotonic)

    def is_running(self) -> bool:
        """Say whether `run_until` is on the stack."""
        return self._running

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Call `callback` on the next turn."""
        self._ready.append((callback, args))

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any) -> None:
        """Call `callback` on the next turn; may be used from another thread."""
        self._ready.append((callback, args))
        waker = self._waker
        if waker is not None:
            try:
                waker.send(b"\0")
            except OSError:
                pass  # full, so the loop is about to wake up anyway

    def enable_wakeups(self) -> None:
        """Make `call_soon_threadsafe` able to interrupt a wait for readiness."""
        if self._waker is None:
            from socket import socketpair

            self._inner, self._waker = socketpair()
            self._inner.setblocking(False)
            self._waker.setblocking(False)
            self.add_reader(self._inner, self._swallow, self._inner)

    def close(self) -> None:
        """Let go of the selector and the sockets of `enable_wakeups`."""
        selector, self._selector = self._selector, None
        waker, self._waker = self._waker, None
        if waker is not None:
            waker.close()
            self._inner.close()
        if selector is not None:
            selector.close()

    @staticmethod
    def _swallow(inner: Any) -> None:
        try:
            inner.recv(4096)
        except BlockingIOError:
            pass

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any
    ) -> Timer:
        """Call `callback` in `delay` seconds."""
        timer = Timer(self, monotonic() + delay, callback, args)
        heappush(self._timers, timer)
        return timer

    def add_reader(
        self, sock: Any, callback: Callable[..., object], *args: Any
    ) -> None:
        """Call `callback` whenever `sock` is readable; replaces an earlier one."""
        self._watch(sock, 0, (callback, args))

    def add_writer(
        self, sock: Any, callback: Callable[..., object], *args: Any
    ) -> None:
        """Call `callback` whenever `sock` is writable; replaces an earlier one."""
        self._watch(sock, 1, (callback, args))

    def remove_reader(self, sock: Any) -> bool:
        """Stop watching for readability; say whether it was watched."""
        return self._watch(sock, 0, None)

    def remove_writer(self, sock: Any) -> bool:
        """Stop watching for writability; say whether it was watched."""
        return self._watch(sock, 1, None)

    def _watch(self, sock: Any, side: int, entry: Any) -> bool:
        selector = self._selector
        if selector is None:
            from selectors import DefaultSelector

            selector = self._selector = DefaultSelector()
        key = selector.get_map().get(sock)
        sides = [None, None] if key is None else key.data
        known = sides[side] is not None
        sides[side] = entry
        mask = (1 if sides[0] else 0) | (2 if sides[1] else 0)
        if key is None:
            if mask:
                selector.register(sock, mask, sides)
        elif not mask:
            selector.unregister(sock)
        elif mask != key.events:
            selector.modify(sock, mask, sides)
        return known

    def catch_up(self) -> None:
        """
        Take note of what has happened while nobody ran the loop.

        For scripts: a connection that was closed meanwhile is found out before
        it is used again. Does nothing on a running loop.
        """
        if not self._running and self._selector is not None:
            self._running = True
            try:
                if self._selector.get_map():
                    self._poll(0)
            finally:
                self._running = False

    def run_until(self, future: Future, timeout: float = 0) -> None:
        """
        Turn until `future` is done.

        :param timeout: seconds; 0 or less waits for ever
        :raises TimeoutError: when the time is up; the future stays as it is
        :raises RuntimeError: from within a callback of this very loop, or when
            nothing could ever complete the future
        """
        if self._running:
            raise RuntimeError(
                "a handler cannot block on its own loop: use `yield` in a generator "
                "or `await` in a coroutine"
            )
        limit = monotonic() + timeout if timeout and timeout > 0 else None
        self._running = True
        try:
            while not future.done():
                if limit is not None and monotonic() >= limit:
                    raise TimeoutError(f"no result in {timeout} s")
                self._turn(limit)
        finally:
            self._running = False

    def _turn(self, limit: float | None) -> None:
        ready = self._ready
        timers = self._timers
        if self._cancelled > MAX_CANCELLED and self._cancelled * 2 > len(timers):
            timers[:] = [timer for timer in timers if timer._callback is not None]
            heapify(timers)
            self._cancelled = 0
        if not ready:
            until = timers[0]._when if timers else None
            if limit is not None and (until is None or limit < until):
                until = limit
            wait = None if until is None else max(0.0, until - monotonic())
            self._poll(wait)
        elif self._selector is not None:
            self._poll(0)
        if timers:
            now = monotonic()
            while timers and timers[0]._when <= now:
                timer = heappop(timers)
                if timer._callback is None:
                    self._cancelled -= 1
                else:
                    ready.append((timer._callback, timer._args))
                    timer._callback = None
        for _ in range(len(ready)):
            callback, args = ready.popleft()
            callback(*args)

    def _poll(self, wait: float | None) -> None:
        selector = self._selector
        if selector is None or not selector.get_map():
            if wait is None:
                raise RuntimeError("nothing is left that could complete the future")
            if wait:
                from time import sleep

                sleep(wait)
            return
        for key, mask in selector.select(wait):
            reader, writer = key.data
            if mask & 1 and reader is not None:
                reader[0](*reader[1])
            if mask & 2 and writer is not None and key.data[1] is writer:
                writer[0](*writer[1])


_threads = _local()


def light_loop() -> Loop:
    """Return this thread's light loop, made on first use."""
    try:
        return _threads.loop  # type: ignore[no-any-return]
    except AttributeError:
        loop = _threads.loop = Loop()
        return loop


def running_asyncio() -> Any:
    """Return the asyncio loop that is running in this thread, or None."""
    events = sys.modules.get("asyncio.events")
    return None if events is None else events._get_running_loop()


def current_loop() -> Any:
    """Return the loop that calls made now belong to."""
    return running_asyncio() or light_loop()
