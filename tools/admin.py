# -*- test-case-name: cocained.test.test_tools_admin -*-
"""``cocaine-tool node``: how the node is; to let it rest, and serve again."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import click

from cocained.tools.failures import (
    EXIT_TROUBLED,
    ServiceError,
    ToolError,
    is_unknown_service,
)
from cocained.tools.options import action
from cocained.tools.output import plain

if TYPE_CHECKING:
    from cocained.rpc.calls import Stream
    from cocained.tools.client import Client

#: Longest time that requests can be given, in seconds: a day, as in the node's
#: configuration.
PATIENCE_LIMIT = 86_400

#: What a node offers that can be asked these things.
WANTED = """add these lines to the node's configuration, and start it again:

services:
  admin:
    type: admin"""


class NotOffered(ToolError):
    """The node has no service ``admin``."""

    def __init__(self) -> None:
        super().__init__("the node offers no service 'admin'", WANTED)


@click.group("node")
def admin() -> None:
    """The node itself: how it is, let it rest or serve."""


@admin.command("status")
@action()
async def status(client: Client) -> None:
    """Show how the node and its components are."""
    report = await node_report(client)
    client.output.data(report)
    if report.get("problems"):
        client.status = EXIT_TROUBLED


@admin.command("drain")
@click.option(
    "--drain",
    "patience",
    metavar="S",
    type=click.FloatRange(0, PATIENCE_LIMIT),
    help="Seconds that running requests have; shutdown.drain of the node if not given.",
)
@action(timeout=None)
async def drain(client: Client, patience: float | None) -> None:
    """Send clients to other nodes and wait for the requests there are."""
    args = () if patience is None else (patience,)
    try:
        stream = await client.stream("admin", "drain", *args)
    except ServiceError as error:
        raise explained(error) from error
    async with stream:
        last = await follow(client, stream)
    client.output.done(
        "The node is drained. Stop it, or `cocaine-tool node resume` lets it serve"
        " again",
        **last,
    )


@admin.command("resume")
@action()
async def resume(client: Client) -> None:
    """Let a node serve again that was told to drain."""
    await ask(client, "resume")
    client.output.done("The node serves", state="serving")


async def follow(client: Client, stream: Stream) -> dict[str, Any]:
    """
    Show how far a drain is until it is over.

    :returns: the last that the node said of it.
    """
    from cocained.rpc.calls import END

    watched = client.output.watched
    last: dict[str, Any] = {}
    most = 0
    phase: bool | None = None
    with contextlib.ExitStack() as shown:
        line = None
        if watched:
            line = shown.enter_context(client.output.status("Draining", client.clock))
        while True:
            chunk = await client.explain("admin", stream.read(client.settings.timeout))
            if chunk is END:
                return last
            last = _map(plain(chunk), "how far it is")
            requests = _number(last.get("requests"))
            most = max(most, requests)
            text, percent = step(last, requests, most)
            settles = percent is None
            if line is not None:
                line.show(text, percent)
            elif settles is not phase:
                phase = settles
                client.output.note(f"Draining: {text}")


def step(told: dict[str, Any], requests: int, most: int) -> tuple[str, int | None]:
    """
    Say for people where a drain is.

    :param told: by the node.
    :param requests: that still run.
    :param most: that have been seen to run.
    :returns: a text and the share of the work that is done, in percent.
    """
    apps = _number(told.get("apps"))
    text = f"{requests} requests left, {apps} apps at work"
    settling = _number(told.get("settling"))
    if settling > 0:
        return f"serves for another {settling} s, {text}", None
    return text, 100 * (most - requests) // most if most else None


def _number(value: Any) -> int:
    """What the node said, as long as it is a number."""
    if type(value) is float and value == value and abs(value) < 1e9:
        return round(value)
    return value if type(value) is int else 0


async def ask(client: Client, method: str) -> Any:
    """
    Call a method of ``admin``.

    :raises NotOffered: the node has no such service.
    """
    try:
        return plain(await client.call("admin", method))
    except ServiceError as error:
        raise explained(error) from error


async def node_report(client: Client) -> dict[str, Any]:
    """
    Ask the node how it is.

    :raises NotOffered: the node has no such service.
    """
    return _map(await ask(client, "status"), "how it is")


def _map(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ToolError(f"the node did not say {what} in a map")
    return value


def explained(error: ServiceError) -> ToolError:
    """Say what to do about a node without ``admin``."""
    return NotOffered() if is_unknown_service(error.__cause__) else error
