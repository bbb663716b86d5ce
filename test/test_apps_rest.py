"""
An app that rests, and goes on.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from cocained.errors import AppStopped
from cocained.test.app_case import CLOSE, ENQUEUE
from cocained.test.running_case import RunningCase


class RestTests(RunningCase):
    """Drain and resume."""

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

        app.control(1)
        self.worker(app)

        self.assertEqual(self.node.directory.services, {})

    def test_resume_before_the_start(self) -> None:
        """An app that is not there yet has no events, and nothing to undo."""
        app = self.make()

        self.successResultOf(Deferred.fromCoroutine(app.resume()))

        self.assertEqual((app.events, self.node.directory.services), (0, {}))

    def test_drain_broken(self) -> None:
        """An app that does not run has nothing to drain."""
        app = self.make()

        self.successResultOf(Deferred.fromCoroutine(app.drain()))

    def test_resume_while_spooling(self) -> None:
        """A drain that is undone before the code is there leaves no trace."""
        self.slow = True
        app = self.make()
        running = Deferred.fromCoroutine(self.run_app(app))
        self.successResultOf(Deferred.fromCoroutine(app.drain()))

        self.successResultOf(Deferred.fromCoroutine(app.resume()))
        self.isolates[0].spools[0].callback(None)
        self.successResultOf(running)

        self.assertIn("echo", self.node.directory.services)
        self.slow = False
        update = Deferred.fromCoroutine(app.update())
        self.assertNoResult(update)
        self.stop(app)
        self.failureResultOf(update, AppStopped)
