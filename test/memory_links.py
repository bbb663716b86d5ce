# -*- test-case-name: cocained.test.test_clusters_zookeeper -*-
"""
Links that lead nowhere, for tests of cluster plugins.
"""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from cocained.interfaces import ILinks


@implementer(ILinks)
class MemoryLinks:
    """
    What a cluster plugin reports to.

    :ivar here: addresses of this node's locator.
    :ivar nodes: what is linked, by uuid.
    :ivar told: all that was said, in order.
    """

    def __init__(self, uuid: str, *here: tuple[str, int]) -> None:
        self.uuid = uuid
        self.here = list(here)
        self.nodes: dict[str, list[tuple[str, int]]] = {}
        self.told: list[tuple[str, str]] = []

    def endpoints(self) -> Sequence[tuple[str, int]]:
        return self.here

    def link(self, uuid: str, endpoints: Sequence[tuple[str, int]]) -> None:
        self.nodes[uuid] = list(endpoints)
        self.told.append(("link", uuid))

    def drop(self, uuid: str) -> None:
        del self.nodes[uuid]
        self.told.append(("drop", uuid))
