# -*- test-case-name: cocained.test.test_tools_bench_report -*-
"""
The benchmark's bars, tables, records and command line.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from cocained.test.test_tools_bench_runs import BENCH, FakeTarget, outcome
from cocained.tools.bench import __main__ as program
from cocained.tools.bench import bars, options, report
from cocained.tools.bench.curves.base import CurveOutcome, Point
from cocained.tools.bench.curves.catalogue import CURVES
from cocained.tools.bench.errors import BenchError
from cocained.tools.bench.runner import Outcome, Results
from cocained.tools.bench.scenarios import catalogue
from cocained.tools.bench.scenarios.base import SHORT, Figures, Scale
from cocained.tools.bench.targets import NODE, PEER, YARDSTICK, Bench, Target

#: Bars without a peer.
BARS = 9 + len(CURVES)

#: How the bar of one of the curves begins.
PAST = "app echo, and requests before"


class BarTests(SynchronousTestCase):
    """The bars."""

    def verdicts(self, *outcomes: Outcome) -> dict[str, bars.Verdict]:
        """Judge outcomes."""
        return {each.title: each for each in bars.judge(Results(outcomes))}

    def test_nothing_measured(self) -> None:
        """Without figures no bar passes or fails."""
        verdicts = self.verdicts()
        self.assertEqual(len(verdicts), BARS)
        self.assertEqual({each.passed for each in verdicts.values()}, {None})

    def echo(self, node: float) -> bars.Verdict:
        """Judge a node's CPU beside a yardstick that takes ten."""
        return self.verdicts(
            outcome("echo-64", YARDSTICK, [{"cpu_us": 10.0}]),
            outcome("echo-64", NODE, [{"cpu_us": node}]),
        )["app echo, 64 in flight, CPU per request"]

    def test_ratio(self) -> None:
        """1.75 times the yardstick passes, more does not."""
        self.assertIs(self.echo(17.5).passed, True)
        self.assertIs(self.echo(17.6).passed, False)

    def test_latency(self) -> None:
        """With one in flight the p50 counts, up to 1.3 times the yardstick's."""
        for node, expected in ((130.0, True), (131.0, False)):
            verdict = self.verdicts(
                outcome("echo-1", YARDSTICK, [{"p50_us": 100.0}]),
                outcome("echo-1", NODE, [{"p50_us": node}]),
            )["app echo, 1 in flight, p50"]
            self.assertIs(verdict.passed, expected)

    def test_scaled(self) -> None:
        """Microseconds are scaled to what the yardstick takes here."""
        verdicts = self.verdicts(
            outcome("echo-64", YARDSTICK, [{"cpu_us": 18.0}]),
            outcome("resolve-64", NODE, [{"cpu_us": 15.9}]),
            outcome("storage-read-64", NODE, [{"cpu_us": 70.1}]),
        )
        resolve = verdicts["resolve, CPU per request"]
        read = verdicts["storage read, 1 KiB, CPU per request"]
        self.assertEqual((resolve.limit, resolve.passed), (16.0, True))
        self.assertEqual((read.limit, read.passed), (70.0, False))

    def test_scaled_without_yardstick(self) -> None:
        """Without the yardstick there is no scale."""
        verdicts = self.verdicts(outcome("resolve-64", NODE, [{"cpu_us": 1.0}]))
        self.assertIsNone(verdicts["resolve, CPU per request"].passed)

    def test_idle_apps(self) -> None:
        """Memory counts only with a thousand apps."""
        for apps, mib, expected in (
            (1000.0, 149.0, True),
            (1000.0, 151.0, False),
            (100.0, 20.0, None),
        ):
            verdict = self.verdicts(
                outcome("idle-apps", NODE, [{"apps": apps, "rss_mib": mib}])
            )["1,000 idle apps, memory"]
            self.assertIs(verdict.passed, expected)

    def test_idle_apps_start(self) -> None:
        """So does the time that their start takes."""
        for seconds, expected in ((4.9, True), (5.1, False)):
            verdict = self.verdicts(
                outcome("idle-apps", NODE, [{"apps": 1000.0, "start_s": seconds}])
            )["1,000 idle apps, start"]
            self.assertIs(verdict.passed, expected)

    def test_starts(self) -> None:
        """A node and a worker have their milliseconds to be there."""
        for title, scenario, figure, limit in (
            ("node start to ready", "node-start", "ready_ms", 800.0),
            ("cold start, plain handler", "cold-framework-plain", "total_ms", 90.0),
            ("cold start, async def", "cold-framework-async", "total_ms", 150.0),
        ):
            for value, expected in ((limit, True), (limit + 1, False)):
                verdict = self.verdicts(outcome(scenario, NODE, [{figure: value}]))
                self.assertIs(verdict[title].passed, expected)

    def test_noisy_start(self) -> None:
        """A start that was fast enough once, but not mostly, says nothing."""
        rounds = [{"ready_ms": 700.0}, {"ready_ms": 900.0}, {"ready_ms": 901.0}]
        verdict = self.verdicts(outcome("node-start", NODE, rounds))
        self.assertIsNone(verdict["node start to ready"].passed)
        self.assertTrue(verdict["node start to ready"].is_noisy)

    def curve(self, *costs: list[float]) -> bars.Verdict:
        """Judge a curve with such costs at its sizes."""
        measured = CurveOutcome("curve-past", "past", "requests")
        measured.points = [Point(size, each) for size, each in enumerate(costs)]
        judged = bars.judge(Results([], [measured]))
        (verdict,) = [each for each in judged if each.title.startswith(PAST)]
        return verdict

    def test_flat_curve(self) -> None:
        """A cost may grow by a quarter."""
        self.assertIs(self.curve([10.0], [12.5], [11.0]).passed, True)
        self.assertIs(self.curve([10.0], [12.6], [11.0]).passed, False)

    def test_noisy_curve(self) -> None:
        """When the rounds differ more than the sizes, nobody can tell."""
        verdict = self.curve([10.0, 12.0, 13.0, 15.0], [10.0, 14.0, 18.0, 20.0])
        self.assertIs(self.curve([8.0, 8.0], [30.0, 31.0]).passed, False)
        self.assertTrue(self.curve([8.0, 10.0, 12.0], [9.0, 15.0, 16.0]).is_noisy)
        self.assertIsNone(self.curve([8.0, 10.0, 12.0], [9.0, 15.0, 16.0]).passed)
        self.assertFalse(verdict.is_noisy)

    def test_curve_that_failed(self) -> None:
        """A curve that was not measured to its end passes no bar."""
        measured = CurveOutcome("curve-past", "past", "requests", failed="bad")
        measured.points = [Point(0, [1.0]), Point(1, [1.0])]
        judged = bars.judge(Results([], [measured]))
        (verdict,) = [each for each in judged if each.title.startswith(PAST)]
        self.assertIsNone(verdict.passed)

    def test_failed_scenario(self) -> None:
        """A scenario that failed passes no bar."""
        verdict = self.verdicts(
            outcome("cold-framework-async", NODE, [{"total_ms": 1.0}], failed="bad")
        )["cold start, async def"]
        self.assertIsNone(verdict.passed)

    def test_peer(self) -> None:
        """Beside a peer, its bars are judged too: more requests are better."""
        for rate, expected in ((50.0, True), (49.0, False)):
            judged = bars.judge(
                Results(
                    [
                        outcome("echo-64", PEER, [{"rate": 10.0, "cpu_us": 100.0}]),
                        outcome("echo-64", NODE, [{"rate": rate, "cpu_us": 20.0}]),
                    ]
                )
            )
            self.assertEqual(len(judged), BARS + 5)
            (verdict,) = [
                each
                for each in judged
                if each.title.endswith("64 in flight, requests/s")
            ]
            self.assertIs(verdict.passed, expected)


RESULTS = Results(
    [
        outcome("echo", YARDSTICK, [{"rate": 1000.0, "cpu_us": 10.0}]),
        outcome("echo", NODE, [{"rate": 900.0, "cpu_us": 15.0}]),
        outcome("cold", YARDSTICK, [], skipped="starts no [apps]"),
        outcome("cold", NODE, [{"total_ms": 12.34}]),
        outcome("idle", NODE, [], failed="bad [thing]"),
    ],
    [
        CurveOutcome(
            "growing",
            "GROWING",
            "things",
            [Point(1, [9.0]), Point(10, [10.0, 12.0])],
            failed="worse [thing]",
        ),
        CurveOutcome("larger", "LARGER", "things", skipped="needs [files]"),
    ],
)


class ReportTests(SynchronousTestCase):
    """Tables and records."""

    def shown(self, verdicts: Sequence[bars.Verdict] = ()) -> str:
        """Print the tables to a text."""
        text = io.StringIO()
        report.show(Console(file=text, width=140), RESULTS, verdicts)
        return text.getvalue()

    def line(self, *words: str) -> str:
        """Give the first line with all words in it."""
        for line in self.shown().splitlines():
            if all(word in line for word in words):
                return line
        raise AssertionError(f"no line with {words} in {self.shown()}")

    def test_requests(self) -> None:
        """A node's row has its figures and its ratio to the yardstick."""
        line = self.line(NODE, "900")
        self.assertIn("15.00", line)
        self.assertIn("1.50", line)

    def test_yardstick(self) -> None:
        """The yardstick's row has no ratio, and dashes for what it lacks."""
        line = self.line("ECHO", YARDSTICK, "1,000")
        self.assertIn(" - ", line)
        self.assertNotIn("1.00 ", line)

    def test_other_figures(self) -> None:
        """What is not of requests is listed by name."""
        self.assertIn("total_ms 12.3", self.line("COLD", NODE))

    def test_skipped_and_failed(self) -> None:
        """Both are shown with their reason as it is written."""
        self.line("not on the yardstick: cold: starts no [apps]")
        self.line("FAILED idle on the node: bad [thing]")
        self.line("FAILED growing after 10: worse [thing]")
        self.line("not to the end: larger: needs [files]")

    def test_curves(self) -> None:
        """A curve has a line for each size."""
        self.assertIn("11.00", self.line("10", "10.00..12.00"))

    def test_bars(self) -> None:
        """Each bar is marked."""
        text = self.shown(
            [
                bars.Verdict("one", 1.0, 2.0, "us"),
                bars.Verdict("two", 1.0, 2.0, "us", at_least=True),
                bars.Verdict("three", math.nan, 2.0, "us"),
            ]
        )
        marks = [line for line in text.splitlines() if "2.00 us" in line]
        self.assertIn("pass", marks[0])
        self.assertIn("FAIL", marks[1])
        self.assertIn(">= 2.00 us", marks[1])
        self.assertIn("not measured", marks[2])

    def test_record(self) -> None:
        """The record is JSON without NaN, with rounds, medians and reasons."""
        verdicts = [bars.Verdict("three", math.nan, 2.0, "us")]
        made = report.record(RESULTS, SHORT, verdicts)
        read = json.loads(json.dumps(made, allow_nan=False))
        self.assertEqual(read["version"], report.RECORD_VERSION)
        self.assertEqual(read["scale"]["rounds"], SHORT.rounds)
        self.assertEqual(
            read["outcomes"][1],
            {
                "scenario": "echo",
                "title": "ECHO",
                "target": "node",
                "rounds": [{"rate": 900.0, "cpu_us": 15.0}],
                "skipped": "",
                "failed": "",
                "medians": {"rate": 900.0, "cpu_us": 15.0},
            },
        )
        self.assertEqual(read["outcomes"][2]["skipped"], "starts no [apps]")
        self.assertEqual(
            (read["bars"][0]["value"], read["bars"][0]["passed"]), (None, None)
        )


class OptionsTests(SynchronousTestCase):
    """The command line."""

    def refused(self, *arguments: str) -> str:
        """Parse a wrong command line; give what is printed."""
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            caught = self.assertRaises(SystemExit, options.parse, arguments)
        self.assertEqual(caught.code, 2)
        return errors.getvalue()

    def test_defaults(self) -> None:
        """Yardstick and node, everything, in full."""
        parsed = options.parse([])
        self.assertEqual(parsed.targets, [YARDSTICK, NODE])
        self.assertEqual(parsed.only, [])
        self.assertEqual(options.scale_of(parsed), Scale())

    def test_defaults_are_fresh(self) -> None:
        """A peer of one run is not in the next."""
        options.parse(["--peer", "127.0.0.1:1", "--peer-pid", "2"])
        self.assertEqual(options.parse([]).targets, [YARDSTICK, NODE])

    def test_scale(self) -> None:
        """``--rounds`` changes the rounds of either scale."""
        short = options.scale_of(options.parse(["--short", "--rounds", "7"]))
        self.assertEqual((short.rounds, short.idle_apps), (7, SHORT.idle_apps))
        self.assertEqual(short.point_rounds, 7)

    def test_rounds(self) -> None:
        """The number of rounds has limits."""
        for text in ("0", "-1", "1001", "x"):
            self.assertIn("--rounds", self.refused(f"--rounds={text}"))

    def test_targets(self) -> None:
        """Targets come in the order of a round."""
        parsed = options.parse(["--targets", "node,yardstick"])
        self.assertEqual(parsed.targets, [YARDSTICK, NODE])
        self.assertEqual(options.parse(["--targets", "node"]).targets, [NODE])
        self.assertIn("'peer' is none of", self.refused("--targets", "peer"))

    def test_peer(self) -> None:
        """A peer is one more target; it needs a process."""
        parsed = options.parse(["--peer", "localhost:10053", "--peer-pid", "77"])
        self.assertEqual(parsed.targets, [YARDSTICK, NODE, PEER])
        self.assertEqual(parsed.peer, ("127.0.0.1", 10053))
        self.assertIn("belong together", self.refused("--peer", "127.0.0.1:1"))
        self.assertIn("belong together", self.refused("--peer-pid", "1"))

    def test_addresses(self) -> None:
        """Anything but a numeric IPv4 address and a port is refused."""
        for text in ("", "10053", "::1:10053", "host:1", "127.0.0.1:0", "127.0.0.1:x"):
            self.assertIn(
                "is no IPv4 address and port",
                self.refused("--peer", text, "--peer-pid", "1"),
            )

    def test_pin(self) -> None:
        """One cannot pin what runs already."""
        self.assertEqual(options.parse(["--pin", "0"]).pin, 0)
        peer = ("--peer", "127.0.0.1:1", "--peer-pid", "2")
        self.assertIn("would not bind the peer", self.refused("--pin", "0", *peer))

    def test_strict(self) -> None:
        """``--strict`` asks for the bars, too."""
        self.assertTrue(options.parse(["--strict"]).bars)
        self.assertFalse(options.parse([]).bars)


class MainTests(SynchronousTestCase):
    """The program, with targets and scenarios that measure nothing."""

    def setUp(self) -> None:
        """Put doubles in the places of targets, scenarios and compiler."""
        self.made: list[FakeTarget] = []
        self.figures: dict[str, Figures | Exception] = {
            YARDSTICK: {"rate": 1.0, "cpu_us": 10.0},
            NODE: {"rate": 1.0, "cpu_us": 15.0},
        }

        def maker(name: str) -> Callable[..., Target]:
            def make(bench: Bench, parsed: object) -> Target:
                self.made.append(FakeTarget(name))
                return self.made[-1]

            return make

        self.makers = {name: maker(name) for name in (YARDSTICK, NODE, PEER)}
        self.patch(program, "MAKERS", self.makers)
        self.patch(program, "prepare", lambda directory: BENCH)
        self.patch(program, "choose", lambda only: ([self], []))

    name = "echo-64"
    title = "the echo"
    once = False

    def measure(self, bench: Bench, target: Target, scale: Scale) -> Figures:
        """Be the scenario."""
        answer = self.figures[target.name]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def main(self, *arguments: str) -> tuple[int, str, str]:
        """Run it; give the status and what it prints."""
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            status = program.main(["--rounds", "2", *arguments])
        return status, output.getvalue(), errors.getvalue()

    def test_table(self) -> None:
        """It prints a table, exits with 0 and ends its targets."""
        status, output, _ = self.main()
        self.assertEqual(status, program.OK)
        self.assertIn("the echo", output)
        self.assertEqual([each.closed for each in self.made], [1, 1])

    def test_list(self) -> None:
        """``--list`` names everything and measures nothing."""
        status, output, _ = self.main("--list")
        self.assertEqual(status, program.OK)
        self.assertEqual(self.made, [])
        names = [line.split()[0] for line in output.splitlines()]
        self.assertEqual(names, list(catalogue.TITLES))

    def test_json(self) -> None:
        """``--json`` writes the record to a file."""
        path = self.mktemp()
        self.main("--json", path)
        read = json.loads(Path(path).read_text())
        self.assertEqual(len(read["outcomes"][0]["rounds"]), 2)
        self.assertEqual(read["bars"], [])

    def test_json_to_stdout(self) -> None:
        """With ``-`` the record is all there is on standard output."""
        _, output, errors = self.main("--json", "-", "--bars")
        self.assertEqual(len(json.loads(output)["bars"]), BARS)
        self.assertIn("the echo", errors)

    def test_bars_do_not_count(self) -> None:
        """A bar that does not hold is shown, and the status is 0 nevertheless."""
        self.figures[NODE] = {"rate": 1.0, "cpu_us": 100.0}
        status, output, _ = self.main("--bars")
        self.assertEqual(status, program.OK)
        self.assertIn("FAIL", output)

    def test_strict(self) -> None:
        """Unless it is strict."""
        self.assertEqual(self.main("--strict")[0], program.OK)
        self.figures[NODE] = {"rate": 1.0, "cpu_us": 100.0}
        self.assertEqual(self.main("--strict")[0], program.BELOW_A_BAR)

    def test_failure(self) -> None:
        """A scenario that fails gives 1, and the others' figures."""
        self.figures[NODE] = BenchError("something [odd]")
        status, output, _ = self.main()
        self.assertEqual(status, program.FAILED)
        self.assertIn("something [odd]", output)
        self.assertIn("10.00", output)

    def test_target_does_not_start(self) -> None:
        """A target that does not start ends the run; those that run are ended."""

        def refuse(bench: Bench, parsed: object) -> Target:
            raise BenchError("no [node] here")

        self.makers[NODE] = refuse
        status, output, errors = self.main()
        self.assertEqual((status, output), (program.FAILED, ""))
        self.assertIn("no [node] here", errors)
        self.assertEqual([each.closed for each in self.made], [1])

    def test_unknown_processor(self) -> None:
        """A processor that is not there is a wrong command line."""
        status, _, errors = self.main("--pin", "100000")
        self.assertEqual(status, program.USAGE)
        self.assertIn("there is no processor 100000", errors)
        self.assertEqual(self.made, [])

    def test_unknown_scenario(self) -> None:
        """A scenario that is not there is a wrong command line."""
        self.patch(program, "choose", catalogue.choose)
        status, _, errors = self.main("--only", "nothing")
        self.assertEqual(status, program.USAGE)
        self.assertIn("no scenario is called 'nothing'", errors)
        self.assertEqual(self.made, [])
