# -*- test-case-name: tests.test_logger -*-
"""
Logging through the node's logging service.

Source: tools.md 6.6, protocol.md 5.1. Records go out as they are made; nothing is
ever answered, so a record that the service drops is lost without a trace. What
cannot be delivered at all goes to standard error.
"""

from __future__ import annotations

import sys
from collections import deque

from cocaine.detail.graph import PRIMITIVE, parse_api
from cocaine.detail.loop import Loop, current_loop
from cocaine.detail.options import scan
from cocaine.detail.task import Task
from cocaine.exceptions import CocaineError
from cocaine.services import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Any

    from cocaine.services import Endpoint, Locator

__all__ = ["DEBUG", "ERROR", "INFO", "WARNING", "Logger"]

DEBUG, INFO, WARNING, ERROR = range(4)
_LEVELS = ("debug", "info", "warning", "error")
#: Records kept while there is no connection; then the oldest are dropped.
MAX_WAITING = 1000
#: Seconds after a failed attempt before the next one is made.
RETRY = 5.0
#: Seconds that unsent records may delay the end of the process.
EXIT_TIMEOUT = 1.0

# 0 and 1 never move; a plugin's longer graph is of no interest here.
_API = parse_api({0: [b"emit", {}, {}], 1: [b"verbosity", {}, PRIMITIVE]})


class _Logging(Service):
    def _locate(self, loop: Any) -> Generator[Any, Any, Any]:
        endpoints = yield from super()._locate(loop)
        self.api = _API
        return endpoints


class Logger:
    """
    Sends records with a level, a source and attributes.

    Messages may have printf-style arguments: ``log.info("%d items", n)``;
    ``extra={"user": name}`` adds attributes. In a worker, the worker's uuid is
    added by itself.

    :param app: the source is `app/<this>`; default `--app`, else "standalone"
    :param endpoints: the locators to ask
    :param locator: as for :class:`Service`
    :param name: the name of the logging service
    """

    def __init__(
        self,
        app: str | None = None,
        endpoints: Sequence[Endpoint] | None = None,
        locator: Locator | None = None,
        name: str = "logging",
    ) -> None:
        options = scan()
        self.source = f"app/{app or options.get('app', 'standalone')}"
        self._uuid = options.get("uuid")
        self._service = _Logging(name, endpoints=endpoints, locator=locator)
        self._records: deque[tuple[int, str, list[Any]]] = deque()
        self._attempt: Task | None = None
        self._quiet_until = 0.0
        self._at_exit = False
        self._dropped = 0
        #: The lowest level that is sent; what the service said on connecting.
        self.verbosity = DEBUG

    def debug(self, message: Any, *args: Any, extra: Any = None) -> None:
        """Log for developers."""
        self.log(DEBUG, message, *args, extra=extra)

    def info(self, message: Any, *args: Any, extra: Any = None) -> None:
        """Log what normally happens."""
        self.log(INFO, message, *args, extra=extra)

    def warning(self, message: Any, *args: Any, extra: Any = None) -> None:
        """Log what should be looked at."""
        self.log(WARNING, message, *args, extra=extra)

    warn = warning

    def error(self, message: Any, *args: Any, extra: Any = None) -> None:
        """Log what went wrong."""
        self.log(ERROR, message, *args, extra=extra)

    def exception(self, message: Any, *args: Any, extra: Any = None) -> None:
        """Log an error with the traceback of the exception being handled."""
        from traceback import format_exc

        self.log(ERROR, f"{_format(message, args)}\n{format_exc()}", extra=extra)

    def log(self, level: int, message: Any, *args: Any, extra: Any = None) -> None:
        """
        Log with a level from 0, debug, to 3, error. Never raises.

        :param extra: attributes: text, bytes, numbers and booleans as they are,
            anything else as text
        """
        if level < self.verbosity:
            return
        attributes = [[str(key), _scalar(each)] for key, each in (extra or {}).items()]
        if self._uuid and not (extra and "uuid" in extra):
            attributes.append(["uuid", self._uuid])
        if len(self._records) >= MAX_WAITING:
            self._records.popleft()
            self._dropped += 1
        self._records.append((level, _format(message, args), attributes))
        self._push()

    def flush(self, timeout: float = EXIT_TIMEOUT) -> None:
        """
        Deliver what is waiting; for scripts, where no loop runs.

        :param timeout: seconds; what is left then stays in the queue
        """
        attempt = self._attempt
        if attempt is not None and isinstance(attempt._loop, Loop):
            try:
                attempt.get(timeout)
            except (CocaineError, OSError, RuntimeError):
                pass  # the attempt itself has put the records on standard error
        session = self._service._session
        if session is not None and session.is_alive:
            session._stream._flush()

    def _push(self) -> None:
        service = self._service
        session = service._session
        if self._attempt is not None and not self._attempt.done():
            return
        loop = current_loop()
        if session is not None and session.is_alive and service._session_loop is loop:
            self._send()
            return
        if loop.time() < self._quiet_until:
            self._give_up("the logging service is not available")
            return
        if not self._at_exit:
            self._at_exit = True
            import atexit

            atexit.register(self.flush)
        self._attempt = Task(loop, self._begin(loop))

    def _begin(self, loop: Any) -> Generator[Any, Any, None]:
        try:
            yield self._service.connect()
            answer = yield self._service.verbosity().rx.get(timeout=RETRY)
            self.verbosity = answer if isinstance(answer, int) else DEBUG
        except Exception as error:
            self._quiet_until = loop.time() + RETRY
            self._give_up(str(error))
        else:
            self._send()

    def _send(self) -> None:
        records = self._records
        if self._dropped:
            count, self._dropped = self._dropped, 0
            self._emit(WARNING, f"{count} records were dropped: no connection", [])
        while records:
            level, message, attributes = records.popleft()
            if level >= self.verbosity:
                self._emit(level, message, attributes)

    def _emit(self, level: int, message: str, attributes: list[Any]) -> None:
        call = self._service.emit(level, self.source, message, attributes)
        if call.done() and call.exception() is not None:
            _to_stderr(level, message, str(call.exception()))

    def _give_up(self, reason: str) -> None:
        while self._records:
            level, message, _ = self._records.popleft()
            _to_stderr(level, message, reason)


def _to_stderr(level: int, message: str, reason: str) -> None:
    if sys.stderr is not None:
        name = _LEVELS[level] if 0 <= level < len(_LEVELS) else str(level)
        sys.stderr.write(f"[{name}] {message} (not logged: {reason})\n")


def _format(message: Any, args: Any) -> str:
    if isinstance(message, bytes):
        message = message.decode("utf-8", "replace")
    text = str(message)
    if args:
        try:
            text = text % args
        except (TypeError, ValueError, KeyError):
            text = f"{text} {args!r}"
    return text.encode("utf-8", "backslashreplace").decode()


def _scalar(value: Any) -> Any:
    if isinstance(value, (bytes, bool, float)):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**64:
        return value
    return _format(value, ())
