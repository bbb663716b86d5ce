"""
One worker in memory: its machine, its owner, its process and its connection.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.documents import Profile
from cocained.apps.invocation import Invocation
from cocained.apps.speech import Handshake
from cocained.apps.worker import State, Worker
from cocained.errors import (
    CocainedError,
    WorkerCode,
)
from cocained.interfaces import IWorkerHandle
from cocained.rpc.headers import NO_TRACE
from cocained.rpc.session import Session
from cocained.rpc.wire import SessionProtocol
from cocained.test.app_case import Launch
from cocained.testing import FakeNode, MemoryIsolate, MemorySpawn, Peer, ScriptedWorker

UUID = "0b1c2a34-0000-4000-8000-00000000000a"


SPAWN, HANDSHAKE, HEARTBEAT, SEAL, TERMINATE = 2.0, 5.0, 30.0, 60.0, 10.0


PROFILE = Profile.from_mapping(
    "test",
    {
        "spawn-timeout": SPAWN,
        "handshake-timeout": HANDSHAKE,
        "heartbeat-timeout": HEARTBEAT,
        "seal-timeout": SEAL,
        "terminate-timeout": TERMINATE,
        "crashlog-limit": 5,
    },
)


class Owner:
    """Notes what a worker tells its overseer."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.errors: list[CocainedError | None] = []
        self.lines: list[bytes] = []

    def worker_active(self, worker: Worker) -> None:
        self.heard.append("active")

    def worker_freed(self, worker: Worker, invocation: Invocation) -> None:
        self.heard.append("freed")
        worker.load -= 1

    def worker_burdened(self, worker: Worker, client: Session | None) -> None:
        self.heard.append("burdened")

    def worker_gone(self, worker: Worker, error: CocainedError | None) -> None:
        self.heard.append("gone")
        self.errors.append(error)

    def worker_buried(self, worker: Worker) -> None:
        self.heard.append("buried")

    def worker_output(self, worker: Worker, lines: list[bytes]) -> None:
        self.lines += lines


class Origin:
    """Where the events of these tests come from."""

    def withdrawn(self, invocation: Invocation) -> None:
        raise AssertionError("these events are with their worker from the start")


class Mute:
    """A root that lets a client's connection be there."""

    def open(self, *arguments: object) -> None:
        raise AssertionError("these clients open no channels by themselves")


class RaisingIsolate(MemoryIsolate):
    """A plugin with a bug."""

    def spawn(self, *arguments: Any, **keywords: Any) -> Deferred[IWorkerHandle]:
        raise ZeroDivisionError("a bug")


class WorkerCase(SynchronousTestCase):
    """One worker, brought to any of its states."""

    version = 1

    def setUp(self) -> None:
        self.node = FakeNode()
        self.clock = self.node.clock
        self.isolate = MemoryIsolate(self.node, "app")
        self.isolate.slow = True
        self.isolate.obedient = False
        self.launch = Launch()
        self.owner = Owner()
        self.make()

    def make(self) -> None:
        """Make a fresh worker, not started yet."""
        self.machine = Worker(
            UUID, self.owner, self.launch, self.isolate, PROFILE, self.clock
        )
        self.root = Handshake({UUID: self.machine}.get, self.version)

    @property
    def spawn(self) -> MemorySpawn:
        return self.isolate.spawns[-1]

    def connect(self) -> ScriptedWorker:
        protocol = SessionProtocol(self.node.wiring, self.root, hold_itself=False)
        return ScriptedWorker(self.clock, protocol, UUID, self.version)

    def inject(self, close: bool = False) -> Peer:
        """Give the worker an event on channel 1 of a fresh client."""
        client = Peer(self.clock, SessionProtocol(self.node.wiring, Mute()))
        now = self.clock.seconds()
        invocation = Invocation(
            Origin(), client.session, 1, b"event", [], NO_TRACE, now, now + 1e6
        )
        client.session.channels[1] = invocation
        client.session._last = 1
        self.machine.load += 1
        self.machine.inject(invocation, now)
        if close:
            client.send(1, 2)
        return client

    # States

    def enter_spawning(self) -> ScriptedWorker:
        self.machine.start()
        return self.connect()

    def enter_early(self) -> ScriptedWorker:
        peer = self.enter_spawning()
        peer.handshake()
        return peer

    def enter_handshaking(self) -> ScriptedWorker:
        peer = self.enter_spawning()
        self.spawn.ready()
        return peer

    def enter_active(self) -> ScriptedWorker:
        peer = self.enter_handshaking()
        peer.handshake()
        if not self.version:
            peer.heartbeat()
            peer.take()
        return peer

    def enter_sealing(self) -> ScriptedWorker:
        peer = self.enter_active()
        self.client = self.inject()
        self.machine.seal()
        peer.take()
        return peer

    def enter_terminating(self) -> ScriptedWorker:
        peer = self.enter_active()
        self.machine.terminate(WorkerCode.IDLE)
        peer.take()
        return peer

    def enter_closed(self) -> ScriptedWorker:
        peer = self.enter_terminating()
        peer.terminate(0)
        return peer

    def enter_broken(self) -> ScriptedWorker:
        peer = self.enter_active()
        peer.disconnect()
        return peer

    def code(self) -> int | None:
        """The code of the worker's error, if that is one of its own."""
        error = self.machine.error
        if error is None:
            return None
        self.assertEqual(error.category, 21503)
        return int(error.code)

    def assert_buried(self) -> None:
        """Gone once, buried once, and no timer is left."""
        self.clock.pass_time(0)
        self.assertEqual(self.owner.heard.count("gone"), 1)
        self.assertEqual(self.owner.heard.count("buried"), 1)
        self.assertEqual(self.machine.invocations, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])


S = State
