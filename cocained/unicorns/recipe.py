# -*- test-case-name: cocained.test.test_unicorns -*-
"""
What the methods of a unicorn do with a keeper (plugins.md §4.1).
"""

from __future__ import annotations

from typing import Any

from cocained.errors import (
    ChildNotAllowed,
    NoNode,
    UnicornError,
    VersionNotAllowed,
)
from cocained.interfaces import Versioned
from cocained.unicorns.keeper import Keeper, Stat
from cocained.unicorns.paths import check_path, parent
from cocained.unicorns.values import decode, encode, number, total

#: Versions are integers of 32 bits.
VERSION_MAX = 2**31 - 1

#: How often a node is tried to be made while somebody else removes those above.
ATTEMPTS = 8

MISSING = Versioned(None, -1)


async def get(keeper: Keeper, path: str) -> Versioned:
    """See :meth:`cocained.interfaces.IUnicorn.get`."""
    try:
        data, stat = await keeper.read(check_path(path))
    except NoNode:
        return MISSING
    return versioned(path, data, stat)


def versioned(path: str, data: bytes, stat: Stat) -> Versioned:
    """
    Make of a node's bytes what its readers see.

    :raises ChildNotAllowed: the node has children.
    :raises InvalidValue: the bytes are no value.
    """
    if stat.children:
        raise ChildNotAllowed(f"{path} has children, so its value cannot be read")
    return Versioned(decode(data, path), stat.version)


async def put(
    keeper: Keeper, path: str, value: Any, version: int
) -> tuple[bool, Versioned]:
    """See :meth:`cocained.interfaces.IUnicorn.put`."""
    check_path(path)
    data = encode(value)
    if version < 0:
        raise VersionNotAllowed("put replaces a certain version: 0 or above")
    if version <= VERSION_MAX:
        try:
            stat = await keeper.write(path, data, version)
        except VersionNotAllowed:
            # No error: the caller is shown what there is instead.
            pass
        else:
            return True, Versioned(decode(data, path), stat.version)
    data, stat = await keeper.read(path)
    return False, versioned(path, data, stat)


async def create(
    keeper: Keeper, path: str, value: Any, ephemeral: bool, sequence: bool
) -> str:
    """See :meth:`cocained.interfaces.IUnicorn.create`."""
    return await make(keeper, check_path(path), encode(value), ephemeral, sequence)


async def make(
    keeper: Keeper, path: str, data: bytes, ephemeral: bool, sequence: bool
) -> str:
    """
    Make a node and whatever is missing above it.

    :param path: one that has been looked at.
    :returns: the path of the node.
    """
    for _ in range(ATTEMPTS):
        try:
            return await keeper.create(path, data, ephemeral, sequence)
        except NoNode:
            await make_folders(keeper, parent(path))
    raise UnicornError(f"{path}: what is above it is removed again and again")


async def make_folders(keeper: Keeper, path: str) -> None:
    """Make a node without a value, and those above it, unless they are there."""
    missing = []
    while path and await keeper.look(path) is None:
        missing.append(path)
        path = parent(path)
    for folder in reversed(missing):
        try:
            await keeper.create(folder, b"")
        except UnicornError as error:
            # Somebody else was faster, or removes what we make: the caller sees.
            if await keeper.look(folder) is None and not isinstance(error, NoNode):
                raise


async def remove(keeper: Keeper, path: str, version: int) -> None:
    """See :meth:`cocained.interfaces.IUnicorn.remove`."""
    check_path(path)
    if not -1 <= version <= VERSION_MAX:
        raise VersionNotAllowed(f"no node has version {version}; -1 stands for any")
    await keeper.delete(path, version)


async def increment(keeper: Keeper, path: str, value: Any) -> Versioned:
    """See :meth:`cocained.interfaces.IUnicorn.increment`."""
    check_path(path)
    number(value)
    try:
        data, stat = await keeper.read(path)
    except NoNode:
        value = total(0, value)
        await keeper.create(path, encode(value))
        return Versioned(value, 0)
    stored = number(versioned(path, data, stat).value)
    result = total(stored, value)
    stat = await keeper.write(path, encode(result), stat.version)
    return Versioned(result, stat.version)
