# -*- test-case-name: cocained.test.test_isolates_docker_graves -*-
"""
Containers that are to be removed, until they are.

An engine may be away, busy, or still at it; so each is tried again until it is
gone.  What is left when the node ends is known by its labels, see
:mod:`~cocained.isolates.docker.orphans`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from cocained.docker.errors import DockerError, NotFound

log = Logger()

#: Removals at the same time: more only make an engine's disk seek, and would
#: stand in the way of workers to come.
PARALLEL = 4

#: Seconds before the second attempt, and at most between two.
FIRST_DELAY, LAST_DELAY = 0.25, 30.0


class Graves:
    """
    What one app has left with an engine.

    :param clock: the reactor's.
    :param remove: asks the engine to remove a container, by force.
    """

    def __init__(
        self, clock: IReactorTime, remove: Callable[[str], Deferred[None]]
    ) -> None:
        self._clock = clock
        self._remove = remove
        self._queue: deque[str] = deque()
        #: attempts that failed, by container, of all that are not gone
        self._failed: dict[str, int] = {}
        self._busy = 0
        self._waiting: list[Deferred[None]] = []

    def __len__(self) -> int:
        """Say how many are not gone."""
        return len(self._failed)

    def bury(self, container: str) -> None:
        """Remove a container, now or as soon as that can be done."""
        if container not in self._failed:
            self._failed[container] = 0
            self._queue.append(container)
            self._work()

    def when_tried(self) -> Deferred[None]:
        """
        Wait until each is gone, or has resisted at least once.

        :returns: fires when there is nothing more to wait for.  Cancelling it
            only ends the waiting.
        """
        if self._is_tried():
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

    def _is_tried(self) -> bool:
        return all(self._failed.values())

    def _work(self) -> None:
        while self._queue and self._busy < PARALLEL:
            container = self._queue.popleft()
            self._busy += 1
            removing = self._remove(container)
            removing.addCallbacks(
                self._removed, self._failure, (container,), {}, (container,)
            )
            removing.addErrback(self._bug, container)
            removing.addBoth(self._done)

    def _removed(self, result: None, container: str) -> None:
        del self._failed[container]

    def _failure(self, failure: Failure, container: str) -> None:
        failure.trap(DockerError)
        if failure.check(NotFound):
            self._removed(None, container)
            return
        failed = self._failed[container]
        self._failed[container] = failed + 1
        delay = min(FIRST_DELAY * 2**failed, LAST_DELAY)
        log.debug(
            "container {container} is not removed yet, next attempt in {delay} s:"
            " {error}",
            container=container,
            delay=delay,
            error=failure.value,
        )
        self._clock.callLater(delay, self._again, container)

    def _again(self, container: str) -> None:
        self._queue.append(container)
        self._work()

    def _bug(self, failure: Failure, container: str) -> None:
        log.failure(
            "container {container} is not removed", failure=failure, container=container
        )
        self._failed.pop(container, None)

    def _done(self, result: None) -> None:
        self._busy -= 1
        if self._is_tried():
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)
        self._work()
