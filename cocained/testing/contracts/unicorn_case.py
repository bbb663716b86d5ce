# -*- test-case-name: cocained.test.test_unicorns -*-
# mypy: allow-untyped-calls
# (Assertions of trial have no types.)
"""
How tests of unicorns wait for answers, and look at them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from queue import Empty
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from cocained.errors import UnicornError
from cocained.interfaces import IUnicornObserver

if TYPE_CHECKING:
    _Case = SynchronousTestCase
else:
    # Trial runs every test case that it finds in a module, imported or not.
    _Case = object

E = TypeVar("E", bound=UnicornError)

#: Seconds to wait for a thread, and how often before a test has failed.
PAUSE, TRIES = 0.02, 2000


@implementer(IUnicornObserver)
class MemoryObserver:
    """
    An observer that remembers.

    :ivar states: what it was told, in order.
    :ivar error: the end.
    """

    def __init__(self) -> None:
        self.states: list[Any] = []
        self.error: UnicornError | None = None

    @property
    def told(self) -> int:
        """How often it was told something."""
        return len(self.states) + (self.error is not None)

    def observed(self, state: Any) -> None:
        if self.error is not None:
            raise AssertionError("told something after the end")
        self.states.append(state)

    def failed(self, error: UnicornError) -> None:
        if self.error is not None:
            raise AssertionError("ended twice")
        self.error = error


class UnicornCase(_Case):
    """
    Waits for unicorns that answer at once and for those with threads.

    :ivar node: a :func:`~cocained.testing.stub_node`; its time stands still.
    :ivar unicorn: has been started.
    """

    node: Any
    unicorn: Any

    def wait_until(self, is_done: Callable[[], object]) -> None:
        """Let things happen until *is_done* says so."""
        reactor = self.node.reactor
        for _ in range(TRIES):
            reactor.pump_ready()
            reactor.advance(0)
            if is_done():
                return
            with contextlib.suppress(Empty):
                reactor.pump_one(PAUSE)
        raise AssertionError("what is waited for does not happen")

    def result_of(self, deferred: Deferred[Any]) -> Any:
        self.wait_until(lambda: deferred.called and not deferred.paused)
        return self.successResultOf(deferred)

    def error_of(self, deferred: Deferred[Any], kind: type[E]) -> E:
        self.wait_until(lambda: deferred.called and not deferred.paused)
        error = self.failureResultOf(deferred, UnicornError).value
        self.assertIs(type(error), kind, str(error))
        assert isinstance(error, kind)
        return error

    def settle(self) -> None:
        """Let all happen that is under way."""
        for _ in range(3):
            self.result_of(self.unicorn.get("/settled"))

    def states_of(self, observer: MemoryObserver, count: int) -> list[Any]:
        """Wait for so many states, and give all."""
        self.wait_until(lambda: len(observer.states) >= count or observer.error)
        self.assertIsNone(observer.error)
        return observer.states

    def end_of(self, observer: MemoryObserver, kind: type[E]) -> E:
        """Wait for the end, and give it."""
        self.wait_until(lambda: observer.error is not None)
        self.assertIs(type(observer.error), kind, str(observer.error))
        assert isinstance(observer.error, kind)
        return observer.error

    def create(self, path: str, value: Any = None) -> None:
        """Make a node."""
        self.result_of(self.unicorn.create(path, value))

    def remove(self, path: str) -> None:
        """Delete a node."""
        self.result_of(self.unicorn.remove(path, -1))

    def names(self, path: str) -> list[str]:
        """Give the names of a node's children, by a subscription."""
        observer = MemoryObserver()
        scope = self.unicorn.children_subscribe(path, observer)
        (children,) = self.states_of(observer, 1)
        scope.close()
        return list(children.names)
