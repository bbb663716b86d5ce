# -*- test-case-name: cocained.test.test_simulation -*-
"""
What can go wrong, and how often it does in one run.

A run has a part of all faults only, drawn by its seed: where everything breaks
at once, nothing gets far enough to break in an interesting way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from cocained.test.simulation.dice import Dice

#: By the actor whom they befall.  The names are those of the totals.
KINDS: Mapping[str, Sequence[str]] = {
    "client": (
        "client sends error",
        "client revokes",
        "client resets",
        "client leaves",
        "client shuts down its half",
        "client stops reading",
        "client talks on a finished channel",
        "client sends an unknown message",
        "client sends a chunk of no string",
        "client sends an unknown method",
        "client sends bytes that are no frame",
        "client asks on channel 0",
    ),
    "request": (
        "request with a tiny deadline",
        "request with a deadline of 0",
        "request with a bad deadline",
        "request with a bad trace",
    ),
    "spawn": (
        "spawn fails",
        "spawn raises",
        "spawn is refused before it begins",
        "spawn never ends",
        "spawn takes long",
    ),
    "start": (
        "handshake before the spawn has ended",
        "handshake never comes",
        "handshake late",
        "handshake of a wrong uuid",
        "handshake twice",
        "handshake on an odd channel",
        "stranger connects and says nothing",
        "worker exits before its handshake",
    ),
    "worker": (
        "worker dies by a signal",
        "worker exits",
        "worker closes its socket",
        "worker resets its socket",
        "worker says terminate by itself",
        "worker stops its heartbeat",
        "worker stops reading",
        "worker answers twice",
        "worker answers on a channel of nobody",
        "worker answers with an error",
        "worker sends an unknown message",
        "worker sends a chunk of no string",
        "worker sends an unknown control message",
        "worker sends bytes that are no frame",
        "worker shakes hands again",
        "worker prints",
    ),
    "end": (
        "worker ignores terminate",
        "worker exits without a farewell",
        "worker closes its socket without a farewell",
        "worker works on after terminate",
    ),
    "node": (
        "reactor stalls",
        "control up",
        "control down",
        "control automatic",
        "update",
        "drain",
        "stop",
    ),
}

#: Probability that something goes wrong when an actor of that kind acts.
RATES: Mapping[str, tuple[float, float]] = {
    "client": (0.01, 0.15),
    "request": (0.02, 0.2),
    "spawn": (0.05, 0.4),
    "start": (0.05, 0.4),
    "worker": (0.01, 0.2),
    "end": (0.1, 0.9),
    "node": (0.001, 0.05),
}

#: Part of the runs in which actors of one kind do all as they should.
CALM = 0.2

#: Kinds that end a run's interesting part: few runs have them.
RARE = frozenset({"drain", "stop"})


class Faults:
    """
    The faults of one run.

    :param dice: of the run.
    """

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._rates: dict[str, float] = {}
        self._kinds: dict[str, list[str]] = {}
        #: how often each has happened
        self.counts: Counter[str] = Counter()
        for actor, kinds in KINDS.items():
            calm = dice.chance(CALM)
            self._rates[actor] = 0.0 if calm else dice.spread(*RATES[actor])
            share = dice.between(0.2, 1.0)
            self._kinds[actor] = [
                kind for kind in kinds if dice.chance(0.1 if kind in RARE else share)
            ]

    def strike(self, actor: str) -> str | None:
        """Say what goes wrong with an actor of that kind now, if anything."""
        kinds = self._kinds[actor]
        if kinds and self._dice.chance(self._rates[actor]):
            return self._dice.pick(kinds)
        return None

    def cease(self) -> None:
        """Nothing goes wrong from now on."""
        self._rates = dict.fromkeys(self._rates, 0.0)
