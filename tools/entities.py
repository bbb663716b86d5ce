# -*- test-case-name: cocained.test.test_tools_entities -*-
"""
What profiles, runlists and routing groups have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from cocained.tools.documents import edit_document, expect_map
from cocained.tools.failures import BadValue, ServiceError, ToolError, need
from cocained.tools.options import action, name_option
from cocained.tools.output import dumps

if TYPE_CHECKING:
    from cocained.tools.client import Client
    from cocained.tools.store import Entity

#: Checks a document before it is stored; raises BadValue.
Check = Callable[[Any], None]

#: Says what is still to be done once the thing of a name has changed.
Sequel = Callable[[str], str]


def nothing_more(name: str) -> str:
    """Say that what is stored is all that there is to it."""
    return ""


def add_common_commands(
    group: click.Group,
    load_entity: Callable[[], Entity],
    check: Check,
    copy_flags: Sequence[str],
    sequel: Sequel = nothing_more,
) -> None:
    """
    Give a group the commands list, view, remove, copy, rename and edit.

    :param load_entity: says what the group is about.
    :param check: looks at a document before it is stored.
    :param copy_flags: how the new name is spelled, ``-c`` or ``--copyname``.
    :param sequel: told after each change.
    """
    noun = group.name

    @group.command("list", help=f"List all {noun}s.")
    @action()
    async def list_command(client: Client) -> None:
        client.output.data(await client.store.names(load_entity()))

    @group.command("view", help=f"Show a {noun}.")
    @name_option(f"the {noun}")
    @action()
    async def view_command(client: Client, name: str | None) -> None:
        name = need(name, f"name of the {noun}", "-n")
        client.output.data(await client.store.read(load_entity(), name))

    @group.command("remove", help=f"Remove a {noun}.")
    @name_option(f"the {noun}")
    @action()
    async def remove_command(client: Client, name: str | None) -> None:
        name = need(name, f"name of the {noun}", "-n")
        await remove(client, load_entity(), name, sequel)

    copy_option = click.option(
        *copy_flags, "copyname", metavar="NAME", help="The new name."
    )

    @group.command("copy", help=f"Copy a {noun}.")
    @name_option(f"the {noun}")
    @copy_option
    @action()
    async def copy_command(
        client: Client, name: str | None, copyname: str | None
    ) -> None:
        await copy(client, load_entity(), name, copyname, copy_flags[-1])
        client.output.done(
            f"The {noun} `{name}` has been copied to `{copyname}`"
            + sequel(copyname or ""),
            status="copied",
            name=name,
            copyname=copyname,
        )

    @group.command("rename", help=f"Rename a {noun}.")
    @name_option(f"the {noun}")
    @copy_option
    @action()
    async def rename_command(
        client: Client, name: str | None, copyname: str | None
    ) -> None:
        entity = load_entity()
        old = await copy(client, entity, name, copyname, copy_flags[-1])
        await client.store.remove(entity.collection, old)
        client.output.done(
            f"The {noun} `{name}` has been renamed to `{copyname}`"
            + sequel(copyname or "")
            + sequel(old),
            status="renamed",
            name=name,
            copyname=copyname,
        )

    @group.command("edit", help=f"Edit a {noun} in $VISUAL or $EDITOR.")
    @name_option(f"the {noun}")
    @action(timeout=None)
    async def edit_command(client: Client, name: str | None) -> None:
        name = need(name, f"name of the {noun}", "-n")
        await edit(client, load_entity(), name, check, sequel)


async def remove(
    client: Client, entity: Entity, name: str, sequel: Sequel = nothing_more
) -> None:
    """Remove a thing; that it is not there is told, but no error."""
    there = name in await client.store.names(entity)
    await client.store.remove(entity.collection, name)
    text = "has been removed" if there else "was not there, nothing to remove"
    client.output.done(
        f"The {entity.noun} `{name}` {text}{sequel(name) if there else ''}",
        status="removed" if there else "absent",
        name=name,
    )


async def copy(
    client: Client,
    entity: Entity,
    name: str | None,
    copyname: str | None,
    flag: str,
) -> str:
    """Copy a thing, byte by byte; gives its old name."""
    name = need(name, f"name of the {entity.noun}", "-n")
    copyname = need(copyname, "new name", flag)
    if name == copyname:
        raise BadValue(f"both names are '{name}'")
    try:
        blob = await client.store.blob(entity.collection, name)
    except ServiceError as error:
        from cocained.tools.store import is_missing

        if not is_missing(error):
            raise
        raise await client.store.missing(entity, name) from error
    if copyname in await client.store.names(entity):
        raise ToolError(
            f"{entity.noun} '{copyname}' exists already",
            f"remove it first: `cocaine-tool {entity.noun} remove -n {copyname}`",
        )
    await client.store.write(entity, copyname, blob)
    return name


async def edit(
    client: Client,
    entity: Entity,
    name: str,
    check: Check,
    sequel: Sequel = nothing_more,
) -> None:
    """Let the user edit a thing; nothing is stored that cannot be used."""
    document = await client.store.read(entity, name)
    text = client.surroundings.edit(dumps(document) + "\n")
    edited = document if text is None else edit_document(text, entity.noun)
    if edited == document:
        client.output.done(
            f"The {entity.noun} `{name}` is unchanged", status="unchanged", name=name
        )
        return
    expect_map(edited, entity.noun)
    check(edited)
    await client.store.put(entity, name, edited)
    client.output.done(
        f"The {entity.noun} `{name}` has been edited{sequel(name)}",
        status="edited",
        name=name,
    )
