# -*- test-case-name: cocained.test.test_testing_docker -*-
"""
A registry of our own, with its images on disk.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from cocained.testing.docker.daemon import Daemon

#: Where it listens: engines speak to loopback addresses without TLS.
HOST = "127.0.0.1"

#: Port that registries have, in a namespace where nobody else listens.
PORT = 5000

#: Connects to a host and a port, which may be in another namespace.
PROBE = "import socket, sys; socket.create_connection(sys.argv[1:], 1)"


class Registry(Daemon):
    """
    A registry without TLS.

    :param users: name to password; with none, anybody may do everything.
    :param port: of the loopback interface.
    :ivar name: host and port, with which the names of its images begin.
    """

    programs: Sequence[str] = ("docker-registry",)

    def __init__(
        self,
        users: Mapping[str, str] | None = None,
        port: int = PORT,
        enter: Sequence[str] = (),
        place: Path | None = None,
    ) -> None:
        self.users = dict(users or {})
        self.port = port
        self.name = f"{HOST}:{port}"
        if self.users:
            self.programs = (*self.programs, "htpasswd")
        super().__init__(enter, place)

    @override
    def command(self) -> list[str]:
        path = self.directory / "registry.yml"
        # JSON is YAML.
        path.write_text(json.dumps(self._configuration()))
        return ["docker-registry", "serve", str(path)]

    def _configuration(self) -> dict[str, Any]:
        images = str(self.directory / "images")
        configuration: dict[str, Any] = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {
                "filesystem": {"rootdirectory": images},
                "delete": {"enabled": True},
            },
            "http": {"addr": self.name},
        }
        if self.users:
            passwords = {"realm": "registry", "path": str(self._write_passwords())}
            configuration["auth"] = {"htpasswd": passwords}
        return configuration

    def _write_passwords(self) -> Path:
        path = self.directory / "users"
        path.touch()
        for user, password in self.users.items():
            subprocess.run(
                ["htpasswd", "-Bb", str(path), user, password],
                check=True,
                capture_output=True,
            )
        return path

    @override
    def is_ready(self) -> bool:
        command = [*self.enter, sys.executable, "-c", PROBE, HOST, str(self.port)]
        done = subprocess.run(command, check=False, capture_output=True)
        return done.returncode == 0
