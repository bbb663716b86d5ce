# -*- test-case-name: cocained.test.test_docker_transport -*-
"""
Tests for what all calls have in common: limits, cancelling, failures, versions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHostnameResolver, IResolutionReceiver
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from cocained.docker import DockerClient, errors, transport
from cocained.docker.requests import (
    Request,
    Upload,
    label_filters,
    quoted,
    to_filters,
)
from cocained.test.docker_case import ADDRESS, VERSION, EngineCase


class VersionTests(EngineCase):
    """The version of the API."""

    def test_first_call_asks(self) -> None:
        """The first call asks for the version and then says it in its path."""
        called, exchange = self.call("info")
        exchange.answer({"Name": "here"})

        self.assertEqual(exchange.line, "GET /v1.41/info")
        self.assertEqual(self.successResultOf(called).name, "here")
        self.assert_nothing_left()

    def test_asked_once(self) -> None:
        """Later calls do not ask again."""
        called, exchange = self.call("info")
        exchange.answer({})
        self.successResultOf(called)
        self.unfinished(self.client.info())

        self.assertEqual(self.accept().line, "GET /v1.41/info")

    def test_calls_at_once(self) -> None:
        """Calls made before the answer share it."""
        self.unfinished(self.client.info())
        self.unfinished(self.client.images())
        self.greet()

        self.assertEqual(
            {self.accept().path, self.accept().path},
            {"/v1.41/info", "/v1.41/images/json"},
        )

    def test_cancelled_asker(self) -> None:
        """When the call is cancelled that has asked, the next one asks."""
        first, second = self.client.info(), self.client.info()
        asking = self.accept()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertTrue(asking.wire.is_aborted)

        self.greet()
        self.accept().answer({"Name": "x"})
        self.assertEqual(self.successResultOf(second).name, "x")

    def test_asked_again_after_loss(self) -> None:
        """An engine that went away is asked again: it may be another one."""
        called, exchange = self.call("info")
        exchange.end(ConnectionLost())
        self.failureResultOf(called, errors.EngineLost)
        self.unfinished(self.client.info())

        self.assertEqual(self.accept().line, "GET /version")

    def test_refused(self) -> None:
        """An engine that is too old is named with its version."""
        called = self.client.info()
        self.accept().answer({**VERSION, "ApiVersion": "1.23"})

        error = self.failureResultOf(called, errors.UnsupportedEngine).value
        self.assertIn(ADDRESS, str(error))
        self.assertIn("1.23", str(error))

    def test_failure_is_not_kept(self) -> None:
        """After a failure the next call asks again."""
        called = self.client.version()
        self.accept().answer({"message": "starting"}, "503 Service Unavailable")
        self.failureResultOf(called, errors.DockerError)
        called = self.client.version()
        self.greet()

        self.assertEqual(self.successResultOf(called).version, "20.10.24")


class FailureTests(EngineCase):
    """What goes wrong, and how it is said."""

    def fail_to_connect(self, error: Exception) -> errors.DockerError:
        called = self.client.ping()
        _, factory, *_ = self.reactor.unixClients.pop(0)
        factory.clientConnectionFailed(None, Failure(error))
        failure = self.failureResultOf(called, errors.EngineUnreachable)
        self.assert_nothing_left()
        assert isinstance(failure.value, errors.DockerError)
        return failure.value

    def test_no_socket(self) -> None:
        """A socket that is not there is named, with what to do."""
        error = self.fail_to_connect(ConnectError(2, "No such file or directory"))
        self.assertIn(f"cannot ping: the engine at {ADDRESS}: ", str(error))
        self.assertIn("there is no such socket: start the engine", str(error))

    def test_no_access(self) -> None:
        """A socket that this user may not use has its own remedy."""
        error = self.fail_to_connect(ConnectError(13, "Permission denied"))
        self.assertIn("group", error.remedy)

    def test_refusal(self) -> None:
        """A refusal has the engine's own words and its status."""
        called, exchange = self.call("inspect", "some")
        exchange.answer({"message": "No such container: some"}, "404 Not Found")

        error = self.failureResultOf(called, errors.NotFound).value
        self.assertEqual(
            (error.status, error.message), (404, "No such container: some")
        )
        self.assertIn("cannot inspect container 'some'", str(error))
        self.assert_nothing_left()
        self.assertTrue(exchange.wire.is_closed)

    def test_refusals_by_status(self) -> None:
        """Each status has its error."""
        for status, kind in (
            ("401 No", errors.Unauthorized),
            ("403 No", errors.Unauthorized),
            ("404 No", errors.NotFound),
            ("409 No", errors.Conflict),
            ("500 No", errors.DockerError),
        ):
            called = self.client.ping()
            self.accept().answer({"message": "words"}, status)
            self.assertIs(self.failureResultOf(called).type, kind)

    def test_endless_refusal(self) -> None:
        """A refusal that does not end is cut."""
        called = self.client.ping()
        exchange = self.accept()
        exchange.begin("500 No")
        exchange.send(b"x" * (transport.MAX_REFUSAL + 1))

        self.failureResultOf(called, errors.MalformedAnswer)
        self.assertTrue(exchange.wire.is_aborted)

    def test_too_long(self) -> None:
        """A short answer has a limit, too, and the connection is closed there."""
        self.patch(transport, "MAX_ANSWER", 1000)
        called = self.client.ping()
        exchange = self.accept()
        exchange.begin()
        exchange.send(b"x" * 1000)
        self.assertNoResult(called)
        exchange.send(b"x")

        error = self.failureResultOf(called, errors.MalformedAnswer).value
        self.assertIn("more than 1000 bytes", str(error))
        self.assertTrue(exchange.wire.is_aborted)
        self.assert_nothing_left()

    def test_not_http(self) -> None:
        """Who does not speak HTTP is no engine."""
        called = self.client.ping()
        self.accept().send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

        error = self.failureResultOf(called, errors.MalformedAnswer).value
        self.assertIn("Docker Engine listens there", str(error))
        self.assert_nothing_left()

    def test_not_json(self) -> None:
        """Nor who answers something else."""
        called = self.client.version()
        exchange = self.accept()
        exchange.begin()
        exchange.send(b"<html>")
        exchange.end()

        error = self.failureResultOf(called, errors.MalformedAnswer).value
        self.assertIn("'<html>'", str(error))

    def test_wrong_type(self) -> None:
        """What is there must be of the right type."""
        called, exchange = self.call("inspect", "some")
        exchange.answer({"Id": 5})
        self.failureResultOf(called, errors.MalformedAnswer)

    def test_lost_at_every_byte(self) -> None:
        """A connection that ends inside an answer is told, wherever that is."""
        answer = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"Version":"1"}'
        for end in range(len(answer)):
            called = self.client.version()
            exchange = self.accept()
            exchange.send(answer[:end])
            exchange.end()
            self.failureResultOf(called, errors.EngineLost)
            self.assert_nothing_left()


class TimeTests(EngineCase):
    """Limits of time."""

    def test_connect(self) -> None:
        """The limit of a connection is handed to what connects."""
        self.unfinished(self.client.ping())
        self.assertEqual(self.reactor.unixClients[0][2], 2)

    def test_silence(self) -> None:
        """An engine that says nothing is given up, and named."""
        called = self.client.ping()
        exchange = self.accept()
        self.reactor.advance(4.9)
        self.assertNoResult(called)
        self.reactor.advance(0.2)

        error = self.failureResultOf(called, errors.DockerTimeout).value
        self.assertIn("no answer within 5 s", str(error))
        self.assertTrue(exchange.wire.is_aborted)
        self.assert_nothing_left()

    def test_slow_answer(self) -> None:
        """The limit is for all of a short answer, however slowly it drips."""
        called = self.client.ping()
        exchange = self.accept()
        exchange.begin()
        for _ in range(6):
            exchange.send(b"x")
            self.reactor.advance(1)

        self.failureResultOf(called, errors.DockerTimeout)
        self.assertTrue(exchange.wire.is_aborted)
        self.assert_nothing_left()

    def test_never_accepted(self) -> None:
        """It also ends the wait for a connection."""
        called = self.client.ping()
        self.reactor.advance(5)
        self.failureResultOf(called, errors.DockerTimeout)

    def test_stop_takes_longer(self) -> None:
        """``stop`` is given the time that it gives to the container."""
        called, _ = self.call("stop", "some", 100)
        self.reactor.advance(129)
        self.assertNoResult(called)
        self.reactor.advance(2)
        self.failureResultOf(called, errors.DockerTimeout)

    def test_wait_has_none(self) -> None:
        """``wait`` waits for days, before the answer begins and after."""
        called, exchange = self.call("wait", "some")
        self.reactor.advance(10**6)
        exchange.begin()
        self.reactor.advance(10**6)
        exchange.send(b'{"StatusCode": 3}')
        exchange.end()
        self.assertEqual(self.successResultOf(called).status_code, 3)

    def test_silent_pull(self) -> None:
        """Between two steps of a pull there is a limit, for all of it none."""
        called, exchange = self.call("pull", "some")
        exchange.begin()
        for _ in range(5):
            self.reactor.advance(6.9)
            exchange.send(b'{"status":"Downloading"}\n')
        self.assertNoResult(called)
        self.reactor.advance(7)

        error = self.failureResultOf(called, errors.DockerTimeout).value
        self.assertIn("nothing came for 7 s", str(error))
        self.assertTrue(exchange.wire.is_aborted)
        self.assert_nothing_left()

    def test_no_limit(self) -> None:
        """With 0 a pull may be silent for ever."""
        self.client = self.make_client(idle_timeout=0)
        called, exchange = self.call("pull", "some")
        self.reactor.advance(10**6)
        exchange.begin()
        self.reactor.advance(10**6)
        self.assertNoResult(self.unfinished(called))


class CancelTests(EngineCase):
    """Cancelling closes the connection and leaves nothing."""

    def assert_cancelled(self, called: Any) -> None:
        called.cancel()
        self.failureResultOf(called, CancelledError)
        self.assert_nothing_left()

    def test_while_connecting(self) -> None:
        """Before there is a connection."""
        called = self.client.ping()
        called.cancel()

        self.failureResultOf(called, CancelledError)
        self.assertTrue(self.reactor.connectors[0].stoppedConnecting)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_while_waiting(self) -> None:
        """While the answer is waited for."""
        called, exchange = self.call("start", "some")
        self.assert_cancelled(called)
        self.assertTrue(exchange.wire.is_aborted)

    def test_while_reading(self) -> None:
        """While the answer comes."""
        called, exchange = self.call("info")
        exchange.begin()
        exchange.send(b"{")
        self.assert_cancelled(called)
        self.assertTrue(exchange.wire.is_aborted)

    def test_while_sending(self) -> None:
        """While a big body is on its way: its file is closed, too."""
        called, exchange = self.call("import_image", b"x" * 2**20, "some")
        self.assertEqual(exchange.headers["content-length"], str(2**20))
        self.assertEqual(exchange.body, b"")
        self.assert_cancelled(called)
        self.assertTrue(exchange.wire.is_aborted)

    def test_while_pulling(self) -> None:
        """While the progress of a pull comes."""
        called, exchange = self.call("pull", "some")
        exchange.begin()
        exchange.send(b'{"status":"Downloading"}\n')
        self.assert_cancelled(called)
        self.assertTrue(exchange.wire.is_aborted)

    def test_wait(self) -> None:
        """While a container is waited for."""
        called, exchange = self.call("wait", "some")
        exchange.begin()
        self.assert_cancelled(called)
        self.assertTrue(exchange.wire.is_aborted)

    def test_attach(self) -> None:
        """While the engine attaches."""
        called, exchange = self.call("attach", "some", print, print)
        self.assert_cancelled(called)
        self.assertTrue(exchange.wire.is_aborted)

    def test_while_queueing(self) -> None:
        """While other calls are under way, which go on."""
        calls = [
            self.unfinished(self.client.ping()) for _ in range(transport.MAX_CALLS + 2)
        ]
        self.assertEqual(len(self.reactor.unixClients), transport.MAX_CALLS)
        calls[-2].cancel()
        self.failureResultOf(calls[-2], CancelledError)
        exchanges = [self.accept() for _ in range(transport.MAX_CALLS)]
        exchanges[0].answer()

        self.accept().answer()
        self.successResultOf(calls[-1])


@implementer(IHostnameResolver)
class Silent:
    """A resolver of names that never answers."""

    def resolveHostName(  # noqa: N802 - Twisted's
        self,
        resolutionReceiver: IResolutionReceiver,  # noqa: N803
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Any = None,  # noqa: N803
        transportSemantics: str = "TCP",  # noqa: N803
    ) -> Any:
        """Take the question, and leave it at that."""


class HostTests(SynchronousTestCase):
    """Engines that are reached by a name."""

    def setUp(self) -> None:
        """Make a reactor in memory."""
        self.reactor = MemoryReactorClock()

    def ask(self, host: str) -> Any:
        return DockerClient(self.reactor, f"tcp://{host}:1").ping()

    def test_impossible(self) -> None:
        """A name that no host can have is told like one that is not known."""
        for name in ("a..b", "x" * 70):
            failure = self.failureResultOf(self.ask(name), errors.EngineUnreachable)
            self.assertIn(name, str(failure.value))
            self.assertIn("correct the address", str(failure.value))

    def test_cancelled(self) -> None:
        """A call that is given up while the name is looked up is cancelled."""
        self.reactor.installNameResolver(Silent())
        called = self.ask("h")
        called.cancel()
        self.failureResultOf(called, CancelledError)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.reactor.connectors, [])

    def test_late(self) -> None:
        """A name that is looked up for too long is the time's fault."""
        self.reactor.installNameResolver(Silent())
        called = self.ask("h")
        self.reactor.advance(transport.ANSWER_TIMEOUT)
        self.failureResultOf(called, errors.DockerTimeout)


class AttachmentTests(EngineCase):
    """Streams that go on."""

    def setUp(self) -> None:
        """Listen to events."""
        super().setUp()
        self.heard: list[Any] = []
        called, self.exchange = self.call("events", self.heard.append)
        self.exchange.begin()
        self.stream = self.successResultOf(called)

    def test_end(self) -> None:
        """Who waits for the end is told, and who asks later."""
        waiting = self.stream.when_closed()
        self.assertNoResult(waiting)
        self.exchange.end()

        self.successResultOf(waiting)
        self.successResultOf(self.stream.when_closed())
        self.assertTrue(self.stream.is_closed)

    def test_cancel(self) -> None:
        """Cancelling closes the connection and is an end like any other."""
        waiting = self.stream.when_closed()
        self.stream.cancel()
        self.stream.cancel()

        self.successResultOf(waiting)
        self.assertTrue(self.exchange.wire.is_aborted)
        self.assert_nothing_left()

    def test_waiting_can_be_cancelled(self) -> None:
        """Who no longer waits does not end the stream for others."""
        waiting, other = self.stream.when_closed(), self.stream.when_closed()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.exchange.end()
        self.successResultOf(other)

    def test_loss(self) -> None:
        """A stream that breaks says so."""
        called = self.client.events(self.heard.append)
        exchange = self.accept()
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        exchange.send(b"2\r\n{}")
        self.stream = self.successResultOf(called)
        exchange.end(ConnectionLost())
        error = self.failureResultOf(self.stream.when_closed()).value
        self.assertIsInstance(error, errors.EngineLost)
        self.assertIn("cannot listen to events", str(error))

    def test_nonsense(self) -> None:
        """So does one that is none."""
        self.exchange.send(b"nonsense\n")
        self.failureResultOf(self.stream.when_closed(), errors.MalformedAnswer)
        self.assertTrue(self.exchange.wire.is_aborted)

    def test_broken_callback(self) -> None:
        """What a callback raises ends the stream and is told as it is."""

        def fail(event: Any) -> None:
            raise ZeroDivisionError

        called = self.client.events(fail)
        exchange = self.accept()
        exchange.begin()
        exchange.send(b'{"Type":"container","Action":"die"}\n')

        closed = self.successResultOf(called).when_closed()
        self.failureResultOf(closed, ZeroDivisionError)
        self.assertTrue(exchange.wire.is_aborted)

    def test_cancelled_by_callback(self) -> None:
        """A callback may end the stream; it hears no more, even of the same bytes."""
        heard = []

        def hear(event: Any) -> None:
            heard.append(event.action)
            stream.cancel()

        called = self.client.events(hear)
        exchange = self.accept()
        exchange.begin()
        stream = self.successResultOf(called)
        exchange.send(b'{"Type":"c","Action":"a"}\n')
        exchange.send(b'{"Type":"c","Action":"b"}\n')

        self.assertEqual(heard, ["a"])
        self.successResultOf(stream.when_closed())

    def test_pause(self) -> None:
        """Reading can be paused and resumed."""
        self.stream.pause()
        self.assertEqual(self.exchange.wire.producerState, "paused")
        self.stream.resume()
        self.assertEqual(self.exchange.wire.producerState, "producing")


class RequestTests(SynchronousTestCase):
    """Requests as they are written."""

    def test_target(self) -> None:
        """Booleans, lists and nothing are written as engines read them."""
        request = Request(
            "x", "GET", "/a", {"b": True, "c": False, "d": None, "e": ["1", "&"]}
        )
        self.assertEqual(request.target("1.30"), "/v1.30/a?b=1&c=0&e=1&e=%26")

    def test_unversioned(self) -> None:
        """Some requests have no version."""
        self.assertEqual(Request("x", "GET", "/a", versioned=False).target("1"), "/a")

    def test_quoted(self) -> None:
        """Names of images keep their slashes; nothing else gets through."""
        self.assertEqual(quoted("h:5/a/b@sha256:0"), "h:5/a/b@sha256:0")
        self.assertEqual(quoted("a?b#c d"), "a%3Fb%23c%20d")

    def test_filters(self) -> None:
        """Filters are JSON; labels are looked for with or without their value."""
        self.assertEqual(
            to_filters(label_filters({"a": "b", "c": None})), '{"label": ["a=b", "c"]}'
        )
        self.assertIsNone(to_filters(label_filters({})))


class UploadTests(SynchronousTestCase):
    """Bodies."""

    def test_file(self) -> None:
        """A file is sent in pieces, and closed at its end."""
        path = Path(self.mktemp())
        path.write_bytes(b"0123456789" * 30000)
        clock, consumer = Clock(), StringTransport()
        upload = Upload(clock, path)
        self.assertEqual(upload.length, 300000)

        sending = upload.startProducing(consumer)
        self.assertEqual(consumer.value(), b"")
        clock.pump([0] * 100)

        self.successResultOf(sending)
        self.assertEqual(consumer.value(), path.read_bytes())
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_closed_unused(self) -> None:
        """What was never sent is closed all the same."""
        clock = Clock()
        upload = Upload(clock, b"x")
        upload.close()
        sending = upload.startProducing(StringTransport())
        clock.advance(0)
        self.failureResultOf(sending, ValueError)

    def test_closed_inside(self) -> None:
        """Closing stops the sending; closing again does no harm."""
        clock, consumer = Clock(), StringTransport()
        upload = Upload(clock, b"x" * 10**6)
        sending = upload.startProducing(consumer)
        upload.close()
        upload.close()
        clock.pump([0] * 10)

        self.assertNoResult(sending)
        self.assertEqual(consumer.value(), b"")
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_missing_file(self) -> None:
        """A file that cannot be read is told by the system's error."""
        self.assertRaises(FileNotFoundError, Upload, Clock(), Path(self.mktemp()))


class BrokenUploadTests(EngineCase):
    """Bodies that cannot be sent."""

    def test_missing_file(self) -> None:
        """The call fails with the system's error, and sends nothing."""
        called = self.client.build(Path(self.mktemp()))
        self.greet()

        self.failureResultOf(called, FileNotFoundError)
        self.assert_nothing_left()

    def test_refused_early(self) -> None:
        """An engine may refuse before it has read everything."""
        called, exchange = self.call("build", b"x" * 2**20)
        self.reactor.advance(0)
        exchange.answer({"message": "no space left"}, "500 No")
        exchange.end(ConnectionDone())

        error = self.failureResultOf(called, errors.DockerError).value
        self.assertEqual(error.message, "no space left")
        self.assert_nothing_left()
