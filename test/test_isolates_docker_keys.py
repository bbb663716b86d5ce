# -*- test-case-name: cocained.test.test_isolates_docker_keys -*-
"""
The arguments of the docker isolate: what is taken, what is refused and why.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.config import convert
from cocained.config.describe import table
from cocained.errors import ConfigError
from cocained.isolates.docker.binds import Bind, parse_bind
from cocained.isolates.docker.keys import PIDS, DockerArgs, ResourceArgs

MIB = 1024**2


class KeysCase(SynchronousTestCase):
    """Arguments as profiles have them."""

    def args(self, **keys: Any) -> DockerArgs:
        return convert(keys, DockerArgs)

    def refused(self, **keys: Any) -> str:
        return str(self.assertRaises(ConfigError, self.args, **keys))


class DefaultTests(KeysCase):
    """What holds without a word."""

    def test_secure(self) -> None:
        """Whoever asks for nothing gets nothing."""
        args = self.args()

        self.assertEqual(args.network_mode, "none")
        self.assertEqual(args.capabilities, [])
        self.assertTrue(args.no_new_privs)
        self.assertTrue(args.init)
        self.assertEqual(args.pids, PIDS)
        self.assertEqual(args.binds, [])

    def test_local(self) -> None:
        """Without a registry nothing is pulled, with one it always is."""
        self.assertEqual(self.args().policy, "never")
        self.assertEqual(self.args(registry="h:5000").policy, "always")
        self.assertEqual(self.args(registry="h:5000", pull="missing").policy, "missing")

    def test_documented(self) -> None:
        """Each argument stands in the table of the documentation."""
        text = table(DockerArgs) + table(ResourceArgs)

        for struct in (DockerArgs, ResourceArgs):
            for name in struct.__struct_encode_fields__:
                self.assertIn(f"``{name}``", text)


class OriginalTests(KeysCase):
    """Profiles of the original."""

    def test_plugin(self) -> None:
        """The in-process plugin's keys (plugins.md §5.4)."""
        args = self.args(
            **{
                "endpoint": "unix:///var/run/docker.sock",
                "registry": "<default>",
                "repository": "team/apps",
                "memory_limit": 64 * MIB,
                "memory_swap": 128 * MIB,
                "cpu_shares": 512,
                "network_mode": "bridge",
                "capabilities": ["NET_ADMIN"],
                "runtime-path": "/var/run/cocaine",
            }
        )

        self.assertEqual(args.memory_bytes, 64 * MIB)
        self.assertEqual(args.swap_bytes, 128 * MIB)
        self.assertEqual(args.shares, 512)
        self.assertEqual(args.runtime_path, "/var/run/cocaine")

    def test_daemon(self) -> None:
        """The external daemon's keys (plugins.md §5.2)."""
        args = self.args(
            registry="hub:5000",
            cwd="/app",
            resources={
                "memory": 64 * MIB,
                "CpuShares": 100,
                "CpuPeriod": 100_000,
                "CpuQuota": 50_000,
                "CpusetCpus": "0-2,4",
                "CpusetMems": "0",
            },
            tmpfs={"/tmp": "size=1m"},
            binds=["/a:/b", "/c:/d:ro"],
        )

        self.assertEqual((args.memory_bytes, args.shares), (64 * MIB, 100))

    def test_zeros(self) -> None:
        """Zeros are the original's way to ask for no limit."""
        args = self.args(memory_limit=0, memory_swap=0, cpu_shares=0)

        self.assertEqual((args.memory_bytes, args.swap_bytes), (None, None))

    def test_swap(self) -> None:
        """Without a word about swap there is none; it may be unlimited."""
        self.assertEqual(self.args(memory=64 * MIB).swap_bytes, 64 * MIB)
        self.assertEqual(self.args(memory=64 * MIB, memory_swap=-1).swap_bytes, -1)


class RefusalTests(KeysCase):
    """Mistakes, each by its key."""

    def test_said_twice(self) -> None:
        """One limit under two names is an error, not a guess."""
        for keys, text in (
            (
                {"memory": 64 * MIB, "memory_limit": 64 * MIB},
                "memory_limit: says the same as 'memory'",
            ),
            (
                {"memory_limit": 64 * MIB, "resources": {"memory": 64 * MIB}},
                "resources.memory: says the same as 'memory_limit'",
            ),
            (
                {"cpu_shares": 2, "resources": {"CpuShares": 2}},
                "resources.CpuShares: says the same as 'cpu_shares'",
            ),
            (
                {"cpu": 1, "resources": {"CpuQuota": 1000}},
                "resources.CpuQuota: says the same as 'cpu'",
            ),
        ):
            self.assertIn(text, self.refused(**keys))

    def test_memory(self) -> None:
        """Less memory than engines allow, and swap without memory."""
        self.assertIn("memory: must be a whole number", self.refused(memory=64))
        self.assertIn("memory_limit: must be at least", self.refused(memory_limit=64))
        reason = self.refused(resources={"memory": 64})
        self.assertIn("resources.memory: must be at least", reason)
        self.assertIn("needs 'memory'", self.refused(memory_swap=64 * MIB))
        reason = self.refused(memory=64 * MIB, memory_swap=MIB)
        self.assertIn("memory_swap: counts memory, too", reason)

    def test_processors(self) -> None:
        """Times that the kernel does not take."""
        for resources, text in (
            ({"CpuPeriod": 100_000}, "CpuPeriod: has no effect without 'CpuQuota'"),
            ({"CpuPeriod": 10, "CpuQuota": 2000}, "CpuPeriod: must be at least 1000"),
            ({"CpuQuota": 10}, "CpuQuota: must be at least 1000"),
            ({"CpusetCpus": "all"}, "CpusetCpus"),
        ):
            self.assertIn(text, self.refused(resources=resources))

    def test_ulimits(self) -> None:
        """A limit is a number, or a soft and a hard one."""
        self.args(ulimits={"nofile": [10, -1], "core": 0, "nproc": [1, 1]})
        self.assertIn("soft limit", self.refused(ulimits={"nofile": [2, 1]}))
        self.assertIn("soft limit", self.refused(ulimits={"nofile": [-1, 1]}))
        for wrong in ([1], [1, 2, 3], "1", -2, 2**63):
            self.assertIn("ulimits.nofile", self.refused(ulimits={"nofile": wrong}))
        self.assertIn("ulimits.files", self.refused(ulimits={"files": 1}))

    def test_registry(self) -> None:
        """What makes no sense without a registry, and an empty one."""
        for pull in ("always", "missing"):
            self.assertIn("pull: needs a registry", self.refused(pull=pull))
        self.assertIn("auth: has no effect", self.refused(auth={"username": "a"}))
        self.assertIn("write '<default>'", self.refused(registry=""))

    def test_endpoint(self) -> None:
        """An address that is none."""
        reason = self.refused(endpoint="docker.sock")
        self.assertIn("endpoint: 'docker.sock' is no address of an engine", reason)

    def test_labels(self) -> None:
        """Nobody can pass for one of ours."""
        reason = self.refused(labels={"cocained.node": "x"})
        self.assertIn('labels."cocained.node": is reserved', reason)

    def test_texts(self) -> None:
        """Names are names."""
        for key, wrong in (
            ("user", "a b"),
            ("network_mode", "a b"),
            ("network_mode", ""),
            ("cwd", "relative"),
            ("runtime-path", "relative"),
            ("capabilities", ["net_admin"]),
            ("pids", 0),
            ("kill_timeout", 0),
        ):
            self.assertIn(key, self.refused(**{key: wrong}))

    def test_unknown(self) -> None:
        """A slip of the pen is noticed."""
        self.assertIn("did you mean 'memory'", self.refused(memry=1))

    def test_one_place(self) -> None:
        """Two things cannot be mounted at one place, and nothing at the root."""
        for keys, text in (
            ({"tmpfs": {"/a": ""}, "binds": ["/x:/a/"]}, "taken by 'tmpfs'"),
            ({"binds": ["/x:/a", "/y:/a"]}, "binds[1]: /a is taken by 'binds'"),
            ({"binds": ["/x:/run/cocaine"]}, "taken by 'runtime-path'"),
            ({"binds": ["/x:/"]}, "must be a directory below /"),
            ({"runtime-path": "/."}, "must be a directory below /"),
        ):
            self.assertIn(text, self.refused(**keys))

    def test_bounded(self) -> None:
        """Lists have an end."""
        many = [f"/x:/{number}" for number in range(65)]
        self.assertIn("binds: has 65 entries", self.refused(binds=many))


class BindTests(SynchronousTestCase):
    """``source:target[:ro]``."""

    def test_forms(self) -> None:
        """Paths and volumes, writable or not."""
        for text, bind in (
            ("/a:/b", Bind("/a", "/b", False)),
            ("/a:/b:rw", Bind("/a", "/b", False)),
            ("/a:/b:ro", Bind("/a", "/b", True)),
            ("data:/b", Bind("data", "/b", False)),
        ):
            self.assertEqual(parse_bind(text), bind)

    def test_mounts(self) -> None:
        """A name is a volume of the engine's."""
        self.assertEqual(parse_bind("/a:/b").to_mount()["Type"], "bind")
        self.assertEqual(
            parse_bind("data:/b:ro").to_mount(),
            {"Type": "volume", "Source": "data", "Target": "/b", "ReadOnly": True},
        )

    def test_wrong(self) -> None:
        """What is none of these is told apart."""
        for text, part in (
            ("", "source:target"),
            ("/a", "source:target"),
            ("/a:b", "source:target"),
            ("/a:/b\0", "source:target"),
            ("/a:/b:z", "only 'ro' and 'rw'"),
            ("./a:/b", "its source must be"),
            (":/b", "its source must be"),
        ):
            error = self.assertRaises(ValueError, parse_bind, text)
            self.assertIn(part, str(error))


class ServicesTests(SynchronousTestCase):
    """What containers without a network can call."""

    def args(self, **keys: Any) -> DockerArgs:
        return convert(keys, DockerArgs)

    def test_default(self) -> None:
        """Without a network the log and the storage, with one nothing."""
        self.assertEqual(self.args().admitted, ("logging", "storage"))
        self.assertEqual(self.args(network_mode="bridge").admitted, ())
        self.assertEqual(
            self.args(services=["a"], network_mode="host").admitted, ("a",)
        )
        self.assertEqual(self.args(services=[]).admitted, ())

    def test_path(self) -> None:
        """Their sockets are beside that of the app, where nothing else may be."""
        self.assertEqual(self.args().door_path, "/run/cocaine/services")
        args = self.args(**{"runtime-path": "/sockets"})
        self.assertEqual(args.door_path, "/sockets/services")
        error = self.assertRaises(
            ConfigError, self.args, tmpfs={"/run/cocaine/services": "size=1m"}
        )
        self.assertIn("taken by 'services'", str(error))
