# -*- test-case-name: cocained.test.test_simulation -*-
"""
The only source of chance in a run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """
    Chance that repeats itself.

    :param seed: the same one gives the same throws, on every machine.
    """

    __slots__ = ("_next",)

    def __init__(self, seed: int) -> None:
        self._next = Random(seed).random

    def chance(self, probability: float) -> bool:
        """Say yes with a probability of 0…1."""
        return self._next() < probability

    def below(self, limit: int) -> int:
        """Give one of 0…limit-1."""
        return int(self._next() * limit)

    def among(self, first: int, last: int) -> int:
        """Give one of first…last."""
        return first + int(self._next() * (last - first + 1))

    def pick(self, things: Sequence[T]) -> T:
        """Give one of several, each as likely as the others."""
        return things[int(self._next() * len(things))]

    def between(self, least: float, most: float) -> float:
        """Give a number of a range, all as likely."""
        return least + self._next() * (most - least)

    def spread(self, least: float, most: float) -> float:
        """Give a number of a range, all magnitudes as likely."""
        return least * math.exp(self._next() * math.log(most / least))

    def wait(self, mean: float) -> float:
        """Give the time until something that happens once per *mean*."""
        return -mean * math.log(1.0 - self._next())
