# -*- test-case-name: cocained.test.test_isolates_docker_creation -*-
"""
What the engine is asked to create.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.config import convert
from cocained.isolates.docker.creation import TMP_OPTIONS, Order, creation
from cocained.isolates.docker.keys import DockerArgs

ORDER = Order(
    image="sha256:1",
    executable="/app/worker",
    arguments={"--uuid": "u", "--app": "a", "--endpoint": "/var/run/x/a.7"},
    environment={"B": "2", "A": "1"},
    labels={"cocained.app": "a"},
    group=65_100,
)


class CreationCase(SynchronousTestCase):
    """Requests as the API has them."""

    def create(self, order: Order = ORDER, **keys: Any) -> dict[str, Any]:
        return creation(convert(keys, DockerArgs), order)

    def host(self, **keys: Any) -> dict[str, Any]:
        host: dict[str, Any] = self.create(**keys)["HostConfig"]
        return host


class CommandTests(CreationCase):
    """What runs."""

    def test_command(self) -> None:
        """The slave with its arguments in order, the endpoint as it is inside."""
        self.assertEqual(
            self.create()["Cmd"],
            [
                *("/app/worker", "--app", "a"),
                *("--endpoint", "/run/cocaine/a.7", "--uuid", "u"),
            ],
        )

    def test_door(self) -> None:
        """The sockets of services are a directory beside that of the app."""
        order = replace(ORDER, door="/var/run/x/a.7.door")

        mounts = self.create(order)["HostConfig"]["Mounts"]

        self.assertEqual(
            mounts[-1],
            {
                "Type": "bind",
                "Source": "/var/run/x/a.7.door",
                "Target": "/run/cocaine/services",
                "ReadOnly": True,
            },
        )
        self.assertEqual(len(mounts), 2)

    def test_environment(self) -> None:
        """The manifest's, and nothing of the node's."""
        self.assertEqual(self.create()["Env"], ["A=1", "B=2"])

    def test_image(self) -> None:
        """The very image that was spooled; its own user and directory."""
        config = self.create()

        self.assertEqual(config["Image"], "sha256:1")
        self.assertNotIn("User", config)
        self.assertNotIn("WorkingDir", config)
        self.assertNotIn("Entrypoint", config)

    def test_asked_for(self) -> None:
        """User, directory, labels and network."""
        config = self.create(
            user="nobody:adm", cwd="/x", labels={"b": "2"}, network_mode="host"
        )

        self.assertEqual((config["User"], config["WorkingDir"]), ("nobody:adm", "/x"))
        self.assertEqual(config["Labels"], {"cocained.app": "a", "b": "2"})
        self.assertEqual(config["HostConfig"]["NetworkMode"], "host")


class WallTests(CreationCase):
    """What is around it."""

    def test_defaults(self) -> None:
        """No capability, no privilege, no network, an init, few processes."""
        host = self.host()

        self.assertEqual((host["CapDrop"], host["CapAdd"]), (["ALL"], []))
        self.assertEqual(host["SecurityOpt"], ["no-new-privileges"])
        self.assertEqual(host["NetworkMode"], "none")
        self.assertTrue(host["Init"])
        self.assertEqual(host["PidsLimit"], 512)
        self.assertNotIn("Privileged", host)
        self.assertNotIn("Binds", host)

    def test_no_log(self) -> None:
        """The engine keeps no output, which would grow without end."""
        self.assertEqual(self.host()["LogConfig"], {"Type": "none"})

    def test_no_health_check(self) -> None:
        """An image's health check is not run: there are heartbeats."""
        self.assertEqual(self.create()["Healthcheck"], {"Test": ["NONE"]})

    def test_socket(self) -> None:
        """The app's socket alone is there, for its group."""
        host = self.host(**{"runtime-path": "/sockets/"})

        self.assertEqual(
            host["Mounts"],
            [
                {
                    "Type": "bind",
                    "Source": "/var/run/x/a.7",
                    "Target": "/sockets/a.7",
                    "ReadOnly": True,
                }
            ],
        )
        self.assertEqual(host["GroupAdd"], ["65100"])

    def test_binds(self) -> None:
        """What the profile shares comes in front of that."""
        mounts = self.host(binds=["/a:/b:ro", "data:/c"])["Mounts"]

        self.assertEqual([each["Target"] for each in mounts[:2]], ["/b", "/c"])
        self.assertEqual([each["ReadOnly"] for each in mounts[:2]], [True, False])

    def test_opened(self) -> None:
        """What is asked for is had."""
        host = self.host(capabilities=["CHOWN"], no_new_privs=False, init=False)

        self.assertEqual(host["CapAdd"], ["CHOWN"])
        self.assertEqual(host["SecurityOpt"], [])
        self.assertFalse(host["Init"])

    def test_read_only(self) -> None:
        """A read-only file system has a small /tmp, unless there is one."""
        self.assertEqual(self.host()["Tmpfs"], {})
        host = self.host(read_only=True)
        self.assertTrue(host["ReadonlyRootfs"])
        self.assertEqual(host["Tmpfs"], {"/tmp": TMP_OPTIONS})
        for keys in ({"tmpfs": {"/tmp/": "size=1m"}}, {"binds": ["/x:/tmp"]}):
            self.assertNotIn("/tmp", self.host(read_only=True, **keys)["Tmpfs"])


class LimitTests(CreationCase):
    """What it may take."""

    def test_none(self) -> None:
        """What was not asked for is not sent."""
        self.assertNotIn("Memory", self.host())
        self.assertNotIn("NanoCpus", self.host())
        self.assertNotIn("CpuShares", self.host())

    def test_ours(self) -> None:
        """Memory, without swap, and parts of processors."""
        host = self.host(memory=2**26, cpu=0.25)

        self.assertEqual((host["Memory"], host["MemorySwap"]), (2**26, 2**26))
        self.assertEqual(host["NanoCpus"], 250_000_000)

    def test_original(self) -> None:
        """What the original's profiles say."""
        host = self.host(
            memory_limit=2**26,
            memory_swap=-1,
            cpu_shares=7,
            resources={
                "CpuQuota": 5000,
                "CpuPeriod": 10_000,
                "CpusetCpus": "0",
                "CpusetMems": "1",
            },
        )

        self.assertEqual((host["Memory"], host["MemorySwap"]), (2**26, -1))
        self.assertEqual((host["CpuQuota"], host["CpuPeriod"]), (5000, 10_000))
        self.assertEqual((host["CpusetCpus"], host["CpusetMems"]), ("0", "1"))
        self.assertEqual(host["CpuShares"], 7)

    def test_ulimits(self) -> None:
        """A number stands for both limits."""
        self.assertEqual(
            self.host(ulimits={"nofile": [1, 2], "core": 0})["Ulimits"],
            [
                {"Name": "core", "Soft": 0, "Hard": 0},
                {"Name": "nofile", "Soft": 1, "Hard": 2},
            ],
        )
