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
import http.client
import io
import os
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from cocained.test.live.daemons import READY_TIMEOUT, Daemon, Network, require
from cocained.test.live.docker_root import LIBRARY, make_root
from cocained.test.live.support import LOOPBACK

#: Port of the registry inside its namespace, where nobody else listens.
REGISTRY_PORT = 5000

#: The image that :func:`shared` has loaded, and what its containers need.
BASE = "cocained-base"
ENVIRONMENT = [f"PYTHONPATH={LIBRARY}"]

#: ``HostConfig`` of a container that may not raise limits, nor has a network.
LIMITS = {
    "NetworkMode": "none",
    "Ulimits": [
        {"Name": "nofile", "Soft": 1024, "Hard": 1024},
        {"Name": "nproc", "Soft": 1000, "Hard": 1000},
    ],
}


class Engine(Daemon):
    """
    A Docker Engine of our own.

    :param network: where it and its containers run; a registry in the same
        namespace is reached without TLS, as loopback addresses are.
    :param arguments: further options of ``dockerd``.
    """

    programs = ("dockerd",)

    def __init__(self, network: Network, *arguments: str) -> None:
        self.arguments = arguments
        self.starts = 0
        super().__init__(network)

    @property
    def socket(self) -> Path:
        """Where the engine listens."""
        return self.directory / "docker.sock"

    @property
    def address(self) -> str:
        """The same, as a client names it."""
        return f"unix://{self.socket}"

    @property
    def state(self) -> Path:
        """
        The engine's ``exec-root``, another one for each start.

        One that a killed engine has left delays the next start by half a
        minute: it waits for the containerd whose number it finds there.
        """
        return self.directory / f"exec{self.starts}"

    @override
    def command(self) -> list[str]:
        self.starts += 1
        return [
            *("dockerd", "--host", self.address, "--log-level", "warn"),
            *("--data-root", str(self.directory / "data")),
            *("--exec-root", str(self.state)),
            *("--pidfile", str(self.directory / f"pid{self.starts}")),
            *("--storage-driver", "overlay2", "--bridge", "none"),
            *("--iptables=false", "--ip6tables=false", "--ip-masq=false"),
            *self.arguments,
        ]

    @override
    def is_ready(self) -> bool:
        return self.request("GET", "/_ping") == b"OK"

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """
        Send one request, without the client that is to be tested.

        :raises AssertionError: the engine refuses.
        """
        connection = http.client.HTTPConnection("docker", timeout=READY_TIMEOUT)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(READY_TIMEOUT)
        with contextlib.closing(connection):
            connection.sock.connect(str(self.socket))
            headers = {"Content-Type": "application/x-tar"} if body else {}
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            text = answer.read()
        if answer.status >= 400 or b'"error"' in text:
            raise AssertionError(f"{method} {path}: {answer.status} {text!r}")
        return text

    def load(self, root: bytes, name: str) -> None:
        """
        Make an image of a root file system.

        :param root: a tar archive.
        :param name: repository of the image; its tag is ``latest``.
        """
        self.request("POST", f"/images/create?fromSrc=-&repo={name}", root)

    @override
    def sweep(self) -> None:
        """
        End the containers of an engine that was killed, and take away mounts.

        Containers outlive their engine: each has a shim of its own, whose
        command line names our directory.
        """
        for pid in _mentioning(str(self.state)):
            _kill_tree(pid)
        mine = f"{self.directory}/"
        for _ in range(3):
            places = [place for place in _mounts() if place.startswith(mine)]
            for place in reversed(places):
                subprocess.run(["umount", "-l", place], check=False)


class Registry(Daemon):
    """
    A registry of our own, with its images on disk.

    :param network: the one of the engine that is to reach it.
    :param users: name to password; with none, anybody may do everything.
    :param port: which it has inside the namespace.
    """

    programs = ("docker-registry",)

    def __init__(
        self,
        network: Network,
        users: Mapping[str, str] | None = None,
        port: int = REGISTRY_PORT,
    ) -> None:
        self.users = dict(users or {})
        self.name = f"{LOOPBACK}:{port}"
        super().__init__(network)

    @override
    def command(self) -> list[str]:
        auth = ""
        if self.users:
            require("htpasswd")
            passwords = self.directory / "users"
            passwords.touch()
            for user, password in self.users.items():
                subprocess.run(
                    ["htpasswd", "-Bb", str(passwords), user, password],
                    check=True,
                    capture_output=True,
                )
            auth = f"auth: {{htpasswd: {{realm: test, path: {passwords}}}}}\n"
        path = self.directory / "registry.yml"
        path.write_text(
            "version: 0.1\n"
            "log: {level: warn}\n"
            "storage:\n"
            f"  filesystem: {{rootdirectory: {self.directory / 'images'}}}\n"
            "  delete: {enabled: true}\n"
            f"http: {{addr: '{self.name}'}}\n" + auth
        )
        return ["docker-registry", "serve", str(path)]

    @override
    def is_ready(self) -> bool:
        probe = "import socket, sys; socket.create_connection(sys.argv[1:], 1)"
        host, _, port = self.name.partition(":")
        command = self.network.command(sys.executable, "-c", probe, host, port)
        done = subprocess.run(command, check=False, capture_output=True)
        return done.returncode == 0


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


def _mounts() -> list[str]:
    """Give the places where something is mounted, outer ones first."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [line.split()[1] for line in lines]


def _mentioning(text: str) -> Iterator[int]:
    """Find the processes whose command line has *text*."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if text.encode() in (entry / "cmdline").read_bytes():
                    yield int(entry.name)


def _kill_tree(pid: int) -> None:
    """End a process and its descendants."""
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            _kill_tree(int(child))
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@functools.cache
def base_image() -> bytes:
    """
    Give the root file system of a small image that runs a Python worker.

    It has this machine's ``python3`` with its standard library, busybox,
    ``msgpack`` and the framework; ``PYTHONPATH`` must be :data:`.docker_root.LIBRARY`.
    Made once for a run.

    :returns: a tar archive, about 40 MB.
    """
    require("busybox")
    with tempfile.TemporaryDirectory(prefix="cd") as place:
        root = Path(place)
        make_root(root)
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
