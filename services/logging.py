# -*- test-case-name: cocained.test.test_services_logging -*-
"""
Log records of apps and clients, into the log of the node (protocol.md §5.1).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from twisted.logger import Logger, LogLevel
from zope.interface import implementer

from cocained.component import Component
from cocained.errors import InvalidArgument
from cocained.interfaces import (
    LOG_ATTRIBUTES,
    LOG_SOURCE,
    IBehindDoors,
    IDoor,
    INode,
    IRemoteService,
)
from cocained.rpc.arguments import blob, integer, listing, optional, record, text
from cocained.rpc.dispatch import Protocol
from cocained.rpc.view import View, forbidden

#: Severities of the wire, by number.
SEVERITIES = ("debug", "info", "warning", "error")

_LEVELS = (LogLevel.debug, LogLevel.info, LogLevel.warn, LogLevel.error)


def scalar(value: Any) -> Any:
    """An attribute's value: text, a number or a boolean; nothing nested."""
    if type(value) is bytes:
        return value.decode("utf-8", "replace")
    if type(value) in (int, float, bool):
        return value
    raise InvalidArgument("an attribute is a string, a number or a boolean")


def message_text(value: Any) -> str:
    """A message or source, for people; what is no UTF-8 is replaced."""
    return blob(value).decode("utf-8", "replace")


class LoggingArgs(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """Arguments of the logging service."""

    verbosity: Annotated[
        Literal[0, 1, 2, 3] | Literal["debug", "info", "warning", "error"],
        msgspec.Meta(
            description="Lesser records are dropped, and clients are told not to"
            " send them; a name or the number of the wire, debug being 0."
        ),
    ] = 0
    backend: Annotated[
        str,
        msgspec.Meta(
            description="Accepted for the original's sake; the node has one log."
        ),
    ] = "core"


@implementer(IRemoteService, IBehindDoors)
class LoggingService(Component[LoggingArgs]):
    """Type ``logging``."""

    Args = LoggingArgs
    protocol = Protocol(version=2)

    def __init__(self, node: INode, name: str, args: LoggingArgs) -> None:
        super().__init__(node, name, args)
        level = args.verbosity
        self._verbosity = SEVERITIES.index(level) if isinstance(level, str) else level
        self._log = Logger("cocained.apps")

    def seen_from(self, door: IDoor, walled: bool) -> Any:
        """What is logged is not decided by workers behind walls."""
        return View(self, set_verbosity=forbidden) if walled else self

    @protocol.mute(
        0,
        integer,
        message_text,
        message_text,
        optional(listing(record(text, scalar)), ()),
    )
    def emit(
        self,
        severity: int,
        source: str,
        message: str,
        attributes: list[tuple[str, Any]],
    ) -> None:
        if severity >= self._verbosity:
            level = _LEVELS[min(max(severity, 0), len(_LEVELS) - 1)]
            fields = {LOG_SOURCE: source, LOG_ATTRIBUTES: list(attributes)}
            # Not as ``message``: Twisted's old log system empties that field.
            self._log.emit(level, "{text}", text=message, **fields)

    @protocol.method(1)
    def verbosity(self) -> int:
        return self._verbosity

    @protocol.method(2, integer)
    def set_verbosity(self, verbosity: int) -> None:
        self._verbosity = verbosity
