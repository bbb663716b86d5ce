# -*- test-case-name: cocained.test.test_fuzz -*-
"""
Datagrams to a group of multicast: anybody on the network may send one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable

import msgpack

from cocained.clusters.announcement import (
    DATAGRAM_LIMIT,
    ENDPOINT_LIMIT,
    TEXT_LIMIT,
    Announcement,
)
from cocained.errors import RemoteProtocolError, TransportCode
from cocained.rpc.codec import pack
from cocained.test.fuzz.targets import Target, law

UUID = "0c1b7c4a-3a5e-4b8c-9a43-6d5f0a1b2c3d"

#: Signs of the longest refusal, which goes to the log and to operators.
MAX_REASON = 256

Read = Callable[[bytes], Announcement]


def check(data: bytes, read: Read = Announcement.from_datagram) -> None:
    """
    Take one datagram.

    :param read: of datagrams, or the same with a fault.
    """
    try:
        found = read(data)
    except RemoteProtocolError as error:
        law(error.code == TransportCode.PARSE, "a refusal has its number", error.code)
        law(0 < len(error.reason) <= MAX_REASON, "refusals are short", error.reason)
        law(error.reason.isprintable(), "refusals are printed", error.reason)
        return
    law(0 < len(found.uuid) <= TEXT_LIMIT, "a uuid is short", found.uuid)
    law(is_plain(found.uuid), "a uuid can stand in a log", found.uuid)
    law(0 < len(found.endpoints) <= ENDPOINT_LIMIT, "there are some addresses")
    for host, port in found.endpoints:
        law(0 < port < 65536, "ports are ports", port)
        law(len(host) <= TEXT_LIMIT, "an address is short", host)
        law(is_plain(host), "an address can stand in a log", host)
        address = ipaddress.ip_address(host)
        law(
            not (address.is_unspecified or address.is_multicast),
            "somebody can be there",
            host,
        )
    again = found.to_datagram()
    law(len(again) <= DATAGRAM_LIMIT, "what fits is told in one datagram", len(again))
    law(read(again) == found, "it is read again as it was told", again)


def is_plain(text: str) -> bool:
    """Say whether a text is one word of ASCII that can be printed."""
    return text.isascii() and text.isprintable() and " " not in text


def seeds() -> Iterable[bytes]:
    """Honest datagrams of both generations, and others."""
    first = ["192.0.2.1", 10053]
    for endpoints in (
        [first],
        [first, ["2001:db8::1", 10053], ["fe80::1%eth0", 10053]],
        [["::", 1]],
        [["0.0.0.0", 1]],
        [["224.0.0.1", 1]],
        [["fe80::1%\n", 1]],
        [["fe80::1%" + "z" * 60, 1]],
        [["localhost", 1]],
        [["127.0.0.1", 0]],
        [["127.0.0.1", 65536]],
        [],
        [first] * ENDPOINT_LIMIT,
        [first] * (ENDPOINT_LIMIT + 1),
    ):
        yield pack([UUID, endpoints])
    yield msgpack.packb([UUID, [first]])
    yield pack([UUID, [first], {"later": 1}])
    yield pack([UUID, [first], 7])
    yield pack(["a uuid\n", [first]])
    yield pack([UUID * 4, [first]])
    yield pack([UUID, [first]]) + b"\0"
    yield pack([UUID, [first]])[:-1]
    yield pack({})
    yield b"\x91" * 600
    yield b"\xdd\xff\xff\xff\xff"
    yield b"\xc6\xff\xff\xff\xff"
    yield b"\xc7\x00\x00"


TARGET = Target(
    run=check,
    seeds=seeds,
    words=(pack(UUID), pack("192.0.2.1"), pack("fe80::1%eth0"), b"\xcd\x27\x45", b"%"),
    size=2048,
)
