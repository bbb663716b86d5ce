# -*- test-case-name: cocained.test.test_gateways_vicodyn -*-
"""
The gateway ``vicodyn``: the contract, what it resolves, and how it ends.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from zope.interface.verify import verifyObject

from cocained.config import convert
from cocained.errors import CocainedError, ConfigError
from cocained.gateways.adhoc import CLUSTER_KEY, DuplicateRemote
from cocained.gateways.vicodyn import gateway
from cocained.gateways.vicodyn.args import VicodynArgs
from cocained.gateways.vicodyn.likeness import NODE_GRAPH
from cocained.interfaces import IRemoteService
from cocained.rpc.graph import CLOSE, ERROR, WRITE
from cocained.test.vicodyn_case import APP_GRAPH, QUEUE_IS_FULL, VicodynCase
from cocained.testing.contracts import NodeObserverContract


class VicodynContractTests(NodeObserverContract, VicodynCase):
    """It does what every gateway does, by the gateway that it wraps."""


class ArgumentTests(VicodynCase):
    """What its section of the configuration may say."""

    def refuse(self, **args: Any) -> str:
        return str(self.assertRaises(ConfigError, convert, args, VicodynArgs))

    def test_as_in_the_original(self) -> None:
        """The original's section is accepted."""
        args = convert(
            {
                "wrapped": {"type": "adhoc", "args": {}},
                "balancer": {"type": "simple", "args": {"retry_count": 7}},
            },
            VicodynArgs,
        )

        self.assertEqual(args.balancer.args.retry_count, 7)

    def test_defaults(self) -> None:
        """Nothing needs to be said: four retries, as in the original."""
        args = convert({}, VicodynArgs)

        self.assertEqual(args.wrapped.type, "adhoc")
        self.assertEqual(args.balancer.args.retry_count, 4)
        self.assertEqual(args.balancer.args.policy, "least-latency")

    def test_mistakes(self) -> None:
        """Mistakes are named."""
        self.assertIn("simple", self.refuse(balancer={"type": "clever"}))
        self.assertIn(
            "retry_count", self.refuse(balancer={"args": {"retry_count": -1}})
        )
        self.assertIn("policy", self.refuse(balancer={"args": {"policy": "best"}}))


class ResolveTests(VicodynCase):
    """What clients are told."""

    VIRTUAL = [("127.0.0.1", 10053)]

    def resolve(self, name: str = "app") -> Any:
        found = self.gateway.resolve(name)
        return found and (list(found.endpoints), found.version)

    def test_full(self) -> None:
        """It decides everything: local and remote copies compete."""
        self.assertIs(self.gateway.full, True)

    def test_app(self) -> None:
        """An app is reached through this node, with the graph of an app."""
        self.remote("there", "app")

        found = self.gateway.resolve("app")

        assert found is not None
        self.assertEqual(list(found.endpoints), self.VIRTUAL)
        self.assertEqual((found.version, found.graph), (1, APP_GRAPH))

    def test_quiet(self) -> None:
        """The virtual service is not announced to anybody."""
        self.remote("there", "app")
        service = self.node.directory.services["virtual::app"]

        self.assertIn("virtual::app", self.node.directory.quiet)
        self.assertTrue(verifyObject(IRemoteService, service))

    def test_unreachable(self) -> None:
        """While there is no connection to any node clients go there by themselves."""
        there = self.remote("there")
        there.refuse()
        there.announce("app")
        self.assertEqual(self.resolve(), ([("192.0.2.8", 9)], 1))

        there.listen()
        self.pass_time(3)

        self.assertEqual(self.resolve(), (self.VIRTUAL, 1))

    def test_no_port(self) -> None:
        """So they do when there is no port for the virtual service."""
        directory: Any = self.node.directory
        expose = directory.expose

        def refuse(name: str, service: Any, announce: bool = True) -> Deferred[None]:
            if announce:
                done: Deferred[None] = expose(name, service)
                return done
            return fail(CocainedError("no ports left"))

        directory.expose = refuse
        self.addCleanup(setattr, directory, "expose", expose)
        self.remote("there", "app")

        self.assertEqual(self.resolve(), ([("192.0.2.8", 9)], 1))

    def test_too_many(self) -> None:
        """Apps beyond the limit have no port, and clients are sent to their nodes."""
        self.patch(gateway, "VIRTUAL_LIMIT", 2)
        self.remote("there", "a1", "a2", "app", "a4")

        self.assertEqual(
            sorted(self.node.directory.services),
            ["vicodyn", "virtual::a1", "virtual::a2"],
        )
        self.assertEqual(self.resolve(), ([("192.0.2.8", 9)], 1))
        self.assertIn("2 apps are not relayed", self.gateway.report()["problem"])

    def test_room_again(self) -> None:
        """When one goes, another has its place; one that went is not waited for."""
        self.patch(gateway, "VIRTUAL_LIMIT", 1)
        self.remote("there", "a1", "a2", "app")
        self.gateway.cleanup("there", "a2")
        self.assertEqual(self.resolve(), ([("192.0.2.8", 9)], 1))

        self.gateway.cleanup("there", "a1")

        self.assertEqual(self.resolve(), (self.VIRTUAL, 1))
        self.assertEqual(self.gateway.report()["problem"], "")

    def test_other_services(self) -> None:
        """What is no app is left to the wrapped gateway."""
        self.gateway.consume("a", "storage", [("192.0.2.8", 1)], 1, {}, {})
        self.gateway.consume("b", "storage", [("192.0.2.8", 2)], 2, {}, {})

        self.assertEqual({self.resolve("storage")[1] for _ in range(2)}, {1, 2})

    def test_local_services(self) -> None:
        """A service of this node is taken before those of others."""
        self.node.directory.expose("storage", self.service())
        self.gateway.consume("a", "storage", [("192.0.2.8", 1)], 1, {}, {})
        self.gateway.consume(self.node.uuid, "storage", [("192.0.2.8", 2)], 2, {}, {})
        self.assertEqual({self.resolve("storage")[1] for _ in range(4)}, {2})

        self.gateway.cleanup(self.node.uuid, "storage")

        self.assertEqual({self.resolve("storage")[1] for _ in range(4)}, {1})
        self.node.directory.remove("storage")

    def service(self) -> IRemoteService:
        """Any service."""
        return self.node.directory.services["vicodyn"]

    def test_published_here(self) -> None:
        """What others publish through this node is one copy among all."""
        self.gateway.consume("a", "web", [("192.0.2.8", 1)], 1, {}, {})
        self.gateway.consume(self.node.uuid, "web", [("192.0.2.8", 2)], 2, {}, {})

        self.assertEqual({self.resolve("web")[1] for _ in range(4)}, {1, 2})

    def test_duplicate(self) -> None:
        """What the wrapped gateway refuses is refused."""
        there = self.remote("there", "app")

        self.assertRaises(DuplicateRemote, there.announce_apps, "app")

    def test_last_copy(self) -> None:
        """An app without copies loses its service; connections get a clear word."""
        self.remote("a", "app")
        self.remote("b", "app")
        client = self.client()
        self.gateway.cleanup("a", "app")
        self.assertIn("virtual::app", self.node.directory.services)
        self.gateway.cleanup("b")

        self.assertNotIn("virtual::app", self.node.directory.services)
        self.assertIsNone(self.resolve())
        client.send(1, 0, b"ping")
        # Proxies know this pair, and resolve again.
        self.assertEqual(client.take()[0][2][0], [12, 32])

    def test_comes_again(self) -> None:
        """An app that comes again has a service again."""
        there = self.remote("there", "app")
        self.gateway.cleanup("there")
        self.assertEqual(self.node.directory.services.keys(), {"vicodyn"})

        there.announce("app")
        self.client().send(1, 0, b"ping")

        self.assertEqual(len(there.requests()), 1)

    def test_nothing_is_left(self) -> None:
        """Nodes that come and go leave nothing behind."""
        for number in range(50):
            there = self.remote(f"node{number}", f"app{number}", "app")
            if number % 2:
                self.gateway.cleanup(there.uuid)
            else:
                for name in ("node", f"app{number}", "app"):
                    self.gateway.cleanup(there.uuid, name)
            self.network.flush()

        self.assertEqual(self.gateway._peers, {})
        self.assertEqual(self.gateway._apps, {})
        self.assertEqual(self.gateway._former, {})
        self.assertEqual(self.gateway.links, {})

    def test_local_copy(self) -> None:
        """The local node is a peer like others, over its own address."""
        here = self.remote(self.node.uuid, "app")
        there = self.remote("there", "app")
        for _ in range(40):
            self.client().send(1, 0, b"ping")

        self.assertGreater(len(here.requests()), 5)
        self.assertGreater(len(there.requests()), 5)


class ClusterTests(VicodynCase):
    """Nodes of another cluster on the same network."""

    args = {"wrapped": {"type": "adhoc", "args": {CLUSTER_KEY: "blue"}}}

    def test_other_cluster(self) -> None:
        """They are not heard."""
        there = self.remote("there")
        there.announce("app", **{CLUSTER_KEY: "green"})

        self.assertEqual(there.connections, 0)
        self.assertNotIn("virtual::app", self.node.directory.services)

    def test_same_cluster(self) -> None:
        """Those of this one are; the wrapped gateway says which that is."""
        there = self.remote("there")
        there.announce("app", **{CLUSTER_KEY: "blue"})

        self.assertEqual(there.connections, 1)
        self.client().send(1, 0, b"ping")
        self.assertEqual(len(there.requests()), 1)


class ChoiceTests(VicodynCase):
    """Who gets requests."""

    args = {"balancer": {"args": {"policy": "round-robin"}}}

    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.remote("a", "app"), self.remote("b", "app")

    def ask(self, count: int) -> tuple[int, int]:
        """Send requests; say how many each got."""
        for _ in range(count):
            self.client().send(1, 0, b"ping")
        return len(self.a.requests()), len(self.b.requests())

    def test_turns(self) -> None:
        """By turns, for requests and not for connections."""
        self.assertEqual(self.ask(10), (5, 5))
        client = self.client()
        for channel in range(1, 11):
            client.send(channel, 0, b"ping")
        self.assertEqual((len(self.a.requests()), len(self.b.requests())), (5, 5))

    def test_silent(self) -> None:
        """A node without signs of life is left out, until it gives one."""
        self.gateway.node_observed("a", None)
        self.assertEqual(self.ask(4), (0, 4))

        self.gateway.node_observed("a", 0.001)

        self.assertEqual(self.ask(4), (2, 2))

    def test_disconnected(self) -> None:
        """A node without a connection gets nothing, until there is one."""
        self.a.hang_up()
        self.assertEqual(self.ask(4), (0, 4))

        self.pass_time(2)

        self.assertEqual(self.ask(4), (2, 2))

    def test_apps_apart(self) -> None:
        """Each app has its own nodes."""
        self.gateway.cleanup("b", "app")
        self.b.announce_apps("other")

        self.assertEqual(self.ask(4), (4, 0))


class LatencyTests(VicodynCase):
    """Choice by what requests take, and by those under way."""

    def test_slow_node(self) -> None:
        """A node whose answers take longer gets fewer requests."""
        fast, slow = self.remote("fast", "app"), self.remote("slow", "app")
        client = self.client()
        waiting: list[tuple[int, int]] = []
        counts = {"fast": 0, "slow": 0}
        for step in range(300):
            client.send(step + 1, 0, b"ping")
            client.send(step + 1, CLOSE)
            for channel in fast.requests():
                counts["fast"] += 1
                fast.close(channel)
            for channel in slow.requests():
                counts["slow"] += 1
                waiting.append((step + 20, channel))
            while waiting and waiting[0][0] <= step:
                slow.close(waiting.pop(0)[1])
            self.network.pass_time(0.01)

        self.assertEqual(sum(counts.values()), 300)
        self.assertLess(counts["slow"], 60)
        self.assertGreater(counts["slow"], 0)

    def test_under_way(self) -> None:
        """Among equals the one with fewer requests under way is taken."""
        a, b = self.remote("a", "app"), self.remote("b", "app")
        for _ in range(20):
            self.client().send(1, 0, b"ping")

        self.assertEqual((len(a.requests()), len(b.requests())), (10, 10))

    def test_refusing_is_not_fast(self) -> None:
        """A node that refuses at once does not draw all requests to it."""
        good, bad = self.remote("good", "app"), self.remote("bad", "app")
        asked = 0
        for _ in range(50):
            client = self.client()
            client.send(1, 0, b"ping")
            client.send(1, CLOSE)
            for channel in bad.requests():
                asked += 1
                bad.error(channel, QUEUE_IS_FULL)
            (channel,) = good.requests()
            good.chunk(channel, b"1")
            good.close(channel)
            self.assertEqual([frame[1] for frame in client.take()], [WRITE, CLOSE])
            self.network.pass_time(0.01)

        self.assertLess(asked, 5)


class StopTests(VicodynCase):
    """The node stops."""

    def setUp(self) -> None:
        super().setUp()
        self.there = self.remote("there", "app")
        self.peer = self.client()
        self.peer.send(1, 0, b"ping")
        (self.channel,) = self.there.requests()

    def test_finishes(self) -> None:
        """Requests under way may end by themselves; new ones are refused."""
        stopped = self.gateway.stop()
        self.network.flush()
        self.peer.send(2, 0, b"ping")
        self.assertEqual(self.peer.take()[0][2][0], [12, 32])
        self.assertNoResult(stopped)

        self.there.chunk(self.channel, b"1")
        self.there.close(self.channel)
        self.peer.send(1, CLOSE)
        self.pass_time(0.5)

        self.assertEqual([frame[1] for frame in self.peer.take()], [WRITE, CLOSE])
        self.successResultOf(stopped)
        self.assertTrue(self.there.connection.lost)

    def test_patience(self) -> None:
        """Those that do not are ended, on both sides, when patience is over."""
        stopped = self.gateway.stop()
        self.pass_time(self.node.patience - 1)
        self.assertNoResult(stopped)

        self.pass_time(2)

        (error,) = self.peer.take()
        self.assertEqual((error[1], error[2][0]), (ERROR, [12, 32]))
        (told,) = self.there.take()
        self.assertEqual((told[1], told[2][0]), (ERROR, [12, 32]))
        self.successResultOf(stopped)

    def test_announcements_afterwards(self) -> None:
        """What is heard while it stops opens nothing new."""
        stopped = self.gateway.stop()
        other = self.remote("other")
        other.announce("app", "more")
        self.gateway.consume("third", "node", [other.address], 1, NODE_GRAPH, {})
        self.gateway.cleanup("there")
        self.pass_time(self.node.patience + 1)

        self.successResultOf(stopped)
        self.assertEqual(other.connections, 0)
