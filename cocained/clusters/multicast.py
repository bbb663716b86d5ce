# -*- test-case-name: cocained.test.test_clusters_multicast -*-
"""
The cluster type ``multicast``: nodes of one network hear each other.

Each tells a group every few seconds who it is and where its locator listens;
who has been silent for three intervals is gone (protocol.md §3.7).
"""

from __future__ import annotations

import ipaddress
import math
import random
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import MessageLengthError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger
from typing_extensions import override
from zope.interface import implementer

from cocained.clusters.announcement import DATAGRAM_LIMIT, Announcement
from cocained.clusters.group import Group, is_link_local
from cocained.clusters.sightings import Sightings, TooManyNodes
from cocained.component import Component
from cocained.config import Invalid
from cocained.errors import RemoteProtocolError
from cocained.interfaces import ICluster, ILinks, INode, IReporter

log = Logger()

#: Intervals of silence after which a node is gone, as in the original.
PATIENCE = 3

#: Part of the interval by which an announcement may come earlier or later, so
#: that nodes that were started together do not go on speaking at once.
JITTER = 0.1

#: Seconds until the locator is asked again where it listens, while it does not.
NOT_YET = 0.1

#: Seconds until the socket is made again after a failure, doubled each time.
FIRST_RETRY, LAST_RETRY = 1.0, 30.0

#: Seconds between two log lines about datagrams that are refused: anybody can
#: send as many as the network carries.
COMPLAINT_PAUSE = 60.0


class MulticastArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of the cluster type ``multicast``."""

    group: Annotated[
        str,
        msgspec.Meta(
            description="Numeric multicast address, IPv4 or IPv6, such as "
            "239.0.100.53; the same on all nodes."
        ),
    ]
    port: Annotated[
        int, msgspec.Meta(ge=1, le=65535, description="UDP port of the group.")
    ] = 10053
    interval: Annotated[
        float,
        msgspec.Meta(
            ge=0.1,
            le=3600,
            description="Time between two announcements; who has been silent for "
            "three of them is gone.",
            extra={"unit": "seconds"},
        ),
    ] = 5.0
    interface: Annotated[
        str | int,
        msgspec.Meta(
            description="Where to speak and to hear: an interface's name or index, "
            "for IPv4 also its address.",
            extra={"default": "what the routing table says"},
        ),
    ] = ""
    loopback: Annotated[
        bool,
        msgspec.Meta(
            description="Whether nodes on the same host and network hear this one."
        ),
    ] = False
    hops: Annotated[
        int,
        msgspec.Meta(
            ge=0, le=255, description="Networks that an announcement may pass."
        ),
    ] = 1

    def __post_init__(self) -> None:
        try:
            address = ipaddress.ip_address(self.group)
        except ValueError:
            raise Invalid(("group", "must be a numeric address")) from None
        if not address.is_multicast or "%" in self.group:
            example = "239.0.100.53" if address.version == 4 else "ff08::c0ca"
            text = f"must be a multicast address, such as {example}"
            raise Invalid(("group", text))
        if is_link_local(self.group) and self.interface in ("", 0):
            text = "is needed, since the group means another one on each of them"
            raise Invalid(("interface", text))


@implementer(ICluster, IReporter)
class MulticastCluster(Component[MulticastArgs]):
    """Type ``multicast``."""

    Args = MulticastArgs

    def __init__(self, node: INode, name: str, args: MulticastArgs) -> None:
        super().__init__(node, name, args)
        interface = str(args.interface or "")
        self.group = Group(args.group, args.port, interface, args.loopback, args.hops)
        self._links: ILinks | None = None
        self._sightings = Sightings(PATIENCE * args.interval)
        self._ear: _Ear | None = None
        self._call: IDelayedCall | None = None
        self._expiry: IDelayedCall | None = None
        self._retry = FIRST_RETRY
        self._trouble = ""
        self._last_error = ""
        self._bad = self._refused = 0
        self._complained = self._crowded = -math.inf

    def attach(self, links: ILinks) -> None:
        self._links = links

    def start(self) -> None:
        self._open()

    def stop(self) -> Deferred[None]:
        for call in (self._call, self._expiry):
            if call is not None and call.active():
                call.cancel()
        return self._close()

    # Speaking

    def _open(self) -> None:
        self._close()
        try:
            self._ear = _Ear(self, self.node, self.group)
        except OSError as error:
            self._fail(error)
        else:
            self._announce()

    def _close(self) -> Deferred[None]:
        ear, self._ear = self._ear, None
        return maybeDeferred(lambda: None if ear is None else ear.close())

    def _announce(self) -> None:
        links, ear = self._links, self._ear
        assert links is not None, "attach() comes before start()"
        assert ear is not None, "it is made before each first announcement"
        endpoints = links.endpoints()
        if not endpoints:
            self._later(NOT_YET, self._announce)
            return
        try:
            ear.send(Announcement(links.uuid, endpoints).to_datagram())
        except (OSError, MessageLengthError) as error:
            self._fail(error)
            return
        if self._trouble:
            log.info("the group {group} is reached again", group=str(self.group))
        self._trouble = ""
        self._retry = FIRST_RETRY
        jitter = random.uniform(-JITTER, JITTER)
        self._later(self.args.interval * (1 + jitter), self._announce)

    def _later(self, seconds: float, function: Any) -> None:
        self._call = self.node.reactor.callLater(seconds, function)

    def _fail(self, error: Exception) -> None:
        """
        Make the socket again after a while; hear on with this one until then.

        Its interface may have gone, and its membership with it.
        """
        text = str(error)
        if text != self._trouble:
            log.warn(
                "cluster {cluster}: the group {group} cannot be reached: {error};"
                " trying again for as long as it takes",
                cluster=self.name,
                group=str(self.group),
                error=text,
            )
        self._trouble = self._last_error = text
        self._later(self._retry * random.uniform(0.5, 1), self._open)
        self._retry = min(2 * self._retry, LAST_RETRY)

    def lost(self, ear: _Ear) -> None:
        """The reactor has given up a socket."""
        if ear is self._ear:
            self._ear = None
            if self._call is not None and self._call.active():
                self._call.cancel()
            self._fail(OSError("the socket was lost"))

    # Hearing

    def heard(self, datagram: bytes, host: str) -> None:
        """Somebody has sent something to the group."""
        links = self._links
        assert links is not None, "attach() comes before start()"
        now = self.node.reactor.seconds()
        try:
            uuid, endpoints = Announcement.from_datagram(datagram)
            if uuid == links.uuid:
                return
            is_new = self._sightings.hear(uuid, now)
        except RemoteProtocolError as error:
            self._bad += 1
            self._complain(error, host, now)
            return
        except TooManyNodes as error:
            self._refused += 1
            self._crowded = now
            self._complain(error, host, now)
            return
        if is_new:
            log.info("node {uuid} is heard from {host}", uuid=uuid, host=host)
        links.link(uuid, endpoints)
        self._watch()

    def _complain(self, error: Exception, host: str, now: float) -> None:
        self._last_error = f"{host}: {error}"
        if now - self._complained >= COMPLAINT_PAUSE:
            self._complained = now
            log.warn(
                "cluster {cluster}: a datagram from {host} was refused: {error}"
                " (so far {bad} bad ones, and {refused} of nodes too many)",
                cluster=self.name,
                host=host,
                error=str(error),
                bad=self._bad,
                refused=self._refused,
            )

    def _watch(self) -> None:
        """See to it that silent nodes are found when they are due."""
        due = self._sightings.due
        if due is not None and (self._expiry is None or not self._expiry.active()):
            wait = max(0.0, due - self.node.reactor.seconds())
            self._expiry = self.node.reactor.callLater(wait, self._expire)

    def _expire(self) -> None:
        # Perhaps it is this process that was held up: then what others have sent
        # meanwhile waits to be read, and that happens first.
        self._expiry = self.node.reactor.callLater(0, self._drop_silent)

    def _drop_silent(self) -> None:
        links = self._links
        assert links is not None, "attach() comes before start()"
        for uuid in self._sightings.expire(self.node.reactor.seconds()):
            log.info("node {uuid} is not heard any more", uuid=uuid)
            links.drop(uuid)
        self._watch()

    # IReporter

    def report(self) -> Mapping[str, Any]:
        now = self.node.reactor.seconds()
        problem = ""
        if self._trouble:
            problem = (
                f"the group {self.group} cannot be reached: {self._trouble}; see to"
                " the interface and the route to it"
            )
        elif now - self._crowded < PATIENCE * self.args.interval:
            problem = f"more than {len(self._sightings)} nodes announce themselves"
        return {
            "group": str(self.group),
            "heard": self._sightings.silences(now),
            "bad_packets": self._bad,
            "refused_nodes": self._refused,
            "last_error": self._last_error,
            "problem": problem,
        }


class _Ear(DatagramProtocol):
    """
    The socket, as long as it lives.

    :raises OSError: it cannot be made.
    """

    def __init__(self, cluster: MulticastCluster, node: INode, group: Group) -> None:
        self._cluster = cluster
        self._group = group
        made = group.open()
        try:
            # Duplicates the descriptor.
            self._port: Any = node.reactor.adoptDatagramPort(
                made.fileno(), group.family, self, DATAGRAM_LIMIT
            )
        finally:
            made.close()

    def send(self, datagram: bytes) -> None:
        """Send to the group."""
        self._port.write(datagram, (self._group.address, self._group.port))

    def close(self) -> Any:
        """Leave the group."""
        return self._port.stopListening()

    @override
    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self._cluster.heard(datagram, addr[0])

    @override
    def stopProtocol(self) -> None:
        self._cluster.lost(self)
