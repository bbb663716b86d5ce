# -*- test-case-name: cocained.test.test_gateways_health -*-
"""
Targets that do not answer are taken out, and come back.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from cocained.gateways.health import JITTER, PROBES, VOID_LIMIT, Health, ProbeArgs
from cocained.interfaces import IReactor
from cocained.rpc.connection import Address
from cocained.test.memory_network import MemoryNetwork

HERE: Address = ("192.0.2.1", 1001)
THERE: Address = ("192.0.2.2", 1002)

EVERY = ProbeArgs(interval=10.0, timeout=2.0)

#: Longest wait of a target that is down.
LONGEST = 32 * (1 + JITTER)


class Watch:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.news: list[tuple[str, Address]] = []
        self.reasons: list[str] = []

    def target_down(self, target: Address, reason: str) -> None:
        self.news.append(("down", target))
        self.reasons.append(reason)

    def target_up(self, target: Address) -> None:
        self.news.append(("up", target))

    def take(self) -> list[tuple[str, Address]]:
        """Give what is new."""
        news, self.news = self.news, []
        return news


class Server(Factory):
    """Accepts connections and counts those that are open."""

    noisy = False

    def __init__(self) -> None:
        self.accepted = 0
        self.open = 0

    @override
    def buildProtocol(self, addr: object) -> Protocol:
        self.accepted += 1
        self.open += 1
        protocol = Served()
        protocol.server = self
        return protocol


class Served(Protocol):
    """One connection of a :class:`Server`."""

    server: Server

    @override
    def connectionLost(self, reason: object = None) -> None:
        self.server.open -= 1


class HealthCase(SynchronousTestCase):
    """A network, and a watch over it."""

    probe: ProbeArgs | None = EVERY
    chance = 0.5

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.watch = Watch()
        self.health = Health(
            cast(IReactor, self.network), self.watch, self.probe, lambda: self.chance
        )
        self.addCleanup(self.check_stop)

    def check_stop(self) -> None:
        """Nothing runs any more once it has been stopped."""
        self.health.stop()
        # The network in memory forgets a connector when its time is up.
        self.network.pass_time(EVERY.timeout)
        self.assertEqual(self.network.getDelayedCalls(), [])
        self.assertEqual(len(self.health), 0)

    def serve(self, target: Address) -> Server:
        """Let *target* answer."""
        server = self.network.listeners[target] = Server()
        return server

    def pass_time(self, seconds: float) -> None:
        """Let time pass, a tenth of a second at a time."""
        for _ in range(round(seconds * 10)):
            self.network.pass_time(0.1)


class ActiveTests(HealthCase):
    """Targets are probed by themselves."""

    def test_healthy(self) -> None:
        """A target that answers stays up, and is probed once per interval."""
        server = self.serve(HERE)
        self.health.add(HERE)

        self.pass_time(60)

        self.assertEqual(self.watch.take(), [])
        self.assertTrue(self.health.is_up(HERE))
        self.assertEqual(server.accepted, 6)
        self.assertEqual(server.open, 0)

    def test_refuses(self) -> None:
        """A target that refuses is taken out, and the reason told."""
        self.health.add(HERE)

        self.pass_time(10)

        self.assertEqual(self.watch.take(), [("down", HERE)])
        self.assertEqual(len(self.watch.reasons), 1)
        self.assertIn("refused", self.watch.reasons[0])
        self.assertFalse(self.health.is_up(HERE))

    def test_silent(self) -> None:
        """So is one that does not answer within the timeout."""
        self.network.listeners[HERE] = None
        self.health.add(HERE)

        self.pass_time(6.5)
        self.assertEqual(self.watch.take(), [])
        self.pass_time(1)

        self.assertEqual(self.watch.take(), [("down", HERE)])

    def test_comes_back(self) -> None:
        """A target that answers again is back, and is told of once."""
        self.health.add(HERE)
        self.pass_time(10)
        self.watch.take()

        self.serve(HERE)
        self.pass_time(LONGEST)

        self.assertEqual(self.watch.take(), [("up", HERE)])
        self.assertTrue(self.health.is_up(HERE))

    def test_backs_off(self) -> None:
        """Waits double from one second to 32."""
        self.health.add(HERE)
        self.pass_time(200)

        moments = self.attempts_of(HERE)
        waits = [after - before for before, after in pairwise(moments)]

        # Time passes in tenths here.
        self.assertEqual([round(wait) for wait in waits[:7]], [1, 2, 4, 8, 16, 32, 32])

    def attempts_of(self, target: Address) -> list[float]:
        """Start over, and give the seconds at which *target* is asked."""
        moments: list[float] = []
        self.network.attempts.clear()
        self.health.remove(target)
        self.health.add(target)
        for _ in range(2000):
            before = len(self.network.attempts)
            self.network.pass_time(0.1)
            if len(self.network.attempts) > before:
                moments.append(self.network.seconds())
        return moments

    def test_others_are_left_alone(self) -> None:
        """One that is down says nothing of another."""
        self.serve(THERE)
        self.health.add(HERE)
        self.health.add(THERE)

        self.pass_time(20)

        self.assertEqual(self.watch.take(), [("down", HERE)])
        self.assertTrue(self.health.is_up(THERE))

    def test_removed(self) -> None:
        """A target that was removed is not probed, and nothing is told of it."""
        self.health.add(HERE)
        self.health.remove(HERE)

        self.pass_time(60)

        self.assertEqual(self.network.attempts, [])
        self.assertEqual(self.watch.take(), [])

    def test_removed_while_probed(self) -> None:
        """A probe that is going on is given up."""
        self.network.listeners[HERE] = None
        self.health.add(HERE)
        self.pass_time(6)
        self.assertEqual(len(self.network.attempts), 1)

        self.health.remove(HERE)
        self.pass_time(60)

        self.assertEqual(self.watch.take(), [])
        self.assertEqual(len(self.network.attempts), 1)

    def test_shared(self) -> None:
        """Two services at one address are probed as one, until both are gone."""
        server = self.serve(HERE)
        self.health.add(HERE)
        self.health.add(HERE)
        self.health.remove(HERE)

        self.pass_time(10)
        self.assertEqual(server.accepted, 1)
        self.health.remove(HERE)
        self.pass_time(30)

        self.assertEqual(server.accepted, 1)

    def test_wrong_address(self) -> None:
        """An address that is none is down, and does no other harm."""
        target = ("\ud800", 1)
        self.health.add(target)

        self.pass_time(10)

        self.assertEqual(self.watch.take(), [("down", target)])

    def test_unknown(self) -> None:
        """What is not watched counts as up, and may be removed."""
        self.health.remove(HERE)

        self.assertTrue(self.health.is_up(HERE))


class CrowdTests(HealthCase):
    """Many targets."""

    def test_bounded(self) -> None:
        """Only so many are probed at a time, and each gets its turn."""
        targets = [("192.0.2.9", port) for port in range(1, 2 * PROBES + 1)]
        for target in targets:
            self.network.listeners[target] = None
            self.health.add(target)

        self.pass_time(5.5)
        self.assertEqual(len(self.network.attempts), PROBES)
        self.pass_time(5)

        self.assertEqual(set(self.network.attempts), set(targets))
        self.assertEqual({target for _, target in self.watch.news}, set(targets))

    def test_one_timer(self) -> None:
        """However many there are, the reactor has one call of ours."""
        for port in range(1, 1000):
            self.health.add(("192.0.2.9", port))

        self.assertEqual(len(self.network.getDelayedCalls()), 1)

    def test_churn(self) -> None:
        """Targets that come and go leave nothing in the schedule."""
        for _ in range(3 * VOID_LIMIT):
            self.health.add(HERE)
            self.health.remove(HERE)

        self.assertLessEqual(len(self.health._schedule), VOID_LIMIT + 1)


class SpreadTests(HealthCase):
    """Chance spreads what would happen at once."""

    chance = 0.0

    def test_spread(self) -> None:
        """The first probes of many targets lie within one interval."""
        for port in range(1, 101):
            self.chance = port / 100
            self.health.add(("192.0.2.9", port))
        asked = []

        for _ in range(10):
            before = len(set(self.network.attempts))
            self.network.advance(1.0)
            asked.append(len(set(self.network.attempts)) - before)

        self.assertLess(max(asked), 15)
        self.assertGreater(min(asked), 5)

    def test_at_once(self) -> None:
        """At the start of time, without any spread, it works, too."""
        server = self.serve(HERE)
        self.health.add(HERE)

        self.network.flush()

        self.assertEqual(server.accepted, 1)


class PassiveTests(HealthCase):
    """Targets are not probed until somebody complains."""

    probe = None

    def test_quiet(self) -> None:
        """Nobody is asked."""
        self.health.add(HERE)

        self.assertEqual(self.network.getDelayedCalls(), [])
        self.assertTrue(self.health.is_up(HERE))

    def test_failed(self) -> None:
        """A complaint takes a target out; the one who complains knows that."""
        self.health.add(HERE)

        self.health.failed(HERE, "Connection refused")

        self.assertFalse(self.health.is_up(HERE))
        self.assertEqual(self.watch.take(), [])

    def test_probed_back(self) -> None:
        """It is probed until it answers, and then left alone again."""
        self.health.add(HERE)
        self.health.failed(HERE, "Connection refused")
        self.pass_time(2)
        self.assertEqual(self.watch.take(), [])

        server = self.serve(HERE)
        self.pass_time(10)

        self.assertEqual(self.watch.take(), [("up", HERE)])
        self.assertEqual(server.accepted, 1)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_failed_twice(self) -> None:
        """A second complaint about a target that is out changes nothing."""
        self.health.add(HERE)
        self.health.failed(HERE, "Connection refused")
        self.health.failed(HERE, "Connection refused")

        self.pass_time(1.1)

        self.assertEqual(len(self.network.attempts), 1)

    def test_failing_often(self) -> None:
        """One that answers probes and nothing else stays out longer and longer."""
        server = self.serve(HERE)
        self.health.add(HERE)
        for expected in (1, 2, 4, 8):
            self.health.failed(HERE, "Connection refused")
            accepted = server.accepted
            self.pass_time(expected - 0.2)
            self.assertEqual(server.accepted, accepted)
            self.pass_time(0.5)
            self.assertEqual(server.accepted, accepted + 1)

    def test_succeeded(self) -> None:
        """One that was seen to answer is back without a probe."""
        self.health.add(HERE)
        self.health.failed(HERE, "Connection refused")

        self.health.succeeded(HERE)

        self.assertTrue(self.health.is_up(HERE))
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_unknown(self) -> None:
        """What is said of unknown targets is not kept."""
        self.health.failed(HERE, "Connection refused")
        self.health.succeeded(HERE)

        self.assertTrue(self.health.is_up(HERE))

    def test_removed_while_down(self) -> None:
        """A target that comes anew has a clean record."""
        self.health.add(HERE)
        self.health.failed(HERE, "Connection refused")
        self.health.remove(HERE)
        self.health.add(HERE)

        self.assertTrue(self.health.is_up(HERE))
        self.pass_time(60)
        self.assertEqual(self.network.attempts, [])
