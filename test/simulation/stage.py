# -*- test-case-name: cocained.test.test_simulation -*-
"""
What all actors of one run share.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cocained.rpc.wire import Wiring
from cocained.test.simulation.dice import Dice
from cocained.test.simulation.faults import Faults
from cocained.test.simulation.journal import Journal
from cocained.test.simulation.ledger import Ledger
from cocained.test.simulation.setting import Setting
from cocained.testing import MemoryReactor

if TYPE_CHECKING:
    from cocained.test.simulation.wires import Wire


@dataclass(frozen=True, slots=True)
class Stage:
    """
    Time, chance and memory of one run, and its connections.

    :ivar wires: that are not lost.
    :ivar figures: for the totals.
    """

    clock: MemoryReactor
    wiring: Wiring
    dice: Dice
    setting: Setting
    faults: Faults
    journal: Journal
    ledger: Ledger
    wires: list[Wire] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)

    def happened(self, who: str, fault: str) -> None:
        """Something has gone wrong as it was meant to."""
        self.faults.counts[fault] += 1
        self.journal.note(who, "fault", fault)
