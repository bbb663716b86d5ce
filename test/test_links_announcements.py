# -*- test-case-name: cocained.test.test_links_announcements -*-
"""
What remotes are told, byte by byte (protocol.md §3.3, §18.7).
"""

from __future__ import annotations

from typing import Any

from cocained.apps.service import AppService
from cocained.errors import InvalidArgument
from cocained.links import stream as stream_module
from cocained.links.announcements import (
    GROUPS_BYTES,
    REMOTE_LIMIT,
    SHARE_LIMIT,
    Announcements,
)
from cocained.links.errors import TooManyRemotes
from cocained.links.link import SERVICE_LIMIT
from cocained.links.offers import packed_offer
from cocained.links.tidings import EXTRA_HEADER, GROUPS_LIMIT, Reader, Tidings
from cocained.rpc.codec import Decoder, unpack
from cocained.rpc.headers import HEADER_BYTES_LIMIT, UNTRACED, HeaderTable, Trace
from cocained.rpc.session import Session
from cocained.services.locator import EXTRA_LIMIT
from cocained.test.rpc_case import MemoryLink, SessionCase

A = "aaaaaaaa-0000-4000-8000-000000000001"
B = "bbbbbbbb-0000-4000-8000-000000000002"

#: The four headers of §18.7: the trace of a request without one, and the extra.
HEADERS = (
    b"\x94"
    + UNTRACED[1:]
    + bytes.fromhex("93c2b7782d636f6361696e652d6c6f6361746f722d6578747261a180")
)


class AnnouncingCase(SessionCase):
    """A node's announcements, and remotes that listen."""

    extra: dict[str, Any] = {}

    def setUp(self) -> None:
        super().setUp()
        self.announcements = Announcements(A, self.extra)
        self.reader = Reader()

    def remote(self) -> tuple[Session, MemoryLink]:
        """Give one more connection."""
        link = MemoryLink()
        return Session(self.turn, link, self.root), link

    def listen(self, remote: str = B, channel: int = 1) -> MemoryLink:
        """Let one more remote listen over a connection of its own."""
        session, link = self.remote()
        stream = self.announcements.listen(remote, session, channel, [])
        if stream is not None:
            session.channels[channel] = stream
        self.turn.flush()
        return link

    def set(self, name: str, port: int = 1) -> None:
        """A service is there."""
        packed = packed_offer([("10.0.0.1", port)], 1, {})
        self.announcements.set(name, packed)
        self.turn.flush()

    def remove(self, name: str) -> None:
        """A service is gone."""
        self.announcements.remove(name, packed_offer([], 1, {}))
        self.turn.flush()

    def told(self, link: MemoryLink) -> list[Tidings]:
        """Read what was written since the last look."""
        data = b"".join(link.writes)
        link.writes.clear()
        return [
            self.reader.read(frame[2], HeaderTable().decode(frame[3]))
            for frame in _frames(data)
        ]


def _frames(data: bytes) -> list[Any]:
    """Take apart what was written, headers and all."""
    decoder = Decoder()
    found = decoder.decode(data)
    assert decoder.fault is None and not decoder.waiting
    return found


class FrameTests(AnnouncingCase):
    """Bytes."""

    def test_idle(self) -> None:
        """A node that has nothing says so at once."""
        link = self.listen()

        head = bytes.fromhex("94010092da0024") + A.encode()
        self.assertEqual(link.data, head + b"\x80" + HEADERS)

    def test_snapshot(self) -> None:
        """§18.7, with the graph of one method of the four."""
        graph: Any = {0: ("read", {}, {0: ("value", {}), 1: ("error", {})})}
        packed = packed_offer([("10.0.0.1", 32770)], 1, graph)
        self.announcements.set("storage", packed)

        link = self.listen()

        self.assertEqual(
            link.data,
            bytes.fromhex("94010092da0024")
            + A.encode()
            + bytes.fromhex(
                "81a773746f72616765"  # {"storage":
                "93"
                "9192a831302e302e302e31cd8002"  # [["10.0.0.1", 32770]]
                "01"
                "810093a472656164808200"  # {0: ["read", {}, {0:
                "92a576616c75658001"  # ["value", {}], 1:
                "92a56572726f7280"  # ["error", {}]}]}
            )
            + HEADERS,
        )

    def test_removed(self) -> None:
        """§18.7: a removed service has no endpoints; 142 bytes."""
        self.set("echo")
        link = self.listen()
        link.writes.clear()

        self.remove("echo")

        expected = (
            bytes.fromhex("94010092da0024")
            + A.encode()
            + bytes.fromhex("81a46563686f93900180")
            + HEADERS
        )
        self.assertEqual(link.data, expected)
        self.assertEqual(len(expected), 142)

    def test_close(self) -> None:
        """§18.7: the end of the stream; 65 bytes."""
        link = self.listen()
        link.writes.clear()

        self.announcements.close()
        self.turn.flush()

        self.assertEqual(link.data, b"\x94\x01\x02\x90" + UNTRACED)
        self.assertEqual(len(link.data), 65)

    def test_many(self) -> None:
        """A map of many services has a longer head."""
        for number in range(20):
            self.set(f"service-{number}")

        (told,) = self.told(self.listen())

        self.assertEqual(told.names, {f"service-{n}" for n in range(20)})

    def test_trace(self) -> None:
        """A request's trace comes back with every write, and with the end."""
        session, link = self.remote()
        trace = Trace(1, 2, 3)
        self.announcements.listen(B, session, 7, trace.headers())
        self.announcements.set("echo", packed_offer([("::1", 1)], 1, {}))
        self.announcements.close()
        self.turn.flush()

        for frame in _frames(link.data):
            headers = HeaderTable().decode(frame[3])
            self.assertEqual(headers[:3], trace.headers())
            self.assertEqual(frame[0], 7)


class ExtraTests(AnnouncingCase):
    """Values that travel along."""

    extra = {"weight": 5, "x-region": "r1"}

    def test_every_write(self) -> None:
        """The header of each write has them, as they were captured."""
        link = self.listen()
        self.set("echo")

        frames = _frames(link.data)
        self.assertEqual(len(frames), 2)
        for frame in frames:
            headers = dict(HeaderTable().decode(frame[3]))
            self.assertEqual(
                headers[EXTRA_HEADER].hex(),
                "82a677656967687405a8782d726567696f6ea27231",
            )


class RemoteTests(AnnouncingCase):
    """Who hears what."""

    def test_changes(self) -> None:
        """Each change is one write, for everybody."""
        first, second = self.listen("one"), self.listen("two")
        self.told(first), self.told(second)

        self.set("echo")
        self.set("echo", 2)
        self.remove("echo")

        for link in (first, second):
            self.assertEqual(
                [[o.endpoints for o in told.offers] for told in self.told(link)],
                [[[("10.0.0.1", 1)]], [[("10.0.0.1", 2)]], [[]]],
            )

    def test_latecomer(self) -> None:
        """Who comes later hears how things are then."""
        self.listen("one")
        self.set("echo")
        self.set("gone")
        self.remove("gone")

        (told,) = self.told(self.listen("two"))

        self.assertEqual(told.names, {"echo"})

    def test_unknown_removed(self) -> None:
        """The end of a service that nobody was told of is no news."""
        link = self.listen()
        link.writes.clear()

        self.remove("echo")

        self.assertEqual(link.writes, [])

    def test_shared(self) -> None:
        """A thousand remotes are sent the very same bytes."""
        links = [self.listen(f"node-{number}") for number in range(1000)]

        self.set("echo")

        self.assertEqual(len({id(link.writes[0]) for link in links}), 1)
        self.assertEqual(len({id(link.writes[1]) for link in links}), 1)

    def test_own_channels(self) -> None:
        """Remotes need not listen on the same channel."""
        links = [self.listen(f"node-{n}", channel=n) for n in (1, 2, 300)]
        self.set("echo")

        channels = [[f[0] for f in link.frames()] for link in links]
        self.assertEqual(channels, [[1, 1], [2, 2], [300, 300]])

    def test_thousands(self) -> None:
        """A node with as many services as one may have can be read by others."""
        packed = packed_offer(
            [("10.0.0.1", 1), ("fe80::1", 1)], 1, AppService.protocol.graph
        )
        for number in range(SERVICE_LIMIT):
            self.announcements.set(f"app{number}", packed)
        session, link = self.remote()
        self.announcements.listen(B, session, 1, [])
        self.turn.flush()

        told = self.told(link)

        names = {name for tidings in told for name in tidings.names}
        self.assertEqual(len(names), SERVICE_LIMIT)
        self.assertEqual(sum(len(tidings.offers) for tidings in told), SERVICE_LIMIT)

    def test_replaced(self) -> None:
        """A second stream of a connection takes over; the first hears nothing."""
        session, link = self.remote()
        for channel in (1, 2):
            stream = self.announcements.listen(B, session, channel, [])
            assert stream is not None
            session.channels[channel] = stream
        self.turn.flush()
        link.writes.clear()

        self.set("echo")

        self.assertEqual([frame[0] for frame in link.frames()], [2])
        self.assertEqual(len(self.announcements), 1)

    def test_same_uuid(self) -> None:
        """Nobody can make another one deaf by saying his uuid."""
        first, second = self.listen(), self.listen()
        first.writes.clear()

        self.set("echo")

        self.assertEqual(len(first.frames()), 1)
        self.assertEqual(len(second.frames()), 2)

    def test_same_uuid_ends(self) -> None:
        """The end of the one connection leaves the other stream alone."""
        session, _ = self.remote()
        stream = self.announcements.listen(B, session, 1, [])
        assert stream is not None
        session.channels[1] = stream
        second = self.listen()
        second.writes.clear()

        session.lost(TooManyRemotes("gone"))
        stream.discard(TooManyRemotes("late"))
        self.set("echo")

        self.assertEqual(len(second.frames()), 1)

    def test_gone(self) -> None:
        """A remote whose connection is gone is forgotten."""
        session, _ = self.remote()
        stream = self.announcements.listen(B, session, 1, [])
        assert stream is not None
        session.channels[1] = stream

        session.lost(TooManyRemotes("gone"))

        self.assertEqual(len(self.announcements), 0)

    def test_further_messages(self) -> None:
        """What a remote says on its stream is dropped and counted."""
        session, link = self.remote()
        stream = self.announcements.listen(B, session, 1, [])
        assert stream is not None
        session.channels[1] = stream
        link.writes.clear()

        stream.message(0, [b"x"], [])

        self.assertEqual((session.dropped, link.writes), (1, []))
        self.assertEqual(len(self.announcements), 1)

    def test_closed(self) -> None:
        """After the end those who come hear that at once, and nothing else."""
        self.announcements.close()

        link = self.listen()
        self.set("echo")

        self.assertEqual(link.frames(), [[1, 2, []]])
        self.assertEqual(len(self.announcements), 0)

    def test_close_twice(self) -> None:
        """The end is told once."""
        link = self.listen()
        link.writes.clear()

        self.announcements.close()
        self.announcements.close()
        self.turn.flush()

        self.assertEqual(link.frames(), [[1, 2, []]])


class LimitTests(AnnouncingCase):
    """Remotes that want too much."""

    def test_uuid(self) -> None:
        """A remote has a name, and no endless one."""
        session, _ = self.remote()
        for uuid in ("", "u" * 256):
            self.assertRaises(
                InvalidArgument, self.announcements.listen, uuid, session, 1, []
            )

    def test_too_many(self) -> None:
        """There is a limit to remotes; those that are known may come again."""
        for number in range(REMOTE_LIMIT):
            if not number % SHARE_LIMIT:
                session, _ = self.remote()
            self.announcements.listen(f"node-{number}", session, number + 1, [])
        other, _ = self.remote()

        error = self.assertRaises(
            TooManyRemotes, self.announcements.listen, "more", other, 9999, []
        )

        self.assertEqual((error.category, error.code), (0x51FF, 2))
        self.announcements.listen(f"node-{number}", session, 10_000, [])
        self.assertEqual(len(self.announcements), REMOTE_LIMIT)

    def test_share(self) -> None:
        """One connection cannot take the places of all others."""
        session, _ = self.remote()
        streams = [
            self.announcements.listen(f"node-{number}", session, number + 1, [])
            for number in range(SHARE_LIMIT)
        ]

        error = self.assertRaises(
            TooManyRemotes, self.announcements.listen, "more", session, 9999, []
        )

        self.assertIn("over this connection", str(error))
        other, _ = self.remote()
        self.announcements.listen("more", other, 1, [])
        assert streams[0] is not None
        streams[0].discard(TooManyRemotes("gone"))
        self.announcements.listen("more", session, 10_000, [])


class GroupTests(AnnouncingCase):
    """Routing groups that were refreshed."""

    extra = {"weight": 5}

    def test_refreshed(self) -> None:
        """For the original it is an empty write; its header has the names."""
        link = self.listen()
        link.writes.clear()

        self.announcements.refreshed(["g1", "g2"])
        self.turn.flush()

        self.assertEqual(link.frames(), [[1, 0, [A.encode(), ()]]])
        (told,) = self.told(link)
        self.assertEqual(
            (told.offers, told.groups, told.extra["weight"]), ((), ["g1", "g2"], 5)
        )

    def test_nothing(self) -> None:
        """A refresh of no groups is no news."""
        link = self.listen()
        link.writes.clear()

        self.announcements.refreshed([])
        self.turn.flush()

        self.assertEqual(link.writes, [])

    def test_too_many(self) -> None:
        """Instead of a thousand names, or of long ones, all groups are named."""
        link = self.listen()
        self.told(link)

        self.announcements.refreshed(map(str, range(GROUPS_LIMIT + 1)))
        self.announcements.refreshed(["x" * GROUPS_BYTES])
        self.turn.flush()

        self.assertEqual([list(t.groups or "?") for t in self.told(link)], [["?"]] * 2)

    def test_header_fits(self) -> None:
        """The longest list and the longest extra values fit into one frame."""
        self.assertLess(GROUPS_BYTES + EXTRA_LIMIT + 1000, HEADER_BYTES_LIMIT)


class SlowTests(AnnouncingCase):
    """A remote that does not read."""

    def setUp(self) -> None:
        super().setUp()
        self.slow, self.link = self.remote()
        stream = self.announcements.listen(B, self.slow, 1, [])
        assert stream is not None
        self.slow.channels[1] = stream
        self.turn.flush()
        self.link.writes.clear()
        self.slow.congest()

    def drained(self) -> list[Tidings]:
        """Let it read again; give what it hears."""
        self.slow.drained()
        self.turn.flush()
        return self.told(self.link)

    def drained_frames(self) -> list[Any]:
        """The same, as frames."""
        self.slow.drained()
        self.turn.flush()
        return self.link.frames()

    def test_nothing_is_sent(self) -> None:
        """Nothing waits in the connection meanwhile, and others are told."""
        other = self.listen("other")
        other.writes.clear()
        for port in range(1, 1000):
            self.set("echo", port)

        self.assertEqual(self.link.writes, [])
        self.assertEqual(len(other.frames()), 999)

    def test_latest(self) -> None:
        """When it reads again it hears how things are then, in one message."""
        for port in range(1, 1000):
            self.set("echo", port)
        self.set("gone")
        self.remove("gone")

        (told,) = self.drained()

        self.assertEqual(told.names, {"echo"})
        self.assertEqual(
            {offer.name: offer.endpoints for offer in told.offers},
            {"echo": [("10.0.0.1", 999)], "gone": []},
        )

    def test_changes_follow(self) -> None:
        """After that it is told each change again."""
        self.set("echo")
        self.drained()

        self.set("more")

        (told,) = self.told(self.link)
        self.assertEqual(told.names, {"more"})

    def test_nothing_waits(self) -> None:
        """Without a change there is nothing to hear."""
        self.assertEqual(self.drained(), [])

    def test_groups(self) -> None:
        """Refreshed groups wait as well, each once; and all stay all."""
        self.announcements.refreshed(["g1"])
        self.announcements.refreshed(["g2", "g1"])
        (told,) = self.drained()
        self.assertEqual(told.groups, ["g1", "g2"])

        self.slow.congest()
        self.announcements.refreshed(["x" * GROUPS_BYTES])
        self.announcements.refreshed(["g1"])
        (told,) = self.drained()
        self.assertEqual(told.groups, [])

    def test_many_groups(self) -> None:
        """Too many of them become all."""
        for number in range(GROUPS_LIMIT + 5):
            self.announcements.refreshed([str(number)])

        (told,) = self.drained()

        self.assertEqual(told.groups, [])

    def test_too_slow(self) -> None:
        """If ever more changes meanwhile, it is let go."""
        self.patch(stream_module, "WAITING_LIMIT", 10)
        for number in range(11):
            self.set(f"service-{number}")

        self.assertTrue(self.link.closed)
        self.assertEqual(len(self.announcements), 0)

    def test_lost_meanwhile(self) -> None:
        """One that goes away without reading is owed nothing."""
        self.set("echo")

        self.slow.lost(TooManyRemotes("gone"))
        self.turn.flush()

        self.assertEqual((self.link.writes, len(self.announcements)), ([], 0))

    def test_closed_meanwhile(self) -> None:
        """The end is said even to one who does not read; it hears only that."""
        self.set("echo")

        self.announcements.close()
        self.turn.flush()
        self.slow.drained()
        self.turn.flush()

        self.assertEqual(self.link.frames(), [[1, 2, []]])

    def test_replaced_meanwhile(self) -> None:
        """What waits for a stream that is replaced is not sent on it."""
        self.set("echo")

        self.announcements.listen(B, self.slow, 2, [])

        frames = self.drained_frames()
        self.assertEqual([frame[0] for frame in frames], [2])

    def test_unpacked(self) -> None:
        """What it hears then is packed like everything else."""
        self.set("echo")
        self.slow.drained()
        self.turn.flush()

        (frame,) = _frames(self.link.data)
        headers = dict(HeaderTable().decode(frame[3]))
        self.assertEqual(unpack(headers[EXTRA_HEADER]), ())
