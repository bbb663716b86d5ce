# -*- test-case-name: cocained.test.test_services_locator_cluster -*-
"""
What a locator with a cluster does for other nodes.
"""

from __future__ import annotations

from typing import Any, ClassVar

from cocained.config import ComponentConfig
from cocained.errors import ConfigError
from cocained.rpc.codec import pack
from cocained.services.locator import LocatorArgs, LocatorService
from cocained.test.locator_case import NOT_THERE, STORAGE, LocatorCase
from cocained.test.service_case import (
    STORAGE_GRAPH,
    TRIO,
    Client,
    MemoryNode,
    ServiceCase,
)


class ClusterTests(LocatorCase):
    """A node with a cluster that has nobody else in it yet."""

    args = LocatorArgs(
        cluster=ComponentConfig(type="predefine", args={"nodes": []}),
        restrict=("logging",),
        extra_param={"weight": 5},
    )

    #: The header that comes with each write.
    EXTRA: ClassVar = [
        *TRIO,
        [False, "x-cocaine-locator-extra", pack({"weight": 5})],
    ]

    def listen(self, uuid: str = "other") -> Client:
        """Let another node listen; forget what it is told first."""
        listener = self.connect(self.locator)
        (told,) = listener.send([1, 1, [uuid]])
        self.assertEqual(told[:2], [1, 0])
        return listener

    def test_snapshot(self) -> None:
        """Everything at once, but the locator itself and what is restricted."""
        self.check(
            [1, 1, ["other"]],
            [1, 0, [MemoryNode.uuid, {"storage": STORAGE}], self.EXTRA],
        )

    def test_removed(self) -> None:
        """A service that goes is told without its endpoints."""
        listener = self.listen()

        self.successResultOf(self.node.directory.remove("storage"))

        gone = [[], 1, STORAGE_GRAPH]
        self.assertEqual(
            listener.receive(),
            [[1, 0, [MemoryNode.uuid, {"storage": gone}], self.EXTRA]],
        )

    def test_restricted(self) -> None:
        """What is restricted is told neither when it comes nor when it goes."""
        listener = self.listen()

        self.successResultOf(self.node.directory.remove("logging"))

        self.assertEqual(listener.receive(), [])

    def test_published(self) -> None:
        """A published service is told, though resolve does not see it here."""
        listener = self.listen()
        self.client.send([1, 4, ["ext", [["127.0.0.1", 9999]]]])
        (told,) = listener.receive()
        self.assertEqual(told[2][1], {"ext": [[["127.0.0.1", 9999]], 0, {}]})
        self.check([2, 0, ["ext"]], [2, 1, NOT_THERE])

        self.client.send([1, 0, []])

        (told,) = listener.receive()
        self.assertEqual(told[2][1], {"ext": [[], 0, {}]})

    def test_empty_name(self) -> None:
        """A service without a name is not published."""
        (answer,) = self.client.send([1, 4, ["", [["127.0.0.1", 9999]]]])

        self.assertEqual((answer[1], answer[2][0]), (1, [7, 2]))

    def test_bad_uuid(self) -> None:
        """A node that does not say who it is hears nothing."""
        (answer,) = self.client.send([1, 1, [""]])

        self.assertEqual((answer[1], answer[2][0]), (1, [7, 2]))
        self.check_alive(2)

    def test_connection_lost(self) -> None:
        """One that has gone is forgotten."""
        listener = self.listen()
        self.assertEqual(self.locator.report()["told"], 1)

        listener.lose()

        self.assertEqual(self.locator.report()["told"], 0)

    def test_refreshed(self) -> None:
        """Refreshed groups are told in the header of an empty write."""
        self.group("g1", {"storage": 1})
        listener = self.listen()

        self.client.send([1, 2, [["g1"]]])

        (told,) = listener.receive()
        self.assertEqual(told[2], [MemoryNode.uuid, {}])
        extra = pack({"weight": 5, "cocained-groups": ["g1"]})
        self.assertEqual(told[3][-1], [False, "x-cocaine-locator-extra", extra])

    def test_failed_refresh(self) -> None:
        """A refresh that fails is told nobody."""
        self.group("gzero", {"storage": 0})
        listener = self.listen()

        self.client.send([1, 2, [["gzero"]]])

        self.assertEqual(listener.receive(), [])

    def test_drain(self) -> None:
        """A node that drains has nothing any more, and all of it when it resumes."""
        listener = self.listen()

        self.node.directory.withdraw()
        (told,) = listener.receive()
        self.assertEqual(told[2][1], {"storage": [[], 1, STORAGE_GRAPH]})
        self.node.directory.restore()

        (told,) = listener.receive()
        self.assertEqual(told[2][1], {"storage": STORAGE})

    def test_stop(self) -> None:
        """A node that stops closes the streams; those who come later hear it."""
        listener = self.listen()

        self.locator.stop()
        self.locator.stop()

        self.assertEqual(listener.receive(), [[1, 2, []]])
        self.check([1, 1, ["late"]], [1, 2, []])

    def test_cluster(self) -> None:
        """Without a gateway it listens to nobody, whoever is found."""
        self.locator._around.links.link("other", [("192.0.2.1", 10053)])

        self.check([1, 3, []], [1, 0, [{}]])


class StartTests(ServiceCase):
    """When a cluster plugin begins."""

    def test_not_before_it_listens(self) -> None:
        """Others are looked for when they could reach this node, not before."""
        node: Any = self.node
        uuid = "99999999-2222-4333-8444-555555555555"
        args = LocatorArgs(
            gateway=ComponentConfig(type="adhoc"),
            cluster=ComponentConfig(
                type="predefine", args={"nodes": {uuid: "192.0.2.1:10053"}}
            ),
        )
        locator = LocatorService(node, "locator", args)
        started = locator.start()
        assert started is not None
        self.successResultOf(started)
        self.assertEqual(node.reactor.tcpClients, [])
        self.assertEqual(locator.cluster(), {})

        self.successResultOf(node.directory.expose("locator", locator))

        ((host, port, *_),) = node.reactor.tcpClients
        self.assertEqual((host, port), ("192.0.2.1", 10053))
        self.assertEqual(locator.cluster(), {uuid: ("0.0.0.0", 0)})
        self.assertEqual(
            self.connect(locator).send([1, 3, []]), [[1, 0, [{uuid: ["0.0.0.0", 0]}]]]
        )
        locator.stop()
        self.assertEqual(locator.cluster(), {})

    def test_bad_cluster(self) -> None:
        """Arguments of the plugin that do not fit keep the node from being built."""
        node: Any = self.node
        args = LocatorArgs(
            cluster=ComponentConfig(type="predefine", args={"nodes": ["nowhere"]})
        )

        error = self.assertRaises(ConfigError, LocatorService, node, "locator", args)

        self.assertIn("cluster.args.nodes[0]: must be host:port", str(error))
