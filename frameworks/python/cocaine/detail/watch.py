# -*- test-case-name: tests.test_options -*-
"""
A witness for handlers that block the loop.

A worker whose loop stands still sends no heartbeats, and the runtime kills it
without a word to it. The interpreter's own watchdog thread writes the stack of
every thread to standard error shortly before, which the runtime keeps in the
crash log.
"""

from __future__ import annotations

import sys


class Watch:
    """
    Dumps all stacks when `touch` has not been called for a while.

    :param seconds: how long; 0 or less disables it
    """

    __slots__ = ("_is_on", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._is_on = False

    def touch(self) -> None:
        """Prove to be alive."""
        if self._seconds <= 0:
            return
        import faulthandler

        try:
            faulthandler.dump_traceback_later(self._seconds, file=sys.stderr)
        except (AttributeError, OSError, RuntimeError, ValueError):
            self._seconds = 0  # standard error is closed or not a file
            return
        self._is_on = True

    def stop(self) -> None:
        """End the watch."""
        if self._is_on:
            self._is_on = False
            import faulthandler

            faulthandler.cancel_dump_traceback_later()
