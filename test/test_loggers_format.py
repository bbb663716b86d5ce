# -*- test-case-name: cocained.test.test_loggers_format -*-
"""
Tests for :mod:`cocained.loggers.format` and :mod:`cocained.loggers.writer`.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
from hypothesis import given
from twisted.logger import Logger, LogLevel
from twisted.trial.unittest import SynchronousTestCase

from cocained.interfaces import LOG_ATTRIBUTES as ATTRIBUTES
from cocained.interfaces import LOG_SOURCE as SOURCE
from cocained.loggers.console import ConsoleArgs
from cocained.loggers.file import FileArgs
from cocained.loggers.format import (
    MAX_ATTRIBUTES,
    MAX_LINE,
    json_line,
    severity_of,
    stamp,
    take_apart,
)
from cocained.loggers.syslog import SyslogArgs
from cocained.loggers.writer import LineArgs, LineLogger
from cocained.test.logger_case import UNSAFE, a_failure, event, messages, parsed, text
from cocained.testing import StubNode


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
