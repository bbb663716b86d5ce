# -*- test-case-name: cocained.test.live.test_failures_wire -*-
"""
Peers that send what no peer should, while another one is being served.
"""

from __future__ import annotations

import os
import random
import struct

from cocained.test.live.support import AppCase, Client, differs, live_suite, pack

SERVICES = ("locator", "storage", "logging", "node", "probe")

#: MiB that the node may take in while it is lied to.
GROWTH_LIMIT = 120


class HostileTests(AppCase):
    """Each test keeps a stream open beside the attack."""

    limits = {"concurrency": 20}

    def attack(self, data: bytes, services: tuple[str, ...] = SERVICES) -> list[Client]:
        """Send *data* to services and see that others are served meanwhile."""
        bystander = self.connect("probe")
        bystander.send(1, 0, ["echo"])
        before = self.resident()
        attackers = [self.connect(service) for service in services]
        for attacker in attackers:
            attacker.send_bytes(data)
            bystander.send(1, 0, ["still there"])
            self.assertEqual(bystander.receive()[:3], [1, 0, [b"still there"]])
        with self.node.client("locator") as locator:
            locator.call(0, "probe")
        self.assertLess(self.resident() - before, GROWTH_LIMIT)
        bystander.send(1, 2, [])
        self.assertEqual(bystander.receive()[:3], [1, 2, []])
        return attackers

    def resident(self) -> float:
        """Give the resident memory of the node, in MiB."""
        assert self.node.process is not None
        with open(f"/proc/{self.node.process.pid}/statm") as file:
            pages = int(file.read().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def assert_closed(self, clients: list[Client]) -> None:
        """See that the node has closed all of them."""
        self.assertEqual([client.is_closed() for client in clients], [True] * 5)

    def test_garbage(self) -> None:
        """Bytes that are no msgpack, or no frame, close the connection."""
        for data in (b"\xc1" * 4096, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" * 99):
            self.assert_closed(self.attack(data))

    def test_noise(self) -> None:
        """Any noise does no harm."""
        noise = random.Random(7)
        for _ in range(5):
            self.attack(noise.randbytes(5000))

    def test_half_frame(self) -> None:
        """A frame that never ends is waited for, and costs nobody else."""
        for attacker in self.attack(b"\x93\x01"):
            self.assertFalse(attacker.is_closed(0.05))

    @differs("limits")
    def test_claims(self) -> None:
        """A length of 4 GiB is refused before it is believed."""
        most = struct.pack(">I", 0xFFFFFFFF)
        for head in (b"\xdb", b"\xc6", b"\xdd", b"\xdf"):
            self.assert_closed(self.attack(b"\x93\x01\x00\x91" + head + most))

    def test_outer_claim(self) -> None:
        """So is a frame of four billion elements."""
        self.assert_closed(self.attack(b"\xdd\xff\xff\xff\xff" + b"\x01" * 100))

    def test_large_frame(self) -> None:
        """A frame that really grows too large is given up on the way."""
        claim = b"\x93\x01\x00\x91\xdb" + struct.pack(">I", 1 << 31)
        self.assert_closed(self.attack(claim + b"x" * 1000))

    def test_nesting(self) -> None:
        """A million arrays in one another do not overflow any stack."""
        self.assert_closed(self.attack(b"\x91" * 1_000_000))
        self.assert_closed(self.attack(b"\x93\x01\x00" + b"\x91" * 1_000_000))

    def test_nested_headers(self) -> None:
        """Nor do headers."""
        bomb = b"\x94\x01\x00\x90" + b"\x91" * 500_000
        self.assert_closed(self.attack(bomb))

    def test_many_channels(self) -> None:
        """A client that opens channels without end is told when it is enough."""
        routes = b"".join(pack([n, 5, [f"r{n}"]]) for n in range(1, 17_000))
        (client,) = self.attack(routes, ("locator",))
        codes = [frame[2][0] for frame in client.rest(1.0) if frame[1] == 1]
        self.assertEqual(codes[:1], [[20991, 2]])

    def test_cut(self) -> None:
        """Connections that are cut in the middle of a frame leave nothing behind."""
        for attacker in self.attack(pack([1, 0, ["ping"]])[:-2]):
            attacker.close()
        self.attack(b"")


test_suite = live_suite(__name__)
