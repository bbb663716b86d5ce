# -*- test-case-name: cocained.test.test_simulation -*-
"""
What is drawn before a run begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cocained.apps.documents import Profile
from cocained.rpc.wire import Limits
from cocained.test.simulation.dice import Dice

#: Bytes of padding in chunks: none and few; more than is copied in one piece;
#: more than a session that is full forgives; more than a client may send for an
#: event that waits, and than a transport is given at once.  Bytes cost time, so
#: most runs have few.
SIZES = (
    *[(0, 0, 10, 100)] * 6,
    *[(0, 100, 5000)] * 3,
    *[(0, 10, 5000, 70000)] * 2,
    (0, 10, 400000),
)


@dataclass(frozen=True, slots=True)
class Setting:
    """
    The circumstances of one run.

    :ivar profile: of the app.
    :ivar version: of the worker protocol.
    :ivar limits: of the node's connections.
    :ivar clients: at a time.
    :ivar requests: of all clients together.
    :ivar steps: of the scheduler, before everybody comes to an end.
    :ivar eagerness: probability that a client begins something new when it acts.
    :ivar pace: seconds from one step to the next, on average.
    :ivar capacity: bytes that a connection takes before it asks for a pause.
    :ivar sizes: of the padding in chunks, in bytes.
    :ivar whole: probability that bytes arrive uncut.
    :ivar tidy: probability that somebody ends by themselves what they began.
    :ivar diligence: probability that a worker answers when it acts.
    """

    profile: Profile
    version: int
    limits: Limits
    clients: int
    requests: int
    steps: int
    eagerness: float
    pace: float
    capacity: int
    sizes: Sequence[int]
    whole: float
    tidy: float
    diligence: float


def draw(dice: Dice) -> Setting:
    """Draw the setting of a run."""
    pace = dice.spread(0.003, 1.0)
    return Setting(
        profile=draw_profile(dice, pace),
        version=0 if dice.chance(0.3) else 1,
        limits=Limits(
            channels=dice.pick((2, *[16384] * 9)),
            write_stall=dice.spread(1.0, 60.0),
        ),
        clients=dice.among(1, 4),
        requests=dice.among(5, 50),
        steps=dice.among(40, 450),
        eagerness=dice.spread(0.1, 0.8),
        pace=pace,
        capacity=int(dice.spread(64, 65536)),
        sizes=dice.pick(SIZES),
        whole=dice.between(0.1, 1.0),
        tidy=dice.pick((0.0, 0.5, 1.0)),
        diligence=dice.between(0.2, 1.0),
    )


def draw_profile(dice: Dice, pace: float) -> Profile:
    """
    Draw limits and timeouts.

    :param pace: of the run; timeouts that lie far from it would never matter,
        or leave nothing else to happen.
    """
    keys = {
        "pool-limit": dice.among(1, 5),
        "concurrency": dice.pick((1, 1, 2, 3, 10)),
        "queue-limit": dice.pick((0, 0, 1, 3, 10, 10, 100, 100)),
        "heartbeat-timeout": dice.spread(10 * pace, 1000 * pace),
        "spawn-timeout": dice.spread(5 * pace, 100 * pace),
        "handshake-timeout": dice.spread(10 * pace, 200 * pace),
        "seal-timeout": dice.spread(5 * pace, 200 * pace),
        "terminate-timeout": dice.spread(5 * pace, 100 * pace),
        # The longest lie beyond the horizon of the engine's deadlines.
        "request-timeout": dice.spread(30 * pace, max(150.0, 400 * pace)),
        "idle-timeout": dice.pick((0.0, dice.spread(5 * pace, 500 * pace))),
        "crashlog-limit": dice.pick((0, 2, 50)),
    }
    if dice.chance(0.5):
        keys["grow-threshold"] = dice.among(1, 5)
    return Profile.from_mapping("simulated", keys)
