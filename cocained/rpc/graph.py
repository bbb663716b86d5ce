# -*- test-case-name: cocained.test.test_rpc_graph -*-
"""
Dispatch graphs: which messages may follow which (protocol.md §2.1).

A root graph maps a number to ``(name, dispatch, upstream)``; a nested one maps
a number to ``(name, next)``, where ``next`` is ``{}`` for the end, ``None`` for
"the same again", or a nested graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cocained.errors import InvalidArgument
from cocained.rpc.codec import Pairs

Nested = Mapping[int, tuple[str, Any]]
Root = Mapping[int, tuple[str, Any, Any]]

#: Nothing more may be sent in that direction.
TERMINAL: Nested = {}

#: One answer.
PRIMITIVE: Nested = {0: ("value", {}), 1: ("error", {})}

#: Any number of chunks, then the end.
STREAMING: Nested = {0: ("write", None), 1: ("error", {}), 2: ("close", {})}

#: A subscription that the client may give up.
DISCARDABLE: Nested = {0: ("discard", {})}

VALUE, ERROR = 0, 1
WRITE, CLOSE = 0, 2

#: Messages below every service, counted down from 65535 (protocol.md §1.4).
#: They are answered, and left out of the graphs: clients look methods up by
#: name, and some compare whole graphs.
CONTROL = 65532
GOAWAY, PING, SETTINGS, REVOKE = 65532, 65533, 65534, 65535

#: How deep and how large a published graph may be.
GRAPH_DEPTH = 16
GRAPH_SIZE = 4096


def parse_root(value: Any) -> Root:
    """
    Check a root graph that came over the wire.

    :returns: the same as plain dictionaries, ready to be packed again.
    :raises InvalidArgument: it is none.
    """
    budget = _Budget()
    root: dict[int, tuple[str, Any, Any]] = {}
    for number, entry in _entries(value, budget, 3):
        name, dispatch, upstream = entry
        root[number] = (
            _name(name),
            _nested(dispatch, budget, 1),
            _nested(upstream, budget, 1),
        )
    return root


class _Budget:
    """Counts the entries of one graph."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = GRAPH_SIZE

    def take(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise InvalidArgument(f"a graph has more than {GRAPH_SIZE} entries")


def _entries(value: Any, budget: _Budget, size: int) -> list[tuple[int, list[Any]]]:
    if not isinstance(value, Pairs):
        raise InvalidArgument("a graph is no map")
    found = []
    for number, entry in value:
        budget.take()
        if type(number) is not int or number < 0:
            raise InvalidArgument("a message number of a graph is no unsigned integer")
        if type(entry) is not list or len(entry) != size:
            raise InvalidArgument(f"an entry of a graph has not {size} elements")
        found.append((number, entry))
    return found


def _name(value: Any) -> str:
    if type(value) is not bytes:
        raise InvalidArgument("a name of a graph is no string")
    return value.decode("utf-8", "surrogateescape")


def _nested(value: Any, budget: _Budget, depth: int) -> Any:
    if value is None:
        return None
    if depth > GRAPH_DEPTH:
        raise InvalidArgument(f"a graph is deeper than {GRAPH_DEPTH} levels")
    return {
        number: (_name(name), _nested(after, budget, depth + 1))
        for number, (name, after) in _entries(value, budget, 2)
    }
