# -*- test-case-name: cocained.test.test_tools_bench_runs -*-
"""
What much of something costs while it does nothing: apps, connections, channels.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cocained.tools.bench import frames, store
from cocained.tools.bench.errors import Skipped
from cocained.tools.bench.measure import KIB, MIB, memory
from cocained.tools.bench.relay import Relay
from cocained.tools.bench.scenarios.base import Figures, Scale
from cocained.tools.bench.subject import Node
from cocained.tools.bench.targets import NODE, PEER, YARDSTICK, Bench, Target

#: Starts that the node works on at one time.
START_WINDOW = 16

#: Open channels are spread over this many connections.
CHANNEL_CONNECTIONS = 10

#: Files that a process of ours needs besides those that are counted.
SPARE_FILES = 200


def require_files(count: int) -> None:
    """
    Make sure that a process may open *count* files and some more.

    :raises Skipped: it may not.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit != resource.RLIM_INFINITY and limit < count + SPARE_FILES:
        raise Skipped(
            f"needs {count + SPARE_FILES} open files and only {limit} are allowed: "
            "raise the limit (ulimit -Hn)"
        )


@contextmanager
def fresh(bench: Bench, target: Target) -> Iterator[Target]:
    """
    Give a target like *target* that has served nothing yet.

    A process that has held much before takes new memory from what it kept, and
    would seem to need none.  A peer cannot be had anew, it is given as it is.
    """
    if target.name == PEER:
        yield target
        return
    made: Relay | Node
    if target.name == NODE:
        made = Node(bench)
    elif target.name == YARDSTICK:
        made = Relay(bench)
    else:
        raise Skipped(f"the {target.name} cannot be started anew")
    try:
        if isinstance(made, Node):
            made.start_echo("process", {})
        yield made
    finally:
        made.close()


class IdleCrowd:
    """
    Apps on a node that run without a worker, more and more of them.

    :param bench: has the program of the apps.
    :param node: where.
    """

    def __init__(self, bench: Bench, node: Node) -> None:
        self.size = 0
        self._node = node
        self._packed = store.archive(bench.worker.read_bytes())
        store.write_profile(node.blobs, "process", {})

    def grow(self, size: int) -> float:
        """
        Upload and start apps until there are so many.

        :returns: the seconds that the starts took.
        """
        names = [f"bench-idle-{number:04}" for number in range(self.size, size)]
        for name in names:
            store.write_app(self._node.blobs, name, self._packed, {})
        began = time.monotonic()
        with self._node.control() as connection:
            connection.call_all(
                ((frames.START_APP, [name, store.PROFILE]) for name in names),
                START_WINDOW,
            )
        self.size = max(self.size, size)
        return time.monotonic() - began


@dataclass(frozen=True, slots=True)
class IdleApps:
    """Apps that are started and have no worker, on a node of their own."""

    name: str = "idle-apps"
    title: str = "idle apps"
    once: bool = True

    def measure(self, bench: Bench, target: Target, scale: Scale) -> Figures:
        if target.name != NODE:
            raise Skipped(f"would leave {scale.idle_apps} apps on the {target.name}")
        # A listening socket for clients and one for workers each.
        require_files(2 * scale.idle_apps)
        node = Node(bench)
        try:
            figures = self._start(bench, node, scale.idle_apps)
        finally:
            took = node.close()
        return {**figures, "stop_s": took}

    def _start(self, bench: Bench, node: Node, count: int) -> Figures:
        crowd = IdleCrowd(bench, node)
        before = memory(node.pid)
        took = crowd.grow(count)
        after = memory(node.pid)
        return {
            "apps": count,
            "start_s": took,
            "start_app_ms": took * 1e3 / count,
            "rss_mib": after.rss / MIB,
            "kib_per_app": (after.rss - before.rss) / KIB / count,
        }


@dataclass(frozen=True, slots=True)
class IdleConnections:
    """Clients that asked the locator once and keep their connection."""

    name: str = "idle-connections"
    title: str = "idle client connections"
    once: bool = True

    def measure(self, bench: Bench, target: Target, scale: Scale) -> Figures:
        target.service("locator")
        require_files(scale.connections)
        with fresh(bench, target) as idle:
            return self._hold(bench, idle, scale.connections)

    def _hold(self, bench: Bench, target: Target, count: int) -> Figures:
        address = target.service("locator")
        before = memory(target.pid)
        with bench.generator.hold(
            "idle", address, connections=count, name="storage"
        ) as held:
            after = memory(target.pid)
            return {
                "connections": held.open,
                "open_s": held.seconds,
                "rss_mib": after.rss / MIB,
                "kib_per_connection": (after.rss - before.rss) / KIB / held.open,
            }


@dataclass(frozen=True, slots=True)
class OpenChannels:
    """Requests to the echo app that got their chunk back and stay open."""

    name: str = "open-channels"
    title: str = "open channels"
    once: bool = True

    def measure(self, bench: Bench, target: Target, scale: Scale) -> Figures:
        target.app()
        with fresh(bench, target) as idle:
            return self._hold(bench, idle, scale.channels // CHANNEL_CONNECTIONS)

    def _hold(self, bench: Bench, target: Target, count: int) -> Figures:
        address = target.app()
        before = memory(target.pid)
        with bench.generator.hold(
            "channels", address, connections=CHANNEL_CONNECTIONS, in_flight=count
        ) as held:
            after = memory(target.pid)
            return {
                "channels": held.open,
                "open_s": held.seconds,
                "bytes_per_channel": (after.rss - before.rss) / held.open,
            }
