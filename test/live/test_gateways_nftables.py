# -*- test-case-name: cocained.test.live.test_gateways_nftables -*-
"""
The gateway ``nftables`` and the kernel: machines on a bridge, one of which
forwards what another asks for to the other two.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.test.live.balancing import PATIENCE, Balancer
from cocained.test.live.cluster_case import lab_for
from cocained.test.live.conversations import Conversation, NamedServer, count
from cocained.test.live.support import live_reason, missing, wait_for
from cocained.testing.lab import Host, LabError
from cocained.testing.programs import require

#: The ports that the director has for virtual services.
SHARED = [20000, 20020]


class _LabCase(SynchronousTestCase):
    """
    A client, a director with a gateway, and two servers.

    :cvar args: of the gateway.
    """

    skip = live_reason()
    args: dict[str, Any] = {}

    def setUp(self) -> None:
        lab = lab_for(self, "ck")
        self.client, self.director, self.first, self.second = (
            lab.add_host(name) for name in ("client", "director", "first", "second")
        )
        for family in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            self.director.namespace.set(family, "1")
        self.place = Path(self.mktemp()).absolute()
        self.place.mkdir()

    def serve(self, host: Host, address: str = "") -> NamedServer:
        """Start a server until the test is over."""
        server = NamedServer(host.name, address or host.address, host)
        self.addCleanup(server.close)
        return server

    def balance(self, address: str = "", **args: Any) -> Balancer:
        """Start a gateway on the director until the test is over."""
        balancer = Balancer(
            self.place,
            "nftables",
            {**self.args, **args},
            {"endpoint": address or self.director.address, "shared": SHARED},
            self.director.command([]),
        )
        self.assertEqual(balancer.began, "ready")
        self.addCleanup(balancer.stop)
        return balancer

    def nft(self, *words: str, rules: str = "") -> str:
        """Run nft on the director."""
        return self.director.run(["nft", *words], rules)

    def tables(self) -> list[str]:
        """Give the names of the director's tables."""
        listing = json.loads(self.nft("-j", "list", "tables"))
        return [
            each["table"]["name"] for each in listing["nftables"] if "table" in each
        ]


class BalancingTests(_LabCase):
    """Who gets the connections."""

    def setUp(self) -> None:
        super().setUp()
        self.servers = [self.serve(host) for host in (self.first, self.second)]

    def announce(self, balancer: Balancer, *weights: int) -> tuple[str, int]:
        """Announce the app at both servers; give its virtual endpoint."""
        for server, weight in zip(self.servers, weights, strict=True):
            balancer.consume(
                server.name,
                "app",
                server.endpoint,
                extra={"x-cocained-weight": weight},
            )
        (virtual,) = balancer.resolve("app")
        balancer.settle()
        self.assertEqual(virtual[0], self.director.address)
        self.assertIn(virtual[1], range(*SHARED))
        return virtual

    def test_turns(self) -> None:
        """With ``rr`` each gets every other connection, also those of the director."""
        virtual = self.announce(self.balance(scheduler="rr"), 1, 5)

        self.assertEqual(count(40, virtual, self.client), Counter(first=20, second=20))
        self.assertEqual(
            count(40, virtual, self.director), Counter(first=20, second=20)
        )

    def test_weights(self) -> None:
        """With ``wrr`` the one of weight 4 gets most, and the other some."""
        virtual = self.announce(self.balance(), 1, 4)

        found = count(200, virtual, self.client)

        # Seven standard deviations of what chance may do.
        self.assertGreater(found["second"], 160 - 40)
        self.assertGreater(found["first"], 0)

    def test_no_weight(self) -> None:
        """Who has a weight of 0 gets nothing."""
        virtual = self.announce(self.balance(), 1, 0)

        self.assertEqual(count(20, virtual, self.client), Counter(first=20))

    def test_source(self) -> None:
        """With ``sh`` a client stays with its server."""
        virtual = self.announce(self.balance(scheduler="sh"), 1, 1)

        self.assertEqual(len(count(20, virtual, self.client)), 1)

    def test_newer_family(self) -> None:
        """It works the same with the newer address family."""
        self.servers = [
            self.serve(host, host.address6) for host in (self.first, self.second)
        ]
        balancer = self.balance(self.director.address6, scheduler="rr")
        for server in self.servers:
            balancer.consume(server.name, "app", server.endpoint)
        (virtual,) = balancer.resolve("app")
        balancer.settle()

        self.assertEqual(count(20, virtual, self.client), Counter(first=10, second=10))

    def test_open_connections(self) -> None:
        """
        What is open stays where it is while others come and go, and also when its
        own destination is withdrawn.
        """
        balancer = self.balance(scheduler="rr")
        virtual = self.announce(balancer, 1, 1)
        talks = [Conversation(virtual, self.client) for _ in range(4)]
        for talk in talks:
            self.addCleanup(talk.close)
        before = Counter(talk.server for talk in talks)

        balancer.cleanup("second", "app")
        for number in range(20):
            balancer.consume(f"other{number}", f"x{number % 10}", ("10.77.0.9", 9))
            balancer.cleanup(f"other{number}")
            for talk in talks:
                self.assertEqual(talk.echo(f"word {number}"), f"word {number}")
        balancer.settle()

        self.assertEqual(before, Counter(first=2, second=2))
        for talk in talks:
            self.assertEqual(talk.echo("still here"), "still here")
        self.assertEqual(count(10, virtual, self.client), Counter(first=10))

    def test_dead_server(self) -> None:
        """One that refuses gets no connections, until it does not refuse any more."""
        balancer = self.balance(scheduler="rr", probe={"interval": 0.2, "timeout": 1.0})
        virtual = self.announce(balancer, 1, 1)

        self.servers[1].refuse()
        self.wait_for_down(balancer, 1)
        self.assertEqual(count(20, virtual, self.client), Counter(first=20))

        self.servers[1].accept()
        self.wait_for_down(balancer, 0)
        self.assertEqual(count(20, virtual, self.client), Counter(first=10, second=10))

    def wait_for_down(self, balancer: Balancer, number: int) -> None:
        """Wait until so many destinations do not answer, and the kernel knows."""
        wait_for(
            f"{number} are down",
            lambda: len(balancer.ask("report")["down"]) == number,
            PATIENCE,
        )
        balancer.settle()

    def test_last_one(self) -> None:
        """Without a destination there is no answer, and then one at the same port."""
        balancer = self.balance()
        virtual = self.announce(balancer, 1, 1)

        balancer.cleanup("first")
        balancer.cleanup("second")
        balancer.wait_until_gone("app")
        balancer.settle()
        self.assertRaises(ConnectionRefusedError, Conversation, virtual, self.client)

        balancer.consume("third", "app", self.servers[0].endpoint)
        self.assertEqual(balancer.resolve("app"), [virtual])
        self.assertEqual(count(3, virtual, self.client), Counter(first=3))

    def test_restored(self) -> None:
        """What a firewall has flushed comes back by itself."""
        balancer = self.balance(audit=1.0)
        virtual = self.announce(balancer, 1, 1)

        self.nft("flush", "ruleset")
        self.assertEqual(self.tables(), [])

        wait_for("the table is back", self.tables, PATIENCE)
        balancer.settle()
        self.assertEqual(set(count(30, virtual, self.client)), {"first", "second"})


class TidinessTests(_LabCase):
    """What is left, and what is not ours."""

    FOREIGN = (
        "table inet others { chain c { type nat hook prerouting priority 0;"
        " tcp dport 7 accept\n }\n }\n"
    )

    def setUp(self) -> None:
        super().setUp()
        self.server = self.serve(self.first)
        self.nft("-f", "-", rules=self.FOREIGN)
        self.before = self.nft("list", "ruleset")

    def test_end(self) -> None:
        """At its end everything of ours is gone, and all of others is as it was."""
        balancer = self.balance()
        balancer.consume("a", "app", self.server.endpoint)
        balancer.resolve("app")
        self.assertEqual(len(self.tables()), 2)

        balancer.stop()

        self.assertEqual(self.nft("list", "ruleset"), self.before)
        self.assertEqual(
            [path.suffix for path in (self.place / "run").iterdir()], [".lock"]
        )

    def test_killed(self) -> None:
        """What a run left that was killed is gone when the next one is ready."""
        balancer = self.balance()
        balancer.consume("a", "app", self.server.endpoint)
        (virtual,) = balancer.resolve("app")
        balancer.kill()
        self.assertEqual(len(self.tables()), 2)
        self.assertEqual(count(1, virtual, self.client), Counter(first=1))

        again = self.balance()

        listing = self.nft("list", "ruleset")
        self.assertNotIn("dnat ip", listing)
        self.assertRaises(ConnectionRefusedError, Conversation, virtual, self.client)
        again.stop()
        self.assertEqual(self.nft("list", "ruleset"), self.before)

    def test_two(self) -> None:
        """Two nodes with one directory of sockets do not take each other's table."""
        self.balance()

        second = Balancer(
            self.place,
            "nftables",
            {},
            {"endpoint": "127.0.0.1", "shared": SHARED},
            self.director.command([]),
        )

        self.assertIn("another node balances", second.began["error"])
        self.assertEqual(second.hear(), "stopped")
        second.process.wait()
        second.stop()
        self.assertEqual(len(self.tables()), 2)

    def test_no_capability(self) -> None:
        """Without the right to do so it does not start, and says what it needs."""
        try:
            require(["setpriv"])
        except LabError as error:
            raise missing(str(error)) from error

        balancer = Balancer(
            self.place,
            "nftables",
            {},
            {"endpoint": "127.0.0.1", "shared": SHARED},
            ["setpriv", "--inh-caps=-net_admin", "--bounding-set=-net_admin"],
        )

        self.assertIn("Operation not permitted", balancer.began["error"])
        self.assertIn("CAP_NET_ADMIN", balancer.began["error"])
        self.assertEqual(balancer.hear(), "stopped")
        balancer.process.wait()
        balancer.stop()
        self.assertIn(sys.executable, balancer.process.args)
