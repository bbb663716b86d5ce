# -*- test-case-name: cocained.test.test_isolates_docker_checks -*-
"""
What an app asks of its isolate, held against this machine; and what only the
node can do for its workers.
"""

from __future__ import annotations

import errno
import os
import re

from cocained.docker import Reference, parse_address, parse_reference
from cocained.docker.errors import InvalidName
from cocained.errors import SpawnError
from cocained.isolates.checks import refused
from cocained.isolates.docker.binds import parse_bind
from cocained.isolates.docker.keys import DEFAULT_REGISTRY, DockerArgs

#: Number of a group in which nobody is, by which workers get at their socket
#: when the node is root: Debian and systemd give it to none.
WORKERS = 65_100

#: The oldest API with mounts that do not make what they cannot find, and with
#: processors in fractions: Docker 1.13.
OLDEST_API = (1, 25)


def find_reference(args: DockerArgs, app: str) -> Reference:
    """
    Say which image an app has.

    :raises SpoolError: no image can be called so.
    """
    name = args.image or app
    parts = [args.repository.strip("/"), name]
    if args.registry not in (None, DEFAULT_REGISTRY):
        parts.insert(0, args.registry)
    text = "/".join(part for part in parts if part)
    try:
        reference = parse_reference(text).pinned()
    except InvalidName as error:
        remedy = "" if args.image else "; name it by 'image'"
        raise refused("image", f"{error.reason}{remedy}") from error
    wanted = "" if args.registry in (None, DEFAULT_REGISTRY) else args.registry
    if args.registry is not None and reference.registry != wanted:
        raise refused(
            "registry",
            f"{text!r} does not lead to {wanted or 'Docker Hub'!r}: write a registry as"
            " host:port, or with a dot in its name",
        )
    return reference


def check_binds(args: DockerArgs, runtime: str) -> None:
    """
    See that nothing is shared that undoes the walls.

    Runs in a thread.

    :param runtime: directory of all apps' sockets; its real path.
    :raises SpoolError: something is; or does not exist.
    """
    address = parse_address(args.endpoint)
    engine = os.path.realpath(address.path) if address.path else ""
    for text in args.binds:
        bind = parse_bind(text)
        if bind.is_volume:
            continue
        source = os.path.realpath(bind.source)
        if engine and _holds(source, engine):
            raise refused(
                "binds",
                f"{bind.source} holds the engine's socket {engine}: who reaches that"
                " is root of the machine; bind something narrower",
                errno.EPERM,
            )
        if _holds(source, runtime) or _holds(runtime, source):
            raise refused(
                "binds",
                f"{bind.source} holds sockets of apps: the worker's own is there"
                " already; bind something narrower",
                errno.EPERM,
            )
        if not os.path.exists(source):
            raise refused(
                "binds",
                f"{bind.source} does not exist on this machine; create it, or leave"
                " it out",
                errno.ENOENT,
            )


def _holds(directory: str, path: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def check_api(version: str) -> None:
    """
    See that an engine knows what is needed.

    :param version: of the API that it is spoken to in.
    :raises SpoolError: it is too old.
    """
    numbers = re.fullmatch(r"(\d+)\.(\d+)", version)
    if numbers is None or tuple(map(int, numbers.groups())) < OLDEST_API:
        raise refused(
            "endpoint",
            f"the engine speaks API {version}, and at least 1.25 is needed; use Docker"
            " 1.13 or later",
            errno.EPROTONOSUPPORT,
        )


def workers_group(euid: int, egid: int) -> int:
    """
    Give the number of the group by which workers get at their sockets.

    :param euid: who the node is.
    :param egid: its group.
    """
    return egid if euid else WORKERS


def open_socket(path: str, euid: int, egid: int) -> int:
    """
    Let a group use a socket, since no capability helps its workers to.

    :param euid: who the node is.
    :param egid: its group.
    :returns: number of the group, which is the node's unless that is root's.
    :raises SpawnError: the socket is not there, or not the node's.
    """
    group = workers_group(euid, egid)
    try:
        os.chown(path, -1, group)
        os.chmod(path, 0o660)
    except OSError as error:
        code = error.errno or errno.EINVAL
        raise SpawnError(
            f"cannot let workers use the app's socket {path}: {os.strerror(code)}", code
        ) from error
    return group
