# -*- test-case-name: cocained.test.test_gateways_kernel_unplaced -*-
"""
What is not forwarded, and why: told once, however often it is announced.
"""

from __future__ import annotations

from typing import NamedTuple

from twisted.logger import Logger

log = Logger()

#: Services that are remembered and logged.  Another node may announce thousands,
#: and again each time that its link comes back.
LIMIT = 100


class _Skip(NamedTuple):
    """Whose service it was, and why it is not forwarded."""

    uuid: str
    reason: str


class Unplaced:
    """
    Services that were skipped.

    :param gateway: its name, for the log.
    """

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway
        self._skipped: dict[str, _Skip] = {}

    @property
    def names(self) -> list[str]:
        """Of these services."""
        return sorted(self._skipped)

    @property
    def reasons(self) -> list[str]:
        """Each once."""
        return list(dict.fromkeys(skip.reason for skip in self._skipped.values()))

    def skip(self, uuid: str, name: str, reason: str) -> None:
        """A node's service is not forwarded."""
        former = self._skipped.get(name)
        if former is None and len(self._skipped) >= LIMIT:
            return
        self._skipped[name] = _Skip(uuid, reason)
        if former is None or former.reason != reason:
            log.warn(
                "gateway {gateway} does not balance {service}: {reason}",
                gateway=self._gateway,
                service=name,
                reason=reason,
            )

    def placed(self, name: str) -> None:
        """A service is forwarded; one that always was is no error."""
        self._skipped.pop(name, None)

    def forget(self, uuid: str, name: str | None) -> None:
        """A node does not have a service any more, or none at all."""
        names = list(self._skipped) if name is None else [name]
        for each in names:
            skip = self._skipped.get(each)
            if skip is not None and skip.uuid == uuid:
                del self._skipped[each]
