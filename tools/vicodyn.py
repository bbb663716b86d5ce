# -*- test-case-name: cocained.test.test_tools_vicodyn -*-
"""``cocaine-tool vicodyn``: which nodes the gateway relays to, and for which apps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cocained.tools.failures import (
    Missing,
    ServiceError,
    ToolError,
    is_unknown_service,
)
from cocained.tools.options import action, name_option
from cocained.tools.output import plain

if TYPE_CHECKING:
    from cocained.tools.client import Client

#: What a node offers that can be asked these things.
WANTED = """the gateway offers it by itself; let the locator have it:

services:
  locator:
    type: locator
    args:
      gateway: {type: vicodyn}"""


@click.group("vicodyn")
def vicodyn() -> None:
    """The gateway vicodyn: its apps and its peers."""


@vicodyn.command("info")
@action()
async def info(client: Client) -> None:
    """Show all apps and peers."""
    client.output.data(await ask(client, "info"))


@vicodyn.command("apps")
@name_option("the app", "Show one app only.")
@action()
async def apps(client: Client, name: str | None) -> None:
    """Show the nodes of each app."""
    client.output.data(await some(client, "apps", "app", name))


@vicodyn.command("peers")
@name_option("the node", "Show one node only, by its uuid.")
@action()
async def peers(client: Client, name: str | None) -> None:
    """Show where requests can be sent to, and what is connected."""
    client.output.data(await some(client, "peers", "peer", name))


async def some(client: Client, method: str, what: str, name: str | None) -> Any:
    """
    Ask for all, or for one.

    :raises Missing: there is not that one.
    """
    answer = await ask(client, method, name or "")
    found = answer.get(method)
    if not isinstance(found, dict):
        raise ToolError(f"the gateway did not answer with a map of {method}")
    if name and found.get(name) is None:
        everything = (await ask(client, method, "")).get(method)
        known = list(everything) if isinstance(everything, dict) else []
        raise Missing(what, name, known, f"cocaine-tool vicodyn {method}")
    return answer


async def ask(client: Client, method: str, *args: Any) -> dict[str, Any]:
    """
    Call a method of the information service.

    :raises ToolError: the node has none, with what to do about it.
    """
    try:
        answer = plain(await client.call("vicodyn", method, *args))
    except ServiceError as error:
        if is_unknown_service(error.__cause__):
            raise ToolError("the node offers no service 'vicodyn'", WANTED) from error
        raise
    if not isinstance(answer, dict):
        raise ToolError("the gateway did not answer with a map")
    return answer
