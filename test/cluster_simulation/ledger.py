# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
What is true, and whether each node's gateway may say what it says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from cocained.interfaces import IGateway, INodeObserver
from cocained.links.pace import Pace
from cocained.links.roles import Address
from cocained.links.tidings import Offer
from cocained.test.cluster_simulation.broken import Broken
from cocained.test.cluster_simulation.clock import VirtualClock
from cocained.test.cluster_simulation.wires import Wire
from cocained.test.simulation.journal import Journal

if TYPE_CHECKING:
    from cocained.test.cluster_simulation.node import Node

#: Dials of one node to another within a second, by chance alone.  The waits are
#: drawn from 0…1, 0…2, 0…4 s and so on: that nine attempts come within one
#: second happens once in 10¹⁵ times.
DIALS_PER_SECOND = 8

#: Seconds by which a message may be later than its latency: rounding.
ROUNDING = 1e-6

#: Copies in a gateway: service to node to addresses.
Copies = dict[str, dict[str, Sequence[Address]]]


@implementer(IGateway, INodeObserver)
class Watch:
    """
    The gateway as the links see it: the real one, looked at from both sides.

    :param node: whose.
    """

    name = "watch"
    full = False

    def __init__(self, ledger: Ledger, node: Node) -> None:
        self._ledger = ledger
        self._node = node

    def start(self) -> None:
        """The real one has nothing to start."""

    def stop(self) -> None:
        """Nor to stop."""

    def resolve(self, name: str, seed: str = "") -> Any:
        return self._node.gateway.resolve(name, seed)

    def consume(
        self,
        uuid: str,
        name: str,
        endpoints: Sequence[Address],
        version: int,
        graph: Mapping[int, Any],
        extra: Mapping[str, Any],
    ) -> None:
        node = self._node
        if uuid != node.uuid and uuid not in node.hearing:
            raise Broken(f"{node} learns of {uuid}, whom it was told to forget")
        self._ledger.changed(node, uuid)
        try:
            node.gateway.consume(uuid, name, endpoints, version, graph, extra)
        except Exception as error:
            self._ledger.broke(f"{node}: {error}")
            raise

    def cleanup(self, uuid: str, name: str | None = None) -> None:
        self._ledger.changed(self._node, uuid)
        self._node.gateway.cleanup(uuid, name)

    def node_observed(self, uuid: str, latency: float | None) -> None:
        self._node.gateway.node_observed(uuid, latency)


def known(node: Node) -> Copies:
    """Say what a node's gateway knows."""
    found: Copies = {}
    for uuid, other in node.gateway._nodes.items():
        for name, copy in other.copies.items():
            found.setdefault(name, {})[uuid] = copy.remote.endpoints
    return found


def names(node: Node, uuid: str) -> Collection[str]:
    """Say which services of another node its gateway knows."""
    other = node.gateway._nodes.get(uuid)
    return other.copies.keys() if other is not None else ()


class Ledger:
    """
    The truth.

    :param pace: of the links.
    :param patience: seconds until a discovery knows that somebody is gone.
    :param is_watchful: whether each step is looked at; costs time.

    :ivar nodes: that live, by uuid.
    :ivar last_change: when a gateway was told anything last.
    :ivar fault: the first promise that was broken where nobody could be told.
    """

    def __init__(
        self,
        clock: VirtualClock,
        journal: Journal,
        pace: Pace,
        is_watchful: bool = True,
    ) -> None:
        self.clock = clock
        self.journal = journal
        self.pace = pace
        self.is_watchful = is_watchful
        self.nodes: dict[str, Node] = {}
        self.last_change = clock.now
        self.last_rings = clock.now
        #: the same by the node that was told, and by the one it was told of
        self.last_at: dict[str, float] = {}
        self.last_of: dict[str, float] = {}
        self.fault = ""
        self.changes = 0
        # When those who live no more ended, and who has which address.
        self._ended: dict[str, float] = {}
        self._owners: dict[tuple[str, int], str] = {}

    def broke(self, promise: str) -> None:
        """Remember a promise that was broken; the first one counts."""
        self.fault = self.fault or promise

    # What happens

    def changed(self, node: Node, uuid: str) -> None:
        """The gateway of a node was told something of another one."""
        now = self.clock.now
        self.last_change = now
        self.last_at[node.uuid] = now
        self.last_of[uuid] = now
        self.changes += 1

    def rings_changed(self, node: Node) -> None:
        """A node has other rings than before."""
        self.last_rings = self.clock.now

    def began(self, node: Node) -> None:
        """A node lives."""
        self.nodes[node.uuid] = node
        self.journal.note(str(node), "begins", len(node.apps), "apps")

    def ended(self, node: Node) -> None:
        """A node lives no more."""
        del self.nodes[node.uuid]
        self._ended[node.uuid] = self.clock.now

    def app_started(self, node: Node, offer: Offer) -> None:
        """A node has an app from now on."""
        if node.uuid in self.nodes:
            self._expect(node, offer.name, True)

    def app_paused(self, node: Node, name: str) -> None:
        """A node has an app no more."""
        self._expect(node, name, False)

    def dialled(self, node: Node, uuid: str) -> None:
        """A link begins an attempt: not too often, and not to anybody."""
        if not self.is_watchful:
            return
        dials = node.hearing.get(uuid)
        if dials is None:
            raise Broken(f"{node} dials {uuid}, whom it was told to forget")
        now = self.clock.now
        dials.append(now)
        del dials[: -DIALS_PER_SECOND - 1]
        if len(dials) > DIALS_PER_SECOND and now - dials[0] < 1.0:
            raise Broken(f"{node} dials {uuid} {len(dials)} times within a second")

    def forgotten(self, node: Node, uuid: str) -> None:
        """A node has no connection to another one any more, or must have none."""
        if self.is_watchful and not node.clock.dead:
            for name in names(node, uuid):
                raise Broken(f"{node} still knows {name} of {uuid}")

    # Within one latency

    def _expect(self, node: Node, name: str, is_there: bool) -> None:
        """Who is listening with nothing in the way knows it in a moment."""
        if not self.is_watchful:
            return
        offer = node.apps.get(name)
        for far in node.fars:
            wire = far.wire
            if wire.is_whole:
                wait = wire.latency + ROUNDING
                self.clock.after(
                    wait, self._look, node, offer, name, wire, wire.troubles
                )

    def _look(
        self, node: Node, offer: Offer | None, name: str, wire: Wire, troubles: int
    ) -> None:
        listener = wire.listener
        if (
            not wire.is_whole
            or wire.troubles != troubles
            or node.apps.get(name) is not offer
            or listener.clock.dead
            or node.uuid not in listener.hearing
        ):
            return
        is_known = name in names(listener, node.uuid)
        if is_known != (offer is not None):
            what = "knows nothing of" if offer is not None else "still knows"
            raise Broken(f"{listener} {what} {name} of {node} after one latency")

    # What is handed out

    def resolve(self, node: Node, name: str) -> None:
        """Ask a node for a service, as a client does."""
        found = node.gateway.resolve(name)
        if found is None:
            return
        uuids = [
            uuid
            for uuid, other in node.gateway._nodes.items()
            if name in other.copies and other.copies[name].remote is found
        ]
        if not uuids:
            raise Broken(f"{node} hands out {name}, which it does not know")
        for uuid in uuids:
            if uuid != node.uuid and uuid not in node.hearing:
                raise Broken(f"{node} hands out {name} of {uuid}, which it forgot")
            self._fresh(node, name, uuid)

    def _fresh(self, node: Node, name: str, uuid: str) -> None:
        ended = self._ended.get(uuid)
        if ended is None:
            return
        pace = self.pace
        # It may have been stopped itself, and have been told nothing.
        since = max(ended, node.resumed_at)
        if self.clock.now - since > pace.ping + pace.timeout + 1.0:
            raise Broken(
                f"{node} hands out {name} of {uuid}, which ended"
                f" {self.clock.now - ended:.1f} s ago"
            )

    # In the end

    def differences(self) -> Iterator[str]:
        """Say where gateways and rings are not what they have to be."""
        truth: Copies = {}
        for uuid, node in self.nodes.items():
            for name, offer in node.apps.items():
                truth.setdefault(name, {})[uuid] = offer.endpoints
        for node in self.nodes.values():
            copies = known(node)
            if copies != truth:
                yield from _compare(node, copies, truth)
            others = self.nodes.keys() - {node.uuid}
            if node.links.cluster().keys() != others:
                yield f"{node} has links to {len(node.links.cluster())} nodes"
            told = {remote for remote, _ in node.announcements._streams}
            if told != others:
                yield f"{node} tells {len(told)} of {len(others)} nodes"

    def rings(self, groups: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
        """Say whose rings are not those of the storage."""
        for node in self.nodes.values():
            rings = node.groups.rings()
            if rings.keys() != groups.keys():
                yield f"{node} has the groups {sorted(rings)}, not {sorted(groups)}"
            for name, ring in rings.items():
                if {member for _, member in ring} != set(groups.get(name, ())):
                    yield f"{node} has a former ring of {name}"


def _compare(node: Node, copies: Copies, truth: Copies) -> Iterator[str]:
    for name in copies.keys() | truth.keys():
        ours, theirs = copies.get(name, {}), truth.get(name, {})
        for uuid in sorted(ours.keys() - theirs.keys()):
            yield f"{node} knows {name} of {uuid}, which is not there"
        for uuid in sorted(theirs.keys() - ours.keys()):
            yield f"{node} does not know {name} of {uuid}"
        for uuid in sorted(ours.keys() & theirs.keys()):
            if ours[uuid] != theirs[uuid]:
                yield f"{node} knows {name} of {uuid} elsewhere, at {ours[uuid]}"
