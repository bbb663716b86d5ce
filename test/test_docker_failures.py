# -*- test-case-name: cocained.test.test_docker_failures -*-
"""
Tests for the translation of failures.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.error import (
    ConnectingCancelledError,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseFailed, ResponseNeverReceived

from cocained.docker import errors
from cocained.docker.address import parse_address
from cocained.docker.failures import SHOWN, explain, leaves, words_of

ADDRESS = parse_address("tcp://h:1")


class Imitated(Exception):
    """An error of OpenSSL, which need not be here."""

    __module__ = "OpenSSL.SSL"


class ExplainTests(SynchronousTestCase):
    """What becomes of an error."""

    def explain(self, error: BaseException) -> BaseException:
        return explain(error, "ping", ADDRESS)

    def test_table(self) -> None:
        """Each kind of failure has its error, which names call and engine."""
        for error, kind, words in (
            (ConnectionRefusedError(111, "x"), errors.EngineUnreachable, "start the"),
            (DNSLookupError("x"), errors.EngineUnreachable, "name of the host"),
            (ConnectTimeoutError(), errors.EngineUnreachable, "firewall"),
            (TimeoutError("late"), errors.DockerTimeout, "late"),
            (errors.MalformedStream("odd"), errors.MalformedAnswer, "odd"),
            (ConnectionLost("x"), errors.EngineLost, "restarted"),
            (Imitated("bad cert"), errors.EngineUnreachable, "TLS failed: bad cert"),
        ):
            found = self.explain(error)
            self.assertIs(type(found), kind)
            for each in ("cannot ping", "tcp://h:1", words):
                self.assertIn(each, str(found))

    def test_layers(self) -> None:
        """The HTTP client's layers are looked through."""
        inner = Imitated("bad cert")
        outer = ResponseNeverReceived([Failure(ResponseFailed([Failure(inner)]))])
        self.assertEqual(list(leaves(outer)), [inner])
        self.assertIsInstance(self.explain(outer), errors.EngineUnreachable)

    def test_cancelled(self) -> None:
        """Cancelling stays what it is, in any layer."""
        for error in (
            CancelledError(),
            ConnectingCancelledError(None),
            ResponseNeverReceived([Failure(CancelledError())]),
        ):
            self.assertIsInstance(self.explain(error), CancelledError)

    def test_ours(self) -> None:
        """Our own errors stay as they are, and so does what is no connection's."""
        for error in (errors.NotFound("x"), ZeroDivisionError(), FileNotFoundError(2)):
            self.assertIs(self.explain(error), error)

    def test_unknown_layer(self) -> None:
        """What the HTTP client wraps is a lost answer, whatever it was."""
        outer = ResponseFailed([Failure(RuntimeError("boom"))])
        found = self.explain(outer)
        self.assertIsInstance(found, errors.EngineLost)
        self.assertIn("boom", str(found))


class WordsTests(SynchronousTestCase):
    """What a refusal says."""

    def test_message(self) -> None:
        """JSON has a message; Podman's has more beside it."""
        self.assertEqual(words_of(b'{"message":"m\\n"}', b""), "m")
        self.assertEqual(words_of(b'{"cause":"c","message":"m"}', b""), "m")

    def test_text(self) -> None:
        """Text is taken as it is, but not all of it."""
        self.assertEqual(words_of(b"Client sent HTTP\n", b""), "Client sent HTTP")
        self.assertEqual(len(words_of(b"\xff" * 10000, b"")), SHOWN)

    def test_nothing(self) -> None:
        """Nothing is told by the status line."""
        self.assertEqual(words_of(b"", b"Not Found"), "Not Found")
