# -*- test-case-name: cocained.test.live.test_cluster_zookeeper -*-
"""
The cluster plugin ``zookeeper`` with a real server.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from typing_extensions import override

from cocained.clusters.zookeeper import (
    UnicornCluster,
    UnicornClusterArgs,
    ZookeeperCluster,
    ZookeeperClusterArgs,
)
from cocained.config import convert
from cocained.test.live.support import (
    LOOPBACK,
    ROOT,
    LiveCase,
    LiveNode,
    live_suite,
    wait_for,
)
from cocained.test.live.unicorn_case import SESSION, ZookeeperCase
from cocained.test.live.zookeeper import Zookeeper, own, shared
from cocained.testing import MemoryLinks
from cocained.unicorns.zookeeper import RENEWAL, ZookeeperArgs, ZookeeperUnicorn

test_suite = live_suite(__name__)

#: Seconds between attempts; time passes when a test says so.
RETRY, GRACE = 10.0, 30.0


def uuid(number: int) -> str:
    """Give a node's uuid."""
    return f"{number:08x}-0000-4000-8000-000000000000"


def address(number: int) -> str:
    """Give a node's address."""
    return f"10.0.0.{number}"


class _ClusterCase(ZookeeperCase):
    @override
    def setUp(self) -> None:
        super().setUp()
        self.members: dict[int, tuple[Any, Any, MemoryLinks]] = {}

    def join(self, number: int) -> MemoryLinks:
        """Let a node join; it has a session of its own."""
        node: Any = self.node
        unicorn = self.connect()
        node.unicorn = lambda name: unicorn
        cluster = UnicornCluster(
            node,
            f"cluster{number}",
            UnicornClusterArgs(backend="core", retry_interval=RETRY, grace=GRACE),
        )
        links = MemoryLinks(uuid(number), [(address(number), 10053)])
        cluster.attach(links)
        cluster.start()
        self.addCleanup(lambda: self.wait_until_fired(cluster.stop()))
        self.members[number] = cluster, unicorn, links
        return links

    def wait_for_all(self, *numbers: int) -> None:
        """Wait until each of our members knows the other nodes, and no more."""
        wanted = {uuid(number): ((address(number), 10053),) for number in numbers}
        self.wait_until(
            lambda: all(
                links.nodes == {u: e for u, e in wanted.items() if u != links.uuid}
                for _, _, links in self.members.values()
            )
        )

    def reports(self) -> list[str]:
        """Give the problems of our members."""
        return [cluster.report()["problem"] for cluster, _, _ in self.members.values()]


class MeetingTests(_ClusterCase):
    """Nodes that come and go."""

    def test_three(self) -> None:
        """All find each other, and see who leaves in order."""
        for number in (1, 2, 3):
            self.join(number)
        self.wait_for_all(1, 2, 3)

        cluster, _, _ = self.members.pop(3)
        self.wait_until_fired(cluster.stop())

        self.wait_for_all(1, 2)

    def test_as_the_original_has_it(self) -> None:
        """The entry is ephemeral, and a list of addresses in raw strings."""
        self.join(1)
        path = f"/cocaine/discovery/{uuid(1)}"
        self.wait_until(lambda: self.result_of(self.unicorn.get(path)).version == 0)

        answer = self.unicorn.keeper.ask(
            lambda client: client.get_async(self.prefix + path), lambda answer: answer
        )

        data, stat = self.result_of(answer)
        self.assertEqual(data, b"\x91\x92\xa810.0.0.1\xcd\x27\x45")
        _, unicorn, _ = self.members[1]
        self.assertEqual(stat.ephemeralOwner, unicorn.keeper.session())

    def test_killed(self) -> None:
        """The entry of a node that is killed goes with its session."""
        self.join(1)
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "cocained.test.live.member"),
                *(str(self.server.port), self.prefix, uuid(2), address(2)),
            ],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            cwd=ROOT,
        )
        try:
            self.wait_for_all(1, 2)
        finally:
            process.kill()
            process.wait()

        self.wait_for_all(1)

        self.assertEqual(self.reports(), [""])

    def test_own_backend(self) -> None:
        """Type ``zookeeper`` brings its own backend, with servers in its arguments."""
        node: Any = self.node

        def component(category: str, type: str, name: str, args: Any) -> Any:
            self.assertEqual((category, type), ("unicorn", "zookeeper"))
            return ZookeeperUnicorn(node, name, convert(args, ZookeeperArgs))

        node.component = component
        args = ZookeeperClusterArgs(
            endpoints=({"host": LOOPBACK, "port": self.server.port},),
            prefix=self.prefix,
        )
        cluster = ZookeeperCluster(node, "cluster", args)
        links = MemoryLinks(uuid(9), [(address(9), 10053)])
        cluster.attach(links)
        self.wait_until(cluster.start().called.__bool__)
        self.addCleanup(lambda: self.wait_until_fired(cluster.stop()))
        self.join(1)

        self.wait_for_all(1, 9)
        self.wait_until(lambda: uuid(1) in links.nodes)


class OutageTests(_ClusterCase):
    """The server goes away, and comes back."""

    @override
    def start_server(self) -> Zookeeper:
        return own(self)

    def test_restart(self) -> None:
        """Nobody is dropped while it is away, nor when it is back."""
        for number in (1, 2):
            self.join(number)
        self.wait_for_all(1, 2)
        self.server.kill()
        self.wait_until(lambda: all(self.reports()))
        self.wait_for_all(1, 2)

        self.server.start()
        self.wait_until(self.are_connected)
        self.node.reactor.advance(RETRY)

        self.wait_until(lambda: not any(self.reports()))
        self.wait_for_all(1, 2)
        for _, _, links in self.members.values():
            self.assertNotIn("drop", [told[0] for told in links.told])
        self.join(3)
        self.wait_for_all(1, 2, 3)

    def are_connected(self) -> bool:
        """Whether all sessions are up again."""
        return not any(
            unicorn.report()["problem"] for _, unicorn, _ in self.members.values()
        )

    def come_back_empty(self) -> None:
        """Let the server run again without its data, and be found."""
        self.server.forget()
        self.server.start()
        # Those who have seen more than it has now must begin anew.
        self.node.reactor.advance(SESSION * RENEWAL)
        self.wait_until(self.are_connected)
        self.node.reactor.advance(RETRY)
        self.wait_until(lambda: not any(self.reports()))

    def test_all_is_lost(self) -> None:
        """A server that has forgotten everything is told everything again."""
        for number in (1, 2):
            self.join(number)
        self.wait_for_all(1, 2)
        self.server.kill()
        self.wait_until(lambda: all(self.reports()))

        self.come_back_empty()

        self.wait_for_all(1, 2)
        for _, _, links in self.members.values():
            self.assertNotIn("drop", [told[0] for told in links.told])

    def test_gone_meanwhile(self) -> None:
        """One who left while the server was away is dropped after some time."""
        for number in (1, 2):
            self.join(number)
        self.wait_for_all(1, 2)
        self.server.kill()
        self.wait_until(lambda: all(self.reports()))
        cluster, unicorn, _ = self.members.pop(2)
        self.wait_until_fired(cluster.stop())
        self.wait_until_fired(unicorn.stop())
        self.come_back_empty()
        self.wait_for_all(1, 2)

        self.node.reactor.advance(GRACE)

        self.wait_for_all(1)


class NodesTests(LiveCase):
    """Whole nodes, which have nothing in common but their ZooKeeper."""

    @override
    def setUp(self) -> None:
        self.server = shared()
        endpoints = [{"host": LOOPBACK, "port": self.server.port}]
        args = {"endpoints": endpoints, "prefix": f"/{self.id()}"}
        cluster = {"type": "zookeeper", "args": args}
        # Without a gateway nobody would be listened to.
        locator = {"args": {"gateway": {"type": "adhoc"}, "cluster": cluster}}
        self.changes = {"services": {"locator": locator}}
        super().setUp()

    def others(self, node: LiveNode) -> list[int]:
        """Give the ports of the locators that a node is linked to."""
        with node.client("locator") as locator:
            found = locator.call(3)[0]
        return [port for _host, port in found.values()]

    def test_linked(self) -> None:
        """Two nodes link to each other, and part when one stops."""
        other = LiveNode(self.changes)
        self.addCleanup(other.close)
        other.start()
        first = self.node

        for node, far in ((first, other), (other, first)):
            wanted = [far.ports["locator"]]
            wait_for(
                "the nodes are linked",
                lambda: self.others(node) == wanted,  # noqa: B023 - called at once
                30,
            )
        other.stop()
        wait_for("they have parted", lambda: not self.others(first), 30)
