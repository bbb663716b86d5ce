# -*- test-case-name: cocained.test.test_storages -*-
"""
Which collections, keys and tags a storage accepts.

The original takes any name, and ``../`` leaves its store (protocol.md §4.1).
Here a key or tag is one path component, a collection one or more of them, and
nothing leaves the root.  The codes are those that the original's probes show
for names it cannot use (reference-behaviour.md S12, S14).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from enum import Enum
from itertools import islice

from cocained.errors import StorageError

#: Bytes of one component: the limit of every common Linux file system.
MAX_NAME = 255

#: Tags of one request.  Each costs a directory and an fsync; the official
#: tools write two (protocol.md §12.7).
MAX_TAGS = 256

#: Characters of a place in an error text: a hostile name is not echoed whole.
MAX_PLACE = 1024

#: Keys that one ``find`` may give: more would be an answer of 100 MB.
MAX_FOUND = 1_000_000

#: Names that begin so belong to the storage itself.
RESERVED = ".cocained-"


class Intent(Enum):
    """What a name is wanted for; decides the code of a refusal."""

    READ = "read"
    WRITE = "write"
    REMOVE = "remove"
    FIND = "find"


def place(root: str, *names: str) -> str:
    """
    Name an object for an error text, as the original does (S1).

    :param root: where the store lies.
    :returns: a path of at most about :data:`MAX_PLACE` characters, without
        doubled slashes.
    """
    # Cut first: splitting a name of megabytes is work for nothing.
    parts = [part for name in names for part in name[:MAX_PLACE].split("/") if part]
    path = "/".join([root, *parts])
    cut = len(path) > MAX_PLACE or any(len(name) > MAX_PLACE for name in names)
    return path[:MAX_PLACE] + "…" if cut else path


def os_refusal(code: int, where: str) -> StorageError:
    """Make an error with the text of the operating system."""
    return StorageError(code, f"{where}: {os.strerror(code)}")


def check_component(root: str, where: str, part: str) -> None:
    """
    Refuse a component that could mean anything but itself.

    :param where: the whole place, for the text.
    :raises StorageError: ``EACCES``, ``EILSEQ`` or ``ENAMETOOLONG``.
    """
    if part in (".", ".."):
        raise StorageError(
            errno.EACCES,
            f"{where}: Permission denied: the component {part!r} is not allowed",
        )
    if "\0" in part:
        raise StorageError(
            errno.EACCES, f"{where}: Permission denied: a name contains a zero byte"
        )
    if part.startswith(RESERVED):
        raise StorageError(
            errno.EACCES,
            f"{where}: Permission denied: names that begin with {RESERVED!r} "
            "are reserved for the storage",
        )
    try:
        size = len(part.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        raise StorageError(
            errno.EILSEQ, f"{where}: a name contains a lone surrogate"
        ) from None
    if size > MAX_NAME:
        raise os_refusal(errno.ENAMETOOLONG, where)


def check_collection(root: str, collection: str, intent: Intent) -> None:
    """
    Refuse a collection that is empty, leaves the root, or has two spellings.

    :raises StorageError: ``EISDIR`` for reading or removing in the empty
        collection (S12b), else as :func:`check_component`.
    """
    where = place(root, collection)
    if not collection:
        if intent in (Intent.READ, Intent.REMOVE):
            raise os_refusal(errno.EISDIR, where)
        raise StorageError(
            errno.EACCES, f"{where}: Permission denied: the collection is empty"
        )
    for part in collection.split("/"):
        if not part:
            # "a//b" and "a/b" would be one directory under two names.
            raise StorageError(
                errno.EACCES,
                f"{where}: Permission denied: collection {collection[:MAX_PLACE]!r} "
                "begins or ends with a slash or has two in a row",
            )
        check_component(root, where, part)


def check_key(root: str, collection: str, key: str, intent: Intent) -> bool:
    """
    Refuse a key or tag that is not one plain component.

    :returns: whether such an object can exist; ``False`` only when *intent* is
        to remove or to find, for a name with slashes.
    :raises StorageError: as :func:`check_component`; for an empty name
        ``EISDIR`` when reading or removing (S12) and ``EACCES`` otherwise
        (S12c); for one with slashes ``ENOENT`` when reading (S13) and
        ``EACCES`` when writing (S14).
    """
    where = place(root, collection, key)
    if not key:
        if intent in (Intent.READ, Intent.REMOVE):
            raise os_refusal(errno.EISDIR, where)
        raise os_refusal(errno.EACCES, where)
    if "/" not in key:
        check_component(root, where, key)
        return True
    if ".." in key[: 2 * MAX_PLACE].split("/"):
        check_component(root, where, "..")
    if intent is Intent.READ:
        raise os_refusal(errno.ENOENT, where)
    if intent is Intent.WRITE:
        raise os_refusal(errno.EACCES, where)
    return False


def take_tags(tags: Iterable[str]) -> list[str]:
    """
    Give the tags once each, in the order in which they came (S18).

    :raises StorageError: ``EINVAL`` if they are one text, ``E2BIG`` if there
        are more than :data:`MAX_TAGS`.
    """
    if isinstance(tags, str):
        raise StorageError(errno.EINVAL, "tags must be a list of texts, not one text")
    taken = list(islice(tags, MAX_TAGS + 1))
    if len(taken) > MAX_TAGS:
        raise StorageError(errno.E2BIG, f"more than {MAX_TAGS} tags in one request")
    return list(dict.fromkeys(taken))


def check_size(where: str, size: int, limit: int) -> None:
    """
    Refuse an object that is too large.

    :param size: bytes.
    :param limit: bytes; the ``max-object`` of the storage.
    :raises StorageError: ``EFBIG``.
    """
    if size > limit:
        raise StorageError(
            errno.EFBIG,
            f"{where}: {size} bytes are more than this storage takes ({limit}); "
            "raise its max-object",
        )
