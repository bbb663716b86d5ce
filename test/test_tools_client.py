# -*- test-case-name: cocained.test.test_tools_client -*-
"""Tests of :mod:`cocained.tools.client` and :mod:`cocained.tools.running`."""

from __future__ import annotations

import contextlib
import io
import os
import queue
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from cocained.test.memory_network import RawFactory
from cocained.test.tool_case import LOCATOR, ToolCase
from cocained.tools.client import Client, Settings, router_name
from cocained.tools.running import STDIN_PIECE, perform, stdin_reader


class FailureTests(ToolCase):
    """Nodes that are not there, or not as they should be."""

    def test_no_node(self) -> None:
        """Without a node one is told where it was sought and how to start it."""
        del self.network.listeners[LOCATOR]
        errors = self.refuse(128, "app", "list")
        self.assertIn("cannot reach the locator at 127.0.0.1:10053:", errors)
        self.assertIn("twistd cocained -c", errors)
        self.assertIn("--host and --port", errors)

    def test_no_node_json(self) -> None:
        """For scripts it is a document."""
        result = self.tool("app", "list", "--port", "1", "--json")
        self.assertEqual(result.status, 128)
        self.assertIn("127.0.0.1:1:", result.json["error"]["message"])

    def test_silent_node(self) -> None:
        """A node that never answers is given up."""
        self.network.listeners[LOCATOR] = None
        errors = self.refuse(128, "app", "list")
        self.assertIn("cannot reach the locator", errors)

    def test_mute_node(self) -> None:
        """So is one that takes the connection and says nothing."""
        self.network.listeners[LOCATOR] = RawFactory(lambda frame: b"")
        errors = self.refuse(128, "app", "list", "--timeout", "2")
        self.assertIn("longer than 2 s", errors)
        self.assertIn("--timeout gives it more time", errors)

    def test_garbage(self) -> None:
        """A server that is no node is told as such."""
        self.network.listeners[LOCATOR] = RawFactory(lambda frame: b"HTTP/1.1 400\r\n")
        self.assertEqual(self.tool("app", "list").status, 128)

    def test_service_port_closed(self) -> None:
        """A service that is announced but not there is told apart."""
        del self.network.listeners["127.0.0.1", 3001]
        errors = self.refuse(128, "app", "list")
        self.assertIn("cannot reach service 'storage'", errors)
        self.assertIn("the node announces it", errors)

    def test_no_service(self) -> None:
        """A node without a service is told with what to look at."""
        del self.locator.services["storage"]
        errors = self.refuse(128, "app", "list")
        self.assertIn('Error in service "storage" - service is not available', errors)
        self.assertIn("in the node's configuration", errors)

    def test_connection_per_service(self) -> None:
        """A run has one connection for each service, closed in the end."""
        self.store("manifests", "echo", {}, "app")
        self.succeed("app", "remove", "-n", "echo")
        self.assertEqual(len(self.network.attempts), 2)
        self.assertTrue(all(near.lost for near, _ in self.network.links))


class PerformTests(ToolCase):
    """Running one action."""

    def start(
        self, action: Any, timeout: float | None = None, verbose: int = 0
    ) -> Deferred[int]:
        """Begin an action."""
        reactor: Any = self.network
        settings = Settings(*LOCATOR, timeout=20, as_json=True, verbose=verbose)
        return perform(reactor, action, settings, timeout, self.surroundings())

    def test_cancel(self) -> None:
        """An interrupted action lets its connections go."""

        async def action(client: Client) -> None:
            await client.call("echo", "hang")

        performing = self.start(action)
        self.network.flush()
        performing.cancel()
        self.network.flush()
        self.failureResultOf(performing, CancelledError)
        self.assertTrue(all(near.lost for near, _ in self.network.links))

    def test_time_limit(self) -> None:
        """An action that takes too long ends with 128."""

        async def action(client: Client) -> None:
            await Deferred()

        performing = self.start(action, 5)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            self.network.pass_time(5)
        self.assertEqual(self.successResultOf(performing), 128)
        self.assertIn("longer than 5 s", printed.getvalue())

    def test_bug(self) -> None:
        """A mistake of ours ends with 128 as well; -v shows where it is."""

        async def action(client: Client) -> None:
            raise ZeroDivisionError

        with (
            contextlib.redirect_stdout(io.StringIO()) as printed,
            contextlib.redirect_stderr(io.StringIO()) as told,
        ):
            performing = self.start(action, verbose=1)
        self.assertEqual(self.successResultOf(performing), 128)
        self.assertIn("ZeroDivisionError", printed.getvalue())
        self.assertIn("Traceback", told.getvalue())

    def test_router_name(self) -> None:
        """A routing stream has a name that tells host and process."""
        self.assertRegex(router_name(5.0), r"\Atools:.+_[0-9]+_5\.0\Z")


class StdinTests(SynchronousTestCase):
    """Standard input, read in a thread."""

    def read(self, descriptor: int) -> Deferred[bytes]:
        """Read once, waiting for the thread."""
        calls: queue.Queue[Any] = queue.Queue()

        class Threads:
            def callFromThread(self, *call: Any) -> None:  # noqa: N802
                calls.put(call)

        reactor: Any = Threads()
        reading = stdin_reader(reactor, descriptor)()
        function, *args = calls.get(timeout=30)
        function(*args)
        return reading

    def test_pieces(self) -> None:
        """A read gives what is there, and nothing at the end."""
        end, start = os.pipe()
        self.addCleanup(os.close, end)
        os.write(start, b"some")
        self.assertEqual(self.successResultOf(self.read(end)), b"some")
        os.close(start)
        self.assertEqual(self.successResultOf(self.read(end)), b"")

    def test_limit(self) -> None:
        """A read gives no more than a piece."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(bytes(STDIN_PIECE + 5))
        with open(path, "rb") as file:
            for size in (STDIN_PIECE, 5):
                data = self.successResultOf(self.read(file.fileno()))
                self.assertEqual(len(data), size)

    def test_failure(self) -> None:
        """A read that fails says why."""
        end, start = os.pipe()
        os.close(end)
        self.addCleanup(os.close, start)
        self.failureResultOf(self.read(start), OSError)
