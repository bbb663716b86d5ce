# -*- test-case-name: cocained.test.live.test_cluster -*-
"""
Several real nodes on several hosts of a lab, and what is needed to try them.

Each node has a directory and an address of its own; they share a storage, as the
nodes of a cluster do.  A further host, ``client``, is for those who call.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from cocained.errors import RemoteError
from cocained.test.live.ledger import Ledger
from cocained.test.live.support import (
    SERVICES,
    TWISTD,
    Client,
    LiveNode,
    live_reason,
    merge,
    missing,
    pack,
    program,
    wait_for,
)
from cocained.testing.lab import Host, Lab, LabError

#: Port of the first service of each node; a host has all ports for itself.
FIRST_PORT = 10053

#: Seconds between two announcements: a node that is gone is missed in a second
#: and a half, and one on a busy machine is not.
INTERVAL = 0.5

#: Seconds until the nodes know what happened to each other.
NEWS_TIMEOUT = 20.0

#: How patient links are, in seconds: as the usual ones, but all much shorter.
PACE = {"ping": 0.5, "late": 1.0, "timeout": 2.5, "handshake": 2.0, "retry": [0.2, 1.0]}

#: Methods of a locator.
RESOLVE, REFRESH, CLUSTER, UUID = 0, 2, 3, 6

#: Methods of the service ``admin``.
STATUS = 0

#: The app of the tests, and its profile: workers that are there at once.
APP = "faulty"
PROFILE = {"pool-limit": 1, "heartbeat-timeout": 20, "terminate-timeout": 2}


def lab_for(case: SynchronousTestCase, prefix: str) -> Lab:
    """
    Make a lab that is removed when the test is over.

    :raises SkipTest: or :exc:`AssertionError`, see :func:`.support.missing`.
    """
    try:
        lab = Lab(prefix)
    except LabError as error:
        raise missing(str(error)) from error
    case.addCleanup(lab.close)
    return lab


class HostNode(LiveNode):
    """
    A node on a host of a lab.

    :param host: where it runs, on the usual ports.
    :param store: directory of the storage that all share.
    :param changes: merged over the configuration.
    """

    def __init__(
        self, host: Host, store: Path, changes: Mapping[str, Any] | None = None
    ) -> None:
        self.host = host
        super().__init__()
        self.program = tuple(host.command(TWISTD))
        shared = {
            "network": {"endpoint": host.address},
            "services": {"admin": {"type": "admin"}},
            # Most tests have nobody who would come late.
            "shutdown": {"settle": 0},
            "storages": {"core": {"args": {"path": str(store)}}},
        }
        self.configuration = merge(merge(self.configuration, shared), changes or {})

    @override
    def choose_ports(self) -> dict[str, int]:
        names = (*SERVICES, "admin")
        return {name: FIRST_PORT + each for each, name in enumerate(names)}

    @override
    def dial(self, port: int) -> Client:
        with self.host.inside():
            return Client((self.host.address, port))

    @override
    def client(self, name: str) -> Client:
        if name in self.ports:
            return self.dial(self.ports[name])
        with self.dial(self.ports["locator"]) as locator:
            endpoints, _version, _graph = locator.call(RESOLVE, name)
        # Perhaps on another host.
        with self.host.inside():
            return Client((endpoints[0][0].decode(), endpoints[0][1]))

    def ask(self, method: int, *arguments: Any) -> Any:
        """Call a method of the locator that gives one value, or none."""
        with self.client("locator") as locator:
            values = locator.call(method, *arguments)
        return values[0] if values else None

    @property
    def uuid(self) -> str:
        """What it calls itself in this life."""
        return str(self.ask(UUID).decode())

    def peers(self) -> set[str]:
        """Give the uuids of the nodes that it is linked to."""
        return {uuid.decode() for uuid in self.ask(CLUSTER)}

    def finds(self, name: str, seed: str | None = None) -> str:
        """
        Ask its locator for a service.

        :returns: the address of the host that it is on; empty if it knows none.
        """
        arguments = [name] if seed is None else [name, seed]
        with self.client("locator") as locator:
            try:
                endpoints, _version, _graph = locator.call(RESOLVE, *arguments)
            except RemoteError:
                return ""
        return str(endpoints[0][0].decode())

    def crash(self) -> None:
        """Kill the process of the node, and nothing else."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @property
    def is_running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self.process is not None and self.process.poll() is None


class ClusterCase(SynchronousTestCase):
    """
    Tests against nodes that know each other, fresh for each test.

    :cvar names: of the nodes and of their hosts.
    :cvar slow: names of those whose cable can be made slow.
    :cvar apps: names of the nodes that run the app.
    :cvar gateway: of each locator.
    """

    skip = live_reason()
    names: tuple[str, ...] = ("a", "b", "c")
    slow: frozenset[str] = frozenset()
    apps: tuple[str, ...] = ("a", "b", "c")
    gateway: Mapping[str, Any] = {"type": "adhoc"}

    def setUp(self) -> None:
        """Start all nodes, and wait until they are linked and serve the app."""
        super().setUp()
        self.lab = lab_for(self, "cl")
        self.store = Path(tempfile.mkdtemp(prefix="cl"))
        self.addCleanup(shutil.rmtree, self.store, True)
        self.nodes: dict[str, HostNode] = {}
        hosts = [self.lab.add_host(name, slow=name in self.slow) for name in self.names]
        self.client = self.lab.add_host("client")
        self.prepare()
        for host in hosts:
            self.nodes[host.name] = self.make_node(host)
        self.addCleanup(self.stop_all)
        for node in self.nodes.values():
            node.launch()
        for node in self.nodes.values():
            node.wait_until_ready()
        self.upload()
        for name in self.apps:
            self.nodes[name].start_app(APP, "default")
        self.wait_linked()

    def prepare(self) -> None:
        """Start what the nodes need to find each other; nothing here."""

    def cluster(self, host: Host) -> Mapping[str, Any]:
        """Give the configuration of the plugin that finds nodes."""
        args = {"group": "239.0.100.53", "interval": INTERVAL}
        return {"type": "multicast", "args": args}

    def changes(self, host: Host) -> Mapping[str, Any]:
        """Give the configuration of a node, besides what all nodes have."""
        arguments = {
            "cluster": self.cluster(host),
            "gateway": self.gateway,
            "links": PACE,
        }
        return {"services": {"locator": {"args": arguments}}}

    def make_node(self, host: Host) -> HostNode:
        """Make a node that is removed when the test is over; do not start it."""
        node = HostNode(host, self.store, self.changes(host))
        self.addCleanup(node.close)
        return node

    def upload(self) -> None:
        """Put the app into the storage."""
        node = next(iter(self.nodes.values()))
        files = {"worker": program("faulty.py"), "speech.py": program("speech.py")}
        node.upload(APP, files)
        node.write("profiles", "default", pack(PROFILE), "profile")

    def stop_all(self) -> None:
        """Stop the nodes that run, in order; each must do it well."""
        running = [node.process for node in self.nodes.values() if node.is_running]
        for process in running:
            assert process is not None
            process.terminate()
        for node in self.nodes.values():
            if node.process in running:
                node.wait_until_stopped()

    # What nodes know

    def wait_linked(self, *names: str) -> None:
        """
        Wait until these nodes are linked to each other, and to nobody else.

        :param names: all by default.
        """
        group = [self.nodes[name] for name in names or self.names]
        uuids = {node.uuid for node in group}

        def is_linked() -> bool:
            return all(node.peers() == uuids - {node.uuid} for node in group)

        try:
            wait_for("they are linked", is_linked, NEWS_TIMEOUT)
        except AssertionError as error:
            known = {node.host.name: node.peers() for node in group}
            tails = "\n".join(f"{node.host}: {node.tail()}" for node in group)
            raise AssertionError(f"{error}: {uuids} {known}\n{tails}") from error

    def wait_found(self, name: str, service: str, places: set[str]) -> None:
        """
        Wait until a node finds a service where it should, and nowhere else.

        :param name: of the node that is asked.
        :param places: names of the nodes that have it.
        """
        expected = {self.nodes[place].host.address for place in places} or {""}

        def is_found() -> bool:
            found = {self.nodes[name].finds(service) for _ in range(8)}
            return found == expected

        wait_for(f"{name} finds {service} on {places}", is_found, NEWS_TIMEOUT)

    def assert_kept(self, ledger: Ledger) -> None:
        """State that each request ended once, and as the guarantees say."""
        self.assertEqual(ledger.problems(), [])
