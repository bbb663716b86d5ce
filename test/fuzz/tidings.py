# -*- test-case-name: cocained.test.test_fuzz -*-
"""
What other nodes say on a link: services, and values besides.

An input is one msgpack value, the arguments of a write, and behind it the bytes
of its header; the first two bytes say where the value ends.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from cocained.errors import InvalidArgument, RemoteProtocolError, to_wire
from cocained.links.tidings import (
    ENDPOINT_LIMIT,
    EXTRA_HEADER,
    GROUPS_LIMIT,
    NAME_LIMIT,
    REMEMBERED,
    Reader,
    Tidings,
)
from cocained.rpc.codec import pack, unpack
from cocained.test.fuzz.announcement import is_plain
from cocained.test.fuzz.targets import Target, law

UUID = "0c1b7c4a-3a5e-4b8c-9a43-6d5f0a1b2c3d"

GRAPH = {0: ["enqueue", {0: ["write", None]}, {0: ["write", None], 2: ["close", {}]}]}

#: Signs of the longest refusal: it may show a name, each byte of it escaped.
MAX_REASON = 4 * NAME_LIMIT + 256


def check(data: bytes, make: type[Reader] = Reader) -> None:
    """
    Take one input.

    :param make: the reader, or one with a fault.
    """
    end = 2 + int.from_bytes(data[:2], "big")
    try:
        args = unpack(data[2:end])
    except RemoteProtocolError:
        return  # of the session, which has a target of its own
    if type(args) is not list:
        return
    headers = [(b"x-other", b"1"), (EXTRA_HEADER, data[end:])]
    reader = make()
    found = _read(reader, args, headers)
    again = _read(reader, args, headers)
    law(_told(found) == _told(again), "what is remembered is what was read")
    law(len(reader._graphs) <= REMEMBERED, "memory is bounded")
    if isinstance(found, Tidings):
        _look(found)


def _read(
    reader: Reader, args: list[Any], headers: list[tuple[bytes, bytes]]
) -> Tidings | str:
    try:
        return reader.read(args, headers)
    except (InvalidArgument, RemoteProtocolError) as error:
        law(0 < len(error.reason) <= MAX_REASON, "refusals are short", error.reason)
        pack(list(to_wire(error)))
        return error.reason


def _told(found: Tidings | str) -> Any:
    if isinstance(found, str):
        return found
    # What is no number equals nothing, so that is compared as text.
    return repr((found.uuid, found.offers, found.extra, found.groups, found.names))


def _look(found: Tidings) -> None:
    """State what a gateway may rely on."""
    names = [offer.name for offer in found.offers]
    law(len(names) == len(set(names)), "no name comes twice", names)
    for name in (found.uuid, *names):
        size = len(name.encode("utf-8", "surrogateescape"))
        law(0 < size <= NAME_LIMIT, "names can be those of files", name)
    for offer in found.offers:
        law(len(offer.endpoints) <= ENDPOINT_LIMIT, "addresses are limited")
        for host, port in offer.endpoints:
            ipaddress.ip_address(host)
            law(is_plain(host), "an address can stand in a log", host)
            law(0 <= port < 65536, "ports are ports", port)
        law(offer.version >= 0, "versions are numbers", offer.version)
        law((offer.name in found.names) == bool(offer.endpoints), "names are there")
    if found.groups is not None:
        law(len(found.groups) <= GROUPS_LIMIT, "groups are limited")
    # They are told on, to gateways and to those who ask for them.
    law(all(type(key) is str for key in found.extra), "keys are text", found.extra)


def message(args: Any, extra: bytes = b"") -> bytes:
    """Make an input."""
    packed = pack(args)
    return len(packed).to_bytes(2, "big") + packed + extra


def seeds() -> Iterable[bytes]:
    """What nodes of both kinds say, and others."""
    place = [["192.0.2.1", 10053], ["2001:db8::1", 10053]]
    app = [place, 1, GRAPH]
    yield message([UUID, {"app": app}])
    yield message([UUID, {"app": app, "other": [[], 0, {}]}], b"\x80")
    yield message([UUID, {}], pack({"x-cocaine-cluster": "a", "weight": 1.5}))
    yield message([UUID, {}], pack({"cocained-groups": ["g1", "g2"]}))
    yield message([UUID, {}], pack({"cocained-groups": ["g"] * (GROUPS_LIMIT + 1)}))
    yield message([UUID, {}], pack({"cocained-groups": [1]}))
    yield message([UUID, {}], pack({"deep": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}))
    yield message([UUID, {}], pack({1: 2}))
    yield message([UUID, {}], b"\xc1")
    yield message([UUID, {}], b"\xc7\x01\x05x")
    yield message([UUID, {"app": [[["localhost", 1]], 1, {}]}])
    yield message([UUID, {"app": [[["fe80::1%\n", 1]], 1, {}]}])
    yield message([UUID, {"app": [place * 33, 1, {}]}])
    yield message([UUID, {"app": [place, -1, {}]}])
    yield message([UUID, {"app": [place, 1, {0: ["x"]}]}])
    yield message([UUID, {"": app}])
    yield message([UUID, {"n" * 256: app}])
    yield message(["", {}])
    yield message([UUID])
    yield message([UUID, []])
    yield message({})
    # A name that comes twice, and one that is no text.
    twice = b"\xa1a\x93\x90\x00\x80" + b"\xa1a\x93\x91\x92\xa3::1\x01\x00\x80"
    yield b"\x00\x16" + b"\x92\xa1u\x82" + twice
    yield message([b"\xff\xfe", {b"\xff": app}])


TARGET = Target(
    run=check,
    seeds=seeds,
    words=(pack(UUID), pack("cocained-groups"), pack("192.0.2.1"), pack(GRAPH), b"%"),
    size=2048,
)
