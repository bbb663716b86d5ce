# -*- test-case-name: cocained.test.test_clusters_announcement -*-
"""
What one node says of itself to a group: one datagram, pure.

::

    msgpack [ uuid, [[address, port], …] ]      protocol.md §3.7

Anybody on the network can send such a datagram, so nothing in it is believed
before it has been looked at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack

from cocained.errors import RemoteProtocolError, TransportCode
from cocained.rpc.arguments import numeric_address
from cocained.rpc.codec import pack

#: Bytes of one datagram, as in the original: UDP carries no more.
DATAGRAM_LIMIT = 65536

#: Addresses of one node: a host with more has other troubles, and a link would
#: try them all in turn.
ENDPOINT_LIMIT = 64

#: Bytes of the longest text: a uuid has 36, an IPv6 address with a zone about 60.
TEXT_LIMIT = 128

#: Names of nodes stand in logs and tables, so they are printed as they are.
_UUID = re.compile(rb"[0-9A-Za-z_.:-]{1,%d}" % TEXT_LIMIT)

#: What the library raises for bytes that it does not like.
_REFUSALS = (ValueError, TypeError, RecursionError, msgpack.UnpackException)


class Announcement(NamedTuple):
    """
    A node and where its locator is.

    :param uuid: of the node.
    :param endpoints: numeric addresses and ports, at least one.
    """

    uuid: str
    endpoints: Sequence[tuple[str, int]]

    def to_datagram(self) -> bytes:
        """Pack it, in raw strings, as nodes of the original do."""
        return pack([self.uuid, [list(each) for each in self.endpoints]])

    @classmethod
    def from_datagram(cls, datagram: bytes) -> Announcement:
        """
        Read what somebody has sent.

        Elements behind the second are ignored, for nodes to come.

        :raises RemoteProtocolError: it is no announcement.
        """
        try:
            value = msgpack.unpackb(
                datagram,
                raw=True,
                max_str_len=TEXT_LIMIT,
                max_bin_len=TEXT_LIMIT,
                max_array_len=ENDPOINT_LIMIT,
                max_map_len=0,
                max_ext_len=0,
            )
        except _REFUSALS as error:
            raise _bad(f"{type(error).__name__} {error}".rstrip()) from error
        if type(value) is not list or len(value) < 2:
            raise _bad("expected a uuid and a list of addresses")
        uuid, endpoints = value[:2]
        if type(uuid) is not bytes or not _UUID.fullmatch(uuid):
            raise _bad("the uuid is none")
        return cls(uuid.decode("ascii"), endpoints_from(endpoints))


def endpoints_from(value: Any) -> list[tuple[str, int]]:
    """
    Read where a node says that its locator is.

    :param value: unpacked, strings as bytes.
    :returns: numeric addresses and ports, at least one.
    :raises RemoteProtocolError: there are none that can be used.
    """
    if type(value) is not list or not value:
        raise _bad("there is no address")
    if len(value) > ENDPOINT_LIMIT:
        raise _bad(f"there are {len(value)} addresses")
    return [_endpoint(each) for each in value]


def _endpoint(value: Any) -> tuple[str, int]:
    if type(value) is not list or len(value) != 2:
        raise _bad("an address is an IP address and a port")
    host, port = value
    if type(host) is not bytes or type(port) is not int or not 0 < port < 65536:
        raise _bad("an address is an IP address and a port")
    try:
        text = host.decode("ascii")
        address = numeric_address(text)
    except ValueError:
        raise _bad("an address is not numeric") from None
    if address.is_unspecified or address.is_multicast:
        # Connecting to the former reaches oneself, to the latter nobody.
        raise _bad(f"nobody can be reached at {address}")
    return text, port


def _bad(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"no announcement: {reason}", TransportCode.PARSE)
