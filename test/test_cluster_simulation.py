# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
The simulation of clusters: some of its seeds, and whether it can fail.

More of them, and larger ones, are for ``make simulate-cluster``.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any
from xml.etree import ElementTree

from rich.console import Console
from twisted.internet.error import AlreadyCancelled
from twisted.trial.unittest import SynchronousTestCase

import cocained
from cocained.errors import CocainedError
from cocained.gateways.adhoc import AdhocGateway
from cocained.links import announcements as announcements_module
from cocained.links import link as link_module
from cocained.links import links as links_module
from cocained.links.agenda import Agenda, Item
from cocained.links.announcements import Announcements
from cocained.links.link import Link, State
from cocained.links.links import Links
from cocained.links.stream import Message, Stream
from cocained.links.tidings import Tidings
from cocained.rpc.headers import Header
from cocained.rpc.session import Session
from cocained.services.follower import GroupFollower
from cocained.test import cluster_simulation
from cocained.test.cluster_simulation import node as node_module
from cocained.test.cluster_simulation import storm
from cocained.test.cluster_simulation.__main__ import parse
from cocained.test.cluster_simulation.broken import Broken
from cocained.test.cluster_simulation.clock import BEGINNING, NodeClock, VirtualClock
from cocained.test.cluster_simulation.figures import INTERVAL, LATENCY, measure
from cocained.test.cluster_simulation.growth import COLUMNS, table
from cocained.test.cluster_simulation.plot import CURVES, draw
from cocained.test.cluster_simulation.runner import play
from cocained.test.cluster_simulation.weights import weigh
from cocained.test.simulation.runner import Totals
from cocained.test.test_simulation import SimulationCase

#: Seeds that the unit tests play, and within how many of them broken code must be
#: found out.
FEW, ENOUGH = 30, 40


class ClusterStormTests(SimulationCase):
    """Nodes keep their promises to each other."""

    def test_some_seeds(self) -> None:
        """No seed breaks a promise, and all kinds of things happen in them."""
        totals = Totals()
        for seed in range(FEW):
            play(seed, totals)

        self.assertEqual([(each.seed, each.reason) for each in totals.failing], [])
        self.assertEqual(totals.runs, FEW)
        self.assertEqual(set(storm.WEIGHTS) - set(totals.faults), set())
        self.assertGreater(totals.figures["connections dialled"], 10 * FEW)

    def test_same_elsewhere(self) -> None:
        """Another process, with other hashes, gives the same trace."""
        mine = play(7, Totals()).journal.lines()
        root = os.path.dirname(os.path.dirname(os.path.abspath(cocained.__file__)))
        program = [sys.executable, "-m", cluster_simulation.__name__]

        done = subprocess.run(
            [*program, "--seed", "7", "--trace"],
            env={**os.environ, "PYTHONPATH": root, "PYTHONHASHSEED": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

        self.assertEqual(done.stderr, "")
        self.assertEqual(done.stdout.splitlines(), [*mine, "every promise was kept"])
        self.assertEqual(done.returncode, 0)

    def test_same_again(self) -> None:
        """A seed gives the same run, to the last event."""
        for seed in (1, 2):
            first, second = (play(seed, Totals()) for _ in range(2))

            self.assertEqual(first.journal.lines(), second.journal.lines())
            self.assertEqual(first.clock.events, second.clock.events)
            self.assertEqual(first.network.traffic, second.network.traffic)

    def test_seeds_differ(self) -> None:
        """Another seed gives another run."""
        first, second = (play(seed, Totals()).journal.lines() for seed in (1, 2))

        self.assertNotEqual(first, second)


class BrokenLink(Link):
    """A link whose replacement is put into the table by the tests below."""

    __slots__ = ()


class NeverForgets(BrokenLink):
    """Leaves in the gateway what a connection that has ended has told."""

    __slots__ = ()

    def _let_go(self) -> None:
        self._known = False
        super()._let_go()


class NeverTriesAgain(BrokenLink):
    """Gives up after the first failure."""

    __slots__ = ()

    def _fail(self, error: CocainedError) -> None:
        super()._fail(error)
        self._around.agenda.drop(self)


class NeverPings(BrokenLink):
    """Asks for no sign of life."""

    __slots__ = ()

    def _ping(self) -> None:
        self._around.agenda.put(self, self._around.pace.ping)


class PingsTooOften(BrokenLink):
    """Asks again as soon as there is an answer."""

    __slots__ = ()

    def answered(self) -> None:
        super().answered()
        if self.due_at is not None:
            self._around.agenda.put(self, self._around.pace.ping / 10)


class WaitsForEver(BrokenLink):
    """Has all patience with a node that does not answer ``connect``."""

    __slots__ = ()

    def due(self) -> None:
        if self.state is State.ASKING:
            return
        super().due()


class TakesAnybody(BrokenLink):
    """Does not look at who speaks."""

    __slots__ = ()

    def told(self, tidings: Tidings) -> None:
        super().told(Tidings(self.uuid, tidings.offers, tidings.extra, tidings.groups))


class NeverUpdates(BrokenLink):
    """Gives the gateway what it knows already."""

    __slots__ = ()

    def _take(self, tidings: Tidings) -> None:
        self._names = frozenset()
        super()._take(tidings)


class TellsNothingNew(Announcements):
    """Tells those who come how things were when the first one came."""

    def _tell(self, changes: Mapping[str, bytes]) -> None:
        snapshot = self._snapshot
        super()._tell(changes)
        self._snapshot = snapshot


class KeepsWithdrawals(Announcements):
    """Does not say that a service is gone."""

    def remove(self, name: str, packed: bytes) -> None:
        self._services.pop(name, None)
        self._snapshot = []


class TellsOne(Announcements):
    """Tells each node over one connection only, the latest."""

    def listen(
        self, remote: str, session: Session, channel: int, headers: list[Header]
    ) -> Stream | None:
        for stream in list(self._streams.values()):
            if stream.remote == remote:
                self.forget(stream)
        return super().listen(remote, session, channel, headers)


class KeepsGroups(Announcements):
    """Tells nobody of refreshed groups."""

    def refreshed(self, names: Iterable[str]) -> None:
        """Say nothing."""


class ForgetsSlow(Stream):
    """Loses what a remote did not read in time."""

    def tell(self, message: Message, changes: Mapping[str, bytes]) -> None:
        super().tell(message, changes)
        self._waiting.clear()


class KeepsDropped(Links):
    """Goes on listening to nodes that are gone."""

    def drop(self, uuid: str) -> None:
        link = self._links.pop(uuid, None)
        if link is not None:
            self._leave_place(link)


class DropsNobody(Links):
    """Does not believe that a node is gone."""

    def drop(self, uuid: str) -> None:
        """Keep it."""


class ForgetsOne(AdhocGateway):
    """Forgets one service of a node that is gone, and keeps the others."""

    def cleanup(self, uuid: str, name: str | None = None) -> None:
        if name is None:
            node = self._nodes.get(uuid)
            name = next(iter(node.copies)) if node is not None else None
        super().cleanup(uuid, name)


class LosesItems(Agenda):
    """Drops one of many things that are to be done."""

    lost = 0

    def put(self, item: Item, seconds: float) -> None:
        LosesItems.lost += 1
        if LosesItems.lost % 50:
            super().put(item, seconds)


class HearsNothing(GroupFollower):
    """Does not follow what others refresh."""

    def heard(self, names: Iterable[str]) -> None:
        """Ignore it."""


class BrokenClusterTests(SimulationCase):
    """A simulation that cannot fail is worth nothing: with these it must."""

    def assert_caught(self, *reasons: str) -> None:
        """Play seeds until one breaks a promise; it must be one of *reasons*."""
        totals = Totals()
        for seed in range(ENOUGH):
            play(seed, totals)
            if totals.failing:
                break
        self.flushLoggedErrors()
        self.assertEqual(len(totals.failing), 1, "it was not found out")
        reason = totals.failing[0].reason
        self.assertTrue(any(text in reason for text in reasons), reason)

    def link(self, kind: type[Link]) -> None:
        """Let all tables make links of a broken kind."""
        self.patch(links_module, "Link", kind)

    def test_never_forgets(self) -> None:
        """What ended with its connection is not known."""
        self.link(NeverForgets)
        self.assert_caught("still knows")

    def test_never_tries_again(self) -> None:
        """What was lost comes back."""
        self.link(NeverTriesAgain)
        self.assert_caught("of calm")

    def test_storms(self) -> None:
        """Nobody dials again at once."""
        self.patch(link_module, "delay", lambda *args: 0.0)
        self.assert_caught("within a second")

    def test_never_pings(self) -> None:
        """Silence is noticed."""
        self.link(NeverPings)
        self.assert_caught("hands out", "of calm", "sends 0 pings")

    def test_pings_too_often(self) -> None:
        """Signs of life have their pace."""
        self.link(PingsTooOften)
        self.assert_caught("pings, not")

    def test_waits_for_ever(self) -> None:
        """A node that takes connections and says nothing is tried again."""
        self.link(WaitsForEver)
        self.assert_caught("of calm")

    def test_takes_anybody(self) -> None:
        """A node is who it says."""
        self.link(TakesAnybody)
        self.assert_caught("of calm", "after one latency", "hands out")

    def test_never_updates(self) -> None:
        """Nothing is known twice."""
        self.link(NeverUpdates)
        self.assert_caught("is known already", "after one latency", "still knows")

    def test_tells_nothing_new(self) -> None:
        """Who comes late hears how things are."""
        self.patch(node_module, "Announcements", TellsNothingNew)
        self.assert_caught("of calm", "after one latency")

    def test_keeps_withdrawals(self) -> None:
        """What is withdrawn is gone at once."""
        self.patch(node_module, "Announcements", KeepsWithdrawals)
        self.assert_caught("after one latency")

    def test_tells_one(self) -> None:
        """
        A link to a former life of a node finds the present one, and leaves again;
        it must not take away what the other link hears.
        """
        self.patch(node_module, "Announcements", TellsOne)
        self.assert_caught("of calm", "after one latency")

    def test_keeps_groups(self) -> None:
        """Refreshed groups reach everybody."""
        self.patch(node_module, "Announcements", KeepsGroups)
        self.assert_caught("has a former ring", "has the groups")

    def test_hears_nothing(self) -> None:
        """And everybody follows them."""
        self.patch(node_module, "GroupFollower", HearsNothing)
        self.assert_caught("has a former ring", "has the groups")

    def test_forgets_slow(self) -> None:
        """Who reads slowly hears everything in the end."""
        self.patch(announcements_module, "Stream", ForgetsSlow)
        self.assert_caught("of calm", "after one latency")

    def test_keeps_dropped(self) -> None:
        """Who is gone is let go."""
        self.patch(node_module, "Links", KeepsDropped)
        self.assert_caught("forget", "still knows", "of calm")

    def test_drops_nobody(self) -> None:
        """Nobody looks for ever for who is gone."""
        self.patch(node_module, "Links", DropsNobody)
        self.assert_caught("forget", "still knows", "of calm")

    def test_forgets_one(self) -> None:
        """A gateway forgets all of a node."""
        self.patch(node_module, "AdhocGateway", ForgetsOne)
        self.assert_caught("still knows", "is known already")

    def test_loses_items(self) -> None:
        """Each thing that is due is done."""
        self.patch(links_module, "Agenda", LosesItems)
        self.assert_caught("of calm", "pings, not", "things to do")


class NodeClockTests(SynchronousTestCase):
    """The time of one process."""

    def setUp(self) -> None:
        self.all = VirtualClock()
        self.clock = NodeClock(self.all)
        self.seen: list[str] = []

    def test_order(self) -> None:
        """Things happen when they are due, and as they were asked for."""
        for name, seconds in (("c", 2.0), ("a", 1.0), ("b", 1.0)):
            self.clock.callLater(seconds, self.seen.append, name)

        self.all.run(BEGINNING + 1.5)

        self.assertEqual(self.seen, ["a", "b"])
        self.assertEqual(self.clock.seconds(), BEGINNING + 1.5)
        self.assertEqual(list(self.all.left()), ["list.append"])

    def test_cancelled(self) -> None:
        """What is taken back does not happen, and is not left."""
        call = self.clock.callLater(1.0, self.seen.append, "a")
        call.cancel()

        self.assertFalse(call.active())
        self.assertRaises(AlreadyCancelled, call.cancel)
        self.assertEqual(list(self.all.left()), [])
        self.all.run(BEGINNING + 2)
        self.assertEqual(self.seen, [])

    def test_stopped(self) -> None:
        """Who goes on does first what is late, then reads what has come."""
        self.clock.stop()
        self.clock.deliver(self.seen.append, "read")
        self.clock.callLater(1.0, self.seen.append, "late")
        self.all.run(BEGINNING + 2)
        self.assertEqual(self.seen, [])

        self.clock.resume()

        self.assertEqual(self.seen, ["late", "read"])

    def test_dead(self) -> None:
        """Nothing happens in a process that has ended."""
        self.clock.callLater(1.0, self.seen.append, "late")
        self.clock.die()

        self.clock.deliver(self.seen.append, "read")
        self.all.run(BEGINNING + 2)

        self.assertEqual(self.seen, [])

    def test_stands_still(self) -> None:
        """Who waits for nothing, for ever, is found out."""

        def again() -> None:
            self.clock.callLater(0, again)

        again()

        error = self.assertRaises(Broken, self.all.run, BEGINNING + 1)
        self.assertIn("time stands still", str(error))


class FiguresTests(SimulationCase):
    """What a cluster costs."""

    def test_small(self) -> None:
        """Messages and times are those that can be reckoned."""
        found = measure(6, 20)

        self.assertEqual((found.nodes, found.links, found.known), (6, 30, 12))
        self.assertEqual(found.change_messages, 5)
        # Five pings and five answers each five seconds, and a datagram.
        self.assertApproximates(found.rest_messages, 11 / 5, 0.2)
        self.assertLess(found.change, LATENCY[1])
        self.assertLess(found.fin, LATENCY[1])
        self.assertLess(found.join_known, 10 * LATENCY[1])
        self.assertLess(found.join_knows, 1.2 * INTERVAL)
        self.assertGreater(found.silence, INTERVAL)
        self.assertLess(found.silence, 20.0)

    def test_weights(self) -> None:
        """Memory is what a link may cost: some hundred bytes, a kilobyte or two."""
        found = weigh(200)

        self.assertTrue(300 < found.link < 3000, found)
        self.assertTrue(100 < found.service < 1500, found)
        self.assertTrue(500 < found.listener < 5000, found)

    def test_table(self) -> None:
        """Each cluster has a column, each figure a row."""
        text = io.StringIO()
        found = measure(3, 10)

        Console(file=text, width=200).print(table([found, found]))

        lines = text.getvalue().splitlines()
        self.assertEqual(
            lines[1].split(), ["\u2503", "\u2503", "3", "\u2503", "3", "\u2503"]
        )
        rows = [heading for heading, _ in COLUMNS[1:]]
        self.assertEqual([row for row in rows if row not in text.getvalue()], [])

    def test_picture(self) -> None:
        """The picture is XML, with a line for each curve and a name beside it."""
        found = [measure(nodes, 10) for nodes in (3, 6)]

        picture = ElementTree.fromstring(draw(found))

        lines = picture.findall("{http://www.w3.org/2000/svg}polyline")
        texts = picture.findall("{http://www.w3.org/2000/svg}text")
        self.assertEqual(len(lines), len(CURVES))
        names = {curve.name for curve in CURVES}
        self.assertLessEqual(names, {text.text for text in texts})


class CommandTests(SimulationCase):
    """The command line."""

    def test_command_line(self) -> None:
        """Numbers are read; what belongs together is asked for together."""
        options = parse(["--nodes", "100", "--apps", "50", "--seeds", "3"])

        self.assertEqual((options.nodes, options.apps, options.seeds), (100, 50, 3))
        wrong: list[list[Any]] = [["--trace"], ["--nodes", "3"], ["--seeds", "0"]]
        for arguments in wrong:
            self.assertRaises(SystemExit, parse, arguments)
