# -*- test-case-name: cocained.test.test_tools_store -*-
"""
Documents and archives in the storage service, encoded as they always were.

Documents are old-style msgpack maps; an archive is one raw string inside
msgpack (tools.md §1).
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgpack

from cocained.errors import ASIO_EOF, Category
from cocained.rpc.codec import FRAME_LIMIT, Decoder, pack
from cocained.rpc.outbox import Progress
from cocained.tools.failures import BadValue, Missing, ServiceError, ToolError
from cocained.tools.output import plain, size_text

if TYPE_CHECKING:
    from cocained.tools.client import Client

#: Bytes of a ``write`` frame besides its blob: names, tags and headers, amply.
FRAME_OVERHEAD = 65536

#: Largest blob that is sent: what the codec takes at most.  A node may be
#: configured to take less; only its answer tells.
BLOB_LIMIT = FRAME_LIMIT - FRAME_OVERHEAD


#: A blob beyond this may be what a node with smaller limits objects to.
LARGE = 65536


@dataclass(frozen=True)
class Entity:
    """
    A kind of thing that lies in the storage.

    :param noun: how it is called, and the group of commands for it.
    :param collection: where it lies.
    :param tags: what it carries.
    """

    noun: str
    collection: str
    tags: tuple[str, ...]

    @property
    def listing(self) -> str:
        """The command that lists them."""
        return f"cocaine-tool {self.noun} list"


MANIFEST = Entity("app", "manifests", ("app",))
ARCHIVE = Entity("app", "apps", ("app",))
PROFILE = Entity("profile", "profiles", ("profile",))
RUNLIST = Entity("runlist", "runlists", ("runlist",))
GROUP = Entity("group", "groups", ("group", "active"))


def unpack(blob: bytes) -> Any:
    """
    Decode a stored document.

    :raises ToolError: it is none.
    """
    decoder = Decoder(max(len(blob), FRAME_OVERHEAD), max(len(blob), 1))
    documents = decoder.decode(blob)
    if len(documents) != 1 or decoder.fault is not None or decoder.waiting:
        raise ToolError("what is stored there is no msgpack document")
    return plain(documents[0])


def pack_document(value: Any) -> bytes:
    """
    Encode a document.

    :raises BadValue: it holds what msgpack has no form for.
    """
    try:
        return pack(value)
    except (TypeError, ValueError, OverflowError, msgpack.PackException) as error:
        raise BadValue(f"this document cannot be stored: {error}") from error


class Store:
    """
    The storage service of the node.

    :param client: gives the connection.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def find(self, collection: str, tags: Iterable[str]) -> list[str]:
        """The keys that carry all of the tags, sorted."""
        keys = await self._client.call("storage", "find", collection, list(tags))
        if type(keys) is not list or not all(type(key) is bytes for key in keys):
            raise ToolError("the storage did not answer with a list of keys")
        return sorted(key.decode("utf-8", "surrogateescape") for key in keys)

    async def names(self, entity: Entity) -> list[str]:
        """The names of all things of a kind."""
        return await self.find(entity.collection, entity.tags)

    async def blob(self, collection: str, key: str) -> bytes:
        """Read a blob; a missing one is a :class:`ServiceError`."""
        blob = await self._client.call("storage", "read", collection, key)
        if type(blob) is not bytes:
            raise ToolError("the storage did not answer with a blob")
        return blob

    async def read(self, entity: Entity, name: str) -> Any:
        """
        Read a document.

        :raises Missing: there is none, with the nearest names.
        """
        try:
            blob = await self.blob(entity.collection, name)
        except ServiceError as error:
            if not is_missing(error):
                raise
            raise await self.missing(entity, name) from error
        try:
            return unpack(blob)
        except ToolError as error:
            raise ToolError(
                f"{entity.noun} '{name}' cannot be read: {error.message}",
                f"upload it again, or remove it with `cocaine-tool {entity.noun}"
                f" remove -n {name}`",
            ) from error

    async def read_map(self, entity: Entity, name: str) -> dict[str, Any]:
        """Read a document that must be a map."""
        document = await self.read(entity, name)
        if not isinstance(document, dict):
            raise ToolError(f"{entity.noun} '{name}' is no map")
        return document

    async def missing(self, entity: Entity, name: str) -> Missing:
        """Make the error for a thing that does not exist."""
        names = await self.names(entity)
        return Missing(entity.noun, name, names, entity.listing)

    async def write(
        self,
        entity: Entity,
        name: str,
        blob: bytes,
        progress: Progress | None = None,
    ) -> None:
        """
        Store a packed document or archive.

        :raises ToolError: it is larger than a frame.
        """
        if len(blob) > BLOB_LIMIT:
            raise ToolError(
                f"{entity.noun} '{name}' takes {size_text(len(blob))}, and one"
                f" object may take {size_text(BLOB_LIMIT)}",
                "leave out what the app does not need to run, or have it fetched"
                " when it starts",
            )
        try:
            await self._client.call(
                "storage",
                "write",
                entity.collection,
                name,
                blob,
                list(entity.tags),
                progress=progress,
            )
        except ServiceError as error:
            if len(blob) > LARGE and is_cut(error):
                error.hint = (
                    f"the node ended the connection; an object of"
                    f" {size_text(len(blob))} may be more than it accepts: see"
                    " limits.frame in its configuration, and its log"
                )
            raise

    async def put(self, entity: Entity, name: str, document: Any) -> None:
        """Store a document."""
        await self.write(entity, name, pack_document(document))

    async def remove(self, collection: str, key: str) -> None:
        """Remove an object; a missing one is no error."""
        await self._client.call("storage", "remove", collection, key)


def is_missing(error: ServiceError) -> bool:
    """Whether a storage said that there is no such object."""
    return error.code == errno.ENOENT and error.category in (
        Category.GENERIC,
        Category.SYSTEM,
        Category.ASIO_SYSTEM,
    )


def is_cut(error: ServiceError) -> bool:
    """Whether the other side ended the connection."""
    return (error.category, error.code) in (
        (Category.ASIO_MISC, ASIO_EOF),
        (Category.ASIO_SYSTEM, errno.ECONNRESET),
        (Category.ASIO_SYSTEM, errno.EPIPE),
        (Category.ASIO_SYSTEM, errno.ECANCELED),
    )
