# -*- test-case-name: cocained.test.test_loggers_format -*-
"""
From a ``twisted.logger`` event to one line of text or JSON.

Text::

    2026-11-22T04:33:00.123Z info app/echo: the message key=value n=5

JSON, one object with these keys in this order: ``time``, ``level``,
``source``, ``message``, ``attributes`` (an object), and ``traceback`` and
``truncated`` only where there is one.

Whatever a worker or client sends can stand in a message, so no control
character, line separator or change of writing direction gets out as it is: a
line cannot be forged, and a terminal gets no commands.  JSON carries them as
its own escapes, so a reader of JSON sees the message as it was.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeAlias

from twisted.logger import LogLevel, formatEvent
from twisted.python.failure import Failure

from cocained.interfaces import LOG_ATTRIBUTES as ATTRIBUTES
from cocained.interfaces import LOG_SOURCE as SOURCE

#: Characters of one line, mark included.  Eight tracebacks, or what a
#: terminal shows in five screens.
MAX_LINE = 16384

#: Characters of a traceback, counted from its end.
MAX_TRACEBACK = MAX_LINE // 2

#: Attributes of one event; more are cut and the line says so.
MAX_ATTRIBUTES = 64

#: Ranks of severities; the original's numbers (protocol.md §5.1), and one more.
RANKS = {"debug": 0, "info": 1, "warning": 2, "error": 3, "critical": 4}

#: Severities a logger can be set to.
SEVERITIES = ("debug", "info", "warning", "error")

_NAMES = {
    LogLevel.debug: "debug",
    LogLevel.info: "info",
    LogLevel.warn: "warning",
    LogLevel.error: "error",
    LogLevel.critical: "critical",
}

#: C0, DEL and C1; line and paragraph separators; marks that turn the writing
#: direction; the byte order mark; surrogates, which are no characters.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

#: A value that needs no quotes in text.
_PLAIN = re.compile(r"[^\s\"'=\\]+")

#: Fields that Twisted itself puts into events, of the old system too.
_TWISTED = frozenset(
    "format isError message printed system text time why failure logLevel".split()
)

_encode = json.JSONEncoder(
    ensure_ascii=True, allow_nan=False, separators=(",", ":"), sort_keys=False
).encode

Scalar: TypeAlias = "str | int | float | bool | None"


@dataclass(frozen=True, slots=True)
class Record:
    """
    An event, taken apart.

    :ivar time: seconds since the epoch.
    :ivar level: a key of :data:`RANKS`.
    :ivar source: who speaks.
    :ivar message: formatted, unsafe characters and all.
    :ivar attributes: names and values, in order.
    :ivar mentioned: how many of them, from the first, the message shows
        already; text leaves those out.
    :ivar traceback: of the failure, or ``None``.
    :ivar truncated: whether attributes were cut off.
    """

    time: float
    level: str
    source: str
    message: str
    attributes: tuple[tuple[str, Scalar], ...]
    mentioned: int
    traceback: str | None
    truncated: bool


def severity_of(event: Mapping[str, Any]) -> str:
    """Give the severity of an event; ``info`` where nothing says one."""
    level = event.get("log_level")
    if level is None:
        return "error" if event.get("isError") else "info"
    return _NAMES.get(level, "info")


def clip(text: str, limit: int) -> str:
    """Cut a text to about *limit* characters, and mark it where it is cut."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}…[{len(text) - limit} more]"


def escape(text: str) -> str:
    """Replace what could break out of a line by visible escapes."""
    return _UNSAFE.sub(_visible, text)


def _characters(text: str) -> str:
    """Replace what is no character and so cannot stand in JSON."""
    return _SURROGATE.sub(_visible, text)


def _visible(match: re.Match[str]) -> str:
    char = match.group()
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        # A byte that was no UTF-8, carried by ``surrogateescape``.
        code -= 0xDC00
    return _SHORT.get(char) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def take_apart(event: Mapping[str, Any], now: float) -> Record:
    """
    Read an event.

    :param now: the time for an event that has none, in seconds since the epoch.
    """
    shown, hidden = _fields(event)
    given, cut = _given(event.get(ATTRIBUTES))
    room = max(0, MAX_ATTRIBUTES - len(given))
    own = shown + hidden
    time = event.get("log_time")
    if not isinstance(time, (int, float)) or not math.isfinite(time):
        time = now
    failure = event.get("log_failure")
    traceback = failure.getTraceback() if isinstance(failure, Failure) else None
    if traceback is not None and len(traceback) > MAX_TRACEBACK:
        # Its end tells most.
        traceback = "…" + traceback[-MAX_TRACEBACK:]
    message = formatEvent(event if isinstance(event, dict) else dict(event))
    source = event.get(SOURCE) or event.get("log_namespace") or "-"
    return Record(
        time=time,
        level=severity_of(event),
        source=clip(_text(source), 256),
        message=clip(message, MAX_LINE),
        attributes=tuple(own[:room] + given),
        mentioned=min(len(shown), room),
        traceback=traceback,
        truncated=cut or len(own) > room,
    )


def text_line(record: Record, limit: int = MAX_LINE) -> str:
    """Give the record as a line of text, without its end."""
    return clip_line(f"{stamp(record.time)} {record.level} {text_body(record)}", limit)


def text_body(record: Record) -> str:
    """Give source, message and attributes, for places that know the rest."""
    parts = [f"{_quoted(record.source)}: {escape(record.message)}"]
    for name, value in record.attributes[record.mentioned :]:
        parts.append(f"{_quoted(name)}={_quoted(_shown(value))}")
    if record.truncated:
        parts.append("truncated=true")
    if record.traceback is not None:
        parts.append(f"traceback={_quoted(record.traceback.rstrip())}")
    return " ".join(parts)


def clip_line(line: str, limit: int) -> str:
    """Cut a line so that it has at most *limit* characters, mark included."""
    if len(line) <= limit:
        return line
    # The longest mark there can be takes less than 32.
    return clip(line, max(0, limit - 32))


def json_line(record: Record, limit: int = MAX_LINE) -> str:
    """
    Give the record as one JSON object, without the end of line.

    Texts are halved until the object fits: half a JSON object is none.
    """
    share = limit
    line = _dump(_as_object(record, share, len(record.attributes)))
    while len(line) > limit and share > 1:
        share //= 2
        keep = len(record.attributes) * share // limit
        line = _dump({**_as_object(record, share, keep), "truncated": True})
    return line


def _dump(found: dict[str, Any]) -> str:
    # DEL is the one control character that ASCII-only JSON lets through.
    return _encode(found).replace("\x7f", "\\u007f")


def _as_object(record: Record, share: int, keep: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "time": stamp(record.time),
        "level": record.level,
        "source": clip(_characters(record.source), share),
        "message": clip(_characters(record.message), share),
        "attributes": {
            clip(_characters(name), share): (
                clip(_characters(value), share) if isinstance(value, str) else value
            )
            for name, value in record.attributes[:keep]
        },
    }
    if record.traceback is not None:
        found["traceback"] = clip(_characters(record.traceback), share)
    if record.truncated:
        found["truncated"] = True
    return found


def stamp(time: float) -> str:
    """Write a time as ISO 8601 in UTC, with milliseconds."""
    try:
        moment = datetime.fromtimestamp(time, UTC)
    except (ValueError, OverflowError, OSError):
        return "-"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(
    event: Mapping[str, Any],
) -> tuple[list[tuple[str, Scalar]], list[tuple[str, Scalar]]]:
    """Give the event's own plain fields: those its format names, the others."""
    shown: list[tuple[str, Scalar]] = []
    hidden: list[tuple[str, Scalar]] = []
    template = event.get("log_format")
    template = template if isinstance(template, str) else ""
    for name, value in event.items():
        if not isinstance(name, str) or name in _TWISTED:
            continue
        if name.startswith(("log_", "cocaine_")) or not _is_scalar(value):
            continue
        which = shown if "{" + name in template else hidden
        which.append((clip(name, 256), _scalar(value)))
    return shown, hidden


def _given(pairs: object) -> tuple[list[tuple[str, Scalar]], bool]:
    """Give the attributes that came with ``emit``, and whether some are cut."""
    if not isinstance(pairs, Iterable) or isinstance(pairs, (str, bytes)):
        return [], pairs is not None
    taken = list(islice(pairs, MAX_ATTRIBUTES + 1))
    given: list[tuple[str, Scalar]] = []
    for pair in taken[:MAX_ATTRIBUTES]:
        if isinstance(pair, (list, tuple)) and len(pair) >= 2:
            given.append((clip(_text(pair[0]), 256), _scalar(pair[1])))
    return given, len(taken) > MAX_ATTRIBUTES


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, (str, bytes, int, float))


def _scalar(value: object) -> Scalar:
    """Make a value fit for both formats."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        # Enums and the like become plain; a huge number becomes a text.
        return int(value) if abs(value) < 1 << 64 else "a huge number"
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else repr(float(value))
    return clip(_text(value), MAX_LINE)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value[: MAX_LINE + 1].decode("utf-8", "surrogateescape")
    return value if isinstance(value, str) else str(value)


def _shown(value: Scalar) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _quoted(text: str) -> str:
    """Escape a text, and quote it unless it is plain."""
    safe = escape(text)
    if _PLAIN.fullmatch(safe):
        return safe
    # Backslashes of escapes stay as they are; only quotes would end it early.
    return '"' + safe.replace('"', '\\"') + '"'
