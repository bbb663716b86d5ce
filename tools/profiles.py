# -*- test-case-name: cocained.test.test_tools_profiles -*-
"""``cocaine-tool profile``: how apps are run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cocained.tools.documents import load_map
from cocained.tools.entities import add_common_commands
from cocained.tools.failures import need
from cocained.tools.options import action, name_option

if TYPE_CHECKING:
    from cocained.tools.client import Client
    from cocained.tools.store import Entity


@click.group("profile")
def profiles() -> None:
    """Profiles: how apps are run."""


def _entity() -> Entity:
    from cocained.tools.store import PROFILE

    return PROFILE


def check_profile(document: Any) -> None:
    """Accept it: a profile may hold what only the node or an isolate knows."""


@profiles.command("upload")
@name_option("the profile")
@click.option(
    "-r",
    "--profile",
    metavar="FILE|JSON",
    help="The profile: a JSON file, or JSON itself.",
)
@action()
async def upload(client: Client, name: str | None, profile: str | None) -> None:
    """Store a profile."""
    name = need(name, "name of the profile", "-n")
    document = load_map(need(profile, "profile", "--profile"), "profile")
    await client.store.put(_entity(), name, document)
    client.output.done(
        f"The profile `{name}` has been uploaded", status="uploaded", name=name
    )


add_common_commands(profiles, _entity, check_profile, ["-c", "--copyname"])
