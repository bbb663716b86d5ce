# -*- test-case-name: cocained.test.test_clusters_multicast -*-
# ruff: noqa: N802 - these doubles have the names of what they double
"""
The multicast cluster on a network in memory.
"""

from __future__ import annotations

import errno
import os
from typing import Any

from twisted.internet.error import MessageLengthError
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cocained.clusters.announcement import Announcement
from cocained.clusters.multicast import (
    JITTER,
    LAST_RETRY,
    MulticastArgs,
    MulticastCluster,
)
from cocained.clusters.sightings import NODE_LIMIT
from cocained.config import convert
from cocained.errors import ConfigError
from cocained.interfaces import IReporter
from cocained.rpc.codec import pack
from cocained.testing import FakeNode, MemoryLinks
from cocained.testing.contracts import ClusterContract

GROUP = "239.0.100.53"
HERE, THERE, ELSEWHERE = "here", "there", "elsewhere"
ADDRESS = ("10.0.0.2", 10053)


def refused(code: int) -> OSError:
    return OSError(code, os.strerror(code))


class MemoryGroup:
    """A group of which a test has the far end; also its sockets and its ports."""

    family = 2
    address, port = GROUP, 10053

    def __init__(self) -> None:
        self.opened = self.closed = self.stopped = 0
        self.refusals: list[Exception] = []
        self.sent: list[bytes] = []
        self.protocol: Any = None

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"

    def open(self) -> MemoryGroup:
        if self.refusals:
            raise self.refusals.pop(0)
        self.opened += 1
        return self

    def fileno(self) -> int:
        return 77

    def close(self) -> None:
        self.closed += 1

    def adopt(self, fileno: int, family: int, protocol: Any, size: int) -> MemoryGroup:
        assert (fileno, family, size) == (77, 2, 65536)
        self.protocol = protocol
        return self

    def write(self, datagram: bytes, address: tuple[str, int]) -> None:
        assert address == (GROUP, 10053)
        if self.refusals:
            raise self.refusals.pop(0)
        self.sent.append(datagram)

    def stopListening(self) -> None:
        self.stopped += 1
        self.protocol.stopProtocol()


class Case(SynchronousTestCase):
    """A cluster that has started."""

    def setUp(self) -> None:
        self.events: list[Any] = []
        observe: Any = self.events.append
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.node = FakeNode()
        self.clock: Any = self.node.clock
        self.links = MemoryLinks(HERE, [("10.0.0.1", 10053)])
        self.group = MemoryGroup()
        self.clock.adoptDatagramPort = (  # type: ignore[attr-defined]  # a double
            self.group.adopt
        )
        self.cluster = self.build()

    def build(self, **args: Any) -> MulticastCluster:
        converted = convert({"group": GROUP, **args}, MulticastArgs)
        cluster = MulticastCluster(self.node, "locator:cluster", converted)
        cluster.group = self.group  # type: ignore[assignment]  # as much as is used
        cluster.attach(self.links)
        return cluster

    def hear(
        self, uuid: str = THERE, *endpoints: tuple[str, int], raw: bytes | None = None
    ) -> None:
        if raw is None:
            raw = Announcement(uuid, endpoints or [ADDRESS]).to_datagram()
        self.group.protocol.datagramReceived(raw, ("10.0.0.2", 10053))

    def warnings(self) -> list[Any]:
        return [each for each in self.events if each["log_level"] is LogLevel.warn]

    @property
    def problem(self) -> str:
        return str(self.cluster.report()["problem"])


class ContractTests(ClusterContract, Case):
    """What every cluster does; another node announces itself each second."""

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.clock.advance(1)
            if self.group.opened > self.group.stopped:
                self.hear()


class InterfaceTests(Case):
    """What it is."""

    def test_reporter(self) -> None:
        """It says how it is."""
        verifyObject(IReporter, self.cluster)

    def test_group_is_needed(self) -> None:
        """Without a group there is no cluster."""
        self.assertRaises(ConfigError, convert, {}, MulticastArgs)

    def test_groups(self) -> None:
        """A group is a multicast address; a link's own needs an interface."""
        for group, part in (
            ("cluster.example.com", "numeric"),
            ("10.0.0.1", "multicast"),
            ("ff08::1%eth0", "multicast"),
            ("ff02::1", "interface"),
        ):
            error = self.assertRaises(
                ConfigError, convert, {"group": group}, MulticastArgs
            )
            self.assertIn(part, str(error))

    def test_original_arguments(self) -> None:
        """All arguments of the original are taken, the index of an interface too."""
        args: Any = convert(
            {
                "group": "ff02::c0ca",
                "port": 10054,
                "interval": 1,
                "interface": 2,
                "loopback": True,
                "hops": 4,
            },
            MulticastArgs,
        )
        group = MulticastCluster(self.node, "", args).group

        self.assertEqual(
            (group.address, group.port, group.interface, group.loopback, group.hops),
            ("ff02::c0ca", 10054, "2", True, 4),
        )

    def test_defaults(self) -> None:
        """The defaults are the original's."""
        args: Any = convert({"group": GROUP}, MulticastArgs)

        self.assertEqual(
            (args.port, args.interval, args.loopback, args.hops), (10053, 5, False, 1)
        )


class SpeakingTests(Case):
    """Announcements."""

    def test_first(self) -> None:
        """The first is sent at once and says where the locator is."""
        self.cluster.start()

        self.assertEqual(self.group.sent, [pack([HERE, [["10.0.0.1", 10053]]])])

    def test_interval(self) -> None:
        """The others follow in intervals, give or take a little."""
        self.cluster.start()

        self.clock.advance(5 * (1 - JITTER) - 0.01)
        self.assertEqual(len(self.group.sent), 1)
        self.clock.advance(5 * 2 * JITTER + 0.02)
        self.assertEqual(len(self.group.sent), 2)
        self.clock.pass_time(500)
        self.assertTrue(90 <= len(self.group.sent) <= 113, len(self.group.sent))

    def test_jitter(self) -> None:
        """Nodes that start together do not go on together."""
        self.cluster.start()
        due = {call.getTime() for call in self.clock.getDelayedCalls()}
        for _ in range(5):
            self.build().start()
            due |= {call.getTime() for call in self.clock.getDelayedCalls()}

        self.assertEqual(len(due), 6)

    def test_not_yet(self) -> None:
        """Nothing is said until the locator listens, and then soon."""
        self.links.here = []
        self.cluster.start()
        self.clock.pass_time(3)
        self.assertEqual(self.group.sent, [])

        self.links.here = [("10.0.0.1", 10053)]
        self.clock.pass_time(0.2)

        self.assertEqual(len(self.group.sent), 1)

    def test_present_addresses(self) -> None:
        """Each says where the locator is at that time."""
        self.cluster.start()
        self.links.here = [("10.0.0.9", 4)]
        self.clock.pass_time(6)

        self.assertEqual(
            Announcement.from_datagram(self.group.sent[-1]).endpoints, [("10.0.0.9", 4)]
        )

    def test_stop(self) -> None:
        """A stopped one is silent, deaf, and leaves nothing behind."""
        self.cluster.start()
        self.hear()

        self.successResultOf(self.cluster.stop())

        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.group.stopped, 1)

    def test_stop_without_start(self) -> None:
        """One that never started can be stopped."""
        self.successResultOf(self.cluster.stop())


class HearingTests(Case):
    """Announcements of others."""

    def setUp(self) -> None:
        super().setUp()
        self.cluster.start()

    def test_link(self) -> None:
        """A node that is heard is linked, each time, as the original does."""
        self.hear()
        self.hear(THERE, ("10.0.0.3", 1), ("::1", 2))

        self.assertEqual(
            self.links.told,
            [
                ("link", THERE, ADDRESS),
                ("link", THERE, ("10.0.0.3", 1), ("::1", 2)),
            ],
        )

    def test_oneself(self) -> None:
        """One's own announcement is ignored."""
        self.hear(HERE)

        self.assertEqual(self.links.told, [])
        self.assertEqual(self.cluster.report()["heard"], {})

    def test_gone(self) -> None:
        """A node that was silent for three intervals is dropped, once."""
        self.hear()
        self.clock.pass_time(14.9)
        self.assertNotIn(("drop", THERE), self.links.told)

        self.clock.pass_time(100)

        self.assertEqual(self.links.told.count(("drop", THERE)), 1)

    def test_heard_again(self) -> None:
        """Silence is counted from the last announcement."""
        self.hear()
        self.clock.pass_time(10)
        self.hear(ELSEWHERE)
        self.hear()
        self.clock.pass_time(14)
        self.assertEqual([told[0] for told in self.links.told], ["link"] * 3)

        self.clock.pass_time(2)

        self.assertEqual(self.links.told[3:], [("drop", ELSEWHERE), ("drop", THERE)])

    def test_held_up(self) -> None:
        """When this process was held up it reads first who has spoken meanwhile."""
        self.hear()
        self.hear(ELSEWHERE)
        self.clock.rightNow += 60
        # A reactor runs what is due, then reads, then runs what came of the former;
        # a clock does not part these.
        (due,) = (
            call
            for call in self.clock.getDelayedCalls()
            if call.func == self.cluster._expire
        )
        due.cancel()
        self.cluster._expire()

        self.hear()
        self.clock.pass_time(1)

        self.assertEqual(self.links.told[3:], [("drop", ELSEWHERE)])

    def test_back(self) -> None:
        """A node that comes back is linked, and dropped again in its time."""
        for _ in range(2):
            self.hear()
            self.clock.pass_time(16)

        self.assertEqual([told[0] for told in self.links.told], ["link", "drop"] * 2)

    def test_bad_packets(self) -> None:
        """Bad packets are counted, said once in a while, and change nothing."""
        for raw in (b"", b"\xc1", b"\x00" * 60000, b"\x91" * 65536, pack([HERE])):
            self.hear(raw=raw)
        self.hear()

        self.assertEqual(self.links.told, [("link", THERE, ADDRESS)])
        self.assertEqual(self.cluster.report()["bad_packets"], 5)
        self.assertIn("10.0.0.2: no announcement", self.cluster.report()["last_error"])
        self.assertEqual(len(self.warnings()), 1)

        self.clock.pass_time(60)
        self.hear(raw=b"")
        self.assertEqual(len(self.warnings()), 2)
        self.assertEqual(self.warnings()[1]["bad"], 6)

    def test_too_many(self) -> None:
        """Forged nodes fill a table of a fixed size; known ones stay."""
        self.hear()
        for number in range(NODE_LIMIT + 10):
            self.hear(f"forged-{number}")
        self.hear()

        report = self.cluster.report()
        self.assertEqual(len(report["heard"]), NODE_LIMIT)
        self.assertEqual(report["refused_nodes"], 11)
        self.assertIn("announce themselves", self.problem)
        self.assertEqual(len(self.warnings()), 1)
        self.assertEqual(self.links.told[-1], ("link", THERE, ADDRESS))

    def test_too_many_ends(self) -> None:
        """When the forger is silent everything is as before."""
        for number in range(NODE_LIMIT + 1):
            self.hear(f"forged-{number}")
        self.clock.pass_time(16)

        self.assertEqual(self.problem, "")
        self.assertEqual(self.cluster.report()["heard"], {})
        self.hear()
        self.assertEqual(list(self.cluster.report()["heard"]), [THERE])

    def test_report(self) -> None:
        """It says who was heard, and how long ago."""
        self.hear()
        self.clock.pass_time(2)

        report = self.cluster.report()

        self.assertEqual(report["group"], "239.0.100.53:10053")
        self.assertEqual(report["heard"], {THERE: 2.0})
        self.assertEqual((report["bad_packets"], report["problem"]), (0, ""))


class TroubleTests(Case):
    """A network that is not there."""

    def test_down_at_start(self) -> None:
        """Without a network it starts, says so, and tries again."""
        self.group.refusals = [refused(errno.ENODEV)]

        self.cluster.start()

        self.assertIn("No such device", self.problem)
        self.assertEqual(len(self.warnings()), 1)
        self.clock.pass_time(2)
        self.assertEqual(self.problem, "")
        self.assertEqual(len(self.group.sent), 1)
        self.assertIn("No such device", self.cluster.report()["last_error"])

    def test_back_off(self) -> None:
        """It tries less and less often, but for ever; it is said once."""
        self.group.refusals = [refused(errno.ENODEV)] * 1000
        self.cluster.start()
        self.clock.pass_time(60)
        early = 1000 - len(self.group.refusals)
        self.clock.pass_time(3600)
        late = 1000 - len(self.group.refusals) - early

        self.assertTrue(4 <= early <= 12, early)
        self.assertTrue(3600 / LAST_RETRY - 1 <= late <= 3600 / LAST_RETRY * 2 + 1)
        self.assertEqual(len(self.warnings()), 1)

    def test_cannot_send(self) -> None:
        """When sending fails the socket is made again; it hears until then."""
        self.cluster.start()
        self.group.refusals = [refused(errno.ENETUNREACH)]
        self.clock.advance(6)
        self.assertIn("Network is unreachable", self.problem)
        self.hear()
        self.assertEqual(len(self.links.told), 1)

        self.clock.pass_time(2)

        self.assertEqual((self.group.opened, self.group.stopped), (2, 1))
        self.assertEqual(self.problem, "")

    def test_too_long(self) -> None:
        """Twisted's own error about a datagram is one like others."""
        self.group.refusals = []
        self.cluster.start()
        self.group.refusals = [MessageLengthError("message too long")]

        self.clock.advance(6)

        self.assertIn("message too long", self.problem)

    def test_lost(self) -> None:
        """When the reactor gives the socket up it is made again."""
        self.cluster.start()

        self.group.protocol.stopProtocol()

        self.assertIn("lost", self.problem)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.pass_time(2)
        self.assertEqual(self.group.opened, 2)
        self.assertEqual(self.problem, "")

    def test_nodes_are_kept(self) -> None:
        """Who was heard before is dropped in its time, not because of us."""
        self.cluster.start()
        self.hear()
        self.group.refusals = [refused(errno.ENETDOWN)] * 100
        self.clock.pass_time(14)
        self.assertEqual(len(self.links.told), 1)

        self.clock.pass_time(2)

        self.assertEqual(self.links.told[1:], [("drop", THERE)])

    def test_stop_in_trouble(self) -> None:
        """It can be stopped while it waits to try again."""
        self.group.refusals = [refused(errno.ENODEV)]
        self.cluster.start()

        self.successResultOf(self.cluster.stop())

        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_sockets_are_closed(self) -> None:
        """The reactor has a copy of each socket; the first one is closed."""
        self.cluster.start()

        self.assertEqual((self.group.opened, self.group.closed), (1, 1))
