# -*- test-case-name: cocained.test.test_simulation -*-
"""
What must hold inside the engine: always, when nobody asks for anything any
more, and when it has stopped.

Each function gives its complaints, one sentence each.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

from cocained.apps.invocation import Invocation
from cocained.apps.overseer import Overseer
from cocained.apps.reply import Reply
from cocained.test.simulation.ledger import Ledger
from cocained.test.simulation.releases import Releases
from cocained.test.simulation.staff import Staff
from cocained.test.simulation.stage import Stage


def always(overseer: Overseer, adopted: int) -> Iterator[str]:
    """
    Limits, and that the pool's books agree with each other.

    :param adopted: events that may wait, however short the queue is.
    """
    pool = overseer.pool
    profile = overseer.profile
    workers = pool.workers.values()
    if len(pool._able) > profile.pool_limit:
        yield f"{len(pool._able)} workers in a pool of {profile.pool_limit}"
    listed = len(pool.roster) + len(pool.shunned)
    if pool.active != listed:
        yield f"{pool.active} workers are active, {listed} are listed"
    load = 0
    for worker in workers:
        if worker.load > profile.concurrency:
            yield f"a worker has {worker.load} of {profile.concurrency} events"
        if worker.load != len(worker.invocations):
            yield f"a load of {worker.load} is {len(worker.invocations)} events"
        if worker in pool.roster:
            load += worker.load
    if load != pool.roster.load:
        yield f"the load is {load}, not {pool.roster.load}"
    room = profile.queue_limit or profile.pool_limit * profile.concurrency
    room = max(room, adopted)
    if len(overseer.backlog) > room:
        yield f"{len(overseer.backlog)} events wait where {room} may"


def idle(stage: Stage, releases: Releases) -> Iterator[str]:
    """Nothing is left of any request, while all connections still stand."""
    for release in releases:
        yield from _idle(release.overseer)
    for wire in stage.wires:
        session = wire.protocol.session
        kept = [r for r in session.channels.values() if isinstance(r, Invocation)]
        if kept:
            yield f"{len(kept)} channels of clients are still open"
        if session.owed or session.calls:
            yield f"{session.owed} answers are still owed"
        if session._holds or session._held or session._frames:
            yield "a connection is still held"
    # A collection, if needed, for tracebacks: they know all who called.
    if _halves():
        gc.collect()
        left = _halves()
        if left:
            yield f"{left} halves of events are still in memory"


def _idle(overseer: Overseer) -> Iterator[str]:
    if len(overseer.backlog):
        yield f"{len(overseer.backlog)} events still wait"
    if overseer._deadlines.buckets:
        yield f"{len(overseer._deadlines)} deadlines are still filed"
    for worker in overseer.pool.workers.values():
        if worker.load or worker.invocations:
            yield f"{worker.load} slots of a worker are still busy"
    if overseer.pool.roster.load:
        yield f"a load of {overseer.pool.roster.load} is left"


def _halves() -> int:
    """Count what is left of events in memory."""
    return sum(isinstance(thing, Invocation | Reply) for thing in gc.get_objects())


def counted(overseer: Overseer, ledger: Ledger, staff: Staff) -> Iterator[str]:
    """The engine has counted what has happened."""
    stats = overseer.stats
    requests = ledger.requests.values()
    pairs = {
        "accepted": (
            stats.meter.count,
            sum(request.accepted is not None for request in requests),
        ),
        "rejected": (stats.rejected, ledger.rejected),
        "spawned": (stats.spawned, staff.spawned),
    }
    for what, (ours, theirs) in pairs.items():
        if ours != theirs:
            yield f"{ours} are counted as {what}, there were {theirs}"
    worked = sum(request.worker is not None for request in requests)
    timed = len(stats.timings._samples)
    if timed < worked:
        yield f"{timed} events were timed, {worked} were at a worker"


def ended(stage: Stage, releases: Releases, staff: Staff) -> Iterator[str]:
    """Nothing at all is left."""
    (release,) = releases
    overseer = release.overseer
    pool = overseer.pool
    if pool.workers or pool._able:
        yield f"{len(pool.workers)} workers are not buried"
    if pool.shunned or len(pool._burdens):
        yield f"{len(pool._burdens)} workers are still watched"
    if pool.active or len(pool.roster):
        yield f"{pool.active} workers are still active"
    if overseer.stats.crashed != staff.crashed:
        yield f"{overseer.stats.crashed} crashed, {staff.crashed} were reported"
    for process in staff.living():
        yield f"the process of {process.name} lives on"
    for call in stage.clock.getDelayedCalls():
        function = getattr(call, "func", call)
        yield f"a timer is left: {getattr(function, '__qualname__', function)}"
