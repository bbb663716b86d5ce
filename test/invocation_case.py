"""
What the tests of invocations have in common.
"""

from __future__ import annotations

from typing import Any

from cocained.rpc.headers import Trace
from cocained.test.app_case import (
    DISCARDED,
)

TRACE = [
    [False, name, value] for name, value in Trace(trace=7, span=8, parent=9).headers()
]


LOST = [[2, 125], DISCARDED]


def timeout(milliseconds: int) -> list[Any]:
    """The header that limits one event."""
    return [[False, b"request_timeout", milliseconds.to_bytes(8, "little")]]
