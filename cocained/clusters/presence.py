# -*- test-case-name: cocained.test.test_clusters_zookeeper -*-
"""
This node's own entry among the members: made, watched, made again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cocained.errors import NodeExists, NoNode, UnicornError
from cocained.interfaces import IScope, IUnicorn, IUnicornObserver, Versioned

log = Logger()

#: Seconds between looks at whether the locator has an address yet.
LOOK = 0.5

#: Seconds that the entry has to be removed when the node stops; afterwards it
#: goes with its session.
FAREWELL = 3.0

Endpoints = Sequence[tuple[str, int]]


@implementer(IUnicornObserver)
class Presence:
    """
    An ephemeral node with the addresses of our locator.

    :param clock: the reactor's.
    :param unicorn: where.
    :param path: of the entry.
    :param endpoints: gives the addresses; none means that there are none yet.
    :param retry: seconds between attempts.
    :param tried: called after each attempt with what went wrong, or ``None``.
    """

    def __init__(
        self,
        clock: IReactorTime,
        unicorn: IUnicorn,
        path: str,
        endpoints: Callable[[], Endpoints],
        retry: float,
        tried: Callable[[UnicornError | None], object],
    ) -> None:
        self._clock = clock
        self._unicorn = unicorn
        self._path = path
        self._endpoints = endpoints
        self._retry = retry
        self._tried = tried
        self._scope: IScope | None = None
        self._asked: Deferred[Any] | None = None
        self._later: IDelayedCall | None = None
        self._value: list[list[Any]] = []
        self._was_there = False
        #: whether the entry is there, as far as we know
        self.is_there = False

    def start(self) -> None:
        """Make the entry as soon as there is something to say."""
        self._later = None
        endpoints = self._endpoints()
        if not endpoints:
            self._later = self._clock.callLater(LOOK, self.start)
            return
        self._value = [[host.encode(), port] for host, port in endpoints]
        self._asked = Deferred.fromCoroutine(self._announce())
        self._asked.addCallbacks(self._announced, self._refused)

    def stop(self) -> Deferred[None]:
        """
        Remove the entry.

        :returns: fires when it is gone or the time is over; never fails.
        """
        was_there, self.is_there = self.is_there, False
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._scope is not None:
            self._scope.close()
            self._scope = None
        if self._asked is not None:
            self._asked.cancel()
        if not was_there:
            return succeed(None)
        removed = self._unicorn.remove(self._path, -1)
        removed.addTimeout(FAREWELL, self._clock)
        return removed.addErrback(self._not_removed)

    def _not_removed(self, failure: Failure) -> None:
        log.debug("{path} goes with its session", path=self._path, failure=failure)

    async def _announce(self) -> None:
        if not self._was_there:
            try:
                # Of a former life, whose session would take it along when it
                # expires, and everybody would drop us in the midst of our work.
                await self._unicorn.remove(self._path, -1)
            except NoNode:
                pass
        try:
            await self._unicorn.create(self._path, self._value, ephemeral=True)
        except NodeExists:
            # Ours, and the connection was lost for a while; or somebody else's,
            # who says that he is us.
            value, version = await self._unicorn.get(self._path)
            if value != self._value and version >= 0:
                await self._unicorn.put(self._path, self._value, version)

    def _announced(self, ignored: None) -> None:
        self._asked = None
        self.is_there = self._was_there = True
        self._scope = self._unicorn.subscribe(self._path, self)
        self._tried(None)

    def _refused(self, failure: Failure) -> None:
        self._asked = None
        if failure.check(UnicornError):
            self._lost(failure.value)
        # Else it was cancelled, since we stop.

    def _lost(self, error: Any) -> None:
        self._scope = None
        self._later = self._clock.callLater(self._retry, self.start)
        self._tried(error)

    # IUnicornObserver

    def observed(self, state: Versioned) -> None:
        if state.version < 0:
            # It went before it could be watched.
            assert self._scope is not None
            self._scope.close()
            self._gone()
        elif state.value != self._value:
            log.warn(
                "{path} has been changed by somebody else: it says {value}; each node"
                " needs a uuid of its own",
                path=self._path,
                value=state.value,
            )

    def failed(self, error: UnicornError) -> None:
        if isinstance(error, NoNode):
            self._gone()
        else:
            self._lost(error)

    def _gone(self) -> None:
        self._scope = None
        self.is_there = False
        self.start()
