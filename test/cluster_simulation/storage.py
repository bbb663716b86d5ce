# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
The storage that all nodes share, as far as routing groups need one.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from cocained.errors import StorageError
from cocained.interfaces import IStorage
from cocained.rpc.codec import pack


@implementer(IStorage)
class GroupStorage:
    """
    Routing groups, by name.

    :ivar fails: whether it cannot be reached.
    :ivar reads: how often it was asked.
    """

    name = "core"

    def __init__(self) -> None:
        self.groups: dict[str, Mapping[str, int]] = {}
        self.fails = False
        self.reads = 0

    def start(self) -> None:
        """There is nothing to start."""

    def stop(self) -> None:
        """There is nothing to stop."""

    def find(self, collection: str, tags: Iterable[str]) -> Deferred[list[str]]:
        self.reads += 1
        if self.fails:
            return fail(StorageError(errno.EIO, "the storage is not reached"))
        return succeed(sorted(self.groups))

    def read(self, collection: str, key: str) -> Deferred[bytes]:
        self.reads += 1
        if self.fails:
            return fail(StorageError(errno.EIO, "the storage is not reached"))
        return succeed(pack(self.groups[key]))

    def write(
        self, collection: str, key: str, blob: bytes, tags: Iterable[str] = ()
    ) -> Deferred[None]:
        raise NotImplementedError("nodes of a simulation only read groups")

    def remove(self, collection: str, key: str) -> Deferred[None]:
        raise NotImplementedError("nodes of a simulation only read groups")
