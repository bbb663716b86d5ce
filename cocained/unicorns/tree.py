# -*- test-case-name: cocained.test.test_unicorns_tree -*-
"""
A tree of nodes in memory, with the rules of ZooKeeper.

Every change is first *planned*, as the states of the nodes that it touches,
and then *applied*.  In between the states can be written to a disk: what has
been planned and not applied has not happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cocained.errors import (
    NodeExists,
    NoNode,
    UnicornBusy,
    UnicornError,
    VersionNotAllowed,
)
from cocained.unicorns.keeper import Change, Stat
from cocained.unicorns.paths import parent

#: Default for the most bytes of a tree: all of it is in memory, and its journal
#: is up to a few times as long.
TOTAL_LIMIT = 1 << 26

#: Bytes counted for each node besides its path and value: about what CPython
#: needs for it.
OVERHEAD = 512


class State(NamedTuple):
    """
    One node, or that there is none.

    :param data: ``None`` for a node that is deleted.
    :param sequence: the number of the next sequence node below.
    """

    path: str
    data: bytes | None
    version: int = 0
    children_version: int = 0
    sequence: int = 0
    ephemeral: bool = False


class Event(NamedTuple):
    """Something for those who watch *path*."""

    path: str
    change: Change


class Plan(NamedTuple):
    """
    A change that has not happened yet.

    :param states: of the nodes afterwards.
    :param events: whom to tell.
    """

    states: list[State]
    events: list[Event]


ROOT = State("", b"")


class Tree:
    """
    All nodes.

    :param limit: bytes of them all, see :data:`OVERHEAD`.
    """

    def __init__(self, limit: int = TOTAL_LIMIT) -> None:
        self._limit = limit
        self._nodes: dict[str, State] = {"": ROOT}
        self._children: dict[str, set[str]] = {"": set()}
        #: bytes of all nodes
        self.size = 0

    def __iter__(self) -> Iterator[State]:
        """All nodes, those above before those below."""
        return iter(sorted(self._nodes.values()))

    # What is there

    def read(self, path: str) -> tuple[bytes, Stat]:
        """:raises NoNode: there is none."""
        node = self._node(path)
        assert node.data is not None
        return node.data, self._stat(node)

    def look(self, path: str) -> Stat | None:
        """Say what is known of a node."""
        node = self._nodes.get(path)
        return None if node is None else self._stat(node)

    def names(self, path: str) -> tuple[list[str], Stat]:
        """:raises NoNode: there is none."""
        node = self._node(path)
        return sorted(self._children[path]), self._stat(node)

    def _node(self, path: str) -> State:
        node = self._nodes.get(path)
        if node is None:
            raise NoNode(f"there is no node {path}")
        return node

    def _stat(self, node: State) -> Stat:
        children = self._children[node.path]
        return Stat(node.version, node.children_version, len(children))

    # What may happen

    def create(self, path: str, data: bytes, ephemeral: bool, sequence: bool) -> Plan:
        """
        Plan a node.  The first state is the new node's.

        :raises NoNode: nothing is above it.
        :raises NodeExists: it is there.
        :raises UnicornError: an ephemeral node is above it.
        :raises UnicornBusy: the tree is full.
        """
        above = self._node(parent(path))
        if sequence:
            path = f"{path}{above.sequence:010}"
        if path in self._nodes:
            raise NodeExists(f"there is a node {path} already")
        if above.ephemeral:
            raise UnicornError(f"{above.path} is ephemeral and can have no children")
        node = State(path, data, ephemeral=ephemeral)
        self._check_room(_weight(node))
        grown = above._replace(
            children_version=above.children_version + 1, sequence=above.sequence + 1
        )
        return Plan(
            [node, grown],
            [Event(path, Change.CREATED), Event(above.path, Change.CHILDREN)],
        )

    def write(self, path: str, data: bytes, version: int) -> Plan:
        """
        Plan another value.

        :raises NoNode: there is none.
        :raises VersionNotAllowed: it has another version.
        """
        node = self._node(path)
        _check_version(node, version)
        written = node._replace(data=data, version=node.version + 1)
        self._check_room(_weight(written) - _weight(node))
        return Plan([written], [Event(path, Change.WRITTEN)])

    def delete(self, path: str, version: int) -> Plan:
        """
        Plan the end of a node.

        :raises NoNode: there is none.
        :raises VersionNotAllowed: it has another version.
        :raises UnicornError: it has children.
        """
        node = self._node(path)
        _check_version(node, version)
        if self._children[path]:
            raise UnicornError(f"{path} has children; remove those first")
        above = self._node(parent(path))
        shrunk = above._replace(children_version=above.children_version + 1)
        return Plan(
            [State(path, None), shrunk],
            [Event(path, Change.DELETED), Event(above.path, Change.CHILDREN)],
        )

    def _check_room(self, growth: int) -> None:
        if growth > 0 and self.size + growth > self._limit:
            raise UnicornBusy(
                f"all nodes take {self.size} of {self._limit} bytes; remove some, or"
                " raise max-total"
            )

    # What has happened

    def apply(self, states: Iterable[State]) -> None:
        """
        Make the states those of the tree.

        :raises UnicornError: they are not those of a plan for this tree.
        """
        for state in states:
            if state.data is None:
                self._drop(state.path)
            else:
                self._put(state)

    def _put(self, state: State) -> None:
        old = self._nodes.get(state.path)
        if old is None:
            siblings = self._children.get(parent(state.path))
            if siblings is None:
                raise UnicornError(f"nothing is above {state.path}")
            if self._nodes[parent(state.path)].ephemeral:
                raise UnicornError(f"what is above {state.path} is ephemeral")
            siblings.add(_name(state.path))
            self._children[state.path] = set()
        elif old.ephemeral != state.ephemeral:
            raise UnicornError(f"{state.path} is ephemeral, or it is not")
        else:
            self.size -= _weight(old)
        self._nodes[state.path] = state
        self.size += _weight(state)

    def _drop(self, path: str) -> None:
        if not path or path not in self._nodes or self._children[path]:
            raise UnicornError(f"{path} cannot be dropped")
        self.size -= _weight(self._nodes.pop(path))
        del self._children[path]
        self._children[parent(path)].discard(_name(path))

    def ephemeral(self) -> list[str]:
        """Give the paths of all ephemeral nodes."""
        return sorted(path for path, node in self._nodes.items() if node.ephemeral)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _weight(node: State) -> int:
    # The root is there before anybody pays for it.
    if not node.path:
        return 0
    return len(node.path.encode()) + len(node.data or b"") + OVERHEAD


def _check_version(node: State, version: int) -> None:
    if version not in (-1, node.version):
        raise VersionNotAllowed(
            f"{node.path} has version {node.version}, not {version}"
        )
