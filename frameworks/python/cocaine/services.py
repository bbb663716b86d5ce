# -*- test-case-name: tests.test_services -*-
"""
Clients of services: resolve by name, connect, call.

Source: tools.md 6.3, protocol.md 3.1.
"""

from __future__ import annotations

from functools import partial

from cocaine.detail.channel import Call, Channel, EmptyResponse
from cocaine.detail.connect import CONNECT_TIMEOUT, connect
from cocaine.detail.future import READY, Future
from cocaine.detail.graph import LOCATOR, Method, parse_api
from cocaine.detail.headers import Trace
from cocaine.detail.loop import Loop, current_loop
from cocaine.detail.options import default_locators
from cocaine.detail.session import Session
from cocaine.detail.stream import Stream
from cocaine.detail.task import Task
from cocaine.exceptions import (
    CocaineError,
    DisconnectionError,
    InvalidApiVersion,
    InvalidMessageType,
    UnknownMethod,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from typing import Any

    Endpoint = tuple[str, int] | Sequence[Any] | str

__all__ = ["Call", "Channel", "EmptyResponse", "Locator", "Service", "Trace"]

#: Seconds for a locator to answer, after it is connected.
RESOLVE_TIMEOUT = 10.0
#: Calls that may wait for a connection that is being made.
MAX_WAITING = 10_000
#: Addresses of one service that are tried; a longer list is cut.
MAX_ENDPOINTS = 64


class BaseService:
    """
    A service whose addresses and graph somebody provides.

    Every attribute that does not begin with an underscore and is none of
    `name`, `api`, `version`, `connect` and `disconnect` is a method of the
    service; ``service["connect"]`` reaches those names too.
    """

    def __init__(self, name: str, timeout: float = 0) -> None:
        self.name = name
        self.api: dict[str, Method] = {}
        self.version = 0
        self._timeout = timeout
        self._session: Session | None = None
        self._connecting: Future | None = None
        self._session_loop: Any = None
        self._waiting = 0

    def _locate(self, loop: Any) -> Generator[Any, Any, Any]:
        """Give the endpoints, having set `api` and `version`."""
        raise NotImplementedError

    def connect(self, traceid: Any = None) -> Future:
        """
        Connect now instead of on the first call.

        :param traceid: accepted for compatibility, not used
        :returns: a future that is done, with None, when there is a connection; it
            raises `DisconnectionError`, the locator's `ServiceError`, or
            `TimeoutError`
        """
        loop = current_loop()
        future = Future(loop)

        def copy(attempt: Any) -> None:
            error = attempt.exception()
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        # Not the attempt itself: whoever cancels must not cancel the others' too.
        self._attempt(loop).add_done_callback(copy)
        return future

    def _attempt(self, loop: Any) -> Future:
        session = self._session
        if session is not None:
            if session.is_alive and self._session_loop is loop:
                return READY
            self._session = None
            session.close()
        if self._connecting is None or self._session_loop is not loop:
            self._session_loop = loop
            attempt = Task(loop, self._connect(loop))
            if attempt.done():
                return attempt
            self._connecting = attempt
            attempt.add_done_callback(self._attempted)
            attempt.expire_after(self._timeout, f"connecting to {self.name!r}")
        return self._connecting

    def _attempted(self, attempt: Any) -> None:
        if self._connecting is attempt:
            self._connecting = None

    def _connect(self, loop: Any) -> Generator[Any, Any, None]:
        endpoints = yield from self._locate(loop)
        failures = []
        for endpoint in list(endpoints)[:MAX_ENDPOINTS]:
            try:
                sock = yield connect(loop, endpoint, CONNECT_TIMEOUT)
            except (OSError, ValueError) as error:
                failures.append(f"{_worded(endpoint)}: {error}")
                continue
            stream = Stream(loop, sock)
            session = Session(self.name, stream)
            stream.start(session)
            self._session = session
            return
        raise DisconnectionError(
            self.name, "; ".join(failures) or "the locator gave no addresses"
        )

    def disconnect(self) -> None:
        """Close the connection; calls in progress fail with DisconnectionError."""
        session, self._session = self._session, None
        attempt, self._connecting = self._connecting, None
        if attempt is not None:
            attempt.cancel()
        if session is not None:
            session.close()

    def __getattr__(self, name: str) -> Callable[..., Call]:
        if name.startswith("_"):
            raise AttributeError(name)
        return partial(self._call, name)

    def __getitem__(self, name: str) -> Callable[..., Call]:
        return partial(self._call, name)

    def _call(self, method: str, /, *args: Any, **headers: Any) -> Call:
        loop = current_loop()
        call = Call(loop, self.name)
        if isinstance(loop, Loop):
            loop.catch_up()
        session = self._session
        if session is None or not session.is_alive or self._session_loop is not loop:
            if self._waiting >= MAX_WAITING:
                call._failed(
                    DisconnectionError(
                        self.name, f"{MAX_WAITING} calls already wait for a connection"
                    )
                )
                return call
            self._waiting += 1
            self._attempt(loop).add_done_callback(
                partial(self._connected, call, method, args, headers)
            )
        else:
            self._open(call, session, method, args, headers)
        return call

    def _connected(
        self, call: Call, method: str, args: Any, headers: Any, attempt: Any
    ) -> None:
        self._waiting -= 1
        error = attempt.exception()
        if error is None and self._session is None:
            error = DisconnectionError(self.name)
        if error is not None:
            call._failed(error)
        else:
            self._open(call, self._session, method, args, headers)

    def _open(
        self, call: Call, session: Any, method: str, args: Any, headers: Any
    ) -> None:
        entry = self.api.get(method)
        try:
            if entry is None:
                raise UnknownMethod(
                    f"service {self.name!r} has no method {method!r}; it has "
                    + ", ".join(sorted(self.api))
                )
            session.open(call, entry, args, headers)
        except Exception as error:
            call._failed(error)

    def __enter__(self) -> BaseService:
        return self

    def __exit__(self, *_: object) -> None:
        self.disconnect()

    async def __aenter__(self) -> BaseService:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.disconnect()

    def __del__(self) -> None:
        session = self.__dict__.get("_session")
        if session is not None and session.is_alive:
            session.abandon()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


class Locator(BaseService):
    """
    The locator of a node: `resolve`, `connect`, `refresh`, `cluster`, `publish`,
    `routing` and `uuid`, compiled in. ``locator["connect"]`` is the method.

    :param endpoints: `(host, port)` pairs tried in order; default: those of
        `--locator`, else 127.0.0.1:10053
    :param timeout: seconds for connecting; 0: five per address
    """

    def __init__(
        self, endpoints: Sequence[Endpoint] | None = None, timeout: float = 0
    ) -> None:
        super().__init__("locator", timeout)
        self.endpoints = default_locators() if endpoints is None else endpoints
        self.api = parse_api(LOCATOR)

    def _locate(self, loop: Any) -> Generator[Any, Any, Any]:
        yield from ()
        return self.endpoints


class Service(BaseService):
    """
    A service found by its name, when it is first called.

    :param name: the name of a service or an app
    :param endpoints: the locators to ask, as for :class:`Locator`
    :param seed: the seed for a routing group's ring; without it, a random member
    :param version: the version to insist on; 0 accepts any
    :param locator: a :class:`Locator` to ask through and keep, instead of a
        connection of our own that is closed after the answer
    :param timeout: seconds for resolving and connecting; 0: ten for the locator
        and five for each address
    """

    def __init__(
        self,
        name: str,
        endpoints: Sequence[Endpoint] | None = None,
        seed: str | None = None,
        version: int = 0,
        locator: Locator | None = None,
        timeout: float = 0,
    ) -> None:
        super().__init__(name, timeout)
        self._locators = endpoints
        self._seed = seed
        self._expected = version
        self._locator = locator

    def _locate(self, loop: Any) -> Generator[Any, Any, Any]:
        locator = self._locator or Locator(self._locators)
        question = (self.name,) if self._seed is None else (self.name, self._seed)
        call = locator.resolve(*question)
        # A locator that accepts and then says nothing must not hold us for ever.
        call.expire_after(RESOLVE_TIMEOUT + CONNECT_TIMEOUT, f"resolving {self.name!r}")
        try:
            answer = yield call
        except DisconnectionError as error:
            raise DisconnectionError(self.name, f"locator: {error.reason}") from error
        finally:
            if self._locator is None:
                locator.disconnect()
        try:
            endpoints, version, graph = answer
            endpoints = list(endpoints)
            self.api = parse_api(graph)
        except (CocaineError, TypeError, ValueError) as error:
            raise InvalidMessageType(
                self.name, f"the locator's answer makes no sense: {error}"
            ) from error
        self.version = version
        if self._expected and self._expected != version:
            raise InvalidApiVersion(self.name, self._expected, version)
        return endpoints


def _worded(endpoint: Any) -> str:
    if isinstance(endpoint, (list, tuple)) and len(endpoint) == 2:
        host, port = endpoint
        host = host.decode() if isinstance(host, bytes) else str(host)
        return host if host.startswith("/") else f"{host}:{port}"
    return repr(endpoint)
