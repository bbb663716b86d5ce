"""
One app, from its documents to its last worker (protocol.md §6, §8.1, §9).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cocained.apps.app import AppState
from cocained.errors import (
    AppStopped,
    DocumentError,
    SpoolError,
    StorageError,
    UnknownPlugin,
)
from cocained.interfaces import IRemoteService, ISpoolProgress
from cocained.test.app_case import ENQUEUE, INFO
from cocained.test.running_case import RunningCase
from cocained.testing import (
    MemoryIsolate,
    Peer,
)


@implementer(ISpoolProgress)
class TellingIsolate(MemoryIsolate):
    """An isolate that says how far its spooling is."""

    progress: Mapping[str, Any] | None = None


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

    def test_before_the_start(self) -> None:
        """An app that is not there yet takes nothing and reports nothing."""
        app = self.make()

        app.control(3)

        session: Any = None
        self.assertRaises(AppStopped, app.enqueue, session, 1, [], b"event")
        self.assertRaises(AppStopped, app.report)
