"""
What the tests of an app's pool have in common.
"""

from __future__ import annotations

FULL = [[21247, 1], b"queue is full"]


EXPIRED = [[20991, 1], b"the event has expired in the queue"]


STOPPED = [[12, 32], b"the application has been stopped: Broken pipe"]


def milliseconds(number: int) -> list[object]:
    """The header that limits one event."""
    return [[False, b"request_timeout", number.to_bytes(8, "little")]]
