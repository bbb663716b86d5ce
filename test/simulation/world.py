# -*- test-case-name: cocained.test.test_simulation -*-
"""
One run: a storm, its end, the engine's end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher

from cocained.apps.overseer import Overseer
from cocained.apps.service import AppService
from cocained.apps.worker import EXIT_GRACE
from cocained.rpc.dispatch import Dispatch
from cocained.rpc.wire import CLOSE_TIMEOUT, Wiring
from cocained.test.simulation import checks
from cocained.test.simulation.clients import Client
from cocained.test.simulation.dice import Dice
from cocained.test.simulation.door import Door, Listener
from cocained.test.simulation.faults import Faults
from cocained.test.simulation.journal import Journal
from cocained.test.simulation.ledger import Ledger
from cocained.test.simulation.processes import ENDING, NOTICING
from cocained.test.simulation.releases import Releases
from cocained.test.simulation.setting import draw
from cocained.test.simulation.staff import Staff
from cocained.test.simulation.stage import Stage
from cocained.testing import MemoryReactor

#: When a run begins, in seconds of its clock: as little 0 as the real one.
BEGINNING = 1_000_000.0

#: Steps between two looks at the engine's books.
LOOK = 8

#: Times that everybody may answer everybody at one moment.
ROUNDS = 8

#: Times that one waits for the last deadline: a client that was held until then
#: is heard after it, and has asked for more.
LULLS = 8

#: Pieces in which the time until the last deadline passes.
STRIDES = 12


class Broken(AssertionError):
    """The engine has not kept its promises."""


class World:
    """
    An engine and all that surrounds it.

    :param seed: decides everything.
    :param engine: makes the overseer; tests put broken ones in its place.
    """

    def __init__(self, seed: int, engine: Callable[..., Overseer] = Overseer) -> None:
        dice = Dice(seed)
        clock = MemoryReactor()
        clock.rightNow = BEGINNING
        setting = draw(dice)
        wiring = Wiring(clock, setting.limits)  # type: ignore[arg-type]
        self.stage = Stage(
            clock, wiring, dice, setting, Faults(dice), Journal(clock), Ledger()
        )
        wires = self.stage.wires
        self.stage.ledger.is_behind = lambda: any(wire.is_behind for wire in wires)
        self.staff = Staff()
        self.releases = Releases(self.stage, self.staff, engine)
        self._door = Dispatch(AppService(Door(self.stage, self.releases)))
        self._clients: list[Client] = []
        self._guests = 0
        self._drained: Deferred[None] | None = None
        self._stopped: Deferred[None] | None = None

    @property
    def overseer(self) -> Overseer:
        """That of the release that serves."""
        return self.releases.overseer

    # The run

    def run(self) -> None:
        """
        Let it all happen.

        :raises Broken: the first promise that was not kept.
        """
        observer = Listener(self.stage.ledger)
        globalLogPublisher.addObserver(observer)
        try:
            self._storm()
            self._calm()
            self._end()
        finally:
            globalLogPublisher.removeObserver(observer)

    def _storm(self) -> None:
        stage = self.stage
        dice = stage.dice
        setting = stage.setting
        for step in range(setting.steps):
            chance = dice.between(0.0, 1.0)
            if chance < 0.45:
                self._carry()
            elif chance < 0.7:
                self._client().act()
            elif processes := self.staff.living():
                dice.pick(processes).act()
            fault = stage.faults.strike("node")
            if fault is not None:
                self._disturb(fault)
            stage.clock.pass_time(dice.wait(setting.pace) if dice.chance(0.5) else 0)
            if step % LOOK == 0:
                self._look_inside()
            self._look()

    def _calm(self) -> None:
        """Let everybody finish, and every deadline pass."""
        stage = self.stage
        stage.faults.cease()
        stage.journal.note("world", "calms down")
        self._settle()
        clock = stage.clock
        for _ in range(LULLS):
            last = stage.ledger.last_deadline(clock.seconds())
            if last <= clock.seconds():
                break
            for stride in range(STRIDES, 0, -1):
                clock.pass_time(max(0.0, last - clock.seconds()) / stride)
                self._settle()
        stage.ledger.settle()
        self._look_inside()
        self._look(checks.idle(stage, self.releases))
        self._look(checks.counted(self.overseer, stage.ledger, self.staff))
        if self._drained is not None and not self._drained.called:
            self._look(["the engine is empty and not drained"])

    def _end(self) -> None:
        """Stop the engine, if it has not been yet, and part with everybody."""
        stage = self.stage
        self._stop()
        longest = stage.setting.profile.terminate_timeout + EXIT_GRACE
        for _ in range(3):
            self._settle()
            stage.clock.pass_time(longest / 3)
        stage.clock.pass_time(EXIT_GRACE + ENDING + NOTICING)
        assert self._stopped is not None
        if not self._stopped.called:
            self._look(["the engine does not stop"])
        for wire in list(stage.wires):
            wire.reset()
        stage.clock.pass_time(CLOSE_TIMEOUT)
        self._look(checks.idle(stage, self.releases))
        self._look(checks.ended(stage, self.releases, self.staff))

    def _look_inside(self) -> None:
        for release in self.releases:
            self._look(checks.always(release.overseer, release.adopted))

    def _look(self, complaints: Iterable[str] = ()) -> None:
        for complaint in complaints:
            self.stage.ledger.complain(complaint)
        found = self.stage.ledger.complaints
        if found:
            raise Broken("; ".join(found[:3]))

    # What happens

    def _client(self) -> Client:
        dice = self.stage.dice
        self._clients = [c for c in self._clients if not c.wire.is_lost]
        number = dice.below(self.stage.setting.clients)
        if number < len(self._clients):
            return self._clients[number]
        self._guests += 1
        client = Client(self.stage, f"c{self._guests}", self._door)
        self._clients.append(client)
        return client

    def _carry(self) -> None:
        """Let the node read something."""
        wires = [wire for wire in self.stage.wires if wire.has_input]
        if wires:
            dice = self.stage.dice
            wire = dice.pick(wires)
            waiting = wire.waiting
            if dice.chance(self.stage.setting.whole):
                wire.deliver(waiting)
            else:
                wire.deliver(dice.among(1, max(1, waiting)))

    def _settle(self) -> None:
        """Carry everything, and let everybody answer, until nothing moves."""
        stage = self.stage
        for _ in range(ROUNDS):
            for client in self._clients:
                if not client.wire.is_lost:
                    client.conclude()
            for process in self.staff.living():
                process.conclude()
            moved = False
            for wire in list(stage.wires):
                # First the bytes, then their end.
                while wire.has_input:
                    wire.deliver(wire.waiting)
                    moved = True
            stage.clock.pass_time(0)
            self._look()
            if not moved and not stage.ledger.is_behind():
                break

    def _disturb(self, fault: str) -> None:
        stage = self.stage
        pool = self.overseer.pool
        if fault == "drain" and self._drained is None:
            stage.ledger.stopped = True
            self._drained = self.releases.drain().addCallback(self._is_drained)
        elif fault == "stop" and self._stopped is None:
            self._stop()
        elif fault == "update" and not stage.ledger.stopped:
            if not self.releases.update():
                return
        elif fault == "reactor stalls":
            since = stage.clock.seconds()
            until = since + stage.dice.wait(20 * stage.setting.pace)
            stage.ledger.stalled(since, until)
            stage.clock.rightNow = until
        elif fault == "control up":
            pool.control(stage.dice.among(1, 7))
        elif fault == "control down":
            pool.control(max(1, pool.wanted - 1))
        elif fault == "control automatic":
            pool.control(0)
        else:
            return
        stage.happened("node", fault)

    def _stop(self) -> None:
        if self._stopped is None:
            dice = self.stage.dice
            patience = dice.pick((None, dice.spread(0.01, 10.0)))
            self.stage.journal.note("node", "stops", patience or "")
            self.stage.ledger.stopped = True
            stopped = self.releases.stop(patience)
            self._stopped = stopped.addCallback(self._is_stopped)

    def _is_drained(self, result: None) -> None:
        overseer = self.overseer
        if overseer.backlog or any(w.load for w in overseer.pool.workers.values()):
            self.stage.ledger.complain("the engine says too early that it is drained")

    def _is_stopped(self, result: object) -> None:
        if self.overseer.pool.workers or self.staff.living():
            self.stage.ledger.complain("the engine says too early that it has stopped")
