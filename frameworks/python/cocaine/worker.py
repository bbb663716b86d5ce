# -*- test-case-name: tests.test_worker -*-
"""
The worker: takes events from the engine and runs handlers for them.

Source: tools.md 6.2, protocol.md 8.
"""

from __future__ import annotations

import sys
from functools import partial
from types import CoroutineType, GeneratorType

from cocaine.detail.callables import is_async
from cocaine.detail.engine import Engine, connect_engine
from cocaine.detail.future import Future
from cocaine.detail.loop import Loop, light_loop
from cocaine.detail.options import parse_protocol, scan
from cocaine.detail.task import Task, as_future
from cocaine.exceptions import (
    EINVFAILED,
    ENOHANDLER,
    EUNCAUGHTEXCEPTION,
    ConfigurationError,
)
from cocaine.request import Request, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    Handler = Callable[[Request, Response], Any]

__all__ = ["Request", "Response", "Worker"]


class Worker:
    """
    An app's worker, started by the runtime.

    :param app: the name of the app, default from `--app`
    :param uuid: the id of this worker, default from `--uuid`
    :param endpoint: the engine's socket, default from `--endpoint`
    :param protocol: 0 or 1, default from `--protocol`, where missing means 0
    :param heartbeat_timeout: seconds between heartbeats; the profile's
        heartbeat-timeout (30 by default) has to be longer
    :param disown_timeout: seconds to wait for the answer to a heartbeat before
        the engine counts as gone
    :param grace: seconds that running handlers get when the engine ends the
        worker; shorter than the profile's termination-timeout (5 by default)
    :param stuck_timeout: seconds after which a blocked loop's stacks are written
        to standard error; default: shortly before the engine would lose
        patience; 0 turns it off
    :param use_asyncio: True to run on asyncio, False never to; None decides by
        whether a handler is a coroutine function
    :param argv: the arguments to scan, default `sys.argv[1:]`
    :raises ConfigurationError: when something is missing
    """

    def __init__(
        self,
        app: str | None = None,
        uuid: str | None = None,
        endpoint: str | None = None,
        protocol: int | str | None = None,
        heartbeat_timeout: float = 20.0,
        disown_timeout: float = 5.0,
        grace: float = 2.0,
        stuck_timeout: float | None = None,
        use_asyncio: bool | None = None,
        argv: Sequence[str] | None = None,
    ) -> None:
        options = scan(argv)
        self.app = app or options.get("app", "standalone")
        self.uuid = uuid or options.get("uuid", "")
        self.endpoint = endpoint or options.get("endpoint", "")
        for name, value in (("--uuid", self.uuid), ("--endpoint", self.endpoint)):
            if not value:
                raise ConfigurationError(
                    f"{name} is missing: a worker is started by the runtime, which "
                    "passes --app, --endpoint, --locator, --protocol and --uuid"
                )
        if heartbeat_timeout <= 0 or disown_timeout <= 0:
            raise ConfigurationError(
                "heartbeat_timeout and disown_timeout are seconds above 0"
            )
        self.protocol = parse_protocol(
            options.get("protocol") if protocol is None else protocol
        )
        if stuck_timeout is None:
            stuck_timeout = heartbeat_timeout + disown_timeout
        self._use_asyncio = use_asyncio
        self._grace = max(0.0, grace)
        self._handlers: dict[bytes, Handler] = {}
        self._running: dict[int, tuple[Any, Request, Response]] = {}
        self._draining: Callable[[], object] | None = None
        self._loop: Any = None
        self._engine = Engine(
            self.uuid, self.protocol, self, heartbeat_timeout, disown_timeout
        )
        self._engine.watch_for(stuck_timeout)

    def on(self, event: str | bytes, handler: Handler | None = None) -> Any:
        """
        Register a handler; without one, return a decorator.

        :param event: the name of the event; a second handler replaces the first
        :param handler: a function, a generator function or an `async def` that
            takes a :class:`Request` and a :class:`Response`
        :raises TypeError: when it cannot be called
        :raises RuntimeError: for an `async def` when the worker already runs on
            the light loop
        """
        if handler is None:
            return partial(self._decorate, event)
        if not callable(handler):
            raise TypeError(f"the handler of {event!r} cannot be called: {handler!r}")
        if isinstance(self._loop, Loop) and is_async(handler):
            raise RuntimeError(
                f"the handler of {event!r} needs asyncio: register it before run(), "
                "or pass use_asyncio=True to Worker"
            )
        key = event if isinstance(event, bytes) else event.encode()
        self._handlers[key] = handler
        return handler

    def _decorate(self, event: str | bytes, handler: Handler) -> Any:
        return self.on(event, handler)

    def run(self, handlers: Mapping[str, Handler] | None = None) -> None:
        """
        Serve until the engine ends the worker or goes away; then return.

        The handshake and the first heartbeat leave first of all.

        :param handlers: handlers by event, in addition to those of `on`
        :raises DisconnectionError: when the engine cannot be reached
        :raises RuntimeError: when it runs or has run already
        """
        if self._engine.is_used:
            raise RuntimeError("a worker runs once; start another process")
        for event, handler in (handlers or {}).items():
            self.on(event, handler)
        _show_output_by_lines()
        sock = connect_engine(self.endpoint, self._engine.machine.hello())
        if self._wants_asyncio():
            from cocaine.detail.aio import run

            run(partial(self._start, sock), self._stop)
            return
        loop = light_loop()
        stopped = self._start(sock, loop)
        try:
            loop.run_until(stopped)
        finally:
            self._stop()

    def _wants_asyncio(self) -> bool:
        if self._use_asyncio is not None:
            return self._use_asyncio
        return any(is_async(handler) for handler in self._handlers.values())

    def _start(self, sock: Any, loop: Any) -> Future:
        self._loop = loop
        return self._engine.start(loop, sock)

    def _stop(self) -> None:
        running, self._running = self._running, {}
        for future, _, _ in running.values():
            future.cancel()
        self._engine.stop()
        self._loop = None
        _flush_output()

    # What the engine says.

    def invoked(self, channel: int, event: Any, headers: Any) -> Request | None:
        """Run the handler of an event."""
        request = Request(self._loop, event, headers)
        response = Response(self._engine.machine, channel)
        if self._draining is not None:
            response.error(EINVFAILED, "the worker is shutting down")
            return None
        handler = self._handlers.get(event)
        if handler is None:
            response.error(ENOHANDLER, f"there is no handler for event {request.event}")
            return None
        try:
            result = handler(request, response)
        except Exception as problem:
            self._report(problem, request, response)
            return None
        kind = type(result)
        if kind is GeneratorType:
            future: Any = Task(self._loop, result)
        elif kind is CoroutineType and not isinstance(self._loop, Loop):
            future = self._loop.create_task(result)
        elif kind is CoroutineType or isinstance(result, Future):
            future = as_future(self._loop, result)
        elif hasattr(result, "__anext__"):
            error = TypeError("the handler is an async generator: await, do not yield")
            self._report(error, request, response)
            return None
        else:
            response.close()
            return None
        if future.done():
            self._finished(channel, request, response, future)
            return None
        self._running[channel] = (future, request, response)
        future.add_done_callback(partial(self._finished, channel, request, response))
        return request

    def _finished(
        self, channel: int, request: Request, response: Response, future: Any
    ) -> None:
        self._running.pop(channel, None)
        request._discard()
        if future.cancelled():
            response.error(EINVFAILED, "the handler was cancelled")
        elif future.exception() is not None:
            self._report(future.exception(), request, response)
        else:
            response.close()
        if self._draining is not None and not self._running:
            self._draining()

    def _report(
        self, error: BaseException, request: Request, response: Response
    ) -> None:
        """Answer an uncaught exception, and leave its traceback in the crash log."""
        try:
            text = str(error)
        except Exception:
            text = ""
        response.error(EUNCAUGHTEXCEPTION, text or type(error).__name__)
        _complain(f"uncaught exception in the handler of event {request.event!r}:")
        try:
            sys.__excepthook__(type(error), error, error.__traceback__)
        except (OSError, ValueError):
            pass  # nobody reads standard error any more
        _flush_output()

    def drain(self, finish: Callable[[], object]) -> None:
        """Let running handlers end, for a short time, then call `finish` once."""

        def done() -> None:
            if not finished:
                finished.append(True)
                timer.cancel()
                for future, _, response in list(self._running.values()):
                    response.error(EINVFAILED, "the worker is shutting down")
                    future.cancel()
                finish()

        finished: list[bool] = []
        timer = self._loop.call_later(self._grace, done)
        self._draining = done
        if not self._running:
            done()

    def complain(self, message: str) -> None:
        """Leave a line in the crash log."""
        _complain(message)


def _complain(message: str) -> None:
    try:
        if sys.stderr is not None:
            sys.stderr.write(f"cocaine.worker: {message}\n")
    except (OSError, ValueError):
        pass  # nobody reads standard error any more


def _show_output_by_lines() -> None:
    """Let what a handler prints reach the runtime line by line."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(line_buffering=True)


def _flush_output() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            pass  # the runtime has closed its end: there is nobody to tell
