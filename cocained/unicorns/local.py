# -*- test-case-name: cocained.test.test_unicorns -*-
"""
A keeper of this node alone: a tree, somewhere to note its changes, watches.

::

    reactor   operation ──▶ run ─┐           ┌─▶ answer, then watches
    lane      plan, note, apply ◀┘───────────┘
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred, fail

from cocained.errors import ConnectionLoss, UnicornBusy, UnicornError
from cocained.interfaces import IReactor
from cocained.unicorns.keeper import Change, Stat, Watch, shielded
from cocained.unicorns.tree import Event, Plan, State, Tree

T = TypeVar("T")

#: Operations that may wait at once: half a minute for a disk that takes 10 ms to
#: keep something for good.
PENDING_LIMIT = 4096


class Notes(Protocol):
    """Where changes are kept for good."""

    def note(self, states: list[State]) -> None:
        """
        Keep a change.  Blocks.

        :raises UnicornError: it could not be kept, and has not happened.
        """


class Nowhere:
    """Keeps nothing."""

    def note(self, states: list[State]) -> None:
        """See :class:`Notes`."""


class Run(Protocol):
    """Runs blocking functions, one at a time and in the order asked."""

    def __call__(self, function: Callable[[], T], /) -> Deferred[T]:
        """The Deferred fails with ``UnicornError`` only."""


class LocalKeeper:
    """
    A :class:`~cocained.unicorns.keeper.Keeper` over a tree.

    :param reactor: tells watches in a turn of their own.
    :param tree: belongs to whatever thread *run* uses.
    :param notes: the same.
    :param run: where the tree is looked at and changed.
    """

    def __init__(self, reactor: IReactor, tree: Tree, notes: Notes, run: Run) -> None:
        self._reactor = reactor
        self._tree = tree
        self._notes = notes
        self._run = run
        self._pending = 0
        self._closed = False
        #: who looks at a node itself, and who at its children
        self._watches: dict[tuple[str, bool], set[Watch]] = {}

    def close(self) -> None:
        """End all watches, and refuse what is asked from now on."""
        self._closed = True
        watches, self._watches = self._watches, {}
        for found in watches.values():
            for watch in list(found):
                watch.fire(self._loss())

    @property
    def watched(self) -> int:
        """How many things are looked at."""
        return len(self._watches)

    # Keeper

    def read(self, path: str) -> Deferred[tuple[bytes, Stat]]:
        return self._ask(lambda: self._tree.read(path))

    def look(self, path: str, watch: Watch | None = None) -> Deferred[Stat | None]:
        if watch is not None:
            self._arm((path, False), watch)
        return self._ask(lambda: self._tree.look(path))

    def names(
        self, path: str, watch: Watch | None = None
    ) -> Deferred[tuple[list[str], Stat]]:
        if watch is not None:
            self._arm((path, True), watch)
        return self._ask(lambda: self._tree.names(path))

    def create(
        self, path: str, data: bytes, ephemeral: bool = False, sequence: bool = False
    ) -> Deferred[str]:
        return self._change(
            lambda: self._tree.create(path, data, ephemeral, sequence),
            lambda states: states[0].path,
            self.release if ephemeral else None,
        )

    def write(self, path: str, data: bytes, version: int) -> Deferred[Stat]:
        return self._change(
            lambda: self._tree.write(path, data, version),
            lambda states: self._tree.read(path)[1],
        )

    def delete(self, path: str, version: int) -> Deferred[None]:
        return self._change(
            lambda: self._tree.delete(path, version), lambda states: None
        )

    def release(self, path: str) -> None:
        # A disk that refuses this keeps the node until the next start.
        self.delete(path, -1).addErrback(lambda failure: failure.trap(UnicornError))

    def _change(
        self,
        plan: Callable[[], Plan],
        answer: Callable[[list[State]], T],
        undo: Callable[[T], object] | None = None,
    ) -> Deferred[T]:
        def change() -> tuple[T, list[Event]]:
            states, events = plan()
            self._notes.note(states)
            self._tree.apply(states)
            return answer(states), events

        def changed(outcome: tuple[T, list[Event]]) -> T:
            result, events = outcome
            for event in events:
                self._reactor.callLater(0, self._tell, event)
            return result

        return shielded(self._ask(change).addCallback(changed), undo)

    def _ask(self, function: Callable[[], T]) -> Deferred[T]:
        def answered(result: T) -> T:
            self._pending -= 1
            return result

        if self._closed:
            return fail(self._loss())
        if self._pending >= PENDING_LIMIT:
            return fail(
                UnicornBusy(
                    f"{PENDING_LIMIT} operations wait for the disk, which is the"
                    " limit; try again later, and look for a slow disk"
                )
            )
        self._pending += 1
        asked: Deferred[T] = self._run(function)
        return asked.addBoth(answered)

    # Watches

    def _arm(self, key: tuple[str, bool], watch: Watch) -> None:
        def disarm() -> None:
            found = self._watches.get(key)
            if found is not None:
                found.discard(watch)
                if not found:
                    del self._watches[key]

        self._watches.setdefault(key, set()).add(watch)
        watch.armed(disarm)

    def _tell(self, event: Event) -> None:
        path, change = event
        keys = [(path, change is Change.CHILDREN)]
        if change is Change.DELETED:
            keys.append((path, True))
        for key in keys:
            for watch in self._watches.pop(key, set()):
                watch.fire(change)

    def _loss(self) -> ConnectionLoss:
        return ConnectionLoss("this backend has been stopped")
