"""
Events, and loggers whose descriptors can be looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from twisted.logger import LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cocained.loggers.format import (
    json_line,
    take_apart,
    text_line,
)
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
