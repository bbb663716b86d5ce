# -*- test-case-name: cocained.test.test_services_logging -*-
"""
The logging service on the wire: the probes of reference-behaviour.md §5.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import LogEvent, LogLevel, formatEvent
from zope.interface.verify import verifyObject

from cocained.config import convert
from cocained.errors import ConfigError
from cocained.interfaces import LOG_ATTRIBUTES, LOG_SOURCE, IRemoteService
from cocained.services.logging import LoggingArgs, LoggingService
from cocained.test.service_case import ServiceCase


class _LoggingCase(ServiceCase):
    args = LoggingArgs()

    def setUp(self) -> None:
        super().setUp()
        node: Any = self.node
        self.service = LoggingService(node, "logging", self.args)
        self.client = self.connect(self.service)
        self.events = self.record_log()
        self._channel = 0

    def ask(self, kind: int, *args: Any) -> Any:
        """Send a request on the next channel; give what comes back."""
        self._channel += 1
        return self.client.send([self._channel, kind, list(args)])

    def emit(self, *args: Any) -> LogEvent:
        """Send a record; give the event that it became."""
        before = len(self.records)
        self.assertEqual(self.ask(0, *args), [])
        (event,) = self.records[before:]
        return event

    def check_dropped(self, *args: Any) -> None:
        """Send a record that becomes nothing, while the connection lives on."""
        before = len(self.records)
        self.assertEqual(self.ask(0, *args), [])
        self.assertEqual(len(self.records), before)
        self.check_alive()

    def check_alive(self, verbosity: int = 0) -> None:
        """The connection still answers."""
        self._channel += 1
        answer = self.client.send([self._channel, 1, []])
        self.assertEqual(answer, [[self._channel, 0, [verbosity]]])
        self.assertFalse(self.client.closed)

    @property
    def records(self) -> list[LogEvent]:
        return [event for event in self.events if LOG_SOURCE in event]


class ProbeTests(_LoggingCase):
    """G1 to G10."""

    def test_interface(self) -> None:
        """It is a service, of version 2."""
        self.assertTrue(verifyObject(IRemoteService, self.service))
        self.assertEqual(self.service.protocol.version, 2)

    def test_verbosity(self) -> None:
        """G1: everything is wanted, unless the configuration says otherwise."""
        self.assertEqual(self.client.send([1, 1, []]), [[1, 0, [0]]])

    def test_never_answered(self) -> None:
        """G2: an emit has no answer, and its channel is finished at once."""
        event = self.emit(2, "app/x", "a message", [])

        self.assertEqual(formatEvent(event), "a message")
        self.check_alive()
        self.assertEqual(self.client.send([1, 0, [2, "app/x", "again", []]]), [])
        self.assertEqual(len(self.records), 1)
        self.assertEqual(self.client.session.dropped, 1)
        self.check_alive()

    def test_without_attributes(self) -> None:
        """G3: attributes may be left out."""
        event = self.emit(2, "app/x", "no attrs")

        self.assertEqual(event[LOG_ATTRIBUTES], [])

    def test_attributes(self) -> None:
        """G4: text, numbers and truth values, in their order."""
        event = self.emit(
            3, "app/x", "attrs", [["k", "v"], ["n", 5], ["f", 1.5], ["b", True]]
        )

        self.assertEqual(
            event[LOG_ATTRIBUTES], [("k", "v"), ("n", 5), ("f", 1.5), ("b", True)]
        )
        self.assertIs(event[LOG_ATTRIBUTES][3][1], True)

    def test_attributes_as_map(self) -> None:
        """G5: a map is not what attributes are; nobody is told."""
        self.check_dropped(3, "app/x", "attrs", {"k": "v"})

    def test_severity_as_text(self) -> None:
        """G6: a severity is a number."""
        self.check_dropped("info", "app/x", "m", [])

    def test_severities_out_of_range(self) -> None:
        """G7, G7b: beyond the severest is the severest."""
        self.assertIs(self.emit(99, "app/x", "m99", [])["log_level"], LogLevel.error)
        self.assertEqual(self.ask(0, -1, "app/x", "m-1", []), [])
        self.check_alive()

    def test_set_verbosity(self) -> None:
        """G8: unlike in the original it works, and at once."""
        self.assertEqual(self.client.send([1, 2, [2]]), [[1, 0, []]])
        self._channel = 1

        self.check_alive(verbosity=2)
        self.assertEqual(self.ask(0, 1, "app/x", "too little"), [])
        self.assertEqual(self.records, [])
        self.emit(2, "app/x", "enough")

    def test_behind_walls(self) -> None:
        """Workers behind walls can log, and do not decide what is logged."""
        door: Any = None
        self.assertIs(self.service.seen_from(door, False), self.service)
        client = self.connect(self.service.seen_from(door, True))

        self.assertEqual(client.send([1, 1, []]), [[1, 0, [0]]])
        ((_, kind, (pair, _)),) = client.send([2, 2, [3]])

        self.assertEqual((kind, pair), (1, [12, 13]))
        self.assertEqual(client.send([3, 1, []]), [[3, 0, [0]]])

    def test_ping_and_extra_arguments(self) -> None:
        """G9: ping is answered, extra arguments are ignored."""
        self.assertEqual(self.client.send([1, 65533, []]), [[1, 0, []]])
        self.assertEqual(self.client.send([2, 1, [1, 2]]), [[2, 0, [0]]])

    def test_odd_attributes(self) -> None:
        """G10: a third element is ignored, a nested value is refused."""
        event = self.emit(3, "app/x", "attrs3", [["k", "v", 1]])

        self.assertEqual(event[LOG_ATTRIBUTES], [("k", "v")])
        self.check_dropped(3, "app/x", "attrs-nest", [["k", [1, 2]]])
        self.check_dropped(3, "app/x", "attrs-nest", [["k", {"a": 1}]])
        self.check_dropped(3, "app/x", "attrs-nil", [["k", None]])
        self.check_dropped(3, "app/x", "attrs-short", [["k"]])
        self.assertEqual(self.client.session.dropped, 4)


class RecordTests(_LoggingCase):
    """What becomes of a record."""

    def test_severities(self) -> None:
        """Each severity has its level."""
        levels = [self.emit(number, "a", "m")["log_level"] for number in range(4)]

        self.assertEqual(
            levels, [LogLevel.debug, LogLevel.info, LogLevel.warn, LogLevel.error]
        )

    def test_huge_severity(self) -> None:
        """The largest number of the wire is an error too."""
        self.assertIs(self.emit(2**64 - 1, "a", "m")["log_level"], LogLevel.error)

    def test_less_than_debug(self) -> None:
        """A severity below debug is debug, for who wants to hear it (G7b)."""
        self.ask(2, -10)

        self.assertIs(self.emit(-1, "a", "m")["log_level"], LogLevel.debug)

    def test_source(self) -> None:
        """The event says who spoke."""
        self.assertEqual(self.emit(1, "app/echo", "m")[LOG_SOURCE], "app/echo")

    def test_braces(self) -> None:
        """A message is not a format, whatever is in it."""
        message = "{0} {app} {{}} {log_source!r} %s"

        self.assertEqual(formatEvent(self.emit(1, "a", message)), message)

    def test_no_text(self) -> None:
        """Bytes that are no UTF-8 do not stop a record."""
        event = self.emit(1, b"\xff", b"a\xffb", [["k", b"\xff"]])

        self.assertEqual(event[LOG_SOURCE], "\ufffd")
        self.assertEqual(formatEvent(event), "a\ufffdb")
        self.assertEqual(event[LOG_ATTRIBUTES], [("k", "\ufffd")])

    def test_names_of_attributes(self) -> None:
        """No attribute can replace a field of the event."""
        event = self.emit(1, "a", "m", [["log_level", "x"], [LOG_SOURCE, "fake"]])

        self.assertIs(event["log_level"], LogLevel.info)
        self.assertEqual(event[LOG_SOURCE], "a")

    def test_message_that_is_no_string(self) -> None:
        """A message or source of another type is dropped."""
        self.check_dropped(1, "a", 5)
        self.check_dropped(1, None, "m")
        self.check_dropped(1, "a")
        self.check_dropped()

    def test_dropped_is_debugged(self) -> None:
        """Who looks for a lost record finds a line of severity debug."""
        self.check_dropped("info", "app/x", "m")

        told = [event for event in self.events if event["log_level"] is LogLevel.debug]
        self.assertEqual(
            [formatEvent(event) for event in told],
            ["a call of emit was dropped: expected an integer, got a string"],
        )

    def test_many_in_one_packet(self) -> None:
        """Records that come together stay in their order."""
        frames = [[number, 0, [1, "a", f"m{number}"]] for number in range(1, 101)]

        self.assertEqual(self.client.send(*frames), [])

        self.assertEqual(
            [formatEvent(event) for event in self.records],
            [f"m{number}" for number in range(1, 101)],
        )

    def test_no_channel_is_left(self) -> None:
        """A client that logs for years keeps no channel open."""
        for _ in range(50):
            self.ask(0, 1, "a", "m")

        self.assertEqual(self.client.session.channels, {})


class VerbosityTests(_LoggingCase):
    """A verbosity from the configuration."""

    args = convert({"verbosity": "warning", "backend": "core"}, LoggingArgs)

    def test_told(self) -> None:
        """Clients are told the number."""
        self.check_alive(verbosity=2)

    def test_lesser_records(self) -> None:
        """Lesser records are dropped."""
        self.assertEqual(self.ask(0, 1, "a", "m"), [])
        self.assertEqual(self.ask(0, -1, "a", "m"), [])
        self.assertEqual(self.records, [])

    def test_enough(self) -> None:
        """Records of that severity and above are kept."""
        self.emit(2, "a", "m")
        self.emit(3, "a", "m")

    def test_for_all_clients(self) -> None:
        """What one client sets holds for all."""
        self.ask(2, 0)
        other = self.connect(self.service)

        self.assertEqual(other.send([1, 1, []]), [[1, 0, [0]]])

    def test_set_to_no_number(self) -> None:
        """A verbosity that is no number is refused, and nothing changes."""
        self.assertEqual(
            self.client.send([1, 2, ["debug"]]),
            [[1, 1, [[7, 2], "expected an integer, got a string"]]],
        )
        self._channel = 1
        self.check_alive(verbosity=2)

    def test_numbers_in_the_configuration(self) -> None:
        """The number of the wire will do (the original fails to start)."""
        args = convert({"verbosity": 3}, LoggingArgs)
        client = self.connect(LoggingService(self.service.node, "logging", args))

        self.assertEqual(client.send([1, 1, []]), [[1, 0, [3]]])

    def test_no_such_verbosity(self) -> None:
        """Others are refused."""
        for verbosity in (4, -1, "warn", None):
            self.assertRaises(
                ConfigError, convert, {"verbosity": verbosity}, LoggingArgs
            )
