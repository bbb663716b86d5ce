# -*- test-case-name: cocained.test.test_docker_errors -*-
"""
Tests for the errors of the client.
"""

from __future__ import annotations

import errno

from twisted.trial.unittest import SynchronousTestCase

from cocained.docker import errors
from cocained.errors import Category, IsolateError, to_wire


class ErrorTests(SynchronousTestCase):
    """What an error says."""

    def test_sentence(self) -> None:
        """It says what was asked, of whom, the engine's words and the remedy."""
        error = errors.NotFound(
            "no such image\n", asked="pull a", engine="unix:///x", status=404
        )
        self.assertEqual(
            str(error),
            "cannot pull a: the engine at unix:///x: 404 no such image "
            "(check the name; it may also have been removed meanwhile)",
        )

    def test_bare(self) -> None:
        """It also reads well when little is known."""
        self.assertEqual(
            str(errors.DockerError("words")), "a call failed: the engine: words"
        )

    def test_remedy(self) -> None:
        """A remedy for the case goes before that of the class."""
        error = errors.Conflict("x", remedy="wait")
        self.assertIn("(wait)", str(error))
        self.assertEqual(errors.Conflict("x").remedy, errors.Conflict.remedy)

    def test_travels(self) -> None:
        """All are errors of an isolate, and travel with a code that fits."""
        self.assertTrue(issubclass(errors.DockerError, IsolateError))
        wire = to_wire(errors.NotFound("x", asked="pull a"))
        self.assertEqual(wire[:2], (Category.GENERIC, errno.ENOENT))
        self.assertIn("cannot pull a", wire.reason)

    def test_by_status(self) -> None:
        """The status of an answer chooses the error."""
        for status, kind in (
            (401, errors.Unauthorized),
            (404, errors.NotFound),
            (409, errors.Conflict),
            (500, errors.DockerError),
            (418, errors.DockerError),
        ):
            error = errors.refusal(status, "m", "a", "e")
            self.assertIs(type(error), kind)
            self.assertEqual(error.status, status)

    def test_without_tls(self) -> None:
        """An engine that wants TLS is told by its words; the remedy is to use it."""
        words = "Client sent an HTTP request to an HTTPS server."
        error = errors.refusal(400, words, "a", "tcp://h:1")
        self.assertIn(f"400 {words} (write https://", str(error))
        self.assertEqual(errors.refusal(400, "bad parameter", "a", "e").remedy, "")
