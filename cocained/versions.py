# -*- test-case-name: cocained.test.test_versions -*-
"""
Which writing of an object a storage has, whatever kind of storage it is.

For those who keep copies or follow changes.  A storage that can tell is asked
(:class:`~cocained.interfaces.IVersionedStorage`); of any other the object is read,
and its digest taken for the version.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from twisted.internet.defer import Deferred

from cocained.interfaces import IStorage, IVersionedStorage


class Versioned(NamedTuple):
    """A blob, and which writing it is at least."""

    version: str
    blob: bytes


def version_of(storage: IStorage, collection: str, key: str) -> Deferred[str]:
    """
    Say which writing of an object *storage* has.

    Versions are for comparing, with versions of the same storage only.

    :returns: fires with text; fails as the storage does, with ``ENOENT`` for a
        missing object.
    """
    if IVersionedStorage.providedBy(storage):
        return IVersionedStorage(storage).version(collection, key)
    return storage.read(collection, key).addCallback(_digest)


def read_versioned(storage: IStorage, collection: str, key: str) -> Deferred[Versioned]:
    """
    Give a blob and its version.

    Should somebody write in between, the blob is newer than the version says: who
    compares later reads once more than needed, and never misses a change.

    :returns: fires with both; fails as the storage does.
    """
    return Deferred.fromCoroutine(_read_versioned(storage, collection, key))


async def _read_versioned(storage: IStorage, collection: str, key: str) -> Versioned:
    if IVersionedStorage.providedBy(storage):
        version = await IVersionedStorage(storage).version(collection, key)
        return Versioned(version, await storage.read(collection, key))
    blob = await storage.read(collection, key)
    return Versioned(_digest(blob), blob)


def _digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()
