# -*- test-case-name: cocained.test.live.test_leaks -*-
"""
An hour of everything in some seconds; then the node is what it was before.

``COCAINED_LONG=1`` makes it a million requests and a thousand generations of
workers, which takes some minutes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any, NamedTuple

from twisted.logger import Logger
from typing_extensions import override

from cocained.rpc.graph import REVOKE
from cocained.test.live.census import FILE, PROGRAM
from cocained.test.live.proc import MIB, Proc, Usage
from cocained.test.live.support import (
    Client,
    LiveCase,
    LiveNode,
    live_suite,
    missing,
    program,
    wait_for,
)
from cocained.tools.bench import toolchain
from cocained.tools.bench.errors import BenchError

log = Logger()

#: Asks for the long form.
LONG = "COCAINED_LONG"

#: Seconds that the load generator may take for what it is given.
LOAD_TIMEOUT = 600.0

#: Seconds until the node has settled and written its census.
SETTLE_TIMEOUT = 20.0

#: Bytes that the second half of the traffic may add to the first: what is
#: measured is in pages, and the allocator's holes are not always the same.
ALLOWANCE = MIB

#: Objects of one type that it may add: caches of the interpreter that fill now
#: and then.  One lost per worker or connection would be more.
OBJECTS = 25


#: The method of an app's service.
CONTROL = 2


class Traffic(NamedTuple):
    """
    How much of everything, in all.

    :param requests: to an app, with a chunk each way.
    :param generations: workers that are killed, or sealed, and replaced.
    :param connections: made and closed.
    :param revoked: events whose channel is revoked.
    :param starts: of an app that is paused again.
    :param failures: starts of an app whose program is missing.
    :param writes: blobs written, and removed.
    """

    requests: int
    generations: int
    connections: int
    revoked: int
    starts: int
    failures: int
    writes: int

    def part(self, parts: int) -> Traffic:
        """Give one of so many equal parts."""
        return Traffic(*(max(1, number // parts) for number in self))


SHORT = Traffic(60_000, 60, 600, 600, 6, 6, 600)

#: An hour of traffic; its parts are equal to each other within a percent.
HOUR = Traffic(1_000_000, 1_000, 10_000, 10_000, 200, 60, 10_000)


class Mark(NamedTuple):
    """The node at one moment, at rest."""

    usage: Usage
    census: dict[str, dict[str, int]]

    @property
    def threads(self) -> int:
        """
        Threads besides those of the reactor's pool, which are ten at most and come
        one by one as two calls happen to meet.
        """
        return self.usage.threads - self.census["threads"]["pool"]


class CountedNode(LiveNode):
    """A node that counts what it holds."""

    program = PROGRAM


class LeakTests(LiveCase):
    """What traffic leaves behind: nothing."""

    changes = {"logging": {"severity": "warning"}}

    @override
    def start_node(self, changes: Any = None) -> LiveNode:
        """Start one that counts."""
        node = CountedNode(changes)
        self.addCleanup(node.close)
        node.start()
        self.addCleanup(node.stop)
        return node

    @override
    def prepare(self) -> None:
        """Upload the apps: a fast one, a slow one, and one that cannot start."""
        try:
            self.load = toolchain.build(toolchain.LOAD)
            worker = toolchain.build(toolchain.WORKER).read_bytes()
        except BenchError as error:
            raise missing(str(error)) from error
        self.node.profile(
            "leaks", pool_limit=2, concurrency=100, queue_limit=1000, crashlog_limit=5
        )
        for name, files in (
            ("fast", {"worker": worker}),
            ("short", {"worker": program("probe.py")}),
            ("broken", {"README": b"no worker"}),
        ):
            self.node.upload(name, files)
        self.node.start_app("fast", "leaks")
        assert self.node.process is not None
        self.process = Proc(self.node.process.pid)

    def mark(self) -> Mark:
        """Wait until the node is at rest, and look at it."""
        wait_for("workers are buried", self.is_at_rest, SETTLE_TIMEOUT)
        census = wait_for("nobody is connected", self.census, SETTLE_TIMEOUT)
        return Mark(self.process.usage(), census)

    def census(self) -> dict[str, dict[str, int]] | None:
        """Have the node count; give nothing if somebody still was connected."""
        path = self.node.directory / FILE
        os.kill(self.process.pid, signal.SIGUSR2)
        wait_for("a census", path.exists, SETTLE_TIMEOUT)
        census: dict[str, dict[str, int]] = json.loads(path.read_text())
        path.unlink()
        return None if census["tables"]["ServiceFactory.0"] else census

    def is_at_rest(self) -> bool:
        """Say whether the app has one worker, and nobody does anything."""
        slaves = self.node.info("fast")[b"pool"][b"slaves"]
        states = [slave[b"state"] for slave in slaves.values()]
        loads = [slave[b"load:total"] for slave in slaves.values()]
        children = len(self.process.children())
        return (states, loads, children) == ([b"active"], [0], 1)

    def run_all(self, traffic: Traffic) -> None:
        """Let all of it happen."""
        self.request(traffic.requests)
        self.replace(traffic.generations)
        self.reconnect(traffic.connections)
        self.revoke(traffic.revoked)
        self.restart(traffic.starts)
        self.fail_to_start(traffic.failures)
        self.store(traffic.writes)

    def fill_threads(self) -> None:
        """Have the node start all the threads that it may have for its storage."""
        with self.node.client("storage") as storage:
            for channel in range(1, 201):
                storage.send(channel, 3, ["profiles", ["profile"]])
            self.assertEqual(len(storage.take(200)), 200)

    def request(self, number: int) -> None:
        """Make requests, 64 in flight."""
        port = self.node.resolve("fast")
        done = subprocess.run(
            [
                str(self.load), "--mode", "echo", "--port", str(port),
                "--connections", "4", "--in-flight", "16", "--count", str(number),
                "--milliseconds", str(int(LOAD_TIMEOUT * 1000)),
            ],
            capture_output=True,
            timeout=LOAD_TIMEOUT,
            check=True,
        )  # fmt: skip
        record = json.loads(done.stdout)
        self.assertEqual(record["errors"], 0, record)

    def replace(self, number: int) -> None:
        """Let workers end: one is killed, the next sealed, and so on."""
        for generation in range(number):
            if generation % 2:
                self.seal()
            else:
                self.kill()

    def kill(self) -> None:
        """Kill the worker, which has served; another one takes its place."""
        with self.node.client("fast") as client:
            client.stream("ping")
        victim = self.only_child()
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        wait_for(
            "another worker",
            lambda: self.only_child() not in (None, victim),
            SETTLE_TIMEOUT,
        )

    def seal(self) -> None:
        """Ask for two workers, and then for one."""
        with self.node.client("fast") as client:
            client.send(1, CONTROL, [])
            for wanted in (2, 1):
                client.send(1, 0, [wanted])
                wait_for("so many", lambda n=wanted: self.active() == n, SETTLE_TIMEOUT)
            wait_for("the other is gone", self.only_child, SETTLE_TIMEOUT)

    def active(self) -> int:
        """Count the workers that take requests."""
        slaves = self.node.info("fast")[b"pool"][b"slaves"].values()
        return sum(slave[b"state"] == b"active" for slave in slaves)

    def only_child(self) -> int | None:
        """Give the process of the only worker, if there is just one."""
        children = self.process.children()
        return children[0].pid if len(children) == 1 else None

    def reconnect(self, number: int) -> None:
        """Connect and disconnect, every third time in the middle of a frame."""
        port = self.node.resolve("fast")
        for cycle in range(number):
            with Client(port) as client:
                if cycle % 3 == 0:
                    client.stream("ping")
                elif cycle % 3 == 1:
                    client.send_bytes(b"\x93\x01")

    def revoke(self, number: int) -> None:
        """Open events and revoke them, on one connection."""
        with self.node.client("fast") as client:
            for event in range(number):
                channel = 2 * event + 1
                client.send(channel, 0, ["echo"])
                client.send(channel + 1, REVOKE, [channel, [1, 1]])
                while client.receive()[0] != channel + 1:
                    pass

    def restart(self, number: int) -> None:
        """Start an app, use it, pause it."""
        for _ in range(number):
            self.node.start_app("short", "leaks")
            with self.node.client("short") as client:
                client.stream("ping")
            self.node.pause_app("short")
            wait_for("it has ended", self.only_child, SETTLE_TIMEOUT)

    def fail_to_start(self, number: int) -> None:
        """Start an app without a program and call it."""
        for _ in range(number):
            self.node.start_app("broken", "leaks")
            with self.node.client("broken") as client:
                client.send(1, 0, ["ping"])
                self.node.pause_app("broken")
                self.assertEqual(client.receive()[1], 1)

    def store(self, number: int) -> None:
        """Write blobs and remove them."""
        with self.node.client("storage") as storage:
            for blob in range(number):
                storage.call(1, "leaks", f"key{blob % 10}", b"x" * 2000, ["tag"])
                storage.call(0, "leaks", f"key{blob % 10}")
            for blob in range(min(number, 10)):
                storage.call(2, "leaks", f"key{blob}")

    def test_traffic(self) -> None:
        """The second half of an hour's traffic leaves nothing behind."""
        traffic = HOUR if os.environ.get(LONG) == "1" else SHORT
        with self.node.client("fast") as client:
            client.stream("ping")
        self.fill_threads()
        self.run_all(traffic.part(6))
        marks = [self.mark()]
        for _ in range(2):
            self.run_all(traffic.part(2))
            marks.append(self.mark())
        for mark in marks:
            log.info("{usage}; {reactor}", usage=mark.usage, **mark.census)
        _, middle, end = marks
        self.assertEqual(end.census["tables"], middle.census["tables"])
        self.assertEqual(end.census["reactor"], middle.census["reactor"])
        self.assertEqual(end.usage.descriptors, middle.usage.descriptors)
        self.assertEqual(end.threads, middle.threads)
        self.assertEqual(self.grown(middle, end), {})
        growth = end.usage.resident - middle.usage.resident
        self.assertLess(growth, ALLOWANCE)

    def grown(self, before: Mark, after: Mark) -> dict[str, int]:
        """Find the types of which there are clearly more objects than before."""
        known = before.census["objects"]
        more = {
            name: number - known.get(name, 0)
            for name, number in after.census["objects"].items()
        }
        return {name: number for name, number in more.items() if number > OBJECTS}


test_suite = live_suite(__name__)
