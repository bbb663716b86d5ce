# -*- test-case-name: cocained.test.test_tools_call -*-
"""Tests of :mod:`cocained.tools.call`."""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cocained.test.tool_case import ToolCase
from cocained.tools import call
from cocained.tools.call import parse_argument, parse_arguments


class ArgumentTests(SynchronousTestCase):
    """Arguments of the command line."""

    def test_one(self) -> None:
        """JSON, Python, or text."""
        for text, value in {
            "5": 5,
            "null": None,
            "true": True,
            '["a"]': ["a"],
            '{"a": 1}': {"a": 1},
            "'echo'": "echo",
            "b'\\xff'": b"\xff",
            "None": None,
            "echo": "echo",
            "a b": "a b",
            "": "",
            "a.b()": "a.b()",
            "[" * 100_000: "[" * 100_000,
        }.items():
            self.assertEqual(parse_argument(text), value)

    def test_tuple(self) -> None:
        """A lone tuple is several arguments, a lone list is one."""
        self.assertEqual(parse_arguments(("'echo','hi'",)), ["echo", "hi"])
        self.assertEqual(parse_arguments(("['G']",)), [["G"]])
        self.assertEqual(parse_arguments(("1", "2")), [1, 2])
        self.assertEqual(parse_arguments(()), [])


class PrimitiveTests(ToolCase):
    """Methods with one answer."""

    def test_methods(self) -> None:
        """Without a method those there are are listed."""
        methods = self.succeed("call", "storage").json
        self.assertEqual(methods, ["find", "read", "remove", "write"])

    def test_answer(self) -> None:
        """An answer is printed as JSON."""
        self.store("manifests", "echo", {}, "app")
        answer = self.succeed("call", "storage", "find", "manifests", '["app"]')
        self.assertEqual(answer.json, ["echo"])

    def test_void(self) -> None:
        """An answer without a value is null."""
        answer = self.succeed("call", "storage", "remove", "a", "b")
        self.assertIsNone(answer.json)

    def test_bytes(self) -> None:
        """What is no text is base64."""
        answer = self.succeed("call", "echo", "info").json
        self.assertEqual(answer["raw"], {"base64": "/w=="})

    def test_raw(self) -> None:
        """A blob can be printed as it is."""
        self.storage.blobs["c", "k"] = b"\x00\xff\n"
        result = self.succeed("call", "storage", "read", "c", "k", "--raw")
        self.assertEqual(result.output, b"\x00\xff\n")

    def test_stdin(self) -> None:
        """Standard input can be the last argument."""
        self.stdin = [b"\x00", b"\xff"]
        self.succeed("call", "storage", "write", "c", "k", "-")
        self.assertEqual(self.storage.blobs["c", "k"], b"\x00\xff")

    def test_too_much_stdin(self) -> None:
        """More than a frame can carry is refused while it is read."""
        self.patch(call, "STDIN_LIMIT", 3)
        self.stdin = [b"ab", b"cd", b"ef"]
        self.refuse(22, "call", "storage", "write", "c", "k", "-")
        self.assertEqual(self.stdin, [b"ef"])

    def test_error(self) -> None:
        """What a service reports ends the tool with 128."""
        errors = self.refuse(128, "call", "storage", "read", "c", "k")
        self.assertIn('Error in service "storage" - c/k: no such key [12, 2]', errors)

    def test_error_json(self) -> None:
        """For scripts it is a document with category and code."""
        result = self.tool("call", "storage", "read", "c", "k", "--json")
        self.assertEqual(result.status, 128)
        error = result.json["error"]
        self.assertEqual((error["category"], error["code"]), (12, 2))
        self.assertEqual(error["service"], "storage")

    def test_unknown_method(self) -> None:
        """A method that is not there brings the nearest ones."""
        errors = self.refuse(128, "call", "storage", "raed")
        self.assertIn("did you mean read?", errors)

    def test_unknown_service(self) -> None:
        """So to speak does a service."""
        errors = self.refuse(128, "call", "nothing", "x")
        self.assertIn("service is not available [10, 1]", errors)

    def test_no_chunks(self) -> None:
        """A method that takes no chunks refuses them."""
        self.refuse(22, "call", "storage", "read", "c", "k", "-d", "x")

    def test_locator(self) -> None:
        """The locator's methods need no resolving."""
        self.assertIsNone(self.succeed("call", "locator", "refresh", '["G"]').json)
        self.assertEqual(self.locator.refreshed, [["G"]])

    def test_timeout(self) -> None:
        """A call that is not answered ends, and names the flag."""
        errors = self.refuse(128, "call", "echo", "hang", "--timeout", "2")
        self.assertIn("longer than 2 s", errors)
        self.assertIn("--timeout", errors)


class StreamTests(ToolCase):
    """Methods that talk."""

    def test_chunks(self) -> None:
        """Chunks of the command line are written, those of the answer printed."""
        args = ("call", "echo", "enqueue", "ping", "-d", "one", "-d", "two")
        self.assertEqual(self.succeed(*args).text, "one\ntwo\n")
        self.assertEqual(self.app.log[0], "ping")

    def test_no_chunks(self) -> None:
        """Without any the stream is closed at once."""
        self.assertEqual(self.succeed("call", "echo", "enqueue", "ping").text, "")

    def test_stdin(self) -> None:
        """Standard input becomes chunks, as they come."""
        self.stdin = [b"a", b"b"]
        result = self.succeed("call", "echo", "enqueue", "ping", "-", "--raw")
        self.assertEqual(result.output, b"ab")

    def test_large_stdin(self) -> None:
        """More than fits into any buffer goes through."""
        chunk = bytes(60_000)
        self.stdin = [chunk] * 100
        result = self.succeed("call", "echo", "enqueue", "ping", "-", "--raw")
        self.assertEqual(len(result.output), 100 * len(chunk))

    def test_json(self) -> None:
        """For scripts each chunk is a document on a line."""
        args = ("call", "echo", "enqueue", "ping", "-d", "one", "-d", "two", "--json")
        lines = self.succeed(*args).text.splitlines()
        self.assertEqual([json.loads(line) for line in lines], ["one", "two"])

    def test_error(self) -> None:
        """An error after chunks ends the tool, the chunks are printed."""
        result = self.tool("call", "echo", "enqueue", "fail", "-d", "one")
        self.assertEqual((result.status, result.text), (128, "one\n"))
        self.assertIn("the app gave up", result.errors)

    def test_silence(self) -> None:
        """A silence longer than allowed ends the tool, and the app is told."""
        errors = self.refuse(128, "call", "echo", "enqueue", "hang", "--timeout", "2")
        self.assertIn("longer than 2 s", errors)

    def test_app_goes_away(self) -> None:
        """A connection that is lost in between is told."""
        self.network.callLater(1, self.network.cut)
        errors = self.refuse(128, "call", "echo", "enqueue", "hang")
        self.assertIn("End of file [5, 2]", errors)

    def test_broken_stdin(self) -> None:
        """What goes wrong with standard input is the error that is told."""
        self.fail_stdin(OSError(5, "Input/output error"))
        errors = self.refuse(128, "call", "echo", "enqueue", "hang", "-")
        self.assertIn("Input/output error", errors)

    def fail_stdin(self, error: Exception) -> None:
        """Let the next read of standard input fail."""
        surroundings = self.surroundings()

        def read() -> Deferred[bytes]:
            failing: Deferred[bytes] = Deferred()
            self.network.callLater(1, failing.errback, error)
            return failing

        surroundings.read_stdin = read
        self.patch(self, "surroundings", lambda: surroundings)

    def test_subscription(self) -> None:
        """A stream without an end is printed until the silence is too long."""
        self.locator.rings = {"G": []}
        result = self.tool("call", "locator", "routing", "me", "--timeout", "2")
        self.assertEqual(result.status, 128)
        self.assertEqual(result.json, {"G": []})
