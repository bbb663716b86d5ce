# -*- test-case-name: cocained.test.test_rpc_connection -*-
"""Tests of :mod:`cocained.rpc.connection` and :mod:`cocained.rpc.outbox`."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
)
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import CocainedError, LocalProtocolError, RemoteError
from cocained.interfaces import IReactor
from cocained.rpc.connection import (
    CONNECT_TIMEOUT,
    Address,
    Connection,
    NotConnected,
    TimedOut,
    address_text,
    connect,
    endpoint_for,
    limited,
)
from cocained.rpc.graph import VALUE
from cocained.rpc.headers import Header
from cocained.rpc.outbox import OUTBOX_LIMIT, PIECE, Outbox
from cocained.rpc.session import Session
from cocained.rpc.turn import Turn
from cocained.test.memory_network import MemoryNetwork, RawFactory, reply

HERE: Address = ("127.0.0.1", 1001)
THERE: Address = ("127.0.0.2", 1002)


def silent(frame: Any) -> bytes:
    """React to nothing."""
    return b""


class Listener:
    """A receiver that remembers."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, list[Any]]] = []
        self.errors: list[CocainedError] = []

    def message(self, kind: int, args: list[Any], headers: list[Header]) -> None:
        self.messages.append((kind, args))

    def discard(self, error: CocainedError) -> None:
        self.errors.append(error)


class ConnectTests(SynchronousTestCase):
    """Addresses become a connection or a clear error."""

    def setUp(self) -> None:
        self.network = MemoryNetwork()

    def connect(self, *addresses: Address, timeout: float = 20) -> Deferred[Connection]:
        return connect(self.network.wiring, addresses, timeout)

    def test_first_address(self) -> None:
        """The first address that accepts is used, no other is tried."""
        self.network.listeners[HERE] = RawFactory(silent)
        connecting = self.connect(HERE, THERE)
        self.network.flush()
        self.assertTrue(self.successResultOf(connecting).usable)
        self.assertEqual(self.network.attempts, [HERE])

    def test_next_address(self) -> None:
        """An address that refuses is followed by the next one."""
        self.network.listeners[THERE] = RawFactory(silent)
        connecting = self.connect(HERE, THERE)
        self.network.flush()
        self.successResultOf(connecting)
        self.assertEqual(self.network.attempts, [HERE, THERE])

    def test_silent_address_is_given_up(self) -> None:
        """An address that never answers takes five seconds, not all of them."""
        self.network.listeners[HERE] = None
        self.network.listeners[THERE] = RawFactory(silent)
        connecting = self.connect(HERE, THERE)
        self.network.pass_time(CONNECT_TIMEOUT)
        self.successResultOf(connecting)

    def test_nothing_answers(self) -> None:
        """When all addresses refuse the error names each with its reason."""
        connecting = self.connect(HERE, THERE)
        self.network.flush()
        error = self.failureResultOf(connecting, NotConnected).value
        assert isinstance(error, NotConnected)
        self.assertEqual(len(error.failures), 2)
        self.assertIn("127.0.0.2:1002", error.reason)
        self.assertIn("refused", error.reason)

    def test_no_addresses(self) -> None:
        """A service without addresses is an error, not a wait."""
        connecting = connect(self.network.wiring, [], 20, "service 'x'")
        error = self.failureResultOf(connecting, NotConnected).value
        self.assertEqual(
            cast(NotConnected, error).reason,
            "cannot reach service 'x': it has no addresses",
        )

    def test_impossible_host(self) -> None:
        """A host name that cannot exist is reported like any other failure."""
        connecting = self.connect(("a" * 70, 1))
        self.network.flush()
        self.failureResultOf(connecting, NotConnected)

    def test_time_limit(self) -> None:
        """The whole attempt has a limit of its own."""
        self.network.listeners[HERE] = None
        connecting = self.connect(HERE, HERE, HERE, timeout=7)
        self.network.pass_time(5)
        self.network.pass_time(2)
        self.failureResultOf(connecting, TimedOut)
        self.network.flush()
        self.assertEqual(self.network.attempts, [HERE, HERE])

    def test_cancel(self) -> None:
        """Who gives up leaves no attempt behind."""
        self.network.listeners[HERE] = None
        connecting = self.connect(HERE)
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.network.flush()
        self.assertEqual(self.network.links, [])


class EndpointTests(SynchronousTestCase):
    """Each kind of address has its endpoint."""

    def test_kinds(self) -> None:
        """Numeric addresses, names and paths are told apart."""
        reactor = cast(IReactor, MemoryNetwork())
        for host, kind in {
            "127.0.0.1": TCP4ClientEndpoint,
            "::1": TCP6ClientEndpoint,
            "localhost": HostnameEndpoint,
            "/run/node.sock": UNIXClientEndpoint,
        }.items():
            self.assertIsInstance(endpoint_for(reactor, (host, 1), 1), kind)

    def test_texts(self) -> None:
        """Addresses are written as people expect them."""
        self.assertEqual(address_text(("localhost", 1)), "localhost:1")
        self.assertEqual(address_text(("::1", 1)), "[::1]:1")
        self.assertEqual(address_text(("/run/s", 0)), "/run/s")


class LimitedTests(SynchronousTestCase):
    """A wait with an end."""

    def setUp(self) -> None:
        self.clock = MemoryNetwork()

    def test_result_in_time(self) -> None:
        """What comes in time comes through."""
        waited: Deferred[int] = limited(Deferred(), 1, self.clock, "it")
        waited.callback(7)
        self.assertEqual(self.successResultOf(waited), 7)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_too_late(self) -> None:
        """What does not come fails with what was waited for and how long."""
        waited: Deferred[int] = limited(Deferred(), 1.5, self.clock, "the thing")
        self.clock.advance(1.5)
        error = self.failureResultOf(waited, TimedOut).value
        self.assertEqual(
            cast(TimedOut, error).reason, "the thing took longer than 1.5 s"
        )

    def test_other_failure_while_cancelled(self) -> None:
        """A failure of its own that a cancelled wait ends with is kept."""
        inner: Deferred[int] = Deferred(lambda d: d.errback(KeyError("own")))
        waited = limited(inner, 1, self.clock, "it")
        self.clock.advance(1)
        self.failureResultOf(waited, KeyError)


class ConnectionTests(SynchronousTestCase):
    """Channels of ours over a connection in memory."""

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.factory = RawFactory(lambda frame: reply(frame[0], VALUE, *frame[2]))
        self.network.listeners[HERE] = self.factory
        connecting = connect(self.network.wiring, [HERE], 1)
        self.network.flush()
        self.connection = self.successResultOf(connecting)
        self.listener = Listener()

    def test_message_and_answer(self) -> None:
        """A message opens a channel and its answer comes back to the receiver."""
        channel = self.connection.open(self.listener, 5, ["a", 1])
        self.network.flush()
        self.assertEqual(self.factory.raw[0].frames[0][:3], [channel, 5, [b"a", 1]])
        self.assertEqual(self.listener.messages, [(VALUE, [b"a", 1])])

    def test_channels_increase(self) -> None:
        """Each channel has a number above all before it."""
        numbers = [self.connection.open(self.listener, 0, []) for _ in range(3)]
        self.assertEqual(numbers, [1, 2, 3])

    def test_what_cannot_be_packed(self) -> None:
        """An argument msgpack has no form for is refused, and no channel is open."""
        with self.assertRaises(LocalProtocolError):
            self.connection.open(self.listener, 0, [object()])
        self.assertEqual(self.connection.session.channels, {})

    def test_what_is_too_large(self) -> None:
        """A message above the frame limit is refused before it is sent."""
        connection = Connection(
            self.connection._protocol, "a node", frame_limit=100_000
        )
        with self.assertRaisesRegex(LocalProtocolError, "100000 bytes"):
            connection.open(self.listener, 0, [b"x" * 100_000])

    def test_big_frame_arrives_whole(self) -> None:
        """A frame that leaves in pieces arrives as it was, others wait behind."""
        blob = bytes(range(256)) * 8192
        steps: list[int] = []
        self.connection.open(
            self.listener, 0, [blob], progress=lambda sent, whole: steps.append(sent)
        )
        self.connection.open(self.listener, 1, [b"next"])
        self.assertLess(len(steps), 3)
        self.network.flush()
        frames = self.factory.raw[0].frames
        self.assertEqual(frames[0][2], [blob])
        self.assertEqual(frames[1][2], [b"next"])
        self.assertEqual(steps, sorted(steps))
        self.assertGreater(steps[-1], len(blob))

    def test_slow_peer_is_no_stall(self) -> None:
        """A peer that takes a big frame slowly, but takes it, is not cut off."""
        blob = b"x" * (4 * PIECE)
        self.connection.open(self.listener, 0, [blob])
        near, _ = self.network.links[0]
        for _ in range(20):
            near.deliver()
            self.network.advance(10)
        self.network.flush()
        self.assertEqual(len(self.factory.raw[0].frames), 1)

    def test_drained(self) -> None:
        """Waiting for room ends when the peer has read what was sent."""
        self.connection.open(self.listener, 0, [b"x" * (2 * PIECE)])
        waiting = self.connection.drained()
        self.assertNoResult(waiting)
        self.network.flush()
        self.successResultOf(waiting)

    def test_drained_at_once(self) -> None:
        """With nothing to send there is no wait."""
        self.successResultOf(self.connection.drained())

    def test_drained_after_loss(self) -> None:
        """Waiting for room ends with an error when the connection is lost."""
        self.connection.open(self.listener, 0, [b"x" * (2 * PIECE)])
        waiting = self.connection.drained()
        self.network.cut()
        self.failureResultOf(waiting, RemoteError)

    def test_loss(self) -> None:
        """Open channels learn that the peer has gone, and no new ones open."""
        self.connection.open(self.listener, 0, [])
        self.network.cut()
        self.assertEqual([(e.category, e.code) for e in self.listener.errors], [(5, 2)])
        self.assertFalse(self.connection.usable)
        with self.assertRaises(RemoteError):
            self.connection.open(self.listener, 0, [])

    def test_close(self) -> None:
        """Closing lets what was sent arrive, and fires when it is gone."""
        self.connection.open(self.listener, 0, [b"last"])
        closing = self.connection.close()
        self.assertNoResult(closing)
        self.network.flush()
        self.successResultOf(closing)
        self.assertEqual(self.factory.raw[0].frames[0][2], [b"last"])
        self.successResultOf(self.connection.close())

    def test_when_lost(self) -> None:
        """Whoever wants to know hears of the end, now or afterwards."""
        lost = self.connection.when_lost()
        self.network.flush()
        self.assertNoResult(lost)
        given_up = self.connection.when_lost()
        given_up.addErrback(lambda failure: failure.trap(CancelledError) and None)
        given_up.cancel()

        self.network.cut()

        self.successResultOf(lost)
        self.successResultOf(self.connection.when_lost())

    def test_retire_waits_for_channels(self) -> None:
        """A retiring connection closes with its last channel, not before."""
        channel = self.connection.open(self.listener, 0, [])
        self.connection.retire()
        self.network.flush()
        self.assertFalse(self.factory.raw[0].lost)
        self.assertFalse(self.connection.usable)
        self.connection.forget(channel)
        self.network.flush()
        self.assertTrue(self.factory.raw[0].lost)

    def test_retire_without_channels(self) -> None:
        """With no channel open it closes at once."""
        self.connection.retire()
        self.network.flush()
        self.assertTrue(self.factory.raw[0].lost)

    def test_other_channels_are_dropped(self) -> None:
        """A message on a channel nobody opened is counted and dropped."""
        self.factory.raw[0].transport.write(reply(77, 0))
        self.network.flush()
        self.assertEqual(self.connection.session.dropped, 1)
        self.assertTrue(self.connection.usable)


class SmallLink:
    """A link that keeps what it is given."""

    def __init__(self) -> None:
        self.data: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.data.append(data)

    def pause(self) -> None:
        """Nothing to pause."""

    resume = close = pause

    def untaken(self) -> int:
        return 0


class OutboxTests(SynchronousTestCase):
    """The queue in front of a session."""

    def setUp(self) -> None:
        self.link = SmallLink()
        turn = Turn(lambda: 0.0, lambda function: None)
        self.session = Session(turn, self.link, None, hold_itself=False)
        self.outbox = Outbox(self.session)

    def test_waits_for_a_congested_peer(self) -> None:
        """While the peer does not read nothing more is handed over."""
        self.session.congest()
        self.outbox.send(b"a")
        self.outbox.send(b"b")
        self.assertEqual(self.link.data, [])
        self.session.drained()
        self.assertEqual(b"".join(self.link.data), b"ab")

    def test_limit(self) -> None:
        """What waits for a peer that does not read has a limit."""
        self.session.congest()
        self.outbox._size = OUTBOX_LIMIT
        with self.assertRaisesRegex(LocalProtocolError, "drained"):
            self.outbox.send(b"one more")

    def test_lost_connection_shows_no_progress(self) -> None:
        """When the connection is lost the rest of a frame is not reported sent."""
        steps: list[int] = []
        self.session.congest()
        self.outbox.send(b"x" * (3 * PIECE), lambda sent, whole: steps.append(sent))
        self.session.lost(RemoteError(5, 2))
        self.assertEqual(steps, [])

    def test_cancelled_waiter(self) -> None:
        """Who gives up waiting for room is forgotten."""
        self.session.congest()
        waiting = self.outbox.drained()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.session.drained()
