# -*- test-case-name: cocained.test.test_apps_backlog -*-
"""
Events that wait for a worker, first come, first served.

Pure: the clock is an argument.  How many may wait is the policy's business
(:func:`cocained.apps.policy.has_room`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """Something that waits, and since when, in seconds of the clock."""

    enqueued: float


E = TypeVar("E", bound=Waiting)


class Backlog(Generic[E]):
    """
    The queue of one app.

    Any event can leave it at any time, when it expires for instance, at the
    same small price.
    """

    __slots__ = ("events",)

    def __init__(self) -> None:
        #: in order; its truth is looked at for every event
        self.events: OrderedDict[E, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[E]:
        return iter(self.events)

    def __contains__(self, event: E) -> bool:
        return event in self.events

    def push(self, event: E) -> None:
        """Let *event* wait, behind all others."""
        self.events[event] = None

    def first(self) -> E:
        """
        Look at the first event.

        :raises StopIteration: nobody waits.
        """
        return next(iter(self.events))

    def pop(self) -> E:
        """
        Take the first event.

        :raises KeyError: nobody waits.
        """
        return self.events.popitem(last=False)[0]

    def remove(self, event: E) -> None:
        """Let *event* wait no longer; one that does not wait is no error."""
        self.events.pop(event, None)

    def clear(self) -> list[E]:
        """Take all events, in order."""
        events = list(self.events)
        self.events.clear()
        return events

    def oldest_age(self, now: float) -> float:
        """Seconds that the first event has waited, 0 if nobody waits."""
        for event in self.events:
            return max(0.0, now - event.enqueued)
        return 0.0
