# -*- test-case-name: tests -*-
"""
Doubles: a loop with a clock, a stream that remembers, an engine, a node.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import msgpack

from cocaine.detail.future import READY, Future
from cocaine.detail.loop import Loop, Timer

UUID = "5c1d6ac8-2f0e-4d0f-9a55-2b8f8c7b9d10"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
#: Seconds after which a test with real sockets has failed.
PATIENCE = 20.0

#: The three zero trace headers, protocol.md 18.
T0 = (
    "93 93 c2 a8 74 72 61 63 65 5f 69 64 a8 00 00 00 00 00 00 00 00 93 c2 a7"
    "73 70 61 6e 5f 69 64 a8 00 00 00 00 00 00 00 00 93 c2 a9 70 61 72 65 6e"
    "74 5f 69 64 a8 00 00 00 00 00 00 00 00"
)
HANDSHAKE = (
    "93 01 00 91 da 00 24 35 63 31 64 36 61 63 38 2d 32 66 30 65 2d 34 64 30"
    "66 2d 39 61 35 35 2d 32 62 38 66 38 63 37 62 39 64 31 30"
)

PRIMITIVE = {0: ["value", {}], 1: ["error", {}]}
STREAMING = {0: ["write", None], 1: ["error", {}], 2: ["close", {}]}
STORAGE = {
    0: ["read", {}, PRIMITIVE],
    1: ["write", {}, PRIMITIVE],
    2: ["remove", {}, PRIMITIVE],
    3: ["find", {}, PRIMITIVE],
}
APP = {
    0: ["enqueue", STREAMING, STREAMING],
    1: ["info", {}, PRIMITIVE],
    2: ["control", STREAMING, PRIMITIVE],
}
LOGGING = {
    0: ["emit", {}, {}],
    1: ["verbosity", {}, PRIMITIVE],
    2: ["set_verbosity", {}, PRIMITIVE],
}


def raw(text: str) -> bytes:
    """Bytes from hex; `{T0}` stands for the zero trace headers."""
    return bytes.fromhex(text.replace("{T0}", T0))


def pack(*frame) -> bytes:
    """A frame as the runtime would write it."""
    return msgpack.packb(list(frame), use_bin_type=False)


def unpack(data: bytes) -> list:
    """All frames in `data`."""
    unpacker = msgpack.Unpacker(raw=True, strict_map_key=False)
    unpacker.feed(data)
    return list(unpacker)


def as_read(graph):
    """A graph as it comes from the wire."""
    return msgpack.unpackb(
        msgpack.packb(graph, use_bin_type=False), raw=True, strict_map_key=False
    )


class ClockLoop(Loop):
    """A light loop whose time is moved by the test; it never waits."""

    def __init__(self):
        super().__init__()
        self.now = 0.0

    def time(self):
        return self.now

    def call_later(self, delay, callback, *args):
        timer = Timer(self, self.now + delay, callback, args)
        self._timers.append(timer)
        return timer

    def advance(self, seconds=0.0):
        """Let time pass, then run what is due and ready."""
        end = self.now + seconds
        while True:
            self.turn()
            due = [t for t in self._timers if t._callback and t._when <= end]
            if not due:
                break
            timer = min(due)
            self._timers.remove(timer)
            self.now = max(self.now, timer._when)
            callback, timer._callback = timer._callback, None
            callback(*timer._args)
        self.now = end

    def pending(self):
        """The timers that are neither cancelled nor done."""
        return [timer for timer in self._timers if timer._callback]

    def turn(self):
        """Run everything that is ready."""
        while self._ready:
            callback, args = self._ready.popleft()
            callback(*args)


class FakeStream:
    """A stream that remembers what was written."""

    def __init__(self):
        self.data = b""
        self.drain = READY
        self.closed = False
        self.room_error = None

    def check_room(self):
        if self.room_error is not None:
            raise self.room_error

    def write(self, data):
        self.data += data

    def drained(self):
        return self.drain

    def finish(self, timeout):
        self.closed = True

    close = finish

    def frames(self):
        """The frames written since the last time."""
        data, self.data = self.data, b""
        return unpack(data)


def failure_of(future: Future) -> BaseException:
    """The error of a future that must have one."""
    error = future.exception()
    if error is None:
        raise AssertionError(f"expected a failure, got {future.result()!r}")
    return error


class FolderTestCase(unittest.TestCase):
    """A test with a folder of its own, short enough for a UNIX socket."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="coc")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)


class FakeEngine:
    """The engine's side of a worker connection, blocking."""

    def __init__(self, case: FolderTestCase):
        self.path = os.path.join(case.folder, "engine")
        self.listener = socket.socket(socket.AF_UNIX)
        case.addCleanup(self.listener.close)
        self.listener.bind(self.path)
        self.listener.listen()
        self.listener.settimeout(PATIENCE)
        self.connection = None
        self.unpacker = msgpack.Unpacker(raw=True)
        self.case = case

    def start(self, source, protocol="1", locator="127.0.0.1:1", **env):
        """Start a worker from source text, as a file of its own."""
        path = os.path.join(self.case.folder, "worker.py")
        with open(path, "w") as file:
            file.write(source)
        command = [sys.executable, path, "--app", "echo", "--endpoint", self.path]
        command += ["--locator", locator]
        if protocol is not None:
            command += ["--protocol", protocol]
        command += ["--uuid", UUID]
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": ROOT, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.case.addCleanup(self._end, process)
        return process

    @staticmethod
    def _end(process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def accept(self):
        """Wait for the worker and give its first segment."""
        self.connection, _ = self.listener.accept()
        self.case.addCleanup(self.connection.close)
        self.connection.settimeout(PATIENCE)
        return self.connection.recv(4096)

    def send(self, *frames):
        """Send frames in one segment."""
        self.connection.sendall(b"".join(pack(*frame) for frame in frames))

    def read(self, count=1):
        """Give the next frames; fewer when the worker has gone."""
        frames = []
        while len(frames) < count:
            try:
                frames.append(next(self.unpacker))
            except StopIteration:
                data = self.connection.recv(65536)
                if not data:
                    break
                self.unpacker.feed(data)
        return frames


class FakeService:
    """
    A service on a loopback port, in a thread; answers by a function.

    :param answer: called with `(connection, channel, type, args, headers)`;
        gives frames to send, or None to drop the connection
    """

    def __init__(self, case: unittest.TestCase, answer, family=socket.AF_INET):
        self.listener = socket.socket(family)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.endpoint = ["127.0.0.1", self.listener.getsockname()[1]]
        self.answer = answer
        self.received = []
        self.connections = []
        self.closed = 0
        case.addCleanup(self.stop)
        self.acceptor = threading.Thread(target=self._serve, daemon=True)
        self.acceptor.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        unpacker = msgpack.Unpacker(raw=True, strict_map_key=False)
        try:
            while data := connection.recv(65536):
                unpacker.feed(data)
                for frame in unpacker:
                    self.received.append(frame)
                    headers = frame[3] if len(frame) > 3 else []
                    frames = self.answer(connection, *frame[:3], headers)
                    if frames is None:
                        connection.shutdown(socket.SHUT_RDWR)
                        return
                    connection.sendall(b"".join(pack(*each) for each in frames))
        except OSError:
            pass
        finally:
            self.closed += 1
            connection.close()

    def stop(self):
        """Close everything; new connections are refused from now on."""
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        # Who is about to be accepted is among the connections then, too.
        self.acceptor.join(10)
        self.listener.close()
        self.drop()

    def drop(self):
        """Cut the connections."""
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class FakeNode:
    """A locator, with a storage and whatever else is added."""

    def __init__(self, case: unittest.TestCase):
        self.case = case
        self.names = {}
        self.objects = {(b"collection", b"k"): b"12345"}
        self.locator = FakeService(case, self._resolve)
        self.storage = self.add("storage", STORAGE, self._storage)

    def add(self, name, graph, answer, version=1, before=()):
        """Start a service and announce it, after the addresses of `before`."""
        service = FakeService(self.case, answer)
        self.names[name.encode()] = [[*before, service.endpoint], version, graph]
        return service

    @property
    def locators(self):
        """What `Service(endpoints=)` takes."""
        return [tuple(self.locator.endpoint)]

    def _resolve(self, connection, channel, kind, args, headers):
        found = self.names.get(args[0]) if kind == 0 else None
        if found is None:
            return [(channel, 1, [[10, 1], "service is not available"], [])]
        return [(channel, 0, found, [])]

    def _storage(self, connection, channel, kind, args, headers):
        if kind == 1:
            self.objects[args[0], args[1]] = args[2]
            return [(channel, 0, [], [])]
        if kind == 3:
            return [(channel, 0, [sorted(key for _, key in self.objects)], [])]
        if (args[0], args[1]) not in self.objects:
            return [(channel, 1, [[12, 2], "No such file or directory"], [])]
        return [(channel, 0, [self.objects[args[0], args[1]]], [])]


def eventually(condition) -> bool:
    """Wait for something that another thread does."""
    limit = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > limit:
            return False
        time.sleep(0.002)
    return True
