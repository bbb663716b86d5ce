# -*- test-case-name: cocained.test.test_docs_examples -*-
"""A gateway of one's own: the same seed leads to the same node."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from zope.interface import implementer

from cocained.component import Component, NoArgs
from cocained.interfaces import IGateway, INode


class Remote(NamedTuple):
    """One copy of a service, in the form in which ``resolve`` gives it."""

    endpoints: Sequence[tuple[str, int]]
    version: int
    graph: Mapping[int, Any]


@implementer(IGateway)
class StickyGateway(Component[NoArgs]):
    """Type ``sticky``: rendezvous hashing over the nodes that carry a service."""

    #: Local copies of a service are taken first.
    full = False

    def __init__(self, node: INode, name: str, args: NoArgs) -> None:
        super().__init__(node, name, args)
        self._copies: dict[str, dict[str, Remote]] = {}

    def resolve(self, name: str, seed: str = "") -> Remote | None:
        copies = self._copies.get(name)
        if not copies:
            return None
        return copies[max(copies, key=lambda uuid: _weight(uuid, seed))]

    def consume(
        self,
        uuid: str,
        name: str,
        endpoints: Sequence[tuple[str, int]],
        version: int,
        graph: Mapping[int, Any],
        extra: Mapping[str, Any],
    ) -> None:
        copies = self._copies.setdefault(name, {})
        copies[uuid] = Remote(endpoints, version, graph)

    def cleanup(self, uuid: str, name: str | None = None) -> None:
        for service in [name] if name is not None else list(self._copies):
            copies = self._copies.get(service, {})
            copies.pop(uuid, None)
            if not copies:
                self._copies.pop(service, None)


def _weight(uuid: str, seed: str) -> bytes:
    text = f"{uuid}\0{seed}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=8).digest()
