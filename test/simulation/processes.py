# -*- test-case-name: cocained.test.test_simulation -*-
"""
Worker processes: how they are spawned, and how they die.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cocained.errors import SpawnError
from cocained.interfaces import IWorkerHandle, IWorkerObserver
from cocained.rpc.roles import Root
from cocained.status import exit_reason
from cocained.test.simulation.conversation import Conversation
from cocained.test.simulation.stage import Stage

#: Most seconds until a process that is killed has ended, that is asked to end
#: has been made to, and until the end of a process is noticed.
KILLING, ENDING, NOTICING = 0.1, 3.0, 0.5

#: How much longer than usual something takes that takes long.
LONG = 20


class SpawnBug(Exception):
    """An isolate fails with what an isolate must not fail with."""


@implementer(IWorkerHandle)
class Process:
    """
    One process, from the order to spawn it to its end.

    :param name: of this process alone; its uuid differs from run to run.
    :param uuid: what it was told to say in its handshake.
    :param root: takes the connections of workers.
    :param observer: the engine's.

    :ivar spawned: the engine's; fires with the handle.
    :ivar is_alive: whether it is, or will be.
    """

    def __init__(
        self, stage: Stage, name: str, uuid: str, root: Root, observer: IWorkerObserver
    ) -> None:
        self.name = self.identity = name
        self._stage = stage
        self._observer = observer
        self.spawned: Deferred[IWorkerHandle] = Deferred(self._cancelled)
        self.is_alive = True
        self._is_started = False
        self._spawn_fault = stage.faults.strike("spawn")
        self._start_fault = stage.faults.strike("start")
        for fault in (self._spawn_fault, self._start_fault):
            if fault is not None:
                stage.happened(name, fault)
        pace = stage.setting.pace
        slow = LONG if self._spawn_fault == "spawn takes long" else 1
        self._spawn_time = stage.clock.seconds() + stage.dice.wait(pace * slow)
        late = LONG if self._start_fault == "handshake late" else 1
        self._connect_time = self._spawn_time + stage.dice.wait(pace * late)
        self._talk = Conversation(stage, self, uuid.encode(), root)

    # Handle, for the engine

    def terminate(self) -> None:
        self._stage.journal.note(self.name, "is asked to end")
        self._die_within(ENDING, -15)

    def kill(self) -> None:
        self._stage.journal.note(self.name, "is killed")
        self._die_within(KILLING, -9)

    def usage(self) -> None:
        """Nobody knows."""

    def _cancelled(self, spawned: Deferred[IWorkerHandle]) -> None:
        self._stage.journal.note(self.name, "is cancelled")
        self._vanish()

    # What it does

    def act(self) -> None:
        """Do something, as far as its time has come."""
        now = self._stage.clock.seconds()
        if not self._talk.has_begun and self._may_connect(now):
            self._talk.begin(self._start_fault)
        if self._is_started:
            self._talk.act(now)
        elif now >= self._spawn_time and self._spawn_fault != "spawn never ends":
            self._spawn()

    def conclude(self) -> None:
        """Do all that there is to do, or a part of it."""
        self.act()
        if self.is_alive:
            self._talk.conclude()

    def _spawn(self) -> None:
        fault = self._spawn_fault
        stage = self._stage
        stage.journal.note(self.name, "spawned", fault or "")
        if fault in ("spawn fails", "spawn raises"):
            self._vanish()
            # Unless that has made the node give it up.
            if not self.spawned.called:
                kind = SpawnError if fault == "spawn fails" else SpawnBug
                self.spawned.errback(kind("as it was meant to"))
            return
        self._is_started = True
        self.spawned.callback(self)
        if self._start_fault == "worker exits before its handshake":
            self.die(stage.dice.pick((0, 1, 127)))

    def _may_connect(self, now: float) -> bool:
        fault = self._start_fault
        if fault == "handshake before the spawn has ended":
            return True
        wanted = fault not in (
            "handshake never comes",
            "worker exits before its handshake",
        )
        return wanted and self._is_started and now >= self._connect_time

    def output(self, data: bytes) -> None:
        """Print."""
        self._observer.output(data)

    # How it ends

    def die(self, status: int) -> None:
        """
        Be no more; the node learns of it a little later.

        :param status: negative for signals.
        """
        if not self.is_alive:
            return
        stage = self._stage
        stage.journal.note(self.name, "dies", status)
        self.is_alive = False
        self._talk.end(abruptly=status < 0 and stage.dice.chance(0.5))
        delay = stage.dice.pick((0.0, stage.dice.between(0.0, NOTICING)))
        stage.clock.callLater(delay, self._observer.exited, *exit_reason(status))

    def _die_within(self, seconds: float, status: int) -> None:
        delay = self._stage.dice.between(0.0, seconds)
        self._stage.clock.callLater(delay, self.die, status)

    def _vanish(self) -> None:
        """Be no more, before the node has the handle."""
        self.is_alive = False
        self._talk.end(abruptly=True)
