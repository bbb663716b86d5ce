# -*- test-case-name: cocained.test.test_apps_policy -*-
"""
How many workers an app should have (protocol.md §10.3), as pure functions.

The pool is a loop that applies :func:`decide`; :class:`Backoff` says when a
pool whose workers keep failing may try again.
"""

from __future__ import annotations

from typing import NamedTuple

#: Seconds between a failure and the next spawn: doubling from the first to
#: the last while failures come closer than the last (protocol.md §10.3).
BACKOFF_FIRST = 1.0
BACKOFF_LAST = 32.0


class Limits(NamedTuple):
    """The part of a profile that the policy looks at."""

    pool: int
    concurrency: int
    queue: int
    grow_threshold: int


class Population(NamedTuple):
    """
    The pool as it is.

    :param workers: all that are or will be able to work: spawning ones too,
        sealing and terminating ones not.
    :param active: those among them that take events now.
    :param load: open channels of the active ones.
    :param queued: events that wait.
    :param wanted: number asked for by ``control``; 0 is automatic.
    :param awake: whether the app has had work recently; an app that sleeps
        needs no worker.
    """

    workers: int
    active: int
    load: int
    queued: int
    wanted: int
    awake: bool


class Decision(NamedTuple):
    """What to do: spawn so many, or seal so many of the least loaded."""

    spawn: int = 0
    seal: int = 0


def target(population: Population, limits: Limits) -> int:
    """Say how many workers there should be, 0…``limits.pool``."""
    if population.wanted > 0:
        wanted = population.wanted
    elif limits.queue > 0:
        wanted = population.queued // limits.grow_threshold
    else:
        vacant = population.workers * limits.concurrency - population.load
        lacking = population.queued - vacant
        wanted = population.workers - (-lacking // limits.concurrency)
        if lacking < 0:
            wanted = 0
    floor = 1 if population.awake or population.queued or population.wanted else 0
    return max(floor, min(wanted, limits.pool))


def decide(population: Population, limits: Limits) -> Decision:
    """
    Compare the pool with its target.

    In automatic mode a pool only grows; it shrinks by idle-timeout.
    """
    goal = target(population, limits)
    if population.workers < goal:
        return Decision(spawn=goal - population.workers)
    if population.wanted > 0 and population.active > goal:
        return Decision(seal=population.active - goal)
    return Decision()


def has_room(population: Population, limits: Limits) -> bool:
    """
    Say whether one more event may wait.

    Without a queue (``queue-limit: 0``) events may wait only as far as the
    whole pool, at its limit, could take them at once.
    """
    if limits.queue > 0:
        return population.queued < limits.queue
    vacant = limits.pool * limits.concurrency - population.load
    return population.queued < vacant


class Backoff:
    """Delays between spawns while workers fail."""

    __slots__ = ("_delay", "_last")

    def __init__(self) -> None:
        self._delay = 0.0
        self._last: float | None = None

    def failed(self, now: float) -> float:
        """
        Count a failure.

        :param now: seconds.
        :returns: seconds to wait before the next spawn.
        """
        if self._last is not None and now - self._last < BACKOFF_LAST + self._delay:
            self._delay = min(self._delay * 2, BACKOFF_LAST)
        else:
            self._delay = BACKOFF_FIRST
        self._last = now
        return self._delay

    def reset(self) -> None:
        """Forget the past, as when a person starts the app anew."""
        self._delay = 0.0
        self._last = None
