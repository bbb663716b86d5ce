# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
Bytes of memory that a node spends on others: measured at one node, since nodes of
a simulation share what real ones each have.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Sequence

import msgspec

from cocained.gateways.adhoc import AdhocArgs, AdhocGateway
from cocained.links.announcements import Announcements
from cocained.links.links import Links
from cocained.links.offers import packed_offer
from cocained.links.pace import Pace
from cocained.links.roles import Address, Ear
from cocained.links.tidings import Reader
from cocained.rpc.codec import Decoder
from cocained.rpc.headers import NO_TRACE, HeaderTable
from cocained.rpc.session import Session
from cocained.rpc.turn import Turn
from cocained.test.cluster_simulation.clock import NodeClock, VirtualClock
from cocained.test.cluster_simulation.node import GRAPH, VERSION
from cocained.testing import stub_node

#: Other nodes, and services of each, with which is measured.
NODES = 1000
SERVICES = 20


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """
    Bytes at one node.

    :ivar link: for each node that is listened to, apart from its connection.
    :ivar service: for each service that is known, copies of one app counted each.
    :ivar listener: for each node that listens, its session included, apart from
        the socket.
    """

    link: int
    service: int
    listener: int


class _Line:
    """A connection that is there, and weighs next to nothing."""

    __slots__ = ("ear",)

    def __init__(self, ear: Ear) -> None:
        self.ear = ear

    def dial(self) -> None:
        """It is there."""

    def ping(self) -> None:
        """Nobody answers."""

    def hang_up(self) -> None:
        """Nobody cares."""


class _Dialer:
    def __init__(self) -> None:
        self.ears: list[Ear] = []

    def line(self, endpoints: Sequence[Address], ear: Ear) -> _Line:
        self.ears.append(ear)
        return _Line(ear)


class _Nowhere:
    """A connection that swallows everything."""

    def write(self, data: bytes) -> None:
        """Swallow it."""

    def pause(self) -> None:
        """Nothing comes."""

    def resume(self) -> None:
        """Nothing comes."""

    def close(self) -> None:
        """It is never open."""

    def untaken(self) -> int:
        return 0


def weigh(nodes: int = NODES) -> Weights:
    """
    Weigh links, services and listeners.

    :param nodes: how many others there are; too few weigh too much.
    """
    bare = _weigh(lambda: _links(nodes, 0))
    full = _weigh(lambda: _links(nodes, SERVICES))
    return Weights(
        link=bare // nodes,
        service=(full - bare) // (nodes * SERVICES),
        listener=_weigh(lambda: _listeners(nodes)) // nodes,
    )


def _weigh(make: Callable[[], object]) -> int:
    """Say how many bytes what is made takes."""
    make()  # what is kept for the next one is there now
    gc.collect()
    tracemalloc.start()
    made = make()
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del made
    return size


def _uuid(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


def _links(nodes: int, services: int) -> object:
    """One node that has heard from all others what they have."""
    dialer = _Dialer()
    clock = NodeClock(VirtualClock())
    gateway = AdhocGateway(stub_node(clock), "gateway", AdhocArgs())
    links = Links("here", list, clock, dialer, gateway, Pace(), lambda names: None)
    reader = Reader()
    for number in range(nodes):
        host = f"10.0.{number >> 8}.{number & 255}"
        uuid = _uuid(number)
        links.link(uuid, [(host, 10053)])
        ear = dialer.ears.pop()
        ear.reached((host, 10053), (host, 10053))
        told = Announcements(uuid, {})
        for app in range(number, number + services):
            packed = packed_offer([(host, 20000 + app)], VERSION, GRAPH)
            told.set(f"app-{app % 200:04d}", packed)
        (message,) = told.messages(told._services)
        frame = message.frame(1, NO_TRACE)
        (_, _, args, headers) = Decoder().decode(frame)[0]
        ear.told(reader.read(args, HeaderTable().decode(headers)))
    return links, gateway, reader, clock


def _listeners(nodes: int) -> object:
    """One node that tells all others."""
    told = Announcements("here", {})
    turn = Turn(lambda: 0.0, lambda function: None)
    sessions = []
    for number in range(nodes):
        session = Session(turn, _Nowhere(), None)
        turn.begin()
        stream = told.listen(_uuid(number), session, 1, [])
        assert stream is not None  # it is told until it is closed
        session.channels[1] = stream
        turn.end()
        sessions.append(session)
    return told, sessions
