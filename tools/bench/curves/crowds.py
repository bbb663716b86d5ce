# -*- test-case-name: cocained.test.live.test_bench_curves -*-
"""
What grows on a node while its cost per request is watched.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

from cocained.tools.bench import frames, store
from cocained.tools.bench.client import Connection
from cocained.tools.bench.errors import BenchError
from cocained.tools.bench.scenarios.crowds import (
    CHANNEL_CONNECTIONS,
    IdleCrowd,
    require_files,
)
from cocained.tools.bench.subject import Node
from cocained.tools.bench.targets import ECHO, Bench

#: The app of which the workers are counted, and its profile.
POOL = "bench-pool"

#: Most workers of that app.
POOL_LIMIT = 1000

#: Seconds until so many workers have come; one takes milliseconds.
WORKERS_TIMEOUT = 60.0

#: Descriptors that the node has for one worker: its socket, its output, its pidfd.
WORKER_FILES = 3

#: Requests that are made at one go: fewer than a slow machine does in a minute.
BATCH = 100_000


class Apps:
    """Apps that run without a worker, the echo app among them."""

    def __init__(self, bench: Bench, node: Node, stack: ExitStack) -> None:
        self._crowd = IdleCrowd(bench, node)

    def grow(self, size: int) -> None:
        require_files(2 * size)
        self._crowd.grow(size - 1)


class Channels:
    """Requests to the echo app that got their chunk back and stay open."""

    def __init__(self, bench: Bench, node: Node, stack: ExitStack) -> None:
        self._generator = bench.generator
        self._address = node.app()
        self._stack = stack
        self._open = 0

    def grow(self, size: int) -> None:
        while (missing := size - self._open) > 0:
            connections = min(missing, CHANNEL_CONNECTIONS)
            held = self._generator.hold(
                "channels",
                self._address,
                connections=connections,
                in_flight=missing // connections,
            )
            self._open += self._stack.enter_context(held).open


class Workers:
    """Workers of the app that is measured, all of them with requests."""

    def __init__(self, bench: Bench, node: Node, stack: ExitStack) -> None:
        store.write_profile(node.blobs, "process", {}, POOL, POOL_LIMIT)
        node.add_app(POOL, bench.worker.read_bytes(), {})
        # The number is the app's own again when this connection ends.
        self._control = stack.enter_context(node.control())
        self._control.call(frames.START_APP, [POOL, POOL])
        self._channel = self._control.open(frames.APP_CONTROL, [POOL])
        self._node = node

    def grow(self, size: int) -> None:
        require_files(WORKER_FILES * size)
        self._control.write(self._channel, frames.WRITE, [size])
        until = time.monotonic() + WORKERS_TIMEOUT
        with self._node.control() as connection:
            while _active(connection) != size:
                if time.monotonic() > until:
                    raise BenchError(f"{size} workers did not come up")
                time.sleep(0.02)


def _active(connection: Connection) -> int:
    """Count the workers that take events, by the app's report."""
    (report,) = connection.call(frames.APP_INFO, [POOL, frames.OVERSEER])
    workers = report[b"pool"][b"slaves"].values()
    return sum(worker[b"state"] == b"active" for worker in workers)


class Past:
    """Requests that the echo app has answered before."""

    def __init__(self, bench: Bench, node: Node, stack: ExitStack) -> None:
        self._generator = bench.generator
        self._address = node.service(ECHO)
        self._made = 0

    def grow(self, size: int) -> None:
        while self._made < size:
            count = min(size - self._made, BATCH)
            self._generator.run("echo", self._address, count=count, in_flight=64)
            self._made += count
