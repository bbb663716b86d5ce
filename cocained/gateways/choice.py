# -*- test-case-name: cocained.test.test_gateways_choice -*-
"""
Which copy of a service is next: three policies, as plain objects.

``round-robin``
    copies take turns; one that comes goes to the end of the line;
``random``
    any copy, as the original does it;
``least-latency``
    two copies are drawn, and the one with less of a :class:`Load` is taken.  A
    copy that is slow gets little, and nobody runs to the fastest one at once.

Copies that are known to be unwell are left out while there are others.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from random import Random
from typing import Final, Generic, Literal, Protocol, TypeVar

#: Names of the policies, as in the configuration.
Policy = Literal["round-robin", "random", "least-latency"]

#: Seconds in which what is known of a copy loses most of its weight.  A copy
#: that was slow is tried again after a few of them.
DECAY: Final = 10.0

#: Seconds.  Latencies below it are equal: on one network they differ by what
#: the machines happened to do at the moment.
FLOOR: Final = 0.001

#: Seconds that a copy counts for at least when it has failed.  One that refuses
#: at once would seem the fastest of all otherwise.
PENALTY: Final = 1.0


class Load:
    """
    How long one copy lets people wait: a mean that forgets.

    :ivar in_flight: requests at the copy now, where that is known.
    """

    __slots__ = ("_mean", "_seen", "in_flight")

    def __init__(self) -> None:
        self._mean = 0.0
        self._seen = -math.inf
        self.in_flight = 0

    def observe(self, latency: float, now: float) -> None:
        """
        A request was answered.

        :param latency: seconds.
        :param now: seconds of the clock.
        """
        kept = self._kept(now)
        self._mean = self._mean * kept + latency * (1 - kept)
        self._seen = now

    def failed(self, now: float) -> None:
        """A request was refused; *now* in seconds of the clock."""
        self._mean = max(self._mean * self._kept(now), PENALTY)
        self._seen = now

    def latency(self, now: float) -> float:
        """Give the mean in seconds, less the longer nothing was observed."""
        return self._mean * self._kept(now)

    def weight(self, now: float) -> float:
        """Say how much one more request would have to wait for; of no unit."""
        return max(self._mean * self._kept(now), FLOOR) * (self.in_flight + 1)

    def _kept(self, now: float) -> float:
        """Part of the past that still counts, 0…1."""
        return math.exp(min(0.0, self._seen - now) / DECAY)


class Copy(Protocol):
    """One copy of a service; compared by identity."""

    @property
    def load(self) -> Load:
        """What is known of it."""


C = TypeVar("C", bound=Copy)


class Turns(Generic[C]):
    """Copies in a line."""

    __slots__ = ("_line",)

    def __init__(self, chance: Random) -> None:
        self._line: dict[C, None] = {}

    def __len__(self) -> int:
        return len(self._line)

    def __contains__(self, copy: object) -> bool:
        return copy in self._line

    def __iter__(self) -> Iterator[C]:
        return iter(self._line)

    def add(self, copy: C) -> None:
        """To the end of the line; one that is there keeps its place."""
        self._line[copy] = None

    def discard(self, copy: C) -> None:
        """Out of the line; one that is not there is no error."""
        self._line.pop(copy, None)

    def pick(self, now: float, excluded: Collection[C]) -> C | None:
        """Take the first that is not excluded, and put it behind the others."""
        line = self._line
        for copy in line:
            if copy not in excluded:
                del line[copy]
                line[copy] = None
                return copy
        return None


class Lottery(Generic[C]):
    """Copies in a drum."""

    __slots__ = ("_chance", "_copies", "_places")

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._copies: list[C] = []
        self._places: dict[C, int] = {}

    def __len__(self) -> int:
        return len(self._copies)

    def __contains__(self, copy: object) -> bool:
        return copy in self._places

    def __iter__(self) -> Iterator[C]:
        return iter(self._copies)

    def add(self, copy: C) -> None:
        """Into the drum; one that is there is not there twice."""
        if copy not in self._places:
            self._places[copy] = len(self._copies)
            self._copies.append(copy)

    def discard(self, copy: C) -> None:
        """Out of the drum; one that is not there is no error."""
        place = self._places.pop(copy, None)
        if place is not None:
            last = self._copies.pop()
            if last is not copy:
                self._copies[place] = last
                self._places[last] = place

    def pick(self, now: float, excluded: Collection[C]) -> C | None:
        """Draw one that is not excluded."""
        copies = self._among(excluded)
        return self._draw(copies, now) if copies else None

    def _among(self, excluded: Collection[C]) -> list[C]:
        if not excluded:
            return self._copies
        return [copy for copy in self._copies if copy not in excluded]

    def _draw(self, copies: list[C], now: float) -> C:
        return copies[int(self._chance.random() * len(copies))]


class TwoChoices(Lottery[C]):
    """Copies in a drum; of two that are drawn the less loaded one is taken."""

    __slots__ = ()

    def _draw(self, copies: list[C], now: float) -> C:
        count = len(copies)
        random = self._chance.random
        first = int(random() * count)
        if count == 1:
            return copies[0]
        second = int(random() * (count - 1))
        # Never the same one twice; equal ones are taken by chance alike.
        second += second >= first
        one, other = copies[first], copies[second]
        return other if other.load.weight(now) < one.load.weight(now) else one


_POLICIES: dict[str, type[Turns[C]] | type[Lottery[C]]] = {  # type: ignore[valid-type]
    "round-robin": Turns,
    "random": Lottery,
    "least-latency": TwoChoices,
}


class Choice(Generic[C]):
    """
    The copies of one service, and which one is next.

    :param policy: how to choose.
    :param chance: for those policies that need it.
    """

    __slots__ = ("_unwell", "_well")

    def __init__(self, policy: Policy, chance: Random) -> None:
        kind = _POLICIES[policy]
        self._well: Turns[C] | Lottery[C] = kind(chance)
        self._unwell: Turns[C] | Lottery[C] = kind(chance)

    def __len__(self) -> int:
        return len(self._well) + len(self._unwell)

    def __iter__(self) -> Iterator[C]:
        yield from self._well
        yield from self._unwell

    def add(self, copy: C, well: bool = True) -> None:
        """
        There is a copy; or it is as well as *well* says from now on.

        :param well: one that is not is only chosen if all others are not
            either.
        """
        here, there = (self._well, self._unwell) if well else (self._unwell, self._well)
        there.discard(copy)
        here.add(copy)

    def discard(self, copy: C) -> None:
        """The copy is gone; an unknown one is no error."""
        self._well.discard(copy)
        self._unwell.discard(copy)

    def pick(self, now: float, excluded: Collection[C] = ()) -> C | None:
        """
        Choose a copy.

        :param now: seconds of the clock.
        :param excluded: only chosen if there are no others, well or unwell.
        :returns: ``None`` if there are no copies.
        """
        chosen = self._well.pick(now, excluded)
        if chosen is None:
            chosen = self._unwell.pick(now, excluded)
            if chosen is None and excluded:
                return self.pick(now)
        return chosen
