# -*- test-case-name: cocained.test.test_rpc_session -*-
"""
One turn of the reactor: what is said during it leaves at its end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Speaker(Protocol):
    """A session with something to say."""

    def flush(self) -> None:
        """Say it."""


class Turn:
    """
    One turn of the reactor, shared by all sessions of a process.

    :param seconds: the clock.
    :param schedule: runs a function in the next turn; used for what is said
        outside of a turn.
    """

    __slots__ = ("_depth", "_dirty", "_schedule", "_scheduled", "_seconds", "now")

    def __init__(
        self,
        seconds: Callable[[], float],
        schedule: Callable[[Callable[[], None]], object],
    ) -> None:
        self._seconds = seconds
        self._schedule = schedule
        self._dirty: list[Speaker] = []
        self._depth = 0
        self._scheduled = False
        #: when this turn began, in seconds of the clock
        self.now = seconds()

    def begin(self) -> None:
        """Bytes have arrived, or a timer has fired."""
        self._depth += 1
        self.now = self._seconds()

    def end(self) -> None:
        """Everything has been dispatched: let the answers go."""
        self._depth -= 1
        if not self._depth:
            self.flush()

    def add(self, session: Speaker) -> None:
        """Remember a session that has something to say."""
        self._dirty.append(session)
        if not self._depth and not self._scheduled:
            self._scheduled = True
            self._schedule(self._run)

    def _run(self) -> None:
        self._scheduled = False
        self.begin()
        self.end()

    def flush(self) -> None:
        """Write what has been collected."""
        while self._dirty:
            dirty, self._dirty = self._dirty, []
            for session in dirty:
                session.flush()
