# -*- test-case-name: cocained.test.live.test_isolates_docker -*-
"""
Apps in containers of a real engine, for the tests that start them.
"""

from __future__ import annotations

import base64
import functools
import http.client
import io
import json
import socket
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from typing_extensions import override

from cocained.errors import RemoteError
from cocained.test.live.daemons import Network
from cocained.test.live.docker_engine import BASE, ENVIRONMENT, Engine, Lab, shared
from cocained.test.live.support import LOOPBACK, WORKERS, LiveCase, LiveNode, wait_for
from cocained.testing import docker
from cocained.testing.docker.registry import PROBE

#: The image of all apps here: the workers of the tests, and one program that
#: cannot be run.
IMAGE = "cocained-app"

#: Programs of it, in its working directory.
PLACE = "/app"
PROGRAMS = ("caller.py", "confined.py", "probe.py")

#: Seconds for what an engine does.
SOON = 20.0

#: What the base image's interpreter needs.
VARIABLES = dict(each.split("=", 1) for each in ENVIRONMENT)


class Throttle(docker.Daemon):
    """
    A way to a registry that lets so many bytes a second through.

    :param network: where both are.
    :param port: of its own.
    :param target: port of the registry.
    :param rate: bytes in a second.
    """

    def __init__(self, network: Network, port: int, target: int, rate: int) -> None:
        self.port, self.target, self.rate = port, target, rate
        self.name = f"{LOOPBACK}:{port}"
        super().__init__(network.command())

    @override
    def command(self) -> list[str]:
        script = Path(__file__).with_name("throttle.py")
        numbers = map(str, (self.port, self.target, self.rate))
        return [sys.executable, str(script), *numbers]

    @override
    def is_ready(self) -> bool:
        command = [
            *self.enter,
            *(sys.executable, "-c", PROBE, LOOPBACK, str(self.port)),
        ]
        return not subprocess.run(command, check=False, capture_output=True).returncode


def ask(engine: Engine, method: str, path: str, auth: Mapping[str, str]) -> bytes:
    """
    Send a request with a registry's header, which :meth:`Engine.request` lacks.

    :param auth: credentials, which a push must name even if there are none.
    :raises AssertionError: the engine refuses.
    """
    header = base64.urlsafe_b64encode(json.dumps(auth).encode()).decode()
    connection = http.client.HTTPConnection("docker")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(SOON)
    connection.sock.connect(str(engine.socket))
    try:
        connection.request(method, path, headers={"X-Registry-Auth": header})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status >= 400 or b'"error"' in text:
        raise AssertionError(f"{method} {path}: {answer.status} {text!r}")
    return text


def build(engine: Engine, name: str, files: Mapping[str, bytes], lines: str) -> None:
    """
    Build an image.

    :param files: of its context; all can be executed.
    :param lines: of its Dockerfile, behind ``FROM`` the base image.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        dockerfile = f"FROM {BASE}\n{lines}\n".encode()
        for path, content in {**files, "Dockerfile": dockerfile}.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    engine.request("POST", f"/build?t={quote(name)}&rm=1&forcerm=1", buffer.getvalue())


def push(
    engine: Engine, image: str, name: str, auth: Mapping[str, str] | None = None
) -> None:
    """Send an image to a registry under another name, and forget that name."""
    repository, _, tag = name.rpartition(":")
    engine.request("POST", f"/images/{image}/tag?repo={repository}&tag={tag}")
    ask(engine, "POST", f"/images/{repository}/push?tag={tag}", auth or {})
    engine.request("DELETE", f"/images/{name}")


@functools.cache
def shared_apps() -> Lab:
    """Give the lab, with :data:`IMAGE`."""
    lab = shared()
    load_apps(lab.engine)
    return lab


def load_apps(engine: Engine) -> None:
    """Make :data:`IMAGE`."""
    files = {
        name: b"#!/usr/bin/python3\n" + (WORKERS / name).read_bytes()
        for name in PROGRAMS
    }
    lines = f"COPY {' '.join(files)} {PLACE}/\nWORKDIR {PLACE}\nUSER 0"
    build(engine, IMAGE, files, lines)


class DockerCase(LiveCase):
    """
    Apps in containers, and how they are seen from inside.

    :cvar timeouts: of profiles: machines are busy, engines are slow.
    """

    timeouts: Mapping[str, Any] = {
        "pool_limit": 1,
        "spawn_timeout": 60,
        "handshake_timeout": 60,
        "heartbeat_timeout": 60,
        "terminate_timeout": 3,
    }

    @override
    def setUp(self) -> None:
        """Find the engine; each test must leave it without containers."""
        self.lab = shared_apps()
        self.engine = self.lab.engine
        # Before the node's own, so that it runs when the node has stopped.
        self.addCleanup(self.no_container_is_left)
        super().setUp()

    def start(
        self,
        app: str = "caged",
        slave: str = f"{PLACE}/confined.py",
        node: LiveNode | None = None,
        environment: Mapping[str, str] = VARIABLES,
        limits: Mapping[str, Any] | None = None,
        **args: Any,
    ) -> None:
        """Upload and start an app with these arguments of its isolate."""
        node = node or self.node
        manifest = {"slave": slave, "environment": dict(environment)}
        node.upload(app, {"unused": b""}, manifest)
        args = {"endpoint": self.engine.address, "image": IMAGE, **args}
        isolate = {
            "type": "docker",
            "args": {name: value for name, value in args.items() if value is not None},
        }
        node.profile(app, **{**self.timeouts, **(limits or {})}, isolate=isolate)
        node.start_app(app, app)

    def run_inside(self, command: str, app: str = "caged") -> list[str]:
        """Run a command in a worker; give the lines that it printed."""
        with self.node.client(app) as client:
            answer = b"".join(client.stream(command)).decode()
        # The status follows without a line's end of its own.
        return [line for line in answer[:-1].split("\n") if line]

    def refused(self, *parts: str, **args: Any) -> RemoteError:
        """See that an app cannot be started, and why."""
        error: RemoteError = self.assertRaises(RemoteError, self.start, **args)
        for part in parts:
            self.assertIn(part, error.reason)
        return error

    def containers(self) -> list[dict[str, Any]]:
        """List the containers of the engine, running or not."""
        found: list[dict[str, Any]] = json.loads(
            self.engine.request("GET", "/containers/json?all=1")
        )
        return found

    def inspect(self, app: str = "caged") -> dict[str, Any]:
        """Ask the engine about the only container of an app."""
        (found,) = [
            each
            for each in self.containers()
            if each["Labels"].get("cocained.app") == app
        ]
        answer: dict[str, Any] = json.loads(
            self.engine.request("GET", f"/containers/{found['Id']}/json")
        )
        return answer

    def slaves(self, app: str = "caged") -> dict[bytes, Any]:
        """Give the workers that ``info`` names."""
        found: dict[bytes, Any] = self.node.info(app)[b"pool"][b"slaves"]
        return found

    def until_active(self, count: int, app: str = "caged", timeout: float = 60) -> None:
        """Wait until an app has so many workers that take requests."""

        def are_active() -> bool:
            found = self.slaves(app).values()
            return len([each for each in found if each[b"state"] == b"active"]) == count

        wait_for(f"{count} workers of {app}", are_active, timeout)

    def crashed(self, app: str = "caged") -> str:
        """Wait for a crash log, and give the last line of the first."""
        logs = wait_for("a crash log", lambda: self.node.crashlogs(app), SOON)
        last: bytes = logs[0][-1]
        return last.decode()

    def until_nothing_runs(self) -> None:
        """Wait until the runtime directory has neither sockets nor claims."""
        runtime = self.node.directory / "run"
        wait_for("no socket is left", lambda: not list(runtime.iterdir()), SOON)

    def no_container_is_left(self) -> None:
        """Wait until the engine has no container; runs after the node's stop."""
        wait_for("no container is left", lambda: not self.containers(), SOON)
