# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
Many clusters, one after the other.
"""

from __future__ import annotations

import gc
import traceback
from collections import Counter
from collections.abc import Sequence

from cocained.test.cluster_simulation.broken import Broken
from cocained.test.cluster_simulation.world import World
from cocained.test.simulation.runner import TAIL, Failing, Totals, undisturbed


def play(
    seed: int, totals: Totals, nodes: int | None = None, apps: int | None = None
) -> World:
    """
    Make one run; what comes of it is counted, and kept if it failed.

    :param nodes: how many, or any small number.
    :param apps: the same.
    :returns: what is left of it.
    """
    gc.collect()
    world = World(seed, nodes, apps)
    reason = None
    try:
        world.run()
    except Broken as broken:
        reason = str(broken)
    except Exception:
        # A node that raises into its caller keeps no promises, either.
        reason = traceback.format_exc()
    if reason is not None:
        totals.failing.append(Failing(seed, reason, world.journal.lines(TAIL)))
    traffic = world.network.traffic
    totals.runs += 1
    totals.faults += world.storm.counts
    totals.figures += Counter(
        {
            "nodes": world.started,
            "connections dialled": traffic.dials,
            "announcements": traffic.tidings,
            "pings": traffic.pings,
            "datagrams": traffic.datagrams,
            "events": world.clock.events,
        }
    )
    return world


def portion(
    seeds: Sequence[int], nodes: int | None = None, apps: int | None = None
) -> Totals:
    """Make some runs."""
    totals = Totals()
    with undisturbed():
        for seed in seeds:
            play(seed, totals, nodes, apps)
    return totals
