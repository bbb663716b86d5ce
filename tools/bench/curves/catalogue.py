# -*- test-case-name: cocained.test.test_tools_bench_curves -*-
"""
All curves, in the order in which they are measured and shown.
"""

from __future__ import annotations

from cocained.tools.bench.curves.base import Curve, steps
from cocained.tools.bench.curves.crowds import POOL, Apps, Channels, Past, Workers

CURVES: tuple[Curve, ...] = (
    Curve(
        "curve-apps",
        "app echo, and apps on the node",
        "apps",
        Apps,
        lambda scale: steps(scale.idle_apps, 10, 4),
    ),
    Curve(
        "curve-apps-resolve",
        "resolve, and apps on the node",
        "apps",
        Apps,
        lambda scale: steps(scale.idle_apps, 10, 4),
        mode="resolve",
        service="locator",
    ),
    Curve(
        "curve-channels",
        "app echo, and open channels of the app",
        "open channels",
        Channels,
        lambda scale: [0, *steps(scale.curve_channels, 10, 3)],
    ),
    Curve(
        "curve-workers",
        "app echo, and workers of the app",
        "workers",
        Workers,
        lambda scale: steps(scale.workers, 4, 4),
        service=POOL,
        # As many for each, so that a worker finds as much whenever it looks.
        in_flight=lambda size: 1024,
    ),
    Curve(
        "curve-past",
        "app echo, and requests before",
        "past requests",
        Past,
        lambda scale: [0, *steps(scale.past, 10, 3)],
    ),
)
