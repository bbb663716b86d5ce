# -*- test-case-name: cocained.test.test_services_neighbourhood -*-
"""
Two and three whole locators that find and hear each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from cocained.component import Component, NoArgs
from cocained.config import ComponentConfig
from cocained.errors import CocainedError, StorageError
from cocained.interfaces import ICluster, ILinks, INode, IReporter
from cocained.links.pace import Pace
from cocained.links.tidings import Offer
from cocained.rpc.codec import pack
from cocained.rpc.headers import UNTRACED
from cocained.services.neighbourhood import Neighbourhood
from cocained.test.cluster_case import PORT, ClusterCase
from cocained.test.links_case import MemoryGateway
from cocained.test.memory_network import RawFactory, reply
from cocained.test.service_case import FlakyStorage, LogCase, MemoryNode


class TwoNodesTests(ClusterCase):
    """Node 1 announces; node 2 listens to it."""

    def setUp(self) -> None:
        super().setUp()
        self.one = self.node(1, gateway=False)
        self.two = self.node(2, 1)

    def test_linked(self) -> None:
        """Links have one direction each."""
        self.assertEqual(self.links(self.two), {"node-1-1": ["192.0.2.1", PORT]})
        self.assertEqual(self.links(self.one), {})

    def test_found(self) -> None:
        """What one node has the other finds, at once."""
        self.assertFalse(self.knows(self.two, "app"))

        self.offer(self.one, "app")

        self.assertEqual(self.found(self.two, "app"), ["192.0.2.1"])

    def test_removed(self) -> None:
        """What it has no more is found no more."""
        self.offer(self.one, "app")

        self.successResultOf(self.one.directory.remove("app"))
        self.network.flush()

        self.assertFalse(self.knows(self.two, "app"))

    def test_one_direction(self) -> None:
        """A node without a gateway learns nothing of who listens to it."""
        self.offer(self.two, "app")

        self.assertFalse(self.knows(self.one, "app"))

    def test_local_first(self) -> None:
        """What a node has itself it finds itself, each time."""
        self.offer(self.one, "app")
        self.offer(self.two, "app")

        self.assertEqual(self.found(self.two, "app"), ["192.0.2.2"])

    def test_locators_stay_apart(self) -> None:
        """Nobody hears of another's locator."""
        gateway: Any = self.two.locator._gateway
        found = [gateway.resolve("locator").endpoints[0][0] for _ in range(4)]

        self.assertEqual(set(found), {"192.0.2.2"})

    def test_stopped(self) -> None:
        """A node that stops says so, and is forgotten at once."""
        self.offer(self.one, "app")

        self.successResultOf(self.one.stop())
        self.network.flush()

        self.assertFalse(self.knows(self.two, "app"))
        self.assertEqual(self.links(self.two), {"node-1-1": ["0.0.0.0", 0]})

    def test_drained(self) -> None:
        """A node that drains is asked for nothing more, though it still works."""
        self.offer(self.one, "app")

        self.one.directory.withdraw()
        self.network.flush()

        self.assertFalse(self.knows(self.two, "app"))
        self.assertTrue(self.knows(self.one, "app"))

    def test_started_anew(self) -> None:
        """A node that comes back has another uuid, and the former one is forgotten."""
        self.offer(self.one, "app")
        self.successResultOf(self.one.stop())
        self.network.flush()

        again = self.node(1, gateway=False, life=2)
        self.offer(again, "app")
        self.pass_time(40)

        self.assertEqual(self.links(self.two), {"node-1-2": ["192.0.2.1", PORT]})
        self.assertEqual(self.found(self.two, "app"), ["192.0.2.1"])

    def test_crashed(self) -> None:
        """A machine that goes without a word is noticed, and so is its return."""
        self.offer(self.one, "app")
        self.pass_time(10)
        self.crash(self.one)
        self.assertTrue(self.knows(self.two, "app"))

        self.pass_time(30)
        self.assertFalse(self.knows(self.two, "app"))

        self.network.listeners.clear()
        again = self.node(1, gateway=False, life=2)
        self.offer(again, "app")
        self.pass_time(40)
        self.assertTrue(self.knows(self.two, "app"))

    def test_quick_return(self) -> None:
        """One that is back before its loss was noticed leaves no gap."""
        self.offer(self.one, "app")
        self.pass_time(10)
        self.crash(self.one)
        self.network.listeners = {
            at: factory
            for at, factory in self.network.listeners.items()
            if at[0] != "192.0.2.1"
        }
        again = self.node(1, gateway=False, life=2)
        self.offer(again, "app")
        self.two.locator._around.links.link("node-1-2", [("192.0.2.1", PORT)])
        for _ in range(20):
            self.assertTrue(self.knows(self.two, "app"))
            self.network.pass_time(0.05)

        self.assertEqual(list(self.links(self.two)), ["node-1-2"])

    def test_restricted(self) -> None:
        """What is restricted nobody else hears of; values travel along."""
        three = self.node(3, restrict=["secret"], extra_param={"weight": 5})
        four = self.node(4, 3)

        self.offer(three, "secret", "open")

        self.assertFalse(self.knows(four, "secret"))
        self.assertTrue(self.knows(four, "open"))

    def test_other_cluster(self) -> None:
        """Nodes of another cluster are heard, and not used."""
        three = self.node(3, extra_param={"x-cocaine-cluster": "other"})
        four = self.node(4, 3)

        self.offer(three, "app")

        self.assertFalse(self.knows(four, "app"))
        self.assertEqual(list(self.links(four)), ["node-3-1"])

    def test_published(self) -> None:
        """A service that is published at one node is found at the other."""
        node: Any = self.one
        withdraw = node.locator._around.offers.publish(
            Offer("ext", [("192.0.2.77", 80)], 0, {})
        )
        self.network.flush()
        self.assertEqual(self.found(self.two, "ext"), ["192.0.2.77"])

        withdraw()
        self.network.flush()

        self.assertFalse(self.knows(self.two, "ext"))

    def test_crowded(self) -> None:
        """A node with thousands of services tells them all, in megabytes."""
        graph: Any = {0: ("m" * 200, {}, {})}
        three = self.node(3)
        for number in range(5000):
            name = f"service-{number}"
            three.locator._around.offers.expose(
                Offer(name, [("192.0.2.3", 1)], 1, graph)
            )

        four = self.node(4, 3)

        (link,) = four.locator.report()["links"].values()
        self.assertEqual((link["state"], link["services"]), ("linked", 5000))
        self.assertEqual(self.found(four, "service-4999"), ["192.0.2.3"])

    def test_report(self) -> None:
        """An operator sees how nodes are found, and how each link is."""
        self.offer(self.one, "app")
        self.pass_time(6)

        report = self.two.locator.report()

        self.assertEqual(report["uuid"], "node-2-1")
        self.assertEqual(report["discovery"]["type"], "predefine")
        self.assertEqual(
            report["discovery"]["nodes"],
            {"192.0.2.1:10053": {"uuid": "node-1-1", "error": ""}},
        )
        (link,) = report["links"].values()
        self.assertEqual((link["state"], link["services"]), ("linked", 1))
        self.assertIsNotNone(link["latency"])
        self.assertEqual((report["groups"], report["problem"]), ([], ""))
        self.assertEqual(self.one.locator.report()["told"], 1)


class ThreeNodesTests(ClusterCase):
    """Three nodes, of which each listens to the others."""

    def setUp(self) -> None:
        super().setUp()
        self.core = FlakyStorage(None, "core")
        self.nodes = [self.node(n, *{1, 2, 3} - {n}, core=self.core) for n in (1, 2, 3)]
        # Those that were not there yet are asked again after the interval; then
        # all groups are read once more.
        self.pass_time(12)

    def test_all_linked(self) -> None:
        """Everybody hears everybody else."""
        for node in self.nodes:
            others = {other.uuid for other in self.nodes if other is not node}
            self.assertEqual(set(self.links(node)), others)

    def test_take_turns(self) -> None:
        """Copies at two nodes take turns for the third."""
        one, two, three = self.nodes
        self.offer(one, "app")
        self.offer(two, "app")

        self.assertEqual(self.found(three, "app"), ["192.0.2.1", "192.0.2.2"])
        self.assertEqual(self.found(one, "app"), ["192.0.2.1"])

    def test_refresh(self) -> None:
        """A refresh at one node is followed by all, and told to their routers."""
        one, two, three = self.nodes
        self.offer(one, "v1")
        self.write("app", {"v1": 1})

        self.call(two, "refresh", ["app"])
        self.pass_time(1)

        for node in self.nodes:
            self.assertEqual(self.found(node, "app"), ["192.0.2.1"])
        self.assertEqual(len(three.locator._groups.rings()["app"]), 256)

    def test_refresh_is_not_told_on(self) -> None:
        """Who follows a refresh tells nobody: each storage is read once by each."""
        self.write("app", {"v1": 1})
        self.core.reads.clear()

        self.call(self.nodes[0], "refresh", ["app"])
        self.pass_time(3)

        self.assertEqual(self.core.reads, [("groups", "app")] * 3)

    def test_refresh_fails_elsewhere(self) -> None:
        """A storage that fails at others is asked again until it answers."""
        self.write("app", {"v1": 1})
        self.call(self.nodes[0], "refresh", ["app"])
        self.core.refused["find"] = StorageError(5, "disk is broken")
        self.pass_time(3)
        self.assertEqual(self.nodes[1].locator._groups.rings(), {})

        del self.core.refused["find"]
        self.pass_time(40)

        self.assertEqual(list(self.nodes[1].locator._groups.rings()), ["app"])

    def test_missed_refresh(self) -> None:
        """A node that was cut off follows what it has missed, once it is back."""
        self.network.cut()
        self.write("app", {"v1": 1})
        self.call(self.nodes[0], "refresh", ["app"])

        self.pass_time(10)

        for node in self.nodes:
            self.assertEqual(list(node.locator._groups.rings()), ["app"])

    def write(self, group: str, weights: dict[str, int]) -> None:
        """Store a routing group."""
        self.successResultOf(
            self.core.write("groups", group, pack(weights), ("group", "active"))
        )

    def test_all_stop(self) -> None:
        """Nodes that stop leave nothing behind that would still happen."""
        stopping = [node.stop() for node in self.nodes]
        self.network.flush()
        for stopped in stopping:
            self.successResultOf(stopped)

        self.assertEqual(self.network.getDelayedCalls(), [])


class HostileTests(ClusterCase):
    """A node that listens to something that is no honest node."""

    def hear(self, *answers: bytes) -> RawFactory:
        """Listen to a server that answers ``connect`` like this."""

        def react(frame: Any) -> bytes:
            channel, kind = frame[:2]
            if kind == 6:
                return reply(channel, 0, "hostile")
            return b"".join(answers) if kind == 1 else b""

        factory = RawFactory(react)
        self.network.listeners["192.0.2.9", PORT] = factory
        self.two = self.node(2, 9)
        self.pass_time(3)
        return factory

    def check(self, part: str) -> None:
        """Nothing is known of it, and the report says why."""
        self.assertFalse(self.knows(self.two, "app"))
        link = self.two.locator.report()["links"]["hostile"]
        self.assertIn(part, link["error"])
        self.assertGreater(link["attempts"], 1)
        self.assertEqual(self.links(self.two), {"hostile": ["0.0.0.0", 0]})

    def test_honest(self) -> None:
        """One that says what a node says is heard."""
        app = {"app": [[["192.0.2.9", 1]], 1, {}]}
        self.hear(reply(1, 0, "hostile", app))

        self.assertEqual(self.found(self.two, "app"), ["192.0.2.9"])

    def test_other_name(self) -> None:
        """One that calls itself otherwise is not."""
        self.hear(reply(1, 0, "other", {"app": [[["192.0.2.9", 1]], 1, {}]}))

        self.check("the node there is other")

    def test_garbage(self) -> None:
        """Nor one that says things that are no announcement."""
        self.hear(reply(1, 0, "hostile", [1, 2]))

        self.check("no map")

    def test_half_garbage(self) -> None:
        """Of a message with one bad entry nothing is believed."""
        good = [[["192.0.2.9", 1]], 1, {}]
        self.hear(reply(1, 0, "hostile", {"app": good, "bad": 5}))

        self.check("'bad' is not announced as")

    def test_no_frames(self) -> None:
        """Nor one that speaks something else."""
        self.hear(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        self.check("frame")

    def test_error(self) -> None:
        """One that refuses is tried again later."""
        self.hear(reply(1, 1, [10, 1], "go away"))

        self.check("[10, 1] go away")

    def test_strange_message(self) -> None:
        """So is one that sends what a stream does not have."""
        self.hear(reply(1, 7))

        self.check("message 7 is none of connect's")

    def test_close(self) -> None:
        """And one that has no cluster: it says so at once."""
        self.hear(reply(1, 2))

        self.check("tells nothing more")

    def test_then_close(self) -> None:
        """What one had said before it closed is forgotten."""
        app = {"app": [[["192.0.2.9", 1]], 1, {}]}
        factory = self.hear(reply(1, 0, "hostile", app), reply(1, 2))

        self.check("tells nothing more")
        self.assertLess(len(factory.raw), 10)

    def test_giant(self) -> None:
        """A claim of more services than any node has is refused at its head."""
        head = bytes.fromhex("93010092a7") + b"hostile" + b"\xdf\xff\xff\xff\xff"
        self.hear(head)

        self.check("")

    def test_duplicates(self) -> None:
        """Of a name that comes twice in one message the later one counts."""
        entry = pack([[["192.0.2.9", 1]], 1, {}])
        later = pack([[["192.0.2.8", 1]], 1, {}])
        args = b"\x92" + pack("hostile") + b"\x82"
        args += pack("app") + entry + pack("app") + later
        self.hear(b"\x94\x01\x00" + args + UNTRACED)

        self.assertEqual(self.found(self.two, "app"), ["192.0.2.8"])

    def test_unasked(self) -> None:
        """Frames on channels that nobody opened are passed over."""
        app = {"app": [[["192.0.2.9", 1]], 1, {}]}
        self.hear(reply(5, 0, "x"), reply(1, 0, "hostile", app))

        self.assertEqual(self.found(self.two, "app"), ["192.0.2.9"])


@implementer(ICluster, IReporter)
class ScriptedCluster(Component[NoArgs]):
    """A plugin that does what a test says."""

    outcome: Any = None
    ending: Deferred[None] | None = None

    def __init__(self, node: INode, name: str, args: NoArgs) -> None:
        super().__init__(node, name, args)
        self.life: list[str] = []

    def attach(self, links: ILinks) -> None:
        self.links = links
        self.life.append("attach")

    def start(self) -> Deferred[None] | None:
        self.life.append("start")
        if isinstance(self.outcome, Exception):
            raise self.outcome
        found: Deferred[None] | None = self.outcome
        return found

    def stop(self) -> Deferred[None] | None:
        self.life.append("stop")
        return self.ending

    def report(self) -> Mapping[str, Any]:
        return {"nodes": 0}


class PluginTests(LogCase):
    """The life of a cluster plugin."""

    def setUp(self) -> None:
        node: Any = MemoryNode()
        node.component = self.component
        self.node = node
        self.plugin: Any = None

    def component(self, category: str, type: str, name: str, args: Any) -> Any:
        """Build the plugin."""
        self.built = category, type, name
        self.plugin = ScriptedCluster(self.node, name, NoArgs())
        return self.plugin

    def build(self) -> Neighbourhood:
        """Make the neighbourhood of a locator."""
        return Neighbourhood(
            self.node,
            "locator",
            MemoryGateway(),
            ComponentConfig(type="scripted"),
            Pace(),
            {},
            (),
            lambda names: None,
        )

    def test_life(self) -> None:
        """It is attached when built, and started once."""
        around = self.build()
        self.assertEqual(self.built, ("cluster", "scripted", "locator:cluster"))
        self.assertIs(self.plugin.links, around.links)

        around.begin()
        around.begin()
        self.successResultOf(around.stop())
        self.successResultOf(around.stop())

        self.assertEqual(self.plugin.life, ["attach", "start", "stop"])

    def test_never_started(self) -> None:
        """One that never was started is not stopped."""
        self.successResultOf(self.build().stop())

        self.assertEqual(self.plugin.life, ["attach"])

    def test_refuses(self) -> None:
        """One that refuses at once keeps the node from starting, and is stopped."""
        around = self.build()
        self.plugin.outcome = CocainedError("no such group")

        self.assertRaises(CocainedError, around.begin)

        self.successResultOf(around.stop())
        self.assertEqual(self.plugin.life[-1], "stop")

    def test_fails_later(self) -> None:
        """One that fails later is logged, and the report says what to do."""
        around = self.build()
        self.plugin.outcome = fail(CocainedError("nobody answers"))

        around.begin()

        self.assertEqual(len(self.flushLoggedErrors(CocainedError)), 1)
        self.assertIn("nobody answers", around.report()["problem"])

    def test_starts_later(self) -> None:
        """One that takes its time is no problem."""
        around = self.build()
        self.plugin.outcome = succeed(None)

        around.begin()

        self.assertEqual(around.report()["problem"], "")
        self.assertEqual(around.report()["discovery"], {"type": "scripted", "nodes": 0})

    def test_stop_fails(self) -> None:
        """One that cannot be stopped in order is logged; the rest is let go."""
        around = self.build()
        around.begin()
        self.plugin.ending = fail(ZeroDivisionError())

        self.successResultOf(around.stop())

        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
