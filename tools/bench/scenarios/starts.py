# -*- test-case-name: cocained.test.test_tools_bench_runs -*-
"""
How long it takes until something answers: a node, an app without a worker.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cocained.tools.bench import frames, store
from cocained.tools.bench.client import Connection
from cocained.tools.bench.errors import BenchError, Skipped
from cocained.tools.bench.measure import MIB, cpu_seconds, memory
from cocained.tools.bench.scenarios.base import Figures, Scale
from cocained.tools.bench.subject import Node, Subject
from cocained.tools.bench.targets import NODE, Bench, Target

#: The framework as it lies in a checkout.
FRAMEWORK = Path(__file__).resolve().parents[3] / "frameworks" / "python"

#: Of a native worker: until its main(), its handshake, its event, our answer.
NATIVE_PHASES = ("spawn_ms", "handshake_ms", "invoke_ms", "reply_ms")

#: Of a Python worker: until its first line, the end of its imports, its event,
#: our answer.  An interpreter starts within the first of them.
FRAMEWORK_PHASES = ("spawn_ms", "import_ms", "handshake_ms", "reply_ms")


@dataclass(frozen=True, slots=True)
class NodeStart:
    """A fresh node, from the start of its process to its first answer."""

    name: str = "node-start"
    title: str = "node start to ready"
    once: bool = False

    def measure(self, bench: Bench, target: Target, scale: Scale) -> Figures:
        if target.name != NODE:
            raise Skipped(f"the {target.name} is not started as a node is")
        node = Node(bench)
        try:
            figures = {
                "ready_ms": node.started * 1e3,
                "cpu_ms": cpu_seconds(node.pid) * 1e3,
                "rss_mib": memory(node.pid).rss / MIB,
            }
        finally:
            took = node.close()
        return {**figures, "stop_ms": took * 1e3}


@dataclass(frozen=True, slots=True)
class ColdStart:
    """
    Enqueue on an app without a worker, to its first answer.

    The worker tells when it began, when it had sent its handshake and when the
    invoke reached it; its clock and ours are the same CLOCK_MONOTONIC.
    ``spool_ms``, the answer to ``start_app``, is spent before and not in the sum.
    """

    name: str = "cold-start"
    title: str = "cold start, native worker"
    once: bool = False
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def measure(self, bench: Bench, target: Target, scale: Scale) -> Figures:
        subject = require_subject(target)
        app = f"bench-cold-{next(self._numbers)}"
        subject.add_app(app, bench.worker.read_bytes(), {})
        with started(subject, app) as run:
            began, answer, ended = run.first_answer("times")
        split = phases(began, answer, ended, NATIVE_PHASES)
        return {**split, "spool_ms": run.took * 1e3}


@dataclass(frozen=True, slots=True)
class FrameworkStart:
    """
    The same with an app on the Python framework.

    :ivar coroutine: whether the handler is an ``async def``.
    :ivar framework: directory from which ``cocaine`` can be imported.
    """

    name: str
    title: str
    coroutine: bool
    once: bool = False
    framework: Path = FRAMEWORK
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def measure(self, bench: Bench, target: Target, scale: Scale) -> Figures:
        subject = require_subject(target)
        if not (self.framework / "cocaine").is_dir():
            raise Skipped(f"there is no Python framework in {self.framework}")
        self._start(subject)  # compiles what an installation has compiled
        return self._start(subject)

    def _start(self, subject: Subject) -> Figures:
        app = f"bench-{self.name}-{next(self._numbers)}"
        environment = {"PYTHONPATH": str(self.framework)}
        subject.add_app(app, store.framework_app(self.coroutine), environment)
        with started(subject, app) as run:
            began, answer, ended = run.first_answer("times")
        split = phases(began, answer, ended, FRAMEWORK_PHASES)
        return {**split, "spool_ms": run.took * 1e3}


def require_subject(target: Target) -> Subject:
    """
    Give *target* as one that starts apps.

    :raises Skipped: it does not.
    """
    if not isinstance(target, Subject):
        raise Skipped(f"the {target.name} starts no apps")
    return target


class started:  # noqa: N801 - reads as a verb: ``with started(node, app)``
    """
    Start an app without a worker in a block, and stop it after it.

    :param subject: where.
    :param app: uploaded already.
    :param profile: name of one that is there.
    :ivar took: seconds until ``start_app`` was answered, once inside.
    """

    def __init__(
        self, subject: Subject, app: str, profile: str = store.PROFILE
    ) -> None:
        self.subject = subject
        self.app = app
        self.profile = profile
        self.took = 0.0

    def __enter__(self) -> started:
        began = time.monotonic()
        with self.subject.control() as connection:
            connection.call(frames.START_APP, [self.app, self.profile])
        self.took = time.monotonic() - began
        return self

    def __exit__(self, *raised: object) -> None:
        with self.subject.control() as connection:
            connection.call(frames.PAUSE_APP, [self.app])

    def first_answer(self, event: str) -> tuple[int, list[bytes], int]:
        """Run an event; give the chunks, and before them and after the time in ns."""
        with Connection(self.subject.service(self.app)) as connection:
            began = time.monotonic_ns()
            answer = connection.stream(event)
            return began, answer, time.monotonic_ns()


def phases(
    began: int, answer: list[bytes], ended: int, names: Sequence[str]
) -> Mapping[str, float]:
    """
    Split a cold start.

    :param began: when the client sent its enqueue, in nanoseconds.
    :param answer: what the worker's ``times`` event says.
    :param ended: when its close had arrived.
    :param names: of the phases, four of them.
    :returns: milliseconds, by what they were spent on.
    :raises BenchError: the answer is none, or its order cannot be.
    """
    try:
        first, second, third = (int(part) for part in answer[0].split())
    except (LookupError, ValueError) as error:
        raise BenchError(f"the worker told no times: {answer!r}") from error
    marks = [began, first, second, third, ended]
    if marks != sorted(marks):
        raise BenchError(f"the times of a cold start are out of order: {marks}")
    split = {
        name: (later - earlier) / 1e6
        for name, (earlier, later) in zip(names, itertools.pairwise(marks), strict=True)
    }
    return {"total_ms": (ended - began) / 1e6, **split}
