# -*- test-case-name: cocained.test.test_simulation -*-
"""
Many runs: one after the other, or several processes at a time.
"""

from __future__ import annotations

import gc
import multiprocessing
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from twisted.logger import globalLogBeginner

from cocained.apps.overseer import Overseer
from cocained.test.simulation.world import Broken, World

#: Lines of its trace that are shown of a run that failed.
TAIL = 40

#: Runs that a process makes before it reports: a second's worth, or less.
PORTION = 25


@dataclass(frozen=True, slots=True)
class Failing:
    """
    A run in which a promise was broken.

    :ivar reason: which one.
    :ivar trace: the last events, one line each.
    """

    seed: int
    reason: str
    trace: Sequence[str]


@dataclass(slots=True)
class Totals:
    """
    What happened in all runs.

    :ivar figures: requests, workers and the like.
    :ivar endings: of requests, by kind.
    :ivar faults: by kind.
    """

    runs: int = 0
    figures: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    failing: list[Failing] = field(default_factory=list)

    def add(self, other: Totals) -> None:
        """Count what happened in other runs, too."""
        self.runs += other.runs
        self.figures += other.figures
        self.endings += other.endings
        self.faults += other.faults
        self.failing += other.failing

    def count(self, world: World) -> None:
        """Count what happened in one run."""
        ledger = world.stage.ledger
        stats = world.overseer.stats
        self.runs += 1
        self.figures += Counter(
            {
                "requests": len(ledger.requests),
                "accepted": stats.meter.count,
                "at a worker": sum(
                    request.worker is not None for request in ledger.requests.values()
                ),
                "clients gone before the end": sum(
                    request.ending is None for request in ledger.requests.values()
                ),
                "workers spawned": stats.spawned,
                "workers broken": stats.crashed,
                "events in the traces": len(world.stage.journal),
            }
        )
        self.figures += world.stage.figures
        self.endings += ledger.endings
        self.faults += world.stage.faults.counts


@contextmanager
def undisturbed() -> Iterator[None]:
    """
    Keep the collection of garbage to what runs leave.

    Each run looks for what it should not leave in memory; all that was there
    before would only be in its way.
    """
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def play(
    seed: int, totals: Totals, engine: Callable[..., Overseer] = Overseer
) -> World:
    """
    Make one run; what comes of it is counted, and kept if it failed.

    :returns: what is left of it.
    """
    gc.collect()
    world = World(seed, engine)
    reason = None
    try:
        world.run()
    except Broken as broken:
        reason = str(broken)
    except Exception:
        # An engine that raises into its caller keeps no promises, either.
        reason = traceback.format_exc()
    if reason is not None:
        totals.failing.append(Failing(seed, reason, world.stage.journal.lines(TAIL)))
    totals.count(world)
    return world


def portion(seeds: Sequence[int]) -> Totals:
    """Make some runs."""
    totals = Totals()
    with undisturbed():
        for seed in seeds:
            play(seed, totals)
    return totals


def silence() -> None:
    """Let nobody print what the engine logs; runs listen for themselves."""
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)


def simulate(
    seeds: Sequence[int],
    jobs: int,
    make: Callable[[Sequence[int]], Totals] = portion,
    size: int = PORTION,
) -> Iterator[Totals]:
    """
    Make many runs.

    :param jobs: processes.
    :param make: makes some of them.
    :param size: how many.
    :returns: the totals of each portion, as it is done.
    """
    portions = [seeds[i : i + size] for i in range(0, len(seeds), size)]
    if jobs == 1:
        silence()
        yield from map(make, portions)
        return
    # Not forked: progress is shown from a thread.
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs, silence) as pool:
        yield from pool.imap_unordered(make, portions)
