# -*- test-case-name: cocained.test.test_unicorns_files -*-
"""Tests for :mod:`cocained.unicorns.files`: lives of one process after another."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cocained.errors import ConfigError, ConnectionLoss, UnicornBusy, UnicornError
from cocained.interfaces import IReporter, IUnicorn
from cocained.lane import STOP_TIMEOUT
from cocained.testing import stub_node
from cocained.testing.contracts import MemoryObserver, UnicornCase
from cocained.unicorns.files import FilesArgs, FilesUnicorn
from cocained.unicorns.journal import JOURNAL, Journal
from cocained.unicorns.local import PENDING_LIMIT
from cocained.unicorns.memory import MemoryUnicorn


class FilesUnicornTests(UnicornCase, SynchronousTestCase):
    """What is there in the next life, and what is not."""

    def setUp(self) -> None:
        self.node = stub_node()
        self.folder = Path(self.mktemp())
        self.unicorn: Any = self.begin()

    def begin(self) -> Any:
        """Start a unicorn in the directory."""
        unicorn = FilesUnicorn(self.node, "core", FilesArgs(path=str(self.folder)))
        self.result_of(unicorn.start())
        self.addCleanup(lambda: self.result_of(unicorn.stop()))
        return unicorn

    def again(self) -> None:
        """Stop and start."""
        self.result_of(self.unicorn.stop())
        self.unicorn = self.begin()

    def test_interfaces(self) -> None:
        """It tells operators how it is."""
        self.assertTrue(verifyObject(IReporter, self.unicorn))
        self.assertTrue(verifyObject(IUnicorn, self.unicorn))
        self.assertEqual(
            self.unicorn.report(),
            {"problem": "", "path": os.path.abspath(self.folder)},
        )

    def test_next_life(self) -> None:
        """Nodes stay; ephemeral ones and locks have ended."""
        self.create("/a", {"k": [1]})
        self.result_of(self.unicorn.put("/a", 2, 0))
        self.result_of(self.unicorn.create("/e", 1, ephemeral=True))
        holder, waiting = MemoryObserver(), MemoryObserver()
        self.unicorn.lock("/l", holder)
        self.states_of(holder, 1)
        self.unicorn.lock("/l", waiting)
        self.wait_until(lambda: len(self.names("/l")) == 2)

        self.again()

        self.end_of(holder, ConnectionLoss)
        self.end_of(waiting, ConnectionLoss)
        self.assertEqual(self.result_of(self.unicorn.get("/a")), (2, 1))
        self.assertEqual(self.result_of(self.unicorn.get("/e")), (None, -1))
        self.assertEqual(self.names("/l"), [])

    def test_torn(self) -> None:
        """What a crash has torn off is logged, and the rest is there."""
        self.create("/a", 1)
        self.result_of(self.unicorn.stop())
        with (self.folder / JOURNAL).open("ab") as file:
            file.write(b"\0\0")

        self.unicorn = self.begin()

        self.assertEqual(self.result_of(self.unicorn.get("/a")), (1, 0))

    def test_in_use(self) -> None:
        """A second node in the same directory does not start."""
        other = FilesUnicorn(self.node, "other", FilesArgs(path=str(self.folder)))
        started = other.start()
        self.wait_until(lambda: started.called)

        error = self.failureResultOf(started, ConfigError).value

        self.assertIn("in use by another process", str(error))
        self.result_of(other.stop())

    def test_disk_full(self) -> None:
        """A full disk is an error, for operators too, until it has room again."""
        self.create("/a", 1)
        journal: Any = self.unicorn._journal

        def refuse(fd: int, data: Any) -> int:
            raise OSError(errno.ENOSPC, "full")

        journal._os_write = refuse
        observer = MemoryObserver()
        self.unicorn.subscribe("/a", observer)
        self.states_of(observer, 1)
        error = self.error_of(self.unicorn.put("/a", 2, 0), UnicornError)
        self.assertIn("No space left on device", error.reason)
        self.assertEqual(self.unicorn.report()["problem"], error.reason)
        self.assertEqual(self.result_of(self.unicorn.get("/a")), (1, 0))
        self.assertEqual(observer.told, 1)
        journal._os_write = os.write

        self.result_of(self.unicorn.put("/a", 3, 0))

        self.assertEqual(self.states_of(observer, 2)[1], (3, 1))
        self.assertEqual(self.unicorn.report()["problem"], "")
        self.again()
        self.assertEqual(self.result_of(self.unicorn.get("/a")), (3, 1))

    def test_change_that_breaks(self) -> None:
        """A bug in the thread is logged, and answered with our error."""
        journal: Any = self.unicorn._journal
        journal.note = lambda states: 1 / 0

        self.error_of(self.unicorn.create("/a", 1), UnicornError)

        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_hanging_disk(self) -> None:
        """A disk that hangs keeps neither the node nor its end from going on."""
        journal: Any = self.unicorn._journal
        hang, real = threading.Event(), Journal.note
        self.addCleanup(hang.set)

        def note(states: Any) -> None:
            hang.wait(60)
            real(journal, states)

        journal.note = note
        answers: list[Deferred[Any]] = [
            self.unicorn.create(f"/n{number}", 1) for number in range(PENDING_LIMIT)
        ]
        self.error_of(self.unicorn.create("/more", 1), UnicornBusy)

        stopped = self.unicorn.stop()
        self.node.reactor.advance(STOP_TIMEOUT)
        self.node.reactor.pump_ready()
        self.node.reactor.advance(STOP_TIMEOUT)

        self.assertTrue(stopped.called)
        for answer in answers:
            self.assertIsInstance(self.failureResultOf(answer).value, ConnectionLoss)

    def test_not_started(self) -> None:
        """One that was never started can be stopped."""
        other = FilesUnicorn(self.node, "other", FilesArgs(path=self.mktemp()))

        self.assertIsNone(self.successResultOf(other.stop()))

    def test_stopped(self) -> None:
        """After the end, everything is refused."""
        self.result_of(self.unicorn.stop())
        observer = MemoryObserver()

        self.error_of(self.unicorn.get("/a"), ConnectionLoss)
        self.unicorn.subscribe("/a", observer)

        self.end_of(observer, ConnectionLoss)


class WatchTests(UnicornCase, SynchronousTestCase):
    """Watches of a keeper without threads."""

    def setUp(self) -> None:
        self.node = stub_node()
        self.unicorn: Any = MemoryUnicorn(self.node, "core")

    def test_nothing_is_left(self) -> None:
        """Scopes that come and go leave no watch behind."""
        for number in range(20):
            for begin in (self.unicorn.subscribe, self.unicorn.lock):
                observer = MemoryObserver()
                scope = begin(f"/n{number}", observer)
                self.states_of(observer, 1)
                scope.close()
        self.settle()

        self.assertEqual(self.unicorn.keeper.watched, 0)
        self.assertEqual(self.node.reactor.getDelayedCalls(), [])

    def test_the_end(self) -> None:
        """The end of the backend is the end of its scopes."""
        observer = MemoryObserver()
        self.unicorn.subscribe("/a", observer)
        self.states_of(observer, 1)

        self.unicorn.stop()

        self.end_of(observer, ConnectionLoss)
