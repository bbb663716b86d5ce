# -*- test-case-name: cocained.test.test_docs_examples -*-
"""A cluster plugin of one's own: the peers stand in the configuration."""

from __future__ import annotations

import ipaddress
from typing import Annotated

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from cocained.component import Component
from cocained.config import Invalid
from cocained.interfaces import ICluster, ILinks, INode

log = Logger()


class Peer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The locator of another node."""

    host: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]

    def __post_init__(self) -> None:
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            raise Invalid(("host", "must be a numeric address")) from None


class FixedArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of the fixed cluster."""

    peers: Annotated[
        dict[str, Peer], msgspec.Meta(description="uuid of a node to its locator.")
    ]
    interval: Annotated[
        float, msgspec.Meta(gt=0, description="Seconds between attempts to link.")
    ] = 60.0


@implementer(ICluster)
class FixedCluster(Component[FixedArgs]):
    """Type ``fixed``."""

    Args = FixedArgs

    def __init__(self, node: INode, name: str, args: FixedArgs) -> None:
        super().__init__(node, name, args)
        self._links: ILinks | None = None
        self._loop = LoopingCall(self._announce)
        # The reactor that the node gave us is the only source of time.
        self._loop.clock = node.reactor

    def attach(self, links: ILinks) -> None:
        self._links = links

    def start(self) -> None:
        running: Deferred[LoopingCall] = self._loop.start(self.args.interval)
        running.addErrback(lambda failure: log.failure("no more peers", failure))

    def stop(self) -> None:
        if self._loop.running:
            self._loop.stop()

    def _announce(self) -> None:
        links = self._links
        assert links is not None, "attach() comes before start()"
        for uuid, peer in self.args.peers.items():
            # Linking to a node that is linked already does nothing.
            if uuid != links.uuid:
                links.link(uuid, [(peer.host, peer.port)])
