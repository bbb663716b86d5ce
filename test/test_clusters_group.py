# -*- test-case-name: cocained.test.test_clusters_group -*-
"""
Sockets of a group, real ones, on the loopback interface.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

from twisted.trial.unittest import SynchronousTestCase

from cocained.clusters.group import Group, is_link_local

#: Groups that nothing else on a machine uses (RFC 5771, RFC 7346: local scope).
GROUP, OTHER = "239.255.197.11", "239.255.197.12"
GROUP6 = "ff01::c0ca:1"

#: Seconds until what was sent on this host has come, or never does.
TIMEOUT = 5.0

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


class GroupTests(SynchronousTestCase):
    """What goes out and what comes in."""

    def setUp(self) -> None:
        self.port = free_port()

    def open(self, address: str = GROUP, interface: str = LOOPBACK) -> socket.socket:
        made = Group(address, self.port, interface, loopback=True).open()
        self.addCleanup(made.close)
        self.assertFalse(made.getblocking())
        made.settimeout(TIMEOUT)
        return made

    def test_shared(self) -> None:
        """Several sockets of a host share the port, and each hears everything."""
        first, second = self.open(), self.open()

        first.sendto(b"hello", (GROUP, self.port))

        self.assertEqual(first.recv(100), b"hello")
        self.assertEqual(second.recv(100), b"hello")

    def test_other_group(self) -> None:
        """What is sent to another group that the host has joined is not heard."""
        here, there = self.open(), self.open(OTHER)

        there.sendto(b"to others", (OTHER, self.port))
        here.sendto(b"to us", (GROUP, self.port))

        self.assertEqual(here.recv(100), b"to us")
        self.assertEqual(there.recv(100), b"to others")

    def test_not_to_us(self) -> None:
        """What is sent to the host and not to the group is not heard."""
        here = self.open()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"for you alone", (LOOPBACK, self.port))
        here.sendto(b"to us", (GROUP, self.port))

        self.assertEqual(here.recv(100), b"to us")

    def test_interface_by_name(self) -> None:
        """An interface may be given by its name or index, too."""
        index = socket.if_nametoindex("lo")
        for interface in ("lo", str(index)):
            made = self.open(interface=interface)
            made.sendto(b"hello", (GROUP, self.port))
            self.assertEqual(made.recv(100), b"hello")

    def test_options(self) -> None:
        """Hops and loopback are set, as numbers of their own for each family."""
        made = Group(GROUP, self.port, LOOPBACK, loopback=False, hops=7).open()
        self.addCleanup(made.close)

        level = socket.IPPROTO_IP
        self.assertEqual(made.getsockopt(level, socket.IP_MULTICAST_TTL), 7)
        self.assertEqual(made.getsockopt(level, socket.IP_MULTICAST_LOOP), 0)

    def test_ipv6(self) -> None:
        """A group of IPv6 is joined on one interface; hops are its own option."""
        if not os.path.exists("/proc/net/if_inet6"):
            self.skipTest("this host has no IPv6")
        made = Group(GROUP6, self.port, "lo", loopback=True, hops=3).open()
        self.addCleanup(made.close)

        level = socket.IPPROTO_IPV6
        self.assertEqual(made.getsockopt(level, socket.IPV6_MULTICAST_LOOP), 1)
        self.assertEqual(made.getsockopt(level, socket.IPV6_MULTICAST_HOPS), 3)
        interface = made.getsockopt(level, socket.IPV6_MULTICAST_IF, 4)
        self.assertEqual(struct.unpack("@i", interface), (socket.if_nametoindex("lo"),))

    def test_no_interface(self) -> None:
        """An interface that is not there is an error of the system."""
        group = Group(GROUP, self.port, "nonexistent0")

        error = self.assertRaises(OSError, group.open)

        self.assertIn(error.errno, (errno.ENODEV, errno.ENXIO, None))

    def test_taken(self) -> None:
        """A port that somebody keeps for himself is an error."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("", self.port))
            error = self.assertRaises(OSError, Group(GROUP, self.port, "lo").open)

        self.assertEqual(error.errno, errno.EADDRINUSE)

    def test_text(self) -> None:
        """A group is written as addresses and ports are."""
        self.assertEqual(str(Group(GROUP, 1)), "239.255.197.11:1")
        self.assertEqual(str(Group("ff08::1", 1)), "[ff08::1]:1")

    def test_link_local(self) -> None:
        """Groups of a link and of a host need an interface; wider ones do not."""
        for address in ("ff02::1", "ff01::1", "ff12::1"):
            self.assertTrue(is_link_local(address), address)
        for address in ("ff05::1", "ff08::1", "ff0e::1", GROUP):
            self.assertFalse(is_link_local(address), address)
