# -*- test-case-name: cocained.test.test_isolates_docker_graves -*-
"""
Containers that are to be removed, until they are.
"""

from __future__ import annotations

from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cocained.docker.errors import Conflict, EngineUnreachable, NotFound
from cocained.isolates.docker.graves import FIRST_DELAY, LAST_DELAY, PARALLEL, Graves


class GraveTests(SynchronousTestCase):
    """An engine that removes when the test says so."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[tuple[str, Deferred[None]]] = []
        self.graves = Graves(cast(IReactorTime, self.clock), self.remove)

    def remove(self, container: str) -> Deferred[None]:
        removing: Deferred[None] = Deferred()
        self.asked.append((container, removing))
        return removing

    def names(self) -> list[str]:
        return [name for name, _ in self.asked]

    def test_removed(self) -> None:
        """One is removed at once, and that is that."""
        self.graves.bury("a")
        self.assertEqual((self.names(), len(self.graves)), (["a"], 1))
        self.asked[0][1].callback(None)

        self.assertEqual(len(self.graves), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_gone(self) -> None:
        """One that is not there is as good as removed."""
        self.graves.bury("a")
        self.asked[0][1].errback(NotFound("gone"))

        self.assertEqual(len(self.graves), 0)

    def test_twice(self) -> None:
        """One is removed once, however often that is asked for."""
        self.graves.bury("a")
        self.graves.bury("a")

        self.assertEqual(self.names(), ["a"])

    def test_again(self) -> None:
        """A refusal is tried again, later and later."""
        self.graves.bury("a")
        for attempt in range(12):
            self.asked[-1][1].errback(Conflict("in progress"))
            self.assertEqual(len(self.asked), attempt + 1)
            delay = min(FIRST_DELAY * 2**attempt, LAST_DELAY)
            self.clock.advance(delay - 0.01)
            self.assertEqual(len(self.asked), attempt + 1)
            self.clock.advance(0.02)
            self.assertEqual(len(self.asked), attempt + 2)
        self.asked[-1][1].callback(None)

        self.assertEqual(len(self.graves), 0)

    def test_parallel(self) -> None:
        """A crowd does not keep the engine from all else."""
        for number in range(PARALLEL + 2):
            self.graves.bury(str(number))

        self.assertEqual(len(self.asked), PARALLEL)
        self.asked[0][1].callback(None)
        self.assertEqual(len(self.asked), PARALLEL + 1)

    def test_tried(self) -> None:
        """Who waits learns when all are gone."""
        self.assertIsNone(self.successResultOf(self.graves.when_tried()))
        self.graves.bury("a")
        self.graves.bury("b")
        waiting = self.graves.when_tried()
        self.asked[0][1].callback(None)
        self.assertNoResult(waiting)
        self.asked[1][1].callback(None)

        self.successResultOf(waiting)

    def test_tried_in_vain(self) -> None:
        """Nobody waits for an engine that is away; the attempts go on."""
        self.graves.bury("a")
        waiting = self.graves.when_tried()
        self.asked[0][1].errback(EngineUnreachable("away"))

        self.successResultOf(waiting)
        self.assertEqual(len(self.graves), 1)
        self.clock.advance(FIRST_DELAY)
        self.assertEqual(self.names(), ["a", "a"])

    def test_cancelled(self) -> None:
        """Who waits no more is not told."""
        self.graves.bury("a")
        waiting = self.graves.when_tried()
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        self.asked[0][1].callback(None)

        self.assertEqual(len(self.graves), 0)

    def test_bug(self) -> None:
        """What must not happen is logged, and does not stop the others."""
        self.graves.bury("a")
        self.asked[0][1].errback(ValueError("odd"))

        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(len(self.graves), 0)
        self.graves.bury("b")
        self.assertEqual(self.names(), ["a", "b"])
