# -*- test-case-name: tests.test_worker -*-
"""
Tests for `cocaine.worker` and `cocaine.detail.engine`, without a process.
"""

from __future__ import annotations

import contextlib
import functools
import io
import socket
import sys
import unittest

from cocaine.detail.engine import connect_engine
from cocaine.detail.future import Future
from cocaine.exceptions import (
    ConfigurationError,
    DisconnectionError,
    OverrunError,
)
from cocaine.worker import Worker

from .support import UUID, ClockLoop, FakeEngine, FakeStream, FolderTestCase, pack

ARGV = ("--app", "echo", "--endpoint", "/nowhere", "--protocol", "1", "--uuid", UUID)


class WorkerTestCase(unittest.TestCase):
    """A worker on a loop with a clock."""

    options = {}

    def setUp(self):
        self.stderr = io.StringIO()
        redirect = contextlib.redirect_stderr(self.stderr)
        redirect.__enter__()
        self.addCleanup(redirect.__exit__, None, None, None)
        self.loop = ClockLoop()
        self.worker = Worker(argv=ARGV, **self.options)
        self.stream = FakeStream()
        engine = self.worker._engine
        self.worker._loop = engine._loop = self.loop
        engine._stopped = Future(self.loop)
        engine._stream = engine.machine.stream = self.stream
        engine._expect_answer()
        self.engine = engine

    def receive(self, *frames):
        self.engine.machine.receive(b"".join(pack(*frame) for frame in frames))
        return self.stream.frames()

    @property
    def is_stopped(self):
        return self.engine._stopped.done()


class HandlerTests(WorkerTestCase):
    """All kinds of handlers."""

    def test_generator(self):
        """It reads, writes and is closed when it returns."""

        def echo(request, response):
            response.write((yield request.read()))

        self.worker.on("echo", echo)
        self.assertEqual(self.receive((2, 0, ["echo"])), [])
        self.assertEqual(self.receive((2, 0, ["x"])), [[2, 0, [b"x"]], [2, 2, []]])

    def test_plain(self):
        """A plain function is closed as well."""
        self.worker.on("hi", lambda request, response: response.write("hi"))
        self.assertEqual(self.receive((2, 0, ["hi"])), [[2, 0, [b"hi"]], [2, 2, []]])

    def test_future_result(self):
        """A plain function may return a future to be waited for."""
        future = Future(self.loop)
        self.worker.on("wait", lambda request, response: future)
        self.assertEqual(self.receive((2, 0, ["wait"])), [])
        future.set_result(None)
        self.assertEqual(self.stream.frames(), [[2, 2, []]])

    def test_coroutine_result(self):
        """A coroutine that awaits only our futures needs no asyncio."""

        async def inner(request, response):
            response.write(await request.read())

        self.worker.on("echo", lambda *args: inner(*args))
        self.receive((2, 0, ["echo"]))
        self.assertEqual(self.receive((2, 0, ["x"])), [[2, 0, [b"x"]], [2, 2, []]])

    def test_async_generator(self):
        """An async generator is a mistake that is explained."""
        self.worker._loop = None

        async def wrong(request, response):
            yield 1

        self.worker.on("wrong", wrong)
        self.worker._loop = self.loop
        ((_, kind, args),) = self.receive((2, 0, ["wrong"]))
        self.assertEqual((kind, args[0]), (1, [42, 100]))
        self.assertIn(b"async generator", args[1])

    def test_no_handler(self):
        """Code 200 and the words of the published framework (18.4)."""
        self.assertEqual(
            self.receive((2, 0, ["ping"]), (2, 0, ["x"]), (2, 2, [])),
            [[2, 1, [[42, 200], b"there is no handler for event ping"]]],
        )

    def test_exception(self):
        """Code 100 and the text of the exception; its traceback is written."""

        def blow(request, response):
            yield request.read()
            raise ValueError("handler blew up")

        self.worker.on("blow", blow)
        self.assertEqual(
            self.receive((5, 0, ["blow"]), (5, 0, ["x"])),
            [[5, 1, [[42, 100], b"handler blew up"]]],
        )
        self.assertIn("ValueError: handler blew up", self.stderr.getvalue())

    def test_exception_without_text(self):
        """Without a text, its name."""

        def blow(request, response):
            raise KeyError

        self.worker.on("blow", blow)
        self.assertEqual(
            self.receive((5, 0, ["blow"])), [[5, 1, [[42, 100], b"KeyError"]]]
        )

    def test_exceptions_that_cannot_be_told(self):
        """Text that cannot travel, or cannot be had, fails nothing else."""

        class Mute(Exception):
            def __str__(self):
                raise KeyError

        for error, text in (
            (ValueError("bad \ud800"), b"bad \\ud800"),
            (Mute(), b"Mute"),
        ):
            self.setUp()

            def blow(request, response, error=error):
                raise error

            self.worker.on("blow", blow)
            ((_, _, args),) = self.receive((2, 0, ["blow"]))
            self.assertEqual(args, [[42, 100], text])

    def test_error_that_cannot_be_packed(self):
        """A number out of range is the handler's mistake, and is answered."""
        self.worker.on("x", lambda request, response: response.error(2**70))
        ((_, kind, args),) = self.receive((2, 0, ["x"]))
        self.assertEqual((kind, args[0]), (1, [42, 100]))

    def test_closed_stderr(self):
        """A crash log that nobody takes changes nothing."""
        self.stderr.close()
        self.engine.machine.lost("reset")
        self.assertTrue(self.is_stopped)

    def test_no_stderr(self):
        """Neither does a process without standard error."""
        saved, sys.stderr = sys.stderr, None
        self.addCleanup(setattr, sys, "stderr", saved)

        def blow(request, response):
            raise KeyError("x")

        self.worker.on("blow", blow)
        self.assertEqual(len(self.receive((2, 0, ["blow"]))), 1)
        self.assertEqual(len(self.receive((3, 0, ["blow"]))), 1)

    def test_exception_after_close(self):
        """An answer that is complete stays so."""

        def late(request, response):
            response.close()
            raise KeyError

        self.worker.on("late", late)
        self.assertEqual(self.receive((5, 0, ["late"])), [[5, 2, []]])
        self.assertIn("KeyError", self.stderr.getvalue())

    def test_overrun(self):
        """A handler that floods the engine fails; the connection lives on."""
        self.stream.room_error = OverrunError("too much")

        def flood(request, response):
            response.write(b"x")

        self.worker.on("flood", flood)
        self.assertEqual(
            self.receive((2, 0, ["flood"])), [[2, 1, [[42, 100], b"too much"]]]
        )

    def test_client_gone(self):
        """RequestError reaches the handler, which may clean up."""
        seen = []

        def handler(request, response):
            try:
                yield request.read()
            except Exception as error:
                seen.append(str(error))

        self.worker.on("x", handler)
        self.receive((2, 0, ["x"]), (2, 1, [[5, 2], "End of file"]))
        self.assertEqual(seen, ["End of file [5, 2]"])

    def test_many_at_once(self):
        """Requests interleave."""

        def echo(request, response):
            response.write((yield request.read()))

        self.worker.on("echo", echo)
        self.receive((2, 0, ["echo"]), (3, 0, ["echo"]))
        self.assertEqual(self.receive((3, 0, ["b"])), [[3, 0, [b"b"]], [3, 2, []]])
        self.assertEqual(self.receive((2, 0, ["a"])), [[2, 0, [b"a"]], [2, 2, []]])
        self.assertEqual(self.worker._running, {})

    def test_decorator(self):
        """`on` without a handler decorates."""

        @self.worker.on("hi")
        def hi(request, response):
            response.write("hi")

        self.assertEqual(self.receive((2, 0, ["hi"]))[0], [2, 0, [b"hi"]])
        self.assertTrue(callable(hi))

    def test_not_callable(self):
        """A handler has to be callable."""
        with self.assertRaises(TypeError):
            self.worker.on("x", 5)

    def test_async_too_late(self):
        """An async handler cannot join a worker on the light loop."""

        async def handler(request, response):
            """Never called."""

        with self.assertRaises(RuntimeError) as caught:
            self.worker.on("x", handler)
        self.assertIn("use_asyncio=True", str(caught.exception))


class ChoiceTests(WorkerTestCase):
    """Light loop or asyncio."""

    def wants(self, handler, **options):
        worker = Worker(argv=ARGV, **options)
        worker.on("x", handler)
        return worker._wants_asyncio()

    def test_by_handler(self):
        """Coroutine functions in every disguise are seen."""

        async def handler(request, response):
            """Never called."""

        class Object:
            async def __call__(self, request, response):
                """Never called."""

            async def method(self, request, response):
                """Never called."""

        @functools.wraps(handler)
        def wrapped(*args):
            return handler(*args)

        for each in (
            handler,
            Object(),
            Object().method,
            functools.partial(handler),
            functools.partial(functools.partial(Object().method), 1),
            wrapped,
        ):
            self.assertTrue(self.wants(each), each)

    def test_others(self):
        """Everything else is not."""

        def generator(request, response):
            yield

        class Object:
            def __call__(self, request, response):
                """Never called."""

        for each in (generator, Object(), print, functools.partial(print), Object):
            self.assertFalse(self.wants(each), each)

    def test_forced(self):
        """The caller has the last word."""
        self.assertTrue(self.wants(print, use_asyncio=True))
        self.assertFalse(self.wants(print, use_asyncio=False))


class LifeTests(WorkerTestCase):
    """Heartbeats, disowning, termination."""

    def test_heartbeats(self):
        """Every 20 seconds while they are answered."""
        self.receive((1, 0, []))
        for _ in range(3):
            self.loop.advance(19)
            self.assertEqual(self.stream.frames(), [])
            self.loop.advance(1)
            self.assertEqual(self.stream.frames(), [[1, 0, []]])
            self.receive((1, 0, []))
        self.assertFalse(self.is_stopped)

    def test_disowned(self):
        """Without an answer to the first one, after five seconds."""
        self.loop.advance(4.9)
        self.assertFalse(self.is_stopped)
        self.loop.advance(0.2)
        self.assertTrue(self.is_stopped)
        self.assertIn("disowned", self.stderr.getvalue())

    def test_disowned_later(self):
        """And to any later one."""
        self.receive((1, 0, []))
        self.loop.advance(24.9)
        self.assertFalse(self.is_stopped)
        self.loop.advance(0.2)
        self.assertTrue(self.is_stopped)

    def test_lost(self):
        """A lost connection is the end, with its reason."""
        self.engine.machine.lost("reset")
        self.assertTrue(self.is_stopped)
        self.assertIn("reset", self.stderr.getvalue())

    def test_terminate_idle(self):
        """Without requests the same frame comes back at once."""
        self.assertEqual(
            self.receive((1, 1, [14, "slave is sealing"], [])),
            [[1, 1, [14, b"slave is sealing"]]],
        )
        self.assertTrue(self.is_stopped)
        self.assertEqual(self.stderr.getvalue(), "")

    def test_terminate_busy(self):
        """A running handler is waited for."""
        future = Future(self.loop)
        self.worker.on("wait", lambda request, response: future)
        self.assertEqual(self.receive((2, 0, ["wait"]), (1, 1, [11, "bye"])), [])
        self.assertFalse(self.is_stopped)
        future.set_result(None)
        self.assertEqual(self.stream.frames(), [[2, 2, []], [1, 1, [11, b"bye"]]])
        self.assertTrue(self.is_stopped)

    def test_terminate_stuck(self):
        """But not for ever: it is answered for after the grace."""
        future = Future(self.loop)
        self.worker.on("wait", lambda request, response: future)
        self.receive((1, 0, []), (2, 0, ["wait"]), (1, 1, [11, "bye"]))
        self.loop.advance(1.9)
        self.assertEqual(self.stream.frames(), [])
        self.loop.advance(0.2)
        self.assertEqual(
            self.stream.frames(),
            [[2, 1, [[42, 212], b"the worker is shutting down"]], [1, 1, [11, b"bye"]]],
        )
        self.assertTrue(self.is_stopped)
        self.assertTrue(future.cancelled())

    def test_invoked_while_terminating(self):
        """New requests are refused."""
        self.worker.on("wait", lambda request, response: Future(self.loop))
        self.receive((2, 0, ["wait"]), (1, 1, [11, "bye"]))
        ((channel, kind, args),) = self.receive((3, 0, ["wait"]))
        self.assertEqual((channel, kind, args[0]), (3, 1, [42, 212]))

    def test_terminate_twice(self):
        """The second one changes nothing."""
        frames = self.receive((1, 1, [11, "bye"]), (1, 1, [11, "bye"]))
        self.assertEqual(len(frames), 1)

    def test_run_twice(self):
        """A worker lives once."""
        with self.assertRaises(RuntimeError):
            self.worker.run({})

    def test_stop(self):
        """Stopping leaves no timer and cancels what runs."""
        future = Future(self.loop)
        self.worker.on("wait", lambda request, response: future)
        self.receive((2, 0, ["wait"]))
        self.worker._stop()
        self.assertEqual(self.loop.pending(), [])
        self.assertTrue(future.cancelled())
        self.assertTrue(self.stream.closed)


class ConfigurationTests(unittest.TestCase):
    """Building a worker."""

    def test_command_line(self):
        """Everything comes from the arguments the runtime gives."""
        worker = Worker(argv=ARGV)
        self.assertEqual(
            (worker.app, worker.endpoint, worker.protocol, worker.uuid),
            ("echo", "/nowhere", 1, UUID),
        )

    def test_protocol_missing(self):
        """No `--protocol` is protocol 0."""
        self.assertEqual(Worker(argv=["--endpoint=/x", "--uuid=u"]).protocol, 0)

    def test_explicit(self):
        """Arguments win over the command line."""
        worker = Worker(argv=ARGV, app="a", uuid="u", endpoint="e", protocol=0)
        self.assertEqual(
            (worker.app, worker.endpoint, worker.protocol, worker.uuid),
            ("a", "e", 0, "u"),
        )

    def test_missing(self):
        """What is missing is named."""
        for name, argv in (
            ("--uuid", ["--endpoint", "/x"]),
            ("--endpoint", ["--uuid", "u"]),
            ("--uuid", ["--endpoint", "/x", "--uuid"]),
        ):
            with self.assertRaises(ConfigurationError) as caught:
                Worker(argv=argv)
            self.assertIn(name, str(caught.exception))

    def test_unknown_protocol(self):
        """A protocol of the future is refused."""
        with self.assertRaises(ConfigurationError):
            Worker(argv=ARGV, protocol=2)

    def test_timeouts(self):
        """Timeouts are positive."""
        for name in ("heartbeat_timeout", "disown_timeout"):
            with self.assertRaises(ConfigurationError):
                Worker(argv=ARGV, **{name: 0})


class ConnectEngineTests(FolderTestCase):
    """The blocking start."""

    def test_unix(self):
        """The greeting is sent on a UNIX socket."""
        engine = FakeEngine(self)
        connect_engine(engine.path, b"hello").close()
        self.assertEqual(engine.accept(), b"hello")

    def test_tcp(self):
        """host:port works as well."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            sock = connect_engine(f"127.0.0.1:{port}", b"hello")
            connection, _ = listener.accept()
            self.assertEqual(connection.recv(9), b"hello")
            connection.close()
            sock.close()

    def test_failures(self):
        """Whatever is wrong with the address, it is named."""
        for endpoint in (f"{self.folder}/no", "x" * 300, "127.0.0.1:70000", "a\0b"):
            with self.assertRaises(DisconnectionError) as caught:
                connect_engine(endpoint, b"")
            self.assertIn("--endpoint", str(caught.exception))
