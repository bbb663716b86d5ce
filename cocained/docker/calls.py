# -*- test-case-name: cocained.test.test_docker_client -*-
"""
What the groups of calls have in common.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred

from cocained.docker.auth import Credentials
from cocained.docker.transport import Transport

P = ParamSpec("P")
T = TypeVar("T")


def call(
    method: Callable[P, Coroutine[Deferred[Any], Any, T]],
) -> Callable[P, Deferred[T]]:
    """
    Make a coroutine method give a Deferred, as everything public here does.

    Wrong arguments make it fail, too: callers have one way to hear of errors.
    """

    @functools.wraps(method)
    def run(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        return Deferred.fromCoroutine(method(*args, **kwargs))

    return run


class Calls:
    """
    A group of calls.

    :param transport: the way to the engine.
    :param credentials: for registries.
    """

    def __init__(self, transport: Transport, credentials: Credentials) -> None:
        self._transport = transport
        self._credentials = credentials
