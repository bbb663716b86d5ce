# -*- test-case-name: cocained.test.test_apps_report -*-
"""
What ``info`` says of an app (protocol.md §6.2).

The key ``publushed`` is spelled as the original spells it: clients look for it.
"""

from __future__ import annotations

from enum import IntFlag
from typing import Any

from cocained.apps.documents import Manifest
from cocained.apps.overseer import Overseer
from cocained.apps.worker import Worker


class Flags(IntFlag):
    """What a caller of ``info`` wants to see."""

    NONE = 0
    OVERSEER = 1
    MANIFEST = 2
    PROFILE = 4


def overseer_report(
    overseer: Overseer, manifest: Manifest, flags: int, now: float
) -> dict[str, Any]:
    """
    The report of a running app, without its state.

    :param flags: of :class:`Flags`.
    :param now: seconds of the clock.
    """
    stats = overseer.stats
    depth = len(overseer.backlog)
    profile: dict[str, Any] = {"name": overseer.profile.name}
    if flags & Flags.PROFILE:
        profile["data"] = dict(overseer.profile.data)
    report: dict[str, Any] = {}
    if flags & Flags.MANIFEST:
        report["manifest"] = dict(manifest.data)
    report.update(
        {
            "profile": profile,
            "requests": {
                "accepted": stats.meter.count,
                "rejected": stats.rejected,
            },
            "queue": {
                "capacity": overseer.profile.queue_limit,
                "depth": depth,
                "depth_average": round(stats.depth.value(depth, now), 3),
                "oldest_event_age": _milliseconds(overseer.backlog.oldest_age(now)),
            },
            "rate": [round(rate, 3) for rate in stats.meter.rates(now)],
            "rate_mean": round(stats.meter.mean(now), 3),
            "timings": stats.timings.percentiles(),
            "timings_reversed": stats.timings.shares(),
            "load": overseer.pool.load,
            "pool": _pool(overseer, profile, now),
        }
    )
    return report


def _pool(overseer: Overseer, profile: dict[str, Any], now: float) -> dict[str, Any]:
    workers = overseer.pool.workers
    busy = overseer.pool.busy
    return {
        "active": busy,
        "idle": len(workers) - busy,
        "capacity": overseer.profile.pool_limit,
        "total:spawned": overseer.stats.spawned,
        "total:crashed": overseer.stats.crashed,
        "slaves": {
            uuid: _worker(worker, profile, now) for uuid, worker in workers.items()
        },
    }


def _worker(worker: Worker, profile: dict[str, Any], now: float) -> dict[str, Any]:
    invocations = worker.invocations
    oldest = min((i.assigned for i in invocations), default=now)
    usage = worker.process.usage()
    report = {
        "accepted": worker.accepted,
        "load:tx": sum(i.load_tx for i in invocations),
        "load:rx": sum(i.load_rx for i in invocations),
        "load:total": len(invocations),
        "state": worker.state.value,
        "uptime": int(now - worker.started),
        "profile": profile,
        "oldest_channel_age": _milliseconds(now - oldest),
    }
    if usage is not None:
        report["usage"] = dict(usage)
    return report


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
