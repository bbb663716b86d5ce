# -*- test-case-name: cocained.test.test_examples_docker -*-
"""
Images: one that everything is built on, one of an app, and their way to a
registry and out of the engine.
"""

from __future__ import annotations

import io
import stat
import tarfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

import cocaine
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread

from cocained.docker import DockerClient, Progress
from cocained.docker.models import Image
from cocained.testing.docker import LIBRARY, make_root
from demonstration.screen import Move, Screen

#: Of the image that has Python and the framework.
BASE = "cocained-base"

#: What containers of it start with.
CHANGES = (f"ENV PYTHONPATH={LIBRARY}", "ENV PATH=/usr/bin")

#: What a push says of a layer that need not be sent any more.
SENT = frozenset(("Pushed", "Layer already exists"))

P = ParamSpec("P")
T = TypeVar("T")


class ReactorThread:
    """
    Runs a reactor beside a program that waits for each thing that it does.

    :param reactor: whose signal handlers are not installed.
    """

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self._thread = threading.Thread(
            target=reactor.run, kwargs={"installSignalHandlers": False}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.reactor.callFromThread(self.reactor.stop)
        self._thread.join()

    def wait(
        self, call: Callable[P, Deferred[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call something there, and give its result or raise its error."""
        result: T = blockingCallFromThread(self.reactor, call, *args, **kwargs)
        return result


class Layers:
    """How far a push is; pure."""

    def __init__(self) -> None:
        #: bytes done and bytes to do, by layer
        self._layers: dict[str, tuple[int, int]] = {}

    def follow(self, step: Progress) -> tuple[int, int]:
        """
        Take one step.

        :returns: bytes sent and bytes to send, as far as they are known.
        """
        done, total = self._layers.get(step.id, (0, 0))
        # A layer is sent with the headers of its archive, which nobody counts.
        total = max(total, step.total or 0, step.current or 0)
        done = total if step.status in SENT else max(done, step.current or 0)
        if step.id and total:
            self._layers[step.id] = done, total
        dones, totals = zip((0, 0), *self._layers.values(), strict=True)
        return sum(dones), sum(totals)


def make_base(
    screen: Screen, thread: ReactorThread, client: DockerClient, place: Path
) -> Image:
    """
    Make :data:`BASE` of what this machine has.

    :param place: for the file system, until the engine has it.
    """
    root, archive = place / "root", place / "root.tar"
    with screen.bar("copying"):
        root.mkdir()
        make_root(root, [Path(cocaine.__file__).parent])
    with screen.bar("packing") as move:
        pack(root, archive, move)
    with screen.bar("importing"):
        return thread.wait(client.import_image, archive, BASE, CHANGES)


def pack(root: Path, archive: Path, move: Move) -> None:
    """Pack a directory, whoever its files belong to."""
    sizes = (path.lstat() for path in root.rglob("*"))
    total = sum(each.st_size for each in sizes if stat.S_ISREG(each.st_mode))
    done = 0

    def add(member: tarfile.TarInfo) -> tarfile.TarInfo:
        nonlocal done
        done += member.size
        move(done, total)
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        return member

    with tarfile.open(archive, "w") as tar:
        tar.add(root, arcname=".", filter=add)


def context(files: Mapping[str, bytes]) -> bytes:
    """
    Pack the context of a build.

    :param files: by name; all can be executed.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def build_app(
    screen: Screen,
    thread: ReactorThread,
    client: DockerClient,
    files: Mapping[str, bytes],
    name: str,
) -> Image:
    """
    Build the image of an app, and show the steps.

    :param files: of the context, ``Dockerfile`` among them.
    :param name: of the image.
    """

    def follow(step: Progress) -> None:
        if step.text.startswith("Step "):
            screen.say(step.text.strip())

    return thread.wait(client.build, context(files), name, on_progress=follow)


def push(screen: Screen, thread: ReactorThread, client: DockerClient, name: str) -> str:
    """
    Send an image to its registry.

    :returns: digest of its manifest.
    """
    layers = Layers()
    with screen.bar("pushing") as move:
        return thread.wait(
            client.push, name, on_progress=lambda step: move(*layers.follow(step))
        )


def forget(thread: ReactorThread, client: DockerClient, *names: str) -> None:
    """
    Remove images, so that the engine must pull what it needs.

    :param names: of all of them, those that are built on others first.
    """
    for name in names:
        thread.wait(client.remove_image, name, force=True)
