# -*- test-case-name: cocained.test.test_testing_lab -*-
"""
What goes wrong between the ports of a bridge, as rules of nftables; pure.
"""

from __future__ import annotations

from collections.abc import Iterable

#: Name of the table, in the family ``bridge``.
TABLE = "lab"

#: Loss is told to the kernel in parts of so many.
PARTS = 10_000


class Faults:
    """
    Who does not reach whom, and who loses how much.

    Ports are the names of the bridge's interfaces.
    """

    def __init__(self) -> None:
        self._parted: set[tuple[str, str]] = set()
        self._losses: dict[str, float] = {}

    def part(
        self, some: Iterable[str], others: Iterable[str], one_way: bool = False
    ) -> None:
        """
        Let nothing of *some* reach *others*.

        :param one_way: whether the way back stays open.
        """
        others = list(others)
        for each in some:
            for other in others:
                self._parted.add((each, other))
                if not one_way:
                    self._parted.add((other, each))

    def heal(self) -> None:
        """Let everybody reach everybody; losses stay."""
        self._parted.clear()

    def lose(self, port: str, percent: float) -> None:
        """
        Lose packets at a port, each direction by itself.

        :param percent: 0…100; 0 for none.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"no share in percent: {percent}")
        if percent:
            self._losses[port] = percent
        else:
            self._losses.pop(port, None)

    def ruleset(self) -> str:
        """
        Give the rules for ``nft -f -``.

        They replace the former ones at once, so no packet meets half of them.
        """
        rules = [
            f'iifname "{source}" oifname "{target}" drop'
            for source, target in sorted(self._parted)
        ]
        for port, percent in sorted(self._losses.items()):
            share = round(percent / 100 * PARTS)
            # The kernel refuses a comparison that is always true.
            dice = f"numgen random mod {PARTS} < {share} " if share < PARTS else ""
            rules += [f'{way} "{port}" {dice}drop' for way in ("iifname", "oifname")]
        lines = [
            f"add table bridge {TABLE}",
            f"delete table bridge {TABLE}",
            f"table bridge {TABLE} {{",
            "  chain between {",
            "    type filter hook forward priority 0; policy accept;",
            *(f"    {rule}" for rule in rules),
            "  }",
            "}",
        ]
        return "\n".join(lines) + "\n"
