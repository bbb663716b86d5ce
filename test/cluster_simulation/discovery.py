# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
How nodes find each other: a group of which datagrams get lost, or a registry.

Both do what the cluster plugins ``multicast`` and ``zookeeper`` do, without their
sockets and threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from cocained.clusters.announcement import Announcement
from cocained.clusters.multicast import JITTER, PATIENCE
from cocained.clusters.sightings import Sightings
from cocained.links.roles import Address
from cocained.test.cluster_simulation.clock import Call
from cocained.test.cluster_simulation.network import Host, Network
from cocained.test.simulation.dice import Dice

if TYPE_CHECKING:
    from cocained.test.cluster_simulation.node import Node

_read = lru_cache(8192)(Announcement.from_datagram)


class Presence(Protocol):
    """One node's part in a discovery."""

    def stop(self) -> None:
        """Leave in order."""

    def vanish(self) -> None:
        """The process is gone."""


class Discovery(Protocol):
    """A way in which nodes find each other."""

    @property
    def patience(self) -> float:
        """Seconds until all know who is there and who is not, at most."""

    def join(self, node: Node) -> Presence:
        """Let a node find others, and be found."""

    def healed(self) -> None:
        """Something that was in the way is so no more."""


class Multicast:
    """
    A group; everybody who is reached hears what one says.

    :param interval: seconds between two datagrams of one node.
    :ivar loss: probability that one hearer misses one datagram.
    """

    def __init__(self, network: Network, dice: Dice, interval: float) -> None:
        self.network = network
        self.dice = dice
        self.interval = interval
        self.loss = 0.0
        self.members: dict[Speaker, None] = {}

    @property
    def patience(self) -> float:
        return self.interval * (PATIENCE + 2)

    def join(self, node: Node) -> Speaker:
        return Speaker(self, node)

    def healed(self) -> None:
        """Each says so itself, soon."""

    def send(self, speaker: Speaker, datagram: bytes) -> None:
        """Send to all others."""
        traffic = self.network.traffic
        traffic.datagrams += 1
        traffic.datagram_bytes += len(datagram)
        wait = self.network.draw_latency()
        self.network.later(wait, self._carry, speaker, datagram)

    def _carry(self, speaker: Speaker, datagram: bytes) -> None:
        source, network = speaker.node.host, self.network
        for hearer in list(self.members):
            if hearer is speaker or (self.loss and self.dice.chance(self.loss)):
                continue
            node = hearer.node
            if network.passes(source, node.host):
                node.clock.deliver(hearer.heard, datagram)


class Speaker:
    """One node in the group."""

    def __init__(self, group: Multicast, node: Node) -> None:
        self.node = node
        self._group = group
        self._sightings = Sightings(PATIENCE * group.interval, 1 << 16)
        self._expiry: Call | None = None
        self._call: Call | None = None
        group.members[self] = None
        self._speak()

    def stop(self) -> None:
        self._group.members.pop(self, None)
        for call in (self._call, self._expiry):
            if call is not None and call.active():
                call.cancel()

    def vanish(self) -> None:
        self._group.members.pop(self, None)

    def _speak(self) -> None:
        node, group = self.node, self._group
        datagram = Announcement(node.uuid, [node.host.address]).to_datagram()
        group.send(self, datagram)
        spread = group.dice.between(-JITTER, JITTER)
        self._call = node.clock.callLater(group.interval * (1 + spread), self._speak)

    def heard(self, datagram: bytes) -> None:
        """Somebody has said something."""
        uuid, endpoints = _read(datagram)
        node = self.node
        self._sightings.hear(uuid, node.clock.seconds())
        node.link(uuid, endpoints)
        self._watch()

    def _watch(self) -> None:
        due = self._sightings.due
        if due is not None and (self._expiry is None or not self._expiry.active()):
            clock = self.node.clock
            wait = max(0.0, due - clock.seconds())
            self._expiry = clock.callLater(wait, self._expire)

    def _expire(self) -> None:
        for uuid in self._sightings.expire(self.node.clock.seconds()):
            self.node.drop(uuid)
        self._watch()


class Registry:
    """
    A list of all nodes, kept by somebody who notices when one is gone.

    :param host: where it is; nodes can be cut off from it.
    :param session: seconds without contact after which an entry is removed.
    """

    def __init__(self, network: Network, host: Host, session: float) -> None:
        self.network = network
        self.host = host
        self.session = session
        self.entries: dict[str, Sequence[Address]] = {}
        self.members: dict[Member, None] = {}
        #: changes with each entry
        self.version = 0

    @property
    def patience(self) -> float:
        return 3 * self.session

    def join(self, node: Node) -> Member:
        return Member(self, node)

    def reaches(self, node: Node) -> bool:
        """Say whether a node and the registry hear each other."""
        host = node.host
        return (
            not node.clock.stopped
            and not node.clock.dead
            and self.network.passes(host, self.host)
            and self.network.passes(self.host, host)
        )

    def enter(self, member: Member) -> None:
        """Make an entry, and tell everybody of it."""
        node = member.node
        self.entries[node.uuid] = (node.host.address,)
        self.changed()

    def remove(self, uuid: str) -> None:
        """Remove an entry, and tell everybody."""
        if self.entries.pop(uuid, None) is not None:
            self.changed()

    def changed(self) -> None:
        """Let everybody look at the list."""
        self.version += 1
        for member in self.members:
            member.look_soon()

    def healed(self) -> None:
        """Who was cut off looks again."""
        for member in list(self.members):
            if member.node.uuid not in self.entries and self.reaches(member.node):
                self.enter(member)
            member.look_soon()


class Member:
    """One node's session with the registry."""

    def __init__(self, registry: Registry, node: Node) -> None:
        self.node = node
        self._registry = registry
        self._is_looking = False
        self._version = -1
        self._known: dict[str, Sequence[Address]] = {}
        self._silent_since: float | None = None
        registry.members[self] = None
        registry.network.later(registry.network.draw_latency(), self._begin)
        registry.network.later(registry.session / 3, self._beat)

    def _begin(self) -> None:
        if self in self._registry.members and self._registry.reaches(self.node):
            self._registry.enter(self)

    def stop(self) -> None:
        registry = self._registry
        registry.members.pop(self, None)
        registry.remove(self.node.uuid)

    def vanish(self) -> None:
        """The registry will notice."""

    def _beat(self) -> None:
        """See whether the session lives."""
        registry, node = self._registry, self.node
        if self not in registry.members:
            return
        now = registry.network.clock.now
        if registry.reaches(node):
            self._silent_since = None
            if node.uuid not in registry.entries:
                registry.enter(self)
            self.look_soon()
        elif self._silent_since is None:
            self._silent_since = now
        elif now - self._silent_since >= registry.session:
            registry.remove(node.uuid)
            if node.clock.dead:
                registry.members.pop(self, None)
                return
        registry.network.later(registry.session / 3, self._beat)

    def look_soon(self) -> None:
        """Look at the list when word of a change has come."""
        if not self._is_looking:
            self._is_looking = True
            network = self._registry.network
            network.later(network.draw_latency(), self._look)

    def _look(self) -> None:
        self._is_looking = False
        registry, node = self._registry, self.node
        if self in registry.members and registry.reaches(node):
            if self._version != registry.version:
                self._version = registry.version
                self._listed(registry.entries)

    def _listed(self, entries: Mapping[str, Sequence[Address]]) -> None:
        node = self.node
        for uuid in [uuid for uuid in self._known if uuid not in entries]:
            del self._known[uuid]
            node.drop(uuid)
        for uuid, endpoints in entries.items():
            if uuid != node.uuid and self._known.get(uuid) != endpoints:
                self._known[uuid] = endpoints
                node.link(uuid, endpoints)
