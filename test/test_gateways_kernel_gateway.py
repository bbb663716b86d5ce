# -*- test-case-name: cocained.test.test_gateways_kernel_gateway -*-
"""
The gateways whose choices the kernel makes, in front of a kernel in memory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cocained.config import convert
from cocained.errors import CocainedError, ConfigError, InvalidArgument
from cocained.gateways.adhoc import CLUSTER_KEY, DuplicateRemote
from cocained.gateways.kernel import gateway as module
from cocained.gateways.kernel.ipvs import IpvsArgs, IpvsGateway
from cocained.gateways.kernel.nftables import NftablesArgs, NftablesGateway
from cocained.gateways.kernel.program import KernelError
from cocained.interfaces import IReporter
from cocained.repository import Repository
from cocained.test.kernel_case import KernelCase, MemoryKernel
from cocained.test.service_case import LogCase
from cocained.testing import FakeNode
from cocained.testing.contracts import ForwardingContract

GRAPH: Mapping[int, Any] = {0: ("m", {}, {})}
OURS = "-t 127.0.0.1:20000"


class _Settling:
    """A gateway whose announcements take effect at once."""

    node: Any

    def consume(self, *arguments: Any) -> None:
        super().consume(*arguments)  # type: ignore[misc]
        self.node.clock.advance(0)

    def cleanup(self, uuid: str, name: str | None = None) -> None:
        super().cleanup(uuid, name)  # type: ignore[misc]
        self.node.clock.advance(0)


class SettlingIpvs(_Settling, IpvsGateway):
    """See :class:`_Settling`."""


class SettlingNftables(_Settling, NftablesGateway):
    """See :class:`_Settling`."""


class _ContractCase(ForwardingContract, SynchronousTestCase):
    """
    Does what every gateway does that forwards.

    :cvar factory: of the gateway.
    """

    factory: Any = None

    def setUp(self) -> None:
        node = FakeNode(runtime=self.mktemp())
        os.makedirs(node.runtime)
        self.gateway = self.factory(
            node, "locator:gateway", self.factory.Args(), MemoryKernel()
        )
        self.successResultOf(self.gateway.start())
        self.addCleanup(lambda: self.successResultOf(self.gateway.stop()))

    def test_reports(self) -> None:
        """It says how it is."""
        self.assertTrue(verifyObject(IReporter, self.gateway))
        self.assertEqual(self.gateway.report()["problem"], "")


class IpvsContractTests(_ContractCase):
    """The one of IPVS does."""

    factory = SettlingIpvs


class NftablesContractTests(_ContractCase):
    """So does the one of nftables."""

    factory = SettlingNftables


del _ContractCase


class _GatewayCase(LogCase, KernelCase):
    """A gateway that has begun."""

    def begin(self, **args: Any) -> IpvsGateway:
        gateway = self.ipvs(**args)
        self.successResultOf(gateway.start())
        self.addCleanup(lambda: self.successResultOf(gateway.stop()))
        return gateway

    def announce(
        self,
        gateway: IpvsGateway,
        uuid: str = "a",
        name: str = "app",
        endpoints: Sequence[tuple[str, int]] = (("192.0.2.1", 9001),),
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        gateway.consume(uuid, name, endpoints, 1, GRAPH, extra or {})
        self.settle()

    def destinations(self, service: str = OURS) -> dict[str, str]:
        """Give the destinations of a virtual service in the kernel."""
        return self.kernel.services[service][1]


class StartTests(_GatewayCase):
    """How it begins, and how it ends."""

    def test_registered(self) -> None:
        """Both are found under their types."""
        repository = Repository.discover()

        self.assertIs(repository.factory("gateway", "ipvs"), IpvsGateway)
        self.assertIs(repository.factory("gateway", "nftables"), NftablesGateway)

    def test_no_ports(self) -> None:
        """Without shared ports it cannot be built, and says what to set."""
        self.node.directory.has_shared = False

        error = self.assertRaises(ConfigError, self.ipvs)

        self.assertIn("network.shared", str(error))

    def test_cannot_begin(self) -> None:
        """What the machine lacks ends the start; nothing is left, or locked."""
        self.kernel.refusal = "Can't initialize ipvs: Protocol not available"
        gateway = self.ipvs()

        failure = self.failureResultOf(gateway.start(), KernelError)

        self.assertIn("modprobe ip_vs", str(failure.value))
        self.successResultOf(gateway.stop())
        self.kernel.refusal = ""
        self.begin()

    def test_two(self) -> None:
        """A second one in the same directory does not start."""
        self.begin()
        second = self.ipvs()

        failure = self.failureResultOf(second.start(), CocainedError)

        self.assertIn("paths.runtime", str(failure.value))
        self.successResultOf(second.stop())

    def test_stop(self) -> None:
        """At its end nothing is left: entries, ports, timers, files."""
        gateway = self.ipvs(probe={"interval": 5})
        self.successResultOf(gateway.start())
        self.announce(gateway)
        gateway.cleanup("a")

        self.successResultOf(gateway.stop())

        self.assertEqual(self.kernel.listing(), "")
        self.assertEqual(self.node.directory.reserved, {})
        self.assertEqual(self.node.clock.getDelayedCalls(), [])
        self.assertEqual(
            [Path(name).suffix for name in os.listdir(self.node.runtime)], [".lock"]
        )

    def test_cannot_stop(self) -> None:
        """When the kernel does not listen, ports and lock are free nevertheless."""
        gateway = self.ipvs()
        self.successResultOf(gateway.start())
        self.announce(gateway)
        self.kernel.refusal = "no"
        gateway.cleanup("a")

        self.failureResultOf(gateway.stop(), KernelError)

        self.assertEqual(self.node.directory.reserved, {})
        self.kernel.refusal = ""
        self.begin()
        self.assertEqual(self.kernel.listing(), "")

    def test_before_start(self) -> None:
        """What is announced before it has begun is not lost."""
        gateway = self.ipvs()
        self.announce(gateway)
        self.assertIsNone(gateway.resolve("app"))
        self.assertEqual(self.kernel.runs, [])

        self.successResultOf(gateway.start())
        self.settle()

        self.assertIsNotNone(gateway.resolve("app"))
        self.successResultOf(gateway.stop())

    def test_no_forwarding(self) -> None:
        """A machine that passes nothing on is warned of."""
        knob = Path(self.mktemp())
        self.patch(module, "FORWARDING", {False: knob})
        for value, warnings in (("0\n", 1), ("1\n", 0)):
            knob.write_text(value)
            events = self.record_log()
            gateway = self.begin()
            self.successResultOf(gateway.stop())

            texts = [formatEvent(event) for event in events]
            self.assertEqual(
                len([text for text in texts if "net.ipv4.ip_forward" in text]), warnings
            )
            self.assertEqual(gateway.report()["forwards"], not warnings)


class AnnouncementTests(_GatewayCase):
    """What nodes announce, and what becomes of it."""

    def test_virtual(self) -> None:
        """A virtual service has a port of its own name, at addresses of the node."""
        gateway = self.begin()
        self.announce(gateway, endpoints=[("192.0.2.1", 9001), ("2001:db8::1", 9002)])

        answer = gateway.resolve("app")

        assert answer is not None
        self.assertEqual(answer.endpoints, [("127.0.0.1", 20000), ("::1", 20000)])
        self.assertEqual(self.node.directory.reserved, {"app@1:virtual": 20000})
        self.assertEqual(self.destinations(), {"192.0.2.1:9001": "-m -w 1"})
        self.assertEqual(
            self.destinations("-t [::1]:20000"), {"[2001:db8::1]:9002": "-m -w 1"}
        )

    def test_families(self) -> None:
        """Endpoints are given of those families that have a destination."""
        gateway = self.begin()
        self.announce(gateway)

        answer = gateway.resolve("app")

        assert answer is not None
        self.assertEqual(answer.endpoints, [("127.0.0.1", 20000)])

    def test_first_of_each_family(self) -> None:
        """Of several addresses of one family the first counts, on both sides."""
        self.node.directory.hosts = ["fe80::1%eth0", "127.0.0.1", "127.0.0.2"]
        gateway = self.begin()
        self.announce(gateway, endpoints=[("192.0.2.7", 1), ("192.0.2.8", 2)])

        self.assertEqual(list(self.kernel.services), [OURS])
        self.assertEqual(self.destinations(), {"192.0.2.7:1": "-m -w 1"})

    def test_written_as_the_kernel_does(self) -> None:
        """However an address is written, the kernel's table has it as it writes it."""
        gateway = self.begin()
        self.announce(gateway, endpoints=[("2001:DB8:0::0001", 9001)])

        self.assertEqual(
            self.destinations("-t [::1]:20000"), {"[2001:db8::1]:9001": "-m -w 1"}
        )

    def test_weights(self) -> None:
        """A node may say its weight; what is no weight is told and not taken."""
        gateway = self.begin(weight=3)
        events = self.record_log()
        weights = [None, 7, 0, -1, 65536, "7", 1.5, True]
        for number, weight in enumerate(weights, 1):
            extra = {} if weight is None else {"x-cocained-weight": weight}
            self.announce(
                gateway, f"n{number}", endpoints=[("192.0.2.1", number)], extra=extra
            )

        self.assertEqual(
            [more.split()[-1] for more in self.destinations().values()],
            ["3", "7", "0", "3", "3", "3", "3", "3"],
        )
        self.assertEqual(len(events), 5)
        self.announce(gateway, "n4", "other", extra={"x-cocained-weight": -1})
        self.assertEqual(len(events), 5, "a node is told of once")
        gateway.cleanup("n4")
        self.announce(gateway, "n4", extra={"x-cocained-weight": -1})
        self.assertEqual(len(events), 6)
        self.assertIn("no number of 0 to 65535", formatEvent(events[0]))

    def test_cluster(self) -> None:
        """Nodes of another cluster are not heard."""
        gateway = self.begin(**{CLUSTER_KEY: "blue"})
        self.announce(gateway, "a", extra={CLUSTER_KEY: "green"})
        self.announce(gateway, "b")
        self.assertEqual(gateway.report()["services"], 0)

        self.announce(gateway, "c", extra={CLUSTER_KEY: "blue"})

        self.assertEqual(gateway.report()["services"], 1)

    def test_twice(self) -> None:
        """A node that announces a service twice makes a mistake."""
        gateway = self.begin()
        self.announce(gateway)

        self.assertRaises(DuplicateRemote, self.announce, gateway)

    def test_nonsense(self) -> None:
        """What is no address is refused, and takes no port."""
        gateway = self.begin()
        for endpoint in (
            ("example.org", 1),
            ("192.0.2.1", 0),
            ("192.0.2.1", 65536),
            ("192.0.2.1", -1),
            ("192.0.2.1; flush ruleset", 1),
        ):
            self.assertRaises(
                InvalidArgument, self.announce, gateway, endpoints=[endpoint]
            )
        self.assertEqual(self.node.directory.reserved, {})

    def test_no_use(self) -> None:
        """
        A node without an address that one could forward to is skipped; the report
        says so until there is one.
        """
        gateway = self.begin()
        self.announce(gateway)
        mine = ("127.0.0.1", 20000)
        for number, endpoint in enumerate(
            [("0.0.0.0", 1), ("224.0.0.1", 1), ("169.254.0.1", 1), mine]
        ):
            self.announce(gateway, f"n{number}", "other", [endpoint])

        report = gateway.report()
        self.assertEqual(report["unplaced"], ["other"])
        self.assertIn("at no address that this node can forward to", report["problem"])
        self.assertIsNone(gateway.resolve("other"))

        self.announce(gateway, "good", "other")

        self.assertEqual(gateway.report()["problem"], "")

    def test_no_port(self) -> None:
        """Without a port left a service is not balanced; all others are."""
        self.node.directory.free = [20000]
        gateway = self.begin()
        self.announce(gateway)
        self.announce(gateway, name="other")

        self.assertIsNotNone(gateway.resolve("app"))
        self.assertIsNone(gateway.resolve("other"))
        self.assertEqual(gateway.report()["unplaced"], ["other"])
        self.assertIn("no port for", gateway.report()["problem"])

    def test_port_of_an_idle_one(self) -> None:
        """A service that nobody has gives its port to one that somebody has."""
        self.node.directory.free = [20000]
        gateway = self.begin()
        self.announce(gateway)
        gateway.cleanup("a")

        self.announce(gateway, name="other")

        answer = gateway.resolve("other")
        assert answer is not None
        self.assertEqual(answer.endpoints, [("127.0.0.1", 20000)])
        self.assertIsNone(gateway.resolve("app"))
        self.assertEqual(self.node.directory.reserved, {"other@1:virtual": 20000})

    def test_idle_limit(self) -> None:
        """So many services are kept that nobody has; the longest unused one goes."""
        self.patch(module, "IDLE_LIMIT", 2)
        gateway = self.begin()
        for name in ("one", "two", "three"):
            self.announce(gateway, name=name)
            gateway.cleanup("a", name)
        self.settle()

        self.assertEqual(
            list(self.node.directory.reserved), ["two@1:virtual", "three@1:virtual"]
        )
        self.assertEqual(
            list(self.kernel.services),
            [
                f"-t {host}:{port}"
                for port in (20001, 20002)
                for host in ("127.0.0.1", "[::1]")
            ],
        )

    def test_copies_limit(self) -> None:
        """So many nodes may carry one service."""
        self.patch(module, "COPIES_LIMIT", 2)
        gateway = self.begin()
        for number in range(1, 4):
            self.announce(gateway, f"n{number}", endpoints=[("192.0.2.1", number)])

        self.assertEqual(len(self.destinations()), 2)
        self.assertIn("more than 2 nodes carry 'app'", gateway.report()["problem"])

    def test_unplaced_and_gone(self) -> None:
        """What is not there any more is no problem any more."""
        self.node.directory.free = []
        gateway = self.begin()
        self.announce(gateway)
        self.announce(gateway, name="other")

        gateway.cleanup("a", "other")
        self.assertEqual(gateway.report()["unplaced"], ["app"])
        gateway.cleanup("a")

        self.assertEqual(gateway.report()["problem"], "")


class ForceTests(_GatewayCase):
    """When an answer is given."""

    def test_not_yet(self) -> None:
        """A service is nowhere until the kernel forwards to it."""
        gateway = self.begin()
        self.kernel.slow = True
        self.announce(gateway)
        self.assertIsNone(gateway.resolve("app"))
        self.assertTrue(gateway.report()["pending"])

        self.kernel.go_on()
        self.assertIsNone(gateway.resolve("app"))
        self.kernel.go_on()

        self.assertIsNotNone(gateway.resolve("app"))
        self.assertFalse(gateway.report()["pending"])
        self.kernel.slow = False

    def test_not_any_more(self) -> None:
        """It is nowhere as soon as the last node withdraws it."""
        gateway = self.begin()
        self.announce(gateway)
        self.kernel.slow = True

        gateway.cleanup("a")

        self.assertIsNone(gateway.resolve("app"))
        self.settle()
        self.kernel.go_on()
        self.kernel.slow = False

    def test_failure(self) -> None:
        """What the kernel refuses is in the report, and is tried again."""
        gateway = self.begin()
        self.kernel.refusal = "Memory allocation problem"
        self.announce(gateway)
        self.assertIsNone(gateway.resolve("app"))
        self.assertIn("Memory allocation problem", gateway.report()["problem"])
        self.kernel.refusal = ""

        self.node.clock.pass_time(1)

        self.assertIsNotNone(gateway.resolve("app"))
        self.assertEqual(gateway.report()["problem"], "")

    def test_burst(self) -> None:
        """A whole cluster at once is two runs: one to read, one to write."""
        gateway = self.begin()
        self.kernel.runs.clear()
        for number in range(60):
            gateway.consume(
                f"n{number % 20}",
                f"app{number}",
                [("192.0.2.1", 1 + number)],
                1,
                GRAPH,
                {},
            )

        self.settle()

        self.assertEqual(len(self.kernel.runs), 2)
        self.assertEqual(len(self.kernel.services), 120)

    def test_no_weight(self) -> None:
        """A service all of whose nodes have a weight of 0 is nowhere."""
        gateway = self.begin()
        self.announce(gateway, extra={"x-cocained-weight": 0})

        self.assertIsNone(gateway.resolve("app"))

    def test_report(self) -> None:
        """It counts what there is."""
        gateway = self.begin()
        self.announce(gateway, "a")
        self.announce(gateway, "b", endpoints=[("192.0.2.2", 1)])
        self.announce(gateway, "a", "other")

        report = gateway.report()

        self.assertEqual((report["services"], report["destinations"]), (2, 3))
        self.assertEqual(report["runs"], 3)


class DepartureTests(_GatewayCase):
    """How destinations leave."""

    def test_drained(self) -> None:
        """One that is withdrawn keeps its connections for so many seconds."""
        gateway = self.begin(drain=10)
        self.announce(gateway)
        gateway.cleanup("a")
        self.settle()
        self.assertEqual(self.destinations(), {"192.0.2.1:9001": "-m -w 0"})
        self.node.clock.pass_time(9.9)
        self.assertEqual(self.destinations(), {"192.0.2.1:9001": "-m -w 0"})

        self.node.clock.pass_time(0.1)

        self.assertEqual(self.destinations(), {})

    def test_several(self) -> None:
        """Each goes at its own time."""
        gateway = self.begin(drain=10)
        self.announce(gateway, "a")
        self.announce(gateway, "b", endpoints=[("192.0.2.2", 1)])
        gateway.cleanup("a")
        self.node.clock.pass_time(4)
        gateway.cleanup("b")

        self.node.clock.pass_time(6)
        self.assertEqual(list(self.destinations()), ["192.0.2.2:1"])
        self.node.clock.pass_time(4)
        self.assertEqual(list(self.destinations()), [])

    def test_at_once(self) -> None:
        """With 0 it goes at once."""
        gateway = self.begin(drain=0)
        self.announce(gateway)

        gateway.cleanup("a")
        self.settle()

        self.assertEqual(self.destinations(), {})

    def test_dead(self) -> None:
        """One that does not answer gets nothing, until it answers."""
        gateway = self.begin()
        self.announce(gateway)
        events = self.record_log()

        gateway.target_down(("192.0.2.1", 9001), "Connection refused")
        self.settle()
        self.assertEqual(self.destinations(), {"192.0.2.1:9001": "-m -w 0"})
        self.assertIsNone(gateway.resolve("app"))
        self.assertEqual(gateway.report()["down"], ["192.0.2.1:9001"])
        gateway.target_up(("192.0.2.1", 9001))
        self.settle()

        self.assertEqual(self.destinations(), {"192.0.2.1:9001": "-m -w 1"})
        self.assertIsNotNone(gateway.resolve("app"))
        self.assertIn("Connection refused", formatEvent(events[0]))
        self.assertEqual(len(events), 2)

    def test_probed(self) -> None:
        """Every destination is probed as long as somebody announces it."""
        gateway = self.begin(probe={"interval": 5})
        self.announce(gateway, "a")
        self.announce(gateway, "b")
        self.assertEqual(len(gateway._health), 1)
        gateway.cleanup("a")
        self.assertEqual(len(gateway._health), 1)

        gateway.cleanup("b")

        self.assertEqual(len(gateway._health), 0)

    def test_probing_by_default(self) -> None:
        """Probes are on unless the file says null."""
        for args in (IpvsArgs, NftablesArgs):
            probe = convert({}, args).probe
            assert probe is not None
            self.assertEqual((probe.interval, probe.timeout), (5.0, 1.0))
            self.assertIsNone(convert({"probe": None}, args).probe)
