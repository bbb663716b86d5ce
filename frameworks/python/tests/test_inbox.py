# -*- test-case-name: tests.test_inbox -*-
"""
Tests for `cocaine.detail.inbox` and `cocaine.request`.
"""

from __future__ import annotations

import asyncio
import unittest

from cocaine.detail import inbox
from cocaine.detail.future import Future
from cocaine.detail.machine import WorkerMachine
from cocaine.exceptions import ChokeEvent, OverrunError, RequestError
from cocaine.request import Request, Response

from .support import UUID, ClockLoop, FakeStream, failure_of


class RequestTests(unittest.TestCase):
    """Reading a request."""

    def setUp(self):
        self.loop = ClockLoop()
        self.request = Request(self.loop, b"ping", [[False, b"a", b"1"]])

    def test_event(self):
        """The name is text, whatever the bytes."""
        self.assertEqual(self.request.event, "ping")
        self.assertEqual(Request(None, b"\xff", None).event, "\ufffd")

    def test_queued(self):
        """Chunks that came early wait in order."""
        self.request._push(b"1", None)
        self.request._push(b"2", None)
        self.assertEqual(self.request.read().result(), b"1")
        self.assertEqual(self.request.read().result(), b"2")

    def test_awaited(self):
        """Reads that came early are served in order."""
        one, two = self.request.read(), self.request.read()
        self.request._push(b"1", None)
        self.assertEqual(one.result(), b"1")
        self.assertFalse(two.done())

    def test_end(self):
        """After the close every read raises, after what is queued."""
        self.request._push(b"1", None)
        self.request._choke()
        self.assertEqual(self.request.read().result(), b"1")
        self.assertIsInstance(failure_of(self.request.read()), ChokeEvent)
        self.assertIsInstance(failure_of(self.request.read()), ChokeEvent)

    def test_end_while_reading(self):
        """All waiting reads raise."""
        reads = [self.request.read(), self.request.read()]
        self.request._choke()
        for read in reads:
            self.assertIsInstance(failure_of(read), ChokeEvent)

    def test_error(self):
        """A client's error has its parts, and a text."""
        self.request._fail(5, 2, "End of file")
        error = failure_of(self.request.read())
        self.assertIsInstance(error, RequestError)
        self.assertEqual((error.category, error.code), (5, 2))
        self.assertEqual(str(error), "End of file [5, 2]")

    def test_first_end_counts(self):
        """A close after an error changes nothing."""
        self.request._fail(5, 2, "")
        self.request._choke()
        self.assertIsInstance(failure_of(self.request.read()), RequestError)

    def test_timeout(self):
        """A read gives up, and the chunk goes to the next one."""
        late = self.request.read(timeout=1)
        self.loop.advance(1)
        self.assertIsInstance(failure_of(late), TimeoutError)
        self.request._push(b"1", None)
        self.assertEqual(self.request.read().result(), b"1")

    def test_cancelled_read(self):
        """A cancelled read swallows nothing."""
        self.request.read().cancel()
        self.request._push(b"1", None)
        self.assertEqual(self.request.read().result(), b"1")

    def test_headers(self):
        """Those of the invocation, then of the chunk last read."""
        self.assertEqual(self.request.headers, {"a": b"1"})
        self.request._push(b"1", [[False, b"b", b"2"]])
        self.assertEqual(self.request.headers, {"a": b"1"})
        self.request.read()
        self.assertEqual(self.request.headers, {"b": b"2"})
        self.assertIsNone(self.request.trace)

    def test_discard(self):
        """What nobody will read is not kept."""
        self.request._push(b"1", None)
        self.request._discard()
        self.request._push(b"2", None)
        self.assertIsNone(self.request._items)
        self.assertIsInstance(failure_of(self.request.read()), ChokeEvent)

    def test_overrun(self):
        """A sender cannot fill the memory of a handler that does not read."""
        chunk = b"x" * (1 << 20)
        for _ in range(inbox.MAX_QUEUED // len(chunk) + 1):
            self.request._push(chunk, None)
        self.assertIsNone(self.request._items)
        self.assertIsInstance(failure_of(self.request.read()), OverrunError)

    def test_reading_makes_room(self):
        """What was read does not count."""
        chunk = b"x" * (1 << 20)
        for _ in range(2 * inbox.MAX_QUEUED // len(chunk)):
            self.request._push(chunk, None)
            self.assertEqual(self.request.read().result(), chunk)

    def test_empty_chunks_count(self):
        """So do many empty chunks."""
        self.request._push(b"", None)
        self.assertEqual(self.request._queued, inbox.ITEM_OVERHEAD)

    def test_iteration(self):
        """`async for` ends with the stream."""

        async def main():
            request = Request(asyncio.get_running_loop(), b"x", None)
            request._push(b"1", None)
            request._push(b"2", None)
            request._choke()
            return [chunk async for chunk in request]

        self.assertEqual(asyncio.run(main()), [b"1", b"2"])

    def test_iteration_error(self):
        """Another end is raised."""

        async def main():
            request = Request(asyncio.get_running_loop(), b"x", None)
            request._fail(5, 2, "gone")
            async for _ in request:
                self.fail("there is no chunk")

        with self.assertRaises(RequestError):
            asyncio.run(main())

    def test_wait_for_loses_nothing(self):
        """A chunk that arrives just as wait_for gives up is read next."""

        async def main():
            loop = asyncio.get_running_loop()
            request = Request(loop, b"x", None)
            task = asyncio.ensure_future(request.read())
            await asyncio.sleep(0)
            task.cancel()
            request._push(b"1", None)
            await asyncio.gather(task, return_exceptions=True)
            return await request.read()

        self.assertEqual(asyncio.run(main()), b"1")


class ResponseTests(unittest.TestCase):
    """Writing a response."""

    def setUp(self):
        self.machine = WorkerMachine(UUID, 1, None)
        self.stream = self.machine.stream = FakeStream()
        self.response = Response(self.machine, 2)

    def written(self, value):
        self.response.write(value)
        ((_, _, (data,)),) = self.stream.frames()
        return data

    def test_strings(self):
        """Bytes as they are, text as UTF-8."""
        self.assertEqual(self.written(b"\xff"), b"\xff")
        self.assertEqual(self.written("é"), b"\xc3\xa9")
        self.assertEqual(self.written(bytearray(b"x")), b"x")
        self.assertEqual(self.written(memoryview(b"xyz")[1:]), b"yz")

    def test_values(self):
        """Anything else is packed, old raw family."""
        for value, packed in (
            (5, "05"),
            (None, "c0"),
            (True, "c3"),
            (["a", b"b"], "92 a1 61 a1 62"),
            ({"k": "x" * 32}, "81 a1 6b da 00 20" + "78" * 32),
        ):
            with self.subTest(value):
                self.assertEqual(self.written(value), bytes.fromhex(packed))

    def test_results(self):
        """Results of calls are written as the plain values."""
        from cocaine.detail.values import with_channel

        self.assertEqual(self.written(with_channel(b"x", 0, 0)), b"x")
        self.assertEqual(self.written(with_channel(True, 0, 0)), b"\xc3")
        self.assertEqual(self.written(with_channel(None, 0, 0)), b"\xc0")

    def test_unpackable(self):
        """What cannot travel raises, and nothing is sent."""
        with self.assertRaises(TypeError):
            self.response.write(object())
        with self.assertRaises(UnicodeEncodeError):
            self.response.write("\ud800")
        self.assertEqual(self.stream.data, b"")

    def test_nothing_after_close(self):
        """A channel is silent once it is closed."""
        self.response.close()
        self.assertTrue(self.response.closed)
        self.assertTrue(self.response.write(b"x").done())
        self.response.close()
        self.response.error(1, "x")
        self.assertEqual(self.stream.frames(), [[2, 2, []]])

    def test_nothing_after_error(self):
        """Or has ended with an error."""
        self.response.error(7, "no")
        self.response.write(b"x")
        self.response.close()
        self.response.error(8)
        self.assertEqual(self.stream.frames(), [[2, 1, [[42, 7], b"no"]]])

    def test_error_code(self):
        """An error of any category."""
        self.response.error_code(43, -5, "why")
        self.assertEqual(self.stream.frames(), [[2, 1, [[43, -5], b"why"]]])

    def test_back_pressure(self):
        """A write gives the stream's future."""
        self.stream.drain = Future()
        self.assertIs(self.response.write(b"x"), self.stream.drain)
