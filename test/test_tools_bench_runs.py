# -*- test-case-name: cocained.test.test_tools_bench_runs -*-
"""
The benchmark's rounds, its scenarios and what becomes of them.
"""

from __future__ import annotations

import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import RemoteError
from cocained.tools.bench import runner
from cocained.tools.bench.curves.catalogue import CURVES
from cocained.tools.bench.errors import BenchError, Skipped
from cocained.tools.bench.generator import Generator, Load
from cocained.tools.bench.runner import Outcome, Results
from cocained.tools.bench.scenarios import catalogue, crowds, starts
from cocained.tools.bench.scenarios.base import SHORT, Figures, Scale, figures_of
from cocained.tools.bench.subject import Subject
from cocained.tools.bench.targets import NODE, YARDSTICK, Bench, Target

BENCH = Bench(Path("nowhere"), Path("worker"), Generator(Path("load"), Path("nowhere")))


class FakeTarget:
    """A target that serves nothing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.closed = 0

    @property
    def pid(self) -> int:
        raise Skipped("has no process")

    def app(self) -> tuple[str, int]:
        raise Skipped("has no app")

    def service(self, name: str) -> tuple[str, int]:
        raise Skipped("has no services")

    def add_app(
        self, name: str, program: bytes, environment: Mapping[str, str]
    ) -> None:
        raise Skipped("takes no apps")

    def close(self) -> float:
        self.closed += 1
        return 0.0


@dataclass
class FakeScenario:
    """A scenario that gives what it was made with, or raises it."""

    name: str
    answers: list[Figures | Exception]
    calls: list[str]
    title: str = "a title"
    once: bool = False
    served: int = field(default=0)

    def measure(self, bench: Bench, target: Target, scale: Scale) -> Figures:
        self.calls.append(f"{self.name} {target.name}")
        answer = self.answers[self.served % len(self.answers)]
        self.served += 1
        if isinstance(answer, Exception):
            raise answer
        return answer


def outcome(
    scenario: str, target: str, rounds: Sequence[Figures], **rest: Any
) -> Outcome:
    """Make an outcome."""
    return Outcome(scenario, scenario.upper(), target, list(rounds), **rest)


class RunTests(SynchronousTestCase):
    """Rounds."""

    def run_all(
        self, scenarios: Sequence[FakeScenario], rounds: int = 2
    ) -> tuple[Results, list[tuple[str, str, int]]]:
        """Run on two targets."""
        told: list[tuple[str, str, int]] = []
        results = runner.run(
            BENCH,
            [FakeTarget(YARDSTICK), FakeTarget(NODE)],
            scenarios,
            Scale(rounds=rounds),
            lambda *step: told.append(step),
        )
        return results, told

    def test_targets_alternate(self) -> None:
        """Within each round one target follows the other."""
        calls: list[str] = []
        self.run_all([FakeScenario("a", [{"x": 1.0}], calls)])
        self.assertEqual(calls, ["a yardstick", "a node"] * 2)

    def test_once(self) -> None:
        """A scenario of one round is run once on each target."""
        calls: list[str] = []
        self.run_all([FakeScenario("a", [{"x": 1.0}], calls, once=True)])
        self.assertEqual(calls, ["a yardstick", "a node"])

    def test_rounds_are_kept_apart(self) -> None:
        """Each target has its own rounds, in their order."""
        answers: list[Figures | Exception] = [{"x": float(n)} for n in range(4)]
        results, _ = self.run_all([FakeScenario("a", answers, [])])
        yardstick, node = results.outcomes
        self.assertEqual(yardstick.rounds, [{"x": 0.0}, {"x": 2.0}])
        self.assertEqual(node.rounds, [{"x": 1.0}, {"x": 3.0}])
        self.assertEqual(node.figures, {"x": 2.0})

    def test_skipped(self) -> None:
        """What cannot be run is asked once, and is no failure."""
        calls: list[str] = []
        results, _ = self.run_all([FakeScenario("a", [Skipped("no")], calls)], 5)
        self.assertEqual(calls, ["a yardstick", "a node"])
        self.assertEqual([each.skipped for each in results.outcomes], ["no", "no"])
        self.assertEqual(results.failures, [])

    def test_failed(self) -> None:
        """What fails is not tried again there, and the others go on."""
        calls: list[str] = []
        fine: Figures = {"x": 1.0}
        answers: list[Figures | Exception] = [fine, BenchError("bad"), fine, fine]
        results, _ = self.run_all(
            [FakeScenario("a", answers, calls), FakeScenario("b", [fine], calls)],
            rounds=3,
        )
        on_a = ["a yardstick", "a node", "a yardstick", "a yardstick"]
        self.assertEqual(calls, on_a + ["b yardstick", "b node"] * 3)
        self.assertEqual([each.place for each in results.failures], ["a on the node"])

    def test_refused_by_the_target(self) -> None:
        """An error that a target answers is a failure of that scenario."""
        answer = RemoteError(21247, 1, "queue is full")
        results, _ = self.run_all([FakeScenario("a", [answer], [])])
        self.assertEqual(results.failures[0].failed, "[21247, 1] queue is full")

    def test_bugs_are_not_hidden(self) -> None:
        """Any other exception ends the run."""
        self.assertRaises(
            ZeroDivisionError,
            self.run_all,
            [FakeScenario("a", [ZeroDivisionError()], [])],
        )

    def test_progress(self) -> None:
        """Each round on each target is told before it runs, run or not."""
        _, told = self.run_all([FakeScenario("a", [Skipped("no")], [])])
        self.assertEqual(
            told,
            [
                ("a title", YARDSTICK, 1),
                ("a title", NODE, 1),
                ("a title", YARDSTICK, 2),
                ("a title", NODE, 2),
            ],
        )

    def test_find(self) -> None:
        """Only outcomes with figures and without a failure are found."""
        good = outcome("a", NODE, [{"x": 1.0}])
        results = Results(
            [good, outcome("b", NODE, []), outcome("c", NODE, [{}], failed="bad")]
        )
        self.assertIs(results.find("a", NODE), good)
        for name in ("b", "c", "d"):
            self.assertIsNone(results.find(name, NODE))
        self.assertIsNone(results.find("a", YARDSTICK))


class FiguresTests(SynchronousTestCase):
    """From loads to figures."""

    def load(self, **changed: int) -> Load:
        """Make what a generator measured."""
        values: dict[str, Any] = {
            "mode": "echo",
            "connections": 1,
            "in_flight": 1,
            "payload": 16,
            "requests": 1000,
            "errors": 0,
            "seconds": 0.5,
            "sent": 1_000_000,
            "received": 1_000_000,
            "cpu_seconds": 0.001,
            "p50_us": 5.0,
            "p90_us": 6.0,
            "p99_us": 7.0,
            "max_us": 8.0,
            "mean_us": 5.5,
            "first_error": "",
        }
        return Load(**{**values, **changed})

    def test_per_request(self) -> None:
        """CPU is told per request and per megabyte, of both sides."""
        self.assertEqual(
            figures_of(self.load(), 0.02),
            {
                "rate": 2000.0,
                "cpu_us": 20.0,
                "p50_us": 5.0,
                "p99_us": 7.0,
                "load_cpu_us": 1.0,
                "mb_s": 4.0,
                "cpu_ms_per_mb": 10.0,
            },
        )

    def test_without_payload(self) -> None:
        """Requests that carry nothing have no throughput."""
        self.assertNotIn("mb_s", figures_of(self.load(sent=0, received=0), 0.02))

    def test_phases(self) -> None:
        """A cold start is split at what the worker tells."""
        split = starts.phases(
            0, [b"3000000 4000000 9000000"], 10_000_000, starts.NATIVE_PHASES
        )
        self.assertEqual(
            split,
            {
                "total_ms": 10.0,
                "spawn_ms": 3.0,
                "handshake_ms": 1.0,
                "invoke_ms": 5.0,
                "reply_ms": 1.0,
            },
        )

    def test_no_phases(self) -> None:
        """An answer that is none, or goes back in time, is refused."""
        for answer in ([], [b"pong"], [b"1 2"], [b"5 4 6"], [b"1 2 30"]):
            self.assertRaises(
                BenchError, starts.phases, 0, answer, 10, starts.FRAMEWORK_PHASES
            )

    def test_file_limit(self) -> None:
        """A crowd that the system does not allow is left out with a remedy."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        error = self.assertRaises(Skipped, crowds.require_files, limit)
        self.assertIn("raise the limit", str(error))
        crowds.require_files(1)

    def test_not_on_every_target(self) -> None:
        """What a target cannot do is skipped by every scenario."""
        for scenario in catalogue.SCENARIOS:
            self.assertRaises(
                Skipped, scenario.measure, BENCH, FakeTarget(YARDSTICK), SHORT
            )


class ControlledSubject:
    """A node that is told what to do, and does nothing."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, list[str]]] = []

    def control(self) -> ControlledSubject:
        return self

    def __enter__(self) -> ControlledSubject:
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def call(self, message: int, arguments: list[str]) -> None:
        self.calls.append((message, arguments))


class StartedTests(SynchronousTestCase):
    """Apps that run for the time of a block."""

    def run_app(self, *arguments: str) -> list[tuple[int, list[str]]]:
        """Start an app in a block; give what the node was told."""
        subject = ControlledSubject()
        with starts.started(cast(Subject, subject), "app", *arguments):
            self.assertEqual(len(subject.calls), 1)
        return subject.calls

    def test_block(self) -> None:
        """It is started with the profile of the benchmark, and stopped."""
        self.assertEqual(self.run_app(), [(0, ["app", "bench"]), (1, ["app"])])

    def test_profile(self) -> None:
        """It is started with another profile when that is asked for."""
        self.assertEqual(self.run_app("docker")[0], (0, ["app", "docker"]))


class CatalogueTests(SynchronousTestCase):
    """Choosing scenarios."""

    def names(self, *patterns: str) -> list[str]:
        """Choose, and give the names."""
        scenarios, curves = catalogue.choose(patterns)
        return [each.name for each in scenarios] + [each.name for each in curves]

    def test_all(self) -> None:
        """No pattern chooses all, and all names differ."""
        names = self.names()
        self.assertEqual(names, list(catalogue.TITLES))
        self.assertEqual(len(names), len(catalogue.SCENARIOS) + len(CURVES))
        self.assertEqual(len(set(names)), len(names))

    def test_exact(self) -> None:
        """A name chooses one scenario, though others begin like it."""
        self.assertEqual(self.names("echo-1"), ["echo-1"])

    def test_beginning(self) -> None:
        """Whole words choose a family, in the usual order."""
        self.assertEqual(
            self.names("stream", "resolve"),
            ["stream-up", "stream-down", "resolve-1", "resolve-64"],
        )

    def test_curves(self) -> None:
        """Curves are chosen as scenarios are."""
        self.assertEqual(
            self.names("curve-apps", "echo-1"),
            ["echo-1", "curve-apps", "curve-apps-resolve"],
        )

    def test_unknown(self) -> None:
        """A name that fits nothing is refused, with those that would."""
        error = self.assertRaises(BenchError, self.names, "echo", "ech")
        self.assertIn("no scenario is called 'ech'; there are: echo-1, ", str(error))
