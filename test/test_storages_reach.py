# -*- test-case-name: cocained.test.test_storages_reach -*-
"""Tests for :mod:`cocained.storages.reach`."""

from __future__ import annotations

import errno

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import StorageError
from cocained.storages.lines import Lost
from cocained.storages.reach import FIRST_WAIT, LONGEST_WAIT, Reach

GONE = Lost(errno.ECONNREFUSED, "no server")
SLOW = Lost(errno.ETIMEDOUT, "too slow")


class ReachTests(SynchronousTestCase):
    """A server whose attempts the test answers."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.attempts: list[Deferred[None]] = []
        self.reach = Reach(self.clock, "core", self.attempt)

    def attempt(self) -> Deferred[None]:
        self.attempts.append(Deferred())
        return self.attempts[-1]

    def test_lost(self) -> None:
        """The reason is kept, logged once, and one attempt is made soon."""
        with capturedLogs() as events:
            self.reach.failed(GONE)
            self.reach.failed(GONE)

        self.assertIs(self.reach.problem, GONE)
        self.assertEqual(len(events), 1)
        self.assertIn("no server", formatEvent(events[0]))
        self.assertEqual(self.attempts, [])
        self.clock.advance(FIRST_WAIT * 1.25)
        self.assertEqual(len(self.attempts), 1)

    def test_back(self) -> None:
        """A good attempt ends it, and the log says how long it was."""
        self.reach.failed(GONE)
        self.clock.advance(1)
        with capturedLogs() as events:
            self.attempts[0].callback(None)

        self.assertIsNone(self.reach.problem)
        self.assertIn("again after 1.0 s", formatEvent(events[0]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_back_off(self) -> None:
        """Attempts become rare, and never cease."""
        self.reach.failed(GONE)
        waits = []
        for _ in range(12):
            [call] = self.clock.getDelayedCalls()
            waits.append(call.getTime() - self.clock.seconds())
            self.clock.advance(waits[-1])
            self.attempts[-1].errback(Lost(errno.EHOSTUNREACH, "still"))

        for number, wait in enumerate(waits):
            due = min(FIRST_WAIT * 2**number, LONGEST_WAIT)
            self.assertTrue(0.74 * due <= wait <= 1.26 * due, (number, wait))
        assert self.reach.problem is not None
        self.assertEqual(self.reach.problem.reason, "still")

    def test_starts_anew(self) -> None:
        """The next loss begins with short waits again."""
        for _ in range(2):
            self.reach.failed(GONE)
            for _ in range(8):
                self.clock.advance(LONGEST_WAIT * 1.3)
                self.attempts[-1].errback(GONE)
            self.clock.advance(LONGEST_WAIT * 1.3)
            self.attempts[-1].callback(None)
        self.reach.failed(GONE)

        [call] = self.clock.getDelayedCalls()
        self.assertLess(call.getTime() - self.clock.seconds(), FIRST_WAIT * 1.3)

    def test_slow(self) -> None:
        """After one that took too long the server is asked before it is given up."""
        self.reach.failed(SLOW)
        self.reach.failed(SLOW)

        self.assertIsNone(self.reach.problem)
        self.assertEqual(len(self.attempts), 1)
        self.attempts[0].errback(SLOW)
        self.assertIs(self.reach.problem, SLOW)

    def test_slow_by_itself(self) -> None:
        """If the server answers, nothing has happened."""
        self.reach.failed(SLOW)
        with capturedLogs() as events:
            self.attempts[0].callback(None)

        self.assertIsNone(self.reach.problem)
        self.assertEqual(events, [])

    def test_lost_while_it_is_asked(self) -> None:
        """An attempt that is under way decides, and no second one is made."""
        self.reach.failed(SLOW)
        self.reach.failed(GONE)
        self.clock.advance(LONGEST_WAIT)
        self.assertEqual(len(self.attempts), 1)
        self.attempts[0].errback(StorageError(errno.EACCES, "password"))
        self.clock.advance(LONGEST_WAIT)

        self.assertEqual(len(self.attempts), 2)

    def test_stop(self) -> None:
        """Then it tries no more, whatever comes."""
        self.reach.failed(GONE)
        self.clock.advance(1)
        self.reach.stop()
        self.attempts[0].errback(GONE)
        self.reach.failed(GONE)
        self.reach.lost(GONE)

        self.assertEqual(self.clock.getDelayedCalls(), [])
