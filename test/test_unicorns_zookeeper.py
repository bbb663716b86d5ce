# -*- test-case-name: cocained.test.test_unicorns_zookeeper -*-
"""Tests for :mod:`cocained.unicorns.zookeeper`, without a server."""

from __future__ import annotations

from typing import Any

from kazoo.client import KazooClient
from kazoo.protocol.states import KazooState
from zope.interface.verify import verifyObject

from cocained.config import convert
from cocained.errors import ConfigError, ConnectionLoss
from cocained.interfaces import IReporter, IUnicorn
from cocained.lane import STOP_TIMEOUT
from cocained.test.service_case import LogCase
from cocained.test.test_unicorns_ensemble import FakeKazoo
from cocained.testing import stub_node
from cocained.unicorns.zookeeper import RENEWAL, ZookeeperArgs, ZookeeperUnicorn


class StoppableKazoo(FakeKazoo):
    """A client that can be stopped, or cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.life: list[str] = []
        self.fault: Exception | None = None

    def stop(self) -> None:
        self.life.append("stop")
        if self.fault is not None:
            raise self.fault

    def close(self) -> None:
        self.life.append("close")


class MemoryEnsemble(ZookeeperUnicorn):
    """The unicorn with a double of kazoo."""

    kazoo: StoppableKazoo

    def _make_client(self) -> Any:
        self.kazoo = StoppableKazoo()
        return self.kazoo


def arguments(**keys: Any) -> ZookeeperArgs:
    """Give arguments as they are read from a file."""
    return convert(keys, ZookeeperArgs)


class ArgumentTests(LogCase):
    """The section of a configuration."""

    def hosts(self, **keys: Any) -> str:
        """Give what kazoo is told."""
        return ZookeeperUnicorn(stub_node(), "core", arguments(**keys))._hosts

    def test_defaults(self) -> None:
        """Those of the original."""
        args = arguments()

        self.assertEqual(self.hosts(), "localhost:2181")
        self.assertEqual((args.recv_timeout_ms, args.prefix), (1000, ""))

    def test_endpoints(self) -> None:
        """Names, and addresses of both kinds; the port may be left out."""
        endpoints = [{"host": "a"}, {"host": "10.0.0.1", "port": 1}, {"host": "::1"}]

        self.assertEqual(
            self.hosts(endpoints=endpoints), "a:2181,10.0.0.1:1,[::1]:2181"
        )

    def test_refused(self) -> None:
        """Mistakes are named by their key."""
        for key, value in (
            ("endpoints", []),
            ("endpoints", [{"host": ""}]),
            ("endpoints", [{"host": "a", "port": 0}]),
            ("prefix", "no/slash"),
            ("prefix", "/a//b"),
            ("recv_timeout_ms", 0),
            ("session_timeout_ms", 10),
        ):
            error = self.assertRaises(ConfigError, arguments, **{key: value})
            self.assertIn(key, str(error))

    def test_what_kazoo_is_told(self) -> None:
        """The client tries for ever, and is not started by itself."""
        unicorn = ZookeeperUnicorn(
            stub_node(), "core", arguments(session_timeout_ms=3000)
        )

        client = unicorn._make_client()

        self.assertIsInstance(client, KazooClient)
        self.assertFalse(client.connected)
        client.close()


class LifeTests(LogCase):
    """From the start to the end."""

    def setUp(self) -> None:
        self.node = stub_node()
        self.unicorn = MemoryEnsemble(
            self.node, "core", arguments(session_timeout_ms=10_000)
        )
        self.assertIsNone(self.unicorn.start())
        self.addCleanup(self.stop)

    def stop(self) -> None:
        stopped = self.unicorn.stop()
        self.node.reactor.wait_for(stopped)
        self.assertIsNone(self.successResultOf(stopped))

    def state(self, state: str) -> None:
        self.unicorn.kazoo.state(state)
        self.node.reactor.pump_ready()

    def test_interfaces(self) -> None:
        """It is a unicorn, and tells how it is."""
        self.assertTrue(verifyObject(IUnicorn, self.unicorn))
        self.assertTrue(verifyObject(IReporter, self.unicorn))

    def test_report(self) -> None:
        """The problem is there from the start until there is a connection."""
        self.assertIn("localhost:2181", str(self.unicorn.report()["problem"]))
        self.node.reactor.advance(3)
        self.state(KazooState.CONNECTED)
        self.assertEqual(
            self.unicorn.report(),
            {"problem": "", "since": 3.0, "endpoints": "localhost:2181", "pending": 0},
        )
        self.node.reactor.advance(4)
        self.state(KazooState.SUSPENDED)
        self.node.reactor.advance(5)
        self.state(KazooState.LOST)

        report = self.unicorn.report()
        self.assertIn("see that its servers run", str(report["problem"]))
        self.assertEqual(report["since"], 7.0)

    def test_logged_once(self) -> None:
        """Each change is one line in the log."""
        events = self.record_log()
        for _ in range(2):
            self.state(KazooState.CONNECTED)
            self.state(KazooState.SUSPENDED)
            self.state(KazooState.LOST)

        levels = [each["log_level"].name for each in events if "unicorn" in each]
        self.assertEqual(levels, ["info", "warn", "info", "warn"])

    def test_stopped(self) -> None:
        """The client is stopped in a thread, and nothing is left to wait for."""
        asked = self.unicorn.get("/a")

        self.stop()

        self.failureResultOf(asked, ConnectionLoss)
        self.assertEqual(self.unicorn.kazoo.life, ["stop", "close"])
        self.assertEqual(self.node.reactor.getDelayedCalls(), [])

    def test_stopped_twice(self) -> None:
        """Stopping again does no harm."""
        self.stop()
        self.stop()

        self.assertEqual(self.unicorn.kazoo.life, ["stop", "close"])

    def test_client_does_not_stop(self) -> None:
        """A client that raises is left to itself."""
        self.unicorn.kazoo.fault = OSError("broken")

        self.stop()

        self.assertEqual(self.unicorn.kazoo.life, ["stop"])

    def test_renewed(self) -> None:
        """A client without a connection is stopped when its time is over."""
        first = self.unicorn.kazoo
        self.node.reactor.advance(RENEWAL * 10)
        self.assertIsNot(self.unicorn.kazoo, first)

        self.stop()

        self.assertEqual(first.life, ["stop", "close"])
        self.assertEqual(self.unicorn.kazoo.life, ["stop", "close"])

    def test_never_started(self) -> None:
        """One that was never started can be stopped."""
        other = MemoryEnsemble(self.node, "other", arguments())
        stopped = other.stop()
        self.node.reactor.advance(STOP_TIMEOUT)

        self.assertIsNone(self.successResultOf(stopped))
