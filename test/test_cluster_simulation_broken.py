# -*- test-case-name: cocained.test.test_cluster_simulation_broken -*-
"""
The simulation of clusters: whether it can fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
from cocained.test.cluster_simulation import node as node_module
from cocained.test.cluster_simulation.runner import play
from cocained.test.simulation.runner import Totals
from cocained.test.test_simulation import SimulationCase

#: Seeds within which broken code must be found out.
ENOUGH = 40


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
