"""
A gateway ``vicodyn`` among nodes in memory: what its tests share.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.service import AppService
from cocained.config import convert
from cocained.gateways.adhoc import AdhocGateway
from cocained.gateways.vicodyn.args import VicodynArgs
from cocained.gateways.vicodyn.gateway import VicodynGateway
from cocained.gateways.vicodyn.likeness import ENQUEUE, NODE_GRAPH
from cocained.gateways.vicodyn.peer import Link
from cocained.interfaces import IReactor
from cocained.rpc.connection import Address
from cocained.rpc.dispatch import Dispatch
from cocained.rpc.graph import CLOSE, ERROR, PING, WRITE
from cocained.rpc.wire import Limits, ServerProtocol, Wiring
from cocained.test.memory_network import MemoryNetwork, Raw, RawFactory, reply
from cocained.testing import FakeNode, Peer, plain

#: Errors by which a node says that it did not take a request.
QUEUE_IS_FULL = (21247, 1, b"queue is full")
NOT_RUNNING = (20991, 6, b"application app is not found")
NOT_CONNECTED = (7, 3, b"not connected")

APP_GRAPH = AppService.protocol.graph


class NetworkNode(FakeNode):
    """A node of doubles on a network in memory."""

    def __init__(self, network: MemoryNetwork, limits: Limits | None = None) -> None:
        super().__init__()
        self.reactor = cast(IReactor, network)
        self.wiring = Wiring(self.reactor, limits)
        self.factories[("gateway", "adhoc")] = AdhocGateway

    def component(self, category: str, type: str, name: str, args: Any) -> Any:
        factory: Any = self.factories[category, type]
        return factory(self, name, convert(args, factory.Args))


class RemoteNode:
    """
    Another node, which does what a test tells it.

    :param case: whose network it is on.
    :param uuid: of the node.
    """

    def __init__(self, case: VicodynCase, uuid: str) -> None:
        self._case = case
        self.uuid = uuid
        self.address: Address = ("192.0.2.9", 1000 + len(case.remotes))
        self.factory = RawFactory(self._react)
        self.answers = True
        self.listen()

    def _react(self, frame: Any) -> bytes:
        return reply(frame[0], 0) if frame[1] == PING and self.answers else b""

    def listen(self) -> None:
        """Accept connections."""
        self._case.network.listeners[self.address] = self.factory

    def refuse(self) -> None:
        """Accept no more of them."""
        del self._case.network.listeners[self.address]

    def announce(self, *apps: str, **extra: Any) -> None:
        """Tell the gateway of the node service and of apps."""
        gateway = self._case.gateway
        gateway.consume(self.uuid, "node", [self.address], 1, NODE_GRAPH, extra)
        self.announce_apps(*apps, **extra)
        self._case.network.flush()

    def announce_apps(self, *apps: str, **extra: Any) -> None:
        """Tell the gateway of apps only."""
        for app in apps:
            self._case.gateway.consume(
                self.uuid, app, [("192.0.2.8", 9)], 1, APP_GRAPH, extra
            )

    @property
    def connection(self) -> Raw:
        """The connection that was opened last."""
        return self.factory.raw[-1]

    @property
    def connections(self) -> int:
        """How many connections were opened."""
        return len(self.factory.raw)

    def take(self) -> list[list[Any]]:
        """Give ``[channel, kind, args]`` of what came on the last connection."""
        return [frame[:3] for frame in self.take_whole()]

    def take_whole(self) -> list[list[Any]]:
        """Give each frame that came, headers too."""
        self._case.network.flush()
        frames = [plain(frame) for frame in self.connection.frames]
        self.connection.frames.clear()
        return [frame for frame in frames if frame[1] != PING]

    def requests(self) -> list[int]:
        """Give the channels of requests that came since."""
        return [frame[0] for frame in self.take() if frame[1] == ENQUEUE]

    def send(self, channel: int, kind: int, *args: Any) -> None:
        """Send a frame."""
        self.connection.transport.write(reply(channel, kind, *args))
        self._case.network.flush()

    def chunk(self, channel: int, data: bytes) -> None:
        self.send(channel, WRITE, data)

    def close(self, channel: int) -> None:
        self.send(channel, CLOSE)

    def error(self, channel: int, error: tuple[int, int, bytes]) -> None:
        self.send(channel, ERROR, list(error[:2]), error[2])

    def die(self, reason: Exception | None = None) -> None:
        """End the connection; the next one is refused."""
        self.refuse()
        self.hang_up(reason)

    def hang_up(self, reason: Exception | None = None) -> None:
        """End the connection."""
        self.connection.transport.end(Failure(reason or ConnectionDone()))
        self._case.network.flush()


class VicodynCase(SynchronousTestCase):
    """
    Tests of a gateway that is started, with nodes beside it.

    :cvar args: of the gateway.
    """

    args: Mapping[str, Any] = {}
    limits: Limits | None = None

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.remotes: list[RemoteNode] = []
        self.node = NetworkNode(self.network, self.limits)
        self.gateway = VicodynGateway(
            self.node, "locator:gateway", convert(self.args, VicodynArgs)
        )
        self.gateway._chance.seed(1)
        self.successResultOf(self.gateway.start())
        self.addCleanup(self.check_end)

    def check_end(self) -> None:
        """Nothing is left when the gateway has stopped."""
        stopped = self.gateway.stop()
        self.pass_time(self.node.patience)
        self.successResultOf(stopped)
        # A connector in memory that was given up forgets it when its time is up.
        self.pass_time(10)
        self.assertEqual(self.network.getDelayedCalls(), [])
        self.assertEqual(self.node.directory.services, {})
        self.assertEqual(self.gateway.links, {})

    def pass_time(self, seconds: float) -> None:
        """Let time pass, half a second at a time."""
        self.network.flush()
        for _ in range(round(seconds * 2)):
            self.network.pass_time(0.5)

    def remote(self, uuid: str, *apps: str) -> RemoteNode:
        """Add a node, and tell the gateway of it."""
        remote = RemoteNode(self, uuid)
        self.remotes.append(remote)
        if apps:
            remote.announce(*apps)
        return remote

    def client(self, app: str = "app") -> Peer:
        """Connect to the virtual service of an app."""
        service = self.node.directory.services[f"virtual::{app}"]
        protocol = ServerProtocol(self.node.wiring, Dispatch(service))
        return Peer(cast(Any, self.network), protocol)

    def link(self, uuid: str) -> Link:
        """The connection to a node."""
        link = self.gateway._peers[uuid].link
        assert link is not None
        return link

    def owner(self, *remotes: RemoteNode) -> tuple[RemoteNode, int]:
        """Find who got the one request that is new."""
        found = [
            (remote, channel)
            for remote in remotes or self.remotes
            for channel in remote.requests()
        ]
        self.assertEqual(len(found), 1, found)
        return found[0]


def refusal(channel: int, error: tuple[int, int, bytes]) -> list[Any]:
    """An error as a client gets it."""
    return [channel, ERROR, [list(error[:2]), error[2]]]
