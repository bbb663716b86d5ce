# -*- test-case-name: cocained.test.live.test_lab -*-
"""
The bridge, what is plugged into it, and what goes wrong on it.

::

    namespace try77-a            namespace try77-bridge           namespace try77-b
      eth0 10.77.0.1 ──────────── p1   br0   p2 ═══ slow cable ═══ eth0 10.77.0.2
                                       nft
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from cocained.testing.lab.faults import Faults
from cocained.testing.lab.hosts import Host
from cocained.testing.lab.link import LatencyLink
from cocained.testing.lab.namespaces import Namespace, run
from cocained.testing.programs import LabError, require

#: Programs that a lab starts.
NEEDS = ("ip", "nft", "nsenter")

#: Networks of every lab; they never meet.
NETWORK, NETWORK6 = "10.77.0.{}", "fd77::{}"
PREFIX, PREFIX6 = 24, 64

#: Hosts that fit into :data:`NETWORK`.
HOST_LIMIT = 200

#: Multicast, for which a host without a default route has none either.
MULTICAST = "224.0.0.0/4"

BRIDGE, CARD = "br0", "eth0"

_NAME = re.compile(r"[a-z0-9]{1,20}")

_numbers = itertools.count()


def check() -> None:
    """
    See whether this machine can have a lab.

    :raises LabError: it cannot; says why and what to do.
    """
    if os.geteuid() != 0:
        raise LabError("only root can make hosts and cables: try sudo")
    require(NEEDS)


class Lab:
    """
    A network.

    :param prefix: begins the names of its namespaces, before the id of this
        process, so that two runs do not meet: letters and digits.
    :raises LabError: this machine cannot have one; see :func:`check`.
    """

    def __init__(self, prefix: str = "lab") -> None:
        check()
        self._prefix = f"{_checked(prefix)}{os.getpid()}x{next(_numbers)}"
        self.hosts: dict[str, Host] = {}
        self._faults = Faults()
        self._stack = contextlib.ExitStack()
        try:
            self._bridge = self._add_namespace("bridge")
            self._make_bridge()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """
        Kill what runs in the hosts, and remove everything.

        :raises LabError: something could not be removed; the rest has been.
        """
        # A stack goes on when one of its parts fails, and tells in the end.
        self._stack.close()
        self.hosts.clear()

    def _add_namespace(self, name: str) -> Namespace:
        try:
            namespace = Namespace(f"{self._prefix}-{name}")
        except LabError as error:
            raise LabError(
                f"{error}; inside of a container this needs CAP_SYS_ADMIN and"
                " CAP_NET_ADMIN (docker run --privileged)"
            ) from error
        self._stack.callback(namespace.remove)
        self._stack.callback(namespace.empty)
        return namespace

    def _make_bridge(self) -> None:
        bridge = self._bridge
        # Nobody asks who listens to which group, so everybody must hear all.
        settings = ("mcast_snooping", "0", "stp_state", "0", "forward_delay", "0")
        bridge.ip("link", "add", BRIDGE, "type", "bridge", *settings)
        # Else rules of iptables, which an engine of containers may have set,
        # would see what passes.
        bridge.set("bridge/bridge-nf-call-iptables", "0")
        bridge.set("bridge/bridge-nf-call-ip6tables", "0")
        bridge.ip("link", "set", BRIDGE, "up")
        self._apply()

    def _apply(self) -> None:
        run(self._bridge.command(["nft", "-f", "-"]), self._faults.ruleset())

    def add_host(self, name: str, slow: bool = False) -> Host:
        """
        Plug in a host.

        :param name: letters and digits.
        :param slow: whether its cable can be made slow and bad by
            :meth:`.Host.slow`; all that passes costs processor time then.
        :raises LabError: there is one of that name, or too many, or it cannot
            be made.
        """
        if _checked(name) in self.hosts or name == "bridge":
            raise LabError(f"there is a host {name!r} already")
        number = len(self.hosts) + 1
        if number > HOST_LIMIT:
            raise LabError(f"a lab has at most {HOST_LIMIT} hosts")
        port, namespace = f"p{number}", self._add_namespace(name)
        # What a host says of itself is said at once, to others who trust it.
        namespace.set("ipv6/conf/default/accept_dad", "0")
        link = None
        if slow:
            ends = ((namespace.name, CARD), (self._bridge.name, port))
            link = LatencyLink(*ends)
            self._stack.callback(link.close)
        else:
            cable = ["ip", "link", "add", port, "netns", self._bridge.name]
            cable += ["type", "veth", "peer", "name", CARD, "netns", namespace.name]
            run(cable)
        self._bridge.ip("link", "set", port, "master", BRIDGE, "up")
        address, address6 = NETWORK.format(number), NETWORK6.format(f"{number:x}")
        namespace.ip("address", "add", f"{address}/{PREFIX}", "dev", CARD)
        namespace.ip("address", "add", f"{address6}/{PREFIX6}", "dev", CARD, "nodad")
        namespace.ip("link", "set", CARD, "up")
        namespace.ip("route", "add", MULTICAST, "dev", CARD)
        host = Host(name, namespace, port, address, address6, link)
        self.hosts[name] = host
        return host

    # What goes wrong

    def partition(
        self, some: Iterable[Host], others: Iterable[Host], one_way: bool = False
    ) -> None:
        """
        Let nothing of *some* reach *others*, nor back; connections are not told.

        :param one_way: whether the way back stays open.
        """
        self._faults.part(_ports(some), _ports(others), one_way)
        self._apply()

    def heal(self) -> None:
        """Let everybody reach everybody again; losses and cut cables stay."""
        self._faults.heal()
        self._apply()

    def loss(self, host: Host, percent: float) -> None:
        """
        Lose so many packets of those to a host, and of those from it.

        :param percent: 0…100; 0 for none.
        """
        self._faults.lose(host.port, percent)
        self._apply()

    def cut(self, host: Host) -> None:
        """Pull the cable of a host out of the bridge."""
        self._bridge.ip("link", "set", host.port, "down")

    def plug(self, host: Host) -> None:
        """Put the cable in again."""
        self._bridge.ip("link", "set", host.port, "up")


def _ports(hosts: Iterable[Host]) -> list[str]:
    return [host.port for host in hosts]


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise LabError(f"{name!r} is no name of at most 20 small letters and digits")
    return name
