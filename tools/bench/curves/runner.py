# -*- test-case-name: cocained.test.test_tools_bench_curves -*-
"""
Measures curves, each on a node of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

from cocained.errors import RemoteError
from cocained.tools.bench.curves.base import Curve, CurveOutcome, Point
from cocained.tools.bench.errors import BenchError, Skipped
from cocained.tools.bench.process import on_one_processor
from cocained.tools.bench.scenarios.base import Scale, loaded
from cocained.tools.bench.subject import Node
from cocained.tools.bench.targets import Bench, Target

#: Told before each round of a curve: title, size and unit, round from 1.
Progress = Callable[[str, str, int], None]

#: Makes the node of a curve, with the echo app on it.
MakeNode = Callable[[Bench], Node]


def echo_node(bench: Bench) -> Node:
    """
    Start a node that serves the echo app.

    :raises BenchError: it did not start.
    """
    node = Node(bench)
    try:
        node.start_echo("process", {})
    except BaseException:
        node.close()
        raise
    return node


def run_curves(
    bench: Bench,
    curves: Sequence[Curve],
    scale: Scale,
    progress: Progress,
    make_node: MakeNode = echo_node,
    make_yardstick: Callable[[Bench], Target] | None = None,
) -> list[CurveOutcome]:
    """
    Measure everything, on one processor.

    Who of client, node and worker runs at the same time decides how much is
    waiting when it is read, and so what a request costs; with all of them on
    one processor it is the same in each round.

    :param bench: programs and a directory.
    :param curves: what to measure.
    :param scale: how far and how often.
    :param progress: told before each round.
    :param make_node: makes the node of each curve.
    :param make_yardstick: makes the yardstick, ``None`` does without.
    """
    if not curves:
        return []
    with on_one_processor(), ExitStack() as stack:
        yardstick = None
        if make_yardstick is not None:
            yardstick = make_yardstick(bench)
            stack.callback(yardstick.close)
        outcomes = []
        for curve in curves:
            outcome = CurveOutcome(curve.name, curve.title, curve.unit)
            outcomes.append(outcome)
            try:
                points = _points(bench, curve, scale, progress, make_node, yardstick)
                for point in points:
                    outcome.points.append(point)  # kept, whatever comes next
            except Skipped as skipped:
                outcome.skipped = str(skipped)
            except (BenchError, RemoteError) as error:
                outcome.failed = str(error)
        return outcomes


def _points(
    bench: Bench,
    curve: Curve,
    scale: Scale,
    progress: Progress,
    make_node: MakeNode,
    yardstick: Target | None,
) -> Iterator[Point]:
    """Measure one curve, point after point."""
    with ExitStack() as undo:
        node = make_node(bench)
        undo.callback(node.close)
        crowd = curve.make(bench, node, undo)
        for size in curve.sizes(scale):
            crowd.grow(size)
            point = Point(size)
            for number in range(1, scale.point_rounds + 1):
                progress(curve.title, f"{size:,} {curve.unit}", number)
                _measure(bench, curve, node, yardstick, scale, point)
            yield point


def _measure(
    bench: Bench,
    curve: Curve,
    node: Node,
    yardstick: Target | None,
    scale: Scale,
    point: Point,
) -> None:
    """Add one round to a point."""
    lasts = scale.point_milliseconds
    if yardstick is not None:
        figures = loaded(bench, yardstick, "echo", yardstick.app(), lasts, in_flight=64)
        point.yardstick.append(figures["cpu_us"])
    address = node.service(curve.service)
    options = {"name": "storage"} if curve.mode == "resolve" else {}
    figures = loaded(
        bench,
        node,
        curve.mode,
        address,
        lasts,
        in_flight=curve.in_flight(point.size),
        **options,
    )
    point.node.append(figures["cpu_us"])
