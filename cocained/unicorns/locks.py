# -*- test-case-name: cocained.test.test_unicorns -*-
"""
Locks: a queue of ephemeral sequence nodes, the first of which has the lock.

Each waits for the one right in front of it only, so that the end of one wakes
one (plugins.md §4.1).
"""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred

from cocained.errors import InvalidNodeName, NoNode
from cocained.interfaces import IReactor, IUnicornObserver
from cocained.unicorns.keeper import Keeper, Watch
from cocained.unicorns.recipe import make
from cocained.unicorns.scopes import Scope
from cocained.unicorns.values import encode

#: What the nodes of a queue are called, with ten digits behind.
LOCK = "lock"

_PLACE = re.compile(rf"{LOCK}-?[0-9]{{10}}\Z")


class LockScope(Scope):
    """
    One place in the queue for a lock.

    :param value: what its node holds.
    """

    def __init__(
        self,
        reactor: IReactor,
        keeper: Keeper,
        path: str,
        observer: IUnicornObserver,
        value: Any,
    ) -> None:
        super().__init__(reactor, keeper, path, observer)
        self._value = value

    async def follow(self) -> None:
        node = f"{self.path}/{LOCK}"
        # Giving this up while it is under way undoes it, see Keeper.create.
        own = await Deferred.fromCoroutine(
            make(self.keeper, node, encode(self._value), True, True)
        )
        try:
            await self._wait(own.rpartition("/")[2], own)
        finally:
            self.keeper.release(own)

    async def _wait(self, name: str, own: str) -> None:
        held = False
        watch = Watch()
        try:
            while True:
                there = await self.keeper.look(own, watch)
                names, _stat = await self.keeper.names(self.path)
                if there is None or name not in names:
                    raise NoNode(f"{own} has been deleted, and the lock with it")
                ahead = max((other for other in names if other < name), default=None)
                if ahead is not None:
                    if not _PLACE.match(ahead):
                        raise InvalidNodeName(
                            f"{self.path}/{ahead} is in the queue for the lock and is"
                            " no lock; remove it"
                        )
                    if await self.keeper.look(f"{self.path}/{ahead}", watch) is None:
                        watch.cancel()
                        watch = Watch()
                        continue
                elif not held:
                    held = True
                    self.tell(True)
                await watch.happened()
                watch = Watch()
        finally:
            watch.cancel()
