"""
Whether an app has changed in the storage (``auto-update``; row 187).
"""

from __future__ import annotations

import errno

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel

from cocained.apps.edition import Edition
from cocained.apps.watch import LAST_DELAY, Watch
from cocained.errors import StorageError
from cocained.test.service_case import LogCase

FIRST, SECOND, THIRD = (Edition(text, "p", "c") for text in "123")

INTERVAL = 10.0


class WatchTests(LogCase):
    """What is told, and when."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.events = self.record_log()
        self.there: Edition | StorageError = FIRST
        self.gate: Deferred[None] | None = None
        self.told: list[Edition] = []
        self.watch = self.make(FIRST)

    def make(self, current: Edition | None) -> Watch:
        watch = Watch(
            "echo",
            current,
            INTERVAL,
            self.look,
            self.told.append,
            self.clock,
            lambda: 0.5,
        )
        watch.start()
        self.clock.advance(INTERVAL / 2)
        return watch

    async def look(self) -> Edition:
        if self.gate is not None:
            await self.gate
        if isinstance(self.there, StorageError):
            raise self.there
        return self.there

    def pass_looks(self, number: int) -> None:
        self.clock.pump([INTERVAL / 10] * (10 * number))

    def warnings(self) -> list[str]:
        return [str(e["error"]) for e in self.events if e["log_level"] is LogLevel.warn]

    def test_nothing_new(self) -> None:
        """What serves already is not told."""
        self.pass_looks(10)

        self.assertEqual(self.told, [])

    def test_new(self) -> None:
        """What two looks in a row have found is told, once."""
        self.there = SECOND
        self.pass_looks(1)
        self.assertEqual(self.told, [])

        self.pass_looks(1)
        self.assertEqual(self.told, [SECOND])

        self.pass_looks(5)
        self.assertEqual(self.told, [SECOND])

    def test_being_written(self) -> None:
        """What changes from one look to the next is not settled."""
        for there in (SECOND, THIRD, SECOND, THIRD):
            self.there = there
            self.pass_looks(1)
        self.assertEqual(self.told, [])

        self.pass_looks(1)
        self.assertEqual(self.told, [THIRD])

    def test_taken_back(self) -> None:
        """So is what serves, if another was told in between."""
        self.there = SECOND
        self.pass_looks(2)
        self.there = FIRST
        self.pass_looks(2)

        self.assertEqual(self.told, [SECOND, FIRST])

    def test_taken_back_at_once(self) -> None:
        """What was there for one look only was never there."""
        self.there = SECOND
        self.pass_looks(1)
        self.there = FIRST
        self.pass_looks(3)

        self.assertEqual(self.told, [])

    def test_unknown_beginning(self) -> None:
        """If it is not known what serves, the first that is found is news."""
        self.watch.stop()
        self.make(None)

        self.pass_looks(1)

        self.assertEqual(self.told, [FIRST])

    def test_storage_is_down(self) -> None:
        """That is a line in the log, one, and so is the end of it."""
        self.there = StorageError(errno.EIO, "it is down")
        self.pass_looks(5)
        self.assertEqual(self.warnings(), ["it is down"])
        self.assertEqual(self.told, [])

        self.there = FIRST
        self.pass_looks(3)

        texts = [e["log_format"] for e in self.events]
        self.assertEqual(texts.count("app {app} can be looked at again"), 1)
        self.assertEqual(self.told, [])

    def test_two_looks_in_a_row(self) -> None:
        """What lies between two looks with a failure in the middle was not seen."""
        self.there = SECOND
        self.pass_looks(1)
        self.there = StorageError(errno.EIO, "it is down")
        self.pass_looks(1)
        self.there = SECOND
        self.pass_looks(1)
        self.assertEqual(self.told, [])

        self.pass_looks(1)
        self.assertEqual(self.told, [SECOND])

    def test_try_again(self) -> None:
        """What could not be used is told again: later, and later each time."""
        self.there = SECOND
        self.pass_looks(2)
        waits = []
        for _ in range(4):
            self.told.clear()
            self.watch.try_again()
            wait = 0
            while not self.told:
                self.pass_looks(1)
                wait += 1
            waits.append(wait)

        self.assertEqual(waits, [1, 2, 4, 8])

    def test_longest_wait(self) -> None:
        """Not later than this."""
        self.there = SECOND
        self.pass_looks(2)
        for _ in range(20):
            self.watch.try_again()
        self.told.clear()
        self.pass_looks(int(LAST_DELAY / INTERVAL) - 1)
        self.assertEqual(self.told, [])

        self.pass_looks(2)
        self.assertEqual(self.told, [SECOND])

    def test_another_instead(self) -> None:
        """Another one does not wait for the one that failed."""
        self.there = SECOND
        self.pass_looks(2)
        for _ in range(20):
            self.watch.try_again()
        self.there = THIRD

        self.pass_looks(2)

        self.assertEqual(self.told, [SECOND, THIRD])

    def test_stop(self) -> None:
        """After the stop nothing is told, whatever a look finds yet."""
        self.there = SECOND
        self.pass_looks(1)
        self.gate = Deferred()
        self.pass_looks(1)

        self.watch.stop()
        self.gate.callback(None)

        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.told, [])

    def test_stop_before_it_is_told(self) -> None:
        """What was found in this very turn is not told, either."""
        self.there = SECOND
        self.pass_looks(1)
        self.gate = Deferred()
        self.pass_looks(1)
        self.gate.callback(None)

        self.watch.stop()
        self.clock.advance(0)

        self.assertEqual(self.told, [])

    def test_failure_after_the_stop(self) -> None:
        """A look that fails when nobody cares any more is no line in the log."""
        self.gate = Deferred()
        self.pass_looks(1)
        self.there = StorageError(errno.EIO, "it is down")

        self.watch.stop()
        self.gate.callback(None)

        self.assertEqual(self.warnings(), [])
