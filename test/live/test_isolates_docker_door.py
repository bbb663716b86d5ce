# -*- test-case-name: cocained.test.live.test_isolates_docker_door -*-
"""
Workers in containers without a network that call services through UNIX sockets
(needs a real engine, see ``docker_engine``).
"""

from __future__ import annotations

from typing_extensions import override

from cocained.test.live.docker_case import PLACE, DockerCase
from cocained.test.live.door_case import DoorContract
from cocained.test.live.support import live_suite


class DockerDoorTests(DoorContract, DockerCase):
    """The ``docker`` isolate with ``network_mode: none``."""

    user: str | None = None

    @override
    def start_caller(self, services: list[str] | None = None) -> None:
        self.start("caller", f"{PLACE}/caller.py", services=services, user=self.user)


class UserDoorTests(DockerDoorTests):
    """The same, for a user of the container who is nobody."""

    user = "1234:1234"


class SeenTests(DockerCase):
    """How it looks inside."""

    def test_seen_inside(self) -> None:
        """Inside there is the app's own socket and the door, with what it admits."""
        self.start("caged")

        self.assertEqual(self.run_inside("ls /sys/class/net"), ["lo"])
        found = self.run_inside("ls /run/cocaine")
        self.assertEqual(found[1:], ["services"])
        found = self.run_inside("ls /run/cocaine/services")
        self.assertEqual(found, ["locator", "logging", "storage"])
        line = self.run_inside("cat /proc/1/cmdline | tr '\\0' ' '")[0]
        self.assertIn("--locator /run/cocaine/services/locator:0 ", line)
        failed = self.run_inside("touch /run/cocaine/services/x")
        self.assertIn("Read-only file system", failed[0])

    def test_with_network(self) -> None:
        """With a network there is no door, unless the profile names services."""
        self.start("caged", network_mode="bridge")
        self.assertEqual(len(self.run_inside("ls /run/cocaine")), 1)
        self.node.pause_app("caged")

        self.start("caged", network_mode="bridge", services=["storage"])

        found = self.run_inside("ls /run/cocaine/services")
        self.assertEqual(found, ["locator", "storage"])


test_suite = live_suite(__name__)
