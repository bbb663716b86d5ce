# -*- test-case-name: cocained.test.test_gateways_vicodyn_likeness -*-
"""
What a service is, by its graph: an app, a node, or anything else.

Names of services say nothing; graphs do (plugins.md §4.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cocained.apps.service import AppService
from cocained.rpc.graph import CONTROL, PRIMITIVE, STREAMING, TERMINAL, Root

#: Number of ``enqueue`` in the graph of a node.
ENQUEUE: Final = 5

#: What nodes of 0.12.14 offer (protocol.md §6.1).
NODE_GRAPH: Final[Root] = {
    0: ("start_app", TERMINAL, PRIMITIVE),
    1: ("pause_app", TERMINAL, PRIMITIVE),
    2: ("list", TERMINAL, PRIMITIVE),
    3: ("info", TERMINAL, PRIMITIVE),
    4: ("control", STREAMING, PRIMITIVE),
    ENQUEUE: ("enqueue", STREAMING, STREAMING),
}

#: What apps offer (protocol.md §7).
APP_GRAPH: Final[Root] = AppService.protocol.graph


def is_node(graph: Mapping[int, Any]) -> bool:
    """Whether events for any app of a node can be given to this service."""
    return _names(graph) == _names(NODE_GRAPH) and _is_stream(graph[ENQUEUE])


def is_app(graph: Mapping[int, Any]) -> bool:
    """Whether this service is an app."""
    return _names(graph) == _names(APP_GRAPH) and _is_stream(graph[0])


def _names(graph: Mapping[int, Any]) -> dict[int, str]:
    """The methods, without the control messages that others list, too."""
    return {number: entry[0] for number, entry in graph.items() if number < CONTROL}


def _is_stream(entry: tuple[str, Any, Any]) -> bool:
    _, dispatch, upstream = entry
    return bool(_bare(dispatch) == _bare(upstream) == STREAMING)


def _bare(graph: Any) -> Any:
    """A nested graph without the control messages."""
    if graph is None:
        return None
    return {
        number: (name, _bare(after))
        for number, (name, after) in graph.items()
        if number < CONTROL
    }
