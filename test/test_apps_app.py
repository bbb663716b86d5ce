"""
One app, from its documents to its last worker (protocol.md §6, §8.1, §9).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import Any

import msgpack
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from cocained.apps.app import App, AppState
from cocained.apps.library import Library
from cocained.apps.scribe import LOG_RATE
from cocained.errors import (
    AppStopped,
    CocainedError,
    DocumentError,
    IsolateError,
    SpoolError,
    StorageError,
    UnknownPlugin,
)
from cocained.interfaces import IRemoteService, ISpoolProgress
from cocained.rpc.wire import SessionProtocol
from cocained.storages.memory import MemoryStorage
from cocained.test.app_case import CLOSE, ENQUEUE, INFO
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


@implementer(ISpoolProgress)
class TellingIsolate(MemoryIsolate):
    """An isolate that says how far its spooling is."""

    progress: Mapping[str, Any] | None = None


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

    def worker(self, app: App, number: int = -1) -> ScriptedWorker:
        """Connect the worker that was spawned, through the app's socket."""
        factory = self.clock.ports[app.endpoint].factory
        protocol = factory.buildProtocol(None)
        assert isinstance(protocol, SessionProtocol)
        spawn = self.isolates[-1].spawns[number]
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


class StartTests(RunningCase):
    """How an app comes to run, or does not."""

    def test_running(self) -> None:
        """It is spooled, listens, and is published: rows 107, 117, 122."""
        app = self.start()

        self.assertIs(app.state, AppState.RUNNING)
        self.assertEqual(len(self.isolates[0].spools), 1)
        self.assertEqual(list(self.clock.ports), [app.endpoint])
        self.assertEqual(self.clock.ports[app.endpoint].mode, 0o600)
        self.assertEqual(list(self.node.directory.services), ["echo"])
        service = self.node.directory.services["echo"]
        self.assertTrue(IRemoteService.providedBy(service))
        self.assertEqual(self.isolates[0].spawns, [])

    def test_socket(self) -> None:
        """The socket is in the runtime directory and says whose it is."""
        app = self.make()

        name = os.path.basename(app.endpoint)
        self.assertEqual(os.path.dirname(app.endpoint), self.node.runtime)
        self.assertTrue(name.startswith(f"echo.{os.getpid()}"), name)

    def test_no_manifest(self) -> None:
        """A missing manifest is [12, 2] and leaves no trace (N4)."""
        self.core.remove("manifests", "echo")
        app = self.make()

        error = self.start_badly(app)

        self.assertEqual((error.category, error.code), (12, errno.ENOENT))
        self.assertIn("manifests/echo", error.reason)
        self.assertEqual(self.isolates, [])
        self.assert_nothing_left(app)

    def test_no_profile(self) -> None:
        """Likewise a missing profile (N5)."""
        app = self.make("nosuch")

        error = self.start_badly(app)

        self.assertEqual((error.category, error.code), (12, errno.ENOENT))
        self.assertIn("profiles/nosuch", error.reason)
        self.assert_nothing_left(app)

    def test_no_slave(self) -> None:
        """Without ``slave`` there is nothing to run (N6): row 100."""
        self.put("manifests", "echo", {})

        error = self.start_badly(self.make())

        self.assertIsInstance(error, DocumentError)
        self.assertIn("runnable object has not been specified", error.reason)

    def test_unreadable(self) -> None:
        """A manifest that is no document is [7, 7] "parse error" (N7)."""
        self.core.write("manifests", "echo", b"\xc1")

        error = self.start_badly(self.make())

        self.assertEqual((error.category, error.code), (7, 7))
        self.assertEqual(error.reason, "parse error")

    def test_unknown_isolate(self) -> None:
        """An isolate that nobody has is [8, 7] (N11)."""
        self.put("profiles", "default", {"isolate": {"type": "nosuch"}})

        error = self.start_badly(self.make())

        self.assertIsInstance(error, UnknownPlugin)
        self.assertEqual((error.category, error.code), (8, 7))

    def test_spool_fails(self) -> None:
        """A failed deployment leaves a broken app with its cause (N8)."""
        self.refusal = StorageError(errno.ENOENT, "apps/echo: No such file")
        app = self.make()

        error = self.start_badly(app)

        self.assertIs(error, self.refusal)
        self.assertEqual(
            app.info(1),
            {"state": "broken", "error": 2, "cause": "apps/echo: No such file"},
        )
        self.assert_nothing_left(app)

    def test_spool_fails_by_a_bug(self) -> None:
        """A plugin's bug breaks the app, too, and is logged."""
        self.refusal = ZeroDivisionError("a bug")
        app = self.make()

        error = self.start_badly(app)

        self.assertIsInstance(error, SpoolError)
        self.assertEqual(app.info(0)["state"], "broken")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assert_nothing_left(app)

    def test_name_taken(self) -> None:
        """A service of that name breaks the app, and nothing stays behind."""
        other = self.start()
        service = self.node.directory.services["echo"]
        self.successResultOf(self.stop(other))
        self.node.directory.services["echo"] = service
        app = self.make()

        self.start_badly(app)

        self.assertIs(app.state, AppState.BROKEN)
        self.assertIs(self.node.directory.services.pop("echo"), service)
        self.assert_nothing_left(app)

    def test_socket_taken(self) -> None:
        """A socket that cannot be bound breaks the app."""
        app = self.make()
        os.makedirs(app.endpoint)

        error = self.start_badly(app)

        self.assertIsInstance(error, SpoolError)
        self.assertIn(app.endpoint, error.reason)
        self.assert_nothing_left(app)

    def test_again_after_a_failure(self) -> None:
        """A broken app can be started anew."""
        self.refusal = SpoolError("no")
        self.start_badly(self.make())
        self.refusal = None

        app = self.start()

        self.assertIs(app.state, AppState.RUNNING)

    def test_broken_app_stops(self) -> None:
        """Stopping a broken app does nothing twice."""
        self.refusal = SpoolError("no")
        app = self.make()
        self.start_badly(app)

        self.successResultOf(self.stop(app))
        self.successResultOf(self.stop(app))

        self.assertIs(app.state, AppState.STOPPED)
        self.assert_nothing_left(app)

    def test_unknown_keys(self) -> None:
        """Keys of a profile that mean nothing do no harm."""
        app = self.start(spawn_threshold=7)

        self.assertIs(app.state, AppState.RUNNING)


class PauseWhileStartingTests(RunningCase):
    """``pause_app`` before the start has ended."""

    def test_spooling(self) -> None:
        """Spooling is cancelled, the one who started hears of it."""
        self.slow = True
        app = self.make()
        started = Deferred.fromCoroutine(self.run_app(app))
        self.assertEqual(app.info(1), {"state": "spooling"})

        self.successResultOf(self.stop(app))

        self.failureResultOf(started, AppStopped)
        self.assertTrue(self.isolates[0].spools[0].called)
        self.assertEqual(
            app.info(1), {"state": "stopped", "error": 0, "cause": "manually stopped"}
        )
        self.assert_nothing_left(app)

    def test_loading(self) -> None:
        """While the documents are read, too, and nothing is begun any more."""
        self.core.gate = Deferred()
        app = self.make()
        started = Deferred.fromCoroutine(self.run_app(app))

        self.successResultOf(self.stop(app))
        gate, self.core.gate = self.core.gate, None
        gate.callback(None)

        self.failureResultOf(started, AppStopped)
        self.assertIs(app.state, AppState.STOPPED)
        self.assert_nothing_left(app)

    def test_isolate_starting(self) -> None:
        """While the isolate starts, too."""
        ready: Deferred[None] = Deferred()

        class Late(MemoryIsolate):
            def start(self) -> Deferred[None]:
                super().start()
                return ready

        self.node.factories["isolate", "memory"] = Late
        app = self.make()
        started = Deferred.fromCoroutine(self.run_app(app))

        self.successResultOf(self.stop(app))
        ready.callback(None)

        self.failureResultOf(started, AppStopped)
        self.assertIs(app.state, AppState.STOPPED)
        self.assert_nothing_left(app)


class LaunchTests(RunningCase):
    """The command line of workers (§8.1): rows 100 to 106."""

    manifest = {"slave": "bin/worker", "environment": {"LANG": "C"}}

    def test_arguments(self) -> None:
        """All that protocol 1 needs."""
        app = self.start()
        self.client().send(1, ENQUEUE, b"event")

        (spawn,) = self.isolates[0].spawns
        self.assertEqual(spawn.executable, "bin/worker")
        self.assertEqual(spawn.environment, {"LANG": "C"})
        self.assertEqual(
            spawn.arguments,
            {
                "--app": "echo",
                "--endpoint": app.endpoint,
                "--locator": "127.0.0.1:10053",
                "--protocol": "1",
                "--uuid": spawn.uuid,
            },
        )
        self.assertRegex(spawn.uuid, r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

    def test_locators(self) -> None:
        """All endpoints of the locator, those of version 6 in brackets."""
        directory = Locators(self.node)
        directory.addresses = (("192.0.2.1", 10053), ("2001:db8::1", 10053))
        self.node.directory = directory
        app = self.start()

        self.assertEqual(
            app._release.arguments("u")["--locator"],
            "192.0.2.1:10053,[2001:db8::1]:10053",
        )

    def test_protocol_zero(self) -> None:
        """Old workers get one locator and no protocol."""
        directory = Locators(self.node)
        directory.addresses = (("192.0.2.1", 10053), ("2001:db8::1", 10053))
        self.node.directory = directory
        self.put("manifests", "echo", {"slave": "worker", "protocol": 0})
        app = self.start()

        arguments = app._release.arguments("u")

        self.assertEqual(arguments["--locator"], "192.0.2.1:10053")
        self.assertNotIn("--protocol", arguments)

    def test_no_locator(self) -> None:
        """Without a locator no worker can be started."""
        self.node.directory = Locators(self.node)
        app = self.start()

        self.assertRaises(IsolateError, app._release.arguments, "u")


class ServingTests(RunningCase):
    """A running app."""

    def test_event(self) -> None:
        """An event goes through service, socket and worker: rows 118 to 120."""
        app = self.start()
        client = self.client()
        client.send(1, ENQUEUE, b"ping")
        worker = self.worker(app)

        self.assertEqual(worker.take(), [[2, 0, [b"ping"]]])
        worker.chunk(2, b"pong")
        worker.close(2)

        self.assertEqual(client.take(), [[1, 0, [b"pong"]], [1, 2, []]])

    def test_too_many_connections(self) -> None:
        """The socket takes twice the pool and a few, no more."""
        app = self.start(pool_limit=1)
        factory = self.clock.ports[app.endpoint].factory
        peers = [Peer(self.clock, factory.buildProtocol(None)) for _ in range(10)]

        self.assertIsNone(factory.buildProtocol(None))
        peers[0].disconnect()
        self.assertIsNotNone(factory.buildProtocol(None))

    def test_crashlog(self) -> None:
        """A worker's last words are stored as the original does (§11.5)."""
        app = self.start()
        client = self.client()
        client.send(1, ENQUEUE, b"event")
        spawn = self.isolates[0].spawns[0]
        spawn.output(b"Traceback\nboom")

        spawn.exit(1)

        key = f"1795341600000000:{spawn.uuid}"
        self.assertEqual(list(self.crashlogs()), [key])
        first, second, ours = self.crashlogs()[key]
        self.assertEqual((first, second), (b"Traceback", b"boom"))
        self.assertIn(b"exited with status 1", ours)
        day = self.core.find("crashlogs", ["cocaine-2026-11-22"])
        self.assertEqual(self.successResultOf(day), [key])
        self.assertEqual(app.overseer.stats.crashed, 1)

    def test_no_crashlog_after_a_good_end(self) -> None:
        """A worker that ends in order leaves none."""
        app = self.start()
        self.client().send(1, ENQUEUE, b"event")
        worker = self.worker(app)
        self.isolates[0].spawns[0].output(b"words\n")
        stopped = self.stop(app)
        worker.terminate(11)
        self.clock.pass_time(2)

        self.successResultOf(stopped)
        self.assertEqual(self.crashlogs(), {})

    def test_no_lines_no_crashlog(self) -> None:
        """With crashlog-limit 0 nothing is stored at all."""
        self.start(crashlog_limit=0)
        self.client().send(1, ENQUEUE, b"event")

        self.isolates[0].spawns[0].exit(1)

        self.assertEqual(self.crashlogs(), {})

    def test_crashlog_lost(self) -> None:
        """A storage that does not take it is a line in the log."""
        events = self.logged()
        self.start()
        self.client().send(1, ENQUEUE, b"event")
        self.core.write("crashlogs/x", "y", b"")
        self.core.write = lambda *args, **kw: Deferred.fromCoroutine(  # type: ignore[method-assign]
            self.refuse()
        )

        self.isolates[0].spawns[0].exit(1)

        errors = [e for e in events if e["log_level"] is LogLevel.error]
        self.assertEqual(len(errors), 1)
        self.assertIn("disk is full", str(errors[0]["error"]))

    async def refuse(self) -> None:
        raise StorageError(errno.ENOSPC, "disk is full")


class OutputTests(RunningCase):
    """``log-output``."""

    def lines(self, text: bytes, **profile: Any) -> list[LogEvent]:
        """Let a worker print, give what was logged at ``debug`` and above."""
        self.app = self.start(**profile)
        scribe = self.app._release._scribe
        assert scribe is not None
        self.scribe = scribe
        self.client().send(1, ENQUEUE, b"event")
        events = self.logged()
        self.isolates[0].spawns[0].output(text)
        return events

    def test_off(self) -> None:
        """By default output is not logged."""
        self.assertEqual(self.lines(b"one\n"), [])

    def test_on(self) -> None:
        """Each line is an event with its app and worker."""
        first, second = self.lines(b"one\nt\xffwo\n", log_output=True)

        self.assertEqual((first["line"], second["line"]), ("one", "t\ufffdwo"))
        self.assertEqual(first["app"], "echo")
        self.assertEqual(first["worker"], self.isolates[0].spawns[0].uuid)

    def test_flood(self) -> None:
        """A flood is cut, and the log says so once a second."""
        events = self.lines(b"x\n" * 1000, log_output=True)
        self.isolates[0].spawns[0].output(b"x\n" * 1000)
        levels = [event["log_level"] for event in events]
        self.assertEqual(levels.count(LogLevel.debug), LOG_RATE)
        self.assertEqual(levels.count(LogLevel.warn), 1)

        self.clock.pass_time(1)
        self.isolates[0].spawns[0].output(b"x\n")

        self.assertIs(events[-1]["log_level"], LogLevel.debug)
        self.assertEqual(len(events), LOG_RATE + 2)

    def test_forgotten(self) -> None:
        """Workers that are gone leave no accounts behind."""
        self.lines(b"x\n", log_output=True, idle_timeout=0)
        for _ in range(5):
            self.isolates[0].spawns[-1].exit(1)
            self.clock.pass_time(33)
            self.isolates[0].spawns[-1].output(b"x\n")

        self.assertGreater(len(self.isolates[0].spawns), 5)
        self.assertLessEqual(len(self.scribe.budget), 1)


class PublishTests(RunningCase):
    """``publish-on`` and ``unpublish-under`` (§9.2)."""

    def setUp(self) -> None:
        super().setUp()
        self.app = self.start(publish_on=2, unpublish_under=1, pool_limit=2)

    @property
    def is_published(self) -> bool:
        published = "echo" in self.node.directory.services
        self.assertEqual(self.app.info(0)["publushed"], published)
        return published

    def test_when_there_are_enough(self) -> None:
        """The service appears with the last worker that is needed."""
        self.assertFalse(self.is_published)
        self.app.control(2)
        self.worker(self.app, 0)
        self.assertFalse(self.is_published)

        self.worker(self.app, 1)

        self.assertTrue(self.is_published)

    def test_when_there_are_too_few(self) -> None:
        """It goes when fewer than unpublish-under are left."""
        self.app.control(2)
        first, second = (self.worker(self.app, number) for number in (0, 1))
        first.disconnect()
        self.assertTrue(self.is_published)

        second.disconnect()

        self.assertFalse(self.is_published)

    def test_name_taken(self) -> None:
        """A name that somebody else has by then is a line in the log."""
        self.node.directory.services["echo"] = self.app._service
        events = self.logged()
        self.app.control(2)
        for number in (0, 1):
            self.worker(self.app, number)

        errors = [e for e in events if e["log_level"] is LogLevel.error]
        self.assertEqual(len(errors), 1)
        self.assertFalse(self.app.info(0)["publushed"])


class InfoTests(RunningCase):
    """What ``info`` says of an app in each state (N2b, N3)."""

    def test_flags(self) -> None:
        """Without the report, only state, uptime and publication."""
        app = self.start()
        self.clock.pass_time(53.5)
        for flags in (0, 2, 4, 6):
            self.assertEqual(
                app.info(flags),
                {"state": "running", "uptime": 53, "publushed": True},
                flags,
            )

    def test_report(self) -> None:
        """With it, the report as well."""
        found = self.start().info(1)

        self.assertEqual(
            sorted(found),
            ["load", "pool", "profile", "publushed", "queue", "rate", "rate_mean",
             "requests", "state", "timings", "timings_reversed", "uptime"],
        )  # fmt: skip

    def test_progress(self) -> None:
        """While it spools, how far that is, if the isolate tells."""
        self.node.factories["isolate", "memory"] = TellingIsolate
        app = self.make()
        self.successResultOf(Deferred.fromCoroutine(app.load()))
        self.assertEqual(app.info(1), {"state": "spooling"})
        isolate: Any = app._release._isolate
        isolate.progress = {"text": "half of it", "percent": 50}

        self.assertEqual(
            app.info(1),
            {"state": "spooling", "progress": {"text": "half of it", "percent": 50}},
        )
        self.successResultOf(Deferred.fromCoroutine(app.start()))
        self.assertNotIn("progress", app.info(1))

    def test_service(self) -> None:
        """The service's own is the same without state and publication."""
        app = self.start()
        client = self.client()
        client.send(1, INFO)

        ((_, _, (report,)),) = client.take()

        found = {key.decode() for key in report}
        self.assertEqual(found, set(app.info(1)) - {"state", "publushed"})

    def test_service_of_a_stopped_app(self) -> None:
        """A connection that outlives the app is told so (§7.1)."""
        app = self.start()
        client = self.client()
        self.successResultOf(self.stop(app))
        stopped = [[12, 32], b"the application has been stopped: Broken pipe"]

        client.send(1, INFO)
        client.send(2, ENQUEUE, b"event")

        self.assertEqual(client.take(), [[1, 1, stopped], [2, 1, stopped]])


class StopTests(RunningCase):
    """The end of an app."""

    def test_idle(self) -> None:
        """Without workers it is over at once."""
        app = self.start()

        self.successResultOf(self.stop(app))

        self.assertEqual(self.isolates[0].stops, 1)
        self.assert_nothing_left(app)

    def test_workers(self) -> None:
        """Service first, then workers, then socket and isolate: row 114."""
        app = self.start()
        client = self.client()
        client.send(1, ENQUEUE, b"event")
        worker = self.worker(app)
        worker.take()

        stopped = self.stop(app)
        self.assertEqual(self.node.directory.services, {})
        self.assertEqual(self.isolates[0].stops, 0)
        self.assertEqual(worker.take(), [[1, 1, [11, b"overseer is shutting down"]]])
        worker.terminate(11)
        self.clock.pass_time(10)

        self.successResultOf(stopped)
        self.assertEqual(
            client.take(), [[1, 1, [[2, 125], b"slave has been discarded"]]]
        )
        client.disconnect()
        self.assert_nothing_left(app)

    def test_strangers(self) -> None:
        """What connected and never said a word is disconnected at the end."""
        app = self.start()
        factory = self.clock.ports[app.endpoint].factory
        stranger = Peer(self.clock, factory.buildProtocol(None))

        self.successResultOf(self.stop(app))

        self.assertTrue(stranger.is_closed)
        self.assert_nothing_left(app)

    def test_patience(self) -> None:
        """With little patience workers are killed soon."""
        app = self.start()
        self.client().send(1, ENQUEUE, b"event")
        self.worker(app)
        stopped = self.stop(app, 2.0)
        self.clock.pass_time(1.9)
        self.assertNoResult(stopped)

        self.clock.pass_time(0.2)

        self.successResultOf(stopped)
        self.assertEqual(self.isolates[0].spawns[0].killed, 1)

    def test_drain(self) -> None:
        """Draining takes back the service and finishes what there is."""
        app = self.start()
        client = self.client()
        client.send(1, ENQUEUE, b"event")
        worker = self.worker(app)

        drained = Deferred.fromCoroutine(app.drain())
        self.assertEqual(self.node.directory.services, {})
        self.assertNoResult(drained)
        worker.close(2)
        client.send(1, CLOSE)

        self.successResultOf(drained)

    def test_resume(self) -> None:
        """A drain can be undone: the service is back, and takes events."""
        app = self.start()
        self.successResultOf(Deferred.fromCoroutine(app.drain()))

        self.successResultOf(Deferred.fromCoroutine(app.resume()))

        client = self.client()
        client.send(1, ENQUEUE, b"event")
        self.assertEqual(app.events, 1)
        self.worker(app).close(2)
        client.send(1, CLOSE)
        self.assertEqual(app.events, 0)

    def test_resume_without_workers(self) -> None:
        """A service that waits for workers still does."""
        app = self.start(publish_on=2)
        self.successResultOf(Deferred.fromCoroutine(app.drain()))

        self.successResultOf(Deferred.fromCoroutine(app.resume()))

        self.assertEqual(self.node.directory.services, {})

    def test_drained_is_not_published(self) -> None:
        """Workers that come while the app rests do not bring its service back."""
        app = self.start(publish_on=1, **{"pool-limit": 1})
        self.successResultOf(Deferred.fromCoroutine(app.drain()))

        app.population_changed(1)

        self.assertEqual(self.node.directory.services, {})

    def test_resume_before_the_start(self) -> None:
        """An app that is not there yet has no events, and nothing to undo."""
        app = self.make()

        self.successResultOf(Deferred.fromCoroutine(app.resume()))

        self.assertEqual((app.events, self.node.directory.services), (0, {}))

    def test_before_the_start(self) -> None:
        """An app that is not there yet takes nothing and reports nothing."""
        app = self.make()

        app.control(3)

        session: Any = None
        self.assertRaises(AppStopped, app.enqueue, session, 1, [], b"event")
        self.assertRaises(AppStopped, app.report)

    def test_drain_broken(self) -> None:
        """An app that does not run has nothing to drain."""
        app = self.make()

        self.successResultOf(Deferred.fromCoroutine(app.drain()))
