# -*- test-case-name: cocained.test.test_apps_library -*-
"""
Where the documents of apps are kept, and the last words of their workers.
"""

from __future__ import annotations

import errno

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cocained.apps import crashlog
from cocained.apps.copies import Copies
from cocained.apps.documents import Manifest, Profile, Runlist
from cocained.errors import StorageError
from cocained.interfaces import IStorage, IVersionedStorage
from cocained.versions import read_versioned, version_of

log = Logger()


class Library:
    """
    The documents of apps, read from the storages.

    A storage called ``cache`` has copies, as in the original (protocol.md §9).  The
    original uses a copy for ever; here it is used as long as the storage of record
    has the version that was copied, or cannot be asked.

    :param core: the storage of record.
    :param cache: the copy in front of it, if one is configured.
    """

    def __init__(self, core: IStorage, cache: IStorage | None) -> None:
        self._core = core
        self._copies = None if cache is None else Copies(cache)

    async def read(self, collection: str, key: str, fresh: bool = False) -> bytes:
        """
        Give a document's blob.

        :param fresh: whether the cache is not to be asked, only filled.
        :raises StorageError: as the core storage has it.
        """
        copies = self._copies
        if copies is None:
            return await self._core.read(collection, key)
        try:
            return await self._current(copies, collection, key, fresh)
        except StorageError as error:
            if error.code == errno.ENOENT:
                await copies.remove(collection, key)
                raise
            blob = None if fresh else await copies.any(collection, key)
            if blob is None:
                raise
            log.warn(
                "{collection}/{key} comes from the cache, and may be old, since the"
                " storage {storage} does not give it: {error}",
                collection=collection,
                key=key,
                storage=self._core.name,
                error=error,
            )
            return blob

    async def _current(
        self, copies: Copies, collection: str, key: str, fresh: bool
    ) -> bytes:
        """Give what the core has, from the copy if that is the same."""
        if not fresh and IVersionedStorage.providedBy(self._core):
            version = await version_of(self._core, collection, key)
            blob = await copies.of_version(version, collection, key)
            if blob is not None:
                return blob
        found = await read_versioned(self._core, collection, key)
        await copies.keep(found, collection, key)
        return found.blob

    async def manifest(self, name: str, fresh: bool = False) -> Manifest:
        """Give an app's manifest."""
        return Manifest.from_blob(name, await self.read("manifests", name, fresh))

    async def profile(self, name: str, fresh: bool = False) -> Profile:
        """Give a profile."""
        return Profile.from_blob(name, await self.read("profiles", name, fresh))

    async def runlist(self, name: str, fresh: bool = False) -> Runlist:
        """Give a runlist."""
        return Runlist.from_blob(name, await self.read("runlists", name, fresh))

    async def version(self, collection: str, key: str) -> str:
        """
        Say which writing of an object the core storage has.

        :raises StorageError: as the core storage has it.
        """
        return await version_of(self._core, collection, key)

    def store_crashlog(
        self, app: str, worker: str, when: float, lines: list[bytes]
    ) -> Deferred[None]:
        """Keep a worker's last words."""
        return self._core.write(
            crashlog.COLLECTION,
            crashlog.key(when, worker),
            crashlog.blob(lines),
            crashlog.tags(when, app),
        )
