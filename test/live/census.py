# -*- test-case-name: cocained.test.live.test_leaks -*-
"""
A node that counts what it holds, when it is told to by a signal.

Runs ``twistd`` as ever; ``SIGUSR2`` has it write :data:`FILE` into its directory.
The product has no such door: this is for the tests.
"""

from __future__ import annotations

import gc
import heapq
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.internet.interfaces import IReactorThreads

#: What the census is written to.
FILE = "census.json"

#: Runs a node with the census.
PROGRAM = (
    sys.executable,
    "-c",
    "from cocained.test.live.census import run; run()",
)


def tables() -> dict[type, tuple[Callable[[Any], int], ...]]:
    """Name what is looked into, and how the sizes of its tables are found."""
    from cocained.apps.burdens import Burdens
    from cocained.apps.deadlines import Deadlines
    from cocained.apps.overseer import Overseer
    from cocained.apps.pool import Pool
    from cocained.apps.roster import Roster
    from cocained.rpc.session import Session
    from cocained.rpc.wire import ServiceFactory

    return {
        Session: (
            lambda each: len(each.channels),
            lambda each: len(each._held) + len(each._pressed),
            lambda each: each.owed,
        ),
        Deadlines: (len, lambda each: len(each.buckets)),
        Roster: (len, lambda each: each.load),
        Pool: (
            lambda each: len(each.workers),
            lambda each: len(each._able) + len(each.shunned) + len(each._empty),
        ),
        Overseer: (lambda each: len(each.backlog) + len(each._quiet),),
        Burdens: (len,),
        ServiceFactory: (lambda each: len(each.connections),),
    }


def held() -> dict[str, dict[str, int]]:
    """
    Count the objects of this process, and what is in their tables.

    :returns: ``objects`` by type, ``tables`` by type and number.
    """
    gc.collect()
    objects = gc.get_objects()
    types = Counter(map(type, objects))
    known = tables()
    sizes: Counter[str] = Counter()
    for each in objects:
        for number, size in enumerate(known.get(type(each), ())):
            sizes[f"{type(each).__qualname__}.{number}"] += size(each)
    return {
        "objects": {
            f"{kind.__module__}.{kind.__qualname__}": number
            for kind, number in types.items()
            # Of some types the module is a descriptor of the instances' own.
            if str(kind.__module__).startswith(("cocained.", "twisted.", "builtins"))
        },
        "tables": dict(sizes),
    }


def count(reactor: Any) -> dict[str, dict[str, int]]:
    """
    Count what is held here and in the reactor.

    :returns: as :func:`held`, and ``reactor``, and ``threads`` of its own pool.
    """
    forget_cancelled(reactor)
    return {
        **held(),
        "reactor": {
            "calls": len(reactor.getDelayedCalls()),
            "readers": len(reactor.getReaders()),
            "writers": len(reactor.getWriters()),
        },
        "threads": {"pool": len(reactor.getThreadPool().threads)},
    }


def forget_cancelled(reactor: Any) -> None:
    """
    Have the reactor let go of calls that were cancelled.

    It does so itself only when there are fifty of them, each with two bound
    methods: how many lie there at one moment is chance.
    """
    reactor._insertNewDelayedCalls()
    pending = reactor._pendingTimedCalls
    pending[:] = [call for call in pending if not call.cancelled]
    heapq.heapify(pending)
    reactor._cancellations = 0


def run() -> None:
    """Run ``twistd`` with the arguments of this process."""
    from twisted.scripts import twistd

    def write() -> None:
        from twisted.internet import reactor

        with open(f"{FILE}.new", "w") as file:
            json.dump(count(reactor), file)
        os.rename(f"{FILE}.new", FILE)

    def asked(number: int, frame: FrameType | None) -> None:
        from twisted.internet import reactor

        # Not here: a signal may come in the middle of anything.
        IReactorThreads(reactor).callFromThread(write)

    signal.signal(signal.SIGUSR2, asked)
    twistd.run()
