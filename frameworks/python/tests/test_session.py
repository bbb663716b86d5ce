# -*- test-case-name: tests.test_session -*-
"""
Tests for `cocaine.detail.session`, `channel` and `graph`, by frames in hex.
"""

from __future__ import annotations

import asyncio
import unittest

from cocaine.detail import graph
from cocaine.detail.channel import Call, Channel, EmptyResponse, service_error
from cocaine.detail.future import READY, Future
from cocaine.detail.session import Session
from cocaine.exceptions import (
    ChokeEvent,
    DisconnectionError,
    InvalidMessageType,
    ProtocolError,
    ServiceError,
)

from .support import (
    APP,
    LOGGING,
    PRIMITIVE,
    STORAGE,
    STREAMING,
    ClockLoop,
    FakeStream,
    as_read,
    failure_of,
    pack,
    raw,
)


class SessionTestCase(unittest.TestCase):
    """A connection to a service with a given graph."""

    graph = STORAGE

    def setUp(self):
        self.loop = ClockLoop()
        self.stream = FakeStream()
        self.session = Session("storage", self.stream)
        self.api = graph.parse_api(as_read(self.graph))

    def call(self, name, *args, **headers):
        call = Call(self.loop, "storage")
        self.session.open(call, self.api[name], args, headers)
        return call

    def receive(self, *frames):
        self.session.receive(b"".join(pack(*frame) for frame in frames))


class PrimitiveTests(SessionTestCase):
    """Methods with one answer."""

    def test_frames(self):
        """The requests of protocol.md 18.2."""
        self.call("write", "manifests", "echo", raw("81a5736c617665a76563686f2e7079"))
        self.call("read", "manifests", "echo")
        self.call("find", "manifests", ["app"])
        self.assertEqual(
            self.stream.data,
            raw(
                "93 01 01 93 a9 6d 61 6e 69 66 65 73 74 73 a4 65 63 68 6f"
                "af 81 a5 73 6c 61 76 65 a7 65 63 68 6f 2e 70 79"
                "93 02 00 92 a9 6d 61 6e 69 66 65 73 74 73 a4 65 63 68 6f"
                "93 03 03 92 a9 6d 61 6e 69 66 65 73 74 73 91 a3 61 70 70"
            ),
        )

    def test_value(self):
        """The answer of 18.2, in both styles."""
        call = self.call("read", "manifests", "echo")
        self.session.receive(
            raw("94 01 00 91 af 81 a5 73 6c 61 76 65 a7 65 63 68 6f 2e 70 79 {T0}")
        )
        blob = raw("81a5736c617665a76563686f2e7079")
        value = call.result()
        self.assertEqual(value, blob)
        self.assertIsInstance(value, bytes)
        again = value.rx.get().result()
        self.assertEqual(again, blob)
        self.assertIs(type(again), bytes)
        self.assertEqual(value.rx.headers["trace_id"], bytes(8))

    def test_after_the_value(self):
        """There is exactly one."""
        call = self.call("read", "a", "b")
        self.receive((1, 0, ["x"]))
        call.rx.get()
        self.assertIsInstance(failure_of(call.rx.get()), ChokeEvent)

    def test_published_style_at_once(self):
        """The channel's end can be read before the answer is there."""
        read = self.call("read", "a", "b").rx.get()
        self.receive((1, 0, ["x"]))
        self.assertEqual(read.result(), b"x")

    def test_void(self):
        """A method that returns nothing gives an empty list."""
        call = self.call("write", "a", "b", "c")
        self.session.receive(raw("94 01 00 90 {T0}"))
        self.assertEqual(call.result(), [])
        self.assertEqual(call.result().rx.get().result(), [])

    def test_several_results(self):
        """Several results are a list."""
        call = self.call("read", "a", "b")
        self.receive((1, 0, [1, "x"]))
        self.assertEqual(call.result(), [1, b"x"])

    def test_list_result(self):
        """One result that is a list is that list (18.2, find)."""
        call = self.call("find", "a", ["t"])
        self.receive((1, 0, [["echo"]]))
        self.assertEqual(call.result(), [b"echo"])

    def test_nil_and_bool(self):
        """They come as stand-ins; rx.get() gives them plain."""
        for plain in (None, True, False):
            call = self.call("read", "a", "b")
            self.receive((self.session._last, 0, [plain]))
            self.assertEqual(call.result(), plain)
            self.assertIs(call.result().rx.get().result(), plain)

    def test_error(self):
        """An error is raised by the call, and again by the channel."""
        call = self.call("read", "manifests", "nope")
        self.receive((1, 1, [[12, 2], "No such file"], []))
        for future in (call, call.rx.get()):
            error = failure_of(future)
            self.assertIsInstance(error, ServiceError)
            self.assertEqual(
                (error.service, error.reason, error.code, error.category),
                ("storage", "No such file", 2, 12),
            )

    def test_error_forms(self):
        """Old errors and errors without a reason are read too."""
        error = service_error("s", [2, b"the queue is full"])
        self.assertEqual((error.category, error.code), (0, 2))
        self.assertEqual(service_error("s", [[5, -2]]).code, -2)
        for args in ([], [b"x"], [[1]], [[1, b"x"]]):
            self.assertIsInstance(service_error("s", args), InvalidMessageType)

    def test_no_tx(self):
        """Nothing can be sent after the call."""
        call = self.call("read", "a", "b")
        self.stream.frames()
        with self.assertRaises(ChokeEvent):
            call.tx.write("x")
        self.assertEqual(self.stream.data, b"")

    def test_headers(self):
        """Keyword arguments are the fourth element."""
        self.call("read", "a", "b", authorization="TVM x", request_timeout=1)
        ((_, _, args, sent),) = self.stream.frames()
        self.assertEqual(args, [b"a", b"b"])
        self.assertEqual(sent[0], [False, b"authorization", b"TVM x"])
        self.assertEqual(sent[1], [False, b"request_timeout", b"\1" + bytes(7)])

    def test_unpackable_argument(self):
        """A call that cannot be packed uses no channel number."""
        with self.assertRaises(TypeError):
            self.call("read", object())
        self.call("read", "a", "b")
        self.assertEqual(self.stream.frames()[0][0], 1)

    def test_results_as_arguments(self):
        """A result can be passed on."""
        call = self.call("read", "a", "b")
        self.receive((1, 0, [True]))
        self.stream.frames()
        self.call("read", call.result(), "b")
        self.assertIs(self.stream.frames()[0][2][0], True)


class StreamingTests(SessionTestCase):
    """Methods with streams."""

    graph = APP

    def test_enqueue(self):
        """The whole of 18.3."""
        channel = self.call("enqueue", "ping").result()
        self.assertIsInstance(channel, Channel)
        channel.tx.write("Hello, ")
        channel.tx.write(b"world")
        channel.tx.close()
        self.assertEqual(
            self.stream.data,
            raw(
                "93 01 00 91 a4 70 69 6e 67"
                "93 01 00 91 a7 48 65 6c 6c 6f 2c 20"
                "93 01 00 91 a5 77 6f 72 6c 64 93 01 02 90"
            ),
        )
        self.session.receive(raw("94 01 00 91 a4 70 6f 6e 67 {T0} 94 01 02 90 {T0}"))
        self.assertEqual(channel.rx.get().result(), b"pong")
        end = channel.rx.get().result()
        self.assertIsInstance(end, EmptyResponse)
        self.assertFalse(end)
        self.assertIsInstance(failure_of(channel.rx.get()), ChokeEvent)

    def test_nothing_after_close(self):
        """The sending end is silent after close, and says so."""
        channel = self.call("enqueue", "ping").result()
        channel.tx.close()
        self.stream.frames()
        for message in (channel.tx.write, channel.tx.close, channel.tx.error):
            with self.assertRaises(ChokeEvent):
                message("x")
        self.assertEqual(self.stream.data, b"")

    def test_unknown_message(self):
        """A message that the graph does not have is an AttributeError."""
        channel = self.call("enqueue", "ping").result()
        with self.assertRaises(AttributeError) as caught:
            channel.tx.push("x")
        self.assertIn("close, error, write", str(caught.exception))

    def test_half_close(self):
        """After the service's end, the caller may still write."""
        channel = self.call("enqueue", "ping").result()
        self.receive((1, 2, []))
        self.stream.frames()
        channel.tx.write("x")
        self.assertEqual(self.stream.frames(), [[1, 0, [b"x"]]])

    def test_error(self):
        """An error in the stream is raised by the read (18.4)."""
        channel = self.call("enqueue", "ping").result()
        self.receive((1, 1, [[21247, 1], "queue is full"]))
        error = failure_of(channel.rx.get())
        self.assertEqual((error.category, error.code), (21247, 1))
        self.assertIn("queue is full [21247, 1]", str(error))

    def test_several_arguments(self):
        """A chunk of several arguments is their list."""
        channel = self.call("enqueue", "ping").result()
        self.receive((1, 0, [1, 2]))
        self.assertEqual(channel.rx.get().result(), [1, 2])

    def test_stream_in_single_answer(self):
        """A method that takes a stream gives the channel, whatever it answers."""
        channel = self.call("control").result()
        channel.tx.write(5)
        self.assertEqual(self.stream.frames()[1], [1, 0, [5]])
        self.receive((1, 0, []))
        self.assertEqual(channel.rx.get().result(), [])

    def test_protocol_argument(self):
        """The caller may decode messages itself."""
        channel = self.call("enqueue", "ping").result()
        self.receive((1, 0, ["x"]), (1, 1, [[1, 2], "no"]))
        read = channel.rx.get(protocol=lambda name, args: (name, len(args)))
        self.assertEqual(read.result(), ("write", 1))
        read = channel.rx.get(protocol=lambda name, args: name)
        self.assertEqual(read.result(), "error")

    def test_timeout(self):
        """A read that gives up loses nothing."""
        channel = self.call("enqueue", "ping").result()
        read = channel.rx.get(timeout=2)
        self.loop.advance(3)
        self.assertIsInstance(failure_of(read), TimeoutError)
        self.receive((1, 0, ["x"]))
        self.assertEqual(channel.rx.get().result(), b"x")

    def test_cancelled_read(self):
        """Neither does one that is cancelled."""
        channel = self.call("enqueue", "ping").result()
        channel.rx.get().cancel()
        self.receive((1, 0, ["x"]))
        self.assertEqual(channel.rx.get().result(), b"x")

    def test_back_pressure(self):
        """Sending gives the stream's future."""
        channel = self.call("enqueue", "ping").result()
        self.assertIs(channel.tx.write("x"), READY)
        self.stream.drain = Future(self.loop)
        self.assertIs(channel.tx.write("x"), self.stream.drain)

    def test_iteration(self):
        """`async for` ends at the close."""

        async def main():
            self.loop = asyncio.get_running_loop()
            channel = await self.call("enqueue", "ping")
            self.receive((1, 0, ["a"]), (1, 0, ["b"]), (1, 2, []))
            return [chunk async for chunk in channel.rx]

        self.assertEqual(asyncio.run(main()), [b"a", b"b"])


class EarlyTests(SessionTestCase):
    """A channel used before its connection is there."""

    graph = APP

    def test_written_early(self):
        """Messages wait for the connection, in order."""
        call = Call(self.loop, "echo")
        call.tx.write("1")
        call.tx.close()
        read = call.rx.get()
        self.session.open(call, self.api["enqueue"], ("ping",), {})
        self.assertEqual(
            self.stream.frames(), [[1, 0, [b"ping"]], [1, 0, [b"1"]], [1, 2, []]]
        )
        self.receive((1, 0, ["x"]))
        self.assertEqual(read.result(), b"x")


class OtherGraphTests(SessionTestCase):
    """Trees beyond the two usual ones."""

    graph = {
        **LOGGING,
        5: ["walk", {0: ["go", {1: ["on", {}]}]}, {0: ["step", {1: ["last", {}]}]}],
        6: ["publish", {0: ["discard", {}]}, PRIMITIVE],
        7: ["loop", None, STREAMING],
    }

    def test_mute(self):
        """A method without answers is done when it is sent (18.9)."""
        channel = self.call("emit", 1, "app/echo", "hello").result()
        self.assertEqual(
            self.stream.data,
            raw("93 01 00 93 01 a8 61 70 70 2f 65 63 68 6f a5 68 65 6c 6c 6f"),
        )
        self.assertIsInstance(failure_of(channel.rx.get()), ChokeEvent)
        self.assertEqual(self.session._channels, {})

    def test_transitions(self):
        """Trees change with each message, in both directions."""
        channel = self.call("walk").result()
        channel.tx.go()
        with self.assertRaises(AttributeError):
            channel.tx.go()
        channel.tx.on()
        with self.assertRaises(ChokeEvent):
            channel.tx.on()
        self.receive((1, 0, ["a"]), (1, 1, []))
        self.assertEqual(channel.rx.get().result(), ("step", [b"a"]))
        self.assertEqual(channel.rx.get().result(), ("last", []))
        self.assertIsInstance(failure_of(channel.rx.get()), ChokeEvent)

    def test_discard(self):
        """publish gives its answer, which carries the way to discard."""
        call = self.call("publish", "name", [])
        self.assertFalse(call.done())
        self.receive((1, 0, []))
        self.stream.frames()
        call.result().tx.discard()
        self.assertEqual(self.stream.frames(), [[1, 0, []]])

    def test_malformed_graphs(self):
        """A graph that is none is refused with the entry in the message."""
        deep = {}
        for _ in range(40):
            deep = {0: [b"x", deep]}
        for bad in (
            None,
            [],
            {b"0": [b"x", {}, {}]},
            {0: [b"x", {}]},
            {0: b"x"},
            {0: [b"x", {}, {0: [b"y"]}]},
            {0: [b"x", {}, 5]},
            {0: [b"x", deep, {}]},
        ):
            with self.subTest(bad), self.assertRaises(ProtocolError):
                graph.parse_api(bad)


class FaultTests(SessionTestCase):
    """Broken peers and lost connections."""

    def test_disallowed_message(self):
        """It fails its channel; the others live on."""
        bad, good = self.call("read", "a", "b"), self.call("read", "a", "c")
        self.receive((1, 7, []), (2, 0, ["x"]))
        self.assertIsInstance(failure_of(bad), InvalidMessageType)
        self.assertIsInstance(failure_of(bad.rx.get()), InvalidMessageType)
        self.assertEqual(good.result(), b"x")

    def test_unknown_channels(self):
        """Messages of channels that are not open are dropped."""
        call = self.call("read", "a", "b")
        self.receive((9, 0, ["x"]), (1, 0, ["y"]), (1, 0, ["z"]))
        self.assertEqual(call.result(), b"y")

    def test_garbage(self):
        """What is no frame gives the connection up."""
        self.call("read", "a", "b")
        for text in ("c1", "05", "93 01 00 05", "93 01 90 90", "94 01 00 90 05"):
            with self.subTest(text), self.assertRaises(ProtocolError):
                Session.receive(self.session, raw(text))

    def test_lost(self):
        """Every open channel fails with the reason."""
        call, other = self.call("read", "a", "b"), self.call("read", "a", "c")
        self.receive((2, 0, ["x"]))
        self.session.lost("reset")
        for future in (call, call.rx.get()):
            error = failure_of(future)
            self.assertIsInstance(error, DisconnectionError)
            self.assertEqual((error.service, error.reason), ("storage", "reset"))
        self.assertEqual(other.result(), b"x")
        self.assertFalse(self.session.is_alive)

    def test_send_after_loss(self):
        """Writing on a lost connection is a DisconnectionError."""
        self.api = graph.parse_api(as_read(APP))
        channel = self.call("enqueue", "ping").result()
        self.session.lost("reset")
        with self.assertRaises(DisconnectionError):
            channel.tx.write("x")

    def test_close(self):
        """Closing disconnects what is open, once."""
        call = self.call("read", "a", "b")
        self.session.close()
        self.session.close()
        self.assertTrue(self.stream.closed)
        self.assertIsInstance(failure_of(call), DisconnectionError)

    def test_abandoned_idle(self):
        """Without calls in progress an abandoned connection closes now."""
        self.session.abandon()
        self.assertTrue(self.stream.closed)

    def test_abandoned_busy(self):
        """With some, after the last answer."""
        call = self.call("read", "a", "b")
        self.session.abandon()
        self.assertFalse(self.stream.closed)
        self.receive((1, 0, ["x"]))
        self.assertTrue(self.stream.closed)
        self.assertEqual(call.result(), b"x")
