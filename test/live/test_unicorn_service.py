# -*- test-case-name: cocained.test.live.test_unicorn_service -*-
"""
The unicorn service of a real node, over each of its backends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from cocained.errors import RemoteError
from cocained.test.live.support import Client, LiveCase, live_suite, wait_for
from cocained.test.live.zookeeper import Zookeeper, own, shared

test_suite = live_suite(__name__)

SUBSCRIBE, CHILDREN, PUT, GET, CREATE, DEL, REMOVE, INCREMENT, LOCK, NAMED = range(10)

if TYPE_CHECKING:
    _Case = LiveCase
else:
    _Case = object


class _ServiceCase(LiveCase):
    """A node with a unicorn."""

    def backend(self) -> Mapping[str, Any]:
        """Configure what is behind the service."""
        raise NotImplementedError

    @override
    def setUp(self) -> None:
        self.changes = {
            "unicorns": {"core": self.backend()},
            "services": {"unicorn": {"type": "unicorn"}},
        }
        super().setUp()
        self.client = self.connect("unicorn")

    def begin(self, client: Client, kind: int, *args: Any) -> int:
        """Send a request; give its channel."""
        client.channel += 1
        client.send(client.channel, kind, list(args))
        return client.channel

    def next_of(self, client: Client) -> list[Any]:
        """Give the next frame, without headers."""
        frame = client.receive()
        self.assertIsNotNone(frame)
        return list(frame[:3])


class UnicornServiceTests(_Case):
    """What clients see, whatever the backend is."""

    def test_graph(self) -> None:
        """Clients find the methods by their names."""
        with Client(self.node.ports["locator"]) as locator:
            _endpoints, version, graph = locator.call(0, "unicorn")

        self.assertEqual(version, 1)
        names = [graph[number][0] for number in sorted(graph)]
        self.assertEqual(
            b" ".join(names),
            b"subscribe children_subscribe put get create del remove increment lock"
            b" named_lock",
        )
        self.assertEqual(graph[GET][1], {0: [b"close", {}]})
        self.assertEqual(graph[LOCK][2][0], [b"write", None])

    def test_life_of_a_node(self) -> None:
        """Every method that has one answer."""
        call = self.client.call
        self.assertEqual(call(GET, "/a/b"), [[None, -1]])
        self.assertEqual(call(CREATE, "/a/b", {"k": [1]}), [True])
        self.assertEqual(call(GET, "/a/b"), [[{b"k": [1]}, 0]])
        self.assertEqual(call(PUT, "/a/b", 40, 0), [True, [40, 1]])
        self.assertEqual(call(PUT, "/a/b", 50, 0), [False, [40, 1]])
        self.assertEqual(call(INCREMENT, "/a/b", 2), [[42, 2]])
        self.assert_refused(11, 1, "children", call, GET, "/a")
        self.assert_refused(11, 7, "version", call, REMOVE, "/a/b", 1)
        self.assert_refused(11, 9, "already", call, CREATE, "/a/b", 1)
        self.assertEqual(call(DEL, "/a/b", 2), [True])
        self.assert_refused(11, 8, "no", call, REMOVE, "/a/b", -1)

    def test_subscriptions(self) -> None:
        """What one client changes, others hear until they close."""
        other = self.connect("unicorn")
        node = self.begin(other, SUBSCRIBE, "/a/b")
        self.assertEqual(self.next_of(other), [node, 0, [[None, -1]]])
        self.client.call(CREATE, "/a/b", 1)
        self.assertEqual(self.next_of(other), [node, 0, [[1, 0]]])
        children = self.begin(other, CHILDREN, "/a")
        self.assertEqual(self.next_of(other)[2][1], [b"b"])
        self.client.call(PUT, "/a/b", 2, 0)
        self.assertEqual(self.next_of(other), [node, 0, [[2, 1]]])
        other.send(node, 0, [])
        self.client.call(CREATE, "/a/c", 1)
        self.assertEqual(self.next_of(other)[2][1], [b"b", b"c"])
        other.send(children, 0, [])

        self.client.call(REMOVE, "/a/c", -1)
        self.client.call(REMOVE, "/a/b", -1)

        self.assertEqual(other.call(GET, "/a/b"), [[None, -1]])

    def test_locks(self) -> None:
        """A lock passes on when its holder closes, revokes or goes away."""
        holders = [self.connect("unicorn") for _ in range(4)]
        for number, holder in enumerate(holders):
            self.begin(holder, NAMED, "/lock", number)
            wait_for(
                "there is a place in the queue",
                lambda: self.places("/lock") == number + 1,  # noqa: B023 - at once
                10,
            )
        self.assertEqual(self.next_of(holders[0]), [1, 0, [True]])

        holders[0].send(1, 0, [])
        self.assertEqual(self.next_of(holders[1]), [1, 0, [True]])
        holders[1].send(2, 65535, [1, [1, 1]])
        self.assertEqual(self.next_of(holders[2]), [1, 0, [True]])
        holders[2].close()

        self.assertEqual(self.next_of(holders[3]), [1, 0, [True]])
        self.assertEqual(self.places("/lock"), 1)

    def places(self, path: str) -> int:
        """Count the children of a node."""
        with self.node.client("unicorn") as client:
            self.begin(client, CHILDREN, path)
            _, kind, values = self.next_of(client)
        return len(values[1]) if kind == 0 else 0

    def test_node_is_killed(self) -> None:
        """What was acknowledged is there in the next life; locks are free."""
        for number in range(20):
            self.client.call(CREATE, f"/n/{number}", number)
        self.begin(self.client, LOCK, "/lock")
        self.assertEqual(self.next_of(self.client)[2], [True])
        assert self.node.process is not None
        self.node.process.kill()
        self.node.process.wait()

        self.node.start()

        client = self.connect("unicorn")
        for number in range(20):
            self.assertEqual(client.call(GET, f"/n/{number}"), [[number, 0]])
        self.begin(client, LOCK, "/lock")
        self.assertEqual(self.next_of(client)[2], [True])


class FilesTests(UnicornServiceTests, _ServiceCase):
    """Over the backend for a node alone."""

    def backend(self) -> Mapping[str, Any]:
        # Relative to the node's own directory.
        return {"type": "files", "args": {"path": "unicorn"}}


class _ZookeeperCase(_ServiceCase):
    """Over ZooKeeper."""

    def start_server(self) -> Zookeeper:
        """Give a server that runs."""
        return shared()

    def backend(self) -> Mapping[str, Any]:
        self.server = self.start_server()
        return {
            "type": "zookeeper",
            "args": {
                "endpoints": [{"host": "127.0.0.1", "port": self.server.port}],
                "prefix": f"/{self.id()}",
                "recv_timeout_ms": 3000,
                "session_timeout_ms": 1500,
            },
        }


class ZookeeperTests(UnicornServiceTests, _ZookeeperCase):
    """Over ZooKeeper, in good times."""


class OutageTests(_ZookeeperCase):
    """Over ZooKeeper, in bad times."""

    def start_server(self) -> Zookeeper:
        return own(self)

    def test_server_ends(self) -> None:
        """All that hung on the session ends with 11/10; what follows is served."""
        self.client.call(CREATE, "/a", 1)
        followers = [self.connect("unicorn") for _ in range(3)]
        for follower, kind in zip(followers, (SUBSCRIBE, LOCK, LOCK), strict=True):
            self.begin(follower, kind, "/a" if kind == SUBSCRIBE else "/lock")
        for follower in followers[:2]:
            self.assertEqual(self.next_of(follower)[1], 0)

        self.server.kill()

        for follower in followers:
            _, kind, values = self.next_of(follower)
            self.assertEqual((kind, values[0]), (1, [11, 10]))
        self.assert_refused(11, 10, "ZooKeeper", self.client.call, GET, "/a")
        self.server.start()
        wait_for("it is served again", self.is_served, 30)
        self.begin(followers[0], LOCK, "/lock")
        self.assertEqual(self.next_of(followers[0])[2], [True])

    def is_served(self) -> bool:
        """Whether ZooKeeper answers through the node."""
        try:
            return bool(self.client.call(GET, "/a") == [[1, 0]])
        except RemoteError:
            return False

    def test_server_hangs(self) -> None:
        """The node goes on while its ZooKeeper hangs."""
        self.client.call(CREATE, "/a", 1)
        self.server.freeze()

        self.assert_refused(11, 10, "", self.client.call, GET, "/a")

        with self.node.client("storage") as storage:
            self.assertEqual(storage.call(3, "none", ["x"]), [[]])
        self.server.thaw()
        wait_for("it is served again", self.is_served, 30)
