# -*- test-case-name: cocained.test.test_links_tidings -*-
"""
What one write of a ``connect`` stream says (protocol.md §3.3).

::

    [uuid, {name: [[[host, port]…], version, graph]…}]    no endpoints: removed
    headers: …, x-cocaine-locator-extra = packed {key: value…}

Pure.  Everything that comes from the other side is looked at here: what is left
is safe to be given to a gateway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from cocained.errors import InvalidArgument
from cocained.rpc.arguments import (
    listing,
    numeric_address,
    record,
    text,
    unsigned,
)
from cocained.rpc.codec import Pairs, pack, unpack
from cocained.rpc.graph import Root, parse_root
from cocained.rpc.headers import Header

#: The header that carries what a node says besides (protocol.md §3.3).
EXTRA_HEADER: Final = b"x-cocaine-locator-extra"

#: Key of ours in that map: names of routing groups that were refreshed, of all
#: groups if the list is empty.  The original reads ``x-cocaine-cluster`` only.
GROUPS_KEY: Final = "cocained-groups"

#: Most bytes of a service's name or a node's uuid: names become file names,
#: which bear so many.
NAME_LIMIT = 255

#: Most addresses of one service: a machine with more has its own problems.
ENDPOINT_LIMIT = 64

#: Deepest nesting of the extra values; they are written by people.
EXTRA_DEPTH = 16

#: Most names of groups in one message; beyond it all groups are meant.
GROUPS_LIMIT = 256

#: Different graphs, and different extra values, that a node remembers, so that a
#: thousand copies of an app share one: more than a cluster has kinds of services.
REMEMBERED = 1024

#: Bytes of a graph or of extra values beyond which they are not remembered: a
#: usual graph has a hundred or two.  With the number above, 4 MiB for each.
REMEMBERED_BYTES = 4096

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})

_endpoints = listing(record(text, unsigned))

T = TypeVar("T")


class Offer(NamedTuple):
    """
    One service of a node.

    :param name: of the service.
    :param endpoints: numeric; none if the service has been removed.
    :param version: of its protocol.
    :param graph: its root graph.
    """

    name: str
    endpoints: Sequence[tuple[str, int]]
    version: int
    graph: Root


class Tidings:
    """
    One message.

    :param uuid: of the node that speaks.
    :param offers: no name twice.
    :param extra: what that node says besides, the same for all its services.
    :param groups: routing groups that were refreshed, all if it is empty;
        ``None`` if that is not what the message is about.
    """

    __slots__ = ("extra", "groups", "names", "offers", "uuid")

    def __init__(
        self,
        uuid: str,
        offers: Sequence[Offer],
        extra: Mapping[str, Any] = _NOTHING,
        groups: Sequence[str] | None = None,
    ) -> None:
        self.uuid = uuid
        self.offers = offers
        self.extra = extra
        self.groups = groups
        #: of the services that are there, not of those that were removed
        self.names = frozenset(offer.name for offer in offers if offer.endpoints)


class Reader:
    """
    Reads the messages of all links of a node.

    It remembers graphs and extra values: a cluster has few of them, and many
    copies of each.
    """

    def __init__(self) -> None:
        self._graphs: dict[bytes, Root] = {}
        self._extras: dict[bytes, Mapping[str, Any]] = {}

    def read(self, args: list[Any], headers: Iterable[Header]) -> Tidings:
        """
        Read one write.

        :raises InvalidArgument: it is none; says what is wrong with it.
        :raises RemoteProtocolError: its extra values are no msgpack.
        """
        if len(args) < 2:
            raise InvalidArgument("an announcement is a uuid and a map of services")
        uuid = _name(args[0], "the uuid of a node")
        services = args[1]
        if not isinstance(services, Pairs):
            raise InvalidArgument("the services of an announcement are no map")
        # A name that comes twice counts as the later one says.
        offers = {offer.name: offer for offer in map(self._offer, services)}
        extra = self._extra(headers)
        return Tidings(uuid, tuple(offers.values()), extra, _groups(extra))

    def _offer(self, pair: tuple[Any, Any]) -> Offer:
        name = _name(pair[0], "the name of a service")
        value = pair[1]
        if type(value) is not list or len(value) < 3:
            raise InvalidArgument(
                f"service {name!r} is not announced as endpoints, version and graph"
            )
        endpoints = _endpoints(value[0])
        check_endpoints(endpoints)
        return Offer(name, endpoints, unsigned(value[1]), self._graph(value[2]))

    def _graph(self, value: Any) -> Root:
        try:
            key = pack(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidArgument("a graph is no map") from error
        graph = self._graphs.get(key)
        if graph is None:
            graph = parse_root(value)
            _remember(self._graphs, key, graph)
        return graph

    def _extra(self, headers: Iterable[Header]) -> Mapping[str, Any]:
        packed = b"".join(value for name, value in headers if name == EXTRA_HEADER)
        if not packed:
            return _NOTHING
        extra = self._extras.get(packed)
        if extra is None:
            value = unpack(packed)
            if not isinstance(value, Pairs):
                raise InvalidArgument("the extra values of a node are no map")
            extra = MappingProxyType(_plain(value, 0))
            _remember(self._extras, packed, extra)
        return extra


def _remember(memory: dict[bytes, T], key: bytes, value: T) -> None:
    if len(key) <= REMEMBERED_BYTES:
        if len(memory) >= REMEMBERED:
            memory.clear()
        memory[key] = value


def check_endpoints(endpoints: Sequence[tuple[str, int]]) -> None:
    """
    See that addresses can be told to others.

    :raises InvalidArgument: one is not numeric, or there are too many.
    """
    if len(endpoints) > ENDPOINT_LIMIT:
        raise InvalidArgument(
            f"a service has {len(endpoints)} endpoints, the limit is {ENDPOINT_LIMIT}"
        )
    for host, port in endpoints:
        try:
            numeric_address(host)
        except ValueError:
            raise InvalidArgument(f"{host!r} is no numeric address") from None
        if port > 65535:
            raise InvalidArgument(f"{port} is no port")


def check_name(name: str, what: str) -> None:
    """
    See that a name is not empty and not too long.

    :param what: for people, what it names.
    :raises InvalidArgument: it is.
    """
    size = len(name.encode("utf-8", "surrogateescape"))
    if not 0 < size <= NAME_LIMIT:
        raise InvalidArgument(f"{what} has {size} bytes, not 1 to {NAME_LIMIT}")


def _name(value: Any, what: str) -> str:
    name: str = text(value)
    check_name(name, what)
    return name


def _groups(extra: Mapping[str, Any]) -> Sequence[str] | None:
    groups = extra.get(GROUPS_KEY)
    if groups is None:
        return None
    if type(groups) is not list or not all(type(name) is str for name in groups):
        raise InvalidArgument("refreshed groups are no list of names")
    return groups if len(groups) <= GROUPS_LIMIT else ()


def _plain(value: Any, depth: int) -> Any:
    if depth > EXTRA_DEPTH:
        raise InvalidArgument(f"extra values are deeper than {EXTRA_DEPTH} levels")
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, Pairs):
        return {text(key): _plain(item, depth + 1) for key, item in value}
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    return value
