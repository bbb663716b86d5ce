# -*- test-case-name: cocained.test.test_links_agenda -*-
"""
The next thing to do of many links, at the price of one timer.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

log = Logger()

#: Entries that are kept for each one that counts, before the others are thrown
#: out: an item that is put off leaves its old entry where it is.
SLACK = 4

#: Seconds by which we may be late ourselves.  Beyond it the machine, or this
#: process, has slept: others may have answered meanwhile, and their answers wait
#: to be read.
OVERSLEPT = 0.5


class Item(Protocol):
    """Something that is due at one time, or never."""

    due_at: float | None

    def due(self) -> None:
        """The time has come; put it on the agenda anew if more is to follow."""


class Agenda:
    """
    Items by the time at which they are due, each once.

    :param clock: the only source of time.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Item]] = []
        self._order = count()
        self._waiting = 0
        self._call: IDelayedCall | None = None
        self._running = False
        self._overslept = False

    def __len__(self) -> int:
        return self._waiting

    def put(self, item: Item, seconds: float) -> None:
        """
        Make *item* due so many seconds from now, and not when it was before.

        :param seconds: 0 or more.
        """
        if item.due_at is None:
            self._waiting += 1
        at = self._clock.seconds() + seconds
        item.due_at = at
        heappush(self._heap, (at, next(self._order), item))
        if len(self._heap) > SLACK * (self._waiting + SLACK):
            self._tidy()
        self._arm()

    def drop(self, item: Item) -> None:
        """Make *item* due no more; one that is not is no error."""
        if item.due_at is not None:
            item.due_at = None
            self._waiting -= 1
            if not self._waiting:
                self._heap.clear()
                self._arm()

    def _tidy(self) -> None:
        # Of equal times the entries of one item are equal too: one is enough.
        kept = {id(e[2]): e for e in self._heap if e[2].due_at == e[0]}
        self._heap = list(kept.values())
        heapify(self._heap)

    def _arm(self) -> None:
        if self._running:
            return
        if not self._heap:
            if self._call is not None:
                self._call.cancel()
                self._call = None
            return
        at = self._heap[0][0]
        if self._call is not None:
            if self._call.getTime() <= at:
                # Too early does no harm: it will look and wait again.
                return
            self._call.cancel()
        wait = max(0.0, at - self._clock.seconds())
        self._call = self._clock.callLater(wait, self._run)

    def _run(self) -> None:
        self._call = None
        now = self._clock.seconds()
        if self._heap and now - self._heap[0][0] > OVERSLEPT and not self._overslept:
            # The next turn comes after sockets have been read.
            self._overslept = True
            self._call = self._clock.callLater(0, self._run)
            return
        self._overslept = False
        self._running = True
        due: list[tuple[float, Item]] = []
        try:
            # Collected first: what is put on the agenda meanwhile waits for the
            # next turn, even if it is due at once.
            while self._heap and self._heap[0][0] <= now:
                at, _, item = heappop(self._heap)
                due.append((at, item))
            for at, item in due:
                # An old entry, or another one's turn has put it off.
                if item.due_at == at:
                    item.due_at = None
                    self._waiting -= 1
                    self._tell(item)
        finally:
            self._running = False
            self._arm()

    def _tell(self, item: Item) -> None:
        try:
            item.due()
        except Exception:
            # One that stumbles must not keep all others from their turn.
            log.failure("{item} could not do what was due", item=item)
