"""
The tool against a node in memory: its storage, its apps, its locator.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgpack
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import (
    AppExists,
    AppNotRunning,
    CocainedError,
    ServiceNotAvailable,
    StorageError,
)
from cocained.rpc.arguments import (
    Signature,
    anything,
    blob,
    listing,
    optional,
    text,
    unsigned,
)
from cocained.rpc.codec import pack
from cocained.rpc.dispatch import Protocol
from cocained.rpc.graph import CLOSE, ERROR, STREAMING, WRITE
from cocained.rpc.headers import Header
from cocained.rpc.roles import Receiver
from cocained.rpc.session import Session
from cocained.rpc.streams import Downstream, Upstream
from cocained.test.memory_network import MemoryNetwork, graph_on_the_wire
from cocained.tools.cli import main
from cocained.tools.client import Settings, Surroundings
from cocained.tools.options import Action
from cocained.tools.running import perform

LOCATOR = ("127.0.0.1", 10053)

#: 2026-11-22, 10:00 UTC.
NOW = 1795341600.0

#: Longest that a command may take on the memory clock, in seconds.
PATIENCE = 300


class MemoryStorage:
    """A storage service in memory, with the original's methods and errors."""

    protocol = Protocol(version=1)

    def __init__(self) -> None:
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.tags: dict[tuple[str, str], set[str]] = {}
        self.log: list[tuple[Any, ...]] = []

    @protocol.method(0, text, text)
    def read(self, collection: str, key: str) -> bytes:
        self.log.append(("read", collection, key))
        if (collection, key) not in self.blobs:
            raise StorageError(errno.ENOENT, f"{collection}/{key}: no such key")
        return self.blobs[collection, key]

    @protocol.method(1, text, text, blob, optional(listing(text), ()))
    def write(self, collection: str, key: str, data: bytes, tags: list[str]) -> None:
        self.log.append(("write", collection, key))
        self.blobs[collection, key] = data
        self.tags.setdefault((collection, key), set()).update(tags)

    @protocol.method(2, text, text)
    def remove(self, collection: str, key: str) -> None:
        self.log.append(("remove", collection, key))
        self.blobs.pop((collection, key), None)
        self.tags.pop((collection, key), None)

    @protocol.method(3, text, listing(text))
    def find(self, collection: str, tags: list[str]) -> list[str]:
        self.log.append(("find", collection, *tags))
        return [
            key
            for (where, key), has in self.tags.items()
            if where == collection and set(tags) <= has
        ]


class MemoryNode:
    """A node service with apps that do nothing."""

    protocol = Protocol(version=1)

    def __init__(self, storage: MemoryStorage) -> None:
        self.storage = storage
        self.apps: dict[str, Any] = {}
        self.log: list[tuple[Any, ...]] = []
        #: fires when the next app has been spooled, ``None`` for at once
        self.spooling: Deferred[None] | None = None

    @protocol.method(0, text, text)
    def start_app(self, name: str, profile: str) -> Deferred[None] | None:
        self.log.append(("start_app", name, profile))
        if name in self.apps:
            raise AppExists(f"app '{name}' is running")
        self.storage.read("manifests", name)
        self.storage.read("profiles", profile)
        self.apps[name] = {"state": "running", "profile": {"name": profile}}
        return self.spooling

    @protocol.method(1, text)
    def pause_app(self, name: str) -> None:
        self.log.append(("pause_app", name))
        if name not in self.apps:
            raise AppNotRunning(f"app '{name}' is not running")
        del self.apps[name]

    @protocol.method(2)
    def list(self) -> Any:
        return list(self.apps)

    @protocol.method(3, text, optional(unsigned, 0))
    def info(self, name: str, flags: int) -> Any:
        self.log.append(("info", name, flags))
        if name not in self.apps:
            raise CocainedError(f"app '{name}' is not running")
        return self.apps[name]


class MemoryApp:
    """An app that gives back what it gets."""

    protocol = Protocol(version=1)

    def __init__(self) -> None:
        self.log: list[Any] = []

    @protocol.stream(0, text, optional(text, ""), dispatch=STREAMING)
    def enqueue(
        self,
        session: Session,
        channel: int,
        headers: list[Header],
        event: str,
        tag: str,
    ) -> Receiver:
        self.log.append(event)
        upstream = Upstream(session, channel, [])

        def write(chunk: bytes) -> bool:
            upstream.write(chunk)
            return False

        def close() -> bool:
            if event == "fail":
                upstream.error(CocainedError("the app gave up"))
            elif event != "hang":
                upstream.close()
            return True

        def error(code: Any, reason: Any) -> bool:
            self.log.append("error")
            return True

        messages: dict[int, tuple[Signature, Callable[..., bool]]] = {
            WRITE: (Signature([blob]), write),
            CLOSE: (Signature([]), close),
            ERROR: (Signature([anything, anything]), error),
        }
        return Downstream(session, channel, messages, lambda: self.log.append("lost"))

    @protocol.method(1)
    def info(self) -> Any:
        return {"state": "running", "load": 0, "raw": b"\xff"}

    @protocol.method(2)
    def hang(self) -> Deferred[None]:
        return Deferred()


class MemoryLocator:
    """A locator that knows the services of one node."""

    protocol = Protocol(version=3)

    def __init__(self) -> None:
        self.services: dict[str, Any] = {}
        self.rings: dict[str, Any] = {}
        self.refreshed: list[list[str]] = []
        self.nodes: dict[str, Any] = {}

    @protocol.method(0, text, optional(text, ""))
    def resolve(self, name: str, seed: str) -> Any:
        if name not in self.services:
            raise ServiceNotAvailable()
        return self.services[name]

    @protocol.method(2, listing(text))
    def refresh(self, groups: list[str]) -> None:
        self.refreshed.append(groups)

    @protocol.method(3)
    def cluster(self) -> Any:
        return self.nodes

    @protocol.stream(5, text, dispatch={0: ("discard", {})})
    def routing(
        self, session: Session, channel: int, headers: list[Header], router: str
    ) -> None:
        Upstream(session, channel, []).write(self.rings)

    @protocol.method(6)
    def uuid(self) -> str:
        return "00000000-1111-2222-3333-444444444444"


class Result(NamedTuple):
    """What a run of the tool left behind."""

    status: int
    output: bytes
    errors: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.output.decode()

    @property
    def json(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.output)


class ToolCase(SynchronousTestCase):
    """Runs the tool, command line and all, against a node in memory."""

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.locator = MemoryLocator()
        self.storage = MemoryStorage()
        self.node = MemoryNode(self.storage)
        self.app = MemoryApp()
        self.network.listen(LOCATOR, self.locator)
        self.serve("storage", self.storage, 3001)
        self.serve("node", self.node, 3002)
        self.serve("echo", self.app, 3003)
        self.config = self.mktemp()
        with open(self.config, "w") as file:
            file.write("locator: {host: 127.0.0.1}")
        #: what the next reads of standard input give
        self.stdin: list[bytes] = []
        #: what the editor was shown, and what it gives back
        self.shown = ""
        self.edited: str | None = None

    def serve(self, name: str, service: Any, port: int) -> None:
        """Let the node offer a service."""
        self.network.listen(("127.0.0.1", port), service)
        protocol: Protocol = service.protocol
        self.locator.services[name] = (
            [["127.0.0.1", port]],
            protocol.version,
            graph_on_the_wire(protocol.graph),
        )

    def store(self, collection: str, key: str, document: Any, *tags: str) -> None:
        """Put a document into the storage."""
        self.storage.blobs[collection, key] = pack(document)
        self.storage.tags[collection, key] = set(tags)

    def stored(self, collection: str, key: str) -> Any:
        """Take a document from the storage."""
        return msgpack.unpackb(self.storage.blobs[collection, key], raw=False)

    def surroundings(self) -> Surroundings:
        """An editor and a standard input that a test scripts."""

        def edit(shown: str) -> str | None:
            self.shown = shown
            return self.edited

        def read_stdin() -> Awaitable[bytes]:
            return succeed(self.stdin.pop(0) if self.stdin else b"")

        return Surroundings(edit, read_stdin, lambda: NOW)

    def perform(self, action: Action, settings: Settings, timeout: float | None) -> int:
        """Run an action on the memory clock."""
        reactor: Any = self.network
        performing = perform(reactor, action, settings, timeout, self.surroundings())
        self.network.flush()
        for _ in range(PATIENCE):
            if performing.called and not performing.paused:
                break
            self.network.pass_time(1)
        return self.successResultOf(performing)

    def tool(self, *args: str) -> Result:
        """Run the tool with a command line."""
        printed, told = io.BytesIO(), io.BytesIO()
        output = io.TextIOWrapper(printed, "utf-8", write_through=True)
        errors = io.TextIOWrapper(told, "utf-8", write_through=True)
        with (
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(errors),
            self.assertRaises(SystemExit) as ended,
        ):
            main(args, self.perform, [self.config])
        status = ended.exception.code
        assert isinstance(status, int)
        return Result(status, printed.getvalue(), told.getvalue().decode())

    def succeed(self, *args: str) -> Result:
        """Run a command that must succeed."""
        result = self.tool(*args)
        self.assertEqual(result.status, 0, result)
        return result

    def refuse(self, status: int, *args: str) -> str:
        """Run a command that must fail, and print nothing but errors."""
        result = self.tool(*args)
        self.assertEqual((result.status, result.output), (status, b""), result)
        return result.errors

    def folder(self, **files: bytes) -> str:
        """Make a folder ``echo`` with files; ``__`` in a name is a slash."""
        top = os.path.join(self.mktemp(), "echo")
        os.makedirs(top)
        for name, data in files.items():
            path = os.path.join(top, name.replace("__", "/").replace("_", "."))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)
        return top
