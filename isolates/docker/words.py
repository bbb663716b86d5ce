# -*- test-case-name: cocained.test.test_isolates_docker_words -*-
"""
Errors of an engine and ends of containers, as people read them; pure.
"""

from __future__ import annotations

import re
from typing import TypeVar

from cocained.docker.errors import DockerError
from cocained.docker.models import ContainerState
from cocained.errors import SpawnError, SpoolError
from cocained.isolates.cells import SIGNALLED, in_words
from cocained.isolates.docker.creation import Order
from cocained.isolates.docker.keys import DockerArgs
from cocained.status import exit_reason

E = TypeVar("E", SpoolError, SpawnError)

#: Exit codes with which an init says that it could not run the program.
CANNOT_EXECUTE, NO_PROGRAM = 126, 127

#: Signs of an engine's message that are repeated.
MESSAGE = 1000

#: What engines and registries say, and what to do about it; the first that fits.
REMEDIES = (
    (
        r"manifest .*(not found|unknown)|repository .*(not found|does not exist)"
        r"|name unknown|manifest unknown",
        "push it there, or correct 'registry', 'repository', 'image' and 'auth'",
    ),
    (
        r"docker-init.*(not found|no such file)",
        "the engine has no init: install its docker-init (Debian: tini), or set"
        " 'init' to false",
    ),
    (
        r"executable file not found|exec: .*no such file or directory",
        "the image has no such program: see the manifest's 'slave'",
    ),
    (
        r"exec: .*permission denied",
        "the program cannot be run: chmod +x it in the image",
    ),
    (
        r"exec format error",
        "the program is not for this machine, or a script without #!",
    ),
    (
        r"no space left on device",
        "free some space where the engine keeps its data (docker system prune)",
    ),
    (
        r"bind source path does not exist",
        "the engine must run on the machine of the node, and see its files; create"
        " what 'binds' names",
    ),
    (r"network .*not found", "create that network, or correct 'network_mode'"),
    (
        r"unable to find (user|group)|no matching entries in (passwd|group)",
        "the image has no such user: correct 'user', or write numbers",
    ),
    (
        r"unauthorized|authentication required|access .*denied|no basic auth",
        "correct 'auth', and what it allows",
    ),
    (
        r"server gave http response to https client",
        "give that registry a certificate, or name it in the engine's"
        " insecure-registries",
    ),
    (
        r"x509|certificate",
        "let the engine know the registry's authority (/etc/docker/certs.d)",
    ),
    (
        r"no such host|connection refused|i/o timeout|network is unreachable"
        r"|no route to host|request canceled|context deadline",
        "see that the registry is up and that the engine reaches it; an image that"
        " the engine has is used with 'pull': 'missing'",
    ),
)


def explained(kind: type[E], what: str, error: DockerError) -> E:
    """
    Turn an engine's error into one of an isolate's.

    :param what: was to be done, such as ``cannot pull busybox:latest``.
    :returns: of that kind, with the engine's words and a remedy.
    """
    message = error.message[:MESSAGE]
    remedy = next(
        (
            remedy
            for pattern, remedy in REMEDIES
            if re.search(pattern, message, re.IGNORECASE | re.DOTALL)
        ),
        error.remedy,
    )
    place = "" if error.status else f"the engine at {error.engine}: "
    return kind(f"{what}: {place}{message} ({remedy})", error.code)


def cannot_spawn(error: DockerError, order: Order) -> SpawnError:
    """Say why a worker could not be started."""
    if error.status == 404 and "no such image" in error.message.lower():
        return SpawnError(
            f"cannot run {order.executable!r}: its image {order.image} is gone from"
            " the engine (start the app again, which fetches it)",
            error.code,
        )
    return explained(SpawnError, f"cannot run {order.executable!r}", error)


def ending(
    state: ContainerState, args: DockerArgs, program: str, complaint: str = ""
) -> tuple[str, bool]:
    """
    Put the end of a container into words.

    :param state: of a container that has ended.
    :param program: that it was to run.
    :param complaint: of its init, if that could not run the program.
    :returns: see :meth:`cocained.interfaces.IWorkerObserver.exited`.
    """
    code = state.exit_code
    if complaint and code in (CANNOT_EXECUTE, NO_PROGRAM):
        return (
            f"could not run {program!r}: {complaint}; see the manifest's 'slave'",
            True,
        )
    reason, error = exit_reason(SIGNALLED - code if code > SIGNALLED else code)
    if state.oom_killed:
        why = "out of its memory limit"
        if args.memory_bytes is not None:
            why += f" of {in_words(args.memory_bytes)}"
        if code == SIGNALLED + 9:
            return f"was killed by the kernel: {why}", True
        return f"{reason}; the kernel had killed a process of it: {why}", error
    if state.error:
        reason += f" ({state.error[:MESSAGE]})"
    return reason, error
