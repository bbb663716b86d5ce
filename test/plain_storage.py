# -*- test-case-name: cocained.test.test_versions -*-
"""
A storage as those of others may be: with nothing but what it must have.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cocained.interfaces import IStorage


@implementer(IStorage)
class PlainStorage:
    """
    A storage that tells no versions.

    :param inner: where the objects are.
    :ivar reads: how often it was read.
    """

    name = "core"

    def __init__(self, inner: IStorage) -> None:
        self._inner = inner
        self.reads = 0

    def start(self) -> None:
        """Nothing to do."""

    def stop(self) -> None:
        """Nothing to do."""

    def read(self, collection: str, key: str) -> Deferred[bytes]:
        self.reads += 1
        return self._inner.read(collection, key)

    def write(
        self, collection: str, key: str, blob: bytes, tags: Iterable[str] = ()
    ) -> Deferred[None]:
        return self._inner.write(collection, key, blob, tags)

    def remove(self, collection: str, key: str) -> Deferred[None]:
        return self._inner.remove(collection, key)

    def find(self, collection: str, tags: Iterable[str]) -> Deferred[list[str]]:
        return self._inner.find(collection, tags)
