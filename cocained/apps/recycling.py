# -*- test-case-name: cocained.test.test_apps_recycling -*-
"""
When a worker has worked enough, as pure functions.

Leaks of memory, of descriptors or of whatever an app's code forgets are cured
by a fresh worker now and then.  Each worker draws its own share of the limits,
so that workers which started together do not leave together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol


class Keys(Protocol):
    """The limits of a profile; 0 is none."""

    @property
    def requests(self) -> int: ...

    @property
    def age(self) -> float: ...

    @property
    def memory(self) -> int: ...

    @property
    def jitter(self) -> float: ...


class Lot(NamedTuple):
    """
    What one worker may do before it is replaced; infinity is no limit.

    :param requests: served.
    :param age: seconds.
    :param memory: bytes.
    """

    requests: float
    age: float
    memory: float


def draw(keys: Keys, luck: Callable[[], float]) -> Lot:
    """
    Draw the limits of one worker: the profile's, or less by up to the jitter.

    :param luck: gives numbers from 0 to below 1; called once.
    """
    share = 1.0 - keys.jitter * luck()
    return Lot(
        max(1.0, keys.requests * share) if keys.requests else math.inf,
        keys.age * share if keys.age else math.inf,
        keys.memory * share if keys.memory else math.inf,
    )


def excess(lot: Lot, requests: int, age: float, memory: float) -> str | None:
    """
    Say in what a worker has reached its limits.

    :param requests: taken so far.
    :param age: seconds since it was spawned.
    :param memory: bytes, 0 if nobody knows.
    :returns: words for the log, or ``None`` while it may go on.
    """
    if requests >= lot.requests:
        return f"has served {requests} requests"
    if age >= lot.age:
        return f"is {age:.0f} s old"
    if memory >= lot.memory:
        return f"takes {memory:.0f} bytes of memory"
    return None


def is_on(keys: Keys) -> bool:
    """Say whether workers are recycled at all."""
    return bool(keys.requests or keys.age or keys.memory)
