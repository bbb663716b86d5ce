# -*- test-case-name: cocained.test.test_rpc_wire -*-
# ruff: noqa: N802 - these doubles have the names of what they double
"""Tests of :mod:`cocained.rpc.wire`."""

from __future__ import annotations

import errno
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
)
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.test import iosim
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides
from zope.interface.verify import verifyObject

from cocained.errors import CocainedError, RemoteError
from cocained.interfaces import IReactor
from cocained.rpc.arguments import blob
from cocained.rpc.codec import MIN_FRAME_LIMIT, Decoder
from cocained.rpc.dispatch import CALL_LIMIT, Dispatch, Protocol
from cocained.rpc.session import Session
from cocained.rpc.wire import (
    CLOSE_TIMEOUT,
    WINDOW,
    Limits,
    ServerProtocol,
    ServiceFactory,
    SessionProtocol,
    Wiring,
    cancelled,
    end_of_file,
    numeric_addresses,
)
from cocained.test.rpc_case import Listener, MemoryRoot, echo, frame

EOF = (5, 2)
RESET = (2, errno.ECONNRESET)
CANCELLED = (2, errno.ECANCELED)


class Transport(StringTransport):
    """A transport that counts its aborts, and bears what real ones bear."""

    def __init__(self) -> None:
        super().__init__(lenient=True)
        self.aborts = 0

    def abortConnection(self) -> None:
        self.aborts += 1
        super().abortConnection()

    def frames(self) -> list[Any]:
        """All frames written, without their headers."""
        return [found[:3] for found in Decoder().decode(self.value())]


class NarrowTransport(Transport):
    """One that is full after each write."""

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.producer is not None:
            self.producer.pauseProducing()


class TCPTransport(Transport):
    """One that remembers the options of its socket."""

    def __init__(self) -> None:
        super().__init__()
        directlyProvides(self, ITCPTransport)
        self.options: dict[str, bool] = {}

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.options["nodelay"] = enabled

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.options["keepalive"] = enabled


class WireCase(SynchronousTestCase):
    """A server's protocol on a transport in memory."""

    limits = Limits(write_stall=60.0, connections=3)

    def setUp(self) -> None:
        self.clock = Clock()
        self.wiring = Wiring(cast(IReactor, self.clock), self.limits)
        self.root = MemoryRoot()
        self.factory = ServiceFactory(self.wiring, self.root, "test")
        self.events: list[Any] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.protocol, self.transport = self.accept()

    def accept(self) -> tuple[SessionProtocol, Transport]:
        """A client has connected."""
        protocol = self.factory.buildProtocol(None)
        assert protocol is not None
        transport = Transport()
        protocol.makeConnection(transport)
        return protocol, transport

    def lose(self, error: Exception) -> None:
        """The transport says that it is gone."""
        self.protocol.connectionLost(Failure(error))

    def told(self) -> tuple[int, int]:
        """Category and code that channel 1 was told, once."""
        [error] = self.root.listeners[1].errors
        return int(error.category), int(error.code)

    def logged(self, level: Any) -> list[Any]:
        return [event for event in self.events if event["log_level"] is level]

    def assert_nothing_left(self) -> None:
        """No timer, no connection."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertNotIn(self.protocol, self.factory.connections)


class ConnectionTests(WireCase):
    """Bytes between transport and session."""

    def test_producer(self) -> None:
        """The protocol is the streaming producer of its transport."""
        self.assertIs(self.transport.producer, self.protocol)
        self.assertIs(self.transport.streaming, True)

    def test_interfaces(self) -> None:
        """It is what transports take it for."""
        self.assertTrue(verifyObject(IPushProducer, self.protocol))
        self.assertTrue(verifyObject(IHalfCloseableProtocol, self.protocol))

    def test_options(self) -> None:
        """A TCP socket sends at once, and notices dead peers."""
        transport = TCPTransport()
        protocol = ServerProtocol(self.wiring, self.root)
        protocol.makeConnection(transport)
        self.assertEqual(transport.options, {"nodelay": True, "keepalive": True})

    def test_answers(self) -> None:
        """What was read is answered before control returns to the reactor."""
        self.root.on_open = echo
        self.protocol.dataReceived(frame(1, 0, b"a") + frame(2, 0, b"b"))
        self.assertEqual(self.transport.frames(), [[1, 0, [b"a"]], [2, 0, [b"b"]]])

    def test_spoken_later(self) -> None:
        """What is said between turns leaves in the next one."""
        self.protocol.session.value(1, [])
        self.assertEqual(self.transport.value(), b"")
        self.clock.advance(0)
        self.assertEqual(self.transport.frames(), [[1, 0, []]])

    def test_large(self) -> None:
        """Much at once arrives whole and in order."""
        self.protocol.session.value(1, [b"x" * 3_000_000])
        self.protocol.session.value(2, [])
        self.clock.advance(0)
        first, second = self.transport.frames()
        self.assertEqual([len(first[2][0]), second], [3_000_000, [2, 0, []]])

    def test_limits(self) -> None:
        """Limits reach the session."""
        wiring = Wiring(
            cast(IReactor, self.clock), Limits(frame=MIN_FRAME_LIMIT, channels=1)
        )
        protocol, transport = ServerProtocol(wiring, self.root), Transport()
        protocol.makeConnection(transport)
        protocol.dataReceived(frame(1, 1) + frame(2, 1))
        self.assertEqual(transport.frames()[0][2][0], [20991, 2])
        protocol.dataReceived(b"\x93\x03\x00\x91\xdb\x00\x01\x00\x00")
        self.assertIsNotNone(protocol.session.fault)
        self.assertTrue(transport.disconnecting)

    def test_default_limits(self) -> None:
        """Without limits there are the defaults."""
        self.assertEqual(Wiring(cast(IReactor, self.clock)).limits, Limits())


class LossTests(WireCase):
    """Why a connection ended, as its channels are told."""

    def setUp(self) -> None:
        super().setUp()
        self.protocol.dataReceived(frame(1, 1))

    def test_end_of_file(self) -> None:
        """A peer that closed is the end of file."""
        self.lose(ConnectionDone())
        self.assertEqual(self.told(), EOF)
        self.assert_nothing_left()

    def test_reset(self) -> None:
        """One that is gone any other way is a reset."""
        self.lose(ConnectionLost())
        self.assertEqual(self.told(), RESET)
        self.assert_nothing_left()

    def test_aborted_here(self) -> None:
        """A connection that we gave up was cancelled."""
        self.protocol.abort()
        self.assertEqual(self.transport.aborts, 1)
        self.lose(ConnectionAborted())
        self.assertEqual(self.told(), CANCELLED)
        self.assert_nothing_left()

    def test_closed_here(self) -> None:
        """So was one that we closed, also when the peer is quicker."""
        self.protocol.close()
        self.assertTrue(self.transport.disconnecting)
        self.lose(ConnectionDone())
        self.assertEqual(self.told(), CANCELLED)
        self.assert_nothing_left()

    def test_fault(self) -> None:
        """A peer that broke the rules is told of in the log, with its fault."""
        self.protocol.dataReceived(b"\xc1")
        self.assertEqual(self.told(), (6, 4))
        self.assertTrue(self.transport.disconnecting)
        self.lose(ConnectionDone())
        self.assertEqual(self.told(), (6, 4))
        self.assert_nothing_left()
        [event] = self.logged(LogLevel.info)
        self.assertIs(event["fault"], self.protocol.session.fault)

    def test_answers_before_a_fault(self) -> None:
        """Answers to frames in front of the fault leave before the end."""
        self.root.on_open = echo
        self.protocol.dataReceived(frame(2, 0, b"a") + b"\x05")
        self.assertEqual(self.transport.frames(), [[2, 0, [b"a"]]])
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.transport.aborts, 0)

    def test_nothing_is_written_after_it(self) -> None:
        """What is said later is said to nobody."""
        self.lose(ConnectionDone())
        self.protocol.session.value(1, [])
        self.clock.advance(0)
        self.assertEqual(self.transport.value(), b"")

    def test_on_lost(self) -> None:
        """Who asked for it is called once, when the channels have been told."""
        seen: list[Any] = []
        self.protocol.on_lost = lambda protocol: seen.append((protocol, self.told()))
        self.lose(ConnectionDone())
        self.assertEqual(seen, [(self.protocol, EOF)])

    def test_bug(self) -> None:
        """A bug of a receiver is logged and costs its connection only."""

        def fall(session: Session, channel: int, args: list[Any]) -> None:
            raise ZeroDivisionError

        self.root.on_open = fall
        self.protocol.dataReceived(frame(2, 0))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.transport.aborts, 1)
        other, transport = self.accept()
        self.root.on_open = echo
        other.dataReceived(frame(1, 0))
        self.assertEqual(transport.frames(), [[1, 0, []]])

    def test_texts(self) -> None:
        """Each reason has the text of the system."""
        self.assertEqual(end_of_file().reason, "End of file")
        self.assertEqual(cancelled().reason, "Operation canceled")

    def test_errors_are_not_shared(self) -> None:
        """Each is made anew: a shared one would collect tracebacks."""
        first, second = cancelled(), cancelled()
        self.assertIsNot(first, second)


class CloseTests(WireCase):
    """Connections that we end."""

    def test_in_time(self) -> None:
        """A peer that takes our last bytes leaves no timer behind."""
        self.protocol.close()
        self.clock.advance(CLOSE_TIMEOUT / 2)
        self.lose(ConnectionDone())
        self.assertEqual(self.transport.aborts, 0)
        self.assert_nothing_left()

    def test_too_late(self) -> None:
        """One that does not is cut off."""
        self.protocol.close()
        self.clock.advance(CLOSE_TIMEOUT)
        self.assertEqual(self.transport.aborts, 1)
        self.lose(ConnectionAborted())
        self.assert_nothing_left()

    def test_twice(self) -> None:
        """To close again, or after the end, does nothing."""
        self.protocol.close()
        self.protocol.close()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.lose(ConnectionDone())
        self.protocol.close()
        self.assert_nothing_left()

    def test_no_producer(self) -> None:
        """A closed connection waits for no producer."""
        self.protocol.close()
        self.assertIsNone(self.transport.producer)

    def test_no_pause(self) -> None:
        """It is neither paused nor resumed any more."""
        self.transport = Transport()
        self.protocol.makeConnection(self.transport)
        self.protocol.close()
        self.protocol.pause()
        self.assertEqual(self.transport.producerState, "producing")
        self.transport.pauseProducing()
        self.protocol.resume()
        self.assertEqual(self.transport.producerState, "paused")

    def test_half_closed(self) -> None:
        """A peer that sends no more is answered, then closed."""
        self.protocol.dataReceived(frame(1, 1))
        self.protocol.session.owed += 1
        server = cast(ServerProtocol, self.protocol)
        server.readConnectionLost()
        self.assertEqual(self.told(), EOF)
        self.assertFalse(self.transport.disconnecting)
        self.protocol.session.value(2, [])
        self.protocol.session.owed -= 1
        self.protocol.session.settle()
        self.assertEqual(self.transport.frames(), [[2, 0, []]])
        self.assertTrue(self.transport.disconnecting)
        self.lose(ConnectionDone())
        self.clock.advance(0)
        self.assert_nothing_left()

    def test_half_closed_the_other_way(self) -> None:
        """One that reads no more is of no use."""
        cast(ServerProtocol, self.protocol).writeConnectionLost()
        self.assertEqual(self.transport.aborts, 1)
        self.lose(ConnectionAborted())
        self.assert_nothing_left()


class PressureTests(WireCase):
    """A peer that does not read."""

    def test_paused(self) -> None:
        """A full transport stops what we read from that peer."""
        self.protocol.pauseProducing()
        self.assertTrue(self.protocol.session.congested)
        self.assertEqual(self.transport.producerState, "paused")
        self.protocol.resumeProducing()
        self.assertFalse(self.protocol.session.congested)
        self.assertEqual(self.transport.producerState, "producing")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stalled(self) -> None:
        """One that stays so is disconnected, with a word in the log."""
        self.protocol.dataReceived(frame(1, 1))
        self.protocol.pauseProducing()
        self.clock.advance(59.9)
        self.assertEqual(self.transport.aborts, 0)
        self.clock.advance(0.1)
        self.assertEqual(self.transport.aborts, 1)
        self.lose(ConnectionAborted())
        self.assertEqual(self.told(), CANCELLED)
        self.assert_nothing_left()
        [event] = self.logged(LogLevel.warn)
        self.assertEqual(event["seconds"], 60.0)

    def test_slow(self) -> None:
        """One that reads slowly is not: each time it has all of the time."""
        for _ in range(5):
            self.protocol.pauseProducing()
            self.clock.advance(50)
            self.protocol.resumeProducing()
        self.assertEqual(self.transport.aborts, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_lost_while_stalled(self) -> None:
        """When it is lost first there is no timer left."""
        self.protocol.pauseProducing()
        self.lose(ConnectionLost())
        self.assert_nothing_left()

    def test_closed_while_stalled(self) -> None:
        """Nor when it was closed, and cut off after a while."""
        self.protocol.pauseProducing()
        self.protocol.close()
        self.clock.advance(CLOSE_TIMEOUT)
        self.assertEqual(self.transport.aborts, 1)
        self.lose(ConnectionAborted())
        self.assert_nothing_left()

    def narrow(self) -> NarrowTransport:
        """Say more than a window to a peer whose transport is always full."""
        transport = self.transport = NarrowTransport()
        protocol = ServerProtocol(self.wiring, self.root)
        protocol.makeConnection(transport)
        self.protocol = protocol
        protocol.session.value(1, [b"x" * (2 * WINDOW)])
        protocol.session.flush()
        protocol.session.value(2, [])
        protocol.session.flush()
        return transport

    def test_windows(self) -> None:
        """A transport is given one window at a time, in order and whole."""
        transport = self.narrow()
        sizes = [len(transport.value())]
        while self.protocol.session.congested:
            self.protocol.resumeProducing()
            sizes.append(len(transport.value()))
        self.assertEqual(sizes[:2], [WINDOW, 2 * WINDOW])
        first, second = transport.frames()
        self.assertEqual([len(first[2][0]), second], [2 * WINDOW, [2, 0, []]])
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_slow_windows(self) -> None:
        """A peer that takes one window within the time is slow, not stalled."""
        transport = self.narrow()
        self.clock.advance(50)
        self.protocol.resumeProducing()
        self.clock.advance(50)
        self.assertEqual(transport.aborts, 0)
        self.clock.advance(10)
        self.assertEqual(transport.aborts, 1)

    def test_closed_with_windows_left(self) -> None:
        """What was said before the end is given to the transport all the same."""
        transport = self.narrow()
        self.protocol.session.hang_up(cancelled())
        self.assertEqual([found[0] for found in transport.frames()], [1, 2])
        self.assertTrue(transport.disconnecting)

    def test_feeder(self) -> None:
        """Who feeds it is read no further until it reads."""
        feeder, transport = self.accept()
        self.protocol.pauseProducing()
        self.protocol.session.hold(feeder.session)
        self.assertEqual(transport.producerState, "paused")
        self.protocol.resumeProducing()
        self.assertEqual(transport.producerState, "producing")

    def test_feeder_of_a_lost_one(self) -> None:
        """Its end sets them free as well."""
        feeder, transport = self.accept()
        self.protocol.pauseProducing()
        self.protocol.session.hold(feeder.session)
        self.lose(ConnectionLost())
        self.assertEqual(transport.producerState, "producing")

    def test_feeder_lost(self) -> None:
        """One that is gone when it is set free does no harm."""
        feeder, _ = self.accept()
        self.protocol.session.hold(feeder.session)
        feeder.connectionLost(Failure(ConnectionDone()))
        self.protocol.resumeProducing()
        self.assertEqual(self.factory.connections, {self.protocol})


class FactoryTests(WireCase):
    """All connections of a service."""

    def test_counts(self) -> None:
        """It knows its connections while they last."""
        self.assertEqual(self.factory.connections, {self.protocol})
        self.lose(ConnectionDone())
        self.assertEqual(self.factory.connections, set())

    def test_limit(self) -> None:
        """Beyond the limit clients are refused, with one word in the log."""
        for _ in range(self.limits.connections - 1):
            self.accept()
        for _ in range(4):
            self.assertIsNone(self.factory.buildProtocol(None))
        [event] = self.logged(LogLevel.warn)
        self.assertEqual((event["service"], event["limit"]), ("test", 3))

    def test_room_again(self) -> None:
        """When one has gone another may come, and the log may speak again."""
        for _ in range(2):
            while len(self.factory.connections) < self.limits.connections:
                self.protocol, self.transport = self.accept()
            self.assertIsNone(self.factory.buildProtocol(None))
            self.lose(ConnectionDone())
        self.accept()
        self.assertEqual(len(self.logged(LogLevel.warn)), 2)

    def test_close(self) -> None:
        """To close it ends all connections, once their answers are sent."""
        other, transport = self.accept()
        self.protocol.dataReceived(frame(1, 1))
        other.session.value(1, [])
        self.factory.close()
        self.assertEqual(transport.frames(), [[1, 0, []]])
        self.assertTrue(transport.disconnecting)
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.told(), CANCELLED)
        for protocol in (self.protocol, other):
            protocol.connectionLost(Failure(ConnectionDone()))
        self.clock.advance(0)
        self.assertEqual(self.factory.connections, set())
        self.assert_nothing_left()

    def test_addresses(self) -> None:
        """Numeric hosts resolve to themselves."""
        self.assertEqual(numeric_addresses("127.0.0.1"), ["127.0.0.1"])
        self.assertEqual(numeric_addresses("::1"), ["::1"])


class Service:
    """Answers at once, or when it is told to."""

    protocol = Protocol(version=1)

    def __init__(self) -> None:
        self.waiting: list[Deferred[bytes]] = []

    @protocol.method(0, blob)
    def mirror(self, value: bytes) -> bytes:
        return value

    @protocol.method(1)
    def wait(self) -> Deferred[bytes]:
        self.waiting.append(Deferred())
        return self.waiting[-1]


class TwoStacksTests(SynchronousTestCase):
    """Our client's end and our server's, byte by byte through Twisted's network."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.wiring = Wiring(cast(IReactor, self.clock))
        self.service = Service()
        self.factory = ServiceFactory(self.wiring, Dispatch(self.service), "test")
        server = self.factory.buildProtocol(None)
        assert server is not None
        self.server = server
        self.client = SessionProtocol(self.wiring, None, hold_itself=False)
        self.pump = iosim.connect(
            self.server,
            iosim.makeFakeServer(self.server),
            self.client,
            iosim.makeFakeClient(self.client),
            clock=self.clock,
        )

    def call(self, kind: int, *args: Any) -> Listener:
        """Open a channel with a request."""
        listener = Listener()
        channel = self.client.session.fork(listener)
        self.client.session.send(frame(channel, kind, *args))
        return listener

    def results(self, *listeners: Listener) -> list[Any]:
        """Carry bytes, and give what was answered."""
        self.pump.flush()
        return [
            [(kind, args) for kind, args, _ in listener.messages]
            for listener in listeners
        ]

    def test_call(self) -> None:
        """A request is answered."""
        self.assertEqual(self.results(self.call(0, b"a")), [[(0, [b"a"])]])

    def test_many(self) -> None:
        """Many calls have each its own answer."""
        calls = [self.call(0, b"%d" % number) for number in range(500)]
        self.assertEqual(
            self.results(*calls), [[(0, [b"%d" % number])] for number in range(500)]
        )

    def test_big(self) -> None:
        """A big request comes back whole, and so does the next one."""
        value = bytes(range(256)) * 20000
        calls = [self.call(0, value), self.call(0, b"small")]
        self.assertEqual(self.results(*calls), [[(0, [value])], [(0, [b"small"])]])

    def test_out_of_order(self) -> None:
        """Answers find their channels in any order."""
        calls = [self.call(1) for _ in range(3)]
        self.pump.flush()
        for number in (2, 0, 1):
            self.service.waiting[number].callback(b"%d" % number)
        self.assertEqual(
            self.results(*calls), [[(0, [b"%d" % number])] for number in range(3)]
        )

    def test_errors(self) -> None:
        """Errors of one call leave the other alone."""
        calls = [self.call(9), self.call(0), self.call(0, b"a")]
        unknown, wrong, good = self.results(*calls)
        self.assertEqual([answer[1][0] for answer in unknown + wrong], [[7, 5], [7, 2]])
        self.assertEqual(good, [(0, [b"a"])])

    def test_more_than_the_limit(self) -> None:
        """More calls than are taken at a time are all answered."""
        calls = [self.call(1) for _ in range(CALL_LIMIT + 100)]
        self.pump.flush()
        self.assertEqual(len(self.service.waiting), CALL_LIMIT)
        at = 0
        while at < len(self.service.waiting):
            self.service.waiting[at].callback(b"x")
            at += 1
        self.assertEqual(self.results(*calls), [[(0, [b"x"])]] * len(calls))

    def test_server_closes(self) -> None:
        """When the server ends, open calls are told the end of file."""
        call = self.call(1)
        self.pump.flush()
        self.factory.close()
        self.pump.flush()
        self.assertEqual(self.codes(call), [EOF])
        self.service.waiting[0].callback(b"too late")
        self.pump.flush()
        self.assertEqual(call.messages, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.factory.connections, set())

    def test_client_closes(self) -> None:
        """When the client ends, its own calls were cancelled."""
        call = self.call(1)
        self.pump.flush()
        self.client.close()
        self.pump.flush()
        self.client.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.codes(call), [CANCELLED])
        self.assertEqual(self.factory.connections, set())

    def test_client_breaks_the_rules(self) -> None:
        """Answers to what was right arrive before the connection ends."""
        calls = [self.call(0, b"a"), self.call(1)]
        self.client.session.send(b"\xc1")
        self.assertEqual(self.results(*calls), [[(0, [b"a"])], []])
        self.assertEqual(self.codes(calls[1]), [EOF])
        self.assertEqual(self.factory.connections, set())

    def codes(self, listener: Listener) -> list[tuple[int, int]]:
        """What ended a call."""
        return [(int(error.category), int(error.code)) for error in listener.errors]

    def test_errors_are_ours(self) -> None:
        """Whatever ends a call is an error of our tree."""
        call = self.call(1)
        self.client.connectionLost(Failure(ConnectionLost()))
        [error] = call.errors
        self.assertIsInstance(error, CocainedError)
        self.assertIsInstance(error, RemoteError)
        self.assertEqual(self.codes(call), [RESET])
