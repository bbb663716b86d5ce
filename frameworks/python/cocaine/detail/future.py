# -*- test-case-name: tests.test_future -*-
"""
A future that works on either loop.

Callbacks run at once, inside `set_result`, which saves a loop turn per frame.
Everything that completes futures is written with that in mind.
"""

from __future__ import annotations

from cocaine.detail.loop import Loop, running_asyncio
from cocaine.exceptions import Cancelled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

PENDING, DONE, FAILED = range(3)


class Future:
    """
    A result that may not be there yet.

    In a handler: ``value = yield future`` or ``value = await future``. In a plain
    script: ``value = future.get(timeout=5)``.

    :param loop: the loop that will complete it; None when it is complete already
    """

    __slots__ = ("__weakref__", "_callbacks", "_loop", "_peer", "_state", "_value")

    def __init__(self, loop: Any = None) -> None:
        self._loop = loop
        self._state = PENDING
        self._value: Any = None
        self._callbacks: list[Callable[[Any], object]] | None = None
        self._peer: Any = None

    def done(self) -> bool:
        """Say whether there is a result or an error."""
        return self._state != PENDING

    def wanted(self) -> bool:
        """Say whether a result would still reach somebody."""
        return self._state == PENDING and (self._peer is None or not self._peer.done())

    def cancelled(self) -> bool:
        """Say whether `cancel` came before a result."""
        return self._state == FAILED and isinstance(self._value, Cancelled)

    def cancel(self) -> bool:
        """Give up waiting; the operation itself is not undone."""
        if self._state != PENDING:
            return False
        self._finish(FAILED, Cancelled("cancelled"))
        return True

    def exception(self) -> BaseException | None:
        """Return the error, None for success.

        :raises RuntimeError: when it is not done
        """
        if self._state == PENDING:
            raise RuntimeError("the future is not done yet: yield it or await it")
        return self._value if self._state == FAILED else None

    def result(self) -> Any:
        """Return the result or raise the error.

        :raises RuntimeError: when it is not done
        """
        if self._state == DONE:
            return self._value
        if self._state == FAILED:
            raise self._value
        raise RuntimeError("the future is not done yet: yield it or await it")

    def get(self, timeout: float = 0) -> Any:
        """
        Run the light loop until there is a result; for scripts, not handlers.

        :param timeout: seconds; 0 waits for ever
        :raises TimeoutError: when the time is up
        :raises RuntimeError: inside a running loop
        """
        if self._state == PENDING:
            if running_asyncio() is not None or not isinstance(self._loop, Loop):
                raise RuntimeError("inside asyncio a future must be awaited")
            self._loop.run_until(self, timeout)
        return self.result()

    wait = get

    def set_result(self, value: Any) -> None:
        """Complete with a result; ignored when it is done already."""
        if self._state == PENDING:
            self._finish(DONE, value)

    def set_exception(self, error: BaseException) -> None:
        """Complete with an error; ignored when it is done already."""
        if self._state == PENDING:
            self._finish(FAILED, error)

    def _finish(self, state: int, value: Any) -> None:
        self._state = state
        self._value = value
        callbacks = self._callbacks
        if callbacks is not None:
            self._callbacks = None
            for callback in callbacks:
                callback(self)

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Call `callback(self)` when done: at once, if that is now."""
        if self._state != PENDING:
            callback(self)
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    def __await__(self) -> Generator[Any, Any, Any]:
        if self._state == PENDING:
            running = running_asyncio()
            if running is None:
                yield self
            elif self._loop is not None and self._loop is not running:
                raise RuntimeError(
                    "this call was made outside of the running asyncio loop; "
                    "make it inside a coroutine"
                )
            else:
                yield from self._await_in(running)
        return self.result()

    def _await_in(self, running: Any) -> Generator[Any, Any, None]:
        peer = self._peer = running.create_future()
        self.add_done_callback(lambda _: peer.done() or peer.set_result(None))
        try:
            yield from peer.__await__()
        except BaseException:
            self.cancel()
            raise
        finally:
            self._peer = None

    def expire_after(self, seconds: float | None, what: str) -> None:
        """Fail with `TimeoutError` in `seconds`; 0, less or None: never."""
        if seconds and seconds > 0 and self._state == PENDING:
            timer = self._loop.call_later(
                seconds,
                lambda: self.set_exception(TimeoutError(f"{what}: {seconds} s passed")),
            )
            self.add_done_callback(lambda _: timer.cancel())


#: A future that is done, with None: shared, since most writes need no other.
READY = Future()
READY.set_result(None)
