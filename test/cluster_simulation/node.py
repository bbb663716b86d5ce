# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
One node: its links, what it tells, its gateway and its rings are the real ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred

from cocained.apps.service import AppService
from cocained.gateways.adhoc import AdhocArgs, AdhocGateway
from cocained.links.announcements import Announcements
from cocained.links.links import Links
from cocained.links.offers import Offers
from cocained.links.pace import Pace
from cocained.links.roles import Address
from cocained.links.tidings import Offer
from cocained.rpc.graph import Root
from cocained.services.follower import GroupFollower
from cocained.services.groups import RoutingGroups
from cocained.test.cluster_simulation.clock import NodeClock
from cocained.test.cluster_simulation.discovery import Discovery, Presence
from cocained.test.cluster_simulation.far import CHANNEL, Far
from cocained.test.cluster_simulation.ledger import Ledger, Watch
from cocained.test.cluster_simulation.network import Host, Network
from cocained.test.cluster_simulation.storage import GroupStorage
from cocained.test.cluster_simulation.wires import Dialer, Wire
from cocained.test.simulation.dice import Dice
from cocained.testing import stub_node

#: What every app says of itself.
GRAPH: Final[Root] = AppService.protocol.graph
VERSION: Final = AppService.protocol.version


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What all nodes share.

    :ivar pace: of their links.
    """

    network: Network
    dice: Dice
    ledger: Ledger
    discovery: Discovery
    storage: GroupStorage
    pace: Pace


class Node:
    """
    A process of a node, from its start to its end.

    :param host: where it runs.
    :param number: of the process; no two are alike.
    :param apps: that it has from the start.

    :ivar apps: that are started, by name.
    :ivar wires: connections to others.
    :ivar fars: connections of others.
    :ivar hearing: uuids of nodes that it was told to listen to.
    """

    def __init__(
        self, around: Surroundings, host: Host, number: int, apps: Sequence[str]
    ) -> None:
        self.around = around
        self.network = around.network
        self.host = host
        self.number = number
        self.uuid = f"{number:08x}-0000-4000-8000-000000000000"
        self.clock = NodeClock(around.network.clock)
        self.apps: dict[str, Offer] = {}
        self.wires: dict[Wire, None] = {}
        self.fars: dict[Far, None] = {}
        self.hearing: dict[str, list[float]] = {}
        self.pings = 0
        self.leaving = False
        #: when it went on after it was stopped
        self.resumed_at = 0.0
        self._ports = 0
        self._presence: Presence | None = None
        self.gateway = AdhocGateway(stub_node(self.clock), "gateway", AdhocArgs())
        watch = Watch(around.ledger, self)
        self.groups = RoutingGroups(around.storage)
        chance = around.dice.between
        self.follower = GroupFollower(
            self.groups, self.clock, self._rings_changed, lambda: chance(0.0, 1.0)
        )
        self.links = Links(
            self.uuid,
            lambda: [host.address],
            self.clock,
            Dialer(around.network, self, around.pace.handshake),
            watch,
            around.pace,
            self.follower.heard,
            lambda: chance(0.0, 1.0),
        )
        self.announcements = Announcements(self.uuid, {})
        self.offers = Offers(self.uuid, {}, watch, self.announcements, {"locator"})
        for name in apps:
            self.start_app(name)
        host.node = self
        around.ledger.began(self)

    def begin(self) -> None:
        """Read the groups, and find others."""
        Deferred.fromCoroutine(self.groups.load()).addErrback(lambda ignored: None)
        self._presence = self.around.discovery.join(self)

    def __repr__(self) -> str:
        return f"{self.host.name}.{self.number}"

    def _rings_changed(self) -> None:
        self.around.ledger.rings_changed(self)

    # Apps and groups

    def start_app(self, name: str) -> None:
        """Have an app."""
        self._ports += 1
        endpoint = (self.host.address[0], 20000 + self._ports % 40000)
        offer = self.apps[name] = Offer(name, [endpoint], VERSION, GRAPH)
        self.around.ledger.app_started(self, offer)
        self.offers.expose(offer)

    def pause_app(self, name: str) -> None:
        """Have an app no more."""
        del self.apps[name]
        self.around.ledger.app_paused(self, name)
        self.offers.remove(name)

    def refresh(self, names: Sequence[str]) -> None:
        """An operator asks for groups to be read anew."""
        done = Deferred.fromCoroutine(self.groups.refresh(names))
        done.addCallbacks(self._refreshed, lambda ignored: None, (names,))

    def _refreshed(self, ignored: None, names: Sequence[str]) -> None:
        self.announcements.refreshed(names)

    # Its process

    def stop(self) -> None:
        """Do nothing for a while."""
        self.clock.stop()

    def resume(self) -> None:
        """Go on."""
        self.resumed_at = self.clock.seconds()
        self.clock.resume()

    # For the discovery

    def link(self, uuid: str, endpoints: Sequence[Address]) -> None:
        """There is a node."""
        if uuid != self.uuid:
            self.hearing.setdefault(uuid, [])
            self.links.link(uuid, endpoints)

    def drop(self, uuid: str) -> None:
        """There is a node no more."""
        self.hearing.pop(uuid, None)
        self.links.drop(uuid)
        self.around.ledger.forgotten(self, uuid)

    # For wires

    def listened_to(self, remote: str, far: Far) -> None:
        """Somebody has sent ``connect``."""
        self.fars[far] = None
        stream = self.announcements.listen(remote, far, CHANNEL, [])  # type: ignore[arg-type]
        if stream is not None:
            far.channels[CHANNEL] = stream

    def dialled(self, ear: Any) -> None:
        """A link begins an attempt."""
        self.around.ledger.dialled(self, ear.uuid)

    def lost(self, ear: Any) -> None:
        """A link was told that its connection has ended."""
        self.around.ledger.forgotten(self, ear.uuid)

    # Its end

    def drain(self) -> None:
        """Withdraw all apps."""
        self.leaving = True
        for name in list(self.apps):
            self.pause_app(name)

    def leave(self) -> None:
        """Stop in order."""
        if self._presence is not None:
            self._presence.stop()
        self.hearing.clear()
        self.links.close()
        self.announcements.close()
        self.follower.stop()
        self._end()

    def die(self, says_so: bool) -> None:
        """
        Stop in disorder.

        :param says_so: whether the kernel ends its connections; it does not if
            the machine has lost its power.
        """
        self.clock.die()
        if self._presence is not None:
            self._presence.vanish()
        if not says_so:
            self.host.is_on = False
        self._end(says_so)

    def _end(self, says_so: bool = True) -> None:
        self.clock.die()
        self.host.node = None
        self.around.ledger.ended(self)
        fars, self.fars = self.fars, {}
        wires, self.wires = self.wires, {}
        if says_so:
            for wire in wires:
                wire.near_died()
            for far in fars:
                far.process_died()
        else:
            for wire in wires:
                wire.vanish()
