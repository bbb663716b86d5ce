# -*- test-case-name: cocained.test.test_rpc_client -*-
"""Tests of :mod:`cocained.rpc.client`, against services in memory."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import (
    AppStopped,
    InvalidArgument,
    LocalProtocolError,
    RemoteError,
    RemoteProtocolError,
    ServiceNotAvailable,
)
from cocained.rpc.arguments import anything, blob, listing, optional, text
from cocained.rpc.calls import END
from cocained.rpc.client import (
    LOCATOR_GRAPH,
    Locator,
    RemoteService,
    Resolved,
    UnknownMethod,
)
from cocained.rpc.codec import ARRAY_LIMIT, Pairs
from cocained.rpc.connection import NotConnected, TimedOut
from cocained.rpc.dispatch import Protocol
from cocained.rpc.graph import STREAMING
from cocained.rpc.headers import Header
from cocained.rpc.session import Session
from cocained.rpc.streams import Upstream
from cocained.test.memory_network import (
    MemoryNetwork,
    RawFactory,
    graph_on_the_wire,
    reply,
)

LOCATOR = ("127.0.0.1", 10053)
ECHO = ("127.0.0.1", 2001)
OTHER = ("127.0.0.1", 2002)


class EchoService:
    """A service with a method of each kind."""

    protocol = Protocol(version=1)

    def __init__(self) -> None:
        self.muttered: list[bytes] = []
        self.headers: list[Header] = []
        self.pending: list[Deferred[Any]] = []

    @protocol.method(0, anything)
    def echo(self, value: Any) -> Any:
        return value

    @protocol.method(1)
    def nothing(self) -> None:
        return None

    @protocol.method(2)
    def pair(self) -> tuple[int, str]:
        return (1, "two")

    @protocol.method(3)
    def fail(self) -> None:
        raise InvalidArgument("as asked")

    @protocol.method(4)
    def never(self) -> Deferred[None]:
        self.pending.append(Deferred())
        return self.pending[-1]

    @protocol.mute(5, blob)
    def mutter(self, what: bytes) -> None:
        self.muttered.append(what)

    @protocol.stream(6, optional(text, ""), dispatch=STREAMING)
    def count(
        self, session: Session, channel: int, headers: list[Header], what: str
    ) -> None:
        upstream = Upstream(session, channel, [])
        self.headers = headers
        for number in range(3):
            upstream.write(number)
        upstream.close()

    @protocol.method(7)
    def stopped(self) -> None:
        raise AppStopped()

    @protocol.stream(8)
    def stopped_stream(
        self, session: Session, channel: int, headers: list[Header]
    ) -> None:
        raise AppStopped()


class LocatorDouble:
    """A locator that knows what a test tells it."""

    protocol = Protocol(version=3)

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}
        self.asked: list[tuple[str, str]] = []

    @protocol.method(0, text, optional(text, ""))
    def resolve(self, name: str, seed: str) -> Any:
        self.asked.append((name, seed))
        if name not in self.known:
            raise ServiceNotAvailable()
        return self.known[name]

    @protocol.method(2, listing(text))
    def refresh(self, groups: list[str]) -> None:
        return None

    @protocol.stream(5, text)
    def routing(
        self, session: Session, channel: int, headers: list[Header], uuid: str
    ) -> None:
        ring = [[point, "app"] for point in range(3 * ARRAY_LIMIT)]
        Upstream(session, channel, []).write({"group": ring})


class ClientCase(SynchronousTestCase):
    """A locator and a service in memory."""

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.double = LocatorDouble()
        self.service = EchoService()
        self.network.listen(LOCATOR, self.double)
        self.network.listen(ECHO, self.service)
        self.announce("echo", ECHO)
        self.locator = Locator(self.network.wiring, *LOCATOR)
        self.echo = RemoteService(self.network.wiring, self.locator, "echo")

    def announce(self, name: str, *addresses: tuple[str, int]) -> None:
        """Let the locator know a service."""
        graph = graph_on_the_wire(EchoService.protocol.graph)
        self.double.known[name] = ([list(a) for a in addresses], 1, graph)

    def result(self, deferred: Deferred[Any]) -> Any:
        """Let all happen, then take the result."""
        self.network.flush()
        return self.successResultOf(deferred)

    def failure(self, deferred: Deferred[Any], *kinds: type[Exception]) -> Any:
        """Let all happen, then take the error."""
        self.network.flush()
        return self.failureResultOf(deferred, *kinds).value


class LocatorTests(ClientCase):
    """Names become places."""

    def test_resolve(self) -> None:
        """A service is resolved to its addresses, version and graph."""
        resolved = self.result(self.locator.resolve("echo"))
        self.assertEqual(resolved.endpoints, [ECHO])
        self.assertEqual(resolved.version, 1)
        self.assertEqual(resolved.graph[6][0], "count")

    def test_unknown_service(self) -> None:
        """A service that is not there is the locator's own error."""
        error = self.failure(self.locator.resolve("no"), RemoteError)
        self.assertEqual(str(error), "[10, 1] service is not available")

    def test_seed(self) -> None:
        """A seed travels along, and is left out when there is none."""
        self.result(self.locator.resolve("echo", "42"))
        self.assertEqual(self.double.asked, [("echo", "42")])

    def test_no_locator(self) -> None:
        """A locator that cannot be reached is told as such."""
        locator = Locator(self.network.wiring, *OTHER)
        error = self.failure(locator.resolve("echo"), NotConnected)
        self.assertIn("127.0.0.1:2002", str(error))

    def test_no_locator_at_all(self) -> None:
        """A server that answers otherwise is told as such."""
        self.double.known["echo"] = "somewhere"
        error = self.failure(self.locator.resolve("echo"), RemoteProtocolError)
        self.assertIn("does not answer as a locator", str(error))

    def test_odd_entries(self) -> None:
        """Each part of an answer is checked."""
        for value in (
            None,
            [],
            [[], 1],
            [[[b"h"]], 1, Pairs()],
            [[[b"h", -1]], 1, Pairs()],
            [[], -1, Pairs()],
            [[], 1, 5],
        ):
            with self.assertRaises(InvalidArgument):
                Resolved.from_wire(value)

    def test_other_methods(self) -> None:
        """The locator's other methods are called by name, without resolving."""
        self.result(self.locator.service.call("refresh", ["group"]))
        self.assertEqual(self.double.asked, [])

    def test_large_routing(self) -> None:
        """A locator may send rings longer than other peers' arrays."""
        stream = self.result(self.locator.service.stream("routing", "me"))
        dump = self.result(stream.read())
        self.assertEqual(len(dict(dump)[b"group"]), 3 * ARRAY_LIMIT)

    def test_graph_numbers(self) -> None:
        """The numbers that all clients have wired in do not move."""
        self.assertEqual(
            [LOCATOR_GRAPH[number][0] for number in range(7)],
            ["resolve", "connect", "refresh", "cluster", "publish", "routing", "uuid"],
        )

    def test_close(self) -> None:
        """A closed locator connects again when it is asked again."""
        self.result(self.locator.resolve("echo"))
        self.result(self.locator.close())
        self.result(self.locator.resolve("echo"))
        self.assertEqual(self.network.attempts.count(LOCATOR), 2)


class CallTests(ClientCase):
    """Methods by name."""

    def test_values(self) -> None:
        """One value is itself, none is None, several are a list."""
        self.assertEqual(self.result(self.echo.call("echo", b"hi")), b"hi")
        self.assertIsNone(self.result(self.echo.call("nothing")))
        self.assertEqual(self.result(self.echo.call("pair")), [1, b"two"])

    def test_error(self) -> None:
        """What the service reports is raised."""
        error = self.failure(self.echo.call("fail"), RemoteError)
        self.assertEqual(str(error), "[7, 2] as asked")

    def test_mute(self) -> None:
        """A method that never answers is done when it is on its way."""
        self.assertIsNone(self.result(self.echo.call("mutter", b"psst")))
        self.assertEqual(self.service.muttered, [b"psst"])

    def test_unknown_method(self) -> None:
        """A name that is not in the graph brings the nearest ones."""
        error = self.failure(self.echo.call("ecko"), UnknownMethod)
        self.assertIn("did you mean echo?", str(error))

    def test_unknown_method_far_off(self) -> None:
        """Without a near name all are listed."""
        error = self.failure(self.echo.call("zzz"), UnknownMethod)
        self.assertIn("mutter", str(error))

    def test_stream_called(self) -> None:
        """A stream is not called for one answer."""
        error = self.failure(self.echo.call("count"), LocalProtocolError)
        self.assertIn("stream()", str(error))

    def test_unpackable(self) -> None:
        """An argument that cannot be packed is refused."""
        self.failure(self.echo.call("echo", object()), LocalProtocolError)

    def test_timeout(self) -> None:
        """A call that is not answered ends with what took too long."""
        calling = self.echo.call("never", timeout=3)
        self.network.pass_time(3)
        error = self.failure(calling, TimedOut)
        self.assertIn("echo.never took longer than 3 s", str(error))

    def test_one_connection(self) -> None:
        """Calls made at once share one attempt and one connection."""
        calls = [self.echo.call("echo", n) for n in range(5)]
        self.assertEqual([self.result(call) for call in calls], list(range(5)))
        self.assertEqual(self.network.attempts, [LOCATOR, ECHO])

    def test_giving_up_leaves_the_others(self) -> None:
        """Who gives up while connecting does not take it from the others."""
        first = self.echo.call("echo", 1)
        second = self.echo.call("echo", 2)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(self.result(second), 2)

    def test_describe(self) -> None:
        """One may ask what a service offers."""
        resolved = self.result(self.echo.connect())
        self.assertIn("echo", [entry[0] for entry in resolved.graph.values()])

    def test_fixed_place(self) -> None:
        """A service whose place is known needs no locator."""
        place = Resolved([ECHO], 1, EchoService.protocol.graph)
        service = RemoteService(self.network.wiring, place, "echo")
        self.assertEqual(self.result(service.call("echo", 1)), 1)
        self.assertEqual(self.network.attempts, [ECHO])


class StreamTests(ClientCase):
    """Streams by name."""

    def test_chunks(self) -> None:
        """A stream gives what the service writes, then its end."""
        stream = self.result(self.echo.stream("count"))
        read = [self.result(stream.read()) for _ in range(4)]
        self.assertEqual(read, [0, 1, 2, END])

    def test_headers(self) -> None:
        """Headers travel with the request."""
        self.result(self.echo.stream("count", headers=[(b"request_timeout", b"5")]))
        self.network.flush()
        self.assertIn((b"request_timeout", b"5"), self.service.headers)

    def test_unknown(self) -> None:
        """A stream of an unknown name brings the nearest ones."""
        self.failure(self.echo.stream("cont"), UnknownMethod)


class LossTests(ClientCase):
    """Connections end, services move."""

    def test_in_flight(self) -> None:
        """A call in flight fails with the end of the file."""
        calling = self.echo.call("never")
        self.network.flush()
        self.network.cut()
        error = self.failure(calling, RemoteError)
        self.assertEqual((error.category, error.code), (5, 2))

    def test_next_call_reconnects(self) -> None:
        """After a loss the next call resolves again, and may go elsewhere."""
        self.result(self.echo.call("nothing"))
        self.network.cut()
        self.network.listen(OTHER, self.service)
        del self.network.listeners[ECHO]
        self.announce("echo", OTHER)
        self.assertEqual(self.result(self.echo.call("echo", 1)), 1)

    def test_service_gone(self) -> None:
        """When the service is gone after a loss the locator's word is the error."""
        self.result(self.echo.call("nothing"))
        self.network.cut()
        self.double.known.clear()
        error = self.failure(self.echo.call("echo", 1), RemoteError)
        self.assertEqual((error.category, error.code), (10, 1))

    def test_stopped_app(self) -> None:
        """After an app was stopped the next call resolves again."""
        self.failure(self.echo.call("stopped"), RemoteError)
        self.assertEqual(self.result(self.echo.call("echo", 1)), 1)
        self.assertEqual(self.network.attempts.count(ECHO), 2)
        # The locator, the connection that was left, the new one.
        lost = [near.lost for near, _ in self.network.links]
        self.assertEqual(lost, [False, True, False])

    def test_stopped_app_stream(self) -> None:
        """That holds for streams as well."""
        stream = self.result(self.echo.stream("stopped_stream"))
        self.failure(stream.read(), RemoteError)
        self.result(self.echo.call("echo", 1))
        self.assertEqual(self.network.attempts.count(ECHO), 2)

    def test_garbage(self) -> None:
        """A server that talks nonsense fails the call, and is left."""
        self.network.listeners[ECHO] = RawFactory(lambda frame: b"\xc1")
        self.failure(self.echo.call("echo", 1), RemoteProtocolError)
        self.network.listen(ECHO, self.service)
        self.assertEqual(self.result(self.echo.call("echo", 1)), 1)

    def test_answer_against_the_graph(self) -> None:
        """A message that the graph does not have is a clear error."""
        self.network.listeners[ECHO] = RawFactory(
            lambda frame: reply(cast(int, frame[0]), 7)
        )
        self.failure(self.echo.call("echo", 1), RemoteProtocolError)

    def test_close(self) -> None:
        """A closed service fires when it is gone, and may be used again."""
        self.result(self.echo.close())
        self.result(self.echo.call("nothing"))
        self.result(self.echo.close())
        self.result(self.echo.call("nothing"))
        self.assertEqual(self.network.attempts.count(ECHO), 2)

    def test_close_with_a_call_in_flight(self) -> None:
        """Closing fails what is still in flight."""
        calling = self.echo.call("never")
        self.network.flush()
        closing = self.echo.close()
        self.failure(calling, RemoteError)
        self.result(closing)
