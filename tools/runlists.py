# -*- test-case-name: cocained.test.test_tools_runlists -*-
"""
``cocaine-tool runlist``: which apps a node starts, and with which profiles.

Unlike the published tool this one waits for every answer: what it reports as
stored is stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cocained.tools.documents import load_map
from cocained.tools.entities import add_common_commands
from cocained.tools.failures import BadValue, Missing, need
from cocained.tools.options import action, name_option

if TYPE_CHECKING:
    from cocained.tools.client import Client
    from cocained.tools.store import Entity


@click.group("runlist")
def runlists() -> None:
    """Runlists: which apps a node starts."""


def _entity() -> Entity:
    from cocained.tools.store import RUNLIST

    return RUNLIST


def check_runlist(document: Any) -> None:
    """
    Insist on a map of app to profile.

    :raises BadValue: it is something else.
    """
    for app, profile in document.items():
        if not isinstance(profile, str):
            raise BadValue(
                f"the profile of app '{app}' must be a name, not {profile!r}",
                'a runlist looks like {"app": "profile"}',
            )


@runlists.command("upload")
@name_option("the runlist")
@click.option("--runlist", metavar="FILE|JSON", help="A JSON file, or JSON itself.")
@action()
async def upload(client: Client, name: str | None, runlist: str | None) -> None:
    """Store a runlist."""
    name = need(name, "name of the runlist", "-n")
    document = load_map(need(runlist, "runlist", "--runlist"), "runlist")
    check_runlist(document)
    await client.store.put(_entity(), name, document)
    client.output.done(
        f"The runlist `{name}` has been uploaded", status="uploaded", name=name
    )


@runlists.command("create")
@name_option("the runlist")
@action()
async def create(client: Client, name: str | None) -> None:
    """Store an empty runlist."""
    name = need(name, "name of the runlist", "-n")
    await client.store.put(_entity(), name, {})
    client.output.done(
        f"The runlist `{name}` has been created", status="created", name=name
    )


@runlists.command("add-app")
@name_option("the runlist")
@click.option("--app", metavar="APP", help="The app to add.")
@click.option("--profile", metavar="PROFILE", help="The profile to start it with.")
@click.option("-f", "--force", is_flag=True, help="Create the runlist if need be.")
@action()
async def add_app(
    client: Client,
    name: str | None,
    app: str | None,
    profile: str | None,
    force: bool,
) -> None:
    """Add an app with its profile."""
    name = need(name, "name of the runlist", "-n")
    app = need(app, "app", "--app")
    profile = need(profile, "profile", "--profile")
    entity = _entity()
    status = "modified"
    document: dict[str, Any] = {}
    names = await client.store.names(entity)
    if name in names:
        document = await client.store.read_map(entity, name)
    elif force:
        status = "created"
    else:
        error = Missing("runlist", name, names, entity.listing)
        error.hint += "; -f creates it"
        raise error
    document[app] = profile
    await client.store.put(entity, name, document)
    client.output.data(
        {"added": {"app": app, "profile": profile}, "runlist": name, "status": status}
    )


@runlists.command("remove-app")
@name_option("the runlist")
@click.option("--app", metavar="APP", help="The app to remove.")
@action()
async def remove_app(client: Client, name: str | None, app: str | None) -> None:
    """Take an app off."""
    name = need(name, "name of the runlist", "-n")
    app = need(app, "app", "--app")
    entity = _entity()
    document = await client.store.read_map(entity, name)
    if app in document:
        del document[app]
        await client.store.put(entity, name, document)
        status = "successfully removed"
    else:
        status = f"the application named {app} is not in runlist"
    client.output.data({"app": app, "runlist": name, "status": status})


add_common_commands(runlists, _entity, check_runlist, ["-c", "--copyname"])
