# -*- test-case-name: cocained.test.test_conventions -*-
"""
Other nodes: who finds them, who listens to them, who chooses among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    pass
from cocained.interfaces.plugins import IComponent


class IGateway(IComponent):
    """Answers where a remote service is (protocol.md §3.6)."""

    full: bool = Attribute(
        "Whether local and remote copies compete; else local ones come first."
    )

    def resolve(
        name: str, seed: str = ""
    ) -> tuple[Sequence[tuple[str, int]], int, Mapping[int, Any]] | None:
        """Pick one copy: endpoints, version and graph; ``None`` if unknown."""

    def consume(
        uuid: str,
        name: str,
        endpoints: Sequence[tuple[str, int]],
        version: int,
        graph: Mapping[int, Any],
        extra: Mapping[str, Any],
    ) -> None:
        """
        Learn that node *uuid* offers *name*.

        :raises cocained.errors.CocainedError: the announcement cannot be
            used, and the node that made it is dropped.
        """

    def cleanup(uuid: str, name: str | None = None) -> None:
        """Forget one service of a node, or all of them."""


class INodeObserver(Interface):
    """What a gateway may provide besides: it hears how other nodes are."""

    def node_observed(uuid: str, latency: float | None) -> None:
        """
        A node was asked for a sign of life.

        :param latency: seconds that its locator took to answer; ``None`` if it
            did not answer in time, and until it does again it had better not
            be chosen.
        """


class ILinks(Interface):
    """What a cluster plugin tells the locator."""

    uuid: str = Attribute("The uuid of this node.")

    def endpoints() -> Sequence[tuple[str, int]]:
        """Numeric addresses of this node's locator."""

    def link(uuid: str, endpoints: Sequence[tuple[str, int]]) -> None:
        """
        Link to that node's locator, unless it is linked already.

        Once linked it stays so until :meth:`drop`: what is lost comes back by
        itself.  Other endpoints than before count once it does not answer at those.
        What cannot be is logged and ignored, and so is this very node; without a
        gateway nobody is linked.

        :param endpoints: host names or numeric addresses with their ports.
        """

    def drop(uuid: str) -> None:
        """Forget that node; an unknown one is no error."""


class ICluster(IComponent):
    """Finds peer nodes (protocol.md §3.7)."""

    def attach(links: ILinks) -> None:
        """Take the object to report to; called once before :meth:`start`."""
