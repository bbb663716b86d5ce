# -*- test-case-name: cocained.test.test_services_storage -*-
"""
A storage as a service (protocol.md §4).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from twisted.internet.defer import Deferred
from zope.interface import implementer

from cocained.component import Component
from cocained.errors import Forbidden
from cocained.interfaces import IBehindDoors, IDoor, INode, IRemoteService
from cocained.rpc.arguments import blob, listing, optional, text
from cocained.rpc.dispatch import Protocol
from cocained.rpc.view import View


class StorageArgs(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """Arguments of the storage service."""

    backend: Annotated[
        str, msgspec.Meta(description="Name of the storage that is offered.")
    ] = "core"


_UNSEEN = re.compile(r"[^a-z0-9._-]")

#: What nodes keep for themselves, the original's included: who writes there runs
#: programs, who reads there finds passwords (tools.md §1).
OWN_COLLECTIONS = frozenset(
    {
        "apps",
        "manifests",
        "profiles",
        "runlists",
        "groups",
        "crashlogs",
        "auth-groups",
        "tokens",
        "tvm",
        ".collection-acls",
    }
)


@implementer(IRemoteService, IBehindDoors)
class StorageService(Component[StorageArgs]):
    """Type ``storage``."""

    Args = StorageArgs
    protocol = Protocol(version=1)

    def __init__(self, node: INode, name: str, args: StorageArgs) -> None:
        super().__init__(node, name, args)
        self._storage = node.storage(args.backend)

    def seen_from(self, door: IDoor, walled: bool) -> Any:
        """
        Workers behind walls have no business in :data:`OWN_COLLECTIONS`: a profile
        that they wrote would tear the walls down.
        """
        if not walled:
            return self
        methods = (self.read, self.write, self.remove, self.find)
        return View(self, **{each.__name__: _guarded(each) for each in methods})

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


def _guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    """Keep a method away from the collections of nodes."""

    def call(collection: str, *args: Any) -> Any:
        if _spelled_plainly(collection) in OWN_COLLECTIONS:
            raise Forbidden(
                f"collection {collection!r} is the node's, and not for workers behind"
                " walls: Permission denied"
            )
        return method(collection, *args)

    return call


def _spelled_plainly(collection: str) -> str:
    """
    Give what a database may take a name for.

    Tags of a collection are collections below it with some storages; others take
    no heed of capitals, accents, blanks or signs that are not seen.
    """
    first = unicodedata.normalize("NFKD", collection.split("/", 1)[0])
    return _UNSEEN.sub("", first.casefold())
