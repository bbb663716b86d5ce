# -*- test-case-name: cocained.test.test_tools_bench_store -*-
"""
The documents that the benchmark's apps need, and a place to put them.

Layout of a ``files`` storage: protocol.md §4.1; collections: §12.7.
"""

from __future__ import annotations

import io
import os
import sys
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from cocained.tools.bench import frames
from cocained.tools.bench.client import Address, Connection

#: The profile of all apps of the benchmark.
PROFILE = "bench"

#: More than anything here has open at once: a limit would be what is measured.
ROOM = 200_000

#: Name of the program inside the archive.
SLAVE = "worker"

#: Tells when its program began, had its framework and got the event, as the
#: native worker's ``times`` does.
FRAMEWORK_APP = """#!{python}
from time import monotonic_ns
began = monotonic_ns()
from cocaine.worker import Worker
imported = monotonic_ns()


{define} times(request, response):
    response.write(f"{{began}} {{imported}} {{monotonic_ns()}}".encode())
    response.close()


Worker().run({{"times": times}})
"""


class Blobs(Protocol):
    """Where documents can be put."""

    def write(
        self, collection: str, key: str, blob: bytes, tags: Iterable[str]
    ) -> None:
        """Store a blob; it can be read when this returns."""


class FileBlobs:
    """
    Writes into the directory of a ``files`` storage, as the storage would.

    :param root: its ``path``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(
        self, collection: str, key: str, blob: bytes, tags: Iterable[str]
    ) -> None:
        directory = self.root / collection
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / key
        fresh = directory / f".{key}.fresh"
        fresh.write_bytes(blob)
        os.replace(fresh, path)
        for tag in tags:
            (directory / tag).mkdir(exist_ok=True)
            link = directory / tag / key
            if not link.is_symlink():
                link.symlink_to(path)


class RemoteBlobs:
    """
    Writes through a storage service, for a peer whose disk is not ours.

    :param address: of the service.
    """

    def __init__(self, address: Address) -> None:
        self.address = address

    def write(
        self, collection: str, key: str, blob: bytes, tags: Iterable[str]
    ) -> None:
        with Connection(self.address) as connection:
            connection.call(frames.STORAGE_WRITE, [collection, key, blob, list(tags)])


def archive(program: bytes) -> bytes:
    """
    Pack the program of an app as the ``.tar.gz`` that is uploaded.

    :param program: the whole executable file.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo(SLAVE)
        member.size = len(program)
        member.mode = 0o755
        tar.addfile(member, io.BytesIO(program))
    return buffer.getvalue()


def framework_app(coroutine: bool) -> bytes:
    """
    Give the program of an app on the Python framework.

    :param coroutine: whether its handler is an ``async def``, which runs on
        asyncio, and not a plain function, which does not import it.
    """
    define = "async def" if coroutine else "def"
    return FRAMEWORK_APP.format(python=sys.executable, define=define).encode()


def profile(
    isolate: str, arguments: Mapping[str, Any], workers: int = 1
) -> dict[str, Any]:
    """
    Make a profile: one worker unless more are asked for, and room for all that
    is opened.

    :param isolate: type of the isolate.
    :param arguments: its arguments.
    :param workers: most of them.
    """
    return {
        "pool-limit": workers,
        "concurrency": ROOM,
        "queue-limit": ROOM,
        "grow-threshold": ROOM,
        "idle-timeout": 0,
        "isolate": {"type": isolate, "args": dict(arguments)},
    }


def write_profile(
    blobs: Blobs,
    isolate: str,
    arguments: Mapping[str, Any],
    name: str = PROFILE,
    workers: int = 1,
) -> None:
    """Store a profile under a name; see :func:`profile`."""
    value = frames.document(profile(isolate, arguments, workers))
    blobs.write("profiles", name, value, ["profile"])


def write_app(
    blobs: Blobs, name: str, packed: bytes, environment: Mapping[str, str]
) -> None:
    """
    Store an app.

    :param blobs: where to.
    :param name: of the app.
    :param packed: see :func:`archive`.
    :param environment: for its workers.
    """
    manifest = {"slave": SLAVE, "environment": dict(environment)}
    blobs.write("manifests", name, frames.document(manifest), ["app"])
    blobs.write("apps", name, frames.document(packed), ["app"])
