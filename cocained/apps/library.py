# -*- test-case-name: cocained.test.test_apps_library -*-
"""
Where the documents of apps are kept, and the last words of their workers.
"""

from __future__ import annotations

import contextlib

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cocained.apps import crashlog
from cocained.apps.documents import Manifest, Profile, Runlist
from cocained.errors import StorageError
from cocained.interfaces import IStorage
from cocained.versions import version_of

log = Logger()


class Library:
    """
    The documents of apps, read from the storages.

    A storage called ``cache`` is asked first and filled after a miss, as in
    the original (protocol.md §9).

    :param core: the storage of record.
    :param cache: the copy in front of it, if one is configured.
    """

    def __init__(self, core: IStorage, cache: IStorage | None) -> None:
        self._core = core
        self._cache = cache

    async def read(self, collection: str, key: str, fresh: bool = False) -> bytes:
        """
        Give a document's blob.

        :param fresh: whether the cache is not to be asked, only filled.
        :raises StorageError: as the core storage has it.
        """
        if self._cache is None:
            return await self._core.read(collection, key)
        if not fresh:
            with contextlib.suppress(StorageError):
                return await self._cache.read(collection, key)
        blob = await self._core.read(collection, key)
        try:
            await self._cache.write(collection, key, blob)
        except StorageError as error:
            log.warn("the cache does not take {key}: {error}", key=key, error=error)
        return blob

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
