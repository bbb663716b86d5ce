# -*- test-case-name: cocained.test.test_tools_apps -*-
"""``cocaine-tool app``: from a folder to running workers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from cocained.errors import NodeCode
from cocained.tools.documents import expect_map, load_file, load_map
from cocained.tools.failures import (
    BadValue,
    Exclusive,
    Missing,
    ServiceError,
    ToolError,
    need,
)
from cocained.tools.options import START_TIMEOUT, UPLOAD_TIMEOUT, action, name_option
from cocained.tools.output import plain, size_text

if TYPE_CHECKING:
    from cocained.tools.client import Client


@click.group("app")
def apps() -> None:
    """Upload, start, stop and show apps."""


@apps.command("list")
@action()
async def list_apps(client: Client) -> None:
    """List the apps in the storage."""
    from cocained.tools.store import MANIFEST

    client.output.data(await client.store.names(MANIFEST))


@apps.command("view")
@name_option("the app")
@action()
async def view(client: Client, name: str | None) -> None:
    """Show the manifest of an app."""
    from cocained.tools.store import MANIFEST

    name = need(name, "name of the app", "-n")
    client.output.data(await client.store.read(MANIFEST, name))


@apps.command("upload")
@click.argument("path", required=False)
@name_option("the app", "Name of the app; the folder's if not given.")
@click.option("--manifest", metavar="FILE|JSON", help="A JSON file, or JSON itself.")
@click.option("--package", metavar="TAR", help="An archive packed already.")
@click.option("--manifest-only", is_flag=True, help="Store the manifest alone.")
@action(timeout=UPLOAD_TIMEOUT)
async def upload(
    client: Client,
    path: str | None,
    name: str | None,
    manifest: str | None,
    package: str | None,
    manifest_only: bool,
) -> None:
    """
    Store an app: a folder (here if none is given), or an archive.

    The manifest is found by its name, manifest.json at best.  Folders of
    version control, .venv and __pycache__ are left out.
    """
    if package and path:
        raise Exclusive("PATH and --package exclude each other")
    if package and manifest_only:
        raise Exclusive("--package and --manifest-only exclude each other")
    archive = None
    if manifest_only or package:
        name = need(name, "name of the app", "-n")
        document = load_map(need(manifest, "manifest", "--manifest"), "manifest")
        if package:
            from cocained.tools.archive import read_package

            archive = read_package(package)
    else:
        from cocained.tools.archive import find_manifest

        folder = os.path.abspath(path or ".")
        name = need(name or os.path.basename(folder), "name of the app", "-n")
        if manifest:
            document = load_map(manifest, "manifest")
        else:
            if not os.path.isdir(folder):
                raise BadValue(f"{path or '.'} is no folder", "give the app's folder")
            found = find_manifest(folder)
            document = expect_map(load_file(found, "manifest"), "manifest")
        archive = await pack_folder(client, name, folder)
    if "slave" not in document:
        client.output.note(
            'the manifest has no "slave", the program to run: the app will not start'
        )
    await store_app(client, name, document, archive)


async def pack_folder(client: Client, name: str, folder: str) -> bytes:
    """Pack an app's folder, showing progress."""
    from cocained.tools.archive import list_folder, pack_members

    listing = list_folder(folder)
    archive = b""
    with client.output.progress(f"Packing {name}") as progress:
        for piece in pack_members(listing, progress.advance):
            archive = piece
            await client.breathe()
    if listing.skipped:
        client.output.note(f"left out: {', '.join(listing.skipped)}")
    return archive


async def store_app(
    client: Client, name: str, manifest: dict[str, Any], archive: bytes | None
) -> None:
    """Store an app's archive, if there is one, then its manifest."""
    from cocained.tools.store import ARCHIVE, MANIFEST, pack_document

    packed = pack_document(manifest)
    size = 0
    if archive is not None:
        blob = pack_document(archive)
        size = len(archive)
        with client.output.progress(f"Uploading {name}") as progress:
            await client.store.write(ARCHIVE, name, blob, progress.advance)
    await client.store.write(MANIFEST, name, packed)
    what = (
        "manifest" if archive is None else f"archive ({size_text(size)}) and manifest"
    )
    client.output.done(
        f"The app `{name}` has been uploaded: {what}",
        status="uploaded",
        name=name,
        size=size,
    )


@apps.command("remove")
@name_option("the app")
@action()
async def remove(client: Client, name: str | None) -> None:
    """Remove an app from the storage; running workers stay."""
    from cocained.tools.store import ARCHIVE, MANIFEST

    name = need(name, "name of the app", "-n")
    names = await client.store.names(MANIFEST)
    if name not in names:
        raise Missing("app", name, names, MANIFEST.listing)
    await client.store.remove(MANIFEST.collection, name)
    try:
        await client.store.remove(ARCHIVE.collection, name)
    except ServiceError as error:
        client.output.note(f"its archive is left: {error.message}")
    client.output.done(
        f"The app `{name}` has been removed", status="removed", name=name
    )


profile_option = click.option(
    "-r", "--profile", metavar="PROFILE", help="Profile to start it with."
)


@apps.command("start")
@name_option("the app")
@profile_option
@action(timeout=START_TIMEOUT)
async def start(client: Client, name: str | None, profile: str | None) -> None:
    """Start an app on the node."""
    name = need(name, "name of the app", "-n")
    profile = need(profile, "profile", "-r")
    await start_app(client, name, profile)
    tell_started(client, "started", name, profile)


@apps.command("restart")
@name_option("the app")
@profile_option
@action(timeout=START_TIMEOUT)
async def restart(client: Client, name: str | None, profile: str | None) -> None:
    """Stop an app and start it, with its own profile if none is given."""
    name = need(name, "name of the app", "-n")
    if not profile:
        profile = await current_profile(client, name)
    try:
        await client.call("node", "pause_app", name)
    except ServiceError as error:
        # It need not have been running.
        if error.service != "node" or not is_node_error(error, NodeCode.NOT_RUNNING):
            client.output.note(f"it could not be stopped: {error.message}")
    await start_app(client, name, profile)
    tell_started(client, "restarted", name, profile)


def tell_started(client: Client, verb: str, name: str, profile: str) -> None:
    """Say that an app runs."""
    client.output.done(
        f"Application `{name}` has been {verb} with profile `{profile}`",
        status=verb,
        name=name,
        profile=profile,
    )


async def current_profile(client: Client, name: str) -> str:
    """The name of the profile with which an app runs."""
    report = plain(await ask_node(client, name, "info", name, 1))
    match report:
        case {"profile": {"name": str(profile)}}:
            return profile
    raise ToolError(
        f"the node does not say which profile app '{name}' has", "name it with -r"
    )


async def start_app(client: Client, name: str, profile: str) -> None:
    """Start an app, showing how far it is; what is missing is named."""
    from cocained.tools.startup import show_start
    from cocained.tools.store import MANIFEST, PROFILE, is_missing

    try:
        await show_start(client, name, client.call("node", "start_app", name, profile))
    except ServiceError as error:
        if is_node_error(error, NodeCode.ALREADY_STARTED):
            error.hint = (
                f"`cocaine-tool app restart -n {name} -r {profile}` starts it anew"
            )
        elif is_missing(error):
            # The node says that something is not there; we can say what.
            for entity, key in ((MANIFEST, name), (PROFILE, profile)):
                names = await client.store.names(entity)
                if key not in names:
                    missing = Missing(entity.noun, key, names, entity.listing)
                    raise missing from error
        raise


def is_node_error(error: ServiceError, code: NodeCode) -> bool:
    """Whether the node reported *code*, also in the categories of older ones."""
    from cocained.errors import Category

    return error.category == Category.NODE and error.code == code


@apps.command("stop")
@name_option("the app")
@action()
async def stop(client: Client, name: str | None) -> None:
    """Stop an app on the node."""
    name = need(name, "name of the app", "-n")
    await ask_node(client, name, "pause_app", name)
    client.output.done(
        f"Application `{name}` has been stopped", status="stopped", name=name
    )


apps.add_command(stop, "pause")


async def ask_node(client: Client, name: str, method: str, *args: Any) -> Any:
    """Call the node about an app that should be there."""
    from cocained.tools.nodes import app_names

    try:
        return await client.call("node", method, *args)
    except ServiceError as error:
        if error.service == "node" and "not running" in error.reason:
            names = await app_names(client)
            if name not in names:
                error.hint = Missing("app", name, names, "cocaine-tool info -b").hint
        raise


@apps.command("check")
@name_option("the app")
@action()
async def check(client: Client, name: str | None) -> None:
    """Fail with status 128 unless an app is on the node."""
    from cocained.tools.nodes import app_names

    name = need(name, "name of the app", "-n")
    names = await app_names(client)
    if name not in names:
        raise ToolError(
            f"app '{name}' is not running",
            f"`cocaine-tool app start -n {name} -r PROFILE` starts it;"
            f" on this node: {', '.join(names) or 'none'}",
        )
    report = plain(await ask_node(client, name, "info", name))
    if not isinstance(report, dict) or "state" not in report:
        raise ToolError(f"the node does not say how app '{name}' is")
    if client.output.as_json:
        client.output.data({"name": name, "state": report["state"]})
