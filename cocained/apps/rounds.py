# -*- test-case-name: cocained.test.test_apps_rounds -*-
"""
Something that is looked at again and again.

Nodes that were started together, and apps of one node, must not all ask the
storage at one moment: the first look comes at a time drawn by lot, and each
interval is a little longer or shorter than it should be.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

log = Logger()

#: Share by which an interval differs from what it should be, at most.
JITTER = 0.1


class Rounds:
    """
    A visit now and then, one at a time.

    :param clock: the reactor's.
    :param interval: seconds from the end of a visit to the next.
    :param visit: what is done; has errors of its own only by mistake.
    :param luck: gives numbers from 0 to below 1.
    """

    def __init__(
        self,
        clock: IReactorTime,
        interval: float,
        visit: Callable[[], Coroutine[Any, Any, None]],
        luck: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._interval = interval
        self._visit = visit
        self._luck = luck
        self._call: IDelayedCall | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Begin; the first visit comes within one interval."""
        self._later(self._interval * self._luck())

    def _later(self, delay: float) -> None:
        self._call = self._clock.callLater(delay, self._go)

    def _go(self) -> None:
        self._call = None
        visiting = Deferred.fromCoroutine(self._visit())
        visiting.addErrback(self._failed).addCallback(self._went)

    def _failed(self, failure: Failure) -> None:
        log.failure("a look has failed in a way that it must not", failure)

    def _went(self, result: None) -> None:
        if not self._is_stopped:
            self._later(self._interval * (1 + JITTER * (2 * self._luck() - 1)))

    def stop(self) -> None:
        """Make no other visit; one that is under way goes on."""
        self._is_stopped = True
        if self._call is not None:
            self._call.cancel()
            self._call = None
