# -*- test-case-name: cocained.test.test_unicorns -*-
"""
The unicorn ``memory``: all there is, until the node ends.

For tests, and for a node whose services coordinate among themselves only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from typing_extensions import override
from zope.interface import implementer

from cocained.errors import UnicornError
from cocained.interfaces import INode, IUnicorn
from cocained.unicorns.base import KeeperUnicorn
from cocained.unicorns.local import LocalKeeper, Nowhere
from cocained.unicorns.tree import TOTAL_LIMIT, Tree

T = TypeVar("T")


class MemoryArgs(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"
):
    """Arguments of the unicorn type ``memory``."""

    max_total: Annotated[
        int,
        msgspec.Meta(ge=1, description="Bytes of all nodes; default 64 MiB."),
    ] = TOTAL_LIMIT


@implementer(IUnicorn)
class MemoryUnicorn(KeeperUnicorn[MemoryArgs]):
    """Nodes in dictionaries; every Deferred has fired when it is given."""

    Args = MemoryArgs

    def __init__(self, node: INode, name: str, args: MemoryArgs | None = None) -> None:
        super().__init__(node, name, args or MemoryArgs())
        tree = Tree(self.args.max_total)
        self.keeper: LocalKeeper = LocalKeeper(node.reactor, tree, Nowhere(), _at_once)

    @override
    def stop(self) -> None:
        self.keeper.close()


def _at_once(function: Callable[[], T]) -> Deferred[T]:
    try:
        return succeed(function())
    except UnicornError as error:
        return fail(error.with_traceback(None))
