# -*- test-case-name: cocained.test.test_clusters_predefine -*-
"""
Nodes that stand in the configuration (protocol.md §3.7).

The original wants the uuid of each.  A node has a new one each time it starts,
so addresses alone will do here: whoever is there is asked who he is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cocained.component import Component
from cocained.config import Invalid
from cocained.errors import CocainedError, RemoteProtocolError
from cocained.interfaces import ICluster, ILinks, INode, IReporter
from cocained.links.tidings import check_name
from cocained.rpc.client import Locator
from cocained.rpc.connection import Address, address_text

log = Logger()

#: Most nodes that one writes into a file; see ``LINK_LIMIT`` of the links.
NODE_LIMIT = 1024

#: Seconds that a node may take to say who it is.
ASK_TIMEOUT = 10.0

_ADDRESS = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\s:/\[\]]+)):(?P<port>\d{1,5})"
)


def parse_address(text: str) -> Address:
    """
    Read ``host:port``; addresses of IPv6 stand in brackets.

    :raises ValueError: it is none; the text says what one looks like.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ValueError("must be host:port, such as 192.0.2.1:10053 or [::1]:10053")
    port = int(found["port"])
    if not 0 < port < 65536:
        raise ValueError(f"{port} is no port, which is 1 to 65535")
    return found["v6"] or found["host"], port


class PredefineArgs(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """Arguments of the predefined cluster."""

    nodes: Annotated[
        dict[str, str] | list[str],
        Meta(
            description="The locators of the other nodes as ``host:port``: a list,"
            " or a map with their uuids as keys. A node has a new uuid each time it"
            " starts, unless its configuration names one; so use the list."
        ),
    ]
    interval: Annotated[
        float,
        Meta(
            gt=0,
            le=86400,
            description="Seconds between looks at who is at each address.",
        ),
    ] = 5.0

    def __post_init__(self) -> None:
        faults: list[tuple[tuple[str | int, ...], str]] = []
        if len(self.nodes) > NODE_LIMIT:
            reason = f"has {len(self.nodes)} nodes, the limit is {NODE_LIMIT}"
            faults.append((("nodes",), reason))
        seen: dict[Address, str | int] = {}
        for key, text in self.entries():
            try:
                address = parse_address(text)
            except ValueError as error:
                faults.append((("nodes", key), str(error)))
                continue
            if address in seen:
                reason = f"is the address of {seen[address]!r} as well"
                faults.append((("nodes", key), reason))
            seen.setdefault(address, key)
        if faults:
            raise Invalid(*faults)

    def entries(self) -> list[tuple[str | int, str]]:
        """The nodes by their key, or by their place in the list."""
        if isinstance(self.nodes, dict):
            return list(self.nodes.items())
        return list(enumerate(self.nodes))


class Place:
    """
    An address of which it is not known who is there.

    :param cluster: whose it is.
    :param address: where.
    """

    def __init__(self, cluster: PredefineCluster, address: Address) -> None:
        self._cluster = cluster
        self._locator = Locator(cluster.node.wiring, *address, timeout=ASK_TIMEOUT)
        self._asking: Deferred[Any] | None = None
        self._stopped = False
        self.address = address
        self.uuid = ""
        #: who was there before, until the next look
        self.former = ""
        self.error = ""

    def look(self) -> None:
        """Ask who is there, unless that has been asked and not answered."""
        if self._asking is None:
            self._asking = self._locator.service.call("uuid")
            self._asking.addCallbacks(self._known, self._unknown)

    def _known(self, answer: Any) -> None:
        self._asking = None
        if type(answer) is not bytes or not answer:
            error = RemoteProtocolError("it does not say its uuid")
            self._unknown(Failure(error))
            return
        uuid = answer.decode("utf-8", "surrogateescape")
        try:
            check_name(uuid, "the uuid of a node")
        except CocainedError as error:
            self._unknown(Failure(error))
            return
        self.error = ""
        former = self.uuid
        if self.former and self.former != uuid:
            # By now its successor has told everything, if it ever will.
            self._cluster.gone(self.former)
        self.former = former if former != uuid else ""
        self.uuid = uuid
        self._cluster.met(uuid)

    def _unknown(self, failure: Failure) -> None:
        self._asking = None
        if self._stopped:
            return
        if not failure.check(CocainedError):
            log.failure("a node could not be asked who it is", failure=failure)
        if not self.error:
            log.warn(
                "nobody at {address} says who he is: {error}; asking on",
                address=address_text(self.address),
                error=failure.value,
            )
        self.error = failure.getErrorMessage()
        # Perhaps a connection that nobody is at the other end of any more.
        self._locator.close()

    def stop(self) -> Deferred[None]:
        """
        Ask no more.

        :returns: fires when the connection is gone.
        """
        self._stopped = True
        if self._asking is not None:
            self._asking.cancel()
        return self._locator.close()


@implementer(ICluster, IReporter)
class PredefineCluster(Component[PredefineArgs]):
    """Types ``predefine`` and ``predefined``."""

    Args = PredefineArgs

    def __init__(self, node: INode, name: str, args: PredefineArgs) -> None:
        super().__init__(node, name, args)
        self._links: ILinks | None = None
        self._call: IDelayedCall | None = None
        self._places: list[Place] = []
        self._named: dict[str, Address] = {}
        for key, text in args.entries():
            address = parse_address(text)
            if isinstance(key, str):
                self._named[key] = address
            else:
                self._places.append(Place(self, address))

    def attach(self, links: ILinks) -> None:
        self._links = links

    def start(self) -> Deferred[None] | None:
        self._look()
        return None

    def stop(self) -> Deferred[None] | None:
        if self._call is not None:
            self._call.cancel()
            self._call = None
        stopped = gatherResults([place.stop() for place in self._places])
        return stopped.addCallback(lambda _: None)

    def _look(self) -> None:
        self._call = self.node.reactor.callLater(self.args.interval, self._look)
        for uuid, address in self._named.items():
            self._link(uuid, [address])
        for place in self._places:
            place.look()

    def _link(self, uuid: str, addresses: Sequence[Address]) -> None:
        if self._links is not None:
            self._links.link(uuid, addresses)

    # For places

    def _addresses(self, uuid: str) -> list[Address]:
        """Where a node was met last; it may have several addresses in the list."""
        return [place.address for place in self._places if place.uuid == uuid]

    def met(self, uuid: str) -> None:
        """A node has said who it is."""
        self._link(uuid, self._addresses(uuid))

    def gone(self, uuid: str) -> None:
        """A node is not where it was."""
        if self._links is not None and not self._addresses(uuid):
            self._links.drop(uuid)

    def report(self) -> Mapping[str, Any]:
        places = {
            address_text(place.address): {"uuid": place.uuid, "error": place.error}
            for place in self._places
        }
        named = {
            address_text(address): {"uuid": uuid, "error": ""}
            for uuid, address in self._named.items()
        }
        return {"interval": self.args.interval, "nodes": places | named}
