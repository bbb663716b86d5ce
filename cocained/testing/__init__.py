# -*- test-case-name: cocained.test.test_testing -*-
"""
A node in memory, for tests of its parts and of plugins.

Time passes and bytes move only when a test says so; there are no sockets, no
threads and no processes.  A :class:`Peer` is the far end of a connection, a
:class:`ScriptedWorker` one that speaks as workers do; a :class:`FakeNode` has
a :class:`MemoryReactor` and whatever a test puts into it.

:mod:`cocained.testing.contracts` has what every storage, gateway and cluster plugin
must do, as mixins for the tests of those that a plugin brings.
"""

from cocained.testing.links import MemoryLinks
from cocained.testing.nodes import (
    LOCATOR,
    FakeNode,
    MemoryDirectory,
    MemoryDoor,
    MemoryIsolate,
    MemorySpawn,
    StubNode,
    stub_node,
)
from cocained.testing.peers import (
    MemoryTransport,
    Peer,
    ScriptedWorker,
    frame,
    plain,
)
from cocained.testing.reactor import MemoryPort, MemoryReactor, PumpedReactor

__all__ = [
    "LOCATOR",
    "FakeNode",
    "MemoryDirectory",
    "MemoryDoor",
    "MemoryIsolate",
    "MemoryLinks",
    "MemoryPort",
    "MemoryReactor",
    "MemorySpawn",
    "MemoryTransport",
    "Peer",
    "PumpedReactor",
    "ScriptedWorker",
    "StubNode",
    "frame",
    "plain",
    "stub_node",
]
