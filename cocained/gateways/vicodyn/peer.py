# -*- test-case-name: cocained.test.test_gateways_vicodyn_peer -*-
"""
One node, and the one connection to it that carries the requests of all apps.

::

    announced ──▶ connecting ──▶ connected ──▶ lost ──▶ waiting ──┐
                      ▲  └──────── refused ────────────▶ │        │
                      └──────────────────────────────────┴────────┘

A connection that is given up, because its node has moved or was dropped, ends
when its last request has: nodes that stop in order finish what they have.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from cocained.apps.burdens import Burdens
from cocained.apps.policy import Backoff
from cocained.errors import CocainedError
from cocained.gateways.health import JITTER
from cocained.rpc.connection import Address, Connection, TimedOut, connect
from cocained.rpc.graph import PING
from cocained.rpc.headers import Header
from cocained.rpc.session import Session
from cocained.rpc.wire import Wiring, cancelled

if TYPE_CHECKING:
    from cocained.gateways.vicodyn.relay import Relay

log = Logger()

#: Seconds for one attempt, over all addresses of a node (plugins.md §4.3).
CONNECT_LIMIT: Final = 60.0

#: Seconds between two questions whether a node is still there.
PING_INTERVAL: Final = 5.0

#: Seconds without an answer after which a connection is given up.  Longer than
#: the pauses of a busy node, shorter than the patience of people.
PING_LIMIT: Final = 30.0


class PeerOwner(Protocol):
    """The gateway, as its peers see it."""

    @property
    def burdens(self) -> Burdens[Link]:
        """Watches connections that are stuck."""

    @property
    def links(self) -> dict[Link, None]:
        """All connections that there are."""

    def peer_changed(self, peer: Peer) -> None:
        """It is connected now, or not any more, or has become well or unwell."""


class Link:
    """
    One connection to a node.

    :param peer: the node.
    :param connection: to its node service.
    :param wiring: of the node's connections.
    :param burdens: watches it when it is stuck.

    :ivar invocations: the requests that it has.
    :ivar is_stuck: whether somebody keeps others from their answers on it.
    """

    def __init__(
        self,
        peer: Peer,
        connection: Connection,
        wiring: Wiring,
        burdens: Burdens[Link],
    ) -> None:
        self.peer = peer
        self.uuid = peer.uuid
        self.session: Session = connection.session
        self.invocations: dict[Relay, None] = {}
        self.is_stuck = False
        self._connection = connection
        self._wiring = wiring
        self._burdens = burdens
        self._retired = False
        # Channel of the question that has no answer yet, and when it was asked.
        self._question = 0
        self._asked = 0.0
        self._call: IDelayedCall | None = wiring.reactor.callLater(
            PING_INTERVAL, self._look
        )
        connection.when_lost().addCallback(self._lost)

    def burdened(self, client: Session | None = None) -> None:
        self._burdens.watch(self, client)

    def retire(self) -> None:
        """Take no more requests, and close when the last one has ended."""
        self._retired = True
        if not self.invocations:
            self._connection.close()

    def hang_up(self, error: CocainedError) -> None:
        """End the connection, and with *error* what is under way on it."""
        self._wiring.turn.begin()
        try:
            self.session.hang_up(error)
        finally:
            self._wiring.turn.end()

    def _lost(self, _: None) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._burdens.forget(self)
        self.peer.disconnected(self)

    # Is the node still there?  Receiver, for the answer

    def _look(self) -> None:
        self._call = None
        now = self._wiring.reactor.seconds()
        if self._retired and not self.invocations:
            self._connection.close()
        elif not self.session.connected:
            # We have hung up, and the transport has yet to notice.
            pass
        elif not self._question:
            self._asked = now
            self._question = self._connection.open(self, PING, [])
        elif self.session.held:
            # It may have answered: we do not read because of a client.
            self._asked = now
        elif now - self._asked >= PING_LIMIT:
            log.warn("node {uuid} does not answer; hanging up", uuid=self.uuid)
            self.hang_up(TimedOut(f"a sign of life of node {self.uuid}", PING_LIMIT))
        self._call = self._wiring.reactor.callLater(PING_INTERVAL, self._look)

    def message(self, kind: int, args: list[Any], headers: list[Header]) -> None:
        self._connection.forget(self._question)
        self._question = 0

    def discard(self, error: CocainedError) -> None:
        """The connection is gone, which :meth:`_lost` hears of, too."""


class Peer:
    """
    One node.

    :param uuid: of the node.
    :param wiring: of this node's connections.
    :param owner: hears of changes.
    :param chance: gives numbers of 0…1, for jitter.

    :ivar extra: what the node said of itself along with its announcement.
    :ivar last_active: when it answered last, in seconds of the clock; 0 if
        never.
    """

    def __init__(
        self,
        uuid: str,
        wiring: Wiring,
        owner: PeerOwner,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.uuid = uuid
        self.extra: Mapping[str, Any] = {}
        self.last_active = 0.0
        #: names of the apps that are announced there
        self.apps: dict[str, None] = {}
        #: the connection, if there is one
        self.link: Link | None = None
        self._wiring = wiring
        self._owner = owner
        self._chance = chance
        # Addresses of its node services, by their names; one is enough.
        self._hosts: dict[str, tuple[Address, ...]] = {}
        self._endpoints: tuple[Address, ...] = ()
        self._silent = False
        self._backoff = Backoff()
        self._connecting: Deferred[Connection] | None = None
        self._retry: IDelayedCall | None = None
        self._refusal = ""

    @property
    def endpoints(self) -> Sequence[Address]:
        """Where its node service is; empty if that is not known."""
        return self._endpoints

    @property
    def is_well(self) -> bool:
        """Whether to choose it before others."""
        return not (self._silent or self.link is None or self.link.is_stuck)

    @property
    def is_silent(self) -> bool:
        """Whether it gave no sign of life when it was asked last."""
        return self._silent

    @property
    def refusal(self) -> str:
        """Why it cannot be reached; empty if it can."""
        return self._refusal

    @property
    def is_known(self) -> bool:
        """Whether it has announced anything that matters here."""
        return bool(self._hosts or self.apps)

    # What the locator tells

    def announced(self, name: str, endpoints: Sequence[Address]) -> None:
        """Its node service is there."""
        self._hosts[name] = tuple(endpoints)
        self._settle()

    def withdrawn(self, name: str) -> None:
        """Its node service is gone; an unknown one is no error."""
        if self._hosts.pop(name, None) is not None:
            self._settle()

    def observed(self, latency: float | None) -> None:
        """It was asked for a sign of life."""
        if self._silent != (latency is None):
            self._silent = latency is None
            self._owner.peer_changed(self)

    def dropped(self) -> None:
        """It is gone, for all that we know."""
        self._hosts.clear()
        self._settle()

    # The connection

    def _settle(self) -> None:
        """Be connected to where the node service is now, and nowhere else."""
        endpoints = next(iter(self._hosts.values()), ())
        if endpoints == self._endpoints:
            return
        self._endpoints = endpoints
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        link, self.link = self.link, None
        if link is not None:
            self._owner.peer_changed(self)
            if self._silent:
                # What it has will not be answered.
                link.hang_up(cancelled())
            else:
                link.retire()
        self._refusal = ""
        if endpoints:
            self._backoff.reset()
            self._connect()

    def _connect(self) -> None:
        self._retry = None
        connecting = connect(
            self._wiring, self._endpoints, CONNECT_LIMIT, f"node {self.uuid}"
        )
        self._connecting = connecting
        connecting.addCallbacks(self._connected, self._refused)

    def _connected(self, connection: Connection) -> None:
        self._connecting = None
        if self._refusal:
            log.info("node {uuid} can be reached again", uuid=self.uuid)
        self._refusal = ""
        self.link = Link(self, connection, self._wiring, self._owner.burdens)
        self._owner.links[self.link] = None
        self._owner.peer_changed(self)

    def _refused(self, failure: Failure) -> None:
        if failure.check(CancelledError) is not None:
            return
        self._connecting = None
        if not self._refusal:
            log.warn(
                "node {uuid} is left out until it can be reached: {error}",
                uuid=self.uuid,
                error=failure.value,
            )
        self._refusal = str(failure.value)
        self._wait()

    def disconnected(self, link: Link) -> None:
        """A connection is gone."""
        self._owner.links.pop(link, None)
        if link is self.link:
            self.link = None
            self._refusal = "the connection was lost"
            log.warn("the connection to node {uuid} is lost", uuid=self.uuid)
            self._owner.peer_changed(self)
            self._wait()

    def _wait(self) -> None:
        reactor = self._wiring.reactor
        delay = self._backoff.failed(reactor.seconds())
        delay *= 1 + JITTER * (2 * self._chance() - 1)
        self._retry = reactor.callLater(delay, self._connect)
