# -*- test-case-name: cocained.test.test_unicorns -*-
"""
The base of backends that have a keeper.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from cocained.component import Component
from cocained.errors import UnicornError
from cocained.interfaces import IScope, IUnicornObserver, Versioned
from cocained.unicorns import recipe
from cocained.unicorns.keeper import Keeper
from cocained.unicorns.locks import LockScope
from cocained.unicorns.scopes import ChildrenScope, NodeScope

log = Logger()

A = TypeVar("A", bound=msgspec.Struct)
T = TypeVar("T")


class KeeperUnicorn(Component[A]):
    """
    The methods of :class:`~cocained.interfaces.IUnicorn`, done by the recipes.

    :ivar keeper: made by the subclass.
    """

    keeper: Keeper

    def get(self, path: str) -> Deferred[Versioned]:
        return self._do(recipe.get(self.keeper, path))

    def put(
        self, path: str, value: Any, version: int
    ) -> Deferred[tuple[bool, Versioned]]:
        return self._do(recipe.put(self.keeper, path, value, version))

    def create(
        self, path: str, value: Any, ephemeral: bool = False, sequence: bool = False
    ) -> Deferred[str]:
        return self._do(recipe.create(self.keeper, path, value, ephemeral, sequence))

    def remove(self, path: str, version: int) -> Deferred[None]:
        return self._do(recipe.remove(self.keeper, path, version))

    def increment(self, path: str, value: Any) -> Deferred[Versioned]:
        return self._do(recipe.increment(self.keeper, path, value))

    def subscribe(self, path: str, observer: IUnicornObserver) -> IScope:
        return NodeScope(self.node.reactor, self.keeper, path, observer)

    def children_subscribe(self, path: str, observer: IUnicornObserver) -> IScope:
        return ChildrenScope(self.node.reactor, self.keeper, path, observer)

    def lock(self, path: str, observer: IUnicornObserver, value: Any = ...) -> IScope:
        if value is ...:
            value = int(self.node.reactor.seconds())
        reactor = self.node.reactor
        return LockScope(reactor, self.keeper, path, observer, value)

    def _do(self, coroutine: Coroutine[Any, Any, T]) -> Deferred[T]:
        return Deferred.fromCoroutine(coroutine).addErrback(self._eb_only_ours)

    def _eb_only_ours(self, failure: Failure) -> Failure:
        """Keep the promise that nothing but ``UnicornError`` comes out."""
        if not isinstance(failure.value, UnicornError | CancelledError):
            log.failure(
                "unicorn {unicorn}: an operation broke", failure, unicorn=self.name
            )
            raise UnicornError(f"unicorn {self.name!r}: {failure.getErrorMessage()}")
        return failure
