# -*- test-case-name: cocained.test.test_storages -*-
"""
The storage ``memory``: the behaviour of ``files`` without a disk.

For tests, and for nodes whose store need not outlive them.  It keeps the one
name space of keys, tags and nested collections that a file system has, so that
what works here works there: it passes the same contract.
"""

from __future__ import annotations

import errno
import uuid
from collections.abc import Callable, Iterable
from typing import Annotated, TypeAlias, TypeVar, TypeVarTuple

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from cocained.component import Component
from cocained.errors import StorageError
from cocained.interfaces import INode, IVersionedStorage
from cocained.storages.names import (
    Intent,
    check_collection,
    check_key,
    check_size,
    os_refusal,
    place,
    take_tags,
)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Default of ``max-object``: the whole storage, since no disk is behind it.
MAX_OBJECT = 1 << 28

#: Default of ``max-total``.
MAX_TOTAL = 1 << 28

#: Bytes counted for each directory, link and object beside its blob and name:
#: about what CPython needs for them and for the number of the writing.
OVERHEAD = 384


class MemoryArgs(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"
):
    """Arguments of the storage type ``memory``."""

    max_object: Annotated[
        int,
        msgspec.Meta(ge=1, description="Bytes of the largest object; default 256 MiB."),
    ] = MAX_OBJECT
    max_total: Annotated[
        int,
        msgspec.Meta(ge=1, description="Bytes of all objects; default 256 MiB."),
    ] = MAX_TOTAL


class _Mark:
    """Stands in a tag's directory for a link to the object of its name."""


_MARK = _Mark()

_Folder: TypeAlias = "dict[str, _Folder | bytes | _Mark]"


@implementer(IVersionedStorage)
class MemoryStorage(Component[MemoryArgs]):
    """Objects in dictionaries; every Deferred has fired when it is given."""

    Args = MemoryArgs

    def __init__(self, node: INode, name: str, args: MemoryArgs | None = None) -> None:
        super().__init__(node, name, args or MemoryArgs())
        self._root: _Folder = {}
        self._place = f"<{name}>"
        self._used = 0
        # Nothing outlives this object, so no version may look like a former one.
        self._epoch = uuid.uuid4().hex
        self._writings = 0
        self._versions: dict[tuple[str, str], int] = {}

    def read(self, collection: str, key: str) -> Deferred[bytes]:
        return _answer(self._read, collection, key)

    def version(self, collection: str, key: str) -> Deferred[str]:
        return _answer(self._version, collection, key)

    def write(
        self, collection: str, key: str, blob: bytes, tags: Iterable[str] = ()
    ) -> Deferred[None]:
        return _answer(self._write, collection, key, blob, tags)

    def remove(self, collection: str, key: str) -> Deferred[None]:
        return _answer(self._remove, collection, key)

    def find(self, collection: str, tags: Iterable[str]) -> Deferred[list[str]]:
        return _answer(self._find, collection, tags)

    def _folder(self, collection: str) -> _Folder:
        """
        Give a collection's directory.

        :raises StorageError: ``ENOENT`` or ``ENOTDIR``.
        """
        folder = self._root
        for part in collection.split("/"):
            child = folder.get(part)
            if child is None:
                raise os_refusal(errno.ENOENT, place(self._place, collection))
            if not isinstance(child, dict):
                raise os_refusal(errno.ENOTDIR, place(self._place, collection))
            folder = child
        return folder

    def _read(self, collection: str, key: str) -> bytes:
        check_collection(self._place, collection, Intent.READ)
        check_key(self._place, collection, key, Intent.READ)
        where = place(self._place, collection, key)
        try:
            found = self._folder(collection).get(key)
        except StorageError as error:
            raise os_refusal(error.code, where) from None
        if found is None:
            raise os_refusal(errno.ENOENT, where)
        if isinstance(found, bytes):
            return found
        raise os_refusal(
            errno.EISDIR if isinstance(found, dict) else errno.ELOOP, where
        )

    def _version(self, collection: str, key: str) -> str:
        self._read(collection, key)
        return f"{self._epoch}-{self._versions[collection, key]}"

    def _write(
        self, collection: str, key: str, blob: bytes, tags: Iterable[str]
    ) -> None:
        check_collection(self._place, collection, Intent.WRITE)
        check_key(self._place, collection, key, Intent.WRITE)
        names = take_tags(tags)
        for tag in names:
            check_key(self._place, collection, tag, Intent.WRITE)
        where = place(self._place, collection, key)
        check_size(where, len(blob), self.args.max_object)
        try:
            folder = self._folder(collection)
        except StorageError as error:
            if error.code != errno.ENOENT:
                raise
            folder = {}
        old = folder.get(key)
        if isinstance(old, dict):
            raise os_refusal(errno.EISDIR, where)
        if isinstance(old, _Mark):
            raise os_refusal(errno.ELOOP, where)
        for tag in names:
            self._check_tag(folder, collection, key, tag)
        change = self._growth(folder, collection, key, blob, names)
        if change > 0 and self._used + change > self.args.max_total:
            raise StorageError(
                errno.ENOSPC,
                f"{where}: No space left on device: the storage holds "
                f"{self._used} of {self.args.max_total} bytes; raise max-total",
            )
        self._used += change
        folder = self._root
        for part in collection.split("/"):
            folder = _open(folder, part)
        for tag in names:
            _open(folder, tag).setdefault(key, _MARK)
        folder[key] = bytes(blob)
        self._writings += 1
        self._versions[collection, key] = self._writings

    def _growth(
        self, folder: _Folder, collection: str, key: str, blob: bytes, tags: list[str]
    ) -> int:
        """Say by how many bytes a write makes the storage larger."""
        old = folder.get(key)
        growth = len(blob) + len(key) + OVERHEAD
        if isinstance(old, bytes):
            growth -= len(old) + len(key) + OVERHEAD
        known: _Folder | None = self._root
        for part in collection.split("/"):
            child = known.get(part) if known is not None else None
            known = child if isinstance(child, dict) else None
            growth += (len(part) + OVERHEAD) * (known is None)
        for tag in tags:
            child = folder.get(tag)
            growth += (len(tag) + OVERHEAD) * (child is None)
            growth += OVERHEAD * (not isinstance(child, dict) or key not in child)
        return growth

    def _check_tag(self, folder: _Folder, collection: str, key: str, tag: str) -> None:
        child = folder.get(tag, {})
        if tag == key or not isinstance(child, dict):
            raise os_refusal(errno.ENOTDIR, place(self._place, collection, tag))
        if not isinstance(child.get(key, _MARK), _Mark):
            raise os_refusal(errno.EEXIST, place(self._place, collection, tag, key))

    def _remove(self, collection: str, key: str) -> None:
        check_collection(self._place, collection, Intent.REMOVE)
        if not check_key(self._place, collection, key, Intent.REMOVE):
            return
        try:
            folder = self._folder(collection)
        except StorageError:
            return
        old = folder.get(key)
        if old is None:
            return
        if not isinstance(old, bytes):
            raise os_refusal(
                errno.EISDIR if isinstance(old, dict) else errno.ELOOP,
                place(self._place, collection, key),
            )
        del folder[key]
        del self._versions[collection, key]
        self._used -= len(old) + len(key) + OVERHEAD

    def _find(self, collection: str, tags: Iterable[str]) -> list[str]:
        names = take_tags(tags)
        check_collection(self._place, collection, Intent.FIND)
        fit = [check_key(self._place, collection, t, Intent.FIND) for t in names]
        try:
            folder = self._folder(collection)
        except StorageError:
            return []
        if not names or not all(fit):
            return []
        found: set[str] | None = None
        for tag in names:
            child = folder.get(tag)
            if not isinstance(child, dict):
                return []
            alive = self._marked(folder, child)
            found = alive if found is None else found & alive
        return sorted(found or (), key=_in_bytes)

    def _marked(self, folder: _Folder, tag: _Folder) -> set[str]:
        """Give what a tag marks; marks without an object go away (S2)."""
        marks = [name for name, child in tag.items() if isinstance(child, _Mark)]
        alive = {name for name in marks if isinstance(folder.get(name), bytes)}
        for name in marks:
            if name not in alive:
                del tag[name]
                self._used -= OVERHEAD
        return alive


def _open(folder: _Folder, name: str) -> _Folder:
    """Give a directory, created if need be; it is known to be none else."""
    child = folder.setdefault(name, {})
    assert isinstance(child, dict)
    return child


def _in_bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _answer(function: Callable[[*Ts], T], *args: *Ts) -> Deferred[T]:
    try:
        return succeed(function(*args))
    except StorageError as error:
        return fail(error.with_traceback(None))
