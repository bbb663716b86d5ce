# -*- test-case-name: cocained.test.test_rpc_client_faults -*-
"""
Clients against nodes that fail in every place where one waits for them.

The law: each call ends, within its time, with an error that says what was the
matter; and when the node is well again the next call works.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import CocainedError, RemoteError, RemoteProtocolError
from cocained.rpc.arguments import anything, text
from cocained.rpc.client import Locator, RemoteService
from cocained.rpc.connection import NotConnected, TimedOut
from cocained.rpc.dispatch import Protocol
from cocained.test.memory_network import (
    MemoryNetwork,
    RawFactory,
    graph_on_the_wire,
    reply,
)

LOCATOR = ("127.0.0.1", 10053)
ECHO = ("127.0.0.1", 2001)
SPARE = ("127.0.0.1", 2002)


class Echo:
    """Gives back what it gets."""

    protocol = Protocol(version=1)

    @protocol.method(0, anything)
    def echo(self, value: Any) -> Any:
        return value


class Directory:
    """A locator of one service."""

    protocol = Protocol(version=3)
    addresses: tuple[tuple[str, int], ...] = (ECHO,)

    @protocol.method(0, text)
    def resolve(self, name: str) -> Any:
        graph = graph_on_the_wire(Echo.protocol.graph)
        return ([list(address) for address in self.addresses], 1, graph)


def silent(frame: Any) -> bytes:
    """Say nothing."""
    return b""


class FaultTests(SynchronousTestCase):
    """One fault at a time."""

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.directory = Directory()
        self.heal()
        self.locator = Locator(self.network.wiring, *LOCATOR, timeout=8)
        self.echo = RemoteService(self.network.wiring, self.locator, "echo", timeout=8)

    def heal(self) -> None:
        """Make the node well."""
        self.network.listen(LOCATOR, self.directory)
        self.network.listen(ECHO, Echo())

    def fails(self, *kinds: type[Exception]) -> CocainedError:
        """A call fails in time; when the node is well again the next works."""
        calling = self.echo.call("echo", 1)
        for _ in range(8):
            self.network.pass_time(1)
        error = self.failureResultOf(calling, *kinds).value
        assert isinstance(error, CocainedError)
        self.assertEqual(self.network.getDelayedCalls(), [])
        self.heal()
        again = self.echo.call("echo", 2)
        self.network.flush()
        self.assertEqual(self.successResultOf(again), 2)
        return error

    def test_locator_refuses(self) -> None:
        """Nobody listens where the locator should be."""
        del self.network.listeners[LOCATOR]
        self.fails(NotConnected)

    def test_locator_does_not_accept(self) -> None:
        """The locator's machine swallows the attempt."""
        self.network.listeners[LOCATOR] = None
        self.fails(NotConnected)

    def test_service_refuses(self) -> None:
        """Nobody listens where the service should be."""
        del self.network.listeners[ECHO]
        self.assertIn("service 'echo'", str(self.fails(NotConnected)))

    def test_service_talks_first(self) -> None:
        """The service sends messages on channels nobody opened."""
        factory = RawFactory(
            lambda frame: reply(99, 0, b"x") + reply(frame[0], 1, [1, 2], "no")
        )
        self.network.listeners[ECHO] = factory
        calling = self.echo.call("echo", 1)
        self.network.flush()
        error = self.failureResultOf(calling, RemoteError).value
        self.assertEqual(str(error), "[1, 2] no")

    def test_half_a_frame(self) -> None:
        """The service begins an answer and stops."""
        self.network.listeners[ECHO] = RawFactory(
            lambda frame: reply(frame[0], 0, b"long" * 9)[:20]
        )
        calling = self.echo.call("echo", 1)
        self.network.pass_time(8)
        self.failureResultOf(calling, TimedOut)

    def test_hangs_up(self) -> None:
        """The service hangs up when it is asked."""
        factory = RawFactory(silent)

        def hang_up(frame: Any) -> bytes:
            factory.raw[-1].transport.loseConnection()
            return b""

        factory._react = hang_up
        self.network.listeners[ECHO] = factory
        self.assertEqual(str(self.fails(RemoteError)), "[5, 2] End of file")

    def test_huge_claims(self) -> None:
        """The service claims more than anybody wants to hold."""
        for claim in (b"\xdd\xff\xff\xff\xff", b"\x94\x01\x00\xdb\xff\xff\xff\xff"):
            self.network.listeners[ECHO] = RawFactory(lambda frame, c=claim: c)  # type: ignore[misc]
            self.fails(RemoteProtocolError)
            closing = self.echo.close()
            self.network.flush()
            self.successResultOf(closing)

    def test_bad_headers(self) -> None:
        """The service refers to headers that no table has."""
        frame_with: Callable[[int], bytes] = lambda channel: (  # noqa: E731
            b"\x94" + bytes((channel,)) + b"\x00\x90\x91\xcc\xfe"
        )
        self.network.listeners[ECHO] = RawFactory(lambda frame: frame_with(frame[0]))
        self.fails(RemoteProtocolError)

    def test_second_address(self) -> None:
        """The first of two addresses is dead, the second is used."""
        self.directory.addresses = (SPARE, ECHO)
        calling = self.echo.call("echo", 1)
        self.network.flush()
        self.assertEqual(self.successResultOf(calling), 1)

    def test_no_addresses(self) -> None:
        """A service is announced with no address at all."""
        self.directory.addresses = ()
        calling = self.echo.call("echo", 1)
        self.network.flush()
        error = self.failureResultOf(calling, NotConnected).value
        self.assertIn("it has no addresses", str(error))

    def test_many_callers(self) -> None:
        """When the attempt of many callers fails, each gets its error."""
        del self.network.listeners[ECHO]
        calls = [self.echo.call("echo", n) for n in range(5)]
        self.network.flush()
        for call in calls:
            self.failureResultOf(call, NotConnected)

    def test_late_answer(self) -> None:
        """An answer that comes after its time is dropped, the next is right."""
        late: list[Any] = []

        def react(frame: Any) -> bytes:
            late.append(frame)
            if len(late) == 1:
                return b""
            return reply(late[0][0], 0, b"late") + reply(frame[0], 0, b"right")

        self.network.listeners[ECHO] = RawFactory(react)
        first = self.echo.call("echo", 1, timeout=2)
        self.network.pass_time(2)
        self.failureResultOf(first, TimedOut)
        second = self.echo.call("echo", 2)
        self.network.flush()
        self.assertEqual(self.successResultOf(second), b"right")

    def test_loss_while_writing(self) -> None:
        """The connection is lost in the middle of a large request."""
        steps: list[int] = []
        calling: Deferred[Any] = self.echo.call(
            "echo", bytes(5_000_000), progress=lambda sent, whole: steps.append(sent)
        )
        while not steps:
            self.network.advance(0)
            for link in self.network.links:
                for end in link:
                    end.deliver()
        self.network.cut()
        self.failureResultOf(calling, RemoteError)
        self.assertLess(steps[-1], 5_000_000)
