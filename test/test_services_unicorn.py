# -*- test-case-name: cocained.test.test_services_unicorn -*-
"""The unicorn service on the wire: the table of plugins.md §4.1."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cocained.errors import ConfigError, ConnectionLoss, UnicornBusy
from cocained.interfaces import IRemoteService, IUnicornObserver, Versioned
from cocained.rpc.graph import PRIMITIVE, REVOKE, STREAMING, Nested
from cocained.services.conversations import SCOPE_LIMIT
from cocained.services.unicorn import UnicornArgs, UnicornService
from cocained.testing import FakeNode, frame
from cocained.unicorns.memory import MemoryUnicorn

CLOSE: Nested = {0: ("close", {})}

#: Names, and what the client and the service may send (plugins.md §4.1).
GRAPH = {
    0: ("subscribe", CLOSE, STREAMING),
    1: ("children_subscribe", CLOSE, STREAMING),
    2: ("put", CLOSE, PRIMITIVE),
    3: ("get", CLOSE, PRIMITIVE),
    4: ("create", CLOSE, PRIMITIVE),
    5: ("del", CLOSE, PRIMITIVE),
    6: ("remove", CLOSE, PRIMITIVE),
    7: ("increment", CLOSE, PRIMITIVE),
    8: ("lock", CLOSE, STREAMING),
    9: ("named_lock", CLOSE, STREAMING),
}
SUBSCRIBE, CHILDREN, PUT, GET, CREATE, DEL, REMOVE, INCREMENT, LOCK, NAMED = range(10)


def worded(value: Any) -> Any:
    """Give what a client took with text for strings."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {worded(key): worded(item) for key, item in value.items()}
    return [worded(item) for item in value] if isinstance(value, list) else value


class FakeScope:
    """A scope that remembers whether it was closed."""

    def __init__(self, observer: IUnicornObserver) -> None:
        self.observer = observer
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class FakeUnicorn(MemoryUnicorn):
    """Keeps those who get something or follow something waiting."""

    def __init__(self, node: Any) -> None:
        super().__init__(node, "core")
        self.asked: list[Deferred[Versioned]] = []
        self.cancelled = 0
        self.scopes: list[FakeScope] = []

    def _count(self, deferred: Deferred[Versioned]) -> None:
        self.cancelled += 1

    def get(self, path: str) -> Deferred[Versioned]:
        self.asked.append(Deferred(self._count))
        return self.asked[-1]

    def subscribe(self, path: str, observer: IUnicornObserver) -> Any:
        self.scopes.append(FakeScope(observer))
        return self.scopes[-1]


class _ServiceCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.node = FakeNode()
        self.unicorn = self.backend()
        self.node.unicorns["core"] = self.unicorn
        node: Any = self.node
        self.service = UnicornService(node, "unicorn", UnicornArgs())
        self.client = self.node.client(self.service)
        self._channel = 0

    def backend(self) -> Any:
        """Give what stands behind the service."""
        return MemoryUnicorn(self.node, "core")

    def take(self) -> list[Any]:
        """Give the frames that came since, with text for strings."""
        frames: list[Any] = worded(self.client.take())
        return frames

    def begin(self, kind: int, *args: Any) -> int:
        """Send a request on the next channel; give the channel."""
        self._channel += 1
        self.client.send(self._channel, kind, *args)
        return self._channel

    def ask(self, kind: int, *args: Any) -> Any:
        """Send a request; give its answer's kind and values."""
        channel = self.begin(kind, *args)
        (answer,) = self.take()
        self.assertEqual(answer[0], channel)
        return answer[1:]

    def check_refused(self, code: int, kind: int, *args: Any) -> None:
        """The answer is that error of a unicorn."""
        kind, (pair, reason) = self.ask(kind, *args)
        self.assertEqual((kind, pair), (1, [11, code]), reason)


class MethodTests(_ServiceCase):
    """What each method answers."""

    def test_interface(self) -> None:
        """It is a service, of version 1."""
        self.assertTrue(verifyObject(IRemoteService, self.service))
        self.assertEqual(self.service.protocol.version, 1)

    def test_graph(self) -> None:
        """Names, numbers and what may follow are the original's."""
        self.assertEqual(self.service.protocol.graph, GRAPH)

    def test_no_backend(self) -> None:
        """A backend that is not configured is named."""
        node: Any = self.node
        error = self.assertRaises(
            ConfigError, UnicornService, node, "u", UnicornArgs(backend="none")
        )

        self.assertIn("'none'", str(error))

    def test_life_of_a_node(self) -> None:
        """Make, read, replace, add to, remove."""
        self.assertEqual(self.ask(GET, "/a"), [0, [[None, -1]]])
        self.assertEqual(self.ask(CREATE, "/a", 1), [0, [True]])
        self.assertEqual(self.ask(GET, "/a"), [0, [[1, 0]]])
        self.assertEqual(self.ask(PUT, "/a", 2, 0), [0, [True, [2, 1]]])
        self.assertEqual(self.ask(PUT, "/a", 3, 0), [0, [False, [2, 1]]])
        self.assertEqual(self.ask(INCREMENT, "/a", 40), [0, [[42, 2]]])
        self.assertEqual(self.ask(REMOVE, "/a", 2), [0, [True]])
        self.assertEqual(self.ask(CREATE, "/a", 1), [0, [True]])
        self.assertEqual(self.ask(DEL, "/a", -1), [0, [True]])

    def test_errors(self) -> None:
        """Errors are those of the unicorn's category."""
        self.ask(CREATE, "/a/b", b"text")
        self.check_refused(1, GET, "/a")
        self.check_refused(2, INCREMENT, "/a/b", 1)
        self.check_refused(3, CREATE, "/c", b"x" * 1_000_001)
        self.check_refused(6, GET, "a")
        self.check_refused(6, CREATE, "/", 1)
        self.check_refused(7, PUT, "/a/b", 1, -1)
        self.check_refused(7, DEL, "/a/b", 5)
        self.check_refused(8, REMOVE, "/none", -1)
        self.check_refused(9, CREATE, "/a/b", 1)
        self.check_refused(11, REMOVE, "/a", -1)

    def test_wrong_arguments(self) -> None:
        """Only this channel suffers."""
        for kind, args in ((GET, (1,)), (PUT, ("/a", 1)), (REMOVE, ("/a", "x"))):
            answer = self.ask(kind, *args)
            self.assertEqual(answer[1][0], [7, 2])
        self.assertEqual(self.ask(GET, "/a"), [0, [[None, -1]]])

    def test_maps(self) -> None:
        """Maps come back as maps, whatever is in them."""
        value = {"a": [1, {"b": None}], 2: 1.5}
        self.ask(CREATE, "/a", value)

        self.assertEqual(self.ask(GET, "/a"), [0, [[value, 0]]])
        self.assertEqual(self.ask(PUT, "/a", 1, 7), [0, [False, [value, 0]]])

    def test_keys_that_are_maps(self) -> None:
        """A map may be the key of a map: no dictionary is made of it."""
        value = b"\x82\x81\x01\x02\x03\x81\x01\x02\x04"
        self.client.send_bytes(b"\x93\x01\x04\x92\xa2/a" + value)
        self.assertEqual(self.take(), [[1, 0, [True]]])

        self.client.send_bytes(frame(2, GET, "/a"))
        self.node.clock.pass_time(0)

        self.assertIn(b"\x92" + value + b"\x00", self.client.transport.read())

    def test_subscribe(self) -> None:
        """The state of now, and each change, until the end."""
        channel = self.begin(SUBSCRIBE, "/a")
        self.assertEqual(self.take(), [[channel, 0, [[None, -1]]]])
        self.ask_quietly(CREATE, "/a", {"k": 1})
        self.assertIn([channel, 0, [[{"k": 1}, 0]]], self.take())
        self.ask_quietly(REMOVE, "/a", -1)

        (end,) = [each for each in self.take() if each[0] == channel]

        self.assertEqual(end[1:], [1, [[11, 8], "/a has been deleted"]])
        self.assertEqual(self.client.session.channels, {})

    def ask_quietly(self, kind: int, *args: Any) -> None:
        """Send a request without a look at what comes."""
        self.begin(kind, *args)

    def test_children(self) -> None:
        """Version and names are two values."""
        self.ask(CREATE, "/a/x", 1)
        channel = self.begin(CHILDREN, "/a")
        self.assertEqual(self.take(), [[channel, 0, [1, ["x"]]]])

        self.ask_quietly(CREATE, "/a/y", 1)

        self.assertIn([channel, 0, [2, ["x", "y"]]], self.take())

    def test_locks(self) -> None:
        """True for who has it; the next gets it when the first closes."""
        first = self.begin(LOCK, "/l")
        self.assertEqual(self.take(), [[first, 0, [True]]])
        second = self.begin(NAMED, "/l", {"who": "me"})
        self.assertEqual(self.take(), [])

        self.client.send(first, 0)

        self.assertEqual(self.take(), [[second, 0, [True]]])
        channel = self.begin(CHILDREN, "/l")
        (answer,) = self.take()
        self.assertEqual(answer[0], channel)
        (name,) = answer[2][1]
        self.assertEqual(self.ask(GET, f"/l/{name}"), [0, [[{"who": "me"}, 0]]])


class CloseTests(_ServiceCase):
    """What ends a scope, and that nothing follows."""

    def backend(self) -> Any:
        return FakeUnicorn(self.node)

    def test_close(self) -> None:
        """Close is not confirmed, and nothing is sent after it."""
        channel = self.begin(SUBSCRIBE, "/a")
        (scope,) = self.unicorn.scopes

        self.client.send(channel, 0)
        scope.observer.observed(Versioned(1, 0))
        scope.observer.failed(ConnectionLoss("late"))

        self.assertEqual(self.take(), [])
        self.assertEqual(scope.closed, 1)
        self.assertEqual(self.client.session.channels, {})

    def test_revoke(self) -> None:
        """Revoking the channel is the same."""
        channel = self.begin(SUBSCRIBE, "/a")

        answer = self.ask(REVOKE, channel, [1, 1])

        self.assertEqual(answer, [0, []])
        self.assertEqual(self.unicorn.scopes[0].closed, 1)

    def test_disconnect(self) -> None:
        """So is the end of the connection."""
        self.begin(SUBSCRIBE, "/a")
        self.begin(GET, "/a")
        self.take()

        self.client.disconnect()

        self.assertEqual(self.unicorn.scopes[0].closed, 1)
        self.assertEqual(self.unicorn.cancelled, 1)

    def test_close_an_operation(self) -> None:
        """An operation that is closed is given up, and not answered."""
        channel = self.begin(GET, "/a")

        self.client.send(channel, 0)

        self.assertEqual(self.unicorn.cancelled, 1)
        self.assertEqual(self.take(), [])

    def test_close_after_the_answer(self) -> None:
        """Close may come late, or never."""
        for _ in range(3):
            channel = self.begin(GET, "/a")
            self.take()
            self.unicorn.asked[-1].callback(Versioned(1, 0))
            self.assertEqual(self.take(), [[channel, 0, [[1, 0]]]])
            self.assertEqual(self.client.session.channels, {})
            self.client.send(channel, 0)

        self.assertEqual(self.take(), [])
        self.assertFalse(self.client.is_closed)

    def test_no_more_input(self) -> None:
        """A client that only sends no more is still answered."""
        channel = self.begin(GET, "/a")
        self.begin(SUBSCRIBE, "/a")
        self.client.end_input()
        self.assertFalse(self.client.is_closed)
        self.assertEqual(self.unicorn.scopes[0].closed, 1)

        self.unicorn.asked[0].callback(Versioned(1, 0))

        self.assertEqual(self.take(), [[channel, 0, [[1, 0]]]])
        self.assertTrue(self.client.is_closed)

    def test_another_message(self) -> None:
        """Whatever else is sent on the channel ends it."""
        channel = self.begin(SUBSCRIBE, "/a")

        self.client.send(channel, 5)
        self.unicorn.scopes[0].observer.observed(Versioned(1, 0))

        ((_, kind, (pair, _)),) = self.take()
        self.assertEqual((kind, pair), (1, [7, 5]))
        self.assertEqual(self.unicorn.scopes[0].closed, 1)

    def test_stop(self) -> None:
        """The end of the service closes everything."""
        self.begin(SUBSCRIBE, "/a")
        self.begin(GET, "/a")
        self.take()

        self.service.stop()

        self.assertEqual(self.unicorn.scopes[0].closed, 1)
        self.assertEqual(self.unicorn.cancelled, 1)

    def test_limit(self) -> None:
        """A connection has so many scopes and no more, and may close some."""
        channels = [self.begin(SUBSCRIBE, f"/a{n}") for n in range(SCOPE_LIMIT)]
        self.assertEqual(self.take(), [])

        kind, (pair, reason) = self.ask(SUBSCRIBE, "/more")

        self.assertEqual((kind, pair), (1, [20991, 2]))
        self.assertIn("close some", reason)
        other = self.node.client(self.service)
        other.send(1, SUBSCRIBE, "/other")
        self.assertEqual(other.take(), [])
        self.client.send(channels[0], 0)
        self.begin(SUBSCRIBE, "/more")
        self.assertEqual(self.take(), [])

    def test_backend_is_busy(self) -> None:
        """What a backend has no room for can be tried again."""
        self.begin(GET, "/a")
        self.take()

        self.unicorn.asked[0].errback(UnicornBusy("later"))

        ((_, _, values),) = self.take()
        self.assertEqual(values, [[12, 11], "later"])

    def test_backend_breaks(self) -> None:
        """An error of nobody's is logged, and told as such."""
        self.begin(GET, "/a")
        self.take()

        self.unicorn.asked[0].errback(ZeroDivisionError("oops"))

        ((_, _, values),) = self.take()
        self.assertEqual(values, [[7, 7], "oops"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_answer_that_cannot_be_sent(self) -> None:
        """A value that is none of msgpack's is an error, and logged."""
        self.begin(GET, "/a")
        self.take()

        self.unicorn.asked[0].callback(Versioned(object(), 0))

        ((_, kind, (pair, _)),) = self.take()
        self.assertEqual((kind, pair), (1, [7, 7]))
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_slow_reader(self) -> None:
        """Of what a client does not read, only the last state is kept."""
        channel = self.begin(SUBSCRIBE, "/a")
        (scope,) = self.unicorn.scopes
        self.take()
        self.client.stop_reading()
        for version in range(2000):
            scope.observer.observed(Versioned(b"x" * 1000, version))
            self.node.clock.pass_time(0)
        self.assertLess(self.client.transport.waiting, 600_000)

        self.client.read_again()

        versions = [values[0][1] for _, _, values in self.take()]
        self.assertEqual(versions, sorted(set(versions)))
        self.assertLess(len(versions), 1000)
        self.assertEqual(versions[-1], 1999)
        scope.observer.observed(Versioned(1, 2000))
        self.assertEqual(self.take(), [[channel, 0, [[1, 2000]]]])

    def test_slow_reader_closes(self) -> None:
        """What is kept for a client goes when it closes."""
        channel = self.begin(SUBSCRIBE, "/a")
        (scope,) = self.unicorn.scopes
        self.client.stop_reading()
        for version in range(2000):
            scope.observer.observed(Versioned(b"x" * 1000, version))
            self.node.clock.pass_time(0)

        self.service.stop()
        self.client.read_again()

        frames = self.take()
        self.assertLess(frames[-1][2][0][1], 1999)
        self.assertEqual({each[0] for each in frames}, {channel})
