# -*- test-case-name: cocained.test.test_rpc_dispatch -*-
"""Tests of :mod:`cocained.rpc.dispatch`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import given
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import CocainedError, InvalidArgument, RemoteError, StorageError
from cocained.rpc.arguments import Signature, anything, blob, optional, text, unsigned
from cocained.rpc.codec import pack
from cocained.rpc.dispatch import CALL_LIMIT, Dispatch, Packed, Protocol
from cocained.rpc.graph import DISCARDABLE, PRIMITIVE, STREAMING, TERMINAL
from cocained.rpc.headers import UNTRACED, Header, InvalidTrace, Trace, encode_trace
from cocained.rpc.session import Session
from cocained.rpc.streams import Downstream, Upstream
from cocained.test.rpc_case import Listener, MemoryLink, SessionCase, frame
from cocained.test.strategies import VALUES

TRACED = encode_trace(Trace(7, 8, 9))
BAD_TRACE = encode_trace(Trace(7, 0, 0))
EOF = RemoteError(5, 2, "End of file")


def traced(channel: int, kind: int, headers: bytes, *args: Any) -> bytes:
    """A frame with packed headers."""
    return b"\x94" + pack(channel) + pack(kind) + pack(list(args)) + headers


def same(value: Any) -> Any:
    return value


class Service:
    """Does what a test puts into it."""

    protocol = Protocol(version=4)

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        #: what ``ask`` gives
        self.reply: Callable[[], Any] = lambda: None
        #: what ``talk`` gives
        self.talking: Callable[[Session, int, list[Header]], Any] = lambda *_: None

    @protocol.method(0, text, optional(unsigned, 7))
    def ask(self, name: str, number: int) -> Any:
        self.calls.append((name, number))
        return self.reply()

    @protocol.mute(1, blob)
    def tell(self, value: bytes) -> None:
        self.calls.append((value,))
        self.reply()

    @protocol.stream(2, text, dispatch=DISCARDABLE)
    def talk(
        self, session: Session, channel: int, headers: list[Header], name: str
    ) -> Any:
        self.calls.append((channel, name))
        return self.talking(session, channel, headers)

    @protocol.method(3, anything)
    def mirror(self, value: Any) -> Any:
        return value


class DispatchCase(SessionCase):
    """One session of a service."""

    def setUp(self) -> None:
        super().setUp()
        self.service = Service()
        self.session = Session(self.turn, self.link, Dispatch(self.service))

    def answers(self, *data: bytes) -> list[Any]:
        """Send one read, give what came back because of it."""
        self.link.writes.clear()
        self.receive(*data)
        return self.link.frames()

    def assert_error(self, answer: list[Any], channel: int, *code: int) -> None:
        self.assertEqual(answer[:2], [channel, 1])
        self.assertEqual(answer[2][0], list(code))


class ProtocolTests(SynchronousTestCase):
    """Declarations."""

    def test_graph(self) -> None:
        """The graph lists names, what may follow, and what is answered."""
        self.assertEqual(
            Service.protocol.graph,
            {
                0: ("ask", TERMINAL, PRIMITIVE),
                1: ("tell", TERMINAL, TERMINAL),
                2: ("talk", DISCARDABLE, STREAMING),
                3: ("mirror", TERMINAL, PRIMITIVE),
            },
        )

    def test_graph_is_sorted(self) -> None:
        """It is ordered by number, however it was declared."""
        protocol = Protocol(1)
        for number in (5, 0, 3):
            protocol.method(number)(lambda self: None)
        self.assertEqual(list(protocol.graph), [0, 3, 5])

    def test_twice(self) -> None:
        """A number can be declared once."""
        protocol = Protocol(1)
        protocol.method(0)(lambda self: None)
        self.assertRaises(TypeError, protocol.mute(0), lambda self: None)

    def test_extend(self) -> None:
        """An extended protocol has more, and the original has not."""
        for version, expected in ((None, 4), (9, 9)):
            extended = Service.protocol.extend(version)
            extended.method(7)(lambda self: None)
            self.assertEqual(extended.version, expected)
            self.assertEqual(list(extended.graph), [0, 1, 2, 3, 7])
        self.assertEqual(list(Service.protocol.graph), [0, 1, 2, 3])

    def test_decorated_function(self) -> None:
        """The function stays what it was."""
        service = Service()
        service.ask("a", 1)
        self.assertEqual(service.calls, [("a", 1)])


class MethodTests(DispatchCase):
    """Methods with one answer."""

    def test_results(self) -> None:
        """Nothing, a value, several, or a packed list: each is a flat list."""
        for result, expected in (
            (None, []),
            (5, [5]),
            ("a", [b"a"]),
            ([1, 2], [[1, 2]]),
            ((), []),
            ((1, [2]), [1, [2]]),
            (Packed(b"\x92\x01\xa1b"), [1, b"b"]),
            (False, [False]),
        ):
            self.service.reply = partial(same, result)
            later: Deferred[Any] = Deferred()
            channel = self.session.fork(Listener())
            self.assertEqual(
                self.answers(frame(channel + 1, 0, b"x")), [[channel + 1, 0, expected]]
            )
            self.service.reply = partial(same, later)
            self.assertEqual(self.answers(frame(channel + 2, 0, b"x")), [])
            later.callback(result)
            self.session.flush()
            self.assertEqual(self.link.frames(), [[channel + 2, 0, expected]])

    def test_arguments(self) -> None:
        """Arguments are converted; the optional one has its default."""
        self.receive(frame(1, 0, b"a"), frame(2, 0, b"b", 9), frame(3, 0, b"c", 1, 2))
        self.assertEqual(self.service.calls, [("a", 7), ("b", 9), ("c", 1)])

    def test_wrong_arguments(self) -> None:
        """Wrong ones are [7, 2] on their channel, and the others live on."""
        answers = self.answers(
            frame(1, 0), frame(2, 0, 5), frame(3, 0, b"a", None), frame(4, 0, b"a")
        )
        for answer in answers[:3]:
            self.assert_error(answer, answer[0], 7, 2)
        self.assertEqual(answers[3:], [[4, 0, []]])
        self.assertEqual(self.service.calls, [("a", 7)])

    def test_unknown(self) -> None:
        """An unknown one is [7, 5] that names it."""
        answers = self.answers(frame(1, 99), frame(2, 0, b"a"))
        self.assert_error(answers[0], 1, 7, 5)
        self.assertIn(b"99", answers[0][2][1])
        self.assertEqual(answers[1], [2, 0, []])
        self.assertFalse(self.link.closed)

    def test_finished_at_once(self) -> None:
        """Nothing more may be sent on the channel of a method."""
        self.assertEqual(len(self.answers(frame(1, 0, b"a"), frame(1, 0, b"a"))), 1)
        self.assertEqual(self.session.dropped, 1)

    def test_raised(self) -> None:
        """An error of ours leaves as it is, and nothing is logged."""

        def reply() -> None:
            raise StorageError(2, "k: No such file or directory")

        self.service.reply = reply
        self.assertEqual(
            self.answers(frame(1, 0, b"a")),
            [[1, 1, [[12, 2], b"k: No such file or directory"]]],
        )

    def test_failed(self) -> None:
        """So does one that a Deferred fails with, now or later."""
        later: Deferred[None] = Deferred()
        replies = iter([fail(CocainedError("x")), later])
        self.service.reply = lambda: next(replies)
        [answer] = self.answers(frame(1, 0, b"a"), frame(2, 0, b"a"))
        self.assert_error(answer, 1, 12, 22)
        self.link.writes.clear()
        later.errback(CocainedError("y"))
        self.session.flush()
        [answer] = self.link.frames()
        self.assert_error(answer, 2, 12, 22)

    def test_bug(self) -> None:
        """Any other error is [7, 7] with its text, and logged."""
        later: Deferred[None] = Deferred()
        replies: list[Callable[[], Any]] = [
            lambda: 1 // 0,
            lambda: fail(ZeroDivisionError("divided")),
            lambda: later,
        ]
        self.service.reply = lambda: replies.pop(0)()
        answers = self.answers(*(frame(n, 0, b"a") for n in (1, 2, 3)))
        later.errback(ZeroDivisionError("later"))
        self.session.flush()
        answers += self.link.frames()[2:]
        for answer in answers:
            self.assert_error(answer, answer[0], 7, 7)
        self.assertEqual([a[2][1] for a in answers[1:]], [b"divided", b"later"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)

    def test_cancelled(self) -> None:
        """A cancelled Deferred is an answer too, and no bug."""
        later: Deferred[None] = Deferred()
        self.service.reply = lambda: later
        self.receive(frame(1, 0, b"a"))
        later.cancel()
        self.session.flush()
        [answer] = self.link.frames()
        self.assert_error(answer, 1, 7, 7)
        self.assertEqual(self.flushLoggedErrors(CancelledError), [])

    def test_impossible_answer(self) -> None:
        """An answer that cannot be packed is [7, 7]; the connection lives on."""
        later: Deferred[Any] = Deferred()
        replies = iter([object(), succeed(2**64), later, "fine"])
        self.service.reply = lambda: next(replies)
        answers = self.answers(*(frame(n, 0, b"a") for n in (1, 2, 3, 4)))
        for answer in answers[:2]:
            self.assert_error(answer, answer[0], 7, 7)
        self.assertEqual(answers[2:], [[4, 0, [b"fine"]]])
        later.callback({"key": object()})
        self.session.flush()
        self.assert_error(self.link.frames()[-1], 3, 7, 7)
        self.assertEqual((self.session.owed, self.session.calls), (0, 0))
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 2)
        self.assertEqual(len(self.flushLoggedErrors(OverflowError)), 1)

    def test_deep(self) -> None:
        """A value as deep as one may come in ends no connection on its way out."""
        deep = b"\x93\x01\x03\x91" + b"\x91" * 1000 + b"\xc0"
        answers = self.answers(deep, frame(2, 0, b"a"))
        self.assertEqual([answer[0] for answer in answers], [1, 2])
        self.assertEqual(answers[1], [2, 0, []])
        # Some versions of msgpack pack less deep than they unpack.
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), answers[0][1])

    def test_trace(self) -> None:
        """The trace comes back in each kind of answer."""
        later: Deferred[None] = Deferred()
        replies = iter([None, fail(CocainedError("x")), later])
        self.service.reply = lambda: next(replies)
        for channel in (1, 2, 3):
            self.receive(traced(channel, 0, TRACED, b"a"))
        later.callback(None)
        self.receive(traced(4, 0, TRACED))
        self.assertEqual(len(self.link.frames()), 4)
        self.assertEqual(self.link.data.count(TRACED), 4)

    def test_bad_trace(self) -> None:
        """A bad one fails the request before it is begun."""
        [answer] = self.answers(traced(1, 0, BAD_TRACE, b"a"))
        self.assert_error(answer, 1, 12, 22)
        self.assertEqual(self.service.calls, [])

    def test_order(self) -> None:
        """Answers leave in the order in which they are there."""
        waiting: list[Deferred[Any]] = []

        def reply() -> Deferred[Any]:
            waiting.append(Deferred())
            return waiting[-1]

        self.service.reply = reply
        self.receive(*(frame(n, 0, b"a") for n in range(1, 4)))
        for number in (1, 2, 0):
            waiting[number].callback(number)
        self.session.flush()
        self.assertEqual(self.link.frames(), [[2, 0, [1]], [3, 0, [2]], [1, 0, [0]]])

    @given(VALUES)
    def test_any_value(self, value: tuple[Any, Any]) -> None:
        """Any value goes in and comes out, or is an error on its channel."""
        link = MemoryLink()
        session = Session(self.turn, link, Dispatch(Service()))
        self.receive(frame(1, 3, value[0]), session=session)
        [[channel, kind, _]] = link.frames()
        self.assertEqual((channel, kind, link.closed), (1, 0, False))


class OwedTests(DispatchCase):
    """Answers that come later are counted."""

    def setUp(self) -> None:
        super().setUp()
        self.waiting: list[Deferred[Any]] = []
        self.service.reply = self.wait

    def wait(self) -> Deferred[Any]:
        """Give a Deferred that the test fires."""
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def ask(self, first: int, count: int) -> None:
        self.receive(*(frame(n, 0, b"a") for n in range(first, first + count)))

    def test_counts(self) -> None:
        """They are owed until they are given, whatever is given."""
        self.ask(1, 3)
        self.assertEqual((self.session.owed, self.session.calls), (3, 3))
        self.waiting[0].callback(1)
        self.waiting[1].errback(CocainedError("x"))
        self.assertEqual((self.session.owed, self.session.calls), (1, 1))
        self.waiting[2].cancel()
        self.assertEqual((self.session.owed, self.session.calls), (0, 0))

    def test_already_there(self) -> None:
        """What is there already is never owed."""
        self.service.reply = lambda: succeed(5)
        self.ask(1, 3)
        self.assertEqual((self.session.owed, self.session.calls), (0, 0))
        self.assertEqual(len(self.link.frames()), 3)

    def test_chained(self) -> None:
        """A Deferred that has fired but waits for another one is owed."""
        inner: Deferred[int] = Deferred()
        self.service.reply = lambda: succeed(None).addCallback(lambda _: inner)
        self.ask(1, 1)
        self.assertEqual(self.session.owed, 1)
        inner.callback(5)
        self.session.flush()
        self.assertEqual(self.link.frames(), [[1, 0, [5]]])
        self.assertEqual(self.session.owed, 0)

    def test_limit(self) -> None:
        """Beyond the limit the connection is read no further."""
        self.ask(1, CALL_LIMIT + 10)
        self.assertEqual(self.session.calls, CALL_LIMIT)
        self.assertEqual(len(self.waiting), CALL_LIMIT)
        self.assertTrue(self.link.paused)

    def test_below_the_limit(self) -> None:
        """One less is no reason to stop."""
        self.ask(1, CALL_LIMIT - 1)
        self.assertFalse(self.link.paused)

    def test_goes_on(self) -> None:
        """With each answer one more is taken, in order, until all are."""
        self.ask(1, CALL_LIMIT + 2)
        self.waiting[0].callback(None)
        self.assertEqual(len(self.waiting), CALL_LIMIT + 1)
        self.assertTrue(self.link.paused)
        self.waiting[5].callback(None)
        self.assertEqual(len(self.waiting), CALL_LIMIT + 2)
        self.assertTrue(self.link.paused)
        self.waiting[6].callback(None)
        self.assertFalse(self.link.paused)
        self.assertEqual(self.session.calls, CALL_LIMIT - 1)
        self.ask(CALL_LIMIT + 3, 1)
        self.assertTrue(self.link.paused)

    def test_all_answered(self) -> None:
        """However often the limit is met, no count ends below zero."""
        self.ask(1, 3 * CALL_LIMIT)
        at = 0
        while at < len(self.waiting):
            self.waiting[at].callback(at)
            at += 1
            self.assertGreaterEqual(self.session.calls, 0)
        self.session.flush()
        self.assertEqual(
            [found[0] for found in self.link.frames()],
            list(range(1, 3 * CALL_LIMIT + 1)),
        )
        self.assertEqual((self.session.owed, self.session.calls), (0, 0))
        self.assertFalse(self.link.paused)

    def test_lost_at_the_limit(self) -> None:
        """Answers for a connection that is gone are counted and forgotten."""
        self.ask(1, CALL_LIMIT + 5)
        self.session.lost(EOF)
        for waiting in self.waiting:
            waiting.callback(None)
        self.clock.advance(0)
        self.assertEqual(len(self.waiting), CALL_LIMIT)
        self.assertEqual((self.session.owed, self.session.calls), (0, 0))
        self.assertEqual(self.link.writes, [])

    def test_half_closed(self) -> None:
        """A peer that sends no more gets its answers, and then the end."""
        self.ask(1, 2)
        self.session.end(EOF)
        self.waiting[1].callback(b"b")
        self.assertFalse(self.link.closed)
        self.waiting[0].callback(b"a")
        self.assertEqual(self.link.frames(), [[2, 0, [b"b"]], [1, 0, [b"a"]]])
        self.assertTrue(self.link.closed)

    def test_half_closed_at_the_limit(self) -> None:
        """So does one that has asked for more than is taken at a time."""
        self.ask(1, CALL_LIMIT + 5)
        self.session.end(EOF)
        at = 0
        while at < len(self.waiting):
            self.assertFalse(self.link.closed)
            self.waiting[at].callback(None)
            at += 1
        self.assertEqual(len(self.link.frames()), CALL_LIMIT + 5)
        self.assertTrue(self.link.closed)


class MuteTests(DispatchCase):
    """Methods without an answer."""

    def test_silent(self) -> None:
        """They are called, and nothing is answered."""
        self.assertEqual(self.answers(frame(1, 1, b"a")), [])
        self.assertEqual(self.service.calls, [(b"a",)])

    def test_failures(self) -> None:
        """Nor are wrong arguments and errors: they are counted."""

        def refuse() -> None:
            raise CocainedError("x")

        self.assertEqual(self.answers(frame(1, 1), frame(2, 1, 5)), [])
        self.service.reply = refuse
        self.assertEqual(self.answers(frame(3, 1, b"a")), [])
        self.assertEqual(self.session.dropped, 3)
        self.assertFalse(self.link.closed)

    def test_bug(self) -> None:
        """A bug is counted and logged, and the connection lives on."""
        self.service.reply = lambda: 1 // 0
        self.assertEqual(self.answers(frame(1, 1, b"a"), frame(2, 3, 1)), [[2, 0, [1]]])
        self.assertEqual(self.session.dropped, 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class StreamTests(DispatchCase):
    """Methods that talk by themselves."""

    def test_receiver(self) -> None:
        """What it returns takes what comes next on the channel."""
        listener = Listener()
        self.service.talking = lambda *_: listener
        self.receive(frame(4, 2, b"a"), frame(4, 0, b"x"))
        self.assertEqual(self.service.calls, [(4, "a")])
        self.assertEqual(listener.messages, [(0, [b"x"], [])])

    def test_no_receiver(self) -> None:
        """If it returns none the channel takes nothing more."""
        self.receive(frame(4, 2, b"a"), frame(4, 0, b"x"))
        self.assertEqual(self.session.channels, {})
        self.assertEqual(self.session.dropped, 1)

    def test_errors(self) -> None:
        """What it raises is the end of the stream, with the trace."""

        def refuse(*_: Any) -> None:
            raise CocainedError("x")

        self.service.talking = refuse
        [wrong] = self.answers(traced(1, 2, TRACED))
        self.assert_error(wrong, 1, 7, 2)
        self.assertTrue(self.link.data.endswith(TRACED))
        [refused] = self.answers(traced(2, 2, TRACED, b"a"))
        self.assert_error(refused, 2, 12, 22)
        self.assertTrue(self.link.data.endswith(TRACED))
        self.assertEqual(self.session.channels, {})

    def test_bug(self) -> None:
        """A bug is [7, 7] and logged."""
        self.service.talking = lambda *_: 1 // 0
        [answer] = self.answers(frame(1, 2, b"a"))
        self.assert_error(answer, 1, 7, 7)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_bad_trace(self) -> None:
        """A bad trace fails the request before it is begun."""
        [answer] = self.answers(traced(1, 2, BAD_TRACE, b"a"))
        self.assert_error(answer, 1, 12, 22)
        self.assertEqual(self.service.calls, [])


class UpstreamTests(DispatchCase):
    """The answering half."""

    def spoken(self, upstream: Upstream) -> list[Any]:
        self.session.flush()
        return self.link.frames()

    def test_chunks(self) -> None:
        """Chunks, then the end."""
        upstream = Upstream(self.session, 3, [])
        upstream.write(b"a", 1)
        upstream.write()
        upstream.close()
        self.assertEqual(
            self.spoken(upstream), [[3, 0, [b"a", 1]], [3, 0, []], [3, 2, []]]
        )
        self.assertTrue(upstream.closed)

    def test_nothing_after_the_end(self) -> None:
        """Nothing follows the end, whichever of the three it was."""
        for end in (
            lambda upstream: upstream.close(),
            lambda upstream: upstream.error(CocainedError("x")),
            lambda upstream: upstream.value(5),
        ):
            self.link.writes.clear()
            upstream = Upstream(self.session, 3, [])
            self.assertFalse(upstream.closed)
            end(upstream)
            upstream.write(b"a")
            upstream.value(b"a")
            upstream.error(CocainedError("y"))
            upstream.close()
            self.assertEqual(len(self.spoken(upstream)), 1)
            self.assertTrue(upstream.closed)

    def test_headers(self) -> None:
        """The trace is in each message, unless others are given."""
        upstream = Upstream(self.session, 3, Trace(7, 8, 9).headers())
        upstream.write(b"a")
        upstream.write(b"b", headers=UNTRACED)
        upstream.error(CocainedError("x"))
        self.session.flush()
        self.assertEqual(self.link.data.count(TRACED), 2)
        self.assertEqual(self.link.data.count(UNTRACED), 1)

    def test_bad_trace(self) -> None:
        """A bad trace is an error of the request."""
        self.assertRaises(
            InvalidTrace, Upstream, self.session, 3, Trace(7, 0, 0).headers()
        )


class DownstreamTests(DispatchCase):
    """The listening half."""

    def setUp(self) -> None:
        super().setUp()
        self.heard: list[Any] = []
        self.service.talking = lambda session, channel, headers: Downstream(
            session,
            channel,
            {
                0: (Signature([blob]), self.hear),
                1: (Signature([]), lambda: True),
                2: (Signature([]), self.refuse),
            },
            lambda: self.heard.append("gone"),
        )
        self.receive(frame(1, 2, b"a"))

    def hear(self, value: bytes) -> bool:
        self.heard.append(value)
        return False

    def refuse(self) -> bool:
        raise InvalidArgument("not now")

    def test_messages(self) -> None:
        """Messages reach their functions until one of them ends the channel."""
        self.receive(
            frame(1, 0, b"x"), frame(1, 0, b"y"), frame(1, 1), frame(1, 0, b"z")
        )
        self.assertEqual(self.heard, [b"x", b"y"])
        self.assertEqual(self.session.channels, {})
        self.assertEqual(self.session.dropped, 1)

    def test_discard(self) -> None:
        """Who listens is told once when the connection is gone."""
        self.session.lost(EOF)
        self.session.lost(EOF)
        self.assertEqual(self.heard, ["gone"])

    def test_mistakes(self) -> None:
        """A mistake ends this channel with an error, the others live on."""
        self.receive(*(frame(n, 2, b"a") for n in (2, 3, 4)))
        for channel, message, code in (
            (1, (9,), 5),
            (2, (0, 5), 2),
            (3, (2,), 2),
        ):
            [answer] = self.answers(frame(channel, *message))
            self.assert_error(answer, channel, 7, code)
        self.assertEqual(self.heard, ["gone"] * 3)
        self.assertEqual(list(self.session.channels), [4])
        self.assertFalse(self.link.closed)


class RefusalTests(DispatchCase):
    """A service that answers no more."""

    def setUp(self) -> None:
        super().setUp()
        self.dispatch = Dispatch(self.service)
        self.session = Session(self.turn, self.link, self.dispatch)
        self.dispatch.refuse(StorageError(32, "go elsewhere"))

    def test_methods_and_streams(self) -> None:
        """Each call is answered with the error and reaches nobody."""
        for channel, kind in ((1, 0), (2, 2), (3, 3)):
            self.receive(frame(channel, kind, b"x"))

        self.assertEqual(self.service.calls, [])
        self.assertEqual(self.link.data.count(b"go elsewhere"), 3)

    def test_mute(self) -> None:
        """Where nobody would hear of it, calls are taken to the end."""
        self.receive(frame(1, 1, b"x"))

        self.assertEqual(self.service.calls, [(b"x",)])


class NameTests(SynchronousTestCase):
    """Names on the wire."""

    def test_name(self) -> None:
        """A stream may have another name than its function."""

        class Named:
            protocol = Protocol(version=1)

            @protocol.stream(0, name="drain")
            def drain_node(self, *args: Any) -> None:
                """Does nothing."""

        self.assertEqual(Named.protocol.graph, {0: ("drain", TERMINAL, STREAMING)})
        self.assertIn(0, Dispatch(Named())._slots)
