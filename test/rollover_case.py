"""
An app that runs, and what a test needs to see it being updated.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from cocained.apps.app import AppState
from cocained.test.app_case import CLOSE, ENQUEUE
from cocained.test.running_case import RunningCase
from cocained.testing import MemoryIsolate, Peer, ScriptedWorker

#: What a worker is told when its release has a successor.
SEALING = [1, 1, [14, b"slave is sealing"]]


class RolloverCase(RunningCase):
    """One app; releases count from 0, workers of each likewise."""

    def setUp(self) -> None:
        super().setUp()
        self.upload(b"first")

    @property
    def coming(self) -> MemoryIsolate:
        """The isolate of the newest release."""
        return self.isolates[-1]

    def start_with(self, workers: int, **profile: Any) -> list[ScriptedWorker]:
        """Start the app, and let it have some workers."""
        self.app = self.start(**profile)
        self.app.control(workers)
        found = [self.worker(self.app, number) for number in range(workers)]
        self.first = found[0]
        return found

    def update(self, profile: str | None = None) -> Deferred[None]:
        """Begin an update, and let it come as far as it can by itself."""
        done = Deferred.fromCoroutine(self.app.update(profile))
        self.clock.pass_time(0)
        return done

    def ask(self, client: Peer, channel: int, event: bytes = b"event") -> None:
        """Send a whole request."""
        client.send(channel, ENQUEUE, event)
        client.send(channel, CLOSE)

    def answer(self, worker: ScriptedWorker, channel: int, chunk: bytes) -> None:
        """Answer one, and be done with it."""
        worker.chunk(channel, chunk)
        worker.close(channel)

    def told(self) -> dict[str, Any]:
        """What ``info`` says of the update, but when."""
        update = dict(self.app.info(0)["update"])
        del update["since"]
        update.pop("version", None)
        return update

    def assert_unchanged(self, releases: int = 2) -> None:
        """
        The first release serves with its only worker, and of the others nothing
        is left.
        """
        self.clock.pass_time(0)
        self.assertIs(self.app.state, AppState.RUNNING)
        self.assertEqual(list(self.clock.ports), [self.app.endpoint])
        self.assertEqual(len(self.isolates), releases)
        self.assertEqual(self.isolates[0].stops, 0)
        for isolate in self.isolates[1:]:
            self.assertEqual(isolate.stops, 1)
            self.assertFalse(any(spawn.alive for spawn in isolate.spawns))
        client = self.client()
        self.first.take()
        self.ask(client, 1, b"still there")
        channel = self.first.take()[0][0]
        self.answer(self.first, channel, b"yes")
        self.assertEqual(client.take(), [[1, 0, [b"yes"]], [1, 2, []]])
