# -*- test-case-name: cocained.test.test_clusters_zookeeper -*-
"""Tests for :mod:`cocained.clusters.zookeeper`, over a unicorn in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cocained.clusters import members
from cocained.clusters.presence import LOOK
from cocained.clusters.zookeeper import (
    UnicornCluster,
    UnicornClusterArgs,
    ZookeeperCluster,
    ZookeeperClusterArgs,
)
from cocained.config import convert
from cocained.errors import ConfigError, ConnectionLoss
from cocained.interfaces import (
    ICluster,
    ILinks,
    IReporter,
    IUnicornObserver,
    Versioned,
)
from cocained.test.service_case import LogCase
from cocained.testing import FakeNode, MemoryLinks
from cocained.testing.contracts import ClusterContract
from cocained.unicorns.memory import MemoryUnicorn

PATH = "/cocaine/discovery"

US = "00000000-0000-4000-8000-000000000000"
ONE = "11111111-0000-4000-8000-000000000000"
TWO = "22222222-0000-4000-8000-000000000000"

HERE = ("127.0.0.1", 10053)


class FlakyUnicorn(MemoryUnicorn):
    """A unicorn that a test can take away."""

    def __init__(self, node: Any) -> None:
        super().__init__(node, "core")
        self.is_away = False
        self._observers: list[IUnicornObserver] = []
        self._scopes: list[Closing] = []

    def go_away(self) -> None:
        """Lose the connection: all scopes end, and nothing can be done."""
        self.is_away = True
        observers, self._observers = self._observers, []
        scopes, self._scopes = self._scopes, []
        for scope, observer in zip(scopes, observers, strict=True):
            if not getattr(scope, "was_closed", False):
                scope.close()
                observer.failed(ConnectionLoss("away"))

    def come_back(self) -> None:
        self.is_away = False

    def _do(self, coroutine: Any) -> Deferred[Any]:
        if self.is_away:
            coroutine.close()
            return fail(ConnectionLoss("away"))
        return super()._do(coroutine)

    def _scope(self, begin: Callable[..., Any], path: str, observer: Any) -> Any:
        if self.is_away:
            self.node.reactor.callLater(0, observer.failed, ConnectionLoss("away"))
            return Closing(None)
        scope = Closing(begin(path, observer))
        self._observers.append(observer)
        self._scopes.append(scope)
        return scope

    def subscribe(self, path: str, observer: IUnicornObserver) -> Any:
        return self._scope(super().subscribe, path, observer)

    def children_subscribe(self, path: str, observer: IUnicornObserver) -> Any:
        return self._scope(super().children_subscribe, path, observer)


class Closing:
    """A scope that remembers that it was closed."""

    def __init__(self, scope: Any) -> None:
        self._scope = scope
        self.was_closed = False

    def close(self) -> None:
        self.was_closed = True
        if self._scope is not None:
            self._scope.close()


class _ClusterCase(LogCase):
    grace = 30.0

    def setUp(self) -> None:
        self.node = FakeNode()
        self.unicorn = FlakyUnicorn(self.node)
        self.node.unicorns["core"] = self.unicorn
        self.links = MemoryLinks(US, [HERE])
        self.cluster = self.make(self.links)

    def make(self, links: ILinks) -> UnicornCluster:
        node: Any = self.node
        args = UnicornClusterArgs(backend="core", grace=self.grace)
        cluster = UnicornCluster(node, "cluster", args)
        cluster.attach(links)
        return cluster

    def start(self) -> None:
        self.cluster.start()
        self.pass_time()

    def pass_time(self, seconds: float = 0) -> None:
        self.node.clock.pass_time(seconds)

    def result_of(self, deferred: Deferred[Any]) -> Any:
        self.pass_time()
        return self.successResultOf(deferred)

    def announce(self, uuid: str, *endpoints: Any) -> None:
        """Let another node announce itself."""
        value = [list(each) for each in endpoints]
        self.result_of(self.unicorn.create(f"{PATH}/{uuid}", value, ephemeral=True))
        self.pass_time()

    def said(self) -> list[tuple[object, ...]]:
        """Give what the links were told, without addresses."""
        return [told[:2] for told in self.links.told]

    def leave(self, uuid: str) -> None:
        """Let another node go."""
        self.result_of(self.unicorn.remove(f"{PATH}/{uuid}", -1))
        self.pass_time()

    def announced(self) -> Any:
        """Give what is said of us."""
        return self.result_of(MemoryUnicorn.get(self.unicorn, f"{PATH}/{US}")).value


class AnnouncementTests(_ClusterCase):
    """This node's own entry."""

    def test_interfaces(self) -> None:
        """It is a cluster plugin, and tells how it is."""
        self.assertTrue(verifyObject(ICluster, self.cluster))
        self.assertTrue(verifyObject(IReporter, self.cluster))
        self.assertTrue(verifyObject(ILinks, self.links))

    def test_announced(self) -> None:
        """The entry is the list of the locator's addresses."""
        self.links.here.append(("::1", 10053))
        self.start()

        self.assertEqual(self.announced(), [[b"127.0.0.1", 10053], [b"::1", 10053]])
        self.assertTrue(self.cluster.report()["announced"])

    def test_no_address_yet(self) -> None:
        """Nothing is said before there is something to say."""
        self.links.here.clear()
        self.start()
        self.assertIsNone(self.announced())
        self.links.here.append(HERE)

        self.pass_time(LOOK)

        self.assertEqual(self.announced(), [[b"127.0.0.1", 10053]])

    def test_lost(self) -> None:
        """An entry that goes away is made again at once."""
        self.start()
        for _ in range(3):
            self.leave(US)
            self.assertEqual(self.announced(), [[b"127.0.0.1", 10053]])

    def test_of_a_former_life(self) -> None:
        """An entry of the node's former life is not kept: its end would be ours."""
        self.announce(US, ("10.0.0.1", 1))
        self.start()

        entry = self.result_of(MemoryUnicorn.get(self.unicorn, f"{PATH}/{US}"))

        self.assertEqual(entry, ([[b"127.0.0.1", 10053]], 0))

    def test_somebody_elses(self) -> None:
        """One that somebody makes in our place says what holds for us."""
        self.start()
        remove = self.unicorn.remove(f"{PATH}/{US}", -1)
        made = self.unicorn.create(f"{PATH}/{US}", [["10.0.0.1", 1]])
        self.result_of(remove)
        self.result_of(made)

        self.pass_time(10)

        self.assertEqual(self.announced(), [[b"127.0.0.1", 10053]])

    def test_changed_by_another(self) -> None:
        """Two nodes with one uuid are told of."""
        self.start()
        events = self.record_log()

        self.result_of(self.unicorn.put(f"{PATH}/{US}", [["10.0.0.9", 1]], 0))
        self.pass_time()

        (event,) = [each for each in events if "value" in each]
        self.assertIn("uuid of its own", event["log_format"])

    def test_stopped(self) -> None:
        """The entry is taken back in order, and nothing goes on."""
        self.start()
        self.announce(ONE, ("10.0.0.1", 1))

        self.assertIsNone(self.result_of(self.cluster.stop()))

        self.assertIsNone(self.announced())
        self.announce(TWO, ("10.0.0.2", 1))
        self.pass_time(100)
        self.assertEqual(list(self.links.nodes), [ONE])
        self.assertEqual(self.node.clock.getDelayedCalls(), [])

    def test_stopped_while_away(self) -> None:
        """The end does not wait for a backend that is away."""
        self.start()
        self.unicorn.go_away()

        self.assertIsNone(self.result_of(self.cluster.stop()))

        self.pass_time(100)
        self.assertEqual(self.node.clock.getDelayedCalls(), [])

    def test_never_started(self) -> None:
        """One that was not started, or not even attached, can be stopped."""
        node: Any = self.node
        bare = UnicornCluster(node, "c", UnicornClusterArgs(backend="core"))

        self.result_of(self.cluster.stop())
        self.result_of(bare.stop())
        self.assertEqual(bare.report()["nodes"], [])


class ContractTests(ClusterContract, SynchronousTestCase):
    """It keeps the contract of all cluster plugins."""

    def setUp(self) -> None:
        self.node = FakeNode()
        unicorn = MemoryUnicorn(self.node, "core")
        self.node.unicorns["core"] = unicorn
        self.successResultOf(unicorn.create(f"{PATH}/{ONE}", [["10.0.0.1", 1]]))
        node: Any = self.node
        self.cluster = UnicornCluster(node, "c", UnicornClusterArgs(backend="core"))
        self.pass_time = self.node.clock.pass_time


class MemberTests(_ClusterCase):
    """The other nodes."""

    def test_found(self) -> None:
        """Those who are there are linked, and those who come; not ourselves."""
        self.announce(ONE, ("10.0.0.1", 1), ("fe80::1", 2))
        self.start()
        self.announce(TWO, ("10.0.0.2", 1))

        self.assertEqual(
            self.links.nodes,
            {ONE: (("10.0.0.1", 1), ("fe80::1", 2)), TWO: (("10.0.0.2", 1),)},
        )
        self.assertEqual(self.cluster.report()["nodes"], [ONE, TWO])

    def test_two_of_us(self) -> None:
        """Two nodes find each other."""
        other = MemoryLinks(ONE, [("10.0.0.1", 1)])
        cluster = self.make(other)
        self.start()
        cluster.start()
        self.pass_time()

        self.assertEqual(self.links.nodes, {ONE: (("10.0.0.1", 1),)})
        self.assertEqual(other.nodes, {US: (HERE,)})
        self.result_of(cluster.stop())
        self.pass_time()
        self.assertEqual(self.said(), [("link", ONE), ("drop", ONE)])

    def test_moved(self) -> None:
        """Addresses that change are told."""
        self.start()
        self.announce(ONE, ("10.0.0.1", 1))

        self.result_of(self.unicorn.put(f"{PATH}/{ONE}", [["10.0.0.9", 9]], 0))
        self.pass_time()

        self.assertEqual(self.links.nodes, {ONE: (("10.0.0.9", 9),)})

    def test_gone(self) -> None:
        """One whose entry goes away is dropped at once while all is well."""
        self.start()
        self.announce(ONE, ("10.0.0.1", 1))

        self.leave(ONE)

        self.assertEqual(self.said(), [("link", ONE), ("drop", ONE)])

    def test_first_of_all(self) -> None:
        """Being the first is no trouble, and calls for no patience."""
        events = self.record_log()
        self.start()
        self.assertEqual(self.cluster.report()["problem"], "")
        self.assertEqual([each for each in events if "cluster" in each], [])
        self.announce(ONE, ("10.0.0.1", 1))

        self.leave(ONE)

        self.assertEqual(self.links.nodes, {})

    def test_made_anew(self) -> None:
        """An entry that is made anew within a moment is followed again."""
        self.start()
        self.announce(ONE, ("10.0.0.1", 1))
        for port in range(2, 5):
            removed = self.unicorn.remove(f"{PATH}/{ONE}", -1)
            made = self.unicorn.create(f"{PATH}/{ONE}", [["10.0.0.1", port]])
            self.result_of(removed)
            self.result_of(made)
            self.pass_time()
            self.assertEqual(self.links.nodes, {ONE: (("10.0.0.1", port),)})

    def test_no_nodes(self) -> None:
        """What is no uuid is no node."""
        self.start()
        for name in (
            "x",
            "lock0000000001",
            "AAAAAAAA-0000-4000-8000-000000000000",
            f"{ONE}0",
        ):
            self.announce(name, ("10.0.0.1", 1))

        self.assertEqual(self.links.nodes, {})

    def test_bad_addresses(self) -> None:
        """What cannot be used is logged, and changes nothing; the next may be good."""
        self.start()
        self.announce(ONE, ("10.0.0.1", 1))
        events = self.record_log()
        for version, value in enumerate(
            [None, 1, [], [["x", 1]], [["10.0.0.1", 0]], [["10.0.0.1", 65536]], [[1]]]
        ):
            self.result_of(self.unicorn.put(f"{PATH}/{ONE}", value, version))
            self.pass_time()
        self.assertEqual(self.said(), [("link", ONE)])
        warnings = [each for each in events if each.get("uuid") == ONE]
        self.assertEqual(len(warnings), 7)

        self.result_of(self.unicorn.put(f"{PATH}/{ONE}", [["10.0.0.2", 1]], 7))
        self.pass_time()

        self.assertEqual(self.links.nodes, {ONE: (("10.0.0.2", 1),)})

    def test_entry_that_cannot_be_read(self) -> None:
        """One that has children is tried again later."""
        self.start()
        self.result_of(self.unicorn.create(f"{PATH}/{ONE}/x", 1))
        self.pass_time()
        self.assertEqual(self.links.nodes, {})
        self.leave(f"{ONE}/x")
        self.result_of(self.unicorn.remove(f"{PATH}/{ONE}", -1))
        made = self.unicorn.create(f"{PATH}/{ONE}", [["10.0.0.1", 1]])
        self.result_of(made)

        self.pass_time(10)

        self.assertEqual(self.links.nodes, {ONE: (("10.0.0.1", 1),)})

    def test_too_many(self) -> None:
        """A list without end is cut, and that is logged."""
        self.patch(members, "MEMBER_LIMIT", 1)
        self.start()
        events = self.record_log()

        self.announce(TWO, ("10.0.0.2", 1))
        self.announce(ONE, ("10.0.0.1", 1))

        self.assertEqual(list(self.links.nodes), [ONE])
        self.assertIn(2, [event.get("count") for event in events])


class TroubleTests(_ClusterCase):
    """The backend goes away, and comes back."""

    def setUp(self) -> None:
        super().setUp()
        self.start()
        self.announce(ONE, ("10.0.0.1", 1))
        self.announce(TWO, ("10.0.0.2", 1))
        self.events = self.record_log()

    def test_nothing_is_dropped(self) -> None:
        """However long it is away, the last that was known holds."""
        self.unicorn.go_away()
        self.pass_time(100_000)

        self.assertEqual(sorted(self.links.nodes), [ONE, TWO])
        report = self.cluster.report()
        self.assertIn("cannot be announced", report["problem"])
        self.assertIn("cannot be listed", report["problem"])
        self.assertIn("see that the backend runs", report["problem"])
        self.assertEqual(report["since"], 0.0)
        self.assertEqual(report["nodes"], [ONE, TWO])

    def test_logged_once(self) -> None:
        """Each change of state is one line in the log."""
        for _ in range(2):
            self.unicorn.go_away()
            self.pass_time(1000)
            self.unicorn.come_back()
            self.pass_time(1000)

        said = [each for each in self.events if each.get("cluster") == "cluster"]
        self.assertEqual(
            [each["log_level"].name for each in said], ["warn", "info"] * 2
        )

    def test_back(self) -> None:
        """What happened meanwhile is seen, and the end of trouble is reported."""
        self.unicorn.go_away()
        self.pass_time(50)
        self.unicorn.come_back()
        self.pass_time(10)

        self.assertEqual(self.cluster.report()["problem"], "")
        self.assertGreaterEqual(self.cluster.report()["since"], 50)
        self.assertEqual(sorted(self.links.nodes), [ONE, TWO])
        self.result_of(self.unicorn.put(f"{PATH}/{ONE}", [["10.0.0.9", 9]], 0))
        self.pass_time()
        self.assertEqual(self.links.nodes[ONE], (("10.0.0.9", 9),))

    def remove_quietly(self, uuid: str) -> None:
        """Let an entry go while the backend is away."""
        self.unicorn.is_away = False
        self.leave(uuid)
        self.unicorn.is_away = True

    def test_announced_again(self) -> None:
        """An entry that went with the session is made anew."""
        self.unicorn.go_away()
        self.remove_quietly(US)
        self.unicorn.come_back()

        self.pass_time(10)

        self.assertEqual(self.announced(), [[b"127.0.0.1", 10053]])

    def test_path_is_gone(self) -> None:
        """A path that went, too, is listed as soon as it is there again."""
        self.unicorn.go_away()
        for uuid in (US, ONE, TWO):
            self.remove_quietly(uuid)
        self.unicorn.is_away = False
        self.result_of(self.unicorn.remove(PATH, -1))

        self.pass_time(10)

        self.assertEqual(self.cluster.report()["problem"], "")
        self.assertEqual(sorted(self.links.nodes), [ONE, TWO])

    def test_gone_meanwhile(self) -> None:
        """One who is missing afterwards has some time to come back."""
        self.unicorn.go_away()
        self.remove_quietly(ONE)
        self.remove_quietly(TWO)
        self.unicorn.come_back()
        self.pass_time(10)
        self.assertEqual(sorted(self.links.nodes), [ONE, TWO])
        self.pass_time(15)
        self.announce(ONE, ("10.0.0.1", 1))

        self.pass_time(16)

        self.assertEqual(list(self.links.nodes), [ONE])
        self.assertNotIn(("drop", ONE), self.said())

    def test_gone_soon_after(self) -> None:
        """So has one who goes missing a little later: sessions end by and by."""
        self.unicorn.go_away()
        self.unicorn.come_back()
        self.pass_time(12)
        self.leave(ONE)
        self.assertIn(ONE, self.links.nodes)

        self.pass_time(30)

        self.assertEqual(list(self.links.nodes), [TWO])
        self.leave(TWO)
        self.assertEqual(self.links.nodes, {})

    def test_trouble_again(self) -> None:
        """While the backend is away again, nobody's time is up."""
        self.unicorn.go_away()
        self.remove_quietly(ONE)
        self.unicorn.come_back()
        self.pass_time(10)
        self.unicorn.go_away()
        self.pass_time(100)
        self.assertIn(ONE, self.links.nodes)
        self.unicorn.come_back()

        self.pass_time(41)

        self.assertEqual(list(self.links.nodes), [TWO])

    def test_away_from_the_start(self) -> None:
        """A node that starts without its backend joins when it is there."""
        self.unicorn.go_away()
        links = MemoryLinks("33333333-0000-4000-8000-000000000000", [("10.0.0.3", 3)])
        cluster = self.make(links)
        cluster.start()
        self.pass_time(25)
        self.assertFalse(cluster.report()["announced"])
        self.unicorn.come_back()

        self.pass_time(10)

        self.assertEqual(sorted(links.nodes), [US, ONE, TWO])
        self.assertIn(links.uuid, self.links.nodes)


class OwnUnicorn(MemoryUnicorn):
    """A backend that a cluster has for itself."""

    def __init__(self, node: Any, name: str, args: Any) -> None:
        super().__init__(node, name)
        self.life: list[str] = []

    def start(self) -> None:
        self.life.append("start")

    def stop(self) -> None:
        self.life.append("stop")


class ZookeeperClusterTests(_ClusterCase):
    """The type ``zookeeper``."""

    def build(self, **args: Any) -> Any:
        """Build one as a node would."""
        self.owns: list[OwnUnicorn] = []

        def own(*given: Any) -> OwnUnicorn:
            self.owns.append(OwnUnicorn(*given))
            return self.owns[-1]

        self.node.factories["unicorn", "zookeeper"] = own
        node: Any = self.node
        converted = convert(args, ZookeeperClusterArgs)
        cluster = ZookeeperCluster(node, "cluster", converted)
        cluster.attach(self.links)
        return cluster

    def test_named(self) -> None:
        """With a backend's name it is the same as ``unicorn``."""
        cluster = self.build(backend="core")
        self.assertEqual(self.owns, [])
        cluster.start()
        self.pass_time()

        self.assertEqual(self.announced(), [[b"127.0.0.1", 10053]])
        self.result_of(cluster.stop())

    def test_own(self) -> None:
        """Without one it has its own, which starts first and stops last."""
        cluster = self.build(endpoints=[{"host": "zk"}])
        (own,) = self.owns
        cluster.start()
        self.pass_time()
        path = f"{PATH}/{US}"
        self.assertEqual(self.result_of(own.get(path)).version, 0)

        self.result_of(cluster.stop())

        self.assertEqual(self.result_of(own.get(path)), Versioned(None, -1))
        self.assertEqual(own.life, ["start", "stop"])

    def test_either(self) -> None:
        """A backend's name and servers do not go together."""
        error = self.assertRaises(
            ConfigError, self.build, backend="core", endpoints=[{"host": "zk"}]
        )

        self.assertIn("leave out either", str(error))

    def test_path(self) -> None:
        """The path is one."""
        for path in ("x", "/", "/a/"):
            self.assertRaises(ConfigError, self.build, path=path)

    def test_unknown_backend(self) -> None:
        """A backend that is not there is named."""
        error = self.assertRaises(ConfigError, self.build, backend="none")

        self.assertIn("'none'", str(error))
