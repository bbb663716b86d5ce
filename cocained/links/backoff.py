# -*- test-case-name: cocained.test.test_links_backoff -*-
"""
How long to wait before one more attempt.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable

#: Doublings after which nothing grows any more: beyond any sensible longest
#: wait, and within the range of numbers.
DOUBLINGS = 64


def delay(
    attempts: int, first: float, most: float, random: Callable[[], float]
) -> float:
    """
    Choose the wait after so many failures in a row.

    Anything from nothing to the longest (*full jitter*): a thousand nodes that
    lost the same peer at one moment come back spread over the whole wait.

    :param attempts: failures in a row, 1 or more.
    :param first: seconds, the longest wait after the first failure; doubles
        with each further one.
    :param most: seconds, the longest wait of all.
    :param random: gives a number of 0 up to, and without, 1.
    :returns: seconds.
    """
    doublings = min(max(attempts, 1) - 1, DOUBLINGS)
    return random() * float(min(most, first * 2**doublings))
