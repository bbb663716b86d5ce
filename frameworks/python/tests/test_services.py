# -*- test-case-name: tests.test_services -*-
"""
Tests for `cocaine.services` against services on loopback ports.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import unittest

from cocaine import services
from cocaine.detail.loop import light_loop
from cocaine.detail.task import Task
from cocaine.exceptions import (
    DisconnectionError,
    InvalidApiVersion,
    InvalidMessageType,
    ServiceError,
    UnknownMethod,
)
from cocaine.services import Channel, Locator, Service, Trace

from .support import APP, STORAGE, FakeNode, FakeService, eventually

TIMEOUT = 20


def closed_port():
    """A loopback address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return ("127.0.0.1", listener.getsockname()[1])


class ServiceTestCase(unittest.TestCase):
    """A node with a storage."""

    def setUp(self):
        self.node = FakeNode(self)
        self.service = self.make("storage")

    def make(self, name, **options):
        service = Service(name, endpoints=self.node.locators, **options)
        self.addCleanup(service.disconnect)
        return service

    def run_task(self, generator):
        return Task(light_loop(), generator).get(timeout=TIMEOUT)


class SyncTests(ServiceTestCase):
    """From a plain script."""

    def test_get(self):
        """A call runs the light loop until it is answered."""
        value = self.service.read("collection", "k").get(timeout=TIMEOUT)
        self.assertEqual(value, b"12345")
        self.assertEqual(value.rx.get().wait(timeout=TIMEOUT), b"12345")

    def test_temporary_service(self):
        """A service that nobody keeps lives until the answer, then closes."""
        call = Service("storage", self.node.locators).read("collection", "k")
        self.assertEqual(call.get(timeout=TIMEOUT), b"12345")
        gc.collect()
        self.assertTrue(eventually(lambda: self.node.storage.closed))

    def test_void(self):
        """A write gives an empty list."""
        self.assertEqual(self.service.write("c", "k", b"v").get(timeout=TIMEOUT), [])
        self.assertEqual(self.node.objects[b"c", b"k"], b"v")

    def test_error(self):
        """An error of the service is raised."""
        with self.assertRaises(ServiceError) as caught:
            self.service.read("collection", "no").get(timeout=TIMEOUT)
        self.assertEqual((caught.exception.category, caught.exception.code), (12, 2))

    def test_one_connection(self):
        """All calls share it; the locator's is closed after the answer."""
        for _ in range(3):
            self.service.read("collection", "k").get(timeout=TIMEOUT)
        self.assertEqual([frame[0] for frame in self.node.storage.received], [1, 2, 3])
        self.assertEqual(len(self.node.locator.received), 1)
        self.assertTrue(eventually(lambda: self.node.locator.closed))

    def test_at_once(self):
        """Calls made before there is a connection wait for the same one."""
        calls = [self.service.read("collection", "k") for _ in range(5)]
        for call in calls:
            self.assertEqual(call.get(timeout=TIMEOUT), b"12345")
        self.assertEqual(len(self.node.storage.connections), 1)

    def test_timeout(self):
        """A service that does not answer costs no more than the timeout."""
        self.node.add("slow", STORAGE, lambda *_: [])
        slow = self.make("slow")
        with self.assertRaises(TimeoutError):
            slow.read("a", "b").get(timeout=0.1)

    def test_with(self):
        """As a context manager it disconnects."""
        with self.service as service:
            service.read("collection", "k").get(timeout=TIMEOUT)
        self.assertTrue(eventually(lambda: self.node.storage.closed))


class GeneratorTests(ServiceTestCase):
    """From handlers."""

    def test_both_styles(self):
        """The first frameworks' and the published one's."""

        def work():
            value = yield self.service.read("collection", "k")
            channel = yield self.service.read("collection", "k")
            again = yield channel.rx.get()
            third = yield self.service.read("collection", "k").rx.get(timeout=TIMEOUT)
            return value, again, third

        self.assertEqual(self.run_task(work()), (b"12345",) * 3)

    def test_stream(self):
        """An app is called through a channel, with the words of 0.12."""

        def answer(connection, channel, kind, args, headers):
            if kind == 0 and args != [b"ping"]:
                return [(channel, 0, [args[0][::-1]], [])]
            return [(channel, 2, [], [])] if kind == 2 else []

        self.node.add("echo", APP, answer)
        echo = self.make("echo")

        def work():
            channel = yield echo.enqueue("ping")
            self.assertIsInstance(channel, Channel)
            yield channel.tx.write("abc")
            first = yield channel.rx.get(timeout=TIMEOUT)
            yield channel.tx.close()
            end = yield channel.rx.get(timeout=TIMEOUT)
            return first, bool(end)

        self.assertEqual(self.run_task(work()), (b"cba", False))

    def test_parallel(self):
        """A list of calls is waited for together."""

        def work():
            return (yield [self.service.read("collection", "k") for _ in range(3)])

        self.assertEqual(self.run_task(work()), [b"12345"] * 3)

    def test_headers(self):
        """Keyword arguments are headers, trace= the three of a trace."""

        def work():
            yield self.service.read("c", "k", trace=Trace(1, 2, 3), custom="v").rx.get()

        with self.assertRaises(ServiceError):
            self.run_task(work())
        sent = self.node.storage.received[0][3]
        self.assertEqual([item[1] for item in sent], [80, 81, 82, b"custom"])
        self.assertEqual(sent[0][2], (1).to_bytes(8, "little"))


class AsyncioTests(ServiceTestCase):
    """From asyncio programs."""

    def test_await(self):
        """Calls, connect and the context manager are awaited."""

        async def main():
            async with Service("storage", self.node.locators) as storage:
                value = await storage.read("collection", "k")
                return value, await value.rx.get(timeout=TIMEOUT)

        self.assertEqual(asyncio.run(main()), (b"12345", b"12345"))
        self.assertTrue(eventually(lambda: self.node.storage.closed))

    def test_gather(self):
        """They are awaitable like anything else."""

        async def main():
            calls = [self.service.read("collection", "k") for _ in range(3)]
            result = await asyncio.gather(*calls)
            self.service.disconnect()
            return result

        self.assertEqual(asyncio.run(main()), [b"12345"] * 3)

    def test_wait_for(self):
        """And can be given up."""
        self.node.add("slow", STORAGE, lambda *_: [])

        async def main():
            async with self.make("slow") as slow:
                with self.assertRaises(TimeoutError):
                    await asyncio.wait_for(slow.read("a", "b"), 0.05)

        asyncio.run(main())

    def test_another_loop(self):
        """A service follows its caller to another loop with a new connection."""

        async def main():
            return await self.service.read("collection", "k")

        self.assertEqual(asyncio.run(main()), b"12345")
        self.assertEqual(asyncio.run(main()), b"12345")
        value = self.service.read("collection", "k").get(timeout=TIMEOUT)
        self.assertEqual(value, b"12345")
        self.assertEqual(len(self.node.storage.connections), 3)


class ResolveTests(ServiceTestCase):
    """Finding and reaching services."""

    def failure(self, service, kind):
        with self.assertRaises(kind) as caught:
            service.read("collection", "k").get(timeout=TIMEOUT)
        return caught.exception

    def test_missing(self):
        """The locator's error is raised by the call."""
        error = self.failure(self.make("nothing"), ServiceError)
        self.assertEqual((error.category, error.code), (10, 1))

    def test_no_locator(self):
        """A locator that is not there is a DisconnectionError that names it."""
        host, port = closed_port()
        error = self.failure(Service("s", [(host, port)]), DisconnectionError)
        self.assertIn("locator", error.reason)
        self.assertIn(str(port), error.reason)

    def test_second_locator(self):
        """Locators are tried in order."""
        service = Service("storage", [closed_port(), *self.node.locators])
        self.addCleanup(service.disconnect)
        value = service.read("collection", "k").get(timeout=TIMEOUT)
        self.assertEqual(value, b"12345")

    def test_second_endpoint(self):
        """So are a service's addresses, also malformed ones."""
        before = [list(closed_port()), ["127.0.0.1", 0], "", ["x"]]
        self.node.add("two", STORAGE, self.node._storage, before=before)
        value = self.make("two").read("collection", "k").get(timeout=TIMEOUT)
        self.assertEqual(value, b"12345")

    def test_no_endpoint(self):
        """A service without addresses says so."""
        self.node.names[b"empty"] = [[], 1, STORAGE]
        error = self.failure(self.make("empty"), DisconnectionError)
        self.assertIn("no addresses", error.reason)

    def test_all_endpoints_dead(self):
        """Every address tried is in the reason."""
        ports = [closed_port(), closed_port()]
        self.node.names[b"dead"] = [[list(port) for port in ports], 1, STORAGE]
        error = self.failure(self.make("dead"), DisconnectionError)
        for _, port in ports:
            self.assertIn(f"127.0.0.1:{port}", error.reason)

    def test_malformed_answers(self):
        """Answers that make no sense are refused."""
        for answer in ([], [[]], [[], 1], [5, 1, {}], [[], 1, 5], [[], 1, {0: 1}]):
            self.node.names[b"bad"] = answer
            with self.subTest(answer):
                self.failure(self.make("bad"), InvalidMessageType)

    def test_version(self):
        """A version asked for has to be the one that runs."""
        error = self.failure(self.make("storage", version=2), InvalidApiVersion)
        self.assertEqual((error.expected, error.found), (2, 1))
        right = self.make("storage", version=1)
        right.read("collection", "k").get(timeout=TIMEOUT)
        self.assertEqual(right.version, 1)

    def test_seed(self):
        """A seed goes to the locator."""
        self.make("storage", seed="s").connect().get(timeout=TIMEOUT)
        self.assertEqual(self.node.locator.received[-1][2], [b"storage", b"s"])

    def test_shared_locator(self):
        """A locator that was passed is used and kept."""
        locator = Locator(self.node.locators)
        self.addCleanup(locator.disconnect)
        for _ in range(2):
            service = self.make("storage", locator=locator)
            service.connect().get(timeout=TIMEOUT)
        self.assertEqual(len(self.node.locator.connections), 1)
        self.assertEqual(self.node.locator.closed, 0)

    def test_silent_locator(self):
        """One that accepts and says nothing is given up by the timeout."""
        silent = FakeService(self, lambda *_: [])
        service = Service("s", [tuple(silent.endpoint)], timeout=0.1)
        with self.assertRaises(TimeoutError):
            service.read("a", "b").get(timeout=TIMEOUT)
        self.assertTrue(eventually(lambda: silent.closed))

    def test_unknown_method(self):
        """A method that is not in the graph is named with those that are."""
        with self.assertRaises(UnknownMethod) as caught:
            self.service.append("x").get(timeout=TIMEOUT)
        self.assertIsInstance(caught.exception, AttributeError)
        self.assertIn("find, read, remove, write", str(caught.exception))

    def test_private_attributes(self):
        """Names with an underscore are no methods."""
        with self.assertRaises(AttributeError):
            _ = self.service._nothing
        self.assertFalse(hasattr(self.service, "__deepcopy__"))

    def test_unpackable(self):
        """An argument that cannot travel fails the call."""
        with self.assertRaises(TypeError):
            self.service.read(object()).get(timeout=TIMEOUT)

    def test_repr(self):
        """It shows what it is."""
        self.assertEqual(repr(self.service), "<Service 'storage'>")


class ReconnectTests(ServiceTestCase):
    """Connections that end."""

    def test_next_call_connects_again(self):
        """After a lost connection the next call resolves anew (row 121)."""
        self.service.connect().get(timeout=TIMEOUT)
        self.node.storage.stop()
        self.node.storage = self.node.add("storage", STORAGE, self.node._storage)
        value = self.service.read("collection", "k").get(timeout=TIMEOUT)
        self.assertEqual(value, b"12345")
        self.assertEqual(len(self.node.locator.received), 2)

    def test_next_call_in_a_loop(self):
        """The same in a handler, where the loop sees the end by itself."""
        cut = []

        def answer(connection, channel, kind, args, headers):
            if not cut:
                cut.append(True)
                return None
            return [(channel, 0, ["x"], [])]

        self.node.add("rude", STORAGE, answer)
        rude = self.make("rude")

        def work():
            try:
                yield rude.read("a", "b")
            except DisconnectionError:
                return (yield rude.read("a", "b"))

        self.assertEqual(self.run_task(work()), b"x")

    def test_open_calls_fail(self):
        """A call in progress is not repeated: it fails."""
        self.node.add("rude", STORAGE, lambda *_: None)
        call = self.make("rude").read("a", "b")
        with self.assertRaises(DisconnectionError):
            call.get(timeout=TIMEOUT)
        with self.assertRaises(DisconnectionError):
            call.rx.get().get(timeout=TIMEOUT)

    def test_garbage(self):
        """A service that speaks nonsense is disconnected, with the reason."""

        def answer(connection, channel, kind, args, headers):
            connection.sendall(b"\xc1")
            return []

        self.node.add("mad", STORAGE, answer)
        with self.assertRaises(DisconnectionError) as caught:
            self.make("mad").read("a", "b").get(timeout=TIMEOUT)
        self.assertIn("protocol violated", caught.exception.reason)

    def test_failed_connection_reaches_the_channel(self):
        """A read of a call that never was sent raises the same error."""
        call = self.make("nothing").read("a", "b")
        read = call.rx.get()
        for future in (call, read):
            with self.assertRaises(ServiceError) as caught:
                future.get(timeout=TIMEOUT)
            self.assertEqual(caught.exception.category, 10)

    def test_waiting_calls_are_bounded(self):
        """While there is no connection only so many calls are kept."""
        self.service._waiting = services.MAX_WAITING
        with self.assertRaises(DisconnectionError) as caught:
            self.service.read("a", "b").get(timeout=TIMEOUT)
        self.assertIn("already wait", caught.exception.reason)

    def test_waiting_calls_are_counted(self):
        """Those that were sent or failed make room."""
        nothing = self.make("nothing")
        calls = [self.service.read("collection", "k"), nothing.read("a", "b")]
        self.assertEqual((self.service._waiting, nothing._waiting), (1, 1))
        calls[0].get(timeout=TIMEOUT)
        with self.assertRaises(ServiceError):
            calls[1].get(timeout=TIMEOUT)
        self.assertEqual((self.service._waiting, nothing._waiting), (0, 0))

    def test_disconnect_while_connecting(self):
        """Calls that wait for the connection fail."""
        call = self.service.read("collection", "k")
        self.service.disconnect()
        with self.assertRaises(Exception) as caught:
            call.get(timeout=TIMEOUT)
        self.assertNotIsInstance(caught.exception, TimeoutError)

    def test_cancelled_connect(self):
        """Who gives up waiting does not stop the others."""
        self.service.connect().cancel()
        value = self.service.read("collection", "k").get(timeout=TIMEOUT)
        self.assertEqual(value, b"12345")


class LocatorTests(ServiceTestCase):
    """The locator itself."""

    def test_resolve(self):
        """Its graph is compiled in: no question before the first one."""
        locator = Locator(self.node.locators)
        self.addCleanup(locator.disconnect)
        endpoints, version, graph = locator.resolve("storage").get(timeout=TIMEOUT)
        self.assertEqual(endpoints[0][1], self.node.storage.endpoint[1])
        self.assertEqual(version, 1)
        self.assertEqual(graph[0][0], b"read")
        self.assertEqual(self.node.locator.received, [[1, 0, [b"storage"]]])

    def test_methods(self):
        """All seven, with the ids of protocol.md 3.1."""
        api = Locator().api
        self.assertEqual(
            {name: method.number for name, method in api.items()},
            {
                "resolve": 0,
                "connect": 1,
                "refresh": 2,
                "cluster": 3,
                "publish": 4,
                "routing": 5,
                "uuid": 6,
            },
        )
        self.assertFalse(api["routing"].is_single)
        self.assertTrue(api["publish"].is_single)

    def test_method_named_like_ours(self):
        """`locator["connect"]` is the method, not ours."""
        locator = Locator(self.node.locators)
        self.addCleanup(locator.disconnect)
        locator["connect"]("uuid").get(timeout=TIMEOUT)
        self.assertTrue(eventually(lambda: self.node.locator.received))
        self.assertEqual(self.node.locator.received, [[1, 1, [b"uuid"]]])
