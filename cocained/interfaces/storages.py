# -*- test-case-name: cocained.test.test_conventions -*-
"""
Storages.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

from cocained.interfaces.plugins import IComponent


class IStorage(IComponent):
    """
    Blobs under (collection, key), findable by tags (protocol.md §4).

    Names are text; bytes that are no UTF-8 are carried by ``surrogateescape``.
    Operations of one caller take effect in the order in which they were asked.
    Every Deferred fails with :class:`cocained.errors.StorageError` and nothing
    else.  Cancelling one gives up the answer, not the operation.
    """

    def read(collection: str, key: str) -> Deferred[bytes]:
        """
        Give a blob.

        :returns: fires with the bytes; a missing object is ``ENOENT``.
        """

    def write(
        collection: str, key: str, blob: bytes, tags: Iterable[str] = ()
    ) -> Deferred[None]:
        """
        Store *blob* whole and for good, or not at all.

        :param tags: added to those that the object has already.
        :returns: fires when the object would survive a loss of power.
        """

    def remove(collection: str, key: str) -> Deferred[None]:
        """Delete an object; a missing one is no error."""

    def find(collection: str, tags: Iterable[str]) -> Deferred[list[str]]:
        """
        Give the keys that carry *all* of the tags, sorted by their bytes.

        :returns: fires with the keys; no tags or no such collection give an
            empty list.
        """


class IVersionedStorage(IStorage):
    """A storage that can tell cheaply whether an object has changed."""

    def version(collection: str, key: str) -> Deferred[str]:
        """
        Say which writing of an object this is, without reading the object.

        :returns: fires with text that is another one after each write that
            changed the object, on every node that shares the storage; a missing
            object is ``ENOENT``.
        """
