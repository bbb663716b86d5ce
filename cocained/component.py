# -*- test-case-name: cocained.test.test_repository -*-
"""
The base that plugins may inherit: it keeps what it was built with.

Nobody has to; :class:`cocained.interfaces.IComponent` is the contract.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec
from twisted.internet.defer import Deferred

from cocained.interfaces import INode


class NoArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For components that take no arguments."""


A = TypeVar("A", bound=msgspec.Struct)


class Still:
    """What has nothing to start, nothing to let go and nothing to finish."""

    def start(self) -> Deferred[None] | None:
        return None

    def stop(self) -> Deferred[None] | None:
        return None

    def drain(self) -> Deferred[None] | None:
        return None


class Component(Still, Generic[A]):
    """
    A component with nothing to start and nothing to let go.

    :cvar Args: the ``msgspec.Struct`` that describes ``args`` in the
        configuration; its field names are written with ``rename="kebab"`` or
        ``None`` as the original spells them.
    :param node: who built it.
    :param name: the name under which it is configured.
    :param args: an instance of ``Args``.
    """

    Args: type[msgspec.Struct] = NoArgs

    def __init__(self, node: INode, name: str, args: A) -> None:
        self.node = node
        self.name = name
        self.args = args
