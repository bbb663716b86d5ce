# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
What happens to a cluster: its life, and what goes wrong in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from cocained.test.cluster_simulation.discovery import Multicast
from cocained.test.cluster_simulation.network import Host, Partition
from cocained.test.cluster_simulation.node import Node
from cocained.test.simulation.dice import Dice

if TYPE_CHECKING:
    from cocained.test.cluster_simulation.world import World

#: Seconds from the withdrawal of a node's services to its end.
SETTLE = 0.5

#: Routing groups.
GROUPS = ("blue", "green", "red")

#: Most members of a group: rings cost time, and are tested elsewhere.
MEMBERS = 4

#: By weight: how often each thing happens, compared with the others.
WEIGHTS = {
    "an app is started": 8,
    "an app is paused": 8,
    "a node joins": 2,
    "a node leaves in order": 2,
    "a node dies": 2,
    "a machine loses its power": 2,
    "a node comes back": 5,
    "a node is stopped for a while": 4,
    "a connection is lost": 6,
    "a node loses all connections": 2,
    "a connection goes silent": 3,
    "connections are taken and not answered for a while": 1,
    "a partition, both ways": 2,
    "a partition, one way": 2,
    "groups are refreshed": 4,
    "the storage fails for a while": 1,
    "datagrams are lost for a while": 2,
    "a node is cut off from the registry": 2,
}


class Storm:
    """
    Everything that happens.

    :param world: to whom.
    :ivar counts: how often each thing has happened.
    """

    def __init__(self, world: World, dice: Dice) -> None:
        self._world = world
        self._dice = dice
        self._ending: list[Callable[[], None]] = []
        self.counts: Counter[str] = Counter()
        # A part of all kinds only: where everything breaks, little gets far.
        share = dice.between(0.3, 1.0)
        kinds = [kind for kind in WEIGHTS if dice.chance(share)]
        kinds = kinds or ["a connection is lost"]
        self._kinds = [kind for kind in kinds for _ in range(WEIGHTS[kind])]
        self._is_over = False
        self._deeds: dict[str, Callable[[], bool]] = {
            "an app is started": self._start_app,
            "an app is paused": self._pause_app,
            "a node joins": self._join,
            "a node leaves in order": self._leave,
            "a node dies": self._die,
            "a machine loses its power": self._power,
            "a node comes back": self._return,
            "a node is stopped for a while": self._stop,
            "a connection is lost": self._cut,
            "a node loses all connections": self._cut_all,
            "a connection goes silent": self._silence,
            "connections are taken and not answered for a while": self._deafen,
            "a partition, both ways": lambda: self._divide(True),
            "a partition, one way": lambda: self._divide(False),
            "groups are refreshed": self._refresh,
            "the storage fails for a while": self._fail_storage,
            "datagrams are lost for a while": self._lose_datagrams,
            "a node is cut off from the registry": self._cut_registry,
        }

    def begin(self) -> None:
        """Let things happen until :meth:`end`."""
        self._next()
        self._ask()

    def end(self) -> None:
        """Let nothing go wrong any more, and mend what is broken."""
        self._is_over = True
        ending, self._ending = self._ending, []
        for mend in ending:
            mend()

    def _next(self) -> None:
        world = self._world
        wait = self._dice.wait(world.setting.trouble)
        world.clock.after(wait, self._happen)

    def _happen(self) -> None:
        if self._is_over:
            return
        kind = self._dice.pick(self._kinds)
        if self._deeds[kind]():
            self.counts[kind] += 1
        self._next()

    def _ask(self) -> None:
        """Clients ask for services all the time."""
        if self._is_over:
            return
        world, node = self._world, self._running()
        if node is not None:
            world.ledger.resolve(node, self._dice.pick(world.apps))
        world.clock.after(self._dice.wait(world.setting.trouble / 4), self._ask)

    def _running(self) -> Node | None:
        nodes = [
            node
            for node in self._world.ledger.nodes.values()
            if not node.clock.stopped and not node.leaving
        ]
        return self._dice.pick(nodes) if nodes else None

    def _note(self, who: object, what: str, *details: object) -> None:
        self._world.journal.note(str(who), what, *details)

    def _mend_later(self, mend: Callable[[], None]) -> None:
        """Mend something after a while, or when the storm ends."""

        def once() -> None:
            if mend in self._ending:
                self._ending.remove(mend)
                mend()

        self._ending.append(mend)
        self._world.clock.after(self._dice.spread(0.05, 30.0), once)

    # Life

    def _start_app(self) -> bool:
        node = self._running()
        name = self._dice.pick(self._world.apps)
        if node is None or name in node.apps:
            return False
        self._note(node, "starts", name)
        node.start_app(name)
        return True

    def _pause_app(self) -> bool:
        node = self._running()
        if node is None or not node.apps:
            return False
        name = self._dice.pick(list(node.apps))
        self._note(node, "pauses", name)
        node.pause_app(name)
        return True

    def _join(self) -> bool:
        world = self._world
        if len(world.ledger.nodes) >= 2 * world.setting.nodes:
            return False
        world.join(world.new_host())
        return True

    def _leave(self) -> bool:
        node = self._running()
        if node is None or len(self._world.ledger.nodes) < 3:
            return False
        self._note(node, "leaves")
        node.drain()
        node.clock.callLater(SETTLE, node.leave)
        return True

    def _die(self) -> bool:
        return self._kill(True)

    def _power(self) -> bool:
        return self._kill(False)

    def _kill(self, says_so: bool) -> bool:
        node = self._running()
        if node is None or len(self._world.ledger.nodes) < 3:
            return False
        self._note(node, "dies" if says_so else "loses its power")
        node.die(says_so)
        return True

    def _return(self) -> bool:
        world = self._world
        empty = [host for host in world.hosts if host.node is None]
        if not empty:
            return False
        host: Host = self._dice.pick(empty)
        if not host.is_on:
            host.is_on = True
            world.network.flush()
        world.join(host)
        return True

    def _stop(self) -> bool:
        node = self._running()
        if node is None:
            return False
        self._note(node, "is stopped")
        node.stop()

        def resume() -> None:
            if not node.clock.dead:
                self._note(node, "goes on")
                node.resume()

        self._mend_later(resume)
        return True

    # The network

    def _cut(self) -> bool:
        node = self._running()
        if node is None or not node.wires:
            return False
        wire = self._dice.pick(list(node.wires))
        self._note(node, "loses", str(wire.teller))
        wire.cut()
        return True

    def _cut_all(self) -> bool:
        node = self._running()
        if node is None:
            return False
        self._note(node, "loses all")
        for wire in [*node.wires, *(far.wire for far in node.fars)]:
            wire.cut()
        return True

    def _silence(self) -> bool:
        node = self._running()
        if node is None or not node.wires:
            return False
        wire = self._dice.pick(list(node.wires))
        self._note(node, "hears no more of", str(wire.teller))
        wire.is_deaf = True
        return True

    def _deafen(self) -> bool:
        network = self._world.network
        if network.deafness:
            return False
        network.deafness = self._dice.between(0.2, 1.0)
        self._note("net", "answers nothing")

        def mend() -> None:
            network.deafness = 0.0

        self._mend_later(mend)
        return True

    def _divide(self, both: bool) -> bool:
        hosts = self._world.hosts
        some = {host for host in hosts if self._dice.chance(0.3)}
        self._partition(some, set(hosts) - some, both)
        return True

    def _partition(self, some: set[Host], others: set[Host], both: bool) -> None:
        partition = Partition(frozenset(some), frozenset(others), both)
        names = sorted(host.name for host in some)
        self._note("net", "parts both ways" if both else "parts one way", *names)
        world = self._world
        world.network.divide(partition)

        def heal() -> None:
            self._note("net", "heals")
            world.network.heal(partition)
            world.discovery.healed()

        self._mend_later(heal)

    # The rest

    def _refresh(self) -> bool:
        node = self._running()
        if node is None:
            return False
        name = self._dice.pick(GROUPS)
        groups = self._world.storage.groups
        some = self._world.apps[:MEMBERS]
        members = [app for app in some if self._dice.chance(0.5)]
        if members:
            groups[name] = dict.fromkeys(members, 1)
        else:
            groups.pop(name, None)
        self._note(node, "refreshes", name, len(members))
        node.refresh([name])
        return True

    def _fail_storage(self) -> bool:
        storage = self._world.storage
        if storage.fails:
            return False
        storage.fails = True

        def mend() -> None:
            storage.fails = False

        self._mend_later(mend)
        return True

    def _lose_datagrams(self) -> bool:
        group = self._world.discovery
        if not isinstance(group, Multicast) or group.loss:
            return False
        group.loss = self._dice.between(0.05, 0.9)

        def mend() -> None:
            group.loss = 0.0

        self._mend_later(mend)
        return True

    def _cut_registry(self) -> bool:
        world, node = self._world, self._running()
        if isinstance(world.discovery, Multicast) or node is None:
            return False
        self._partition({node.host}, {world.discovery.host}, True)
        return True
