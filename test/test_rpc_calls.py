# -*- test-case-name: cocained.test.test_rpc_calls -*-
"""Tests of :mod:`cocained.rpc.calls`: one channel, against a scripted server."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import (
    CocainedError,
    LocalProtocolError,
    RemoteError,
    RemoteProtocolError,
)
from cocained.rpc.calls import (
    END,
    STREAM_LIMIT,
    Call,
    Stream,
    flatten,
    is_mute,
    is_primitive,
    reported,
    weigh,
)
from cocained.rpc.codec import Pairs, encode
from cocained.rpc.connection import TimedOut, connect
from cocained.rpc.graph import (
    CLOSE,
    ERROR,
    PRIMITIVE,
    STREAMING,
    TERMINAL,
    WRITE,
    Nested,
)
from cocained.rpc.headers import encode_headers
from cocained.test.memory_network import MemoryNetwork, RawFactory, reply

HERE = ("127.0.0.1", 1001)


class ReadingTests(SynchronousTestCase):
    """What wire values mean."""

    def test_flatten(self) -> None:
        """No value is None, one is itself, several are a list."""
        self.assertIsNone(flatten([]))
        self.assertEqual(flatten([[1]]), [1])
        self.assertEqual(flatten([1, 2]), [1, 2])

    def test_kinds(self) -> None:
        """Methods are told apart by their graph, whatever control messages it lists."""
        self.assertTrue(is_mute(TERMINAL))
        self.assertTrue(is_mute({65533: ("ping", {})}))
        self.assertTrue(is_primitive(PRIMITIVE))
        self.assertTrue(is_primitive({**PRIMITIVE, 65535: ("revoke", {})}))
        self.assertFalse(is_primitive(STREAMING))
        self.assertFalse(is_primitive(TERMINAL))

    def test_reported(self) -> None:
        """An error keeps its pair and its text, also without one."""
        error = cast(RemoteError, reported([[42, -5], b"own \xff"]))
        self.assertEqual((error.category, error.code), (42, -5))
        self.assertTrue(error.reason.startswith("own "))
        self.assertEqual(reported([[1, 2]]).reason, "")

    def test_reported_nonsense(self) -> None:
        """An error message that is none is a fault of the service."""
        for args in ([], [1], [[1], b"x"], [[b"a", 1], b"x"]):
            self.assertIsInstance(reported(args), RemoteProtocolError)

    def test_weigh(self) -> None:
        """What is nested counts with all it holds."""
        self.assertEqual(weigh(b"abc"), 3)
        self.assertGreater(weigh([b"abc", Pairs([(b"k", b"v" * 50)])]), 54)


class ExchangeCase(SynchronousTestCase):
    """A connection to a server that a test drives."""

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.factory = RawFactory(lambda frame: b"")
        self.network.listeners[HERE] = self.factory
        connecting = connect(self.network.wiring, [HERE], 1, "service 'x'")
        self.network.flush()
        self.connection = self.successResultOf(connecting)

    def say(self, kind: int, *args: Any, channel: int = 1) -> None:
        """Let the server send one message."""
        self.factory.raw[0].transport.write(reply(channel, kind, *args))
        self.network.flush()

    def heard(self) -> list[Any]:
        """What the server has been sent, without headers."""
        self.network.flush()
        return [frame[:3] for frame in self.factory.raw[0].frames]


class CallTests(ExchangeCase):
    """A call with one answer."""

    def setUp(self) -> None:
        super().setUp()
        self.call = Call(self.connection, "x.do", TERMINAL, PRIMITIVE)
        self.call.begin(3, [b"arg"])

    def test_value(self) -> None:
        """The value is the answer, and the channel is forgotten."""
        self.assertEqual(self.heard(), [[1, 3, [b"arg"]]])
        self.say(0, b"answer")
        self.assertEqual(self.successResultOf(self.call.answer), b"answer")
        self.assertEqual(self.connection.session.channels, {})

    def test_error(self) -> None:
        """A reported error is the failure."""
        self.say(ERROR, [12, 2], "no such key")
        error = self.failureResultOf(self.call.answer, RemoteError).value
        self.assertEqual(str(error), "[12, 2] no such key")

    def test_not_in_the_graph(self) -> None:
        """A message that the graph does not have ends the call, not the connection."""
        self.say(9)
        error = self.failureResultOf(self.call.answer, RemoteProtocolError).value
        self.assertIn("x.do", str(error))
        self.assertTrue(self.connection.usable)

    def test_second_answer(self) -> None:
        """An answer after the answer is dropped."""
        self.say(0, 1)
        self.say(0, 2)
        self.assertEqual(self.successResultOf(self.call.answer), 1)
        self.assertEqual(self.connection.session.dropped, 1)

    def test_garbage(self) -> None:
        """Bytes that are no frame fail the call with what was wrong."""
        self.factory.raw[0].transport.write(b"\xc1")
        self.network.flush()
        self.failureResultOf(self.call.answer, RemoteProtocolError)
        self.assertFalse(self.connection.usable)

    def test_loss(self) -> None:
        """A lost connection fails the call with the end of the file."""
        self.network.cut()
        error = self.failureResultOf(self.call.answer, RemoteError).value
        self.assertEqual(str(error), "[5, 2] End of file")

    def test_cancel(self) -> None:
        """A cancelled call forgets its channel; a late answer does no harm."""
        self.call.answer.cancel()
        self.failureResultOf(self.call.answer, CancelledError)
        self.say(0, 1)
        self.assertEqual(self.connection.session.channels, {})
        self.assertEqual(self.connection.session.dropped, 1)

    def test_end_without_answer(self) -> None:
        """A channel that closes without a value is an error, not a wait."""
        call = Call(self.connection, "x.odd", TERMINAL, {2: ("close", {})})
        call.begin(4, [])
        self.say(CLOSE, channel=2)
        self.failureResultOf(call.answer, RemoteProtocolError)


class StreamTests(ExchangeCase):
    """A channel on which both sides talk."""

    def setUp(self) -> None:
        super().setUp()
        self.ended: list[CocainedError] = []
        self.stream = self.open(STREAMING, STREAMING)

    def open(self, dispatch: Any, upstream: Any) -> Stream:
        """Open a stream with these graphs."""
        stream = Stream(
            self.connection,
            "x.talk",
            dispatch,
            upstream,
            self.network,
            self.ended.append,
        )
        stream.begin(0, ["event"])
        return stream

    def test_chunks_in_order(self) -> None:
        """Chunks are read in the order in which they were sent, then the end."""
        self.say(WRITE, b"a")
        self.say(WRITE)
        self.say(WRITE, 1, 2)
        self.say(CLOSE)
        read = [self.successResultOf(self.stream.read()) for _ in range(5)]
        self.assertEqual(read, [b"a", None, [1, 2], END, END])

    def test_waiting_reader(self) -> None:
        """Who reads first gets the chunk when it comes."""
        reading = self.stream.read()
        self.assertNoResult(reading)
        self.say(WRITE, b"late")
        self.assertEqual(self.successResultOf(reading), b"late")

    def test_headers(self) -> None:
        """Each chunk's headers are there when it has been read."""
        for name in (b"waiting", b"read later"):
            reading = self.stream.read() if name == b"waiting" else None
            headers = encode_headers([(b"x-name", name)])
            frame = encode(1, WRITE, [1], headers)
            self.factory.raw[0].transport.write(frame)
            self.network.flush()
            self.successResultOf(reading or self.stream.read())
            self.assertEqual(self.stream.headers, [(b"x-name", name)])

    def test_two_readers(self) -> None:
        """A stream has one reader at a time."""
        reading = self.stream.read()
        with self.assertRaises(LocalProtocolError):
            self.stream.read()
        self.say(CLOSE)
        self.assertIs(self.successResultOf(reading), END)

    def test_error_after_chunks(self) -> None:
        """What came before an error can be read before it."""
        self.say(WRITE, b"a")
        self.say(ERROR, [42, 1], "broken")
        self.assertEqual(self.successResultOf(self.stream.read()), b"a")
        error = self.failureResultOf(self.stream.read(), RemoteError).value
        self.assertEqual(str(error), "[42, 1] broken")
        self.assertEqual(self.ended, [error])

    def test_loss(self) -> None:
        """A waiting reader learns that the connection is lost."""
        reading = self.stream.read()
        self.network.cut()
        self.failureResultOf(reading, RemoteError)

    def test_read_timeout(self) -> None:
        """A read that takes too long fails, and one may read again."""
        reading = self.stream.read(2)
        self.network.pass_time(2)
        self.failureResultOf(reading, TimedOut)
        self.say(WRITE, b"late")
        self.assertEqual(self.successResultOf(self.stream.read(2)), b"late")

    def test_iteration(self) -> None:
        """``async for`` gives the chunks and ends with the stream."""

        async def collect() -> list[Any]:
            return [chunk async for chunk in self.stream]

        collecting = Deferred.fromCoroutine(collect())
        self.say(WRITE, b"a")
        self.say(WRITE, b"b")
        self.assertNoResult(collecting)
        self.say(CLOSE)
        self.assertEqual(self.successResultOf(collecting), [b"a", b"b"])

    def test_sending(self) -> None:
        """Chunks and the end leave under the numbers of the graph."""
        self.stream.write(b"chunk")
        self.stream.close()
        self.assertEqual(self.heard()[1:], [[1, WRITE, [b"chunk"]], [1, CLOSE, []]])

    def test_sending_after_the_end(self) -> None:
        """After the end of our side the graph allows nothing more."""
        self.stream.close()
        with self.assertRaisesRegex(LocalProtocolError, "only nothing"):
            self.stream.write(b"more")

    def test_unknown_message(self) -> None:
        """A message that the graph does not have is refused with those it has."""
        with self.assertRaisesRegex(LocalProtocolError, "write, error, close"):
            self.stream.send("choke")

    def test_sending_an_error(self) -> None:
        """Our side can end with an error."""
        self.stream.error(42, 7, "gave up")
        self.assertEqual(self.heard()[1:], [[1, ERROR, [[42, 7], b"gave up"]]])

    def test_sending_after_loss(self) -> None:
        """Writing to a lost connection raises what ended it."""
        self.network.cut()
        with self.assertRaisesRegex(RemoteError, "End of file"):
            self.stream.write(b"x")

    def test_nested_graph(self) -> None:
        """After a message with a graph of its own, that graph holds."""
        deep: Nested = {0: ("write", {5: ("more", {})})}
        stream = self.open(deep, deep)
        stream.write(1)
        stream.send("more", 2)
        self.assertEqual(self.heard()[-2:], [[2, 0, [1]], [2, 5, [2]]])
        self.say(0, b"one", channel=2)
        self.say(0, b"wrong now", channel=2)
        self.assertEqual(self.successResultOf(stream.read()), b"one")
        self.failureResultOf(stream.read(), RemoteProtocolError)

    def test_primitive_as_stream(self) -> None:
        """A single answer can be read as a stream of one chunk."""
        stream = self.open({0: ("discard", {})}, PRIMITIVE)
        self.say(0, b"done", channel=2)
        self.assertEqual(self.successResultOf(stream.read()), b"done")
        self.assertIs(self.successResultOf(stream.read()), END)

    def test_cancel_sends_an_error(self) -> None:
        """Giving up tells the service so, and forgets the channel."""
        self.stream.cancel()
        self.assertEqual(self.heard()[1][:2], [1, ERROR])
        self.assertEqual(self.connection.session.channels, {})
        self.failureResultOf(self.stream.read(), RemoteError)

    def test_cancel_discards(self) -> None:
        """A subscription is given up by the message made for it."""
        stream = self.open({0: ("discard", {})}, STREAMING)
        stream.cancel()
        self.assertEqual(self.heard()[-1], [2, 0, []])

    def test_cancel_after_the_end(self) -> None:
        """Giving up what has ended sends nothing."""
        self.say(CLOSE)
        self.stream.cancel()
        self.assertEqual(len(self.heard()), 1)
        self.assertIs(self.successResultOf(self.stream.read()), END)

    def test_context(self) -> None:
        """``async with`` gives the stream up in the end."""

        async def use() -> None:
            async with self.stream:
                pass

        self.successResultOf(Deferred.fromCoroutine(use()))
        self.assertEqual(self.connection.session.channels, {})

    def test_lagging_reader(self) -> None:
        """Unread chunks stop the connection, reading them starts it again."""
        chunk = bytes(60_000)
        for _ in range(100):
            self.factory.raw[0].transport.write(reply(1, WRITE, chunk))
        self.network.flush()
        self.assertTrue(self.network.links[0][0].paused)
        self.assertLess(self.stream._size, STREAM_LIMIT + 2 * len(chunk))
        count = 0
        while count < 100:
            self.assertEqual(self.successResultOf(self.stream.read()), chunk)
            self.network.flush()
            count += 1
        self.assertFalse(self.network.links[0][0].paused)

    def test_empty_chunks_are_bounded(self) -> None:
        """Chunks without a byte stop the connection as well."""
        many = STREAM_LIMIT // 64
        self.factory.raw[0].transport.write(reply(1, WRITE) * many)
        self.network.flush()
        self.assertTrue(self.network.links[0][0].paused)
        self.assertLess(len(self.stream._chunks), many)

    def test_cancel_while_lagging(self) -> None:
        """Giving up a stream that holds the connection lets it go on."""
        self.factory.raw[0].transport.write(
            reply(1, WRITE, bytes(STREAM_LIMIT)) + reply(1, WRITE, b"")
        )
        self.network.flush()
        self.assertTrue(self.network.links[0][0].paused)
        self.stream.cancel()
        self.assertFalse(self.network.links[0][0].paused)

    def test_drained_timeout(self) -> None:
        """Waiting for a service that does not read has a limit."""
        self.network.links[0][1].paused = True
        self.stream.write(bytes(1_000_000))
        waiting = self.stream.drained(3)
        self.network.pass_time(3)
        self.failureResultOf(waiting, TimedOut)

    def test_drained(self) -> None:
        """Waiting for room ends when the service has read."""
        self.stream.write(bytes(1_000_000))
        waiting = self.stream.drained(3)
        self.network.flush()
        self.successResultOf(waiting)
