# -*- test-case-name: cocained.test.test_loggers_file -*-
"""
Tests for :mod:`cocained.loggers.file` and :mod:`cocained.loggers.console`.
"""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

from twisted.logger import ILogObserver
from twisted.trial.unittest import SkipTest
from zope.interface.verify import verifyObject

from cocained.errors import ConfigError
from cocained.interfaces import ILogger
from cocained.loggers import writer
from cocained.loggers.console import ConsoleArgs, ConsoleLogger
from cocained.loggers.file import FileArgs, FileLogger
from cocained.test.logger_case import DescriptorCase, event, text


class FileLoggerTests(DescriptorCase):
    """Lines in a file."""

    def setUp(self) -> None:
        super().setUp()
        self.path = Path(os.path.abspath(self.mktemp()))

    def build(self, **args: Any) -> FileLogger:
        return FileLogger(self.node, "core", FileArgs(path=str(self.path), **args))

    def lines(self) -> list[str]:
        return self.path.read_text().splitlines()

    def test_interfaces(self) -> None:
        """It is a logger, and an observer of Twisted's."""
        logger = self.build()

        self.assertTrue(verifyObject(ILogger, logger))
        self.assertTrue(verifyObject(ILogObserver, logger))

    def test_relative_path(self) -> None:
        """A relative path starts where the node says, not where it runs."""
        home = os.path.abspath(self.mktemp())
        os.mkdir(home)
        self.node.resolve = lambda path: os.path.join(home, path)

        self.started(FileLogger(self.node, "core", FileArgs(path="node.log")))

        self.assertEqual(os.listdir(home), ["node.log"])

    def test_lines(self) -> None:
        """Every event is a line, in order."""
        logger = self.started(self.build())
        for number in range(100):
            logger(event(f"m{number}"))
        self.settle(logger)

        self.assertEqual(
            [line.split()[-1] for line in self.lines()], [f"m{n}" for n in range(100)]
        )

    def test_lines_of_a_turn_go_together(self) -> None:
        """Many events of one turn wake thread and reactor once each."""
        logger = self.started(self.build())
        before = self.reactor.handed
        for number in range(100):
            logger(event(f"m{number}"))
        self.settle(logger)

        self.assertEqual(self.reactor.handed - before, 2)

    def test_appends(self) -> None:
        """What is in the file stays."""
        self.path.write_text("old\n")
        logger = self.started(self.build())
        logger(event())
        self.settle(logger)

        self.assertEqual(len(self.lines()), 2)
        self.assertEqual(self.lines()[0], "old")

    def test_not_for_everybody(self) -> None:
        """Others cannot read a new file."""
        self.started(self.build())

        self.assertEqual(self.path.stat().st_mode & 0o027, 0)

    def test_before_start(self) -> None:
        """Events from before the start are not lost."""
        logger = self.build()
        logger(event("early"))
        self.reactor.pump_ready()
        self.started(logger)
        self.settle(logger)

        self.assertIn("early", self.lines()[0])

    def test_stop_writes_what_waits(self) -> None:
        """The last lines before the stop get out."""
        logger = self.build()
        self.started(logger)
        logger(event("last"))
        self.stop(logger)

        self.assertIn("last", self.lines()[0])
        self.assertEqual(logger._fd, -1)

    def test_after_stop(self) -> None:
        """Events after the stop are dropped and counted."""
        logger = self.build()
        self.started(logger)
        self.stop(logger)

        logger(event())

        self.assertEqual(logger.dropped, 1)

    def test_from_another_thread(self) -> None:
        """Any thread may log."""
        logger = self.started(self.build())
        thread = threading.Thread(target=logger, args=(event("from afar"),))
        thread.start()
        thread.join()
        self.settle(logger)

        self.assertIn("from afar", self.lines()[0])

    def test_from_many_threads(self) -> None:
        """Lines of threads that log at once are whole, and none is lost."""
        logger = self.started(self.build())

        def speak(name: str) -> None:
            for number in range(200):
                logger(event(f"{name}-{number}"))

        threads = [threading.Thread(target=speak, args=(f"t{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.settle(logger)

        said = [line.split()[-1] for line in self.lines()]
        for name in ("t0", "t1", "t2", "t3"):
            mine = [word for word in said if word.startswith(name)]
            self.assertEqual(mine, [f"{name}-{n}" for n in range(200)])

    def test_reopen(self) -> None:
        """After a rotation lines go to a new file, and none is lost."""
        logger = self.started(self.build())
        logger(event("before"))
        self.settle(logger)
        rotated = self.path.rename(self.path.with_suffix(".1"))
        logger(event("between"))
        self.settle(logger)

        logger.reopen()
        logger(event("after"))
        self.reactor.pump_until(lambda: not logger._lane.pending and not logger._lines)

        self.assertIn("after", self.lines()[0])
        self.assertEqual(len(self.lines()), 1)
        self.assertEqual(len(rotated.read_text().splitlines()), 2)

    def test_reopen_fails(self) -> None:
        """When the path cannot be opened anew, the old file tells."""
        logger = self.started(self.build())
        rotated = self.path.rename(self.path.with_suffix(".1"))
        self.path.mkdir()

        logger.reopen()
        self.reactor.pump_until(lambda: logger._lines)
        self.settle(logger)

        self.assertIn("cannot be opened anew", rotated.read_text())
        self.assertIn("Is a directory", rotated.read_text())

    def test_reopen_leaves_no_descriptors(self) -> None:
        """The old file is closed."""
        logger = self.started(self.build())
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            logger.reopen()
        self.reactor.pump_until(lambda: not logger._lane.pending)

        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_cannot_open(self) -> None:
        """A path that cannot be opened ends the start and is named."""
        logger = FileLogger(self.node, "core", FileArgs(path="/nowhere/at/all.log"))
        self.addCleanup(self.stop, logger)

        started = self.reactor.wait_for(logger.start())

        error = self.failureResultOf(started, ConfigError).value
        self.assertIn("/nowhere/at/all.log", str(error))

    def test_fifo_without_reader(self) -> None:
        """A FIFO that nobody reads is an error and not a wait for ever."""
        os.mkfifo(self.path)
        logger = self.build()
        self.addCleanup(self.stop, logger)

        started = self.reactor.wait_for(logger.start())

        self.failureResultOf(started, ConfigError)

    def test_full_disk(self) -> None:
        """A full disk costs lines, not the node; then the log says so once."""
        if not os.path.exists("/dev/full"):
            raise SkipTest("this system has no /dev/full")
        logger = self.started(FileLogger(self.node, "core", FileArgs(path="/dev/full")))
        logger(event("lost 1"))
        logger(event("lost 2"))
        self.settle(logger)
        logger(event("lost 3"))
        self.settle(logger)
        self.assertEqual(logger.dropped, 3)

        logger._fd, full = os.open(self.path, os.O_CREAT | os.O_WRONLY), logger._fd
        os.close(full)
        logger(event("fine"))
        self.settle(logger)
        logger(event("fine too"))
        self.settle(logger)

        lines = self.lines()
        self.assertEqual(len(lines), 3)
        self.assertIn(
            "logger/core: 3 log lines were lost: No space left on device", lines[0]
        )
        self.assertTrue(lines[1].endswith("fine"))

    def test_torn_line(self) -> None:
        """A line that got out by half is ended before the next one."""
        logger = self.started(self.build())
        sends = [(20, errno.ENOSPC)]
        real: Any = logger._thd_send

        def send(data: bytes) -> Any:
            if sends:
                count, error = sends.pop()
                os.write(logger._fd, data[:count])
                return count, error
            return real(data)

        logger._thd_send = send
        logger(event("torn"))
        self.settle(logger)
        logger(event("whole"))
        self.settle(logger)

        lines = self.lines()
        self.assertEqual(lines[0], "2026-11-22T04:33:00.")
        self.assertIn("1 log lines were lost", lines[1])
        self.assertTrue(lines[2].endswith("whole"))
        self.assertEqual(logger.dropped, 1)

    def test_partial_batch(self) -> None:
        """Only lines that did not get out whole count as lost."""
        logger = self.started(self.build())
        logger._thd_send = lambda data: (data.index(b"\n") + 3, errno.EIO)
        for number in range(3):
            logger(event(f"m{number}"))
        self.settle(logger)

        self.assertEqual(logger.dropped, 2)

    def test_overflow(self) -> None:
        """Lines that come faster than they go are dropped, and it is said."""
        logger = self.build()
        size = len(text(event("x" * 1000))) + 1
        fits = writer.MAX_PENDING // size
        for _ in range(fits + 7):
            logger(event("x" * 1000))
        self.assertEqual(logger.dropped, 7)

        self.started(logger)
        self.settle(logger)

        lines = self.lines()
        self.assertEqual(len(lines), fits + 1)
        self.assertIn("7 log lines were lost: they came faster", lines[0])


class ConsoleLoggerTests(DescriptorCase):
    """Lines to standard error, here a pipe."""

    def setUp(self) -> None:
        super().setUp()
        self.reader, self.writer = os.pipe()
        self.is_open = True
        self.addCleanup(self.close_reader)
        self.addCleanup(os.close, self.writer)
        self.logger = ConsoleLogger(self.node, "core", ConsoleArgs())
        self.logger.descriptor = self.writer

    def close_reader(self) -> None:
        if self.is_open:
            self.is_open = False
            os.close(self.reader)

    def test_lines(self) -> None:
        """A supervisor reads a line for each event."""
        self.started(self.logger)
        self.logger(event("one"))
        self.logger(event("two"))
        self.settle(self.logger)

        lines = os.read(self.reader, 65536).decode().splitlines()
        self.assertEqual([line[-3:] for line in lines], ["one", "two"])

    def test_standard_error(self) -> None:
        """The descriptor is that of standard error."""
        self.assertEqual(ConsoleLogger.descriptor, 2)

    def test_keeps_the_descriptor(self) -> None:
        """Stopping does not close what belongs to all."""
        self.started(self.logger)
        self.stop(self.logger)

        self.assertEqual(os.write(self.writer, b"x"), 1)

    def test_json(self) -> None:
        """A supervisor may as well read an object for each event."""
        logger = ConsoleLogger(self.node, "core", ConsoleArgs(format="json"))
        logger.descriptor = self.writer
        self.started(logger)
        logger(event("one\ntwo"))
        self.settle(logger)

        (line,) = os.read(self.reader, 65536).splitlines()
        self.assertEqual(json.loads(line)["message"], "one\ntwo")

    def test_json_notice(self) -> None:
        """A notice of lost lines has the format of all others."""
        logger = ConsoleLogger(self.node, "core", ConsoleArgs(format="json"))
        logger.descriptor = self.writer
        self.started(logger)
        logger._lost, logger._reason = 3, "a reason"
        logger(event("one"))
        self.settle(logger)

        notice = json.loads(os.read(self.reader, 65536).splitlines()[0])
        self.assertEqual(notice["source"], "logger/core")
        self.assertEqual(notice["level"], "warning")
        self.assertEqual(notice["message"], "3 log lines were lost: a reason")

    def test_closed_descriptor(self) -> None:
        """A node without standard error does not start with this logger."""
        logger = ConsoleLogger(self.node, "core", ConsoleArgs())
        logger.descriptor = 1_000_000
        self.addCleanup(self.stop, logger)

        started = self.reactor.wait_for(logger.start())

        error = self.failureResultOf(started, ConfigError).value
        self.assertIn("Bad file descriptor", str(error))

    def test_broken_pipe(self) -> None:
        """A reader that went away costs lines and nothing else."""
        self.started(self.logger)
        self.close_reader()
        self.logger(event())
        self.settle(self.logger)

        self.assertEqual(self.logger.dropped, 1)

    def test_stuck_reader(self) -> None:
        """A reader that does not read keeps nobody waiting, not even the end."""
        self.started(self.logger)
        for _ in range(3000):
            self.logger(event("x" * 100))
        self.reactor.pump_ready()

        stopped = self.logger.stop()
        self.assertNoResult(stopped)
        self.reactor.advance(writer.STOP_TIMEOUT)
        self.reactor.advance(0)

        self.assertIsNone(self.successResultOf(stopped))
        self.close_reader()

    def test_non_blocking_pipe(self) -> None:
        """A descriptor that somebody made non-blocking gets every line."""
        os.set_blocking(self.writer, False)
        self.started(self.logger)
        got: list[bytes] = []

        def read() -> None:
            while sum(map(len, got)) < expected:
                got.append(os.read(self.reader, 65536))

        expected = 3000 * (len(text(event("x" * 100))) + 1)
        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        for _ in range(3000):
            self.logger(event("x" * 100))
        self.settle(self.logger)
        thread.join(20)

        self.assertEqual(b"".join(got).count(b"\n"), 3000)
        self.assertEqual(self.logger.dropped, 0)
