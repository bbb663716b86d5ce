"""
An app on a node in memory, from its documents on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgpack
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.app import App
from cocained.apps.library import Library
from cocained.errors import CocainedError
from cocained.rpc.wire import SessionProtocol
from cocained.storages.memory import MemoryStorage
from cocained.testing import (
    FakeNode,
    MemoryDirectory,
    MemoryIsolate,
    Peer,
    ScriptedWorker,
)

MANIFEST = {"slave": "worker"}
PROFILE = {"isolate": {"type": "memory"}}


class Locators(MemoryDirectory):
    """A directory whose locator has these addresses."""

    addresses: tuple[tuple[str, int], ...] = ()

    def endpoints(self, name: str) -> tuple[tuple[str, int], ...]:
        return self.addresses


class SlowStorage(MemoryStorage):
    """A storage that waits with its next answer."""

    def __init__(self, node: Any, name: str) -> None:
        super().__init__(node, name)
        self.gate: Deferred[None] | None = None

    def read(self, collection: str, key: str) -> Deferred[bytes]:
        if self.gate is None:
            return super().read(collection, key)
        return self.gate.addCallback(
            lambda _: super(SlowStorage, self).read(collection, key)
        )


class RunningCase(SynchronousTestCase):
    """A node whose storage holds one app."""

    manifest: Mapping[str, Any] = MANIFEST
    profile: Mapping[str, Any] = PROFILE

    def setUp(self) -> None:
        runtime = self.mktemp()
        os.makedirs(runtime)
        self.node = FakeNode(runtime=runtime)
        self.clock = self.node.clock
        self.clock.rightNow = 1_795_341_600.0
        self.core = SlowStorage(self.node, "core")
        self.library = Library(self.core, None)
        self.isolates: list[MemoryIsolate] = []
        self.node.factories["isolate", "memory"] = self.isolate_factory
        self.refusal: Exception | None = None
        self.slow = False
        self.put("manifests", "echo", self.manifest)
        self.put("profiles", "default", self.profile)

    def isolate_factory(self, node: Any, name: str, args: Any) -> MemoryIsolate:
        isolate = MemoryIsolate(node, name)
        isolate.slow = self.slow
        isolate.refusal = self.refusal
        self.isolates.append(isolate)
        return isolate

    def upload(self, blob: bytes) -> None:
        """Store the app's code; isolates in memory do not look at it."""
        self.successResultOf(self.core.write("apps", "echo", blob))

    def put(self, collection: str, key: str, document: Any) -> None:
        blob = msgpack.packb(document, use_bin_type=False)
        self.successResultOf(self.core.write(collection, key, blob))

    def make(self, profile: str = "default") -> App:
        return App(self.node, self.library, "echo", profile)

    async def run_app(self, app: App) -> None:
        await app.load()
        await app.start()

    def start(self, **profile: Any) -> App:
        """Start the app with more keys in its profile."""
        keys = {key.replace("_", "-"): value for key, value in profile.items()}
        self.put("profiles", "default", {**self.profile, **keys})
        app = self.make()
        self.successResultOf(Deferred.fromCoroutine(self.run_app(app)))
        return app

    def start_badly(self, app: App) -> CocainedError:
        failure = self.failureResultOf(Deferred.fromCoroutine(self.run_app(app)))
        assert isinstance(failure.value, CocainedError)
        return failure.value

    def stop(self, app: App, patience: float | None = None) -> Deferred[None]:
        return Deferred.fromCoroutine(app.stop(patience))

    def client(self) -> Peer:
        return self.node.client(self.node.directory.services["echo"])

    def worker(self, app: App, number: int = -1, release: int = -1) -> ScriptedWorker:
        """Connect a worker that was spawned, through its release's socket."""
        spawn = self.isolates[release].spawns[number]
        factory = self.clock.ports[spawn.arguments["--endpoint"]].factory
        protocol = factory.buildProtocol(None)
        assert isinstance(protocol, SessionProtocol)
        worker = ScriptedWorker(self.clock, protocol, spawn.uuid)
        worker.handshake()
        return worker

    def crashlogs(self) -> dict[str, list[bytes]]:
        keys = self.successResultOf(self.core.find("crashlogs", ["echo"]))
        return {
            key: msgpack.unpackb(
                self.successResultOf(self.core.read("crashlogs", key)), raw=True
            )
            for key in keys
        }

    def logged(self) -> list[LogEvent]:
        """Give a list that all that is logged from now on goes to."""
        events: list[LogEvent] = []
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        return events

    def assert_nothing_left(self, app: App) -> None:
        """No socket, no service, no timer; the isolate was stopped once."""
        self.clock.pass_time(0)
        self.assertEqual(self.clock.ports, {})
        self.assertEqual(self.node.directory.services, {})
        for isolate in self.isolates:
            self.assertLessEqual(isolate.stops, 1)
            self.assertGreaterEqual(isolate.stops, isolate.starts)
        self.assertEqual(self.clock.getDelayedCalls(), [])
