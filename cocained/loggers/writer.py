# -*- test-case-name: cocained.test.test_loggers_format -*-
"""
Lines from the reactor to a descriptor, through a thread of their own.

A pipe that nobody reads, a terminal on hold and a disk that hangs all make
``write`` wait, and there is no way to ask beforehand.  So a lane does it, with
all the lines that have come up in one call.
"""

from __future__ import annotations

import errno
import os
import select
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.logger import ILogObserver
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from cocained.component import Component
from cocained.errors import ConfigError
from cocained.interfaces import ILogger, INode
from cocained.lane import Lane
from cocained.loggers.format import (
    RANKS,
    Record,
    json_line,
    severity_of,
    take_apart,
    text_line,
)

#: Bytes of lines that may wait for the thread; beyond it lines are dropped.
#: A burst of 30,000 lines, or a stuck reader.
MAX_PENDING = 4 << 20

#: Seconds that ``stop`` waits for the last lines to be written.
STOP_TIMEOUT = 2.0

#: Milliseconds to wait for a descriptor that somebody made non-blocking.
FULL_TIMEOUT = 1000

Format = Annotated[
    Literal["text", "json"],
    msgspec.Meta(description="text: lines for people; json: an object per line."),
]

Severity = Annotated[
    Literal["debug", "info", "warning", "error"],
    msgspec.Meta(description="Events below it are left out."),
]


class LineArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """What every logger can be told."""

    format: Format = "text"
    severity: Severity = "info"


L = TypeVar("L", bound=LineArgs)


@implementer(ILogger, ILogObserver)
class LineLogger(Component[L], ABC):
    """
    Turns events into lines, whatever the events are.

    :cvar Args: a subclass of :class:`LineArgs`.
    """

    Args: type[msgspec.Struct] = LineArgs

    def __init__(self, node: INode, name: str, args: L) -> None:
        super().__init__(node, name, args)
        self._least = RANKS[args.severity]
        #: Lines that never reached their place, since the start.
        self.dropped = 0

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Pass an event on; safe from any thread; never raises."""
        try:
            if RANKS[severity_of(event)] < self._least:
                return
            record = take_apart(event, self.node.reactor.seconds())
            self._emit(record)
        except Exception as error:
            # An object in the event that cannot even be looked at.
            self._complain(f"an event could not be written: {type(error)}")

    def reopen(self) -> None:
        """Open files anew; there is nothing to do for most destinations."""

    def _line(self, record: Record) -> str:
        write = json_line if self.args.format == "json" else text_line
        return write(record)

    def _notice(self, message: str, level: str = "warning") -> Record:
        """Make a record of our own about this logger."""
        return Record(
            time=self.node.reactor.seconds(),
            level=level,
            source=f"logger/{self.name}",
            message=message,
            attributes=(),
            mentioned=0,
            traceback=None,
            truncated=False,
        )

    def _complain(self, message: str) -> None:
        """Emit a notice, or give up."""
        try:
            self._emit(self._notice(message))
        except Exception:
            self.dropped += 1

    @abstractmethod
    def _emit(self, record: Record) -> None:
        """Pass a record on; must not wait and must not log."""


class DescriptorLogger(LineLogger[L]):
    """
    Writes lines to a descriptor that a subclass opens.

    Lines that come before :meth:`start` wait for it, within the same limit.
    """

    def __init__(self, node: INode, name: str, args: L) -> None:
        super().__init__(node, name, args)
        self._lane = Lane(node.reactor, f"logger {name!r}")
        self._is_open = False
        self._writing = False
        # Shared by all threads that log:
        self._lock = threading.Lock()
        self._lines: list[bytes] = []
        self._size = 0
        self._overflowed = 0
        self._closed = False
        # Only for the thread of the lane:
        self._fd = -1
        self._lost = 0
        self._reason = ""
        self._torn = False

    @override
    def start(self) -> Deferred[None]:
        """
        Open the destination.

        :returns: fires when lines go out; fails with ``ConfigError``.
        """
        self._lane.start()
        return self._lane.run(self._thd_open).addCallbacks(
            self._cb_opened, self._eb_opened
        )

    def _cb_opened(self, ignored: None) -> None:
        self._is_open = True
        self._flush()

    def _eb_opened(self, failure: Failure) -> None:
        raise ConfigError(
            f"logger {self.name!r} cannot be opened: {failure.getErrorMessage()}"
        ) from failure.value

    @override
    def stop(self) -> Deferred[None]:
        """Write what waits, for at most :data:`STOP_TIMEOUT`, and close."""
        with self._lock:
            self._closed = True
        if self._is_open:
            self._is_open = False
            self._write()
            closed = self._lane.run(self._thd_close)
            closed.addTimeout(STOP_TIMEOUT, self.node.reactor)
        else:
            closed = succeed(None)
        return closed.addBoth(lambda ignored: self._lane.stop(0))

    @override
    def _emit(self, record: Record) -> None:
        line = self._line(record).encode("utf-8", "replace") + b"\n"
        with self._lock:
            if self._closed or self._size + len(line) > MAX_PENDING:
                self._overflowed += 1
                self.dropped += 1
                return
            self._lines.append(line)
            self._size += len(line)
            is_first = len(self._lines) == 1
        if is_first:
            # From whatever thread; and all lines of one turn go together.
            self.node.reactor.callFromThread(self._flush)

    def _flush(self) -> None:
        """Write what waits, unless that will happen anyway."""
        if self._is_open and not self._writing:
            self._write()

    def _write(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
            overflowed, self._overflowed = self._overflowed, 0
            self._size = 0
        if lines or overflowed:
            self._writing = True
            written = self._lane.run(self._thd_write, lines, overflowed)
            written.addCallbacks(self._cb_written, self._eb_written, (), {}, (lines,))

    def _cb_written(self, lost: int) -> None:
        self.dropped += lost
        self._writing = False
        self._flush()

    def _eb_written(self, failure: Failure, lines: list[bytes]) -> None:
        # The lane was stopped.  Logging that would go round in circles.
        self.dropped += len(lines)
        self._writing = False

    @abstractmethod
    def _thd_descriptor(self) -> int:
        """Open the destination; may raise ``OSError``."""

    def _thd_open(self) -> None:
        """Open the destination, and only then let the former one go."""
        fd, self._fd = self._fd, self._thd_descriptor()
        self._torn = False
        if fd >= 0:
            os.close(fd)

    def _thd_close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _thd_write(self, lines: list[bytes], overflowed: int) -> int:
        """Write lines, and say how many were lost on the way."""
        if overflowed:
            self._lost += overflowed
            self._reason = "they came faster than they could be written"
        batch = lines
        if self._lost:
            notice = self._notice(f"{self._lost} log lines were lost: {self._reason}")
            batch = [self._line(notice).encode() + b"\n", *lines]
        head = b"\n" if self._torn else b""
        data = head + b"".join(batch)
        sent, error = self._thd_send(data)
        if sent:
            self._torn = data[sent - 1 : sent] != b"\n"
        if error is None:
            self._lost = 0
            return 0
        self._reason = os.strerror(error)
        whole, position = 0, len(head)
        for line in batch:
            position += len(line)
            if position > sent:
                break
            whole += 1
        if self._lost and whole:
            # The notice went out; it is no line of anybody's.
            self._lost = 0
            whole -= 1
        lost = len(lines) - whole
        self._lost += lost
        return lost

    def _thd_send(self, data: bytes) -> tuple[int, int | None]:
        """Write bytes; gives how many went out, and the ``errno`` of what failed."""
        view = memoryview(data)
        sent = 0
        while sent < len(data):
            try:
                sent += os.write(self._fd, view[sent:])
            except BlockingIOError as error:
                room = select.poll()
                room.register(self._fd, select.POLLOUT)
                if not room.poll(FULL_TIMEOUT):
                    return sent, error.errno or errno.EAGAIN
            except OSError as error:
                return sent, error.errno or errno.EIO
        return sent, None
