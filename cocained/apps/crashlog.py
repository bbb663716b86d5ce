# -*- test-case-name: cocained.test.test_apps_crashlog -*-
"""
A worker's last words: its output by lines, and where they are kept.

Stored as the original does (protocol.md §11.5): collection ``crashlogs``, key
``<microseconds>:<worker uuid>``, a packed list of lines, tagged with the app
and the day.
"""

from __future__ import annotations

import time
from collections import deque

from cocained.rpc.codec import pack

COLLECTION = "crashlogs"

#: Longest line kept, in bytes; the rest of it becomes the next line.
LINE_LIMIT = 8192


class Lines:
    """
    The last lines of an output.

    :param limit: how many are kept.
    """

    __slots__ = ("_lines", "_tail")

    def __init__(self, limit: int) -> None:
        self._lines: deque[bytes] = deque(maxlen=limit)
        self._tail = b""

    def feed(self, data: bytes) -> list[bytes]:
        """
        Take output as it comes.

        :returns: the lines completed by it, without their ends.
        """
        *lines, tail = (self._tail + data).split(b"\n")
        complete = [piece for line in lines for piece in _pieces(line) or [b""]]
        if len(tail) > LINE_LIMIT:
            *more, tail = _pieces(tail)
            complete += more
        self._tail = tail
        self._lines.extend(complete)
        return complete

    def note(self, line: bytes) -> None:
        """Add a line of our own, after what the worker left unfinished."""
        if self._tail:
            self._lines.append(self._tail)
            self._tail = b""
        self._lines.append(line)

    def dump(self) -> list[bytes]:
        """All that is kept, the unfinished last line included."""
        return [*self._lines, self._tail] if self._tail else list(self._lines)


def _pieces(line: bytes) -> list[bytes]:
    line = line.removesuffix(b"\r")
    return [line[at : at + LINE_LIMIT] for at in range(0, len(line), LINE_LIMIT)]


def key(when: float, worker: str) -> str:
    """The storage key of a worker that ended at *when*, seconds since 1970."""
    return f"{int(when * 1_000_000)}:{worker}"


def tags(when: float, app: str) -> list[str]:
    """The tags by which a crashlog is found: the app, and the day in UTC."""
    return [app, time.strftime("cocaine-%Y-%m-%d", time.gmtime(when))]


def blob(lines: list[bytes]) -> bytes:
    """The value under which *lines* are stored."""
    return pack(lines)
