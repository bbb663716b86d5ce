# -*- test-case-name: tests.test_task -*-
"""
Generators as coroutines: ``value = yield future``.

What may be yielded: a future of this framework, of asyncio or of
concurrent.futures; a generator or a coroutine (run as a task of its own); a
list, tuple or dictionary of these (waits for all, gives the same shape); None
(lets the others run once).
"""

from __future__ import annotations

from functools import partial
from types import CoroutineType, GeneratorType

from cocaine.detail.future import Future
from cocaine.detail.loop import Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Task(Future):
    """
    Drives a generator; done when it returns, with what it returned.

    It runs at once until its first unfinished future. `SystemExit` and
    `KeyboardInterrupt` go through to the loop.
    """

    __slots__ = ("_frame", "_on")

    def __init__(self, loop: Any, frame: Any) -> None:
        super().__init__(loop)
        self._frame = frame
        self._on: Any = None
        self._step(None)

    def _step(self, waited: Any) -> None:
        frame = self._frame
        self._on = None
        while self._state == 0:
            try:
                error = None if waited is None else waited.exception()
                if error is not None:
                    target = frame.throw(error)
                else:
                    target = frame.send(None if waited is None else waited.result())
            except StopIteration as stop:
                self.set_result(stop.value)
                return
            except (SystemExit, KeyboardInterrupt) as leaving:
                self.set_exception(leaving)
                raise
            except BaseException as error:
                self.set_exception(error)
                return
            if not isinstance(target, Future):
                target = as_future(self._loop, target)
            if target._state == 0:
                self._on = target
                target.add_done_callback(self._resume)
                return
            waited = target

    def _resume(self, waited: Any) -> None:
        # A cancelled task has left its generator: there is nothing to resume.
        if self._state == 0:
            self._step(waited)

    def cancel(self) -> bool:
        """Close the generator, which runs its `finally` clauses."""
        if not super().cancel():
            return False
        self._leave()
        return True

    def expire_after(self, seconds: float | None, what: str) -> None:
        """As for any future; the generator is closed then."""
        super().expire_after(seconds, what)
        # Does nothing to a generator that has returned or raised.
        self.add_done_callback(lambda _: self._leave())

    def _leave(self) -> None:
        on, self._on = self._on, None
        if on is not None:
            on.cancel()
        try:
            self._frame.close()
        except (RuntimeError, ValueError):
            pass  # it insists on yielding, or is what is running right now


def as_future(loop: Any, target: Any) -> Future:
    """
    Turn something that was yielded into a future.

    :returns: a failed future, with `TypeError`, for what cannot be waited for
    """
    if isinstance(target, Future):
        return target
    if target is None:
        future = Future(loop)
        loop.call_soon(future.set_result, None)
        return future
    kind = type(target)
    if kind is GeneratorType:
        return Task(loop, target)
    if kind is CoroutineType:
        if isinstance(loop, Loop):
            return Task(loop, target)
        return _foreign(loop, loop.create_task(target))
    if isinstance(target, (list, tuple)):
        return _gather(loop, list(target), type(target))
    if isinstance(target, dict):
        keys = list(target)
        return _gather(
            loop,
            [target[key] for key in keys],
            lambda values: dict(zip(keys, values, strict=True)),
        )
    if hasattr(target, "add_done_callback"):
        return _foreign(loop, target)
    future = Future(loop)
    future.set_exception(
        TypeError(
            f"a handler cannot wait for a {kind.__name__}; yield a future, a "
            "generator, a coroutine, a list of them, or None"
        )
    )
    return future


def _gather(loop: Any, targets: list[Any], shape: Any) -> Future:
    future = Future(loop)
    futures = [as_future(loop, target) for target in targets]
    left = len(futures)

    def one_done(_: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            finish()

    def finish() -> None:
        try:
            future.set_result(shape([each.result() for each in futures]))
        except Exception as error:
            future.set_exception(error)

    for each in futures:
        each.add_done_callback(one_done)
    if not futures:
        finish()
    return future


def _foreign(loop: Any, target: Any) -> Future:
    """Follow a future of asyncio or of a thread pool."""
    future = Future(loop)
    if isinstance(loop, Loop):
        loop.enable_wakeups()
    target.add_done_callback(partial(loop.call_soon_threadsafe, _copy, future))
    return future


def _copy(future: Future, target: Any) -> None:
    try:
        result = target.result()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
