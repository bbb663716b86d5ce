# -*- test-case-name: cocained.test.test_tools_nodes -*-
"""Commands about the node itself: info, locate, routing, cluster, uuid."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from cocained.tools.failures import (
    EXIT_TROUBLED,
    Missing,
    ServiceError,
    ToolError,
    is_unknown_service,
    need,
)
from cocained.tools.options import TIMEOUT, action, name_option
from cocained.tools.output import plain

if TYPE_CHECKING:
    from cocained.tools.client import Client

#: Apps asked at a time, as in the published tool.
PARALLEL = 25

#: Flags of ``node.info`` (protocol.md §6.2).
REPORT, MANIFEST, PROFILE = 1, 2, 4

#: Points of a routing ring: 32 bits.
RING = 1 << 32


@click.command("info")
@name_option("the app", "Name of an app, with * and ? as wildcards.")
@click.option("-m", "manifest", is_flag=True, help="Show manifests.")
@click.option("-p", "profile", is_flag=True, help="Show profiles.")
@click.option("-b", "brief", is_flag=True, help="Show the state only.")
@click.option("-w", "exact", is_flag=True, help="The name has no wildcards.")
@action(timeout=None)
async def info(
    client: Client,
    name: str | None,
    manifest: bool,
    profile: bool,
    brief: bool,
    exact: bool,
) -> None:
    """Show what the apps on the node do."""
    flags = (not brief) * REPORT + manifest * MANIFEST + profile * PROFILE
    if name and exact:
        names = [name]
    else:
        names = await app_names(client)
        if name:
            found = fnmatch.filter(names, name)
            if not found and not any(sign in name for sign in "*?["):
                raise Missing("app", name, names, "cocaine-tool info -b")
            names = found
    apps = await app_infos(client, names, flags)
    client.output.data({"apps": apps, "count": len(apps)})
    for problem in await discovery_problems(client):
        client.output.warn(problem)


async def app_names(client: Client) -> list[str]:
    """The apps that the node knows, in any state."""
    names = plain(await client.call("node", "list"))
    if not isinstance(names, list):
        raise ToolError("the node did not answer with a list of apps")
    return sorted(str(name) for name in names)


async def app_infos(client: Client, names: list[str], flags: int) -> dict[str, Any]:
    """Ask for each app's report; an error is the report of one that has none."""
    from twisted.internet.defer import (
        Deferred,
        DeferredSemaphore,
        gatherResults,
    )

    from cocained.rpc.connection import NotConnected, TimedOut

    semaphore = DeferredSemaphore(PARALLEL)

    async def ask(name: str) -> Any:
        async with semaphore:
            try:
                return plain(await client.call("node", "info", name, flags))
            except ServiceError as error:
                cause = error.__cause__
                if isinstance(cause, TimedOut):
                    return {
                        "error": "info was timed out",
                        "state": "unresponsive",
                        "uptime": 0,
                    }
                if isinstance(cause, NotConnected) or is_unknown_service(cause):
                    raise
                return error.message

    asked = [Deferred.fromCoroutine(ask(name)) for name in names]
    try:
        reports = await gatherResults(asked, consumeErrors=True)
    except Exception as error:
        # What all of them met, such as a node that is not there.
        first = getattr(error, "subFailure", None)
        raise (first.value if first is not None else error) from None
    return dict(zip(names, reports, strict=True))


@click.command("locate")
@name_option("the service")
@action()
async def locate(client: Client, name: str | None) -> None:
    """Show where a service is and what it offers."""
    from cocained.rpc.connection import address_text

    name = need(name, "name of the service", "-n")
    found = await client.explain(name, client.locator.resolve(name))
    client.output.data(
        {
            "api": {str(number): entry[0] for number, entry in found.graph.items()},
            "endpoints": [address_text(address) for address in found.endpoints],
            "version": found.version,
        }
    )


@click.command("routing")
@name_option("the routing group")
@action()
async def routing(client: Client, name: str | None) -> None:
    """Show the shares of a routing group."""
    name = need(name, "name of the routing group", "-n")
    rings = await known_rings(client)
    if name not in rings:
        error = Missing("routing group", name, rings, "cocaine-tool group list")
        error.hint += (
            f"; if it was stored a moment ago, refresh the locator:"
            f" `cocaine-tool group refresh -n {name}`"
        )
        raise error
    client.output.data({name: shares(rings[name])})


async def known_rings(client: Client) -> dict[str, Any]:
    """
    Ask the locator for the rings of all groups that it knows.

    :raises ToolError: what it answers is something else.
    """
    from cocained.rpc.calls import END
    from cocained.tools.client import router_name

    router = router_name(client.surroundings.now())
    stream = await client.stream("locator", "routing", router, True)
    async with stream:
        dump = await client.explain(
            "locator", stream.read(client.settings.timeout or TIMEOUT)
        )
    rings = {} if dump is END else plain(dump)
    if not isinstance(rings, dict):
        raise ToolError("the locator did not answer with routing groups")
    return rings


def shares(ring: Any) -> Mapping[str, float]:
    """
    Say which part of all seeds leads to each app.

    :param ring: pairs of a point and an app (protocol.md §3.5).
    """
    try:
        points = sorted((int(point) % RING, str(app)) for point, app in ring)
    except (TypeError, ValueError) as error:
        raise ToolError("the locator sent a routing ring that is none") from error
    arcs: dict[str, int] = {}
    # The first point also takes what lies behind the last one.
    previous = points[-1][0] - RING if points else 0
    for point, app in points:
        arcs[app] = arcs.get(app, 0) + point - previous
        previous = point
    return {app: arc / RING for app, arc in arcs.items()}


@click.command("cluster")
@click.option("--resolve", metavar="VALUE", help="With any value: show addresses only.")
@action()
async def cluster(client: Client, resolve: str | None) -> None:
    """Show the nodes linked to this one."""
    nodes = plain(await client.call("locator", "cluster"))
    if not isinstance(nodes, dict):
        raise ToolError("the locator did not answer with a map of nodes")
    if not resolve:
        nodes = {uuid: await host_name(address) for uuid, address in nodes.items()}
    client.output.data(nodes)
    for problem in await discovery_problems(client):
        client.output.warn(problem)
        client.status = EXIT_TROUBLED


async def discovery_problems(client: Client) -> list[str]:
    """
    Say what keeps the node from knowing who else is there.

    :returns: sentences; none from a node without ``admin``, which cannot tell.
    """
    from cocained.tools.admin import NotOffered, node_report

    try:
        report = await node_report(client)
    except NotOffered:
        return []
    except ToolError as error:
        return [f"whether nodes are missing here cannot be told: {error.message}"]
    match report:
        case {"components": {"services.locator": {"discovery": {"problem": problem}}}}:
            if problem:
                return [f"nodes may be missing here, or be gone: {problem}"]
    return []


async def host_name(address: Any) -> Any:
    """Put the host's name in place of its address, if it has one."""
    import socket

    from twisted.internet.threads import deferToThread

    def look_up(host: str) -> str:
        try:
            return socket.gethostbyaddr(host)[0]
        except (OSError, ValueError):
            return host

    match address:
        case [str(host), port] if port:
            return [await deferToThread(look_up, host), port]
    return address


@click.command("uuid")
@action()
async def uuid(client: Client) -> None:
    """Show the node's own id."""
    client.output.data(await client.call("locator", "uuid"))


@click.command("version")
@click.option("--json", "as_json", is_flag=True, help="Print for scripts.")
def version(as_json: bool) -> None:
    """Show the version of this tool."""
    from cocained._version import __version__
    from cocained.tools.output import Output

    Output(as_json).done(__version__, version=__version__)
