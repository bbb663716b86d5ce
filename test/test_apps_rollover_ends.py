"""
An app that ends while a new release of it is coming (row 187).
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from cocained.apps.app import AppState
from cocained.errors import AppStopped
from cocained.test.rollover_case import RolloverCase
from cocained.testing import MemoryIsolate


class EndTests(RolloverCase):
    """A pause, or the node's end, in each phase leaves nothing behind."""

    def setUp(self) -> None:
        super().setUp()
        self.start_with(1)

    def assert_stops(self, done: Deferred[None] | None, patience: float = 3) -> None:
        """Stop the app; nothing is left then, and the update has failed."""
        stopped = self.stop(self.app, patience)
        self.clock.pass_time(patience + 2)
        self.successResultOf(stopped)
        if done is not None:
            self.failureResultOf(done, AppStopped)
        self.assertIs(self.app.state, AppState.STOPPED)
        for isolate in self.isolates:
            self.assertFalse(any(spawn.alive for spawn in isolate.spawns))
        self.assert_nothing_left(self.app)

    def test_loading(self) -> None:
        """While the documents are read."""
        gate = self.core.gate = Deferred()
        done = self.update()
        stopped = self.stop(self.app, 1)
        self.core.gate = None

        gate.callback(None)

        self.clock.pass_time(5)
        self.successResultOf(stopped)
        self.failureResultOf(done, AppStopped)
        self.assert_nothing_left(self.app)

    def test_spooling(self) -> None:
        """While the code is fetched."""
        self.slow = True
        done = self.update()

        self.assert_stops(done)
        self.assertTrue(self.coming.spools[0].called)

    def test_waiting(self) -> None:
        """While a release before it is leaving."""
        self.update()
        self.worker(self.app)
        self.clock.pass_time(0)
        done = self.update()
        self.assertEqual(self.told(), {"state": "waiting"})

        self.assert_stops(done)

    def test_spawning(self) -> None:
        """While a worker of it is being spawned."""
        self.isolate_is_slow_to_spawn()
        done = self.update()
        self.assertFalse(self.coming.spawns[0].alive)

        self.assert_stops(done)
        self.assertTrue(self.coming.spawns[0].cancelled)

    def isolate_is_slow_to_spawn(self) -> None:
        factory = self.isolate_factory

        def make(node: Any, name: str, args: Any) -> MemoryIsolate:
            isolate = factory(node, name, args)
            spool = isolate.spool

            def spool_fast() -> Deferred[None]:
                done = spool()
                isolate.slow = True
                return done

            isolate.spool = spool_fast  # type: ignore[method-assign]
            return isolate

        self.node.factories["isolate", "memory"] = make

    def test_handshaking(self) -> None:
        """While its worker has yet to shake hands."""
        self.assert_stops(self.update())

    def test_some_active(self) -> None:
        """While some of its workers are there."""
        self.app.control(2)
        self.worker(self.app, 1)
        done = self.update()
        self.worker(self.app, 0)
        self.clock.pass_time(0)
        self.assertNoResult(done)

        self.assert_stops(done)

    def test_leaving(self) -> None:
        """While the former release has events yet."""
        client = self.client()
        self.ask(client, 1)
        self.update()
        self.worker(self.app)
        self.clock.pass_time(0)

        self.assert_stops(None)

        self.assertEqual([frame[:2] for frame in client.take()], [[1, 1]])

    def test_failed(self) -> None:
        """While a worker of a release that has failed is ending."""
        self.app.control(2)
        self.worker(self.app, 1)
        done = self.update()
        self.coming.obedient = False
        for spawn in self.coming.spawns:
            spawn.alive = True
        self.clock.pass_time(5.1)
        self.failureResultOf(done)
        stopped = self.stop(self.app, 1)
        self.clock.pass_time(3)
        self.assertNoResult(stopped)

        for spawn in self.coming.spawns:
            spawn.exit(-9)
        self.clock.pass_time(2)

        self.successResultOf(stopped)
        self.assert_nothing_left(self.app)

    def test_drain(self) -> None:
        """A drain gives up what comes, and waits for what leaves."""
        client = self.client()
        self.ask(client, 1)
        self.update()
        self.worker(self.app)
        self.clock.pass_time(0)
        done = self.update()

        drained = Deferred.fromCoroutine(self.app.drain())
        self.clock.pass_time(0)
        self.failureResultOf(done, AppStopped)
        self.assertNoResult(drained)
        self.answer(self.first, 2, b"yes")
        self.first.terminate(14)
        self.clock.pass_time(2)

        self.successResultOf(drained)
        self.assertEqual(client.take(), [[1, 0, [b"yes"]], [1, 2, []]])
        self.assertEqual(self.node.directory.services, {})
        self.assert_stops(None)
