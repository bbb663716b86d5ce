# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
What is drawn before a run begins.
"""

from __future__ import annotations

from dataclasses import dataclass

from cocained.links.pace import Pace
from cocained.test.simulation.dice import Dice


@dataclass(frozen=True, slots=True)
class Setting:
    """
    The circumstances of one run.

    :ivar nodes: at the beginning.
    :ivar apps: that there are in all.
    :ivar share: part of the nodes on which each app is.
    :ivar pace: of the links.
    :ivar latency: of lines, the least and the most, in seconds.
    :ivar capacity: bytes on their way over one line.
    :ivar is_multicast: whether nodes find each other by datagrams, or in a registry.
    :ivar interval: seconds between datagrams, or until the registry sees who is gone.
    :ivar storm: how long things go wrong, in seconds.
    :ivar trouble: seconds from one thing that happens to the next, on average.
    """

    nodes: int
    apps: int
    share: float
    pace: Pace
    latency: tuple[float, float]
    capacity: int
    is_multicast: bool
    interval: float
    storm: float
    trouble: float


def draw(dice: Dice, nodes: int | None, apps: int | None) -> Setting:
    """
    Draw the setting of a run.

    :param nodes: how many, or any small number.
    :param apps: the same.
    """
    ping = dice.spread(0.5, 5.0)
    late = ping * dice.between(0.1, 0.5)
    pace = Pace(
        ping=ping,
        late=late,
        timeout=late + ping * dice.between(0.5, 3.0),
        handshake=dice.spread(1.0, 10.0),
        retry=(dice.between(0.5, 1.5), dice.spread(4.0, 32.0)),
    )
    least = dice.spread(0.0001, 0.01)
    return Setting(
        nodes=nodes or dice.among(2, 12),
        apps=apps or dice.among(1, 12),
        share=0.1 if apps else dice.between(0.1, 0.9),
        pace=pace if not nodes else Pace(retry=(1.0, 8.0)),
        latency=(least, least * dice.spread(1.0, 10.0)),
        capacity=dice.pick((0, 200, 1000, 65536)),
        is_multicast=dice.chance(0.5),
        interval=dice.spread(1.0, 5.0),
        storm=dice.between(20.0, 60.0) if not nodes else 20.0,
        trouble=dice.spread(0.1, 3.0) if not nodes else 0.2,
    )
