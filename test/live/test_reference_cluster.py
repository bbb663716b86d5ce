# -*- test-case-name: cocained.test.live.test_reference_cluster -*-
"""
Two nodes (reference-behaviour.md §3.3): one announces, the other listens.

Node A has a cluster plugin and no gateway, node B has both and finds A by its
address.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Mapping
from typing import Any

import msgpack
from typing_extensions import override

from cocained.errors import RemoteError
from cocained.test.live.support import (
    LOOPBACK,
    Client,
    LiveCase,
    LiveNode,
    differs,
    free_ports,
    live_suite,
    pack,
    program,
    wait_for,
)
from cocained.test.live.transcript import play

UNKNOWN = '[[10, 1], "service is not available"]'

#: Times that let tests see what takes a cluster of machines longer.
HASTY = {
    "ping": 0.2,
    "late": 0.2,
    "timeout": 0.6,
    "handshake": 0.6,
    "retry": [0.05, 0.2],
}

#: For nodes that are well, on a machine that may be busy.
PATIENT = {"retry": [0.05, 0.2]}

#: Header that comes with each write, when there are no extra values.
EXTRA = '[false, "x-cocaine-locator-extra", h"80"]'

#: The three headers of a frame without a trace.
TRIO = (
    '[false, "trace_id", h"0000000000000000"],'
    ' [false, "span_id", h"0000000000000000"],'
    ' [false, "parent_id", h"0000000000000000"]'
)


def locator(**args: Any) -> dict[str, Any]:
    """Changes to a node's configuration: arguments of its locator."""
    return {
        "services": {"locator": {"type": "locator", "args": args}},
        # Nobody here needs time to hear that a node stops.
        "shutdown": {"settle": 0.0},
    }


def predefine(*ports: int, interval: float = 0.2) -> dict[str, Any]:
    """A cluster of nodes at ports of this machine."""
    nodes = [f"{LOOPBACK}:{port}" for port in ports]
    return {"type": "predefine", "args": {"nodes": nodes, "interval": interval}}


class ClusterCase(LiveCase):
    """Node A, :attr:`node`, and node B, :attr:`other`, which listens to A."""

    changes = locator(cluster=predefine(), restrict=["logging"])
    pace: Mapping[str, Any] = PATIENT

    @override
    def prepare(self) -> None:
        self.other = self.start_node(self.listening(self.node.ports["locator"]))

    def listening(self, *ports: int) -> Mapping[str, Any]:
        """Make the configuration of a node that listens to others."""
        return locator(
            gateway={"type": "adhoc"},
            cluster=predefine(*ports),
            restrict=["logging"],
            links=self.pace,
        )

    def cluster(self, node: LiveNode) -> dict[bytes, Any]:
        """Ask a node for its links."""
        with node.client("locator") as client:
            found: dict[bytes, Any] = client.call(3)[0]
        return found

    def uuid(self, node: LiveNode) -> bytes:
        """Ask a node who it is."""
        with node.client("locator") as client:
            uuid: bytes = client.call(6)[0]
        return uuid

    def wait_for_link(self, node: LiveNode, to: LiveNode) -> None:
        """Wait until *node* listens to another one, as that is now."""
        uuid = self.uuid(to)
        endpoint = [LOOPBACK.encode(), to.ports["locator"]]
        wait_for(
            "the nodes are linked",
            lambda: self.cluster(node) == {uuid: endpoint},
            10,
        )

    def finds(self, node: LiveNode, name: str) -> bool:
        """Say whether a node knows a service."""
        with node.client("locator") as client, contextlib.suppress(RemoteError):
            client.call(0, name)
            return True
        return False

    def wait_until_found(self, node: LiveNode, name: str, known: bool = True) -> None:
        """Wait until a node knows a service, or knows it no more."""
        wait_for(
            f"{name} is {'' if known else 'un'}known",
            lambda: self.finds(node, name) is known,
            10,
        )

    def start_echo(self) -> None:
        """Start the app ``echo3`` on node A."""
        self.node.upload("echo3", {"worker": program("probe.py")})
        self.node.write("profiles", "default", pack({"pool-limit": 1}), "profile")
        self.node.start_app("echo3", "default")


class AnnouncingTests(ClusterCase):
    """What node A says on a connect stream."""

    @override
    def prepare(self) -> None:
        """There is one node only."""

    def stream(self, uuid: str = "my-uuid") -> Client:
        """Open a connect stream."""
        client = self.connect("locator")
        client.send(1, 1, [uuid])
        return client

    @differs("L1-L3")
    def test_snapshot(self) -> None:
        """Everything comes at once, but the locator and what is restricted."""
        ports = self.node.ports
        client = self.stream()

        play(
            client,
            f"""
            < [1, 0, [<uuid>, {{"node": [[["127.0.0.1", {ports["node"]}]], 1, *], "storage": [[["127.0.0.1", {ports["storage"]}]], 1, {{0: ["read", {{}}, PRIM], 1: ["write", {{}}, PRIM], 2: ["remove", {{}}, PRIM], 3: ["find", {{}}, PRIM]}}]}}], [{TRIO}, {EXTRA}]]
            """,  # noqa: E501
        )

    @differs("L1-L3")
    def test_changes(self) -> None:
        """An app that comes and goes is one write each; a removal keeps the graph."""
        graph = '{0: ["enqueue", STREAM, STREAM], 1: ["info", {}, PRIM], 2: *}'
        client = self.stream()
        client.take(1)

        self.start_echo()
        port = self.node.resolve("echo3")
        play(
            client,
            f"""
            < [1, 0, [<uuid>, {{"echo3": [[["127.0.0.1", {port}]], 1, {graph}]}}], [{TRIO}, {EXTRA}]]
            """,  # noqa: E501
        )
        self.node.pause_app("echo3")
        play(
            client,
            f'< [1, 0, [<uuid>, {{"echo3": [[], 1, {graph}]}}], [{TRIO}, {EXTRA}]]',
        )

    def test_published(self) -> None:
        """A published service is announced; its removal has no graph."""
        client = self.stream()
        client.take(1)
        publisher = self.play(
            "locator", '> [1, 4, ["ext", [["127.0.0.1", 9999]]]]\n< [1, 0, []]'
        )
        play(client, '< [1, 0, [<uuid>, {"ext": [[["127.0.0.1", 9999]], 0, {}]}]]')

        publisher.close()

        play(client, '< [1, 0, [<uuid>, {"ext": [[], 0, {}]}]]')

    def test_replaced(self) -> None:
        """A second stream of a uuid silently takes the place of the first."""
        client = self.stream()
        client.take(1)
        client.send(2, 1, ["my-uuid"])
        client.take(1)

        self.play("locator", '> [1, 4, ["ext", [["127.0.0.1", 9999]]]]\n< [1, 0, []]')

        play(client, '< [2, 0, [<uuid>, {"ext": *}]]')
        play(client, "< (no answer)")

    def test_same_uuid(self) -> None:
        """Over another connection it takes nobody's place, unlike the original's."""
        first, second = self.stream(), self.stream()
        first.take(1)
        second.take(1)

        self.play("locator", '> [1, 4, ["ext", [["127.0.0.1", 9999]]]]\n< [1, 0, []]')

        for client in (first, second):
            play(client, '< [1, 0, [<uuid>, {"ext": *}]]')

    def test_close(self) -> None:
        """A node that stops has nothing any more, and then closes its streams."""
        client = self.stream()
        client.take(1)
        assert self.node.process is not None
        self.node.process.send_signal(signal.SIGTERM)

        play(
            client,
            f"""
            < [1, 0, [<uuid>, {{"node": [[], 1, *]}}], *]
            < [1, 0, [<uuid>, {{"storage": [[], 1, *]}}], *]
            < [1, 2, [], [{TRIO}]]
            """,
        )
        # The end of the test stops it once more.
        self.node.process.wait(10)


class ExtraTests(ClusterCase):
    """Values that travel along."""

    changes = locator(cluster=predefine(), extra_param={"weight": 5, "x-region": "r1"})

    @override
    def prepare(self) -> None:
        """There is one node only."""

    def test_extra(self) -> None:
        """The header has the packed map of the configuration."""
        client = self.connect("locator")
        client.send(1, 1, ["my-uuid"])
        extra = "82a677656967687405a8782d726567696f6ea27231"

        play(
            client,
            f'< [1, 0, *, [{TRIO}, [false, "x-cocaine-locator-extra", h"{extra}"]]]',
        )


class ListeningTests(ClusterCase):
    """What node B makes of it."""

    @differs("L1-L3")
    def test_b_remote(self) -> None:
        """An app of the other node is found, and answers (row 134)."""
        self.wait_for_link(self.other, self.node)
        self.start_echo()
        self.wait_until_found(self.other, "echo3")

        port = self.node.resolve("echo3")
        client = Client(self.other.ports["locator"])
        self.addCleanup(client.close)
        play(
            client,
            f"""
            > [1, 0, ["echo3"]]
            < [1, 0, [[["127.0.0.1", {port}]], 1, {{0: ["enqueue", STREAM, STREAM], 1: ["info", {{}}, PRIM], 2: ["control", STREAM, PRIM]}}]]
            """,  # noqa: E501
        )
        with self.other.client("echo3") as echo:
            self.assertEqual(echo.stream("ping"), [b"pong"])

    def test_b_cluster(self) -> None:
        """Cluster tells where the other node's locator is."""
        self.wait_for_link(self.other, self.node)
        client = Client(self.other.ports["locator"])
        self.addCleanup(client.close)
        uuid = self.uuid(self.node).decode()
        port = self.node.ports["locator"]

        play(
            client,
            f'> [1, 3, []]\n< [1, 0, [{{"{uuid}": ["127.0.0.1", {port}]}}]]',
        )

    def test_local_first(self) -> None:
        """What both nodes have is this node's, each time it is asked."""
        self.wait_for_link(self.other, self.node)

        found = {self.other.resolve("storage") for _ in range(6)}

        self.assertEqual(found, {self.other.ports["storage"]})

    def test_killed(self) -> None:
        """A node that dies is forgotten; once it is back, so are its services."""
        self.node.write("runlists", "default", pack({"echo3": "default"}), "runlist")
        self.start_echo()
        self.wait_until_found(self.other, "echo3")
        assert self.node.process is not None
        self.node.process.kill()
        self.node.process.wait()
        self.wait_until_found(self.other, "echo3", known=False)
        (endpoint,) = self.cluster(self.other).values()
        self.assertEqual(endpoint, [b"0.0.0.0", 0])

        self.node.start()
        self.start_echo()

        self.wait_for_link(self.other, self.node)
        self.wait_until_found(self.other, "echo3")


class SilentTests(ClusterCase):
    """Nodes that are there and do not answer."""

    pace = HASTY

    def test_frozen(self) -> None:
        """A node that stops to answer is forgotten, and found when it answers."""
        self.start_echo()
        self.wait_until_found(self.other, "echo3")
        assert self.node.process is not None
        self.node.process.send_signal(signal.SIGSTOP)
        try:
            self.wait_until_found(self.other, "echo3", known=False)
            self.other.wait_for_log("is avoided")
        finally:
            self.node.process.send_signal(signal.SIGCONT)

        self.wait_until_found(self.other, "echo3")

    def test_never_answers(self) -> None:
        """A peer that accepts and never says a word is given up, again and again."""
        (port,) = free_ports(1)
        with socket.create_server((LOOPBACK, port)) as server:
            server.settimeout(10)
            uuid = "11111111-2222-4333-8444-555555555555"
            cluster = {
                "type": "predefined",
                "args": {"nodes": {uuid: f"localhost:{port}"}},
            }
            third = self.start_node(
                locator(gateway={"type": "adhoc"}, cluster=cluster, links=HASTY)
            )
            for _ in range(2):
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(10)
                    frame = msgpack.unpackb(connection.recv(4096), raw=True)
                    self.assertEqual(frame[:3], [1, 1, [self.uuid(third)]])
                    # The node gives up; a reset is an end, too.
                    with contextlib.suppress(ConnectionError):
                        self.assertEqual(connection.recv(4096), b"")
            third.wait_for_log("no answer to connect within 0.6 s")
            self.assertEqual(self.cluster(third), {uuid.encode(): [b"0.0.0.0", 0]})


class GroupTests(ClusterCase):
    """Routing groups of nodes that share a storage."""

    @override
    def prepare(self) -> None:
        """B has the storage of A, and listens to it."""
        changes = dict(self.listening(self.node.ports["locator"]))
        changes["storages"] = {
            "core": {"args": {"path": str(self.node.directory / "store")}}
        }
        self.other = self.start_node(changes)

    def test_refreshed(self) -> None:
        """A refresh at one node reaches the other, and its routers."""
        self.wait_for_link(self.other, self.node)
        router = Client(self.other.ports["locator"])
        self.addCleanup(router.close)
        play(router, '> [1, 5, ["r"]]\n< [1, 0, [{}]]')
        self.node.write("groups", "g1", pack({"storage": 1}), "group", "active")

        with self.node.client("locator") as client:
            client.call(2, ["g1"])

        play(router, '< [1, 0, [{"g1": *}]]')
        self.assertEqual(self.other.resolve("g1"), self.other.ports["storage"])


test_suite = live_suite(__name__)
