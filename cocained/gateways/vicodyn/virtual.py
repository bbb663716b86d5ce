# -*- test-case-name: cocained.test.test_gateways_vicodyn -*-
"""
The copies of one app, and the service under which clients reach them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from cocained.component import Still
from cocained.errors import (
    AppStopped,
    Category,
    CocainedError,
    DispatchCode,
    NodeCode,
    SlotNotFound,
)
from cocained.gateways.choice import Choice, Load, Policy
from cocained.gateways.vicodyn.likeness import ENQUEUE
from cocained.gateways.vicodyn.peer import Link, Peer
from cocained.gateways.vicodyn.relay import Relay
from cocained.interfaces import IRemoteService
from cocained.rpc.arguments import blob, optional
from cocained.rpc.codec import raw_head
from cocained.rpc.dispatch import Protocol
from cocained.rpc.graph import PRIMITIVE, STREAMING
from cocained.rpc.headers import Headers
from cocained.rpc.session import CHANNEL_LIMIT, Session
from cocained.rpc.turn import Turn

#: Bytes that the requests of all apps together keep for other peers.  With
#: requests of a KiB that is sixty thousand at once.
KEEP_TOTAL: Final = 64 * 1024 * 1024

#: The error by which a node says that an app is not there.
_NOT_RUNNING = (int(Category.NODE), int(NodeCode.NOT_RUNNING))


class NoPeers(CocainedError):
    """There are copies of an app, and no connection to any of their nodes."""

    category = Category.DISPATCH
    code = DispatchCode.NOT_CONNECTED


class Ration:
    """
    Memory for requests that may have to be sent again.

    :ivar left: bytes.
    """

    __slots__ = ("left",)

    def __init__(self, left: int = KEEP_TOTAL) -> None:
        self.left = left


class Copy:
    """
    The app on one node.

    :ivar runs: whether the node, when it was asked, had it running.
    """

    __slots__ = ("load", "peer", "runs")

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.load = Load()
        self.runs = True

    @property
    def link(self) -> Link | None:
        """The connection to its node."""
        return self.peer.link


class VirtualApp:
    """
    One app, wherever it runs.

    :param name: of the app.
    :param policy: how a copy is chosen.
    :param retries: how often a request that was refused is given to somebody.
    :param chance: for the policy.
    :param turn: of the node's connections.
    :param ration: shared by all apps.
    """

    def __init__(
        self,
        name: str,
        policy: Policy,
        retries: int,
        chance: Random,
        turn: Turn,
        ration: Ration,
    ) -> None:
        raw = name.encode("utf-8", "surrogateescape")
        self.name = name
        self.service = VirtualService(self)
        self.enqueue_head = bytes((ENQUEUE, 0x92)) + raw_head(len(raw)) + raw
        #: by node
        self.copies: dict[str, Copy] = {}
        self._choice: Choice[Copy] = Choice(policy, chance)
        self._retries = retries
        self.turn = turn
        self._ration = ration
        self._closed = False
        self._relays: dict[Relay, None] = {}
        self._quiet: list[Deferred[None]] = []
        #: requests that were taken, given to somebody else, or refused here
        self.accepted = self.retried = self.refusals = 0

    # Copies

    @property
    def is_reachable(self) -> bool:
        """Whether there is a connection to any node that has the app."""
        return len(self._choice) > 0

    def judge(self, copy: Copy) -> None:
        """Let a copy take part if it can, before others if it is well."""
        peer = copy.peer
        if peer.link is None:
            self._choice.discard(copy)
        else:
            self._choice.add(copy, copy.runs and peer.is_well)

    def announced(self, peer: Peer) -> None:
        """A node says that it has the app."""
        copy = self.copies.get(peer.uuid)
        if copy is None:
            copy = self.copies[peer.uuid] = Copy(peer)
        copy.runs = True
        self.judge(copy)

    def withdrawn(self, uuid: str) -> None:
        """A node does not have the app any more; an unknown one is no error."""
        copy = self.copies.pop(uuid, None)
        if copy is not None:
            self._choice.discard(copy)

    # Requests

    def enqueue(
        self, session: Session, channel: int, headers: Headers, event: bytes
    ) -> Relay:
        """
        Take a request from a client.

        :raises AppStopped: no node has the app any more.
        :raises NoPeers: no node that has it can be reached.
        :raises InvalidTrace: the headers hold a bad trace.
        """
        if self._closed:
            raise AppStopped()
        copy = self._pick(())
        link = copy.link if copy is not None else None
        if copy is None or link is None:
            self.refusals += 1
            raise NoPeers(
                f"none of the {len(self.copies)} nodes with app {self.name} can be"
                " reached now, or takes more"
            )
        relay = Relay(self, session, channel, event, headers)
        self.accepted += 1
        self._relays[relay] = None
        relay.give(copy, link)
        return relay

    def _pick(self, tried: Sequence[Copy]) -> Copy | None:
        """Choose a copy whose connection takes one more request."""
        now = self.turn.now
        full = tried
        for _ in range(len(self._choice)):
            copy = self._choice.pick(now, full)
            if copy is None:
                return None
            link = copy.peer.link
            if link is None or not link.session.connected:
                # It has just broken; its peer is about to notice.
                self._choice.discard(copy)
            elif len(link.invocations) < CHANNEL_LIMIT:
                return copy
            else:
                full = [*full, copy]
        return None

    # For requests

    def keep(self, size: int) -> bool:
        """
        Take memory, or give it back.

        :param size: bytes; fewer than none to give them back.
        :returns: whether there were so many.
        """
        left = self._ration.left - size
        if left < 0 < size:
            return False
        self._ration.left = left
        return True

    def answered(self, copy: Copy, link: Link, began: float) -> None:
        """The answer of a request that began at *began* has begun."""
        now = self.turn.now
        copy.load.observe(now - began, now)
        link.peer.last_active = now

    def refused(self, copy: Copy, error: tuple[int, int]) -> None:
        """A copy did not take a request."""
        copy.load.failed(self.turn.now)
        if error == _NOT_RUNNING and self.copies.get(copy.peer.uuid) is copy:
            # Until it is announced again, others are asked first.
            copy.runs = False
            self.judge(copy)

    def another(self, tried: Sequence[Copy]) -> Copy | None:
        """Choose once more, after these; ``None`` if that was enough."""
        if len(tried) > self._retries or self._closed:
            return None
        copy = self._pick(tried)
        self.retried += copy is not None
        return copy

    def finished(self, relay: Relay) -> None:
        """A request has ended."""
        del self._relays[relay]
        if not self._relays:
            quiet, self._quiet = self._quiet, []
            for waiter in quiet:
                waiter.callback(None)

    # The end

    def close(self) -> None:
        """Take no more requests; those that there are live on."""
        self._closed = True

    def when_quiet(self) -> Deferred[None]:
        """
        Wait until no request is under way.

        :returns: fires at once if none is.
        """
        if not self._relays:
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._quiet.remove)
        self._quiet.append(waiter)
        return waiter

    def abandon(self, error: CocainedError) -> None:
        """End all requests with an error, on both sides."""
        for relay in list(self._relays):
            relay.abandon(error)


@implementer(IRemoteService)
class VirtualService(Still):
    """
    What an app offers; requests are relayed and the rest is not.

    :param app: what is served.
    """

    protocol = Protocol(version=1)

    def __init__(self, app: VirtualApp) -> None:
        self.name = f"virtual::{app.name}"
        self._app = app

    @protocol.stream(
        0, blob, optional(blob, b""), dispatch=STREAMING, upstream=STREAMING
    )
    def enqueue(
        self,
        session: Session,
        channel: int,
        headers: Headers,
        event: bytes,
        tag: bytes,
    ) -> Relay:
        return self._app.enqueue(session, channel, headers, event)

    @protocol.method(1)
    def info(self) -> dict[str, Any]:
        raise self._not_here("info")

    @protocol.stream(2, dispatch=STREAMING, upstream=PRIMITIVE)
    def control(self, session: Session, channel: int, headers: Headers) -> None:
        raise self._not_here("control")

    def _not_here(self, method: str) -> SlotNotFound:
        return SlotNotFound(
            f"app {self._app.name} is reached through a gateway, which has no"
            f" {method}; ask the node service of a node that runs it"
        )
