# -*- test-case-name: cocained.test.test_unicorns -*-
"""
Subscriptions: what somebody wants to hear until it is over.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cocained.errors import ChildNotAllowed, NoNode, UnicornError
from cocained.interfaces import Children, IReactor, IScope, IUnicornObserver, Versioned
from cocained.unicorns.keeper import Change, Keeper, Watch
from cocained.unicorns.paths import check_path
from cocained.unicorns.recipe import MISSING, versioned

log = Logger()


@implementer(IScope)
class Scope:
    """
    Something that goes on until it fails or is closed.

    :param reactor: begins it in a turn of its own.
    :param keeper: of the backend.
    :param path: as it was asked for.
    :param observer: hears of it.
    """

    def __init__(
        self, reactor: IReactor, keeper: Keeper, path: str, observer: IUnicornObserver
    ) -> None:
        self.path = path
        self.keeper = keeper
        self._observer: IUnicornObserver | None = observer
        self._running: Deferred[None] | None = None
        self._starting: IDelayedCall | None = reactor.callLater(0, self._start)

    def _start(self) -> None:
        self._starting = None
        running = Deferred.fromCoroutine(self._run())
        self._running = running
        running.addErrback(self._failed)

    async def _run(self) -> None:
        check_path(self.path)
        await self.follow()

    async def follow(self) -> None:
        """Go on until something fails; overridden."""
        raise NotImplementedError

    def tell(self, state: Any) -> None:
        """Tell the observer, if anybody wants to know."""
        if self._observer is not None:
            self._observer.observed(state)

    def _failed(self, failure: Failure) -> None:
        observer, self._observer = self._observer, None
        if observer is None:
            # Closed: what it was waiting for was cancelled.
            failure.trap(CancelledError, UnicornError)
            return
        error = failure.value
        if not isinstance(error, UnicornError):
            log.failure("what is at {path} cannot be followed", failure, path=self.path)
            error = UnicornError(f"{self.path}: {failure.getErrorMessage()}")
        observer.failed(error)

    def close(self) -> None:
        self._observer = None
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.cancel()
        if self._running is not None:
            self._running.cancel()


class NodeScope(Scope):
    """Follows the value of one node."""

    async def follow(self) -> None:
        last: Versioned | None = None
        watch = Watch()
        try:
            while True:
                # Looked at before it is read: no change can slip in between.
                there = await self.keeper.look(self.path, watch)
                if there is None:
                    if last not in (None, MISSING):
                        raise NoNode(f"{self.path} has been deleted")
                    state = MISSING
                else:
                    state = await self._read(watch)
                if state != last:
                    last = state
                    self.tell(state)
                change = await watch.happened()
                if change is Change.DELETED:
                    raise NoNode(f"{self.path} has been deleted")
                watch = Watch()
        finally:
            watch.cancel()

    async def _read(self, watch: Watch) -> Versioned:
        _names, stat = await self.keeper.names(self.path, watch)
        if stat.children:
            raise ChildNotAllowed(f"{self.path} has children")
        data, stat = await self.keeper.read(self.path)
        return versioned(self.path, data, stat)


class ChildrenScope(Scope):
    """Follows the names of what is right below one node."""

    async def follow(self) -> None:
        last: Children | None = None
        watch = Watch()
        try:
            while True:
                names, stat = await self.keeper.names(self.path, watch)
                state = Children(stat.children_version, sorted(names))
                if state != last:
                    last = state
                    self.tell(state)
                change = await watch.happened()
                if change is Change.DELETED:
                    raise NoNode(f"{self.path} has been deleted")
                watch = Watch()
        finally:
            watch.cancel()
