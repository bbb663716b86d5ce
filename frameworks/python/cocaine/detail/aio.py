# -*- test-case-name: tests.test_process -*-
"""
Running a worker on asyncio; imported only when a handler is a coroutine.
"""

from __future__ import annotations

import asyncio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def run(start: Callable[[Any], Any], stop: Callable[[], None]) -> None:
    """
    Run an asyncio loop from `start` until the future it returns is done.

    :param start: called with the running loop
    :param stop: called in the end, still on the loop
    """

    async def serve() -> None:
        try:
            await start(asyncio.get_running_loop())
        finally:
            stop()

    asyncio.run(serve())
