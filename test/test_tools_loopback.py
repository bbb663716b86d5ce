# -*- test-case-name: cocained.test.test_tools_loopback -*-
"""
The tool as users run it: a process of its own, against a node on loopback.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import tarfile
from typing import Any, cast

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from typing_extensions import override

import cocained
from cocained.interfaces import IReactor
from cocained.rpc.dispatch import Dispatch, Protocol
from cocained.rpc.wire import ServiceFactory, Wiring
from cocained.test.memory_network import graph_on_the_wire
from cocained.test.tool_case import (
    MemoryApp,
    MemoryLocator,
    MemoryNode,
    MemoryStorage,
    Result,
)

#: Where the package is imported from, for the tool's process.
CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(cocained.__file__)))


class ToolProcess(ProcessProtocol):
    """A running tool."""

    def __init__(self) -> None:
        self.output = b""
        self.errors = b""
        self.ended: Deferred[Result] = Deferred()
        self.printed: Deferred[None] = Deferred()

    @override
    def outReceived(self, data: bytes) -> None:
        self.output += data
        if not self.printed.called:
            self.printed.callback(None)

    @override
    def errReceived(self, data: bytes) -> None:
        self.errors += data

    @override
    def processEnded(self, reason: Failure) -> None:
        status = 0
        if isinstance(reason.value, ProcessTerminated):
            status = reason.value.exitCode
            if status is None:
                status = -(reason.value.signal or 0)
        self.ended.callback(Result(status, self.output, self.errors.decode()))


class LoopbackTests(TestCase):
    """A node of three services and an app, on ports of their own."""

    timeout = 60

    def setUp(self) -> None:
        self.reactor: Any = global_reactor
        self.wiring = Wiring(cast(IReactor, global_reactor))
        self.locator = MemoryLocator()
        self.storage = MemoryStorage()
        self.node = MemoryNode(self.storage)
        self.port = self.listen(self.locator)
        for name, service in {
            "storage": self.storage,
            "node": self.node,
            "echo": MemoryApp(),
        }.items():
            self.serve(name, service)

    def listen(self, service: Any) -> int:
        """Listen for a service; gives the port."""
        factory = ServiceFactory(self.wiring, Dispatch(service), "test")
        port = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    def serve(self, name: str, service: Any) -> None:
        """Let the locator know a service."""
        protocol: Protocol = service.protocol
        self.locator.services[name] = (
            [["127.0.0.1", self.listen(service)]],
            protocol.version,
            graph_on_the_wire(protocol.graph),
        )

    def start(self, *args: str) -> tuple[ToolProcess, Any]:
        """Start the tool."""
        process = ToolProcess()
        code = "from cocained.tools.cli import main; main()"
        where = ("--host", "localhost", "--port", str(self.port))
        home = self.mktemp()
        os.mkdir(home)
        environment = {"HOME": home, "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        transport = self.reactor.spawnProcess(
            process,
            sys.executable,
            [sys.executable, "-c", code, *args, *where],
            {**environment, "PYTHONPATH": CHECKOUT},
        )
        return process, transport

    async def run_tool(self, *args: str, stdin: bytes = b"") -> Result:
        """Run the tool to its end."""
        process, transport = self.start(*args)
        transport.write(stdin)
        transport.closeStdin()
        return await process.ended

    async def test_upload_and_start(self) -> None:
        """A folder is uploaded, started, shown and stopped."""
        folder = os.path.join(self.mktemp(), "greeter")
        os.makedirs(folder)
        with open(os.path.join(folder, "manifest.json"), "w") as file:
            json.dump({"slave": "app.py"}, file)
        with open(os.path.join(folder, "noise"), "wb") as file:
            file.write(os.urandom(2_000_000))
        uploaded = await self.run_tool("app", "upload", folder)
        self.assertEqual(uploaded.status, 0, uploaded)
        blob = self.storage.blobs["apps", "greeter"]
        with tarfile.open(fileobj=io.BytesIO(blob[5:])) as tar:
            self.assertEqual(tar.getnames(), ["manifest.json", "noise"])
        await self.run_tool("profile", "upload", "-n", "p", "-r", "{}")
        started = await self.run_tool("app", "start", "-n", "greeter", "-r", "p")
        self.assertEqual(
            started.text, "Application `greeter` has been started with profile `p`\n"
        )
        shown = await self.run_tool("info", "-n", "gr*")
        self.assertEqual(shown.json["apps"]["greeter"]["state"], "running")
        stopped = await self.run_tool("app", "stop", "-n", "greeter", "--json")
        self.assertEqual(stopped.json["status"], "stopped")

    async def test_stream(self) -> None:
        """Standard input goes to the app and comes back."""
        data = os.urandom(500_000)
        args = ("call", "echo", "enqueue", "ping", "-", "--raw")
        result = await self.run_tool(*args, stdin=data)
        self.assertEqual((result.status, result.errors), (0, ""))
        self.assertEqual(result.output, data)

    async def test_interrupt(self) -> None:
        """Ctrl-C ends a tool that waits for standard input, with 1 and a word."""
        process, transport = self.start("call", "echo", "enqueue", "ping", "-", "--raw")
        transport.write(b"here")
        await process.printed
        transport.signalProcess(signal.SIGINT.name.removeprefix("SIG"))
        result = await process.ended
        self.assertEqual((result.status, result.output), (1, b"here"))
        self.assertEqual(result.errors, "Aborted!\n")

    async def test_error(self) -> None:
        """An error ends with 128, on standard error."""
        result = await self.run_tool("app", "view", "-n", "nothing")
        self.assertEqual((result.status, result.output), (128, b""))
        self.assertIn("app 'nothing' does not exist", result.errors)

    async def test_no_node(self) -> None:
        """Without a node the error says so, and how to start one."""
        result = await self.run_tool("info", "--port", "1", "--json")
        # The port given last is the one that counts.
        self.assertEqual(result.status, 0)
        self.port = 1
        result = await self.run_tool("info", "--json")
        self.assertEqual(result.status, 128)
        self.assertIn("twistd cocained", result.json["error"]["hint"])

    async def test_reader_gone(self) -> None:
        """A reader that stops reading, such as ``head``, is no reason to complain."""
        process, transport = self.start("call", "echo", "enqueue", "ping", "-", "--raw")
        transport.write(b"x")
        await process.printed
        transport.closeStdout()
        transport.write(b"y" * 100_000)
        transport.closeStdin()
        result = await process.ended
        self.assertEqual((result.status, result.errors), (1, ""))
