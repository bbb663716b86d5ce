# -*- test-case-name: cocained.test.test_apps_library -*-
"""
Copies of documents in the storage ``cache``, and which versions they are of.

The copy itself stays the plain blob under its own name, so that the original and
the tools can read it, and fill the cache, too.  What version it is of stands in a
collection beside it::

    <collection>/<key>             the blob
    .copies/<collection>/<key>     digest of the blob, and the version

The digest binds the two: a blob that somebody else put there, or that was not
written to its end, is no copy of the version.
"""

from __future__ import annotations

import hashlib

from twisted.logger import Logger

from cocained.errors import StorageError
from cocained.interfaces import IStorage
from cocained.versions import Versioned

log = Logger()

#: Where the versions are.
_BESIDE = ".copies"


class Copies:
    """
    The copies in one storage.

    Nothing fails here: a cache that does not work has no copies.

    :param cache: the storage.
    """

    def __init__(self, cache: IStorage) -> None:
        self._cache = cache

    async def of_version(self, version: str, collection: str, key: str) -> bytes | None:
        """Give the copy of exactly that version, if there is one."""
        record = await self._read(f"{_BESIDE}/{collection}", key)
        if record is None:
            return None
        blob = await self._read(collection, key)
        if blob is None or record != _record(Versioned(version, blob)):
            return None
        return blob

    async def any(self, collection: str, key: str) -> bytes | None:
        """Give the copy of whatever version, if there is one."""
        return await self._read(collection, key)

    async def keep(self, found: Versioned, collection: str, key: str) -> None:
        """Make a copy, unless there is this very one."""
        if await self.of_version(found.version, collection, key) == found.blob:
            return
        try:
            await self._cache.write(collection, key, found.blob)
            await self._cache.write(f"{_BESIDE}/{collection}", key, _record(found))
        except StorageError as error:
            log.warn("the cache does not take {key}: {error}", key=key, error=error)

    async def remove(self, collection: str, key: str) -> None:
        """Forget what the storage of record does not have any more."""
        try:
            await self._cache.remove(collection, key)
            await self._cache.remove(f"{_BESIDE}/{collection}", key)
        except StorageError as error:
            log.warn("the cache does not forget {key}: {error}", key=key, error=error)

    async def _read(self, collection: str, key: str) -> bytes | None:
        try:
            return await self._cache.read(collection, key)
        except StorageError:
            return None


def _record(found: Versioned) -> bytes:
    return f"{hashlib.sha256(found.blob).hexdigest()} {found.version}".encode()
