# -*- test-case-name: cocained.test.live.test_bench_curves -*-
"""
The benchmark's curves for real: each crowd on a real node.
"""

from __future__ import annotations

from contextlib import ExitStack

from twisted.trial.unittest import SynchronousTestCase

from cocained.test.live.support import live_suite
from cocained.test.live.test_bench_native import native_bench
from cocained.tools.bench import frames
from cocained.tools.bench.curves.base import Curve
from cocained.tools.bench.curves.catalogue import CURVES
from cocained.tools.bench.curves.crowds import POOL, Workers
from cocained.tools.bench.curves.runner import echo_node, run_curves
from cocained.tools.bench.relay import Relay
from cocained.tools.bench.scenarios.base import Scale
from cocained.tools.bench.targets import ECHO, Bench

test_suite = live_suite(__name__)

#: Small enough for a test, large enough for each crowd to grow twice.
TINY = Scale(
    idle_apps=10,
    curve_channels=1000,
    workers=4,
    past=2000,
    point_rounds=1,
    point_milliseconds=20,
)


class CurveTests(SynchronousTestCase):
    """Every curve of the catalogue."""

    def setUp(self) -> None:
        """Compile the programs."""
        self.bench = native_bench(self)

    def test_all(self) -> None:
        """Each has all its points, of the node and of the yardstick."""
        outcomes = run_curves(
            self.bench, CURVES, TINY, lambda *step: None, make_yardstick=Relay
        )
        self.assertEqual([each.failed + each.skipped for each in outcomes], [""] * 5)
        for curve, outcome in zip(CURVES, outcomes, strict=True):
            sizes = [point.size for point in outcome.points]
            self.assertEqual(sizes, list(curve.sizes(TINY)))
            for point in outcome.points:
                self.assertGreater(point.cost, 0)
                self.assertGreater(point.relative, 0)


class CrowdTests(SynchronousTestCase):
    """Crowds have the size that they are told."""

    def setUp(self) -> None:
        """Start a node."""
        self.bench: Bench = native_bench(self)
        self.node = echo_node(self.bench)
        self.addCleanup(self.node.close)
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)

    def curve(self, name: str) -> Curve:
        """Give a curve of the catalogue."""
        (found,) = [each for each in CURVES if each.name == name]
        return found

    def report(self, app: str) -> dict[bytes, object]:
        """Ask the node for the report of an app."""
        with self.node.control() as connection:
            (report,) = connection.call(frames.APP_INFO, [app, frames.OVERSEER])
        assert isinstance(report, dict)
        return report

    def test_apps(self) -> None:
        """The echo app is one of the apps."""
        crowd = self.curve("curve-apps").make(self.bench, self.node, self.stack)
        for size in (1, 3, 7):
            crowd.grow(size)
            with self.node.control() as connection:
                self.assertEqual(len(connection.call(frames.APP_LIST)[0]), size)

    def test_channels(self) -> None:
        """So many channels are open, whatever the number; none remains."""
        crowd = self.curve("curve-channels").make(self.bench, self.node, self.stack)
        for size in (0, 1, 25, 139):
            crowd.grow(size)
            self.assertEqual(self.report(ECHO)[b"load"], size)
        self.stack.close()
        self.assertEqual(self.report(ECHO)[b"load"], 0)

    def test_workers(self) -> None:
        """So many workers take events, and each of them gets some."""
        crowd = Workers(self.bench, self.node, self.stack)
        crowd.grow(3)
        self.bench.generator.run(
            "echo", self.node.service(POOL), count=3000, in_flight=30
        )
        pool = self.report(POOL)[b"pool"]
        assert isinstance(pool, dict)
        accepted = [worker[b"accepted"] for worker in pool[b"slaves"].values()]
        self.assertEqual((len(accepted), sum(accepted)), (3, 3000))
        self.assertTrue(all(accepted))

    def test_past(self) -> None:
        """So many requests have been answered."""
        crowd = self.curve("curve-past").make(self.bench, self.node, self.stack)
        before = self.report(ECHO)[b"requests"]
        crowd.grow(1234)
        after = self.report(ECHO)[b"requests"]
        assert isinstance(before, dict) and isinstance(after, dict)
        self.assertEqual(after[b"accepted"] - before[b"accepted"], 1234)
