# -*- test-case-name: cocained.test.test_tools_bench_runs -*-
"""
Requests and streams against an app, and requests to the core services.
"""

from __future__ import annotations

from dataclasses import dataclass

from cocained.tools.bench import frames
from cocained.tools.bench.client import Connection
from cocained.tools.bench.scenarios.base import Figures, Scale, loaded
from cocained.tools.bench.targets import Bench, Target

#: What is written and read: one KiB.
BLOB = 1024
COLLECTION, KEY = "bench", "blob"

#: Of a stream; what a framework would read from a file at a time.
CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Echo:
    """
    Enqueue, one chunk and a close; the chunk and the close come back.

    :ivar connections: how many.
    :ivar in_flight: requests on each of them.
    :ivar payload: bytes of the chunk.
    """

    name: str
    title: str
    connections: int
    in_flight: int
    payload: int
    once: bool = False

    def measure(self, bench: Bench, target: Target, scale: Scale) -> Figures:
        return loaded(
            bench,
            target,
            "echo",
            target.app(),
            scale.milliseconds,
            connections=self.connections,
            in_flight=self.in_flight,
            payload=self.payload,
        )


@dataclass(frozen=True, slots=True)
class Streaming:
    """
    One stream after the other, in one direction.

    :ivar mode: of the generator.
    """

    name: str
    title: str
    mode: str
    once: bool = False

    def measure(self, bench: Bench, target: Target, scale: Scale) -> Figures:
        figures = loaded(
            bench,
            target,
            self.mode,
            target.app(),
            scale.milliseconds,
            payload=CHUNK,
            stream=scale.stream,
        )
        # Per stream they say nothing; what counts is the throughput.
        return {name: figures[name] for name in ("mb_s", "cpu_ms_per_mb")}


@dataclass(frozen=True, slots=True)
class Resolving:
    """``resolve`` of the storage service."""

    name: str
    title: str
    in_flight: int
    once: bool = False

    def measure(self, bench: Bench, target: Target, scale: Scale) -> Figures:
        address = target.service("locator")
        return loaded(
            bench,
            target,
            "resolve",
            address,
            scale.milliseconds,
            in_flight=self.in_flight,
            name="storage",
        )


@dataclass(frozen=True, slots=True)
class Storing:
    """
    Reads of one blob, or writes of one blob per slot.

    :ivar mode: of the generator.
    """

    name: str
    title: str
    mode: str
    in_flight: int
    once: bool = False

    def measure(self, bench: Bench, target: Target, scale: Scale) -> Figures:
        address = target.service("storage")
        with Connection(address) as connection:
            connection.call(
                frames.STORAGE_WRITE, [COLLECTION, KEY, frames.pattern(BLOB)]
            )
        return loaded(
            bench,
            target,
            self.mode,
            address,
            scale.milliseconds,
            in_flight=self.in_flight,
            payload=BLOB,
            collection=COLLECTION,
            key=KEY,
        )
