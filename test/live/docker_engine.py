# -*- test-case-name: cocained.test.live.test_docker_client -*-
"""
A real Docker Engine and a real registry, for the tests that start them.

Each runs in a network namespace of its own, with its own data, so that neither
an engine of the machine nor its firewall notices::

    with Network() as network, Engine(network) as engine, Registry(network) as hub:
        engine.address    # unix:///tmp/cd…/docker.sock
        hub.name          # 127.0.0.1:5000, as the engine sees it

Nothing is pulled from anywhere: :func:`base_image` makes an image of this
machine's interpreter.  Needs root, ``docker.io``, ``docker-registry``,
``iproute2`` and ``busybox``.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from cocained.test.live.daemons import Network, require
from cocained.test.live.support import ROOT
from cocained.testing import docker
from cocained.testing.docker.registry import PORT

#: The image that :func:`shared` has loaded, and what its containers need.
BASE = "cocained-base"
ENVIRONMENT = [f"PYTHONPATH={docker.LIBRARY}"]

#: ``HostConfig`` of a container that may not raise limits, nor has a network.
LIMITS = {
    "NetworkMode": "none",
    "Ulimits": [
        {"Name": "nofile", "Soft": 1024, "Hard": 1024},
        {"Name": "nproc", "Soft": 1000, "Hard": 1000},
    ],
}


class Engine(docker.Engine):
    """
    A Docker Engine of our own.

    :param network: where it and its containers run; a registry in the same
        namespace is reached without TLS, as loopback addresses are.
    :param arguments: further options of ``dockerd``.
    """

    def __init__(self, network: Network, *arguments: str) -> None:
        require(*self.programs)
        self.network = network
        super().__init__(*arguments, enter=network.command())

    def load(self, root: bytes, name: str) -> None:
        """
        Make an image of a root file system.

        :param root: a tar archive.
        :param name: repository of the image; its tag is ``latest``.
        """
        self.request("POST", f"/images/create?fromSrc=-&repo={name}", root)


class Registry(docker.Registry):
    """
    A registry of our own.

    :param network: the one of the engine that is to reach it.
    :param users: name to password; with none, anybody may do everything.
    :param port: which it has inside the namespace.
    """

    def __init__(
        self,
        network: Network,
        users: Mapping[str, str] | None = None,
        port: int = PORT,
    ) -> None:
        require(*self.programs, *(("htpasswd",) if users else ()))
        self.network = network
        super().__init__(users, port, network.command())


class Podman(Engine):
    """
    Podman's service, which answers the same calls on its own socket.

    Where root lacks ``CAP_SYS_RESOURCE``, containers need :data:`LIMITS`: Podman
    would raise limits otherwise.
    """

    programs = ("podman", "runc")

    @override
    def command(self) -> list[str]:
        self.starts += 1
        return [
            *("podman", "--root", str(self.directory / "data")),
            *("--runroot", str(self.state), "--runtime", "runc"),
            *("--cgroup-manager", "cgroupfs", "--events-backend", "file"),
            *("system", "service", "--time", "0", self.address),
        ]


@functools.cache
def base_image() -> bytes:
    """
    Give the root file system of a small image that runs a Python worker.

    It has this machine's ``python3`` with its standard library, busybox,
    ``msgpack`` and the framework; ``PYTHONPATH`` must be as in :data:`ENVIRONMENT`.
    Made once for a run.

    :returns: a tar archive, about 40 MB.
    """
    require("busybox")
    with tempfile.TemporaryDirectory(prefix="cd") as place:
        root = Path(place)
        docker.make_root(root, [ROOT / "frameworks/python/cocaine"])
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            tar.add(root, arcname=".")
    return buffer.getvalue()


@dataclass(frozen=True)
class Lab:
    """
    An engine that has :data:`BASE`, and a registry that it reaches.

    A test that stops one starts it again.
    """

    network: Network
    engine: Engine
    registry: Registry


@functools.cache
def shared() -> Lab:
    """Start a lab for all tests of this process; it ends with the process."""
    require(*Engine.programs, *Registry.programs)
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    network = stack.enter_context(Network())
    engine = stack.enter_context(Engine(network))
    registry = stack.enter_context(Registry(network))
    engine.load(base_image(), BASE)
    return Lab(network, engine, registry)


@functools.cache
def shared_podman() -> Podman:
    """Start Podman for all tests of this process, with :data:`BASE`."""
    require(*Podman.programs)
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    podman = stack.enter_context(Podman(stack.enter_context(Network())))
    podman.load(base_image(), BASE)
    return podman
