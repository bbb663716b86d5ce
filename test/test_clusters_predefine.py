# -*- test-case-name: cocained.test.test_clusters_predefine -*-
"""
Nodes that stand in the configuration.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cocained.clusters.predefine import (
    NODE_LIMIT,
    PredefineArgs,
    PredefineCluster,
    parse_address,
)
from cocained.config import convert
from cocained.errors import ConfigError
from cocained.interfaces import IReporter
from cocained.repository import Repository
from cocained.test.memory_network import MemoryNetwork, RawFactory, reply
from cocained.test.service_case import LogCase
from cocained.testing import MemoryLinks
from cocained.testing.contracts import ClusterContract

A = "11111111-2222-4333-8444-555555555555"
B = "99999999-2222-4333-8444-555555555555"
AT_A = ("192.0.2.1", 10053)
AT_B = ("192.0.2.2", 10053)


class NetworkStub:
    """As much of a node as the plugin uses."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.reactor = network
        self.wiring = network.wiring


class PredefineCase(LogCase):
    """The plugin of a node in a network of machines."""

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.links = MemoryLinks("me", [("127.0.0.1", 10053)])
        self.answers: dict[tuple[str, int], bytes] = {}
        self.servers: dict[tuple[str, int], RawFactory] = {}

    def build(self, nodes: Any, interval: float = 5.0) -> PredefineCluster:
        """Build the plugin."""
        args = convert({"nodes": nodes, "interval": interval}, PredefineArgs)
        stub: Any = NetworkStub(self.network)
        return PredefineCluster(stub, "locator:cluster", args)

    def start(self, nodes: Any, interval: float = 5.0) -> PredefineCluster:
        """Build and start the plugin."""
        cluster = self.build(nodes, interval)
        cluster.attach(self.links)
        self.assertIsNone(cluster.start())
        self.network.flush()
        return cluster

    def serve(self, address: tuple[str, int], uuid: str) -> None:
        """Let a node be at an address."""
        self.answers[address] = uuid.encode()
        if address not in self.servers:
            self.servers[address] = RawFactory(
                lambda frame: reply(frame[0], 0, self.answers[address])
            )
        self.network.listeners[address] = self.servers[address]


class _ContractCase(PredefineCase):
    """Whatever is configured, there is one node to be found."""

    nodes: Any = ["192.0.2.1:10053"]

    def setUp(self) -> None:
        super().setUp()
        self.serve(AT_A, A)
        self.cluster = self.build(self.nodes)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in the network."""
        for _ in range(int(seconds)):
            self.network.pass_time(1.0)


class UnnamedContractTests(_ContractCase, ClusterContract):
    """The contract, with addresses only."""


class NamedContractTests(_ContractCase, ClusterContract):
    """The contract, with uuids."""

    nodes = {A: "192.0.2.1:10053"}


class NamedTests(PredefineCase):
    """Nodes with their uuids, as the original wants them."""

    def test_interfaces(self) -> None:
        """It reports, besides."""
        self.assertTrue(verifyObject(IReporter, self.start({})))

    def test_linked(self) -> None:
        """All are linked at once, and again with each interval."""
        self.start({A: "192.0.2.1:10053", B: "node-b.example:7"})
        first = self.links.take()

        self.network.pass_time(5.0)

        self.assertEqual(first, [("link", A, AT_A), ("link", B, ("node-b.example", 7))])
        self.assertEqual(self.links.take(), first)
        self.assertEqual(self.network.attempts, [])

    def test_interval(self) -> None:
        """The interval is what the configuration says."""
        self.start({A: "192.0.2.1:10053"}, interval=60)
        self.links.take()

        self.network.pass_time(59.9)
        self.assertEqual(self.links.take(), [])
        self.network.pass_time(0.1)
        self.assertEqual(len(self.links.take()), 1)

    def test_stop(self) -> None:
        """A plugin that has stopped says nothing more."""
        cluster = self.start({A: "192.0.2.1:10053"})
        self.links.take()

        for _ in range(2):
            stopped = cluster.stop()
            assert stopped is not None
            self.successResultOf(stopped)
        self.network.pass_time(60.0)

        self.assertEqual(self.links.take(), [])
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_report(self) -> None:
        """An operator sees whom it looks for."""
        cluster = self.start({A: "[::1]:7"})

        self.assertEqual(
            cluster.report(),
            {"interval": 5.0, "nodes": {"[::1]:7": {"uuid": A, "error": ""}}},
        )


class UnnamedTests(PredefineCase):
    """Nodes of which only the addresses are known."""

    def test_asked(self) -> None:
        """Whoever is there is asked who he is, and linked under that uuid."""
        self.serve(AT_A, A)

        cluster = self.start(["192.0.2.1:10053"])

        self.assertEqual(self.links.take(), [("link", A, AT_A)])
        (raw,) = self.servers[AT_A].raw
        self.assertEqual(raw.frames[0][:3], [1, 6, []])
        self.assertEqual(cluster.report()["nodes"]["192.0.2.1:10053"]["uuid"], A)

    def test_asked_again(self) -> None:
        """He is asked with each interval, over the same connection."""
        self.serve(AT_A, A)
        self.start(["192.0.2.1:10053"])
        self.network.pass_time(5.0)
        self.network.pass_time(5.0)

        self.assertEqual(self.links.take(), [("link", A, AT_A)] * 3)
        self.assertEqual(len(self.servers[AT_A].raw), 1)

    def test_two_addresses(self) -> None:
        """A node that is listed twice has two addresses, and moves to neither."""
        self.serve(AT_A, A)
        self.serve(AT_B, A)

        self.start(["192.0.2.1:10053", "192.0.2.2:10053"])
        self.network.pass_time(5.0)
        self.links.take()
        self.network.pass_time(5.0)

        both = ("link", A, AT_A, AT_B)
        self.assertEqual(self.links.take(), [both, both])

    def test_other_address(self) -> None:
        """One that has left one of its addresses is not dropped at the other."""
        self.serve(AT_A, A)
        self.serve(AT_B, A)
        self.start(["192.0.2.1:10053", "192.0.2.2:10053"])
        self.serve(AT_B, B)

        for _ in range(3):
            self.network.pass_time(5.0)

        self.assertEqual(self.links.nodes, {A: (AT_A,), B: (AT_B,)})
        self.assertNotIn(("drop", A), self.links.take())

    def test_endless_uuid(self) -> None:
        """Who says more than a uuid may have is nobody."""
        self.serve(AT_A, "a" * 256)

        cluster = self.start(["192.0.2.1:10053"])

        self.assertEqual(self.links.take(), [])
        node = cluster.report()["nodes"]["192.0.2.1:10053"]
        self.assertEqual(node["uuid"], "")
        self.assertIn("256 bytes", node["error"])

    def test_not_there_yet(self) -> None:
        """A node that starts later is found later."""
        self.start(["192.0.2.1:10053"])
        self.assertEqual(self.links.take(), [])
        self.serve(AT_A, A)

        self.network.pass_time(5.0)

        self.assertEqual(self.links.take(), [("link", A, AT_A)])

    def test_started_anew(self) -> None:
        """A new uuid is linked at once, the former dropped an interval later."""
        self.serve(AT_A, A)
        self.start(["192.0.2.1:10053"])
        self.network.cut()
        self.serve(AT_A, B)
        self.links.take()

        self.network.pass_time(5.0)
        self.assertEqual(self.links.take(), [("link", B, AT_A)])
        self.network.pass_time(5.0)
        self.assertEqual(self.links.take(), [("drop", A), ("link", B, AT_A)])
        self.network.pass_time(5.0)
        self.assertEqual(self.links.take(), [("link", B, AT_A)])

    def test_back_again(self) -> None:
        """One that is back under its former uuid is not dropped."""
        self.serve(AT_A, A)
        self.start(["192.0.2.1:10053"])
        for uuid in (B, A, A):
            self.serve(AT_A, uuid)
            self.network.pass_time(5.0)

        self.assertNotIn(("drop", A), self.links.take())

    def test_gone(self) -> None:
        """A node that does not answer is left to its link, which tries by itself."""
        self.serve(AT_A, A)
        self.start(["192.0.2.1:10053"])
        del self.network.listeners[AT_A]
        self.network.cut()
        self.links.take()

        self.network.pass_time(20.0)

        self.assertEqual(self.links.take(), [])

    def test_silent(self) -> None:
        """One that never answers is asked anew, over another connection."""
        self.serve(AT_A, A)
        self.servers[AT_A]._react = lambda frame: b""
        cluster = self.start(["192.0.2.1:10053"])

        for _ in range(6):
            self.network.pass_time(5.0)

        self.assertGreater(len(self.servers[AT_A].raw), 1)
        error = cluster.report()["nodes"]["192.0.2.1:10053"]["error"]
        self.assertIn("took longer than 10 s", error)

    def test_told_once(self) -> None:
        """Who is not there is logged once, until he is."""
        events = self.record_log()
        cluster = self.start(["192.0.2.1:10053"])
        self.network.pass_time(5.0)
        self.network.pass_time(5.0)
        (event,) = events
        self.assertIn("nobody at 192.0.2.1:10053", str(formatEvent(event)))

        self.serve(AT_A, A)
        self.network.pass_time(5.0)

        self.assertEqual(cluster.report()["nodes"]["192.0.2.1:10053"]["error"], "")

    def test_no_locator(self) -> None:
        """Something that answers with no uuid is no node."""
        answers: list[Any] = [5, "", [], None]
        while answers:
            self.network = MemoryNetwork()
            self.network.listeners[AT_A] = RawFactory(
                lambda frame: reply(frame[0], 0, answers.pop())
            )
            cluster = self.start(["192.0.2.1:10053"])

            error = cluster.report()["nodes"]["192.0.2.1:10053"]["error"]
            self.assertEqual(error, "it does not say its uuid")
        self.assertEqual(self.links.take(), [])

    def test_fault(self) -> None:
        """A fault of our own is logged with its place, and it is asked again."""
        self.serve(AT_A, A)
        cluster = self.start(["192.0.2.1:10053"])
        (place,) = cluster._places

        place._unknown(Failure(ZeroDivisionError("oops")))

        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.network.pass_time(5.0)
        self.assertEqual(self.links.take(), [("link", A, AT_A)] * 2)

    def test_not_attached(self) -> None:
        """A plugin that nobody listens to does no harm."""
        self.serve(AT_A, A)
        cluster = self.build(["192.0.2.1:10053"])
        cluster.start()
        self.network.flush()
        self.serve(AT_A, B)
        self.network.pass_time(5.0)
        self.network.pass_time(5.0)

        self.assertEqual(cluster.report()["nodes"]["192.0.2.1:10053"]["uuid"], B)

    def test_stop_while_asking(self) -> None:
        """A question that is under way is given up."""
        self.network.listeners[AT_A] = None
        events = self.record_log()
        cluster = self.start(["192.0.2.1:10053"])

        stopped = cluster.stop()
        self.network.pass_time(30.0)

        assert stopped is not None
        self.successResultOf(stopped)
        self.assertEqual((self.network.getDelayedCalls(), events), ([], []))

    def test_stop_when_linked(self) -> None:
        """Connections are closed."""
        self.serve(AT_A, A)
        self.serve(AT_B, B)
        cluster = self.start(["192.0.2.1:10053", "192.0.2.2:10053"])

        stopped = cluster.stop()
        self.network.flush()

        assert stopped is not None
        self.successResultOf(stopped)
        self.assertTrue(self.servers[AT_A].raw[0].lost)
        self.assertTrue(self.servers[AT_B].raw[0].lost)
        self.assertEqual(self.network.getDelayedCalls(), [])


class ArgumentTests(SynchronousTestCase):
    """What may stand in the file."""

    def refused(self, args: Any) -> str:
        """Give why these arguments are refused."""
        error = self.assertRaises(ConfigError, convert, args, PredefineArgs, "args")
        return str(error)

    def test_required(self) -> None:
        """Without nodes there is nothing to do."""
        self.assertIn("nodes", self.refused({}))

    def test_bad_addresses(self) -> None:
        """Each bad address is named with its place."""
        text = self.refused({"nodes": {A: "nowhere", B: "host:0"}})
        self.assertIn(f"args.nodes.{A}: must be host:port", text)
        self.assertIn(f"args.nodes.{B}: 0 is no port", text)
        text = self.refused({"nodes": ["192.0.2.1:10053", "::1:10053"]})
        self.assertIn("args.nodes[1]: must be host:port", text)

    def test_twice(self) -> None:
        """Two nodes have not one address."""
        text = self.refused({"nodes": ["h:1", "h:1"]})

        self.assertIn("args.nodes[1]: is the address of 0 as well", text)

    def test_too_many(self) -> None:
        """There is a limit to what one writes into a file."""
        text = self.refused({"nodes": [f"h:{n}" for n in range(1, NODE_LIMIT + 2)]})

        self.assertIn("the limit is 1024", text)

    def test_interval(self) -> None:
        """The interval is a time."""
        for interval in (0, -1, 100_000):
            text = self.refused({"nodes": [], "interval": interval})
            self.assertIn("interval", text)

    def test_other_types(self) -> None:
        """Nodes are strings in a list or a map."""
        for nodes in (5, "h:1", [5], {A: 5}, None):
            self.assertIn("nodes", self.refused({"nodes": nodes}))

    def test_both_names(self) -> None:
        """The original calls it ``predefine``, its documents ``predefined``."""
        repository = Repository.discover()
        for name in ("predefine", "predefined"):
            self.assertIs(repository.factory("cluster", name), PredefineCluster)


class AddressTests(SynchronousTestCase):
    """``host:port``."""

    def test_forms(self) -> None:
        """Names, and numbers of both families."""
        for text, address in {
            "node-1.example.org:10053": ("node-1.example.org", 10053),
            "192.0.2.1:1": ("192.0.2.1", 1),
            "[2001:db8::1]:65535": ("2001:db8::1", 65535),
            "[fe80::1%eth0]:7": ("fe80::1%eth0", 7),
        }.items():
            self.assertEqual(parse_address(text), address)

    def test_refused(self) -> None:
        """Everything else."""
        bad = ["", "host", ":1", "host:", "h:x", "h:65536", "h:99999", "a b:1"]
        bad += ["[::1]", "::1:1", "[h]:1:1", "h/x:1", "h:-1", "h:1\n"]
        for text in bad:
            self.assertRaises(ValueError, parse_address, text)

    @given(st.text(max_size=30))
    def test_anything(self, text: str) -> None:
        """Whatever is written: an address with a port, or an error."""
        try:
            host, port = parse_address(text)
        except ValueError:
            return
        self.assertTrue(host and 0 < port < 65536)
