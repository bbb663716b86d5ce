# -*- test-case-name: cocained.test.test_directory -*-
"""
Which ports services listen at.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping

from cocained.errors import CocainedError


class Ports:
    """
    The ports of the services: pinned, shared, or the system's choice
    (protocol.md §12.4).

    :param pinned: service name to port.
    :param shared: first port, and the one behind the last; equal for none.
    """

    def __init__(self, pinned: Mapping[str, int], shared: tuple[int, int]) -> None:
        self._pinned = dict(pinned)
        numbers = [n for n in range(*shared) if n not in self._pinned.values()]
        random.shuffle(numbers)
        self._free = deque(numbers)
        #: whether there is a range to take ports from
        self.limited = shared[1] > shared[0]

    def candidates(self, name: str) -> list[int]:
        """
        The ports to try for a service, in order; 0 is the system's choice.

        :raises CocainedError: all are taken.
        """
        if name in self._pinned:
            return [self._pinned[name]]
        if not self.limited:
            return [0]
        if not self._free:
            raise _no_ports(name)
        return list(self._free)

    def take(self, number: int) -> None:
        """*number* is in use."""
        if number in self._free:
            self._free.remove(number)

    def release(self, number: int) -> None:
        """*number* may be used again, after all others."""
        if self.limited and number not in self._pinned.values():
            self._free.append(number)


def _no_ports(name: str) -> CocainedError:
    return CocainedError(
        f"no ports left for allocation: service {name!r} needs one; see network.shared"
    )
