# -*- test-case-name: tests.test_worker -*-
"""
Telling coroutine functions from others without importing `inspect`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CO_COROUTINE = 0x80
CO_ASYNC_GENERATOR = 0x200
#: Layers of decorators to look through; more is a loop of `__wrapped__`.
_MAX_LAYERS = 32


def is_async(handler: Any) -> bool:
    """
    Say whether calling `handler` probably gives a coroutine.

    Looks through methods, `functools.partial`, `functools.wraps` and objects
    with an `async def __call__`.
    """
    for _ in range(_MAX_LAYERS):
        code = getattr(handler, "__code__", None)
        if code is not None and code.co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR):
            return True
        inner = (
            getattr(handler, "__wrapped__", None)
            or getattr(handler, "__func__", None)
            or (getattr(handler, "func", None) if code is None else None)
        )
        if inner is None and code is None:
            inner = vars(type(handler)).get("__call__")
        if inner is None:
            return False
        handler = inner
    return False
