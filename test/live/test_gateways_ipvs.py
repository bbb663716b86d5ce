# -*- test-case-name: cocained.test.live.test_gateways_ipvs -*-
"""
The gateway ``ipvs`` and the kernel's balancer, in a guest: its real servers
listen on the loopback of this machine.
"""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from cocained.test.live.conversations import Conversation, NamedServer, count
from cocained.test.live.guest import (
    ADDRESS,
    HOST,
    PATIENCE,
    SHARED,
    GuestBalancer,
    shared,
)
from cocained.test.live.support import LOOPBACK, live_reason, wait_for

#: Entries of somebody else: another port, another protocol, a firewall mark.
FOREIGN = (
    f"-A -t {ADDRESS}:443 -s rr\n"
    f"-a -t {ADDRESS}:443 -r 192.0.2.1:443 -m -w 1\n"
    f"-A -u {ADDRESS}:{SHARED[0]} -s rr\n"
    "-A -f 7 -s rr\n"
)


class _GuestCase(SynchronousTestCase):
    """A guest, and two servers."""

    skip = live_reason()

    def setUp(self) -> None:
        self.guest = shared()
        self.first, self.second = self.servers = [
            NamedServer(name, LOOPBACK) for name in ("first", "second")
        ]
        for server in self.servers:
            self.addCleanup(server.close)

    def table(self) -> str:
        """Give the kernel's table."""
        return self.guest.run("ipvsadm -S -n")

    def lines(self, part: str) -> list[str]:
        """Give the lines of the table in which *part* is."""
        return [line for line in self.table().splitlines() if part in line]

    def wait_for_line(self, part: str) -> None:
        """Wait until there is such a line in the table."""
        wait_for(f"{part} in the table", lambda: self.lines(part), PATIENCE)

    def announce(
        self, balancer: GuestBalancer, name: str, *weights: int
    ) -> tuple[str, int]:
        """Announce a service at the servers; give its endpoint as seen from here."""
        for server, weight in zip(self.servers, weights, strict=True):
            balancer.consume(
                f"{server.name} of {self.id()}",
                name,
                (HOST, server.port),
                extra={"x-cocained-weight": weight},
            )
            self.addCleanup(balancer.cleanup, f"{server.name} of {self.id()}")
        (virtual,) = balancer.resolve(name)
        balancer.settle()
        self.assertEqual(virtual[0], ADDRESS)
        return self.outside(virtual)

    def outside(self, virtual: tuple[str, int]) -> tuple[str, int]:
        """Give the endpoint that leads to one of the guest."""
        return LOOPBACK, self.guest.ports[virtual[1]]


class WorkTests(_GuestCase):
    """One gateway at its work; each test has a service of its own."""

    #: A start takes seconds there.
    ARGS = {
        "scheduler": "wrr",
        "drain": 2.0,
        "audit": 1.0,
        "probe": {"interval": 0.3, "timeout": 2.0},
    }

    def setUp(self) -> None:
        super().setUp()
        self.balancer = self.guest.balancer(self.ARGS)
        self.assertEqual(self.balancer.began, "ready")

    def test_weights(self) -> None:
        """Connections are shared as the weights say (rows 52, 123, 128, 264)."""
        endpoint = self.announce(self.balancer, "weights", 1, 3)

        self.assertEqual(count(40, endpoint), Counter(first=10, second=30))

    def test_withdrawn(self) -> None:
        """
        A server that is withdrawn gets no new connections and keeps its old ones
        for a while; then it is gone.
        """
        endpoint = self.announce(self.balancer, "withdrawn", 1, 1)
        talks = {talk.server: talk for talk in map(Conversation, [endpoint] * 2)}
        for talk in talks.values():
            self.addCleanup(talk.close)
        self.assertEqual(talks.keys(), {"first", "second"})

        self.balancer.cleanup(f"second of {self.id()}")
        second = f"{HOST}:{self.second.port} -m -w "
        self.wait_for_line(f"{second}0")
        for talk in talks.values():
            self.assertEqual(talk.echo("still here"), "still here")
        self.assertEqual(count(10, endpoint), Counter(first=10))

        wait_for("it is gone", lambda: not self.lines(second), PATIENCE)
        self.assertEqual(talks["first"].echo("and here"), "and here")

    def test_dead(self) -> None:
        """A server that refuses is taken out, and back in when it accepts again."""
        endpoint = self.announce(self.balancer, "dead", 1, 1)

        self.second.refuse()
        second = f"{HOST}:{self.second.port} -m -w "
        self.wait_for_line(f"{second}0")
        self.assertEqual(count(10, endpoint), Counter(first=10))

        self.second.accept()
        self.wait_for_line(f"{second}1")
        self.assertEqual(count(10, endpoint), Counter(first=5, second=5))

    def test_port(self) -> None:
        """A service that nobody has keeps its port for the next one that does."""
        endpoint = self.announce(self.balancer, "port", 1, 1)
        for server in self.servers:
            self.balancer.cleanup(f"{server.name} of {self.id()}")
        self.balancer.wait_until_gone("port")

        self.assertEqual(self.announce(self.balancer, "port", 1, 1), endpoint)
        self.assertEqual(count(2, endpoint), Counter(first=1, second=1))

    def test_emptied(self) -> None:
        """What somebody has cleared comes back by itself."""
        endpoint = self.announce(self.balancer, "emptied", 1, 1)

        self.guest.run("ipvsadm -C")
        self.wait_for_line(f"{HOST}:{self.second.port} -m -w 1")

        self.assertEqual(count(10, endpoint), Counter(first=5, second=5))

    def test_in_the_way(self) -> None:
        """A virtual service of others is not touched; the report says what to do."""
        others = [f"-t {ADDRESS}:{port}" for port in range(*SHARED)]
        taken = [each for each in others if not self.lines(f"-A {each} ")]
        for each in taken:
            self.guest.run(f"ipvsadm -A {each} -s wlc")
        self.addCleanup(
            self.guest.run, "; ".join(f"ipvsadm -D {each}" for each in taken)
        )

        for number in range(4):
            self.balancer.consume(self.id(), f"way{number}", (HOST, self.first.port))
        self.addCleanup(self.balancer.cleanup, self.id())
        self.balancer.settle()

        problem = self.balancer.ask("report")["problem"]
        self.assertIn("is not ours; remove it there", problem)
        for each in taken:
            self.assertEqual(self.lines(f"{each} "), [f"-A {each} -s wlc"])


class StartTests(_GuestCase):
    """How a gateway begins and how it ends."""

    def test_tidy(self) -> None:
        """
        What a run left that was killed is gone when the next one is ready, and
        at the end all of ours is gone; all of others is as it was.
        """
        self.guest.silence()
        rules = FOREIGN.replace("\n", "\\n")
        self.guest.run(f"printf -- '{rules}' | ipvsadm -R")
        self.addCleanup(self.guest.run, "ipvsadm -C")
        before = self.table()
        killed = self.guest.balancer({"scheduler": "sh"})
        killed.consume("a", "killed", (HOST, self.first.port))
        (virtual,) = killed.resolve("killed")
        self.assertEqual(count(1, self.outside(virtual)), Counter(first=1))
        killed.kill()
        self.assertNotEqual(self.table(), before)

        again = self.guest.balancer({"scheduler": "wlc"})

        self.assertEqual(again.began, "ready")
        self.assertEqual(self.table(), before)
        again.consume("a", "again", (HOST, self.first.port))
        again.resolve("again")
        self.assertNotEqual(self.table(), before)
        again.stop()
        self.assertEqual(self.table(), before)
        self.assertEqual(self.guest.run("ls /run/cocained | grep -v lock; true"), "")

    def test_no_scheduler(self) -> None:
        """A scheduler that the kernel does not have ends the start (row 57)."""
        balancer = self.guest.balancer({"scheduler": "nope"})

        self.assertIn(
            "Scheduler or persistence engine not found", balancer.began["error"]
        )
        self.assertIn("modprobe ip_vs_NAME", balancer.began["error"])
