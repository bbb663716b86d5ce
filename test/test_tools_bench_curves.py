# -*- test-case-name: cocained.test.test_tools_bench_curves -*-
"""
The benchmark's curves: their points, their growth, their rounds.
"""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from cocained.tools.bench.client import Address
from cocained.tools.bench.curves.base import Curve, CurveOutcome, Point, steps
from cocained.tools.bench.curves.catalogue import CURVES
from cocained.tools.bench.curves.runner import run_curves
from cocained.tools.bench.curves.table import curve_record, curve_table, sparkline
from cocained.tools.bench.errors import BenchError, Skipped
from cocained.tools.bench.generator import Generator, Load
from cocained.tools.bench.scenarios.base import SHORT, Scale
from cocained.tools.bench.subject import Node
from cocained.tools.bench.targets import NODE, YARDSTICK, Bench, Target

ADDRESS = ("127.0.0.1", 1)


def curve_of(*points: Point) -> CurveOutcome:
    """Make what became of a curve."""
    return CurveOutcome("curve-x", "the [x]", "things", list(points))


class StepsTests(SynchronousTestCase):
    """Sizes."""

    def test_steps(self) -> None:
        """They grow by the factor to the last."""
        self.assertEqual(steps(1000, 10, 4), [1, 10, 100, 1000])
        self.assertEqual(steps(64, 4, 3), [4, 16, 64])

    def test_small(self) -> None:
        """There are less of them where the last is small, and each once."""
        self.assertEqual(steps(5, 10, 4), [1, 5])
        self.assertEqual(steps(1, 10, 4), [1])

    def test_catalogue(self) -> None:
        """At each scale each curve has at least three sizes, ascending."""
        for curve in CURVES:
            for scale in (Scale(), SHORT):
                sizes = list(curve.sizes(scale))
                self.assertEqual(sizes, sorted(set(sizes)), curve.name)
                self.assertGreaterEqual(len(sizes), 3, curve.name)

    def test_full_scale(self) -> None:
        """In full the curves go as far as the bars ask."""
        ends = {curve.name: curve.sizes(Scale())[-1] for curve in CURVES}
        self.assertEqual(
            ends,
            {
                "curve-apps": 1000,
                "curve-apps-resolve": 1000,
                "curve-channels": 100_000,
                "curve-workers": 64,
                "curve-past": 1_000_000,
            },
        )


class GrowthTests(SynchronousTestCase):
    """What is read off the points."""

    def test_medians(self) -> None:
        """A point has the median of its rounds, one bad round does nothing."""
        point = Point(1, [10.0, 11.0, 90.0], [5.0, 5.5, 5.0])
        self.assertEqual((point.cost, point.relative), (11.0, 2.0))

    def test_growth(self) -> None:
        """The largest is divided by the smallest, wherever they are."""
        curve = curve_of(Point(1, [12.0]), Point(10, [10.0]), Point(100, [15.0]))
        self.assertEqual(curve.growth, 1.5)

    def test_relative_growth(self) -> None:
        """What the yardstick does as well at the same time is no growth."""
        curve = curve_of(Point(1, [10.0], [5.0]), Point(10, [20.0], [10.0]))
        self.assertEqual(curve.growth, 1.0)

    def test_yardstick_missing_somewhere(self) -> None:
        """Ratios are not compared with microseconds."""
        curve = curve_of(Point(1, [10.0], [5.0]), Point(10, [20.0]))
        self.assertEqual(curve.growth, 2.0)

    def test_certain_growth(self) -> None:
        """The spread of the rounds is taken off, and may take all."""
        narrow = curve_of(Point(1, [10.0] * 4), Point(2, [20.0] * 4))
        wide = curve_of(Point(1, [9.0, 10.0, 30.0, 31.0]), Point(2, [8.0, 8.0, 40.0]))
        self.assertEqual(narrow.certain_growth, 2.0)
        self.assertLess(wide.certain_growth, 1.0)

    def test_too_few(self) -> None:
        """One size says nothing of growth."""
        for curve in (curve_of(), curve_of(Point(1, [1.0]))):
            self.assertTrue(math.isnan(curve.growth))
            self.assertTrue(math.isnan(curve.certain_growth))


class TableTests(SynchronousTestCase):
    """Curves for people and programs."""

    def shown(self, curve: CurveOutcome) -> str:
        """Print a table to a text."""
        text = io.StringIO()
        Console(file=text, width=120).print(curve_table(curve))
        return text.getvalue()

    def test_sparkline(self) -> None:
        """It begins at zero, so that half as much is half as high."""
        self.assertEqual(sparkline([4.0, 8.0, 0.0]), "▄█ ")
        self.assertEqual(sparkline([0.0, 0.0]), "  ")
        self.assertEqual(sparkline([]), "")

    def test_table(self) -> None:
        """Each size has a line with its median, range and ratio, and a bar."""
        text = self.shown(
            curve_of(
                Point(1, [10.0, 12.0, 11.0], [10.0, 10.0, 10.0]),
                Point(1000, [22.0], [10.0]),
            )
        )
        (small,) = [line for line in text.splitlines() if "10.00..12.00" in line]
        (large,) = [line for line in text.splitlines() if "1,000" in line]
        self.assertIn("11.00", small)
        self.assertIn("1.10", small)
        self.assertEqual((small.count("█"), large.count("█")), (15, 30))
        self.assertIn("the [x]  ▄█", text)
        self.assertIn("largest to smallest: 2.00 x", text)

    def test_without_yardstick(self) -> None:
        """What was not measured is a dash."""
        text = self.shown(curve_of(Point(1, [10.0])))
        self.assertIn(" - ", text)
        self.assertIn("largest to smallest: -", text)

    def test_record(self) -> None:
        """The record has all rounds of all points, and no NaN."""
        made = curve_record(curve_of(Point(1, [10.0, 11.0], [5.0, 6.0])))
        read = json.loads(json.dumps(made, allow_nan=False))
        self.assertEqual(
            read["points"], [{"size": 1, "node": [10.0, 11.0], "yardstick": [5.0, 6.0]}]
        )
        self.assertIsNone(read["growth"])


class FakeGenerator:
    """Notes what it is asked, and measures nothing."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, Address, dict[str, Any]]] = []

    def run(self, mode: str, address: Address, **options: int | str) -> Load:
        self.runs.append((mode, address, options))
        values = dict.fromkeys(Load.__struct_fields__, 1.0)
        return Load(**cast(Any, {**values, "sent": 0, "received": 0}))


class FakeTarget:
    """A target whose process is this one."""

    def __init__(self, name: str, address: Address) -> None:
        self.name = name
        self.address = address
        self.closed = 0

    @property
    def pid(self) -> int:
        return os.getpid()

    def app(self) -> Address:
        return self.address

    def service(self, name: str) -> Address:
        return self.address

    def close(self) -> float:
        self.closed += 1
        return 0.0


class FakeCrowd:
    """Grows, up to a size at which it raises."""

    def __init__(self, grown: list[int], error: Exception | None) -> None:
        self.grown = grown
        self.error = error

    def grow(self, size: int) -> None:
        self.grown.append(size)
        if size == 10 and self.error is not None:
            raise self.error


class RunTests(SynchronousTestCase):
    """Measuring."""

    def setUp(self) -> None:
        """Make a generator and targets that measure nothing."""
        self.generator = FakeGenerator()
        self.node = FakeTarget(NODE, ("127.0.0.1", 2))
        self.yardstick = FakeTarget(YARDSTICK, ("127.0.0.1", 3))
        self.grown: list[int] = []

    def curve(self, error: Exception | None = None, mode: str = "echo") -> Curve:
        """Make a curve of two sizes."""

        def make(bench: Bench, node: Node, stack: ExitStack) -> FakeCrowd:
            return FakeCrowd(self.grown, error)

        return Curve("c", "C", "things", make, lambda scale: [1, 10], mode=mode)

    def run_all(
        self,
        *curves: Curve,
        yardstick: bool = True,
        progress: Callable[[str, str, int], None] = lambda *step: None,
    ) -> list[CurveOutcome]:
        """Run with two rounds."""
        bench = Bench(Path("d"), Path("w"), cast(Generator, self.generator))
        made = cast(Target, self.yardstick)
        return run_curves(
            bench,
            curves,
            Scale(point_rounds=2),
            progress,
            lambda bench: cast(Node, self.node),
            (lambda bench: made) if yardstick else None,
        )

    def test_rounds_alternate(self) -> None:
        """At each size the yardstick and the node take turns."""
        (outcome,) = self.run_all(self.curve())
        self.assertEqual(self.grown, [1, 10])
        ports = [address[1] for _, address, _ in self.generator.runs]
        # Each load is run a first time to warm up.
        self.assertEqual(ports, [3, 3, 2, 2] * 4)
        self.assertEqual([len(point.node) for point in outcome.points], [2, 2])
        self.assertEqual([len(point.yardstick) for point in outcome.points], [2, 2])

    def test_without_yardstick(self) -> None:
        """Without it there are only figures of the node."""
        (outcome,) = self.run_all(self.curve(), yardstick=False)
        self.assertEqual([len(point.yardstick) for point in outcome.points], [0, 0])
        self.assertEqual(self.yardstick.closed, 0)

    def test_all_is_ended(self) -> None:
        """Each curve has a node of its own; the yardstick serves them all."""
        self.run_all(self.curve(), self.curve())
        self.assertEqual((self.node.closed, self.yardstick.closed), (2, 1))

    def test_nothing_to_do(self) -> None:
        """Without curves nothing is started."""
        self.assertEqual(self.run_all(), [])
        self.assertEqual(self.yardstick.closed, 0)

    def outcomes(self, error: Exception) -> Sequence[CurveOutcome]:
        """Run a curve that cannot grow to its second size, and another."""
        return self.run_all(self.curve(error), self.curve())

    def test_failed(self) -> None:
        """A curve that fails keeps its points, and the others go on."""
        failed, fine = self.outcomes(BenchError("bad"))
        self.assertEqual((failed.failed, len(failed.points)), ("bad", 1))
        self.assertEqual(failed.place, "c after 1")
        self.assertEqual((fine.failed, len(fine.points)), ("", 2))
        self.assertEqual(self.node.closed, 2)

    def test_skipped(self) -> None:
        """A size that the machine does not allow is no failure."""
        skipped, _ = self.outcomes(Skipped("no files"))
        self.assertEqual((skipped.skipped, skipped.failed), ("no files", ""))

    def test_bugs_are_not_hidden(self) -> None:
        """Any other exception ends the run, and the processes."""
        self.assertRaises(ZeroDivisionError, self.outcomes, ZeroDivisionError())
        self.assertEqual((self.node.closed, self.yardstick.closed), (1, 1))

    def test_resolve(self) -> None:
        """The yardstick, which resolves nothing, echoes beside ``resolve``."""
        self.run_all(self.curve(mode="resolve"))
        modes = [mode for mode, _, _ in self.generator.runs[:4]]
        self.assertEqual(modes, ["echo", "echo", "resolve", "resolve"])

    def test_one_processor(self) -> None:
        """Everything is on one processor, and on all of them again afterwards."""
        before = os.sched_getaffinity(0)
        during: list[set[int]] = []
        self.run_all(
            self.curve(), progress=lambda *step: during.append(os.sched_getaffinity(0))
        )
        self.assertEqual({len(each) for each in during}, {1})
        self.assertEqual(os.sched_getaffinity(0), before)

    def test_progress(self) -> None:
        """Each round is told with the size that it is run at."""
        told: list[tuple[str, str, int]] = []
        self.run_all(self.curve(), progress=lambda *step: told.append(step))
        self.assertEqual(
            told,
            [
                ("C", "1 things", 1),
                ("C", "1 things", 2),
                ("C", "10 things", 1),
                ("C", "10 things", 2),
            ],
        )
