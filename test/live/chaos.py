# -*- test-case-name: cocained.test.live.test_fuzz_live -*-
"""
A node among peers that do anything: what they may do, and what must be left.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cocained.test.live.proc import Proc, Usage
from cocained.test.live.support import (
    ANSWER_TIMEOUT,
    LOOPBACK,
    WORKERS,
    Client,
    LiveNode,
    program,
)

#: The app that is good, and the one whose workers are not.
GOOD, BAD = "good", "bad"

#: Short waits everywhere, so that a run sees the end of them.
PROFILE: Final = {
    "pool-limit": 3,
    "concurrency": 4,
    "queue-limit": 16,
    "heartbeat-timeout": 3,
    "request-timeout": 2,
    "terminate-timeout": 1,
    "crashlog-limit": 20,
}

#: Seconds that a peer waits for a node that does not read; it then goes on.
SEND_TIMEOUT = 0.2

#: Bytes of resident memory that may remain: arenas that malloc keeps for the
#: next burst.  A chunk of 1 MiB in each of a run's connections makes half of it.
ALLOWANCE = 32 << 20

#: Descriptors that may come and go by themselves: the one that counts them.
SPARE = 2

#: Seconds until the last worker is collected and the last socket closed.
SETTLE = 15.0

#: What a log shows if something happened that nobody thought of.
BUGS = (b"Traceback", b"Unhandled")

#: Bytes of the log that a failure shows, from where the bug begins.
SHOWN = 3000

#: Sends RST instead of FIN when it is closed.
ABORT = struct.pack("ii", 1, 0)


class Peer:
    """
    A connection that sends whatever it is told to, and reads when it likes.

    :param address: a port of the loopback interface, or the path of a socket.
    """

    def __init__(self, address: int | Path) -> None:
        if isinstance(address, Path):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(SEND_TIMEOUT)
            with contextlib.suppress(OSError):
                self.socket.connect(str(address))
        else:
            self.socket = socket.create_connection((LOOPBACK, address), ANSWER_TIMEOUT)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(SEND_TIMEOUT)

    def send(self, data: bytes, cuts: Iterable[int] = ()) -> None:
        """Send *data* in pieces; a node that hangs up or reads no more is fine."""
        at = 0
        with contextlib.suppress(OSError):
            for cut in (*sorted(cuts), len(data)):
                self.socket.sendall(data[at:cut])
                at = cut

    def read(self) -> None:
        """Take what is there."""
        with contextlib.suppress(OSError):
            self.socket.setblocking(False)
            try:
                self.socket.recv(1 << 20)
            finally:
                self.socket.settimeout(SEND_TIMEOUT)

    def finish(self) -> None:
        """Say the last byte, and go on listening."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """Hang up as if the machine had died."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        self.socket.close()

    def close(self) -> None:
        self.socket.close()


class Site:
    """A node with both apps, which is looked at after each run."""

    def __init__(self) -> None:
        #: runs that have been survived
        self.runs = 0
        #: connections made and things sent, in all runs
        self.actions = 0
        self.node = self._start()
        self._seen = 0

    def _start(self) -> LiveNode:
        node = LiveNode()
        node.start()
        try:
            speech = (WORKERS / "speech.py").read_bytes()
            for name, worker in ((GOOD, "probe.py"), (BAD, "chaos.py")):
                files = {"worker": program(worker), "speech.py": speech}
                node.upload(name, files)
            node.profile("default", **PROFILE)
            node.start_app(GOOD, "default")
            node.start_app(BAD, "default")
        except BaseException:
            node.close()
            raise
        self.ports = {name: node.resolve(name) for name in (GOOD, BAD)}
        self.ports |= {
            name: node.ports[name] for name in ("locator", "storage", "node")
        }
        return node

    @property
    def process(self) -> Proc:
        """The node's process."""
        assert self.node.process is not None
        return Proc(self.node.process.pid)

    def connect(self, service: str) -> Peer:
        """Connect a peer to a service or an app."""
        self.actions += 1
        return Peer(self.ports[service])

    def call_as_worker(self, app: str) -> Peer:
        """Connect a stranger to the socket at which an app's workers call."""
        self.actions += 1
        assert self.node.process is not None
        run = self.node.directory / "run"
        return Peer(run / f"{app}.{self.node.process.pid}")

    def uuids(self) -> list[bytes]:
        """Give the names of the bad app's workers."""
        return sorted(self.node.info(BAD)[b"pool"][b"slaves"])

    def check_alive(self) -> None:
        """See that the node has not ended."""
        assert self.node.process is not None
        status = self.node.process.poll()
        if status is not None:
            raise AssertionError(f"the node ended with {status}\n{self.node.tail()}")

    def check_log(self) -> None:
        """See that nothing happened that nobody thought of, since the last look."""
        # A thread writes the log: what is said now comes behind all that matters.
        marker = f"log looked at {time.monotonic_ns()}"
        with self.node.client("logging") as logging:
            logging.send(1, 0, [3, "fuzz", marker])
            self.node.wait_for_log(marker)
        data = self.node.log.read_bytes()
        fresh, self._seen = data[self._seen :], len(data)
        check_text(fresh)

    def check_service(self) -> None:
        """See that a client which behaves is served, by all, and in time."""
        token = b"%d" % self.runs
        began = time.monotonic()
        with self.node.client("locator") as locator:
            for name in (GOOD, BAD, "storage"):
                endpoints, *_ = locator.call(0, name)
                assert endpoints, name
        with self.node.client("storage") as storage:
            storage.call(1, "served", "key", token, ["tag"])
            found = storage.call(0, "served", "key")
            assert found == [token], found
        with Client(self.ports[GOOD]) as app:
            answer = app.stream("echo", b"first", token)
            assert answer == [b"first", token], answer
        took = time.monotonic() - began
        assert took < ANSWER_TIMEOUT, f"it took {took:g} s to be served"

    def survived(self) -> None:
        """See that a run has done no harm that can be seen at once."""
        self.check_alive()
        self.check_service()
        self.check_log()
        self.runs += 1

    def at_rest(self) -> Usage:
        """Stop the bad app, wait until the node does nothing, and measure it."""
        self.node.pause_app(BAD)
        try:
            usage = self._settled()
        finally:
            self.node.start_app(BAD, "default")
            self.ports[BAD] = self.node.resolve(BAD)
        return usage

    def _settled(self) -> Usage:
        before = self.process.usage()
        until = time.monotonic() + SETTLE
        while time.monotonic() < until:
            time.sleep(1.0)
            now = self.process.usage()
            if (now.descriptors, now.threads) == (before.descriptors, before.threads):
                return now
            before = now
        raise AssertionError(f"the node does not come to rest: {before}")

    def restart(self) -> None:
        """Replace a node that has ended, so that the next run has one."""
        assert self.node.process is not None
        if self.node.process.poll() is not None:
            self.node.close()
            self.node = self._start()
            self._seen = 0

    def close(self) -> None:
        """End the node."""
        self.node.close()


def check_text(log: bytes) -> None:
    """State that part of a log shows no bug."""
    for bug in BUGS:
        at = log.find(bug)
        if at >= 0:
            # What the bug belongs to stands in the line before.
            text = log[max(0, at - 200) : at + SHOWN].decode(errors="replace")
            raise AssertionError(f"the node logged a bug\n{text}")


def check_returned(before: Usage, after: Usage) -> None:
    """State that a node has given back what it took."""
    assert after.descriptors <= before.descriptors + SPARE, f"{before} → {after}"
    assert after.resident <= before.resident + ALLOWANCE, f"{before} → {after}"
