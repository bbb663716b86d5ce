# -*- test-case-name: cocained.test.test_tools_bench_runs -*-
"""
What a scenario is, and the figures that every load yields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cocained.tools.bench.client import Address
from cocained.tools.bench.generator import Load
from cocained.tools.bench.measure import cpu_seconds
from cocained.tools.bench.targets import Bench, Target

#: Name of a figure, with its unit, to its value.
Figures = dict[str, float]

#: Part of a window that is run before it and not counted.
WARM_UP = 0.2


@dataclass(frozen=True, slots=True)
class Scale:
    """
    How long and how much.

    :ivar rounds: of each scenario.
    :ivar milliseconds: of load in one round.
    :ivar idle_apps: started at once.
    :ivar connections: held at once.
    :ivar channels: held at once, over ten connections.
    :ivar stream: bytes of one stream.
    :ivar point_rounds: of each point of a curve.
    :ivar point_milliseconds: of load in one such round; short, so that a pair
        of rounds sees the machine in one mood.
    :ivar curve_channels: up to which the curve of channels goes.
    :ivar workers: the same of workers.
    :ivar past: the same of past requests.
    """

    rounds: int = 5
    milliseconds: int = 2000
    idle_apps: int = 1000
    connections: int = 10_000
    channels: int = 10_000
    stream: int = 32 * 1024 * 1024
    point_rounds: int = 11
    point_milliseconds: int = 150
    curve_channels: int = 100_000
    workers: int = 64
    past: int = 1_000_000


#: For a look, or to see that everything works.
SHORT = Scale(
    rounds=3,
    milliseconds=300,
    idle_apps=100,
    connections=1000,
    channels=2000,
    stream=8 * 1024 * 1024,
    point_rounds=5,
    point_milliseconds=80,
    curve_channels=10_000,
    workers=16,
    past=50_000,
)


class Scenario(Protocol):
    """One thing that is measured."""

    @property
    def name(self) -> str:
        """As ``--only`` takes it."""

    @property
    def title(self) -> str:
        """For the table."""

    @property
    def once(self) -> bool:
        """Whether one round is enough: it moves much and varies little."""

    def measure(self, bench: Bench, target: Target, scale: Scale) -> Figures:
        """
        Run one round.

        :raises Skipped: it cannot be run on this target, or here.
        :raises BenchError: it went wrong.
        """


def loaded(
    bench: Bench,
    target: Target,
    mode: str,
    address: Address,
    milliseconds: int,
    **options: int | str,
) -> Figures:
    """
    Warm up, put a load on a target and say what it cost the target.

    :param mode: of the generator.
    :param address: where to.
    :param milliseconds: how long.
    :returns: requests and requests per second, latencies in microseconds, and
        per request the CPU of the target and of the generator.
    """
    run = bench.generator.run
    run(mode, address, milliseconds=max(int(milliseconds * WARM_UP), 1), **options)
    before = cpu_seconds(target.pid)
    load = run(mode, address, milliseconds=milliseconds, **options)
    return figures_of(load, cpu_seconds(target.pid) - before)


def figures_of(load: Load, cpu: float) -> Figures:
    """
    Give the figures of one load.

    :param load: what the generator measured.
    :param cpu: seconds that the target used meanwhile.
    """
    figures = {
        "rate": load.requests / load.seconds,
        "cpu_us": cpu * 1e6 / load.requests,
        "p50_us": load.p50_us,
        "p99_us": load.p99_us,
        "load_cpu_us": load.cpu_seconds * 1e6 / load.requests,
    }
    moved = (load.sent + load.received) / 1e6
    if moved:
        figures["mb_s"] = moved / load.seconds
        figures["cpu_ms_per_mb"] = cpu * 1e3 / moved
    return figures
