# -*- test-case-name: cocained.test.test_services_follower -*-
"""
Refreshes of routing groups that began at other nodes.

The storage is shared, the rings are each node's own.  A node that hears that a
group was refreshed reads it anew, and tells nobody: who told it told everybody.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from cocained.errors import CocainedError
from cocained.links.backoff import delay
from cocained.services.groups import RoutingGroups

log = Logger()

#: Most seconds until a refresh is followed.  The moment is chosen at random:
#: a thousand nodes should not ask one storage at once.  What is heard meanwhile
#: is followed along.
SPREAD = 0.25

#: The same for all groups.  A node that starts hears a thousand others within
#: seconds, and may have missed something of each.
SPREAD_OF_ALL = 5.0

#: Waits after a storage has failed, in seconds: the first one at most, and the
#: longest.
RETRY = (1.0, 32.0)

#: Most names that wait; beyond it all groups are read.
NAMES_LIMIT = 1024


class GroupFollower:
    """
    Follows what others have refreshed.

    :param groups: of this node.
    :param clock: the only source of time.
    :param changed: called when rings have changed.
    :param rng: gives a number of 0 up to 1.
    """

    def __init__(
        self,
        groups: RoutingGroups,
        clock: IReactorTime,
        changed: Callable[[], None],
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._groups = groups
        self._clock = clock
        self._changed = changed
        self._random = rng
        self._names: set[str] = set()
        self._all = False
        self._call: IDelayedCall | None = None
        self._reading: Deferred[None] | None = None
        self._failures = 0
        self._stopped = False

    def heard(self, names: Iterable[str]) -> None:
        """
        Another node has refreshed groups, or may have.

        :param names: all groups if there are none.
        """
        if self._stopped:
            return
        names = set(names)
        if names and len(self._names | names) <= NAMES_LIMIT:
            self._names |= names
        else:
            self._all = True
        # A storage that fails is left in peace, whatever is heard.
        if self._reading is None and not self._failures:
            self._soon()

    def stop(self) -> None:
        """Follow nothing more."""
        self._stopped = True
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._reading is not None:
            self._reading.cancel()

    def _soon(self) -> None:
        spread = SPREAD if self._names else SPREAD_OF_ALL
        if self._call is not None:
            # The moment is drawn once: the earliest of many would be at once.
            if self._call.getTime() <= self._clock.seconds() + spread:
                return
            self._call.cancel()
        self._wait(spread * self._random())

    def _wait(self, seconds: float) -> None:
        self._call = self._clock.callLater(seconds, self._follow)

    def _follow(self) -> None:
        self._call = None
        names = () if self._all else tuple(self._names)
        self._names, self._all = set(), False
        reading = self._reading = Deferred.fromCoroutine(self._read(names))
        reading.addBoth(self._done, names)

    async def _read(self, names: tuple[str, ...]) -> None:
        if await self._groups.follow(names):
            self._changed()

    def _done(self, result: Failure | None, names: tuple[str, ...]) -> None:
        self._reading = None
        if self._stopped:
            return
        if result is None:
            self._failures = 0
            if self._names or self._all:
                self._soon()
            return
        self._failures += 1
        wait = delay(self._failures, *RETRY, self._random)
        if result.check(CocainedError):
            log.warn(
                "refreshed routing groups cannot be read: {error}; trying again in"
                " {wait:.1f} s",
                error=result.value,
                wait=wait,
            )
        else:
            log.failure("routing groups cannot be followed", failure=result)
        self._again(names)
        self._wait(wait)

    def _again(self, names: tuple[str, ...]) -> None:
        self._names.update(names)
        self._all |= not names or len(self._names) > NAMES_LIMIT
