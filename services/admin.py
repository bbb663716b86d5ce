# -*- test-case-name: cocained.test.test_services_admin -*-
"""
What operators ask of a node: how it is, to drain, to serve again.

A service of its own, and ours: clients compare the graphs of ``node`` and
``locator`` whole (decision 0010).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cocained.component import Component, NoArgs
from cocained.errors import Category, CocainedError, InvalidArgument, NodeCode
from cocained.interfaces import INode, IRemoteService
from cocained.rpc.arguments import Signature, optional
from cocained.rpc.dispatch import Protocol
from cocained.rpc.graph import DISCARDABLE, STREAMING
from cocained.rpc.headers import Headers
from cocained.rpc.session import Session
from cocained.rpc.streams import Downstream, Upstream

log = Logger()

#: Seconds between two messages about how far a drain is.
INTERVAL = 0.5

#: Most clients that are told at a time how far it is: each of them costs a look at
#: all apps in each interval.
WATCH_LIMIT = 64

#: Longest time in seconds that requests can be given; more is a slip of units.
TIMEOUT_LIMIT = 86_400.0

_NOTHING = Signature([])


def seconds(value: Any) -> float:
    """A time, whole or not."""
    if type(value) in (int, float) and math.isfinite(value):
        if 0 <= value <= TIMEOUT_LIMIT:
            return float(value)
    raise InvalidArgument(f"expected seconds, 0 to {TIMEOUT_LIMIT:.0f}")


class TooManyWatchers(CocainedError):
    """As many clients watch the drain as may."""

    category = Category.NODE
    code = NodeCode.RESOURCE


class Watch:
    """
    Tells one client how far the drain is, and how it ends.

    The drain goes on when the client goes away.  One that does not read is told
    nothing meanwhile but the end.

    :param node: what drains.
    :param session: the client's connection.
    :param upstream: where to tell.
    :param draining: the end of the drain.
    :param ended: called when nothing more will be told.
    """

    def __init__(
        self,
        node: INode,
        session: Session,
        upstream: Upstream,
        draining: Deferred[None],
        ended: Callable[[], object],
    ) -> None:
        self._node = node
        self._session = session
        self._upstream = upstream
        self._draining = draining
        self._ended = ended
        self._call: IDelayedCall | None = None
        self._tell()
        draining.addCallbacks(self._drained, self._failed)
        draining.addErrback(self._bug)

    def _tell(self) -> None:
        if not self._session.congested:
            self._upstream.write(self._node.progress())
        self._call = self._node.reactor.callLater(INTERVAL, self._tell)

    def _drained(self, result: None) -> None:
        self._rest()
        self._upstream.write(self._node.progress())
        self._upstream.close()

    def _failed(self, failure: Failure) -> None:
        self._rest()
        if not failure.check(CancelledError):
            assert failure.value is not None
            self._upstream.error(failure.value)

    def _bug(self, failure: Failure) -> None:
        log.failure("a drain cannot be watched", failure=failure)

    @property
    def is_over(self) -> bool:
        """Whether the end has been told."""
        return self._upstream.closed

    def _rest(self) -> None:
        self._ended()
        if self._call is not None and self._call.active():
            self._call.cancel()

    def leave(self) -> bool:
        """The client wants to hear no more."""
        self._draining.cancel()
        return True


@implementer(IRemoteService)
class AdminService(Component[NoArgs]):
    """Type ``admin``."""

    protocol = Protocol(version=1)

    def __init__(self, node: INode, name: str, args: NoArgs) -> None:
        super().__init__(node, name, args)
        self._watchers = 0

    @protocol.method(0)
    def status(self) -> dict[str, Any]:
        return dict(self.node.report())

    @protocol.stream(
        1,
        optional(seconds, None),
        dispatch=DISCARDABLE,
        upstream=STREAMING,
        # As a component it has a drain of another kind.
        name="drain",
    )
    def drain_node(
        self,
        session: Session,
        channel: int,
        headers: Headers,
        timeout: float | None,
    ) -> Downstream | None:
        if self._watchers >= WATCH_LIMIT:
            raise TooManyWatchers(
                f"{WATCH_LIMIT} clients watch how the node drains already, the limit;"
                " let some of them go, or ask for its status"
            )
        upstream = Upstream(session, channel, headers)
        log.info("an operator drains the node")
        self._watchers += 1

        def ended() -> None:
            self._watchers -= 1
            session.channels.pop(channel, None)

        draining = self.node.drain(timeout)
        watch = Watch(self.node, session, upstream, draining, ended)
        if watch.is_over:
            return None
        return Downstream(session, channel, {0: (_NOTHING, watch.leave)}, watch.leave)

    @protocol.method(2)
    def resume(self) -> Deferred[None]:
        log.info("an operator lets the node serve again")
        return self.node.resume()
