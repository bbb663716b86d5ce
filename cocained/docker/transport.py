# -*- test-case-name: cocained.test.test_docker_transport -*-
"""
Sends requests and reads answers: limits of time and of size, the version of
the API, and errors in our own words.

There are two kinds of answers.  A *short* one is read whole, and there is a
limit for all of it.  A *streamed* one is handed on piece by piece; there is a
limit for its beginning, and another for silence.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredLock, DeferredSemaphore
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from cocained.docker.address import Address
from cocained.docker.attachment import Attachment
from cocained.docker.connection import Body, Connection, make_endpoint
from cocained.docker.errors import (
    DockerTimeout,
    EngineLost,
    EngineUnreachable,
    MalformedStream,
    refusal,
)
from cocained.docker.failures import explain, value_of, words_of
from cocained.docker.models import Version, decode
from cocained.docker.requests import Request, Upload
from cocained.docker.versions import negotiate

#: Seconds for a connection to be accepted.
CONNECT_TIMEOUT = 10.0

#: Seconds for a short answer from the connect to its last byte.  Creating a
#: container takes a tenth, on a machine that starts many at once some seconds.
ANSWER_TIMEOUT = 60.0

#: Seconds of silence in a streamed answer that should not be silent, such as
#: the progress of a pull; a registry that stalls is one.
IDLE_TIMEOUT = 300.0

#: Bytes of the longest short answer: a list of some ten thousand containers.
MAX_ANSWER = 16 * 1024 * 1024

#: Bytes of the longest refusal.
MAX_REFUSAL = 64 * 1024

#: Short calls that are under way at the same time; others wait for their turn.
#: An engine serializes most of them anyhow, and each costs it a thread.
MAX_CALLS = 16

T = TypeVar("T")


class Transport:
    """
    The way to one engine.

    :param reactor: connects and keeps the time.
    :param address: of the engine.
    :param timeout: see :data:`ANSWER_TIMEOUT`.
    :param connect_timeout: see :data:`CONNECT_TIMEOUT`.
    :param idle_timeout: see :data:`IDLE_TIMEOUT`; 0 for none.
    :raises InvalidAddress: certificates cannot be used.
    """

    def __init__(
        self,
        reactor: Any,
        address: Address,
        timeout: float = ANSWER_TIMEOUT,
        connect_timeout: float = CONNECT_TIMEOUT,
        idle_timeout: float = IDLE_TIMEOUT,
    ) -> None:
        self.reactor = reactor
        self.address = address
        self.timeout = timeout
        self.idle_timeout = idle_timeout
        self._endpoint = make_endpoint(reactor, address, connect_timeout)
        self._turns = DeferredSemaphore(MAX_CALLS)
        self._asking = DeferredLock()
        self._version: Version | None = None
        self._spoken = ""

    async def version(self) -> Version:
        """Give what the engine says of itself; it is asked once."""
        async with self._asking:
            if self._version is None:
                request = Request(
                    "ask for the version", "GET", "/version", versioned=False
                )
                version = await self.fetch(request, Version)
                self._spoken = negotiate(version, str(self.address))
                self._version = version
            return self._version

    async def spoken(self) -> str:
        """Give the version of the API that both sides speak, such as ``1.41``."""
        await self.version()
        return self._spoken

    async def fetch(self, request: Request, kind: type[T]) -> T:
        """
        Read a short answer that is JSON.

        :raises DockerError: one of its kinds, when there is none.
        """
        return self.decoded(request, await self.call(request), kind)

    def decoded(self, request: Request, body: bytes, kind: type[T]) -> T:
        """
        Read the body of an answer.

        :raises MalformedAnswer: it is not of that kind.
        """
        try:
            return decode(body, kind)
        except MalformedStream as error:
            raise explain(error, request.asked, self.address) from error

    async def call(self, request: Request) -> bytes:
        """
        Read a short answer.

        :raises DockerError: one of its kinds, when there is none.
        """
        target = await self._target(request)
        async with self._turns:
            return await self._limited(self._whole(request, target), request)

    async def open(
        self,
        request: Request,
        feed: Callable[[bytes], None],
        finish: Callable[[], None],
        idle: float = 0.0,
    ) -> Attachment:
        """
        Begin to read a streamed answer.

        :param feed: takes its bytes, also some before this has returned.
        :param finish: hears of its orderly end.
        :param idle: seconds of silence that end it, 0 for any.
        :raises DockerError: one of its kinds, when it does not begin.
        """
        target = await self._target(request)
        return await self._limited(
            self._streamed(request, target, feed, finish, idle), request
        )

    async def _target(self, request: Request) -> str:
        return request.target(await self.spoken() if request.versioned else "")

    def _limited(
        self, work: Coroutine[Deferred[Any], Any, T], request: Request
    ) -> Deferred[T]:
        """Run a coroutine within the limit of time of *request*."""
        running: Deferred[T] = Deferred.fromCoroutine(work)
        limit = self.timeout if request.timeout is None else request.timeout
        if limit:
            running.addTimeout(
                limit, self.reactor, lambda _, limit: self._late(request, limit)
            )
        return running.addErrback(self._explained, request)

    def _late(self, request: Request, limit: float) -> Failure:
        return Failure(
            DockerTimeout(
                f"no answer within {limit:g} s",
                asked=request.asked,
                engine=str(self.address),
            )
        )

    def _explained(self, failure: Failure, request: Request) -> Failure:
        cause = value_of(failure)
        error = explain(cause, request.asked, self.address)
        if isinstance(error, EngineUnreachable | EngineLost):
            # Whoever is there next may speak another version.
            self._version = None
        if error is not cause:
            error.__cause__ = cause
        return Failure(error)

    async def _whole(self, request: Request, target: str) -> bytes:
        connection = Connection(self._endpoint)
        answer = bytearray()
        try:
            response = await self._send(request, target, connection)
            await self._read(response, answer, MAX_ANSWER, connection)
        finally:
            connection.abort()
        return bytes(answer)

    async def _streamed(
        self,
        request: Request,
        target: str,
        feed: Callable[[bytes], None],
        finish: Callable[[], None],
        idle: float,
    ) -> Attachment:
        connection = Connection(self._endpoint)
        try:
            response = await self._send(request, target, connection)
        except BaseException:
            connection.abort()
            raise
        body = Body(self.reactor, feed, finish, connection, idle)
        attachment = Attachment(body, lambda failure: self._explained(failure, request))
        response.deliverBody(body)
        return attachment

    async def _send(
        self, request: Request, target: str, connection: Connection
    ) -> IResponse:
        """Send a request and give its answer, unless that is a refusal."""
        pool = HTTPConnectionPool(self.reactor, persistent=False)
        agent = Agent.usingEndpointFactory(self.reactor, connection, pool)
        headers = Headers(
            {
                name.encode("ascii"): [value.encode("ascii")]
                for name, value in request.headers.items()
            }
        )
        upload = None
        if request.body is not None:
            headers.setRawHeaders(b"Content-Type", [request.content_type.encode()])
            upload = Upload(self.reactor, request.body)
        try:
            url = f"{self.address.base}{target}".encode("ascii")
            response: IResponse = await agent.request(
                request.method.encode(), url, headers, upload
            )
        finally:
            if upload is not None:
                upload.close()
        if response.code >= 400:
            answer = bytearray()
            await self._read(response, answer, MAX_REFUSAL, connection)
            words = words_of(bytes(answer), response.phrase)
            raise refusal(response.code, words, request.asked, str(self.address))
        return response

    def _read(
        self,
        response: IResponse,
        answer: bytearray,
        limit: int,
        connection: Connection,
    ) -> Deferred[None]:
        """Read a body into *answer*, up to a limit."""

        def feed(data: bytes) -> None:
            if len(answer) + len(data) > limit:
                raise MalformedStream(f"the answer has more than {limit} bytes")
            answer.extend(data)

        body = Body(self.reactor, feed, lambda: None, connection)
        response.deliverBody(body)
        return body.done
