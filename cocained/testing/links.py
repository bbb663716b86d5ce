# -*- test-case-name: cocained.test.test_links_links -*-
"""
A table of links that leads nowhere, for tests of cluster plugins.
"""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from cocained.interfaces import ILinks


@implementer(ILinks)
class MemoryLinks:
    """
    What a cluster plugin reports to.

    :param uuid: of this node.
    :param here: where its locator listens.

    :ivar nodes: endpoints of each node that is linked, by uuid.
    :ivar told: everything that was said, in order: ``("link", uuid,
        endpoint…)`` and ``("drop", uuid)``.
    """

    def __init__(
        self, uuid: str = "here", here: Sequence[tuple[str, int]] = ()
    ) -> None:
        self.uuid = uuid
        self.here = list(here)
        self.nodes: dict[str, Sequence[tuple[str, int]]] = {}
        self.told: list[tuple[object, ...]] = []

    def endpoints(self) -> Sequence[tuple[str, int]]:
        return self.here

    def link(self, uuid: str, endpoints: Sequence[tuple[str, int]]) -> None:
        self.told.append(("link", uuid, *endpoints))
        if uuid != self.uuid:
            self.nodes[uuid] = tuple(endpoints)

    def drop(self, uuid: str) -> None:
        self.told.append(("drop", uuid))
        self.nodes.pop(uuid, None)

    def take(self) -> list[tuple[object, ...]]:
        """Give what was said since the last look."""
        told, self.told = self.told, []
        return told
