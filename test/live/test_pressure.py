# -*- test-case-name: cocained.test.live.test_pressure -*-
"""
A gigabyte for somebody who is slow or has stopped (decision 0007).

While it is stuck the node stays small, and everybody else is served.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from typing_extensions import override

from cocained.apps.burdens import PATIENCE
from cocained.rpc.session import EARLY_FLUSH
from cocained.rpc.wire import WINDOW
from cocained.test.live.bystander import LONGEST_WAIT, Bystander
from cocained.test.live.proc import MIB, Proc
from cocained.test.live.support import (
    CLOSE,
    ERROR,
    VALUE,
    Client,
    LiveCase,
    live_suite,
    pack,
    program,
    wait_for,
)

GIGABYTE = 1 << 30

#: Bytes of one chunk of the streams.
CHUNK = 1 << 18

#: Bytes that one stuck stream may cost, as docs/protocol.rst has it: what is
#: collected before the first write, what waits behind the transport, and four
#: times its largest frame (decoded, collected, joined, waiting).
STREAM_LIMIT = EARLY_FLUSH + 2 * WINDOW + 4 * CHUNK

#: Bytes that a node may grow besides, by serving the bystanders: buffers of their
#: connections, and what the allocator keeps.
SLACK = 4 * MIB

#: Bytes a second of the slow ones, half of what the node can do.
SLOW = 160 * MIB

#: Seconds that peers in these tests may leave their socket unread.
WRITE_STALL = 2.0

#: Requests that each bystander must get answered while a stream is stuck.
PROGRESS = 200


class PressureCase(LiveCase):
    """
    Streams that are stuck, and those who stand by.

    :cvar pool: most workers of the app.
    :cvar concurrency: streams of each of them.
    """

    changes = {"limits": {"write-stall": WRITE_STALL}}
    pool = 3
    concurrency = 10

    @override
    def prepare(self) -> None:
        """Start two apps, and warm them up."""
        self.node.profile(
            "stream",
            pool_limit=self.pool,
            concurrency=self.concurrency,
            heartbeat_timeout=4,
        )
        for app in ("stream", "other"):
            self.node.upload(app, {"worker": program("firehose.py")})
            self.node.start_app(app, "stream")
            with self.node.client(app) as client:
                client.stream("ping")
        self.node.write("blobs", "one", b"x" * 1000)
        assert self.node.process is not None
        self.process = Proc(self.node.process.pid)
        self.bystanders: dict[str, Bystander] = {}
        self.addCleanup(self.dismiss)

    def stand_by(self) -> None:
        """Let others use the same app, another one, and the storage."""
        asks: dict[str, Callable[[Client], object]] = {
            "stream": lambda client: client.stream("ping"),
            "other": lambda client: client.stream("ping"),
            "storage": lambda client: client.call(0, "blobs", "one"),
        }
        for name, ask in asks.items():
            bystander = Bystander(self.connect(name), ask)
            self.bystanders[name] = bystander
            bystander.start()
        self.progress()

    def progress(self) -> None:
        """Wait until each bystander has been served so and so often once more."""
        marks = {each: each.count + PROGRESS for each in self.bystanders.values()}
        wait_for(
            "the bystanders are served",
            lambda: all(each.error or each.count > marks[each] for each in marks),
            LONGEST_WAIT + 10,
        )

    def dismiss(self) -> None:
        """Let the bystanders go, and see that none of them suffered."""
        bystanders, self.bystanders = self.bystanders, {}
        for bystander in bystanders.values():
            bystander.finish()
        for name, bystander in bystanders.items():
            self.assertIsNone(bystander.error, name)
            self.assertFalse(bystander.is_alive(), name)
            self.assertLess(bystander.longest, LONGEST_WAIT, name)

    def mark(self) -> None:
        """Begin to watch the memory."""
        self.before = self.process.resident()
        self.process.reset_peak()

    def assert_flat(self, streams: int = 1) -> None:
        """See that since :meth:`mark` the node has stayed within its limit."""
        growth = self.process.peak() - self.before
        self.assertLess(growth, streams * STREAM_LIMIT + SLACK)

    def workers(self) -> int:
        """Count the workers of the app."""
        return len(self.node.info("stream")[b"pool"][b"slaves"])

    def assert_cut(self, client: Client) -> None:
        """See that a connection ends before its stream does."""
        kinds = [frame[1] for frame in iter(client.receive, None)]
        self.assertLess(len(kinds), GIGABYTE // CHUNK)
        self.assertEqual(set(kinds) - {VALUE}, set())

    def source(self, client: Client, size: int = GIGABYTE) -> None:
        """Ask for a stream."""
        client.send(1, 0, [f"source {size} {CHUNK}"])


class DownTests(PressureCase):
    """A worker sends, a client should read."""

    def test_slow(self) -> None:
        """A slow client gets all of its gigabyte, intact; memory stays flat."""
        self.stand_by()
        client = self.connect("stream")
        self.mark()
        self.source(client)
        digest = hashlib.sha256()
        size = 0
        began = time.monotonic()
        while size < GIGABYTE:
            _, kind, (chunk,), _ = client.receive()
            self.assertEqual(kind, VALUE)
            digest.update(chunk)
            size += len(chunk)
            time.sleep(max(0.0, began + size / SLOW - time.monotonic()))
        self.assertEqual(client.receive()[2], [digest.hexdigest().encode()])
        self.assertEqual(client.receive()[1], CLOSE)
        self.assert_flat()
        self.dismiss()

    def test_stopped(self) -> None:
        """
        One that has stopped is disconnected after write-stall; until then others
        are served as ever, and then its worker works on.
        """
        worker = self.worker()
        self.stand_by()
        client = self.connect("stream")
        self.mark()
        self.source(client)
        wait_for("another worker is there", lambda: self.workers() > 1, 10)
        self.progress()
        self.node.wait_for_log(f"has not read for {WRITE_STALL} s")
        self.assert_flat()
        self.progress()
        self.dismiss()
        self.assert_cut(client)
        wait_for("its worker is free", lambda: self.load() == 0, 10)
        wait_for("it works on", lambda: worker in self.answering(), 10)

    def worker(self) -> bytes:
        """Ask the app which of its workers answers."""
        with self.node.client("stream") as client:
            return client.stream("ping")[0]

    def answering(self) -> set[bytes]:
        """Ask many times at once, so that every worker answers."""
        with self.node.client("stream") as client:
            for channel in range(1, 31):
                client.send(channel, 0, ["ping"])
                client.send(channel, CLOSE, [])
            frames = client.take(60)
        return {frame[2][0] for frame in frames if frame[1] == VALUE}

    def load(self) -> Any:
        """Ask how many events are at workers."""
        return self.node.info("stream")[b"load"]


class ManyTests(PressureCase):
    """Eight workers with one stream each, and one for the others."""

    pool = 9
    concurrency = 1

    def test_stopped(self) -> None:
        """Each stopped client costs as little as the first."""
        clients = [self.connect("stream") for _ in range(self.pool - 1)]
        self.stand_by()
        self.mark()
        for client in clients:
            self.source(client)
        wait_for("all are cut", lambda: self.cut() == len(clients), 30)
        self.assert_flat(len(clients))
        self.progress()
        self.dismiss()
        for client in clients:
            self.assert_cut(client)

    def cut(self) -> int:
        """Count the clients that were disconnected."""
        return self.node.log.read_text().count("has not read for")


class CrowdTests(PressureCase):
    """With a single worker everybody depends on it."""

    changes = {"limits": {"write-stall": 60}}
    pool = 1

    def test_stopped(self) -> None:
        """
        A client that takes nothing while others wait for the same worker loses
        its stream, and nothing else.
        """
        client = self.connect("stream")
        self.mark()
        self.source(client)
        self.stand_by()
        self.progress()
        self.assert_flat()
        self.dismiss()
        frames = list(iter(lambda: self.until_error(client), None))
        self.assertLess(len(frames), GIGABYTE // CHUNK)
        self.assertEqual(client.stream("ping"), [client.stream("ping")[0]])

    def test_slow(self) -> None:
        """One that takes little, but takes something, keeps its stream."""
        other = self.connect("stream")
        other.send(1, 0, ["sink 0"])
        client = self.connect("stream")
        self.source(client)
        time.sleep(1)  # until all buffers of the system are full
        until = time.monotonic() + PATIENCE + 2
        while time.monotonic() < until:
            self.assertGreater(len(client.socket.recv(10_000)), 0)
            time.sleep(0.2)
        other.send(1, CLOSE, [])
        self.assertNotIn("its streams there are ended", self.node.log.read_text())

    def until_error(self, client: Client) -> Any:
        """Give the next chunk, ``None`` for the error."""
        frame = client.receive()
        if frame[1] != ERROR:
            return frame
        self.assertEqual(frame[2][0], [20991, 2])
        self.assertIn(b"others waited for the worker", frame[2][1])
        client.channel = 1
        return None


class UpTests(PressureCase):
    """A client sends, a worker should read."""

    def send(self, client: Client) -> str:
        """Send a gigabyte, as fast as the node takes it; give its digest."""
        pattern = bytes(range(256)) * (CHUNK // 256)
        digest = hashlib.sha256()
        for number in range(GIGABYTE // CHUNK):
            chunk = number.to_bytes(8, "big") + pattern[8:]
            digest.update(chunk)
            client.socket.sendall(pack([1, 0, [chunk]]))
        return digest.hexdigest()

    def test_slow(self) -> None:
        """A slow worker gets all of its gigabyte, intact; memory stays flat."""
        self.stand_by()
        client = self.connect("stream")
        self.mark()
        client.send(1, 0, [f"sink {SLOW}"])
        digest = self.send(client)
        client.send(1, CLOSE, [])
        self.assertEqual(client.receive()[2], [f"{GIGABYTE} {digest}".encode()])
        self.assert_flat()
        self.dismiss()

    def stick(self, event: str) -> tuple[Client, int]:
        """
        Send a gigabyte to a worker until it is stuck.

        :returns: the client, and the worker's process.
        """
        client = self.connect("stream")
        worker = int(client.stream("ping")[0])
        client.channel = 2
        self.mark()
        client.send(2, 0, [event])
        if event == "sink 0":
            os.kill(worker, signal.SIGSTOP)
            self.addCleanup(self.wake, worker)
        client.socket.settimeout(0.5)
        chunk = pack([2, 0, [bytes(CHUNK)]])
        with self.assertRaises(TimeoutError):
            for _ in range(GIGABYTE // CHUNK):
                client.socket.sendall(chunk)
        return client, worker

    def wake(self, worker: int) -> None:
        """Let a worker that was stopped go on; the node kills it otherwise."""
        try:
            os.kill(worker, signal.SIGCONT)
        except ProcessLookupError:
            return

    def test_stopped(self) -> None:
        """
        A stopped worker is killed after heartbeat-timeout or write-stall, and its
        client is told; others are served by other workers.
        """
        client, _ = self.stick("sink 0")
        self.stand_by()
        self.assert_ended(client)

    def test_deaf(self) -> None:
        """So is one whose heart beats, and which does not read."""
        client, _ = self.stick("deaf")
        self.stand_by()
        self.assert_ended(client)

    def assert_ended(self, client: Client) -> None:
        """See that the client learns of its worker's end, and that memory is flat."""
        frame = client.receive()
        self.assertEqual(frame[:2], [2, ERROR])
        self.assertEqual(frame[2][1], b"slave has been discarded")
        self.progress()
        self.assert_flat()
        self.dismiss()


test_suite = live_suite(__name__)
