# -*- test-case-name: cocained.test.test_conventions -*-
"""
Loggers, and the fields of events that they look for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass
from cocained.interfaces.plugins import IComponent

#: Field of a log event: who speaks, such as ``app/echo``.
LOG_SOURCE = "cocaine_source"


#: Field of a log event: a list of ``(name, value)`` that came along.
LOG_ATTRIBUTES = "cocaine_attributes"


class ILogger(IComponent):
    """A place where log events go; also a ``twisted.logger.ILogObserver``."""

    def __call__(event: Mapping[str, Any]) -> None:
        """Take one event.  Must not raise and must not block for long."""

    def reopen() -> None:
        """Open files anew, for log rotation."""
