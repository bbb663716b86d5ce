# -*- test-case-name: cocained.test.test_simulation -*-
"""
What happened in one run, in order.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime


class Journal:
    """
    The trace of a run.  Text is made when somebody reads it: hardly ever.

    :param clock: of the run.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._seconds = clock.seconds
        self._began = clock.seconds()
        self._entries: list[tuple[float, str, str, tuple[Any, ...]]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def note(self, who: str, what: str, *details: Any) -> None:
        """
        Write something down.

        :param details: values that never change, and that are the same in each
            run of a seed: no uuid, no address in memory.
        """
        self._entries.append((self._seconds(), who, what, details))

    def lines(self, last: int | None = None) -> list[str]:
        """
        Give the trace as text, one line each.

        :param last: only so many, or all.
        """
        entries = self._entries if last is None else self._entries[-last:]
        return [
            f"{when - self._began:11.4f} {who:<6} {what:<18}"
            f" {' '.join(map(_text, details))}".rstrip()
            for when, who, what, details in entries
        ]


def _text(detail: Any) -> str:
    if isinstance(detail, bytes):
        return ascii(detail.decode("latin-1"))
    return f"{detail:.4f}" if isinstance(detail, float) else str(detail)
