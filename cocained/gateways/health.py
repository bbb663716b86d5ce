# -*- test-case-name: cocained.test.test_gateways_health -*-
"""
Which targets of a gateway answer: those that do not are taken out, and come
back when they do.

A target is an address.  It is *down* from the moment in which a probe of it, or
whoever has business with it, meets a refusal or no answer; then it is probed
with back-off until a connection can be opened.  A probe opens a connection and
closes it, and says nothing: that works with every service there is.

There is one timer for all targets, and a limit on probes at a time.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Annotated, Final, Protocol

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as Wire
from typing_extensions import override

from cocained.apps.policy import Backoff
from cocained.interfaces import IReactor
from cocained.rpc.connection import Address, endpoint_for, plainly

#: Probes at a time: enough for a thousand targets that are probed every five
#: seconds and half of which need a second to fail, few beside the node's own
#: connections.
PROBES: Final = 128

#: Waits are longer or shorter by up to this part, so that nodes which noticed
#: something at the same moment do not ask at the same moment.
JITTER: Final = 0.25

#: When a target is to be probed that need not be.
NEVER: Final = -1.0

#: Entries of the schedule that are void, before it is made anew.
VOID_LIMIT: Final = 1024


class ProbeArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How targets are probed that nobody has complained about."""

    interval: Annotated[
        float,
        msgspec.Meta(
            ge=0.1,
            le=86400,
            description="Between two probes of one target that is up.",
            extra={"unit": "seconds"},
        ),
    ] = 5.0
    timeout: Annotated[
        float,
        msgspec.Meta(
            ge=0.01,
            le=60,
            description="For a target to accept the connection of a probe.",
            extra={"unit": "seconds"},
        ),
    ] = 1.0


class HealthObserver(Protocol):
    """Who hears of targets.  Called from the reactor, never from within a call."""

    def target_down(self, target: Address, reason: str) -> None:
        """
        The target does not answer.

        :param reason: for people, such as ``Connection refused``.
        """

    def target_up(self, target: Address) -> None:
        """The target answers again."""


class _Target:
    """
    One address.

    :ivar users: how often it was added.
    :ivar due: when it is to be probed, in seconds of the clock, or :data:`NEVER`.
    """

    __slots__ = ("address", "backoff", "due", "probe", "up", "users")

    def __init__(self, address: Address) -> None:
        self.address = address
        self.backoff = Backoff()
        self.due = NEVER
        self.probe: Deferred[None] | None = None
        self.up = True
        self.users = 0


class Health:
    """
    Keeps watch over targets.

    :param reactor: time and sockets.
    :param observer: hears of each change.
    :param probe: how to probe targets that are up; ``None`` leaves those alone,
        and only what :meth:`failed` tells takes a target out.
    :param chance: gives a number of 0…1, for jitter.
    """

    def __init__(
        self,
        reactor: IReactor,
        observer: HealthObserver,
        probe: ProbeArgs | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._reactor = reactor
        self._observer = observer
        self._interval = probe.interval if probe is not None else None
        self._timeout = (probe or ProbeArgs()).timeout
        self._chance = chance
        self._targets: dict[Address, _Target] = {}
        # Entries whose time is not their target's any more are void.
        self._schedule: list[tuple[float, int, _Target]] = []
        self._serial = 0
        self._probing = 0
        self._call: IDelayedCall | None = None
        self._factory = _ProbeFactory()

    def __len__(self) -> int:
        return len(self._targets)

    # For the owner of the targets

    def add(self, target: Address) -> None:
        """Watch *target*; as often as it is added it has to be removed."""
        found = self._targets.get(target)
        if found is None:
            found = self._targets[target] = _Target(target)
            if self._interval is not None:
                # A whole cluster may be added at once.
                self._plan(found, self._interval * self._chance())
        found.users += 1

    def remove(self, target: Address) -> None:
        """Watch *target* no more; an unknown one is no error."""
        found = self._targets.get(target)
        if found is None:
            return
        found.users -= 1
        if not found.users:
            del self._targets[target]
            self._release(found)
            self._arm()

    def is_up(self, target: Address) -> bool:
        """Say whether *target* is worth a try; an unknown one is."""
        found = self._targets.get(target)
        return found is None or found.up

    def failed(self, target: Address, reason: str) -> None:
        """
        Tell that *target* refused or did not answer; it is down from now on.

        The observer is not told what it knows.

        :param reason: for people.
        """
        found = self._targets.get(target)
        if found is not None and found.up:
            self._release(found)
            self._down(found)

    def succeeded(self, target: Address) -> None:
        """Tell that *target* has answered; it is up from now on."""
        found = self._targets.get(target)
        if found is not None and not found.up:
            self._release(found)
            found.up = True
            self._plan_next(found)
            self._arm()

    def stop(self) -> None:
        """Forget all targets, and leave nothing running."""
        targets, self._targets = self._targets, {}
        for target in targets.values():
            self._release(target)
        self._schedule.clear()
        self._arm()

    # The schedule

    def _plan(self, target: _Target, seconds: float) -> None:
        target.due = self._reactor.seconds() + seconds
        self._serial += 1
        if len(self._schedule) > 2 * len(self._targets) + VOID_LIMIT:
            self._schedule = [
                entry for entry in self._schedule if entry[0] == entry[2].due
            ]
            heapq.heapify(self._schedule)
        heapq.heappush(self._schedule, (target.due, self._serial, target))
        self._arm()

    def _plan_next(self, target: _Target) -> None:
        if self._interval is not None:
            self._plan(target, self._interval * self._spread())

    def _spread(self) -> float:
        return 1 + JITTER * (2 * self._chance() - 1)

    def _release(self, target: _Target) -> None:
        """Take back what was planned for *target* or is going on."""
        target.due = NEVER
        probe, target.probe = target.probe, None
        if probe is not None:
            probe.cancel()

    def _arm(self) -> None:
        """Set the timer to what is due first."""
        schedule = self._schedule
        while schedule and schedule[0][0] != schedule[0][2].due:
            heapq.heappop(schedule)
        call = self._call
        if not schedule or self._probing >= PROBES:
            if call is not None:
                self._call = None
                call.cancel()
            return
        delay = max(0.0, schedule[0][0] - self._reactor.seconds())
        if call is None:
            self._call = self._reactor.callLater(delay, self._run)
        elif call.getTime() != schedule[0][0]:
            call.reset(delay)

    def _run(self) -> None:
        self._call = None
        now = self._reactor.seconds()
        while self._schedule and self._probing < PROBES:
            due, _, target = self._schedule[0]
            if due == target.due and due > now:
                break
            heapq.heappop(self._schedule)
            if due == target.due:
                target.due = NEVER
                self._begin(target)
        self._arm()

    # Probes

    def _begin(self, target: _Target) -> None:
        self._probing += 1
        probe = Deferred.fromCoroutine(self._probe(target))
        # It may be over: an address can be wrong enough for that.
        target.probe = None if probe.called else probe

    async def _probe(self, target: _Target) -> None:
        reason = ""
        try:
            endpoint = endpoint_for(self._reactor, target.address, self._timeout)
            protocol = await endpoint.connect(self._factory)
        except (CancelledError, ConnectingCancelledError):
            self._probing -= 1
            return
        except Exception as error:
            # Whatever an endpoint may fail with: nobody is there.
            reason = plainly(error)
        else:
            assert isinstance(protocol, Wire) and protocol.transport is not None
            protocol.transport.loseConnection()
        self._probing -= 1
        target.probe = None
        self._found(target, reason)

    def _found(self, target: _Target, reason: str) -> None:
        was_up = target.up
        if reason:
            self._down(target)
            if was_up:
                self._observer.target_down(target.address, reason)
        else:
            target.up = True
            self._plan_next(target)
            if not was_up:
                self._observer.target_up(target.address)
        self._arm()

    def _down(self, target: _Target) -> None:
        target.up = False
        delay = target.backoff.failed(self._reactor.seconds())
        self._plan(target, delay * self._spread())


class _ProbeFactory(Factory):
    noisy = False

    @override
    def buildProtocol(self, addr: IAddress | None) -> Wire:
        return Wire()
