# -*- test-case-name: cocained.test.test_simulation -*-
"""
The border of the engine: what goes in through its service, and what it logs.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import ILogObserver, LogEvent
from zope.interface import implementer

from cocained.apps.documents import Manifest
from cocained.apps.invocation import Invocation
from cocained.apps.report import Flags, overseer_report
from cocained.errors import AppStopped, BacklogFull, CocainedError
from cocained.rpc.headers import Headers
from cocained.rpc.session import Session
from cocained.test.simulation.ledger import Ledger
from cocained.test.simulation.processes import SpawnBug
from cocained.test.simulation.releases import Releases
from cocained.test.simulation.stage import Stage

_MANIFEST = Manifest.from_mapping("app", {"slave": "worker"})


class Door:
    """The app, as its service sees it; the ledger stands behind it."""

    name = "app"

    def __init__(self, stage: Stage, releases: Releases) -> None:
        self._stage = stage
        self._releases = releases

    def enqueue(
        self, session: Session, channel: int, headers: Headers, event: bytes
    ) -> Invocation:
        stage = self._stage
        ledger = stage.ledger
        now = stage.clock.seconds()
        # Before: a worker may get it, and its answer be given, right within.
        timeout = self._releases.overseer.profile.request_timeout
        ledger.accepted(event, now, timeout)
        had_room = self._has_room()
        try:
            return self._releases.overseer.enqueue(session, channel, headers, event)
        except CocainedError as error:
            ledger.refused(event, error)
            self._judge(event, error, had_room)
            raise

    def _judge(self, event: bytes, error: CocainedError, had_room: bool) -> None:
        """See whether a refusal had a reason."""
        ledger = self._stage.ledger
        request = ledger.requests[event]
        if isinstance(error, AppStopped):
            fits = ledger.stopped
        elif isinstance(error, BacklogFull):
            fits = not had_room
        else:
            fits = request.flawed or request.timeout == 0
        if not fits:
            ledger.complain(f"request {event.decode()} was refused: {error}")

    def _has_room(self) -> bool:
        pool = self._releases.overseer.pool
        waiting = len(self._releases.overseer.backlog)
        if pool.limits.queue:
            return waiting < pool.limits.queue
        return waiting < pool.limits.pool * pool.limits.concurrency - pool.roster.load

    def report(self) -> dict[str, Any]:
        now = self._stage.clock.seconds()
        flags = Flags.OVERSEER | Flags.MANIFEST | Flags.PROFILE
        return overseer_report(self._releases.overseer, _MANIFEST, flags, now)

    def control(self, wanted: int) -> None:
        self._releases.overseer.pool.control(wanted)


@implementer(ILogObserver)
class Listener:
    """Takes what the engine logs as a bug of its own for one."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __call__(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        if failure is not None and not failure.check(SpawnBug):
            self._ledger.complain(f"the engine logged {failure.value!r}")
