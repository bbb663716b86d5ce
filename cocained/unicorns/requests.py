# -*- test-case-name: cocained.test.test_unicorns_ensemble -*-
"""
One operation of a ZooKeeper session: what it waits for, and how it may end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kazoo import exceptions as kazoo
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from cocained.errors import (
    ConnectionLoss,
    NodeExists,
    NoNode,
    UnicornError,
    VersionNotAllowed,
)
from cocained.interfaces import IReactor

#: What says that the connection or the session is gone.
_LOSSES = (
    kazoo.ConnectionLoss,
    kazoo.ConnectionClosedError,
    kazoo.SessionExpiredError,
    kazoo.SessionMovedError,
    kazoo.OperationTimeoutError,
)

_ERRORS: tuple[tuple[type[Exception], type[UnicornError], str], ...] = (
    (kazoo.NoNodeError, NoNode, "there is no such node"),
    (kazoo.NodeExistsError, NodeExists, "there is such a node already"),
    (kazoo.BadVersionError, VersionNotAllowed, "the node has another version"),
    (kazoo.NotEmptyError, UnicornError, "the node has children; remove those first"),
    (
        kazoo.NoChildrenForEphemeralsError,
        UnicornError,
        "what is above it is ephemeral and can have no children",
    ),
)


def translated(error: BaseException) -> UnicornError:
    """Make of an error of kazoo one of ours (plugins.md §4.1, last row)."""
    if isinstance(error, _LOSSES):
        return ConnectionLoss("the connection to ZooKeeper or its session is lost")
    for theirs, ours, reason in _ERRORS:
        if isinstance(error, theirs):
            return ours(reason)
    return UnicornError(f"ZooKeeper refuses this: {type(error).__name__} {error}")


class Request:
    """
    One operation.  It stands in *pending* until it has been answered.

    :param reactor: takes answers over from kazoo's thread.
    :param begin: starts it at a client.
    :param convert: the answer to what the caller wants.
    :param undo: called with an answer that nobody wants any more.
    :param lost: called if nobody knows whether it took place.

    :ivar has_begun: whether a client has it.
    :ivar answer: what the caller waits for; fails with ``UnicornError`` only.
    """

    def __init__(
        self,
        reactor: IReactor,
        pending: dict[Request, None],
        begin: Callable[[Any], Any],
        convert: Callable[[Any], Any],
        undo: Callable[[Any], object] | None,
        lost: Callable[[], object] | None,
    ) -> None:
        self._reactor = reactor
        self._pending = pending
        self._begin = begin
        self._convert = convert
        self._undo = undo
        self._lost = lost
        self.has_begun = False
        self._wanted = True
        self._late: IDelayedCall | None = None
        self.answer: Deferred[Any] = Deferred(self._give_up)
        pending[self] = None

    def bound(self, seconds: float, error: UnicornError) -> None:
        """Wait for the answer so long and no longer."""
        self._late = self._reactor.callLater(seconds, self.refuse, error)

    def submit(self, client: Any) -> None:
        """Begin, unless that has been done."""
        if self.has_begun:
            return
        self.has_begun = True
        try:
            result = self._begin(client)
        except Exception as error:
            # It has been refused before it was sent.
            self.refuse(translated(error))
        else:
            result.rawlink(self._thd_answered)

    def refuse(self, error: UnicornError) -> None:
        """Fail; what comes of it afterwards is undone if that can be."""
        if self._wanted:
            self._forget()
            self.answer.errback(error)

    def _give_up(self, answer: Deferred[Any]) -> None:
        self._forget()

    def _forget(self) -> None:
        self._wanted = False
        self._pending.pop(self, None)
        if self._late is not None and self._late.active():
            self._late.cancel()

    def _thd_answered(self, result: Any) -> None:
        self._reactor.callFromThread(self._answered, result.value, result.exception)

    def _answered(self, value: Any, error: BaseException | None) -> None:
        if error is not None:
            if isinstance(error, _LOSSES) and self._lost is not None:
                self._lost()
            self.refuse(translated(error))
            return
        converted = self._convert(value)
        if self._wanted:
            self._forget()
            self.answer.callback(converted)
        elif self._undo is not None:
            self._undo(converted)
