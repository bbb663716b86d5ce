# -*- test-case-name: cocained.test.test_services_groups -*-
"""
The routing groups of a locator: kept in the storage, loaded as rings.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from twisted.logger import Logger

from cocained.errors import (
    Category,
    CocainedError,
    DispatchCode,
    LocatorCode,
    RemoteProtocolError,
    StorageError,
)
from cocained.interfaces import IStorage
from cocained.rpc.codec import Pairs, unpack
from cocained.services.continuum import Continuum

log = Logger()

COLLECTION = "groups"
TAGS = ("group", "active")

#: Rings are told as ``{group: [[point, member]…]}``.
Rings = dict[str, list[tuple[int, str]]]


class RoutingError(CocainedError):
    """A group that cannot be used; nothing has changed."""

    category = Category.LOCATOR
    code = LocatorCode.ROUTING_STORAGE


class UndecodableGroup(CocainedError):
    """A group whose blob is no msgpack map of weights."""

    category = Category.DISPATCH
    code = DispatchCode.UNCAUGHT


class RoutingGroups:
    """
    All groups that are known.

    :param storage: where they are kept.
    """

    def __init__(self, storage: IStorage) -> None:
        self._storage = storage
        self._rings: dict[str, Continuum] = {}
        self._begun = 0
        # Who reads now, and who was the last to change a name meanwhile.
        self._readers: set[int] = set()
        self._changed: dict[str, int] = {}

    async def load(self) -> None:
        """
        Load every active group.

        One that cannot be used is logged and left out: better than a node
        that does not start, as the original would.
        """
        with self._reading():
            for name in await self._storage.find(COLLECTION, TAGS):
                try:
                    self._rings[name] = await self._read(name)
                except CocainedError as error:
                    log.error(
                        "routing group {group} is left out: {error}",
                        group=name,
                        error=error,
                    )

    async def refresh(self, names: Iterable[str]) -> None:
        """
        Read the named groups anew; those that are gone are forgotten.

        :raises CocainedError: one cannot be used; then nothing has changed
            (protocol.md §3.5).
        """
        with self._reading() as reader:
            active = set(await self._storage.find(COLLECTION, TAGS))
            self._put(
                reader,
                {
                    name: await self._read(name) if name in active else None
                    for name in names
                },
            )

    async def follow(self, names: Iterable[str]) -> bool:
        """
        Read groups anew that another node has refreshed.

        One that cannot be used stays as it was, and the log says why.

        :param names: all that there are, here or in the storage, if empty.
        :returns: whether anything has changed.
        :raises StorageError: the storage cannot be read; nothing has changed.
        """
        with self._reading() as reader:
            active = set(await self._storage.find(COLLECTION, TAGS))
            fresh: dict[str, Continuum | None] = {}
            for name in sorted(set(names) or active | self._rings.keys()):
                try:
                    fresh[name] = await self._read(name) if name in active else None
                except RoutingError as error:
                    if isinstance(error.__cause__, StorageError):
                        raise error.__cause__ from None
                    self._stays(name, error)
                except CocainedError as error:
                    self._stays(name, error)
            return self._put(reader, fresh)

    def _stays(self, name: str, error: CocainedError) -> None:
        log.error(
            "routing group {group} stays as it was: {error}", group=name, error=error
        )

    @contextmanager
    def _reading(self) -> Iterator[int]:
        """Read for a while; gives a number that grows with each reader."""
        self._begun += 1
        reader = self._begun
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            if not self._readers:
                self._changed.clear()

    def _put(self, reader: int, fresh: Mapping[str, Continuum | None]) -> bool:
        changed = False
        for name, ring in fresh.items():
            if self._changed.get(name, 0) > reader:
                continue  # who began later knows better
            self._changed[name] = reader
            former = self._rings.pop(name, None)
            if ring is not None:
                self._rings[name] = ring
            changed |= (former and former.points) != (ring and ring.points)
        return changed

    async def _read(self, name: str) -> Continuum:
        try:
            blob = await self._storage.read(COLLECTION, name)
        except StorageError as error:
            raise RoutingError("routing storage is unavailable") from error
        try:
            weights = _weights(unpack(blob))
        except (RemoteProtocolError, ValueError) as error:
            raise UndecodableGroup("parse error") from error
        try:
            return Continuum(weights)
        except CocainedError as error:
            log.warn("routing group {group}: {error}", group=name, error=error)
            raise RoutingError("routing storage is unavailable") from error

    def pick(self, name: str, seed: str) -> str:
        """
        Choose the member of a group.

        :param name: of a group, or of anything else, which is then the answer.
        :param seed: leads to the same member always; without it any by weight.
        """
        ring = self._rings.get(name)
        if ring is None:
            return name
        return ring.by_seed(seed) if seed else ring.by_point(random.getrandbits(32))

    def rings(self) -> Rings:
        """The rings of all groups."""
        return {name: ring.points for name, ring in sorted(self._rings.items())}


def _weights(value: object) -> dict[str, int]:
    if not isinstance(value, Pairs):
        raise ValueError("not a map")
    weights = {}
    for name, weight in value:
        if type(name) is not bytes or type(weight) is not int or weight < 0:
            raise ValueError("not a map of names to weights")
        weights[name.decode("utf-8", "surrogateescape")] = weight
    return weights
