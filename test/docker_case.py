# -*- test-case-name: cocained.test.test_docker_client -*-
"""
An engine in memory: a test sees each request and writes its answer.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from cocained.docker import DockerClient

ADDRESS = "unix:///run/d.sock"

#: What the engine says of itself unless a test has other plans.
VERSION = {"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}


class Wire(StringTransport):
    """
    A connection that ends when the client says so: soon, as real ones do.

    :param reactor: keeps the time.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        super().__init__()
        self.reactor = reactor
        self.protocol: Any = None
        self.is_closed = False
        self.is_aborted = False

    @override
    def loseConnection(self) -> None:
        self.reactor.callLater(0, self.end, ConnectionDone())

    @override
    def abortConnection(self) -> None:
        self.is_aborted = True
        self.reactor.callLater(0, self.end, ConnectionAborted())

    def end(self, why: Exception) -> None:
        """End the connection; only the first end counts."""
        if not self.is_closed:
            self.is_closed = True
            self.protocol.connectionLost(Failure(why))


class Exchange:
    """
    One connection as the engine has it.

    :param reactor: keeps the time.
    :param factory: of the client's side.
    """

    def __init__(self, reactor: IReactorTime, factory: Any) -> None:
        self.wire = Wire(reactor)
        self.protocol = factory.buildProtocol(None)
        self.wire.protocol = self.protocol
        self.protocol.makeConnection(self.wire)

    @property
    def sent(self) -> bytes:
        """All that the client has sent."""
        return self.wire.value()

    @property
    def line(self) -> str:
        """The request line without the version of HTTP."""
        return self.sent.partition(b"\r\n")[0].decode().rpartition(" ")[0]

    @property
    def path(self) -> str:
        """Of the request, without parameters."""
        return urlsplit(self.line.partition(" ")[2]).path

    @property
    def query(self) -> dict[str, list[str]]:
        """The parameters."""
        return parse_qs(urlsplit(self.line.partition(" ")[2]).query)

    @property
    def headers(self) -> dict[str, str]:
        """The headers, in small letters."""
        head = self.sent.partition(b"\r\n\r\n")[0].decode().splitlines()[1:]
        return {
            name.lower(): value
            for name, _, value in (line.partition(": ") for line in head)
        }

    @property
    def body(self) -> bytes:
        """Of the request."""
        return self.sent.partition(b"\r\n\r\n")[2]

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.protocol.dataReceived(data)

    def begin(self, status: str = "200 OK") -> None:
        """Begin an answer that ends with the connection."""
        self.send(f"HTTP/1.1 {status}\r\n\r\n".encode())

    def end(self, why: Exception | None = None) -> None:
        """Close the connection."""
        self.wire.end(why or ConnectionDone())

    def answer(self, value: Any = None, status: str = "200 OK") -> None:
        """Answer in full, with JSON."""
        body = b"" if value is None else json.dumps(value).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.send(head.encode() + body)


class EngineCase(SynchronousTestCase):
    """Tests of a client whose engine is the test."""

    def setUp(self) -> None:
        """Make a client; no call has been made yet."""
        super().setUp()
        self.reactor = MemoryReactorClock()
        self.client = self.make_client()

    def make_client(self, **options: Any) -> DockerClient:
        """Make a client with shorter limits than usual."""
        limits = {"timeout": 5, "connect_timeout": 2, "idle_timeout": 7}
        return DockerClient(self.reactor, ADDRESS, **{**limits, **options})

    def accept(self) -> Exchange:
        """Accept the oldest connection that nobody has accepted."""
        self.assertTrue(self.reactor.unixClients, "no connection is wanted")
        path, factory, *_ = self.reactor.unixClients.pop(0)
        self.assertEqual(path, "/run/d.sock")
        return Exchange(self.reactor, factory)

    def greet(self) -> None:
        """Answer the question for the version, which comes first."""
        exchange = self.accept()
        self.assertEqual(exchange.line, "GET /version")
        exchange.answer(VERSION)

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        """
        Make the first call of a client.

        :returns: its Deferred and the exchange that waits for an answer.
        """
        called: Deferred[Any] = getattr(self.client, method)(*args, **options)
        self.greet()
        return called, self.accept()

    def unfinished(self, called: Deferred[Any]) -> Deferred[Any]:
        """Let a call be cancelled when the test is over."""

        def cancel() -> None:
            called.addErrback(lambda failure: failure.trap(CancelledError))
            called.cancel()

        self.addCleanup(cancel)
        return called

    def assert_nothing_left(self) -> None:
        """Check that no connection is wanted and no time is kept."""
        self.reactor.advance(0)
        self.assertEqual(self.reactor.unixClients, [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
