# -*- test-case-name: cocained.test.test_links_link -*-
"""
One link, from its first attempt to its end, over lines that the test speaks for.
"""

from __future__ import annotations

from twisted.logger import formatEvent

from cocained.errors import CocainedError
from cocained.links.link import SERVICE_LIMIT
from cocained.links.tidings import Offer, Tidings
from cocained.test.links_case import (
    AT_A,
    AT_B,
    GRAPH,
    ME,
    A,
    B,
    LinksCase,
    offer,
    tidings,
)


class ListeningTests(LinksCase):
    """What a node says, and what the gateway hears of it."""

    def test_snapshot(self) -> None:
        """The first message is everything that the node has."""
        line = self.linked(A, "echo", "storage")

        self.assertEqual(line.dialled, 1)
        self.assertEqual(self.gateway.services(A), {"echo", "storage"})
        self.assertEqual(self.state(A), "linked")

    def test_idle_node(self) -> None:
        """A node that has nothing is linked all the same."""
        self.linked(A)

        self.assertEqual(self.state(A), "linked")
        self.assertEqual(self.gateway.calls, [])

    def test_more(self) -> None:
        """What comes later is added."""
        line = self.linked(A, "echo")

        line.ear.told(tidings(A, "more"))

        self.assertEqual(self.gateway.services(A), {"echo", "more"})
        self.assertEqual(self.report(A)["services"], 2)

    def test_removed(self) -> None:
        """A service without endpoints is forgotten, and may come again."""
        line = self.linked(A, "echo", "storage")

        line.ear.told(Tidings(A, [offer("echo", port=0)]))
        self.assertEqual(self.gateway.services(A), {"storage"})
        line.ear.told(tidings(A, "echo"))

        self.assertEqual(self.gateway.services(A), {"storage", "echo"})

    def test_removed_unknown(self) -> None:
        """To remove what was never there does no harm."""
        line = self.linked(A)

        line.ear.told(Tidings(A, [offer("echo", port=0)]))

        self.assertEqual(self.gateway.calls, [])
        self.assertEqual(self.report(A)["services"], 0)

    def test_update(self) -> None:
        """A known service is forgotten before it is told anew: gateways are strict."""
        line = self.linked(A, "echo")

        line.ear.told(Tidings(A, [Offer("echo", [("192.0.2.1", 7)], 2, GRAPH)]))

        self.assertEqual(self.gateway.known[A, "echo"], [("192.0.2.1", 7)])
        self.assertEqual(self.state(A), "linked")
        self.assertEqual(
            self.gateway.calls,
            [("consume", A, "echo"), ("cleanup", A, "echo"), ("consume", A, "echo")],
        )

    def test_shared_tidings(self) -> None:
        """Two links that were told the same do not see each other's changes."""
        told = tidings(A, "echo")
        line = self.linked(A)
        line.ear.told(told)
        line.ear.told(tidings(A, "more"))

        self.assertEqual(told.names, {"echo"})

    def test_extra(self) -> None:
        """Extra values of the node reach the gateway."""
        self.links.link(A, [AT_A])

        self.dialer.last.accept(A, "echo", extra={"weight": 5})

        self.assertEqual(self.gateway.extras[A], {"weight": 5})

    def test_groups(self) -> None:
        """Refreshed groups are passed on; after each connection all may have been."""
        line = self.linked(A)
        self.assertEqual(self.refreshed, [[]])

        line.ear.told(tidings(A, groups=["g1"]))

        self.assertEqual(self.refreshed, [[], ["g1"]])

    def test_logged(self) -> None:
        """An operator sees that a node was linked, and what it has."""
        events = self.record_log()

        self.linked(A, "echo", "storage")

        self.assertIn("2 services", " ".join(str(formatEvent(e)) for e in events))


class HostileTests(LinksCase):
    """Nodes that do not do what they should."""

    def check_dropped(self, part: str, uuid: str = A) -> None:
        """Nothing of the node is left, and the link tries again."""
        self.assertEqual(self.gateway.services(uuid), set())
        self.assertTrue(self.dialer.last.hung_up)
        self.assertEqual(self.state(uuid), "waiting")
        self.assertIn(part, str(self.report(uuid)["error"]))

    def test_wrong_uuid(self) -> None:
        """Another node than expected is not listened to."""
        self.links.link(A, [AT_A])

        self.dialer.last.accept(B, "echo")

        self.check_dropped("the node there is node-b")
        self.assertEqual(self.gateway.calls, [])

    def test_itself(self) -> None:
        """A node that meets itself says what that usually means."""
        self.links.link(A, [("127.0.1.1", 10053)])

        self.dialer.last.accept(ME, "echo")

        self.check_dropped("see its network.hostname")

    def test_changed_uuid(self) -> None:
        """Nor is one that changes its name."""
        line = self.linked(A, "echo")

        line.ear.told(tidings(B, "echo"))

        self.check_dropped("the node there is node-b")
        self.assertEqual(self.gateway.services(B), set())

    def test_refused(self) -> None:
        """A node of which the gateway refuses one service is dropped whole."""
        self.gateway.refuses = {"bad"}
        self.links.link(A, [AT_A])

        self.dialer.last.accept(A, "good", "bad")

        self.check_dropped("bad is refused")
        self.assertEqual(self.gateway.calls[-1], ("cleanup", A))

    def test_stumbling_gateway(self) -> None:
        """A gateway that fails takes nothing else along, and is seen in the log."""
        self.linked(B, "echo", at=AT_B)
        self.links.link(A, [AT_A])
        self.gateway.stumbles = True

        self.dialer.last.accept(A, "echo")

        self.assertEqual(self.state(B), "linked")
        self.check_dropped("the gateway failed")
        # It stumbled over the service, and over forgetting it.
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_too_many_services(self) -> None:
        """More services than a node may have are not taken."""
        names = [str(number) for number in range(SERVICE_LIMIT + 1)]
        self.links.link(A, [AT_A])

        self.dialer.last.accept(A, *names)

        self.check_dropped("more than 16384 services")

    def test_too_many_at_last(self) -> None:
        """Neither all at once nor one by one; what is known may change."""
        names = [str(number) for number in range(SERVICE_LIMIT)]
        line = self.linked(A, *names)
        line.ear.told(tidings(A, "0"))
        self.assertEqual(self.state(A), "linked")

        line.ear.told(tidings(A, "one more"))

        self.check_dropped("more than 16384 services")

    def test_silent_from_the_start(self) -> None:
        """A peer that accepts and says nothing is given up in time."""
        self.links.link(A, [AT_A])
        self.dialer.last.connect()
        self.clock.pump([0.25] * 39)
        self.assertEqual(self.state(A), "asking")

        self.clock.pump([0.25])

        self.check_dropped("no answer to connect within 10 s")

    def test_endless_attempt(self) -> None:
        """So is one that never accepts."""
        self.links.link(A, [AT_A])

        self.clock.pump([0.25] * 40)

        self.check_dropped("no answer to connect within 10 s")

    def test_endless_ends(self) -> None:
        """A node that ends each connection is tried ever less often."""
        self.links.link(A, [AT_A])
        waits = []
        for _ in range(8):
            self.dialer.last.accept(A, "echo")
            waits.append(self.lose_and_wait())
            self.assertEqual(self.gateway.services(A), set())

        self.assertEqual(waits, [0.5, 1, 2, 4, 8, 16, 16, 16])


class LossTests(LinksCase):
    """Connections that end, and links that come back."""

    def test_lost(self) -> None:
        """What ends the connection takes everything of that node, and only of it."""
        line = self.linked(A, "echo", "storage")
        self.linked(B, "echo", at=AT_B)

        line.lose("End of file")

        self.assertEqual(self.gateway.services(A), set())
        self.assertEqual(self.gateway.services(B), {"echo"})
        self.assertEqual(self.report(A)["error"], "End of file")

    def test_comes_back(self) -> None:
        """The link is made anew by itself, with what the node has then."""
        line = self.linked(A, "echo", "storage")
        line.lose()

        self.clock.advance(0.5)
        self.dialer.last.accept(A, "echo")

        self.assertEqual(len(self.dialer.lines), 2)
        self.assertEqual(self.gateway.services(A), {"echo"})

    def test_back_off(self) -> None:
        """Waits double from the first to the longest; chance takes half of each."""
        self.links.link(A, [AT_A])

        waits = [self.lose_and_wait() for _ in range(7)]

        self.assertEqual(waits, [0.5, 1, 2, 4, 8, 16, 16])
        self.assertEqual(self.report(A)["attempts"], 7)

    def test_own_back_off(self) -> None:
        """One node that is down does not slow the way back of another."""
        self.links.link(B, [AT_B])
        for _ in range(6):
            self.lose_and_wait()
        self.linked(A, "echo")

        self.assertEqual(self.lose_and_wait(), 0.5)
        self.assertEqual(self.dialer.last.endpoints, (AT_A,))

    def test_proven(self) -> None:
        """A node that answers a ping has made good for its failures."""
        self.links.link(A, [AT_A])
        self.dialer.last.lose()
        self.clock.advance(0.5)
        line = self.dialer.last
        line.accept(A)
        self.assertEqual(self.report(A)["attempts"], 1)

        self.clock.pump([0.25] * 10)
        line.ear.answered()

        self.assertEqual(self.report(A)["attempts"], 0)
        self.assertEqual(self.report(A)["error"], "")

    def test_next_endpoint(self) -> None:
        """Each attempt begins with another one of the endpoints."""
        self.links.link(A, [AT_A, AT_B])
        for _ in range(2):
            self.lose_and_wait()

        self.assertEqual(
            [line.endpoints for line in self.dialer.lines],
            [(AT_A, AT_B), (AT_B, AT_A), (AT_A, AT_B)],
        )

    def test_told_once(self) -> None:
        """A node that is down for long is no news each half minute."""
        events = self.record_log()
        self.links.link(A, [AT_A])
        for _ in range(5):
            self.lose_and_wait()

        warned = [e for e in events if e["log_level"].name == "warn"]
        self.assertEqual(len(warned), 1)
        self.assertIn("trying again in 0.5 s", str(formatEvent(warned[0])))


class LifeTests(LinksCase):
    """Signs of life."""

    def setUp(self) -> None:
        super().setUp()
        self.line = self.linked(A, "echo")

    def until_ping(self) -> None:
        """Let time pass until the next ping."""
        count = self.line.pings
        while self.line.pings == count:
            self.clock.advance(0.25)

    def test_asked(self) -> None:
        """The first ping comes after a chance part of the interval, then regularly."""
        times = []
        for _ in range(3):
            self.until_ping()
            times.append(self.clock.seconds())
            self.line.ear.answered()

        self.assertEqual(times, [2.5, 7.5, 12.5])

    def test_latency(self) -> None:
        """The gateway hears how long the answer took."""
        self.until_ping()
        self.clock.advance(0.25)
        self.line.ear.answered()

        self.assertEqual(self.gateway.observed, [(A, 0.25)])
        self.assertEqual(self.report(A)["latency"], 0.25)

    def test_late(self) -> None:
        """A node that does not answer in time is to be avoided, not forgotten."""
        self.until_ping()
        self.clock.pump([0.25] * 8)

        self.assertEqual(self.gateway.observed, [(A, None)])
        self.assertEqual(self.gateway.services(A), {"echo"})
        self.assertEqual(self.state(A), "silent")

    def test_late_once(self) -> None:
        """That is said once, until it answers."""
        self.until_ping()
        self.clock.pump([0.25] * 40)
        self.assertEqual(self.gateway.observed, [(A, None)])

        self.line.ear.answered()

        self.assertEqual(self.gateway.observed, [(A, None), (A, 10.0)])
        self.assertEqual(self.state(A), "linked")

    def test_cut(self) -> None:
        """One that never answers is forgotten, and its link begins anew."""
        self.until_ping()
        self.clock.pump([0.25] * 60)

        self.assertTrue(self.line.hung_up)
        self.assertEqual(self.gateway.services(A), set())
        self.assertEqual(self.report(A)["error"], "no sign of life for 15 s")
        self.clock.pump([0.25] * 2)
        self.assertEqual(len(self.dialer.lines), 2)

    def test_late_answer(self) -> None:
        """After a late answer the next ping comes at once."""
        self.until_ping()
        self.clock.pump([0.25] * 32)
        self.line.ear.answered()
        self.clock.advance(0)

        self.assertEqual(self.line.pings, 2)

    def test_unasked(self) -> None:
        """An answer that nobody has asked for says nothing."""
        self.line.ear.answered()

        self.assertEqual(self.gateway.observed, [])

    def test_forgotten_with_the_node(self) -> None:
        """A gateway that was told of a node without services forgets it, too."""
        self.linked(B, at=AT_B)
        line = self.dialer.last
        self.clock.pump([0.25] * 10)
        line.ear.answered()

        line.lose()

        self.assertIn(("cleanup", B), self.gateway.calls)

    def test_stumbling_observer(self) -> None:
        """A gateway that fails to hear of a node is logged; the link lives on."""
        self.until_ping()
        self.gateway.stumbles = True

        self.line.ear.answered()

        self.assertEqual(self.state(A), "linked")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stall(self) -> None:
        """When we have slept ourselves, answers that wait are read before we judge."""
        self.until_ping()
        self.clock.callLater(20, self.line.ear.answered)

        self.clock.advance(20)

        self.assertEqual(self.gateway.observed, [(A, 20.0)])
        self.assertEqual(self.gateway.services(A), {"echo"})


class TargetTests(LinksCase):
    """Nodes that are said to be elsewhere."""

    def test_elsewhere(self) -> None:
        """
        A node that answers is where it is, whatever is said of it: anybody can say
        so, with one datagram.
        """
        line = self.linked(A, "echo")

        self.links.link(A, [AT_B])

        self.assertFalse(line.hung_up)
        self.assertEqual(self.gateway.services(A), {"echo"})
        self.assertEqual(self.report(A)["endpoints"], [["192.0.2.2", 10053]])

    def test_lost_then_elsewhere(self) -> None:
        """When its connection ends it is looked for where it is said to be."""
        line = self.linked(A, "echo")
        self.links.link(A, [AT_B])

        line.lose()
        self.clock.advance(0.5)

        self.assertEqual(self.dialer.last.endpoints, (AT_B,))

    def test_silent_and_elsewhere(self) -> None:
        """So it is when it does not answer any more, without the usual patience."""
        line = self.linked(A, "echo")
        self.links.link(A, [AT_B])

        self.clock.advance(5)
        self.clock.advance(2.1)

        self.assertTrue(line.hung_up)
        self.assertEqual(self.gateway.services(A), set())
        self.clock.advance(0.5)
        self.assertEqual(self.dialer.last.endpoints, (AT_B,))

    def test_elsewhere_when_silent(self) -> None:
        """One that is silent already is looked for at once."""
        line = self.linked(A, "echo")
        self.clock.advance(5)
        self.clock.advance(2.1)
        self.assertEqual(self.state(A), "silent")

        self.links.link(A, [AT_B])

        self.assertTrue(line.hung_up)
        self.assertEqual(self.dialer.last.endpoints, (AT_B,))

    def test_to_and_fro(self) -> None:
        """However often it is said to have moved, it is dialled once a second."""
        for _ in range(100):
            self.links.link(A, [AT_A])
            self.links.link(A, [AT_B])
        self.assertEqual(len(self.dialer.lines), 1)

        for _ in range(40):
            self.clock.advance(0.1)
            self.links.link(A, [AT_A])
            self.links.link(A, [AT_B])

        self.assertLessEqual(len(self.dialer.lines), 5)
        self.assertEqual(self.dialer.last.endpoints, (AT_B,))

    def test_another_address_too(self) -> None:
        """A good connection is kept if its address is still one of the node's."""
        line = self.linked(A, "echo")

        self.links.link(A, [AT_B, AT_A])

        self.assertFalse(line.hung_up)
        line.lose()
        self.clock.advance(0.5)
        self.assertEqual(self.dialer.last.endpoints, (AT_A, AT_B))

    def test_while_waiting(self) -> None:
        """A new address is tried at once."""
        self.links.link(A, [AT_A])
        self.clock.advance(1)
        self.dialer.last.lose()

        self.links.link(A, [AT_B])

        self.assertEqual(len(self.dialer.lines), 2)
        self.assertEqual(self.state(A), "connecting")

    def test_while_connecting(self) -> None:
        """An attempt that is under way is given up for it."""
        self.links.link(A, [AT_A])
        self.clock.advance(1)
        first = self.dialer.last

        self.links.link(A, [AT_B])

        self.assertTrue(first.hung_up)
        self.dialer.last.accept(A, "echo")
        self.assertEqual(self.gateway.services(A), {"echo"})

    def test_while_just_connecting(self) -> None:
        """One that has just begun has a second of its own before."""
        self.links.link(A, [AT_A])
        first = self.dialer.last

        self.links.link(A, [AT_B])

        self.assertEqual((first.hung_up, self.state(A)), (False, "connecting"))
        self.clock.advance(1)
        self.assertTrue(first.hung_up)
        self.assertEqual(self.dialer.last.endpoints, (AT_B,))

    def test_reached_all_the_same(self) -> None:
        """If it succeeds before that, it is as good as any."""
        self.links.link(A, [AT_A])
        first = self.dialer.last
        self.links.link(A, [AT_B])

        first.accept(A, "echo")
        self.clock.advance(1)

        self.assertEqual(self.state(A), "linked")
        self.assertEqual(len(self.dialer.lines), 1)

    def test_same(self) -> None:
        """The same addresses again change nothing."""
        line = self.linked(A, "echo")

        self.links.link(A, [AT_A])

        self.assertFalse(line.hung_up)
        self.assertEqual(len(self.dialer.lines), 1)

    def test_text(self) -> None:
        """A link says in the log who it is."""
        self.linked(A)

        self.assertEqual(repr(self.links._links[A]), "<Link to node-a: linked>")

    def test_error_texts(self) -> None:
        """What ended a connection is told as the error says it."""
        line = self.linked(A)
        line.hung_up = True
        self.links._links[A].ended(CocainedError("because"))

        self.assertEqual(self.report(A)["error"], "because")
