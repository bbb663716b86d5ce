# -*- test-case-name: cocained.test.test_clusters_group -*-
"""
A socket that belongs to a multicast group.

Twisted's own multicast port cannot choose an interface or set the hops for
IPv6, so the socket is made here and adopted by the reactor.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass

#: Linux (linux/in.h, linux/in6.h): whether a socket hears groups that *others*
#: on this host have joined.  Python does not name them.
IP_MULTICAST_ALL = 49
IPV6_MULTICAST_ALL = 29


@dataclass(frozen=True)
class Group:
    """
    A group as a node takes part in it.

    :param address: numeric, of either family.
    :param port: of the datagrams.
    :param interface: an address (IPv4 only), a name or an index; empty lets the
        routing table choose.
    :param loopback: whether other sockets of this host hear what we send.
    :param hops: how many networks a datagram may pass; 1 stays on the first.
    """

    address: str
    port: int
    interface: str = ""
    loopback: bool = False
    hops: int = 1

    @property
    def family(self) -> socket.AddressFamily:
        """Address family of the group."""
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"

    def open(self) -> socket.socket:
        """
        Make a socket that sends to the group and hears it.

        :returns: not blocking, for its caller to close.
        :raises OSError: there is no such interface, no route to the group, or
            the port belongs to somebody who does not share it.
        """
        made = socket.socket(self.family, socket.SOCK_DGRAM)
        try:
            made.setblocking(False)
            # Several nodes of one host share the port, of different users, too:
            # each of them gets a copy of what is sent to a group.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.family == socket.AF_INET:
                self._join_ipv4(made)
            else:
                self._join_ipv6(made)
        except BaseException:
            made.close()
            raise
        return made

    # Bound to the group and not to any address: what is sent to the host alone,
    # perhaps from far away, does not arrive here.

    def _join_ipv4(self, made: socket.socket) -> None:
        made.bind((self.address, self.port))
        level, packed = socket.IPPROTO_IP, socket.inet_aton(self.address)
        here = _address_or_index(self.interface)
        if here:
            made.setsockopt(level, socket.IP_MULTICAST_IF, b"\0" * 4 + here)
        made.setsockopt(level, IP_MULTICAST_ALL, 0)
        made.setsockopt(level, socket.IP_MULTICAST_LOOP, int(self.loopback))
        made.setsockopt(level, socket.IP_MULTICAST_TTL, self.hops)
        # struct ip_mreqn: the group, then an interface.
        membership = packed + (here or b"\0" * 8)
        made.setsockopt(level, socket.IP_ADD_MEMBERSHIP, membership)

    def _join_ipv6(self, made: socket.socket) -> None:
        index = _index(self.interface) if self.interface else 0
        scope = index if is_link_local(self.address) else 0
        made.bind((self.address, self.port, 0, scope))
        level = socket.IPPROTO_IPV6
        made.setsockopt(level, IPV6_MULTICAST_ALL, 0)
        made.setsockopt(level, socket.IPV6_MULTICAST_IF, index)
        made.setsockopt(level, socket.IPV6_MULTICAST_LOOP, int(self.loopback))
        made.setsockopt(level, socket.IPV6_MULTICAST_HOPS, self.hops)
        packed = socket.inet_pton(socket.AF_INET6, self.address)
        membership = packed + struct.pack("@I", index)
        made.setsockopt(level, socket.IPV6_JOIN_GROUP, membership)


def is_link_local(address: str) -> bool:
    """Whether a group means nothing without an interface (``ff02::…``, ``ff01::…``)."""
    parsed = ipaddress.ip_address(address)
    return parsed.version == 6 and parsed.packed[1] & 0xF in (1, 2)


def _index(interface: str) -> int:
    return int(interface) if interface.isdecimal() else socket.if_nametoindex(interface)


def _address_or_index(interface: str) -> bytes:
    """Give the end of a ``struct ip_mreqn``: an address and an index."""
    if not interface:
        return b""
    try:
        return socket.inet_pton(socket.AF_INET, interface) + b"\0" * 4
    except OSError:
        return b"\0" * 4 + struct.pack("@i", _index(interface))
