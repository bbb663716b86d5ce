# -*- test-case-name: cocained.test.test_isolates_docker_orphans -*-
"""
Whose a container is, and which ones nobody has any more.

Each container says in its labels which node made it, and where that node has
its sockets.  A node that lives holds a lock on a directory there, see
:mod:`~cocained.isolates.claims`::

    <paths.runtime>/.docker-<uuid of the node>

So a container of this runtime directory whose node has no such lock belongs to
nobody.  Those of other runtime directories are left alone: whether their nodes
live can only be seen where their directories are.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from cocained.docker.models import ContainerSummary
from cocained.isolates.claims import abandoned, claim

#: Names of labels.
APP, NODE, RUNTIME, WORKER = (
    f"cocained.{name}" for name in ("app", "node", "runtime", "worker")
)

#: Begins the names of the directories.
PREFIX = ".docker-"


def labels(app: str, node: str, runtime: str, worker: str) -> dict[str, str]:
    """Make the labels of a container."""
    return {APP: app, NODE: node, RUNTIME: runtime, WORKER: worker}


def claim_node(runtime: str, node: str) -> int:
    """
    Say that this node lives, for as long as its process does.

    Runs in a thread.

    :returns: a descriptor; closing it gives up the claim.
    :raises OSError: the directory cannot be made.
    """
    return claim(os.path.join(runtime, PREFIX + node), 0o700)


def release_node(runtime: str, node: str, descriptor: int) -> None:
    """Give up the claim; runs in a thread."""
    # Somebody may have put something into it, which is theirs to remove.
    with contextlib.suppress(OSError):
        os.rmdir(os.path.join(runtime, PREFIX + node))
    os.close(descriptor)


def find_orphans(
    found: Iterable[ContainerSummary], runtime: str, node: str
) -> list[ContainerSummary]:
    """
    Find the containers whose nodes are dead.

    Runs in a thread.

    :param found: containers of this runtime directory.
    :param node: uuid of the one that asks.
    """
    by_node: dict[str, list[ContainerSummary]] = {}
    for container in found:
        if container.labels.get(RUNTIME) == runtime:
            by_node.setdefault(container.labels.get(NODE, ""), []).append(container)
    by_node.pop(node, None)
    return [
        container
        for owner, containers in by_node.items()
        if not _is_alive(runtime, owner)
        for container in containers
    ]


def remove_claims(runtime: str) -> None:
    """Remove the directories of dead nodes; runs in a thread."""
    with contextlib.suppress(OSError):
        for name in os.listdir(runtime):
            if name.startswith(PREFIX):
                path = os.path.join(runtime, name)
                with abandoned(path) as is_free, contextlib.suppress(OSError):
                    if is_free:
                        os.rmdir(path)


def _is_alive(runtime: str, node: str) -> bool:
    if not node or "/" in node or "\0" in node:
        # No node of ours has written this.
        return False
    path = os.path.join(runtime, PREFIX + node)
    if not os.path.isdir(path):
        return False
    with abandoned(path) as is_free:
        return not is_free
