# -*- test-case-name: cocained.test.test_loggers -*-
"""Tests for :mod:`cocained.loggers`."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import ILogObserver, Logger, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from zope.interface.verify import verifyObject

from cocained.errors import ConfigError
from cocained.interfaces import LOG_ATTRIBUTES as ATTRIBUTES
from cocained.interfaces import LOG_SOURCE as SOURCE
from cocained.interfaces import ILogger
from cocained.loggers import syslog, writer
from cocained.loggers.console import ConsoleArgs, ConsoleLogger
from cocained.loggers.file import FileArgs, FileLogger
from cocained.loggers.format import (
    MAX_ATTRIBUTES,
    MAX_LINE,
    json_line,
    severity_of,
    stamp,
    take_apart,
    text_line,
)
from cocained.loggers.syslog import SyslogArgs, SyslogLogger, parse_address
from cocained.loggers.writer import LineArgs, LineLogger
from cocained.testing import PumpedReactor, StubNode

#: 2026-11-22T04:33:00.123Z
NOW = 1795321980.123

#: Nothing of this may get out in a line as it is.
UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)

messages = st.text(st.characters(exclude_categories=()), max_size=200)


def event(message: str = "hello", /, **fields: Any) -> dict[str, Any]:
    """Make an event as the logging service does."""
    return {
        "log_format": "{message}",
        "log_level": LogLevel.info,
        "log_namespace": "cocained.test",
        "log_time": NOW,
        "message": message,
        **fields,
    }


def text(found: Mapping[str, Any]) -> str:
    return text_line(take_apart(found, 0.0))


def parsed(found: Mapping[str, Any]) -> dict[str, Any]:
    answer = json.loads(json_line(take_apart(found, 0.0)))
    assert isinstance(answer, dict)
    return answer


def a_failure() -> Failure:
    try:
        raise ValueError("broken\nthing")
    except ValueError:
        return Failure()


class TextTests(SynchronousTestCase):
    """Events as lines for people."""

    def test_line(self) -> None:
        """Time, level, source and message, in this order."""
        self.assertEqual(
            text(event()), "2026-11-22T04:33:00.123Z info cocained.test: hello"
        )

    def test_source_and_attributes(self) -> None:
        """What came with ``emit`` stands there as source and attributes."""
        line = text(
            event(
                "m",
                **{
                    SOURCE: "app/x",
                    ATTRIBUTES: [
                        ("k", "v"),
                        ("n", 5),
                        ("f", 1.5),
                        ("b", True),
                        ("z", None),
                    ],
                },
            )
        )

        self.assertTrue(line.endswith(" app/x: m k=v n=5 f=1.5 b=true z=null"), line)

    def test_own_fields(self) -> None:
        """Fields of an event follow the message, unless it shows them."""
        line = text(
            event(log_format="started {app}", app="echo", worker="w1", thing=object())
        )

        self.assertIn("cocained.test: started echo ", line)
        self.assertIn(" worker=w1", line)
        self.assertNotIn("app=", line)
        self.assertNotIn("thing", line)

    def test_quoted(self) -> None:
        """Values with spaces, quotes or signs of equality stand in quotes."""
        line = text(
            event(**{ATTRIBUTES: [("a b", 'say "x"'), ("c", "d=e"), ("f", "")]})
        )

        self.assertTrue(line.endswith(r'hello "a b"="say \"x\"" c="d=e" f=""'), line)

    def test_no_forged_line(self) -> None:
        """A line end in a message is shown, not obeyed."""
        line = text(event("one\n2026-11-22T04:33:00.123Z error two\r\x85\u2028"))

        self.assertEqual(line.count("\n"), 0)
        self.assertIn(r"one\n2026", line)
        self.assertTrue(line.endswith(r"\r\x85\u2028"), line)

    def test_no_terminal_commands(self) -> None:
        """Escape sequences and changes of direction are shown."""
        line = text(event("\x1b[2J\x9b31m\u202eabc\x7f\x00"))

        self.assertTrue(line.endswith(r"\x1b[2J\x9b31m\u202eabc\x7f\x00"), line)

    def test_bytes_that_are_no_text(self) -> None:
        """Raw bytes are shown as such."""
        line = text(event("\udcff", **{ATTRIBUTES: [(b"\xfe", b"\xfd")]}))

        self.assertTrue(line.endswith(r'\xff "\xfe"="\xfd"'), line)

    def test_failure(self) -> None:
        """A traceback stays on the line."""
        line = text(event(log_failure=a_failure(), log_level=LogLevel.critical))

        self.assertIn(" critical ", line)
        self.assertIn(r'traceback="Traceback', line)
        self.assertIn("ValueError", line)
        self.assertNotIn("\n", line)

    def test_long_line(self) -> None:
        """A long line is cut to the limit and says so."""
        line = text(event("x" * 10_000_000))

        self.assertLessEqual(len(line), MAX_LINE)
        self.assertRegex(line, r"…\[\d+ more\]$")

    def test_escapes_count(self) -> None:
        """A message that grows by its escapes keeps to the limit too."""
        line = text(event("\x00" * MAX_LINE))

        self.assertLessEqual(len(line), MAX_LINE)

    def test_many_attributes(self) -> None:
        """Attributes beyond the limit are cut and the line says so."""
        pairs = [(f"a{number}", number) for number in range(MAX_ATTRIBUTES + 1)]

        line = text(event(**{ATTRIBUTES: pairs}))

        self.assertNotIn(f"a{MAX_ATTRIBUTES}=", line)
        self.assertTrue(line.endswith(" truncated=true"), line)

    @given(messages, messages, messages, messages)
    def test_nothing_unsafe_gets_out(
        self, message: str, source: str, name: str, value: str
    ) -> None:
        """Whatever is logged, the line is one line of plain characters."""
        found = event(message, **{SOURCE: source, ATTRIBUTES: [(name, value)]})

        self.assertIsNone(UNSAFE.search(text(found)))


class JsonTests(SynchronousTestCase):
    """Events as JSON objects."""

    def test_keys(self) -> None:
        """The keys are stable, and their order too."""
        found = parsed(event(**{SOURCE: "app/x", ATTRIBUTES: [("k", 1)]}))

        self.assertEqual(
            list(found.items()),
            [
                ("time", "2026-11-22T04:33:00.123Z"),
                ("level", "info"),
                ("source", "app/x"),
                ("message", "hello"),
                ("attributes", {"k": 1}),
            ],
        )

    def test_attributes_cannot_forge_keys(self) -> None:
        """An attribute called like a key is an attribute."""
        found = parsed(event(**{ATTRIBUTES: [("level", "error")]}))

        self.assertEqual(found["level"], "info")
        self.assertEqual(found["attributes"]["level"], "error")

    def test_failure(self) -> None:
        """The traceback is a key of its own, with its lines."""
        found = parsed(event(log_failure=a_failure()))

        self.assertIn("ValueError: broken\nthing", found["traceback"])

    def test_odd_numbers(self) -> None:
        """Numbers that JSON does not have become texts."""
        pairs = [("a", float("nan")), ("b", float("inf")), ("c", 10**5000)]

        found = parsed(event(**{ATTRIBUTES: pairs}))["attributes"]

        self.assertEqual((found["a"], found["b"]), ("nan", "inf"))
        self.assertIsInstance(found["c"], str)

    def test_long_line(self) -> None:
        """A line that is too long stays an object, shorter and marked."""
        pairs = [(f"a{number}", "\x00" * 5000) for number in range(MAX_ATTRIBUTES)]
        found = event("\x00" * 100_000, log_failure=a_failure(), **{ATTRIBUTES: pairs})

        line = json_line(take_apart(found, 0.0))

        self.assertLessEqual(len(line), MAX_LINE)
        self.assertIs(json.loads(line)["truncated"], True)
        self.assertIn("more]", json.loads(line)["message"])

    @given(messages, messages)
    def test_keeps_the_message(self, message: str, value: str) -> None:
        """A reader gets what was logged, from a line that is plain ASCII."""
        found = event(message, **{ATTRIBUTES: [("k", value)]})
        line = json_line(take_apart(found, 0.0))

        self.assertIsNone(UNSAFE.search(line))
        self.assertTrue(line.isascii())
        if not re.search("[\ud800-\udfff]", message):
            self.assertEqual(json.loads(line)["message"], message)


class RecordTests(SynchronousTestCase):
    """Odd events."""

    def test_severities(self) -> None:
        """Every level of Twisted has one of ours, and so has none at all."""
        self.assertEqual(
            [severity_of({"log_level": level}) for level in LogLevel.iterconstants()],
            ["debug", "info", "warning", "error", "critical"],
        )
        self.assertEqual(severity_of({}), "info")
        self.assertEqual(severity_of({"isError": 1}), "error")
        self.assertEqual(severity_of({"log_level": "strange"}), "info")

    def test_no_time(self) -> None:
        """An event without a time gets the given one."""
        for time in (None, "soon", float("nan"), float("inf")):
            record = take_apart(event(log_time=time), 5.0)
            self.assertEqual(stamp(record.time), "1970-01-01T00:00:05.000Z")

    def test_impossible_time(self) -> None:
        """A time that no calendar has is a dash."""
        self.assertEqual(stamp(1e300), "-")

    def test_empty_event(self) -> None:
        """An event with nothing in it is a line."""
        self.assertEqual(text({}), "1970-01-01T00:00:00.000Z info -: ")

    def test_malformed_attributes(self) -> None:
        """Attributes that are no list of pairs do no harm."""
        for pairs in (5, "text", [1, 2], [()], [("a",)], {"k": "v"}, None):
            self.assertIn("hello", text(event(**{ATTRIBUTES: pairs})))

    def test_longer_pairs(self) -> None:
        """Further elements of a pair are ignored (G10)."""
        self.assertTrue(text(event(**{ATTRIBUTES: [["k", "v", 1]]})).endswith(" k=v"))


class ListLogger(LineLogger[LineArgs]):
    """Keeps its lines."""

    def __init__(self, args: LineArgs) -> None:
        node: Any = StubNode()
        super().__init__(node, "list", args)
        self.lines: list[str] = []
        self.is_broken = False

    def _emit(self, record: Any) -> None:
        if self.is_broken:
            raise RuntimeError("no place")
        self.lines.append(self._line(record))


class Hostile:
    """An object that cannot be looked at."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __format__ = __str__  # type: ignore[assignment]


class LineLoggerTests(SynchronousTestCase):
    """What all loggers have in common."""

    def test_severity(self) -> None:
        """Events below the severity are left out."""
        for severity, count in (
            ("debug", 5),
            ("info", 4),
            ("warning", 3),
            ("error", 2),
        ):
            logger = ListLogger(LineArgs(severity=severity))  # type: ignore[arg-type]
            for level in LogLevel.iterconstants():
                logger(event(log_level=level))
            self.assertEqual(len(logger.lines), count, severity)

    def test_format(self) -> None:
        """The format decides between text and JSON."""
        logger = ListLogger(LineArgs(format="json"))
        logger(event())

        self.assertEqual(json.loads(logger.lines[0])["message"], "hello")

    def test_from_twisted_logger(self) -> None:
        """It is an observer of Twisted's own loggers."""
        logger = ListLogger(LineArgs())
        Logger("some.where", observer=logger).warn("{app} is ill", app="echo")

        self.assertIn(" warning some.where: echo is ill", logger.lines[0])

    def test_never_raises(self) -> None:
        """An event that cannot be looked at brings a notice."""
        logger = ListLogger(LineArgs())

        logger(event(**{SOURCE: Hostile()}))
        logger(event(log_format="{thing}", thing=Hostile()))

        self.assertEqual(len(logger.lines), 2)
        self.assertIn("an event could not be written", logger.lines[0])

    def test_never_raises_when_nothing_works(self) -> None:
        """When not even a notice can be written, the line is counted."""
        logger = ListLogger(LineArgs())
        logger.is_broken = True

        logger(event())

        self.assertEqual(logger.dropped, 1)

    def test_arguments(self) -> None:
        """Unknown names and values are refused; every field is described."""
        kinds: list[tuple[type[msgspec.Struct], dict[str, Any]]] = [
            (ConsoleArgs, {}),
            (FileArgs, {"path": "/x"}),
            (SyslogArgs, {}),
        ]
        for kind, least in kinds:
            msgspec.convert(least, kind)
            for wrong in ({"format": "xml"}, {"severity": "warn"}, {"colour": 1}):
                self.assertRaises(
                    msgspec.ValidationError, msgspec.convert, {**least, **wrong}, kind
                )
            schema = msgspec.json.schema(kind)["$defs"][kind.__name__]
            for name, field in schema["properties"].items():
                self.assertIn("description", field, name)


class DescriptorCase(SynchronousTestCase):
    """Loggers with a thread."""

    def setUp(self) -> None:
        self.reactor = PumpedReactor()
        self.reactor.rightNow = NOW
        self.node: Any = StubNode(self.reactor)

    def started(self, logger: Any) -> Any:
        started = self.reactor.wait_for(logger.start())
        self.assertIsNone(self.successResultOf(started))
        self.addCleanup(self.stop, logger)
        return logger

    def stop(self, logger: Any) -> None:
        stopped = logger.stop()
        self.pump_to_end(stopped)
        self.assertIsNone(self.successResultOf(stopped))

    def pump_to_end(self, stopped: Any) -> None:
        while not (stopped.called and not stopped.paused):
            self.reactor.pump_one()

    def settle(self, logger: Any) -> None:
        """Let everything logged so far be written."""
        self.reactor.pump_ready()
        self.reactor.pump_until(lambda: not logger._writing and not logger._lines)


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


class SyslogCase(SynchronousTestCase):
    """A logger and a socket that stands for the daemon."""

    def setUp(self) -> None:
        self.node: Any = StubNode()
        self.node.reactor.rightNow = NOW
        # Left relative: the path of a socket has to be short.
        self.path = self.mktemp()
        self.daemon = self.listen()

    def listen(self) -> socket.socket:
        daemon = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        daemon.bind(self.path)
        daemon.settimeout(20)
        self.addCleanup(daemon.close)
        self.addCleanup(self.unlink)
        return daemon

    def unlink(self) -> None:
        if os.path.exists(self.path):
            os.unlink(self.path)

    def build(self, **args: Any) -> SyslogLogger:
        args.setdefault("address", self.path)
        logger = SyslogLogger(self.node, "core", SyslogArgs(**args))
        self.addCleanup(logger.stop)
        self.assertIsNone(logger.start())
        return logger


class SyslogLoggerTests(SyslogCase):
    """Datagrams to the system's log."""

    def test_interfaces(self) -> None:
        """It is a logger, and an observer of Twisted's."""
        logger = self.build()

        self.assertTrue(verifyObject(ILogger, logger))
        self.assertTrue(verifyObject(ILogObserver, logger))

    def test_local(self) -> None:
        """The local daemon gets the C library's form."""
        self.build()(event("hi", **{SOURCE: "app/x", ATTRIBUTES: [("k", "v")]}))

        self.assertEqual(
            self.daemon.recv(9999).decode(),
            f"<30>cocained[{os.getpid()}]: app/x: hi k=v",
        )

    def test_priorities(self) -> None:
        """Facility and level make the number in front."""
        logger = self.build(facility="local3", severity="debug")
        for level, number in (
            (LogLevel.debug, 159),
            (LogLevel.info, 158),
            (LogLevel.warn, 156),
            (LogLevel.error, 155),
            (LogLevel.critical, 154),
        ):
            logger(event(log_level=level))
            self.assertTrue(self.daemon.recv(9999).startswith(b"<%d>" % number))

    def test_json(self) -> None:
        """The body can be JSON."""
        self.build(format="json", identity="node-1")(event())

        head, _, body = self.daemon.recv(9999).partition(b": ")
        self.assertEqual(head, b"<30>node-1[%d]" % os.getpid())
        self.assertEqual(json.loads(body)["message"], "hello")

    def test_long(self) -> None:
        """A datagram keeps to its limit, in text and in JSON, and is marked."""
        for form in ("text", "json"):
            self.build(format=form)(event("ä" * 100_000))

            datagram = self.daemon.recv(99999)

            self.assertLessEqual(len(datagram), syslog.MAX_LOCAL)
            self.assertIn("…[" if form == "text" else "more]", datagram.decode())

    def test_remote(self) -> None:
        """Another machine gets RFC 5424."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            server.settimeout(20)
            host, port = server.getsockname()
            self.build(address=f"{host}:{port}")(event())
            datagram = server.recv(9999).decode()

        self.assertEqual(
            datagram,
            f"<30>1 2026-11-22T04:33:00.123Z {socket.gethostname()} cocained "
            f"{os.getpid()} - - cocained.test: hello",
        )

    def test_remote_long(self) -> None:
        """A datagram to another machine is no larger than receivers take."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            server.settimeout(20)
            host, port = server.getsockname()
            for form in ("text", "json"):
                self.build(address=f"{host}:{port}", format=form)(event("ä" * 9999))
                self.assertLessEqual(len(server.recv(99999)), syslog.MAX_REMOTE)

    def test_no_forged_datagram(self) -> None:
        """A message cannot begin a second line or send commands."""
        self.build()(event("one\n<0>kernel: \x1b[2Jtwo"))

        datagram = self.daemon.recv(9999).decode()

        self.assertIsNone(UNSAFE.search(datagram))
        self.assertIn(r"one\n<0>kernel: \x1b[2Jtwo", datagram)

    def test_path_too_long(self) -> None:
        """A path that no socket can have costs lines and nothing else."""
        logger = self.build(address="/" + "x" * 200)

        logger(event())

        self.assertEqual(logger.dropped, 1)

    def test_no_daemon(self) -> None:
        """Without a daemon lines are dropped, and it is said when one comes."""
        self.daemon.close()
        self.unlink()
        logger = self.build()
        logger(event("lost 1"))
        logger(event("lost 2"))
        self.assertEqual(logger.dropped, 2)

        self.daemon = self.listen()
        self.node.reactor.advance(syslog.RETRY)
        logger(event("fine"))
        logger(event("fine too"))

        notice = self.daemon.recv(9999).decode()
        self.assertIn("2 log lines were lost: No such file or directory", notice)
        self.assertTrue(self.daemon.recv(9999).endswith(b"fine"))
        self.assertTrue(self.daemon.recv(9999).endswith(b"fine too"))

    def test_retry_has_a_pace(self) -> None:
        """A missing socket is not looked for with every line."""
        self.daemon.close()
        self.unlink()
        logger = self.build()
        logger(event("lost 1"))
        self.daemon = self.listen()

        logger(event("lost 2"))

        self.assertEqual(logger.dropped, 2)

    def test_daemon_started_anew(self) -> None:
        """A new socket at the old path is found without losing a line."""
        logger = self.build()
        logger(event("one"))
        self.daemon.close()
        self.unlink()
        self.daemon = self.listen()

        logger(event("two"))

        self.assertTrue(self.daemon.recv(9999).endswith(b"two"))
        self.assertEqual(logger.dropped, 0)

    def test_stuck_daemon(self) -> None:
        """A daemon that does not read costs lines and no time."""
        logger = self.build()
        for _ in range(5000):
            logger(event())
        self.assertGreater(logger.dropped, 0)
        dropped = logger.dropped
        self.daemon.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while self.daemon.recv(9999):
                pass
        self.daemon.settimeout(20)

        logger(event("fine"))

        self.assertIn(f"{dropped} log lines were lost", self.daemon.recv(9999).decode())
        self.assertTrue(self.daemon.recv(9999).endswith(b"fine"))

    def test_reopen(self) -> None:
        """SIGHUP makes the next event connect at once."""
        self.daemon.close()
        self.unlink()
        logger = self.build()
        logger(event("lost"))
        self.daemon = self.listen()

        logger.reopen()
        logger(event("found"))

        self.assertIn("1 log lines were lost", self.daemon.recv(9999).decode())

    def test_after_stop(self) -> None:
        """A stopped logger opens no socket any more."""
        logger = self.build()
        logger.stop()

        logger(event())

        self.assertIsNone(logger._socket)
        self.assertEqual(logger.dropped, 1)


class AddressTests(SynchronousTestCase):
    """Where syslog datagrams can go."""

    def test_addresses(self) -> None:
        """Paths, and numeric addresses with or without a port."""
        for given_text, address in (
            ("/dev/log", "/dev/log"),
            ("192.0.2.1", ("192.0.2.1", 514)),
            ("192.0.2.1:1514", ("192.0.2.1", 1514)),
            ("[2001:db8::1]:1514", ("2001:db8::1", 1514)),
            ("[2001:db8::1]", ("2001:db8::1", 514)),
            ("2001:db8::1", ("2001:db8::1", 514)),
        ):
            self.assertEqual(parse_address(given_text), address)

    def test_mistakes(self) -> None:
        """Anything else is an error that says what is wanted."""
        for wrong in (
            "",
            "host",
            "host:514",
            "192.0.2.1:0",
            "192.0.2.1:x",
            "[::1",
            ":",
        ):
            error = self.assertRaises(ConfigError, parse_address, wrong)
            self.assertEqual(error.path, "address")
            self.assertIn("192.0.2.1:514", str(error))
