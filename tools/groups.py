# -*- test-case-name: cocained.test.test_tools_groups -*-
"""``cocaine-tool group``: routing groups, which share load among apps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cocained.tools.documents import load_map
from cocained.tools.entities import add_common_commands
from cocained.tools.failures import BadValue, ToolError, need
from cocained.tools.options import action, name_option

if TYPE_CHECKING:
    from cocained.tools.client import Client
    from cocained.tools.store import Entity


@click.group("group")
def groups() -> None:
    """Routing groups: share load among apps."""


def _entity() -> Entity:
    from cocained.tools.store import GROUP

    return GROUP


def check_group(document: Any) -> None:
    """
    Insist on a map of app to weight (tools.md §2.3).

    :raises BadValue: empty, a weight that is no whole number of 0 or more, or
        all of them 0: locators refuse to load such a group.
    """
    hint = 'a group looks like {"app_v1": 3, "app_v2": 1}'
    if not document:
        raise BadValue("a routing group must not be empty", hint)
    for app, weight in document.items():
        if type(weight) is not int or weight < 0:
            raise BadValue(
                f"the weight of app '{app}' must be a whole number of 0 or more,"
                f" not {weight!r}",
                hint,
            )
    if not sum(document.values()):
        raise BadValue("a routing group needs a weight above 0", hint)


def _until_refreshed(name: str) -> str:
    return f"; `cocaine-tool group refresh -n {name}` makes locators heed it"


async def _all_names(client: Client) -> list[str]:
    """Name the groups of the storage, and those that the locator still knows."""
    from cocained.tools.nodes import known_rings

    stored = await client.store.names(_entity())
    return sorted({*stored, *await known_rings(client)})


@groups.command("create")
@name_option("the group")
@click.option(
    "-c", "--content", metavar="FILE|JSON", help="A JSON file, or JSON itself."
)
@action()
async def create(client: Client, name: str | None, content: str | None) -> None:
    """Store a routing group."""
    name = need(name, "name of the group", "-n")
    document = load_map(need(content, "content", "-c"), "routing group")
    check_group(document)
    await client.store.put(_entity(), name, document)
    client.output.done(
        f"The group `{name}` has been created{_until_refreshed(name)}",
        status="created",
        name=name,
    )


@groups.command("push")
@name_option("the group")
@click.option("--app", metavar="APP", help="The app to add.")
@click.option("-w", "--weight", type=int, help="Its weight, 0 or more.")
@action()
async def push(
    client: Client, name: str | None, app: str | None, weight: int | None
) -> None:
    """Add an app, or change its weight."""
    name = need(name, "name of the group", "-n")
    app = need(app, "app", "--app")
    if weight is None:
        raise BadValue("the weight is missing", "give it with -w")
    document = await client.store.read_map(_entity(), name)
    document[app] = weight
    check_group(document)
    await client.store.put(_entity(), name, document)
    client.output.done(
        f"The app `{app}` is in group `{name}` with weight {weight}"
        + _until_refreshed(name),
        status="modified",
        name=name,
        app=app,
        weight=weight,
    )


@groups.command("pop")
@name_option("the group")
@click.option("--app", metavar="APP", help="The app to remove.")
@action()
async def pop(client: Client, name: str | None, app: str | None) -> None:
    """Take an app out of a group."""
    name = need(name, "name of the group", "-n")
    app = need(app, "app", "--app")
    document = await client.store.read_map(_entity(), name)
    if app not in document:
        raise ToolError(
            f"the app '{app}' is not in group '{name}'",
            f"it has {', '.join(sorted(document)) or 'none'}",
        )
    del document[app]
    check_group(document)
    await client.store.put(_entity(), name, document)
    client.output.done(
        f"The app `{app}` has been taken out of group `{name}`"
        + _until_refreshed(name),
        status="modified",
        name=name,
        app=app,
    )


@groups.command("refresh")
@name_option("the group", "Name of the group; all of them if not given.")
@action()
async def refresh(client: Client, name: str | None) -> None:
    """Make the locator read groups again, and forget those that are gone."""
    names = [name] if name else await _all_names(client)
    await client.call("locator", "refresh", names)
    client.output.done(
        f"Refreshed: {', '.join(names) or 'no groups'}",
        status="refreshed",
        groups=names,
    )


add_common_commands(
    groups, _entity, check_group, ["-c", "--copyname"], _until_refreshed
)
