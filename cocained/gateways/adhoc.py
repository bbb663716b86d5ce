# -*- test-case-name: cocained.test.test_gateways_adhoc -*-
"""
The ad-hoc gateway: one of the nodes that carry a service (protocol.md §3.6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from zope.interface import implementer

from cocained.component import Component
from cocained.errors import Category, CocainedError, LocatorCode
from cocained.interfaces import IGateway, INode

#: Key by which nodes of different clusters on one network keep apart.
CLUSTER_KEY = "x-cocaine-cluster"


class AdhocArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of the ad-hoc gateway."""

    cluster: Annotated[
        str,
        msgspec.Meta(
            description="Only nodes that say the same ``x-cocaine-cluster`` count."
        ),
    ] = msgspec.field(default="", name=CLUSTER_KEY)


class DuplicateRemote(CocainedError):
    """One node announced a service twice."""

    category = Category.LOCATOR
    code = LocatorCode.GATEWAY_DUPLICATE


class Remote(NamedTuple):
    """One copy of a service."""

    endpoints: Sequence[tuple[str, int]]
    version: int
    graph: Mapping[int, Any]


@implementer(IGateway)
class AdhocGateway(Component[AdhocArgs]):
    """
    Type ``adhoc``: the copies of a service take turns.

    The original picks at random; the founding documents promise round-robin
    (legacy-and-seeds.md row 263).
    """

    Args = AdhocArgs
    full = False

    def __init__(self, node: INode, name: str, args: AdhocArgs) -> None:
        super().__init__(node, name, args)
        self._remotes: dict[str, dict[str, Remote]] = {}

    def resolve(self, name: str, seed: str = "") -> Remote | None:
        copies = self._remotes.get(name)
        if not copies:
            return None
        uuid, remote = next(iter(copies.items()))
        # To the end of the line.
        del copies[uuid]
        copies[uuid] = remote
        return remote

    def consume(
        self,
        uuid: str,
        name: str,
        endpoints: Sequence[tuple[str, int]],
        version: int,
        graph: Mapping[int, Any],
        extra: Mapping[str, Any],
    ) -> None:
        if extra.get(CLUSTER_KEY, "") != self.args.cluster:
            return
        copies = self._remotes.setdefault(name, {})
        if uuid in copies:
            raise DuplicateRemote(f"service {name!r} of node {uuid} is known already")
        copies[uuid] = Remote(endpoints, version, graph)

    def cleanup(self, uuid: str, name: str | None = None) -> None:
        for key in [name] if name is not None else list(self._remotes):
            copies = self._remotes.get(key)
            if copies is not None:
                copies.pop(uuid, None)
                if not copies:
                    del self._remotes[key]
