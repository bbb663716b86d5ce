# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
Hosts, and what lies between them: latency, partitions, and bytes that are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cocained.links.roles import Address
from cocained.test.cluster_simulation.clock import VirtualClock
from cocained.test.cluster_simulation.reading import Reading
from cocained.test.simulation.dice import Dice

if TYPE_CHECKING:
    from cocained.test.cluster_simulation.node import Node
    from cocained.test.cluster_simulation.wires import Wire


class Host:
    """
    A machine, on which one node may run.

    :param name: for people.
    :param address: of its locator.

    :ivar is_on: whether it has power; if not, nothing it is sent is answered.
    :ivar node: what runs there.
    """

    __slots__ = ("address", "is_on", "name", "node")

    def __init__(self, name: str, address: Address) -> None:
        self.name = name
        self.address = address
        self.is_on = True
        self.node: Node | None = None

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, eq=False)
class Partition:
    """
    Nothing gets from some hosts to others.

    :ivar sources: from where.
    :ivar targets: to where.
    :ivar both: whether nothing gets back either.
    """

    sources: Collection[Host]
    targets: Collection[Host]
    both: bool

    def stops(self, source: Host, target: Host) -> bool:
        """Say whether it is in the way."""
        return (source in self.sources and target in self.targets) or (
            self.both and source in self.targets and target in self.sources
        )


@dataclass(slots=True)
class Traffic:
    """What has been sent by all nodes: frames and bytes, without those of TCP."""

    dials: int = 0
    pings: int = 0
    ping_bytes: int = 0
    tidings: int = 0
    tiding_bytes: int = 0
    datagrams: int = 0
    datagram_bytes: int = 0

    def copy(self) -> Traffic:
        """Remember it as it is now."""
        return Traffic(*(getattr(self, name) for name in self.__slots__))

    def since(self, before: Traffic) -> Traffic:
        """Say what has been sent since then."""
        return Traffic(
            *(getattr(self, name) - getattr(before, name) for name in self.__slots__)
        )


class Network:
    """
    All hosts.

    :param clock: of the cluster.
    :param dice: draws latencies.
    :param latency: the least and the most of a line, in seconds.
    :param capacity: bytes on their way to one end of a line that does not read,
        beyond which the other end is told to wait.
    :param patience: seconds after which a host gives up a line whose other end
        takes nothing.  The kernel's quarter of an hour is shortened, so that
        runs see it.
    """

    def __init__(
        self,
        clock: VirtualClock,
        dice: Dice,
        latency: tuple[float, float],
        capacity: int,
        patience: float,
    ) -> None:
        self.clock = clock
        self.dice = dice
        self.latency = latency
        self.capacity = capacity
        self.patience = patience
        self.hosts: dict[Address, Host] = {}
        self.partitions: list[Partition] = []
        self.stuck: dict[Wire, None] = {}
        self.traffic = Traffic()
        #: probability that a new connection is taken and never answered
        self.deafness = 0.0
        self.reading = Reading()

    def add(self, name: str, address: Address) -> Host:
        """Put one more host there."""
        host = self.hosts[address] = Host(name, address)
        return host

    def draw_latency(self) -> float:
        """Draw how long what is sent over one line takes, in seconds."""
        return self.dice.between(*self.latency)

    def passes(self, source: Host, target: Host) -> bool:
        """Say whether anything gets from one host to another now."""
        if not target.is_on:
            return False
        return not self.partitions or not any(
            each.stops(source, target) for each in self.partitions
        )

    def divide(self, partition: Partition) -> None:
        """Let nothing pass any more."""
        self.partitions.append(partition)

    def heal(self, partition: Partition) -> None:
        """Let everything pass again; what was stuck is sent now."""
        self.partitions.remove(partition)
        self.flush()

    def flush(self) -> None:
        """Send what is stuck and can pass."""
        for wire in list(self.stuck):
            wire.flush()

    def later(
        self, seconds: float, function: Callable[..., object], *args: Any
    ) -> None:
        """Let something happen that belongs to no process."""
        self.clock.at(self.clock.now + seconds, function, *args)
