# -*- test-case-name: cocained.test.test_services_storage -*-
"""
A storage as a service (protocol.md §4).
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from twisted.internet.defer import Deferred
from zope.interface import implementer

from cocained.component import Component
from cocained.interfaces import INode, IRemoteService
from cocained.rpc.arguments import blob, listing, optional, text
from cocained.rpc.dispatch import Protocol


class StorageArgs(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """Arguments of the storage service."""

    backend: Annotated[
        str, msgspec.Meta(description="Name of the storage that is offered.")
    ] = "core"


@implementer(IRemoteService)
class StorageService(Component[StorageArgs]):
    """Type ``storage``."""

    Args = StorageArgs
    protocol = Protocol(version=1)

    def __init__(self, node: INode, name: str, args: StorageArgs) -> None:
        super().__init__(node, name, args)
        self._storage = node.storage(args.backend)

    @protocol.method(0, text, text)
    def read(self, collection: str, key: str) -> Deferred[bytes]:
        return self._storage.read(collection, key)

    @protocol.method(1, text, text, blob, optional(listing(text), ()))
    def write(
        self, collection: str, key: str, value: bytes, tags: list[str]
    ) -> Deferred[None]:
        return self._storage.write(collection, key, value, tags)

    @protocol.method(2, text, text)
    def remove(self, collection: str, key: str) -> Deferred[None]:
        return self._storage.remove(collection, key)

    @protocol.method(3, text, listing(text))
    def find(self, collection: str, tags: list[str]) -> Deferred[list[str]]:
        return self._storage.find(collection, tags)
