# -*- test-case-name: cocained.test.live.test_support -*-
"""
A real node in a process of its own, and what is needed to speak with it.

Live tests take seconds and ports, so they run only when they are asked for::

    COCAINED_LIVE=1 python -m twisted.trial cocained.test.live

With ``1`` everything must be there: what a test misses is a failure.  With
``try`` such a test is skipped with its reason.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgpack
import yaml
from twisted.trial.runner import TestLoader, TestSuite
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from typing_extensions import override

import cocained
from cocained.errors import RemoteError
from cocained.test.live.transcript import play

#: Asks for live tests: ``1`` for all, ``try`` for those that can run here.
LIVE = "COCAINED_LIVE"

LOOPBACK = "127.0.0.1"

#: Where this package is: children run elsewhere, perhaps from a bare checkout.
ROOT = Path(cocained.__file__).absolute().parent.parent

#: Workers of the tests.
WORKERS = Path(__file__).absolute().parent / "workers"

#: Ports of nodes: below those that the kernel gives to outgoing connections, of
#: which one might take what was free a moment ago.
PORTS = range(15_000, 32_000)

#: The services of a node, each on a port of its own.
SERVICES = ("locator", "storage", "logging", "node")

#: Runs ``twistd`` of this interpreter, wherever its script was installed.
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")

#: Seconds until a node must answer; it takes well under one.
READY_TIMEOUT = 30.0

#: Seconds that an ordinary stop may take, with idle workers or none.
STOP_TIMEOUT = 8.0

#: Seconds until an answer is given up.
ANSWER_TIMEOUT = 15.0

#: Shown of a node's log when something went wrong.
LOG_TAIL = 4000

VALUE, ERROR, CLOSE = 0, 1, 2


def live_reason(environ: Mapping[str, str] = os.environ) -> str | None:
    """Say why live tests do not run now, or ``None`` if they do."""
    if environ.get(LIVE, "") in ("1", "try"):
        return None
    return f"live tests run with {LIVE}=1 only"


def missing(reason: str, environ: Mapping[str, str] = os.environ) -> Exception:
    """
    Make what a test raises that cannot run on this machine.

    :param reason: what is missing and where it comes from.
    """
    if environ.get(LIVE) == "1":
        return AssertionError(f"{LIVE}=1 allows no skipping: {reason}")
    return SkipTest(reason)


class NotAskedFor(SynchronousTestCase):
    """
    Stands for a whole module of live tests while they are not asked for.

    :param module: its name.
    """

    def __init__(self, module: str) -> None:
        super().__init__("test_module")
        self.module = module

    @override
    def id(self) -> str:
        return self.module

    @override
    def __repr__(self) -> str:
        # Trial drops suites of which it has seen the text before.
        return f"<NotAskedFor {self.module}>"

    def test_module(self) -> None:
        """Skip, once for all tests of the module."""
        raise SkipTest(live_reason() or "")


def live_suite(name: str) -> Callable[[], TestSuite]:
    """
    Make the ``test_suite`` of a module of live tests.

    Trial asks for it, and so a run of all tests shows one line for the module
    and not one for each of its tests.

    :param name: of the module.
    """

    def test_suite() -> TestSuite:
        if live_reason() is not None:
            return TestSuite([NotAskedFor(name)])
        loader = TestLoader()
        classes = loader.findTestClasses(sys.modules[name])
        return TestSuite([loader.loadClass(each) for each in classes])

    return test_suite


def free_ports(count: int) -> list[int]:
    """Find ports that nobody listens on now, all different."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with contextlib.suppress(OSError):
            socket.create_server((LOOPBACK, port)).close()
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError(f"there are no {count} free ports in {PORTS}")


def wait_for(what: str, condition: Callable[[], Any], timeout: float) -> Any:
    """
    Wait until *condition* gives something true, and give that.

    :param what: for the message.
    :param timeout: seconds.
    :raises AssertionError: it did not.
    """
    until = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > until:
            raise AssertionError(f"not within {timeout:g} s: {what}")
        time.sleep(0.02)


def pack(value: Any) -> bytes:
    """Pack as the published clients do: raw strings only."""
    packed: bytes = msgpack.packb(value, use_bin_type=False)
    return packed


class Client:
    """
    A blocking connection.

    :param address: a port of the loopback interface, the path of a socket, or a
        host and a port.
    :param timeout: seconds for the connection, and for each frame.
    """

    def __init__(
        self, address: int | Path | tuple[str, int], timeout: float = ANSWER_TIMEOUT
    ) -> None:
        self.timeout = timeout
        if isinstance(address, Path):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(str(address))
        else:
            place = (LOOPBACK, address) if isinstance(address, int) else address
            self.socket = socket.create_connection(place, timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.channel = 0
        self._unpacker = msgpack.Unpacker(
            raw=True, strict_map_key=False, max_buffer_size=1 << 30
        )
        self._ready: list[Any] = []

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send_bytes(self, data: bytes) -> None:
        """Send *data* as it is; a connection that is gone swallows it."""
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(data)

    def send(self, *frame: Any) -> None:
        """Send one frame."""
        self.send_bytes(pack(list(frame)))

    def receive(self, timeout: float | None = None) -> Any:
        """
        Wait for a frame.

        :param timeout: seconds, if others than usual.
        :returns: the frame, or ``None`` at the end of the connection.
        :raises TimeoutError: none came.
        """
        timeout = self.timeout if timeout is None else timeout
        until = time.monotonic() + timeout
        while True:
            for frame in self._unpacker:
                return frame
            rest = until - time.monotonic()
            if rest <= 0:
                raise TimeoutError(f"no frame within {timeout:g} s")
            self.socket.settimeout(rest)
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionError:
                return None
            if not data:
                return None
            self._unpacker.feed(data)

    def take(self, count: int) -> list[Any]:
        """Wait for so many frames; fewer if the connection ends or is silent."""
        frames: list[Any] = []
        with contextlib.suppress(TimeoutError):
            while len(frames) < count:
                frame = self.receive()
                if frame is None:
                    break
                frames.append(frame)
        return frames

    def rest(self, seconds: float) -> list[Any]:
        """Give what comes in so many seconds."""
        frames: list[Any] = []
        with contextlib.suppress(TimeoutError):
            while (frame := self.receive(seconds)) is not None:
                frames.append(frame)
        return frames

    def is_closed(self, timeout: float = 3.0) -> bool:
        """Wait for the end of the connection; say whether it came."""
        with contextlib.suppress(TimeoutError):
            return self.receive(timeout) is None
        return False

    def call(self, method: int, *arguments: Any) -> Any:
        """
        Call a method with one answer.

        :returns: the values of the answer.
        :raises RemoteError: the answer is an error.
        """
        self.channel += 1
        self.send(self.channel, method, list(arguments))
        frame = self.receive()
        if frame is None:
            raise AssertionError("the node closed the connection")
        _, kind, values = frame[:3]
        if kind == ERROR:
            (category, code), *reason = values
            raise RemoteError(category, code, b"".join(reason).decode(errors="replace"))
        return values

    def stream(self, event: str, *chunks: bytes, method: int = 0) -> list[bytes]:
        """
        Send an event, chunks and the close to an app.

        :returns: the chunks of the answer.
        :raises RemoteError: the answer is an error.
        """
        self.channel += 1
        channel = self.channel
        data = [[channel, method, [event]]]
        data += [[channel, 0, [chunk]] for chunk in chunks]
        data += [[channel, CLOSE, []]]
        self.send_bytes(b"".join(map(pack, data)))
        answer = []
        while True:
            frame = self.receive()
            if frame is None:
                raise AssertionError("the node closed the connection")
            _, kind, values = frame[:3]
            if kind == VALUE:
                answer.append(values[0])
            elif kind == CLOSE:
                return answer
            else:
                (category, code), *reason = values
                text = b"".join(reason).decode(errors="replace")
                raise RemoteError(category, code, text)


def archive(files: Mapping[str, bytes]) -> bytes:
    """
    Pack an app's files as they are uploaded.

    :param files: name to content; all can be executed.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o755
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def program(name: str) -> bytes:
    """Give a worker of :data:`WORKERS`, to be run by this interpreter."""
    source = (WORKERS / name).read_bytes()
    return f"#!{sys.executable}\n".encode() + source


class LiveNode:
    """
    A node in a directory of its own, on free ports.

    :param changes: merged over the configuration, see :func:`merge`.
    :param runlist: apps to start with the node.
    :cvar program: runs ``twistd``.
    """

    program: tuple[str, ...] = TWISTD

    def __init__(self, changes: Mapping[str, Any] | None = None) -> None:
        # A UNIX socket's path holds about a hundred bytes: trial's is too long.
        self.directory = Path(tempfile.mkdtemp(prefix="cl"))
        self.ports = self.choose_ports()
        self.log = self.directory / "node.log"
        self.configuration = merge(self._plain(), changes or {})
        self.process: subprocess.Popen[bytes] | None = None
        for part in ("run", "spool", "store"):
            (self.directory / part).mkdir()

    def choose_ports(self) -> dict[str, int]:
        """Choose the port of each service."""
        return dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))

    def dial(self, port: int) -> Client:
        """Connect to a port of the node."""
        return Client(port)

    def _plain(self) -> dict[str, Any]:
        return {
            "version": 4,
            "paths": {
                "runtime": str(self.directory / "run"),
                "spool": str(self.directory / "spool"),
            },
            "network": {"endpoint": LOOPBACK, "pinned": dict(self.ports)},
            "logging": {"loggers": [{"type": "console"}]},
            "storages": {
                "core": {
                    "type": "files",
                    "args": {"path": str(self.directory / "store")},
                }
            },
            "services": {name: {"type": name} for name in SERVICES},
            "shutdown": {"drain": 1.0, "kill": 1.0},
        }

    def start(self) -> None:
        """
        Start the process and wait until its locator knows the node service.

        :raises AssertionError: it did not get ready; shows its log.
        """
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start the process."""
        path = self.directory / "node.yaml"
        path.write_text(yaml.safe_dump(self.configuration))
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.program, "-n", "--pidfile=", "cocained", "-c", str(path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """
        Wait until the locator knows the node service.

        :raises AssertionError: it does not; shows the log.
        """
        try:
            wait_for("the node is ready", self._is_ready, READY_TIMEOUT)
        except AssertionError as error:
            tail = self.tail()
            self.close()
            raise AssertionError(f"{error}\n{tail}") from error

    def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the node ended with {self.process.returncode}")
        try:
            self.resolve("node")
        except (OSError, RemoteError):
            return False
        return True

    def resolve(self, name: str) -> int:
        """Ask the locator for the port of a service."""
        with self.dial(self.ports["locator"]) as locator:
            endpoints, _version, _graph = locator.call(0, name)
        return int(endpoints[0][1])

    def client(self, name: str) -> Client:
        """Connect to a service or an app."""
        return self.dial(self.ports.get(name) or self.resolve(name))

    def write(self, collection: str, key: str, blob: bytes, *tags: str) -> None:
        """Store a blob through the storage service."""
        with self.client("storage") as storage:
            storage.call(1, collection, key, blob, list(tags))

    def upload(
        self,
        name: str,
        files: Mapping[str, bytes],
        manifest: Mapping[str, Any] | None = None,
    ) -> None:
        """Store an app; its program is called ``worker`` unless *manifest* differs."""
        document = {"slave": "worker", **(manifest or {})}
        self.write("apps", name, pack(archive(files)), "app")
        self.write("manifests", name, pack(document), "app")

    def profile(self, name: str, **keys: Any) -> None:
        """Store a profile; underscores in *keys* become hyphens."""
        document = {key.replace("_", "-"): value for key, value in keys.items()}
        self.write("profiles", name, pack(document), "profile")

    def start_app(self, name: str, profile: str) -> None:
        """Start an app that has been uploaded."""
        with self.client("node") as node:
            node.call(0, name, profile)

    def pause_app(self, name: str) -> None:
        """Stop an app."""
        with self.client("node") as node:
            node.call(1, name)

    def info(self, name: str, flags: int = 1) -> dict[bytes, Any]:
        """Ask the node service about an app."""
        with self.client("node") as node:
            report: dict[bytes, Any] = node.call(3, name, flags)[0]
        return report

    def crashlogs(self, app: str) -> list[list[bytes]]:
        """Give the lines of each crash log of an app, the oldest first."""
        with self.client("storage") as storage:
            keys = storage.call(3, "crashlogs", [app])[0]
            blobs = [storage.call(0, "crashlogs", key)[0] for key in keys]
        return [msgpack.unpackb(blob, raw=True) for blob in blobs]

    def wait_for_log(self, text: str) -> None:
        """Wait until *text* is in the log, which a thread of the node writes."""
        wait_for(f"{text!r} in the log", lambda: text in self.log.read_text(), 10)

    def tail(self) -> str:
        """Give the end of the log."""
        text = self.log.read_bytes()[-LOG_TAIL:].decode(errors="replace")
        return f"the node's log ends:\n{text}"

    def children(self) -> list[int]:
        """Find the processes of this node's workers, and what they have started."""
        return list(processes_under(self.directory / "spool"))

    def stop(self, timeout: float = STOP_TIMEOUT) -> float:
        """
        Send SIGTERM and see that the node ends in order.

        :param timeout: seconds that it has.
        :returns: seconds that it took.
        :raises AssertionError: it did not end in time, it crashed, it left a
            process behind, or its log shows a traceback.
        """
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.wait_until_stopped(timeout)

    def wait_until_stopped(self, timeout: float = STOP_TIMEOUT) -> float:
        """Wait for the end of a node that was told to stop; as :meth:`stop`."""
        assert self.process is not None
        began = time.monotonic()
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"the node did not stop within {timeout:g} s\n{self.tail()}"
            ) from None
        took = time.monotonic() - began
        # twistd ends by the signal that it was sent, once everything has stopped.
        if status not in (0, -signal.SIGTERM):
            raise AssertionError(f"the node ended with {status}\n{self.tail()}")
        wait_for("no process of the node is left", lambda: not self.children(), 2.0)
        if b"Traceback" in self.log.read_bytes():
            raise AssertionError(f"the node logged a traceback\n{self.tail()}")
        return took

    def close(self) -> None:
        """End whatever is left, and remove the directory."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)


def processes_under(directory: Path) -> Iterator[int]:
    """
    Find the processes that run in or below *directory*.

    Workers run in the spool of their app, so this finds those of one node.
    """
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            place = (entry / "cwd").readlink()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z" and str(place).startswith(str(directory)):
            yield int(entry.name)


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Merge mappings, deeply; ``None`` takes a key away."""
    merged = dict(base)
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


class LiveCase(SynchronousTestCase):
    """
    Tests against a node that is fresh for each.

    When a test is over its node must stop in order; that is part of every test.

    :cvar changes: to the configuration of the node.
    """

    skip = live_reason()
    changes: Mapping[str, Any] = {}

    def setUp(self) -> None:
        """Start the node and let the class put into it what its tests need."""
        super().setUp()
        self.node = self.start_node(self.changes)
        self.prepare()

    def prepare(self) -> None:
        """Put into the node what the tests of the class need."""

    def start_node(self, changes: Mapping[str, Any] | None = None) -> LiveNode:
        """Start a node that is stopped, and checked, when the test is over."""
        node = LiveNode(changes)
        self.addCleanup(node.close)
        node.start()
        self.addCleanup(node.stop)
        return node

    def connect(self, service: str) -> Client:
        """Connect to a service or an app until the test is over."""
        client = self.node.client(service)
        self.addCleanup(client.close)
        return client

    def play(self, service: str, script: str) -> Client:
        """
        Have a conversation on a fresh connection.

        :param script: see :mod:`cocained.test.live.transcript`.
        :returns: the connection.
        """
        client = self.connect(service)
        play(client, script)
        return client

    def assert_refused(
        self, category: int, code: int, part: str, call: Callable[..., Any], *args: Any
    ) -> RemoteError:
        """Check that a call is answered with such an error, and give it."""
        error: RemoteError = self.assertRaises(RemoteError, call, *args)
        self.assertEqual((error.category, error.code), (category, code), error.reason)
        self.assertIn(part, error.reason)
        return error


def differs(*probes: str) -> Callable[[Any], Any]:
    """
    Mark a test that expects something else than the original was seen to do.

    :param probes: rows of ``docs/differences.rst`` that say what and why.
    """

    def mark(test: Any) -> Any:
        test.differs = probes
        return test

    return mark


class AppCase(LiveCase):
    """
    Tests against a node with the app ``probe`` (``workers/probe.py``).

    :cvar limits: of its profile, over :attr:`LIMITS`.
    """

    #: Short waits, and one worker, so that tests know who answers.
    LIMITS = {"pool-limit": 1, "heartbeat-timeout": 20, "terminate-timeout": 2}

    limits: Mapping[str, Any] = {}

    @override
    def prepare(self) -> None:
        """Upload the app and start it."""
        self.node.upload("probe", {"worker": program("probe.py")})
        self.node.write(
            "profiles", "default", pack({**self.LIMITS, **self.limits}), "profile"
        )
        self.node.start_app("probe", "default")

    def ask(self, event: str) -> Any:
        """Call an event of the app whose answer is packed."""
        with self.node.client("probe") as client:
            return msgpack.unpackb(
                client.stream(event)[0], raw=True, strict_map_key=False
            )
