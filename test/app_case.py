"""
An app's pool in memory: clients at one end, scripted workers at the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.documents import Profile
from cocained.apps.overseer import Overseer
from cocained.apps.service import AppService
from cocained.apps.speech import Handshake
from cocained.apps.worker import State, Worker
from cocained.errors import CocainedError, IsolateError
from cocained.rpc.headers import NO_TRACE
from cocained.rpc.wire import Limits, SessionProtocol
from cocained.testing import FakeNode, MemoryIsolate, MemorySpawn, Peer, ScriptedWorker

#: Kinds of messages, in streams and on the channel of control.
WRITE, ERROR, CLOSE = 0, 1, 2
ENQUEUE, INFO, CONTROL = 0, 1, 2

#: The header list of a frame without a trace, as it travels.
TRIO = [[False, name, value] for name, value in NO_TRACE.headers()]

#: What a worker is told about a client that went away.
CLIENT_GONE = [[5, 2], b"End of file"]

DISCARDED = b"slave has been discarded"


class Launch:
    """A command line; raises :attr:`refusal` if there is one."""

    executable = "worker"
    environment: Mapping[str, str] = {"LANG": "C"}
    refusal: IsolateError | None = None

    def arguments(self, uuid: str) -> dict[str, str]:
        if self.refusal is not None:
            raise self.refusal
        return {"--app": "app", "--uuid": uuid}


class Watcher:
    """Notes what an overseer tells."""

    def __init__(self) -> None:
        self.populations: list[int] = []
        self.failed: list[CocainedError] = []
        self.crashed: list[Worker] = []
        self.printed: list[bytes] = []

    def population_changed(self, active: int) -> None:
        self.populations.append(active)

    def worker_failed(self, error: CocainedError) -> None:
        self.failed.append(error)

    def worker_crashed(self, worker: Worker) -> None:
        self.crashed.append(worker)

    def worker_printed(self, worker: Worker, lines: list[bytes]) -> None:
        self.printed += lines


class Served:
    """The app, as its service sees it."""

    name = "app"

    def __init__(self, overseer: Overseer) -> None:
        self._overseer = overseer
        self.enqueue = overseer.enqueue
        self.control = overseer.pool.control

    def report(self) -> dict[str, Any]:
        return {}


class AppCase(SynchronousTestCase):
    """
    A pool with its clients and workers.

    :cvar profile: keys other than the defaults.
    :cvar version: of the worker protocol.
    :cvar limits: of the node's connections.
    """

    profile: Mapping[str, Any] = {}
    version = 1
    limits = Limits()

    def setUp(self) -> None:
        self.node = FakeNode(limits=self.limits)
        self.clock = self.node.clock
        self.isolate = MemoryIsolate(self.node, "app")
        self.launch = Launch()
        self.watcher = Watcher()
        self.peers: list[Peer] = []
        self.clock.rightNow = 1_000_000.0
        self.make_overseer()

    def make_overseer(self, **keys: Any) -> None:
        """Begin anew with other keys of the profile; ``_`` stands for ``-``."""
        changes = {key.replace("_", "-"): value for key, value in keys.items()}
        self.overseer = Overseer(
            "app",
            Profile.from_mapping("test", {**self.profile, **changes}),
            self.launch,
            self.isolate,
            self.clock,
            self.node.wiring.turn,
            self.watcher,
        )
        self.handshakes = Handshake(self.overseer.pool.workers.get, self.version)
        self.service = AppService(Served(self.overseer))

    # Both ends

    def client(self) -> Peer:
        """Connect a client."""
        peer = self.node.client(self.service)
        self.peers.append(peer)
        return peer

    def connect(self, uuid: str) -> ScriptedWorker:
        """Connect something that may call itself a worker."""
        protocol = SessionProtocol(self.node.wiring, self.handshakes, hold_itself=False)
        peer = ScriptedWorker(self.clock, protocol, uuid, self.version)
        self.peers.append(peer)
        return peer

    def worker(self, number: int = -1) -> ScriptedWorker:
        """Let a worker that was spawned connect and shake hands."""
        peer = self.connect(self.spawn(number).uuid)
        peer.handshake()
        if not self.version:
            peer.heartbeat()
        self.clock.pass_time(0)
        return peer

    def spawn(self, number: int = -1) -> MemorySpawn:
        """Give what was spawned, the last by default."""
        return self.isolate.spawns[number]

    def machine(self, number: int = -1) -> Worker:
        """Give the machine of a worker that has not been buried."""
        return self.overseer.pool.workers[self.spawn(number).uuid]

    def started(self, event: bytes = b"first") -> tuple[Peer, ScriptedWorker]:
        """Connect a client whose first event, on channel 1, is with a worker."""
        client = self.client()
        client.send(1, ENQUEUE, event)
        worker = self.worker()
        self.assertEqual(worker.take(), [[2, 0, [event]]])
        return client, worker

    def finish(self, client: Peer, worker: ScriptedWorker, mine: int, its: int) -> None:
        """End both halves of an event."""
        worker.close(its)
        client.send(mine, CLOSE)
        client.take()
        worker.take()

    def states(self) -> list[str]:
        """States of all workers that are not buried."""
        return sorted(
            worker.state.value for worker in self.overseer.pool.workers.values()
        )

    # What must hold at the end

    def assert_quiet(self) -> None:
        """Nothing waits, nothing is owed, no channel of an event is open."""
        self.clock.pass_time(0)
        overseer = self.overseer
        self.assertEqual(list(overseer.backlog), [])
        self.assertEqual(len(overseer._deadlines), 0)
        for worker in overseer.pool.workers.values():
            self.assertEqual(worker.invocations, {})
            self.assertEqual(worker.load, 0)
        self.assertEqual(overseer.pool.roster.load, 0)
        self.assertEqual(len(overseer.pool.roster), overseer.pool.active)
        for peer in self.peers:
            session = peer.session
            self.assertEqual(session.owed, 0)
            self.assertEqual(session._holds, 0)
            channels = set(session.channels)
            if isinstance(peer, ScriptedWorker):
                channels.discard(1)
            self.assertEqual(channels, set())

    def assert_ended(self) -> None:
        """After the stop of the pool nothing is left, timers neither."""
        stopped = self.overseer.stop()
        self.clock.pass_time(0)
        for worker in self.overseer.pool.workers.values():
            self.assertTrue(worker.is_gone or worker.state is State.TERMINATING)
        self.clock.pass_time(self.overseer.profile.terminate_timeout)
        self.successResultOf(stopped)
        self.assertEqual(self.overseer.pool.workers, {})
        for peer in self.peers:
            peer.disconnect()
        self.assert_quiet()
        self.assertEqual(self.clock.getDelayedCalls(), [])
