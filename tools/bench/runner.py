# -*- test-case-name: cocained.test.test_tools_bench_runs -*-
"""
Runs scenarios in rounds, target after target within each round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from cocained.errors import RemoteError
from cocained.tools.bench.curves.base import CurveOutcome
from cocained.tools.bench.errors import BenchError, Skipped
from cocained.tools.bench.measure import medians
from cocained.tools.bench.scenarios.base import Figures, Scale, Scenario
from cocained.tools.bench.targets import Bench, Target


@dataclass(slots=True)
class Outcome:
    """
    What one scenario gave on one target.

    :ivar rounds: the figures of each round that went well.
    :ivar skipped: why it was not run, or ``""``.
    :ivar failed: what went wrong, or ``""``; no further round was run.
    """

    scenario: str
    title: str
    target: str
    rounds: list[Figures] = field(default_factory=list)
    skipped: str = ""
    failed: str = ""

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.scenario} on the {self.target}"

    @property
    def figures(self) -> Figures:
        """Medians over the rounds."""
        return medians(self.rounds)


class Results:
    """
    All outcomes of a run, in the order of the scenarios.

    :param outcomes: of the scenarios.
    :param curves: of the curves.
    """

    def __init__(
        self, outcomes: Iterable[Outcome] = (), curves: Iterable[CurveOutcome] = ()
    ) -> None:
        self.outcomes = list(outcomes)
        self.curves = list(curves)

    def find(self, scenario: str, target: str) -> Outcome | None:
        """Give an outcome that has figures, else ``None``."""
        for outcome in self.outcomes:
            if (outcome.scenario, outcome.target) == (scenario, target):
                return outcome if outcome.rounds and not outcome.failed else None
        return None

    def find_curve(self, name: str) -> CurveOutcome | None:
        """Give a curve that was measured to its end, else ``None``."""
        for outcome in self.curves:
            if outcome.curve == name and not outcome.failed and not outcome.skipped:
                return outcome
        return None

    @property
    def failures(self) -> list[Outcome | CurveOutcome]:
        """Those that went wrong."""
        failed: list[Outcome | CurveOutcome] = []
        failed += [each for each in self.outcomes if each.failed]
        failed += [each for each in self.curves if each.failed]
        return failed


#: Told of each round before it runs: title, target, round from 1.
Progress = Callable[[str, str, int], None]


def run(
    bench: Bench,
    targets: Sequence[Target],
    scenarios: Sequence[Scenario],
    scale: Scale,
    progress: Progress,
) -> Results:
    """
    Run everything.

    A scenario that fails on a target is not tried there again; the others go on.

    :param bench: programs and a directory.
    :param targets: running, in the order of a round.
    :param scenarios: what to run.
    :param scale: how often and how much.
    :param progress: told before each round of a scenario on a target.
    """
    results = Results()
    for scenario in scenarios:
        outcomes = [
            Outcome(scenario.name, scenario.title, target.name) for target in targets
        ]
        for number in range(1, rounds_of(scenario, scale) + 1):
            for target, outcome in zip(targets, outcomes, strict=True):
                progress(scenario.title, target.name, number)
                if not outcome.skipped and not outcome.failed:
                    _run_round(bench, target, scenario, scale, outcome)
        results.outcomes += outcomes
    return results


def rounds_of(scenario: Scenario, scale: Scale) -> int:
    """Say how many rounds a scenario has."""
    return 1 if scenario.once else scale.rounds


def _run_round(
    bench: Bench, target: Target, scenario: Scenario, scale: Scale, outcome: Outcome
) -> None:
    try:
        outcome.rounds.append(scenario.measure(bench, target, scale))
    except Skipped as skipped:
        outcome.skipped = str(skipped)
    except (BenchError, RemoteError) as error:
        outcome.failed = str(error)
