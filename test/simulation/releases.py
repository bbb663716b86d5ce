# -*- test-case-name: cocained.test.test_simulation -*-
"""
The releases of the simulated app: which one serves, comes, or leaves.

The order of things is that of :mod:`cocained.apps.rollover`; what is done is the
engine's own: its warm-up, its hand-over, and its seal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.python.failure import Failure

from cocained.apps.documents import Profile
from cocained.apps.overseer import Overseer
from cocained.apps.speech import Handshake
from cocained.apps.warmup import WarmUp
from cocained.errors import CocainedError
from cocained.test.simulation.staff import Crew, Staff
from cocained.test.simulation.stage import Stage


class Release:
    """
    One release.

    :ivar adopted: events that it was handed over; so many may wait for it, even
        if its queue is shorter.
    """

    def __init__(
        self, stage: Stage, staff: Staff, engine: Callable[..., Overseer], args: Any
    ) -> None:
        profile, *stats = args
        self.crew = Crew(stage, staff)
        self.adopted = 0
        self.overseer = engine(
            "app",
            profile,
            self.crew,
            self.crew,
            stage.clock,
            stage.wiring.turn,
            self.crew,
            *stats,
        )
        find = self.overseer.pool.workers.get
        self.crew.root = Handshake(find, stage.setting.version)


class Releases:
    """
    All releases of one run.

    :param engine: makes their overseers.
    :ivar serving: the one that events go to.
    """

    def __init__(
        self, stage: Stage, staff: Staff, engine: Callable[..., Overseer]
    ) -> None:
        self._stage = stage
        self._staff = staff
        self._engine = engine
        self.serving = Release(stage, staff, engine, [stage.setting.profile])
        self._coming: tuple[Release, Deferred[None]] | None = None
        self._leaving: dict[Release, Deferred[None]] = {}

    @property
    def overseer(self) -> Overseer:
        """That of the release that serves."""
        return self.serving.overseer

    def __iter__(self) -> Iterator[Release]:
        yield self.serving
        if self._coming is not None:
            yield self._coming[0]
        yield from self._leaving

    def update(self) -> bool:
        """
        Bring a new release, in the place of one that comes already.

        :returns: whether it begins: not while an old one leaves.
        """
        self._give_up(None)
        if self._leaving:
            return False
        stage = self._stage
        release = Release(
            stage,
            self._staff,
            self._engine,
            [self._profile(), self.overseer.stats],
        )
        pool = release.overseer.pool
        patience = stage.setting.profile.handshake_timeout
        warm_up = release.crew.warm_up = WarmUp("app", pool, stage.clock, patience)
        wanted = min(self.overseer.pool.active, release.overseer.profile.pool_limit)
        warming = warm_up.begin(wanted)
        self._coming = release, warming
        warming.addCallbacks(self._take_over, self._failed)
        return True

    def _profile(self) -> Profile:
        """Draw other limits; timeouts stay, others rely on them."""
        dice = self._stage.dice
        return msgspec.structs.replace(
            self._stage.setting.profile,
            pool_limit=dice.among(1, 5),
            concurrency=dice.pick((1, 2, 3, 10)),
            queue_limit=dice.pick((0, 1, 10, 100)),
        )

    def _take_over(self, result: None) -> None:
        assert self._coming is not None
        former, (self.serving, _) = self.serving, self._coming
        self._coming = None
        self.serving.crew.warm_up = None
        self.serving.adopted = len(former.overseer.backlog)
        former.overseer.hand_over(self.serving.overseer)
        if former.overseer.backlog:
            self._stage.ledger.complain("events wait for a release that leaves")
        self._stage.journal.note("node", "serves another release")
        self._stage.figures["releases that took over"] += 1
        self._leave(former, former.overseer.retire())

    def _failed(self, failure: Failure) -> None:
        failure.trap(CocainedError, CancelledError)
        if self._coming is not None:
            self._stage.journal.note("node", "keeps its release")
            self._stage.figures["releases that failed"] += 1
            release, _ = self._coming
            self._coming = None
            release.crew.warm_up = None
            self._leave(release, release.overseer.stop())

    def _give_up(self, patience: float | None) -> None:
        if self._coming is not None:
            release, warming = self._coming
            self._coming = None
            release.crew.warm_up = None
            warming.cancel()
            self._leave(release, release.overseer.stop(patience))

    def _leave(self, release: Release, end: Deferred[None]) -> None:
        # Before: it may have fired.
        self._leaving[release] = end
        end.addCallback(self._left, release)

    def _left(self, result: None, release: Release) -> None:
        del self._leaving[release]
        if release.overseer.pool.workers:
            self._stage.ledger.complain("a release says too early that it has ended")

    def drain(self) -> Deferred[None]:
        """Take no more events; fires when the last one is over."""
        self._give_up(None)
        return self.overseer.drain()

    def stop(self, patience: float | None) -> Deferred[list[None]]:
        """End all of them; fires when no worker is left."""
        self._give_up(patience)
        return gatherResults([each.overseer.stop(patience) for each in self])
