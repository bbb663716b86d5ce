"""
What workers print, and their last words (protocol.md §11.5).
"""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, LogLevel

from cocained.apps.scribe import LOG_RATE
from cocained.errors import StorageError
from cocained.test.app_case import ENQUEUE
from cocained.test.running_case import RunningCase


class CrashlogTests(RunningCase):
    """The last words of workers."""

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
