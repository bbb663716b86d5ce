# -*- test-case-name: cocained.test.test_links_links -*-
"""
How patient links are; a section of the locator's arguments.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from cocained.config import Invalid

#: A day, in seconds; longer waits are a slip of units.
_DAY = 86400

_Seconds = Annotated[float, Meta(gt=0, le=_DAY)]


class Pace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Times of the links to other nodes, in seconds; all of this is ours."""

    ping: Annotated[
        _Seconds,
        Meta(description="Each linked node is asked this often for a sign of life."),
    ] = 5.0
    late: Annotated[
        _Seconds,
        Meta(
            description="A node that takes longer to answer is avoided by gateways"
            " that can choose, until it does answer."
        ),
    ] = 2.0
    timeout: Annotated[
        _Seconds,
        Meta(
            description="A node that takes longer to answer is forgotten, and its"
            " link begins anew."
        ),
    ] = 15.0
    handshake: Annotated[
        _Seconds,
        Meta(
            description="An attempt to link may take this long: to connect, and to"
            " hear for the first time what the node offers."
        ),
    ] = 10.0
    retry: Annotated[
        tuple[_Seconds, _Seconds],
        Meta(
            description="``[first, longest]``: the wait before the next attempt is"
            " chosen at random from 0 up to the first of these; that doubles"
            " with each failure in a row, up to the longest."
        ),
    ] = (1.0, 32.0)

    def __post_init__(self) -> None:
        faults = []
        if self.late > self.timeout:
            faults.append(("late", f"must not be above timeout, {self.timeout:g}"))
        first, longest = self.retry
        if first > longest:
            faults.append(("retry", f"must grow, but {longest:g} is below {first:g}"))
        if faults:
            raise Invalid(*faults)
