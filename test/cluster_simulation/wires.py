# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
Connections between locators: what a link dials, and who tells at its other end.

::

    Link ◀── Ear ── Wire ═══ latency, partitions, FIN, RST ═══ Far ◀── Stream ── Announcements

Bytes are never lost while a connection lives: what cannot pass is stuck, in
order, until it can or until one end gives up.
"""  # noqa: E501

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cocained.errors import CocainedError
from cocained.links.roles import Address, Ear
from cocained.test.cluster_simulation.far import ENDED, GIVEN_UP, RESET, Far
from cocained.test.cluster_simulation.network import Host, Network
from cocained.test.cluster_simulation.reading import (
    CONNECT_SIZE,
    PING_SIZE,
    PONG_SIZE,
)

if TYPE_CHECKING:
    from cocained.test.cluster_simulation.node import Node

REFUSED = CocainedError("connection refused")
UNREACHED = CocainedError("no answer to the attempts to connect")

#: Something on its way: a function and its arguments.
Parcel = tuple[Callable[..., None], tuple[Any, ...]]


class Dialer:
    """
    Makes wires for the links of one node.

    :param node: whose.
    :param timeout: seconds for each address.
    """

    def __init__(self, network: Network, node: Node, timeout: float) -> None:
        self.network = network
        self.node = node
        self.timeout = timeout

    def line(self, endpoints: Sequence[Address], ear: Ear) -> Wire:
        return Wire(self, endpoints, ear)


class Wire:
    """
    One connection, seen from who dials.

    :ivar far: its other end, while there is one.
    :ivar teller: the node that tells.
    :ivar is_deaf: whether its other end, or something between, takes what it is
        sent and does nothing with it.
    :ivar troubles: how often something was in its way.
    """

    __slots__ = (
        "_back",
        "_dialer",
        "_ear",
        "_endpoints",
        "_forth",
        "_host",
        "_since",
        "far",
        "is_deaf",
        "is_told",
        "latency",
        "teller",
        "troubles",
    )

    def __init__(self, dialer: Dialer, endpoints: Sequence[Address], ear: Ear) -> None:
        self._dialer = dialer
        self._endpoints = endpoints
        self._ear: Ear | None = ear
        self._host: Host | None = None
        # What is stuck, to the node that tells and back from it.
        self._forth: deque[Parcel] | None = None
        self._back: deque[Parcel] | None = None
        # Since when something is stuck; also while that is being watched.
        self._since: float | None = None
        self.latency = dialer.network.draw_latency()
        self.far: Far | None = None
        self.teller: Node | None = None
        self.is_told = False
        self.is_deaf = False
        self.troubles = 0

    # Line, for the link

    def dial(self) -> None:
        self._dialer.node.dialled(self._ear)
        self._attempt(0)

    def ping(self) -> None:
        traffic = self._dialer.network.traffic
        traffic.pings += 1
        traffic.ping_bytes += PING_SIZE
        self._dialer.node.pings += 1
        self._send_forth(self._pinged)

    def hang_up(self) -> None:
        self._ear = None
        self._dialer.node.wires.pop(self, None)
        if self._host is not None:
            if self._forth is not None:
                # An abort: the kernel forgets what has not been taken.
                self._forth.clear()
            self._send_forth(self._far_ended)

    # Connecting

    def _attempt(self, number: int) -> None:
        network = self._dialer.network
        network.traffic.dials += 1
        host = network.hosts.get(self._endpoints[number])
        network.later(self.latency, self._syn, number, host)

    def _syn(self, number: int, host: Host | None) -> None:
        """The attempt has come to the host, unless something is in the way."""
        if self._ear is None:
            return
        network, here = self._dialer.network, self._dialer.node.host
        if host is None or not (
            network.passes(here, host) and network.passes(host, here)
        ):
            wait = self._dialer.timeout - self.latency
            network.later(max(0.0, wait), self._arrive, self._missed, number)
        elif host.node is None:
            network.later(self.latency, self._arrive, self._refused, number)
        else:
            # The kernel takes it, even if the process does not run.
            self.teller = host.node
            self._host = host
            deafness = network.deafness
            self.is_deaf = deafness > 0 and network.dice.chance(deafness)
            network.later(self.latency, self._arrive, self._reached, number)

    def _arrive(self, function: Callable[..., None], *args: Any) -> None:
        """Something has come to the host of who dials."""
        if self._ear is not None:
            clock = self._dialer.node.clock
            if clock.stopped:
                self.troubles += 1
            clock.deliver(function, *args)
        elif self.far is not None:
            # The kernel knows of no such connection any more.
            self._send_forth(self._far_ended)

    def _refused(self, number: int) -> None:
        self._next(number, REFUSED)

    def _missed(self, number: int) -> None:
        self._next(number, UNREACHED)

    def _next(self, number: int, error: CocainedError) -> None:
        if self._ear is None:
            return
        if number + 1 < len(self._endpoints):
            self._attempt(number + 1)
        else:
            self._end(error)

    def _reached(self, number: int) -> None:
        ear = self._ear
        if ear is None:
            return
        self._dialer.node.wires[self] = None
        address = self._endpoints[number]
        ear.reached(address, address)
        if self._ear is not None:
            traffic = self._dialer.network.traffic
            traffic.tiding_bytes += CONNECT_SIZE
            self._send_forth(self._asked)

    # Sending

    def _send_forth(self, function: Callable[..., None], *args: Any) -> None:
        network = self._dialer.network
        if self.is_deaf:
            return
        if self._forth is None and network.passes(self._dialer.node.host, self._to()):
            network.later(self.latency, self._at_teller, function, args)
        else:
            self.troubles += 1
            if self._forth is None:
                self._forth = deque()
            self._forth.append((function, args))
            self._stick()

    def send_back(self, function: Callable[..., None], *args: Any) -> None:
        """Let something arrive at who dialled."""
        network, here = self._dialer.network, self._dialer.node.host
        if self._back is None and not self.is_deaf and network.passes(self._to(), here):
            network.later(self.latency, self._arrive, function, *args)
        else:
            self.troubles += 1
            if self._back is None:
                self._back = deque()
            self._back.append((function, args))
            self._stick()

    def _to(self) -> Host:
        assert self._host is not None  # nothing is sent before that
        return self._host

    def _stick(self) -> None:
        network = self._dialer.network
        if self in network.stuck:
            return
        network.stuck[self] = None
        if self._since is None:
            network.later(network.patience, self._give_up)
        self._since = network.clock.now

    def flush(self) -> None:
        """Send what is stuck, as far as it passes."""
        network, here, there = self._dialer.network, self._dialer.node.host, self._to()
        forth, back = self._forth, self._back
        if forth is not None and network.passes(here, there):
            self._forth = None
            for function, args in forth:
                network.later(self.latency, self._at_teller, function, args)
        if back is not None and not self.is_deaf and network.passes(there, here):
            self._back = None
            for function, args in back:
                network.later(self.latency, self._arrive, function, *args)
        if self._forth is None and self._back is None:
            network.stuck.pop(self, None)

    def _give_up(self) -> None:
        """What was sent has not been taken for too long, unless it has."""
        network = self._dialer.network
        if self._forth is None and self._back is None:
            self._since = None
            return
        assert self._since is not None  # this call was made for it
        wait = self._since + network.patience - network.clock.now
        if wait > 0:
            network.later(wait, self._give_up)
            return
        self._since = None
        forth, back = self._forth, self._back
        self._forth = self._back = None
        network.stuck.pop(self, None)
        if forth is not None and self._ear is not None:
            self._arrive(self._end, GIVEN_UP)
        if back is not None and self.far is not None:
            self.far.lose(GIVEN_UP)

    # At the node that tells

    def _at_teller(self, function: Callable[..., None], args: tuple[Any, ...]) -> None:
        teller, host = self.teller, self._to()
        assert teller is not None  # reached before anything is sent
        if teller.clock.dead or host.node is not teller:
            # Another process, or none: the kernel knows nothing of this.
            if host.is_on and function != self._far_ended:
                self.send_back(self._end, RESET)
            return
        if teller.clock.stopped:
            self.troubles += 1
        teller.clock.deliver(function, *args)

    def _asked(self) -> None:
        assert self.teller is not None  # as above
        self.far = Far(self)
        self.teller.listened_to(self._dialer.node.uuid, self.far)

    def _pinged(self) -> None:
        if self.far is not None:
            self._dialer.network.traffic.ping_bytes += PONG_SIZE
            self.send_back(self._answered)

    def _far_ended(self) -> None:
        if self.far is not None:
            self.far.lose(ENDED)

    # At who dialled

    def _answered(self) -> None:
        if self._ear is not None:
            self._ear.answered()

    def told(self, data: bytes) -> None:
        """A frame has come."""
        far = self.far
        if far is not None:
            far.taken(len(data))
        if self._ear is None:
            return
        said = self._dialer.network.reading.read(data)
        if isinstance(said, CocainedError):
            self._end(said)
        else:
            self.is_told = True
            self._ear.told(said)

    def _end(self, error: CocainedError) -> None:
        ear = self._ear
        if ear is not None:
            self.hang_up()
            ear.ended(error)
            self._dialer.node.lost(ear)

    # For the world

    @property
    def listener(self) -> Node:
        """Who dialled."""
        return self._dialer.node

    @property
    def is_whole(self) -> bool:
        """Whether what is said now arrives within one latency."""
        far = self.far
        return (
            self.is_told
            and not self.is_deaf
            and self._ear is not None
            and self._back is None
            and self._forth is None
            and far is not None
            and far.is_whole
            and not self._dialer.node.clock.stopped
            and self._dialer.network.passes(self._to(), self._dialer.node.host)
        )

    def cut(self) -> None:
        """A router forgets the connection; both ends are told so."""
        self._arrive(self._end, RESET)
        if self.far is not None and self.teller is not None:
            self.teller.clock.deliver(self.far.lose, RESET)

    def near_died(self) -> None:
        """The process that dialled is gone; its kernel says so."""
        self._ear = None
        self._send_forth(self._far_ended)

    def vanish(self) -> None:
        """The machine that dialled is gone, and nobody says so."""
        self._ear = None

    def far_died(self) -> None:
        """The process that told is gone; its kernel says so."""
        self.far = None
        self.send_back(self._end, ENDED)
