# -*- test-case-name: cocained.test.live.test_unicorn -*-
"""
The unicorn ``zookeeper`` with a real server, in good times and in bad ones.
"""

from __future__ import annotations

import contextlib
from typing import Any

from kazoo.client import KazooClient
from typing_extensions import override

from cocained.errors import ConnectionLoss, NodeExists
from cocained.test.live.support import LOOPBACK, live_suite, wait_for
from cocained.test.live.unicorn_case import ZookeeperCase
from cocained.test.live.zookeeper import Zookeeper, own
from cocained.testing.contracts import MemoryObserver, UnicornContract
from cocained.unicorns.watches import LINGER

test_suite = live_suite(__name__)


class ContractTests(UnicornContract, ZookeeperCase):
    """It keeps the contract of all unicorns."""


class _Sessions(ZookeeperCase):
    """Begins all that can be ended by trouble."""

    @contextlib.contextmanager
    def client(self, **session: Any) -> Any:
        """Give a client of kazoo's own."""
        client = KazooClient(f"{LOOPBACK}:{self.server.port}", **session)
        client.start(timeout=20)
        try:
            yield client
        finally:
            client.stop()
            client.close()

    def begin_all(self) -> list[MemoryObserver]:
        """Follow a node and children, and hold one lock and wait for another."""
        if self.result_of(self.unicorn.get("/all/node")).version < 0:
            self.create("/all/node", 1)
        observers = [MemoryObserver() for _ in range(3)]
        self.unicorn.subscribe("/all/node", observers[0])
        self.unicorn.children_subscribe("/all", observers[1])
        self.unicorn.lock("/all/lock", observers[2])
        for observer in observers:
            self.states_of(observer, 1)
        waiting = MemoryObserver()
        self.unicorn.lock("/all/lock", waiting)
        self.wait_until(lambda: len(self.names("/all/lock")) == 2)
        return [*observers, waiting]

    def is_connected(self) -> bool:
        """Whether the unicorn says so."""
        return not self.unicorn.report()["problem"]


class SessionTests(_Sessions):
    """Several sessions at one server."""

    def test_seen_by_others(self) -> None:
        """What one session changes, the watches of another see."""
        other = self.connect()
        observer = MemoryObserver()
        other.subscribe("/a", observer)
        self.states_of(observer, 1)

        self.create("/a", 1)

        self.assertEqual(self.states_of(observer, 2)[1], (1, 0))

    def test_lock_between_sessions(self) -> None:
        """A session that ends in order lets its locks go at once."""
        other = self.connect(session_timeout_ms=20_000)
        first, second = MemoryObserver(), MemoryObserver()
        other.lock("/l", first)
        self.states_of(first, 1)
        self.unicorn.lock("/l", second)
        self.wait_until(lambda: len(self.names("/l")) == 2)

        self.wait_until_fired(other.stop())

        self.states_of(second, 1)
        self.end_of(first, ConnectionLoss)

    def test_ephemeral_ends_with_its_session(self) -> None:
        """What a session made for itself goes with it."""
        other = self.connect()
        self.result_of(other.create("/e", 1, ephemeral=True))
        self.error_of(self.unicorn.create("/e", 2), NodeExists)

        self.wait_until_fired(other.stop())

        self.wait_until(lambda: self.result_of(self.unicorn.get("/e")).version < 0)

    def test_stored_for_others(self) -> None:
        """Nodes hold plain msgpack, raw strings only, and locks a time."""
        self.create("/a", {"k": "v" * 40})
        observer = MemoryObserver()
        self.unicorn.lock("/l", observer, "me")
        self.states_of(observer, 1)

        with self.client() as client:
            self.assertEqual(
                client.get(f"{self.prefix}/a")[0], b"\x81\xa1k\xda\0(" + b"v" * 40
            )
            (name,) = client.get_children(f"{self.prefix}/l")
            data, stat = client.get(f"{self.prefix}/l/{name}")

        self.assertEqual(data, b"\xa2me")
        self.assertEqual(stat.ephemeralOwner, self.unicorn.keeper.session())

    def test_watches_are_taken_back(self) -> None:
        """Subscriptions that come and go leave nothing at the server."""
        for number in range(50):
            observer = MemoryObserver()
            scope = self.unicorn.subscribe(f"/w{number}", observer)
            self.states_of(observer, 1)
            scope.close()
        self.assertIn(f"{self.prefix}/w", self.server.ask("wchp"))

        self.node.reactor.advance(LINGER)

        wait_for(
            "no watch is left",
            lambda: f"{self.prefix}/w" not in self.server.ask("wchp"),
            10,
        )
        self.create("/w1", 1)

    def test_expired(self) -> None:
        """An expired session ends all that hung on it; what follows has another."""
        self.result_of(self.unicorn.create("/e", 1, ephemeral=True))
        observers = self.begin_all()
        old = self.unicorn.keeper.session()
        kazoo = self.unicorn.keeper._client

        with self.client(client_id=kazoo.client_id):
            pass

        for observer in observers:
            self.end_of(observer, ConnectionLoss)
        self.wait_until(self.is_connected)
        self.assertNotEqual(self.unicorn.keeper.session(), old)
        self.assertEqual(self.result_of(self.unicorn.get("/e")), (None, -1))
        self.begin_all()


class TroubleTests(_Sessions):
    """A server that goes away, comes back, or does not answer."""

    @override
    def start_server(self) -> Zookeeper:
        return own(self)

    def test_restart(self) -> None:
        """The end of the server ends all scopes; what was written is there again."""
        observers = self.begin_all()

        self.server.kill()

        for observer in observers:
            self.end_of(observer, ConnectionLoss)
        self.assertIn(str(self.server.port), self.unicorn.report()["problem"])
        self.server.start()
        self.wait_until(self.is_connected)
        self.assertEqual(self.result_of(self.unicorn.get("/all/node")), (1, 0))
        self.begin_all()

    def test_leavings(self) -> None:
        """A session that outlives its server keeps no lock that nobody holds."""
        self.result_of(self.unicorn.create("/e", 1, ephemeral=True))
        observers = self.begin_all()
        session = self.unicorn.keeper.session()
        self.server.kill()
        for observer in observers:
            self.end_of(observer, ConnectionLoss)

        self.server.start()
        self.wait_until(self.is_connected)

        self.wait_until(lambda: not self.names("/all/lock"))
        if self.unicorn.keeper.session() == session:
            self.assertEqual(self.result_of(self.unicorn.get("/e")), (1, 0))

    def test_no_server(self) -> None:
        """An operation waits for a connection, but no longer than it may."""
        self.create("/a", 1)
        self.server.kill()
        self.wait_until(lambda: not self.is_connected())

        early, late = self.unicorn.get("/a"), self.unicorn.get("/a")
        self.node.reactor.advance(0.5)
        third = self.unicorn.get("/a")
        self.node.reactor.advance(0.5)

        self.error_of(early, ConnectionLoss)
        self.error_of(late, ConnectionLoss)
        self.server.start()
        self.assertEqual(self.result_of(third), (1, 0))

    def test_frozen(self) -> None:
        """A server that does not answer fails operations in time, and may wake."""
        self.create("/a", 1)
        self.server.freeze()

        answers = [self.unicorn.get("/a"), self.unicorn.put("/a", 2, 0)]
        self.node.reactor.advance(1.0)

        for answer in answers:
            self.error_of(answer, ConnectionLoss)
        self.server.thaw()
        self.wait_until(
            lambda: self.result_of(self.unicorn.get("/a")) in [(1, 0), (2, 1)]
        )

    def test_stop_without_server(self) -> None:
        """A node ends also when its ZooKeeper has."""
        self.create("/a", 1)
        self.server.kill()
        self.wait_until(lambda: not self.is_connected())

        other = self.connect()
        self.wait_until_fired(other.stop())
        self.wait_until_fired(self.unicorn.stop())

    def test_start_without_server(self) -> None:
        """A node starts before its ZooKeeper does."""
        self.server.kill()
        other = self.connect()
        asked = other.create("/late", 1)

        self.server.start()

        self.assertEqual(self.result_of(asked), "/late")
