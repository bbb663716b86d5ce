# -*- test-case-name: cocained.test.test_clusters_announcement -*-
"""
The datagram of the multicast cluster, as it is and as it may come.
"""

from __future__ import annotations

import msgpack
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.clusters.announcement import (
    DATAGRAM_LIMIT,
    ENDPOINT_LIMIT,
    TEXT_LIMIT,
    Announcement,
)
from cocained.errors import RemoteProtocolError
from cocained.rpc.codec import pack
from cocained.test.strategies import VALUES, octets

UUID = "0fa8b2b4-73a4-4d4d-9d4b-1f1d4a6f0c11"

ADDRESSES = st.ip_addresses().filter(
    lambda address: not address.is_unspecified and not address.is_multicast
)
ENDPOINTS = st.lists(
    st.tuples(ADDRESSES.map(str), st.integers(1, 65535)),
    min_size=1,
    max_size=ENDPOINT_LIMIT,
)
UUIDS = st.from_regex(r"\A[0-9a-f-]{1,36}\Z")


class WireTests(SynchronousTestCase):
    """What travels."""

    def test_bytes(self) -> None:
        """A datagram is a uuid and a list of addresses, in raw strings."""
        datagram = Announcement("u-1", [("10.0.0.1", 10053)]).to_datagram()

        self.assertEqual(
            datagram,
            b"\x92\xa3u-1\x91\x92\xa810.0.0.1\xcd" + (10053).to_bytes(2, "big"),
        )

    def test_modern_strings(self) -> None:
        """The newer forms of strings are understood as well."""
        datagram = msgpack.packb([UUID, [[b"::1", 1]]], use_bin_type=True)

        self.assertEqual(Announcement.from_datagram(datagram), (UUID, [("::1", 1)]))

    def test_more_elements(self) -> None:
        """What later nodes may append is ignored."""
        datagram = pack([UUID, [["10.0.0.1", 1]], "new", 5])

        self.assertEqual(Announcement.from_datagram(datagram).uuid, UUID)

    @given(UUIDS, ENDPOINTS)
    def test_round_trip(self, uuid: str, endpoints: list[tuple[str, int]]) -> None:
        """What one node says another understands."""
        announcement = Announcement(uuid, endpoints)

        again = Announcement.from_datagram(announcement.to_datagram())

        self.assertEqual(again, announcement)

    def test_largest_fits(self) -> None:
        """The largest announcement that is understood fits into a datagram."""
        endpoints = [
            (f"2001:db8:ffff:ffff:ffff:ffff:ffff:{n:x}", 65535)
            for n in range(ENDPOINT_LIMIT)
        ]

        datagram = Announcement("f" * TEXT_LIMIT, endpoints).to_datagram()

        self.assertLess(len(datagram), DATAGRAM_LIMIT)
        self.assertEqual(
            len(Announcement.from_datagram(datagram).endpoints), ENDPOINT_LIMIT
        )


class RefusalTests(SynchronousTestCase):
    """What is no announcement."""

    def check(self, part: str, datagram: bytes) -> None:
        error = self.assertRaises(
            RemoteProtocolError, Announcement.from_datagram, datagram
        )
        self.assertIn(part, error.reason)

    def test_shapes(self) -> None:
        """Other shapes are refused, whatever is wrong with them."""
        good = ["10.0.0.1", 10053]
        for value in (
            None,
            5,
            "text",
            [],
            [UUID],
            [UUID, None],
            [UUID, []],
            [UUID, [good, None]],
            [UUID, [[]]],
            [UUID, [["10.0.0.1"]]],
            [UUID, [["10.0.0.1", 1, 2]]],
            [UUID, [["10.0.0.1", "1"]]],
            [UUID, [["10.0.0.1", True]]],
            [UUID, [["10.0.0.1", 0]]],
            [UUID, [["10.0.0.1", -1]]],
            [UUID, [["10.0.0.1", 65536]]],
            [UUID, [["10.0.0.1", 1.5]]],
            [UUID, [[5, 1]]],
            [[UUID], [good]],
            [None, [good]],
        ):
            self.check("no announcement", pack(value))

    def test_uuids(self) -> None:
        """A uuid is short, and can be printed as it is."""
        for uuid in ("", "a b", "a\n2026 [critical]", "\x1b[2J", "é", "f" * 129):
            self.check("no announcement", pack([uuid, [["10.0.0.1", 1]]]))

    def test_addresses(self) -> None:
        """An address is numeric, and somebody can be reached there."""
        for host in ("localhost", "0.0.0.0", "::", "239.0.100.53", "ff02::1", "\xff"):
            self.check("", pack([UUID, [[host, 1]]]))

    def test_zones(self) -> None:
        """A zone can be printed as it is."""
        for zone in ("\n", " ", "a\n2026 [critical]", "\x1b[2J"):
            self.check("not numeric", pack([UUID, [["fe80::1%" + zone, 1]]]))

    def test_claims(self) -> None:
        """Claimed sizes are refused before memory is taken for them."""
        huge = (2**32 - 1).to_bytes(4, "big")
        for head in (b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"):
            self.check("no announcement", b"\x92\xa1u" + head + huge)

    def test_too_many_addresses(self) -> None:
        """One address more than the limit is too many."""
        endpoints = [["10.0.0.1", 1]] * (ENDPOINT_LIMIT + 1)

        self.check("exceeds max_array_len", pack([UUID, endpoints]))

    def test_depth(self) -> None:
        """Lists in lists end where the library's stack does."""
        self.check("no announcement", b"\x91" * (DATAGRAM_LIMIT - 1))

    def test_rest(self) -> None:
        """Bytes behind an announcement make it none."""
        good = Announcement(UUID, [("10.0.0.1", 1)]).to_datagram()

        self.check("ExtraData", good + b"\0")
        for size in range(len(good)):
            self.check("no announcement", good[:size])

    @given(octets(300))
    def test_any_bytes(self, datagram: bytes) -> None:
        """Any bytes are an announcement or are refused, and nothing else happens."""
        try:
            announcement = Announcement.from_datagram(datagram)
        except RemoteProtocolError:
            return
        self.assertTrue(announcement.endpoints)

    @given(VALUES)
    def test_any_value(self, value: tuple[object, object]) -> None:
        """So it is with any value."""
        self.check("no announcement", pack(value[0]))

    @given(UUIDS, ENDPOINTS, st.data())
    def test_damage(
        self, uuid: str, endpoints: list[tuple[str, int]], data: st.DataObject
    ) -> None:
        """One changed byte gives another announcement or none."""
        datagram = bytearray(Announcement(uuid, endpoints).to_datagram())
        at = data.draw(st.integers(0, len(datagram) - 1))
        datagram[at] ^= data.draw(st.integers(1, 255))

        try:
            announcement = Announcement.from_datagram(bytes(datagram))
        except RemoteProtocolError:
            return
        self.assertNotEqual(announcement, (uuid, endpoints))
