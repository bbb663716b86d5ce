# -*- test-case-name: cocained.test.test_links_links -*-
"""
The table of links.
"""

from __future__ import annotations

from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer_only
from zope.interface.verify import verifyObject

from cocained.config import convert
from cocained.errors import ConfigError
from cocained.interfaces import IGateway, ILinks
from cocained.links.links import LINK_LIMIT
from cocained.links.pace import Pace
from cocained.test.links_case import (
    AT_A,
    AT_B,
    ME,
    A,
    B,
    C,
    LinksCase,
    MemoryGateway,
    tidings,
)
from cocained.testing import MemoryLinks


@implementer_only(IGateway)
class PlainGateway(MemoryGateway):
    """A gateway that does not want to hear how nodes are."""


class TableTests(LinksCase):
    """Nodes come and go."""

    def test_interface(self) -> None:
        """The table is what cluster plugins talk to."""
        self.assertTrue(verifyObject(ILinks, self.links))
        self.assertEqual(self.links.uuid, ME)
        self.assertEqual(self.links.endpoints(), [("127.0.0.1", 10053)])

    def test_cluster(self) -> None:
        """Who is linked is told with his address, others with none."""
        self.linked(A)
        self.links.link(B, [AT_B])

        self.assertEqual(self.links.cluster(), {A: AT_A, B: ("0.0.0.0", 0)})
        self.dialer.last.connect()
        self.assertEqual(self.links.cluster()[B], ("0.0.0.0", 0))

    def test_numeric(self) -> None:
        """Of a node that was given by its name the numeric address is told."""
        self.links.link(A, [("node-a.example", 10053)])
        self.dialer.last.connect(AT_A)
        self.dialer.last.ear.told(tidings(A))

        self.assertEqual(self.links.cluster()[A], AT_A)

    def test_itself(self) -> None:
        """A node does not listen to itself."""
        self.links.link(ME, [AT_A])

        self.assertEqual((self.dialer.lines, self.links.cluster()), ([], {}))

    def test_again(self) -> None:
        """A node that is linked already is not linked twice."""
        self.linked(A, "echo")

        self.links.link(A, [AT_A])

        self.assertEqual(len(self.dialer.lines), 1)

    def test_drop(self) -> None:
        """A node that is dropped is forgotten, and tried no more."""
        line = self.linked(A, "echo")

        self.links.drop(A)
        self.clock.pump([0.25] * 400)

        self.assertTrue(line.hung_up)
        self.assertEqual(self.gateway.services(A), set())
        self.assertEqual((len(self.dialer.lines), self.links.cluster()), (1, {}))

    def test_drop_while_waiting(self) -> None:
        """So is one that was just about to be tried."""
        self.links.link(A, [AT_A])
        self.dialer.last.lose()

        self.links.drop(A)
        self.clock.pump([0.25] * 400)

        self.assertEqual(len(self.dialer.lines), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_drop_unknown(self) -> None:
        """To drop who is not there does no harm."""
        self.links.drop(A)
        self.linked(A)
        self.links.drop(A)
        self.links.drop(A)

        self.assertEqual(self.links.cluster(), {})

    def test_one_timer(self) -> None:
        """All links together have one timer."""
        for number in range(100):
            self.linked(f"node-{number}", at=("192.0.2.9", number))

        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_close(self) -> None:
        """A table that is closed lets go of everybody and links to nobody."""
        first, second = self.linked(A, "echo"), self.linked(B, at=AT_B)

        self.links.close()
        self.links.link(C, [AT_A])
        self.links.drop(A)
        self.links.close()

        self.assertTrue(first.hung_up and second.hung_up)
        self.assertEqual(self.gateway.known, {})
        self.assertEqual(len(self.dialer.lines), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_announce_only(self) -> None:
        """Without a gateway nobody is listened to."""
        links = self.build(None)

        links.link(A, [AT_A])
        links.drop(A)
        links.close()

        self.assertEqual((self.dialer.lines, links.cluster()), ([], {}))

    def test_plain_gateway(self) -> None:
        """A gateway need not want to know how nodes are."""

        gateway = PlainGateway()
        self.links = self.build(gateway)
        line = self.linked(A, "echo")
        self.clock.pump([0.25] * 12)
        line.ear.answered()

        self.assertEqual(line.pings, 1)
        self.assertEqual(gateway.observed, [])

    def test_report(self) -> None:
        """A report has plain values for each node."""
        line = self.linked(A, "echo", "storage")
        self.clock.pump([0.25] * 11)
        line.ear.answered()
        self.links.link(B, [AT_B])
        self.dialer.last.lose("Connection refused")

        self.assertEqual(
            self.links.report(),
            {
                A: {
                    "endpoints": [["192.0.2.1", 10053]],
                    "state": "linked",
                    "since": 2.75,
                    "latency": 0.25,
                    "services": 2,
                    "attempts": 0,
                    "error": "",
                },
                B: {
                    "endpoints": [["192.0.2.2", 10053]],
                    "state": "waiting",
                    "since": 0.0,
                    "latency": None,
                    "services": 0,
                    "attempts": 1,
                    "error": "Connection refused",
                },
            },
        )


class DoubleTests(LinksCase):
    """The double of :mod:`cocained.testing` says the same of what it was told."""

    def test_alike(self) -> None:
        """The same nodes are linked at the same addresses."""
        double = MemoryLinks(ME)
        self.assertTrue(verifyObject(ILinks, double))
        for links in (double, self.links):
            links.link(A, [AT_A])
            links.link(ME, [AT_A])
            links.link(B, [AT_A])
            links.link(B, [AT_B])
            links.link(C, [AT_B])
            links.drop(C)
            links.drop("nobody")

        self.assertEqual(double.nodes, {A: (AT_A,), B: (AT_B,)})
        self.assertEqual(
            {
                uuid: tuple(map(tuple, report["endpoints"]))
                for uuid, report in self.links.report().items()
            },
            double.nodes,
        )


class RefusalTests(LinksCase):
    """What a plugin may say, and what comes of it."""

    def refused(self, uuid: str, *endpoints: tuple[str, int]) -> str:
        """Link to something impossible; give what the log says."""
        events = self.record_log()
        self.links.link(uuid, endpoints)
        self.assertEqual(self.dialer.lines, [])
        (event,) = events
        return str(formatEvent(event))

    def test_uuid(self) -> None:
        """A node has a uuid, and no endless one."""
        self.assertIn("has 0 bytes", self.refused("", AT_A))
        long = self.refused("u" * 10_000, AT_A)
        self.assertIn("has 10000 bytes", long)
        self.assertLess(len(long), 500)

    def test_endpoints(self) -> None:
        """A node has addresses, and not too many."""
        self.assertIn("it has 0 endpoints", self.refused(A))
        self.assertIn("it has 65 endpoints", self.refused(A, *[AT_A] * 65))

    def test_too_many(self) -> None:
        """There is a limit to nodes; who goes makes room."""
        for number in range(LINK_LIMIT):
            self.links.link(f"node-{number}", [("192.0.2.9", number)])
        events = self.record_log()

        self.links.link(A, [AT_A])
        self.links.link(B, [AT_B])

        self.assertEqual(len(self.links.cluster()), LINK_LIMIT)
        self.assertIn("4096 nodes are listened to", str(formatEvent(events[0])))
        # Said once: a plugin comes again every few seconds.
        self.assertEqual([e["log_level"].name for e in events], ["warn", "debug"])
        self.links.drop("node-0")
        self.links.link(A, [AT_A])
        self.assertIn(A, self.links.cluster())


class SuccessionTests(LinksCase):
    """A node that was started anew has another uuid at the same address."""

    def test_without_a_gap(self) -> None:
        """The former goes when its successor has told what it has, not before."""
        former = self.linked(A, "echo")
        self.links.link(B, [AT_A])
        self.assertEqual(self.gateway.services(A), {"echo"})

        self.dialer.last.connect()
        self.assertEqual(self.gateway.services(A), {"echo"})
        self.gateway.calls.clear()
        self.dialer.last.accept(B, "echo")

        self.assertEqual(self.gateway.calls, [("consume", B, "echo"), ("cleanup", A)])
        self.assertTrue(former.hung_up)
        self.assertEqual(list(self.links.cluster()), [B])

    def test_lost_before(self) -> None:
        """A former one whose end was seen is not tried for ever, either."""
        self.linked(A, "echo").lose()
        self.links.link(B, [AT_A])

        self.dialer.last.accept(B, "echo")

        self.assertEqual(list(self.links.cluster()), [B])

    def test_other_address(self) -> None:
        """Nodes at other addresses stay."""
        self.linked(A, "echo")
        self.linked(B, "echo", at=AT_B)

        self.assertEqual(sorted(self.links.cluster()), [A, B])

    def test_moved_away(self) -> None:
        """An address that a node has left may be another's."""
        line = self.linked(A, "echo")
        self.links.link(A, [AT_B])
        line.lose()
        self.clock.advance(0.5)
        self.dialer.last.accept(A, "echo")

        self.linked(B, "echo", at=AT_A)

        self.assertEqual(self.links.cluster(), {A: AT_B, B: AT_A})

    def test_back_and_forth(self) -> None:
        """Whoever was heard last at an address has it."""
        self.linked(A)
        self.linked(B, at=AT_A)
        self.linked(C, at=AT_A)

        self.assertEqual(self.links.cluster(), {C: AT_A})
        self.links.drop(C)
        self.linked(A)
        self.assertEqual(self.links.cluster(), {A: AT_A})

    def test_same_node_again(self) -> None:
        """A node that comes back under its own uuid succeeds nobody."""
        self.linked(A, "echo").lose()
        self.clock.advance(0.5)

        self.dialer.last.accept(A, "echo")

        self.assertEqual(self.links.cluster(), {A: AT_A})


class PaceTests(SynchronousTestCase):
    """The section ``links`` of the locator's arguments."""

    def test_defaults(self) -> None:
        """Nothing has to be written."""
        pace = convert({}, Pace)

        self.assertEqual((pace.ping, pace.late, pace.timeout), (5, 2, 15))
        self.assertEqual((pace.handshake, pace.retry), (10, (1, 32)))

    def test_given(self) -> None:
        """Everything can be."""
        pace = convert({"ping": 1, "retry": [0.5, 8]}, Pace)

        self.assertEqual((pace.ping, pace.retry), (1, (0.5, 8)))

    def test_refused(self) -> None:
        """What cannot be is said with its key."""
        for key, value in (
            ("ping", 0),
            ("timeout", -1),
            ("handshake", 90_000),
            ("retry", [5, 1]),
            ("retry", [1]),
            ("late", 20),
            ("pong", 1),
        ):
            error = self.assertRaises(ConfigError, convert, {key: value}, Pace)
            self.assertIn(key, str(error))
