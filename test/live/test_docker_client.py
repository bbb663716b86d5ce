# -*- test-case-name: cocained.test.live.test_docker_client -*-
"""
The client against a real engine, a real registry, and Podman.
"""

from __future__ import annotations

import io
import itertools
import tarfile
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from typing_extensions import override

from cocained.docker import DockerClient, Progress, RegistryAuth, errors
from cocained.docker.models import Event
from cocained.test.live.docker_engine import (
    BASE,
    ENVIRONMENT,
    LIMITS,
    Engine,
    Registry,
    shared,
    shared_podman,
)
from cocained.test.live.support import live_reason, live_suite

#: A worker's surroundings: the C half of msgpack, and the framework.
PROBE = "import msgpack, cocaine.worker; print(msgpack.Packer.__module__)"

_numbers = itertools.count()


def context(**files: bytes) -> bytes:
    """Pack the context of a build."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


class ClientCase(TestCase):
    """Tests of a client; their engine is Docker's own."""

    skip = live_reason()
    timeout = 120

    def find_engine(self) -> Engine:
        """Give the engine that the tests of the class use."""
        return shared().engine

    def setUp(self) -> None:
        """Make a client of the shared engine."""
        self.engine = self.find_engine()
        self.client = DockerClient(reactor, self.engine.address)
        self.printed: dict[str, bytes] = {"out": b"", "err": b""}

    def out(self, data: bytes) -> None:
        self.printed["out"] += data

    def err(self, data: bytes) -> None:
        self.printed["err"] += data

    def name(self) -> str:
        """Give a name that nothing has yet."""
        return f"test-{next(_numbers)}"

    async def create(self, *command: str, **config: Any) -> str:
        """Make a container that is removed when the test is over."""
        name = self.name()
        options = {"Image": BASE, "Cmd": list(command), "Env": ENVIRONMENT}
        host = {**LIMITS, **config.pop("HostConfig", {})}
        await self.client.create({**options, "HostConfig": host, **config}, name)
        self.addCleanup(self.client.remove, name, force=True)
        return name


class CallTests(ClientCase):
    """The calls that any engine must answer."""

    async def test_version(self) -> None:
        """It says who it is, and a version of the API is agreed on."""
        version = await self.client.version()
        self.assertTrue(version.version)
        self.assertRegex(await self.client.api_version(), r"^1\.[0-9]+$")
        await self.client.ping()
        self.assertGreater((await self.client.info()).mem_total, 0)

    async def test_life(self) -> None:
        """A container prints to both outputs and ends with its exit code."""
        script = "echo out; echo err >&2; exit 3"
        name = await self.create("sh", "-c", script, Labels={"life": "1"})
        stream = await self.client.attach(name, self.out, self.err)
        await self.client.start(name)
        await stream.when_closed()
        self.assertEqual((await self.client.wait(name)).status_code, 3)

        self.assertEqual(self.printed, {"out": b"out\n", "err": b"err\n"})
        found = await self.client.inspect(name)
        self.assertEqual((found.state.running, found.state.exit_code), (False, 3))
        self.assertEqual(found.config.labels["life"], "1")
        self.assertEqual(await self.client.containers({"life": "1"}), [])
        (listed,) = await self.client.containers({"life": None}, all=True)
        self.assertEqual(listed.id, found.id)

    async def test_logs(self) -> None:
        """What it printed can be read afterwards."""
        name = await self.create("sh", "-c", "echo out; echo err >&2")
        await self.client.start(name)
        await self.client.wait(name)
        await (await self.client.logs(name, self.out, self.err)).when_closed()
        self.assertEqual(self.printed, {"out": b"out\n", "err": b"err\n"})

    async def test_worker(self) -> None:
        """The base image runs Python with msgpack's C half and the framework."""
        name = await self.create("/usr/bin/python3", "-c", PROBE)
        stream = await self.client.attach(name, self.out, self.err)
        await self.client.start(name)
        await stream.when_closed()
        self.assertEqual(self.printed, {"out": b"msgpack._cmsgpack\n", "err": b""})

    async def test_kill(self) -> None:
        """A running container can be watched, waited for and killed."""
        name = await self.create("sleep", "600")
        await self.client.start(name)
        self.assertGreater((await self.client.stats(name)).memory_stats.usage, 0)
        waiting = self.client.wait(name)
        await self.client.kill(name)
        self.assertEqual((await waiting).status_code, 137)

    async def test_cancelled_wait(self) -> None:
        """A cancelled wait ends at once, and the container goes on."""
        name = await self.create("sleep", "600")
        await self.client.start(name)
        waiting = self.client.wait(name)
        await deferLater(reactor, 0.1, waiting.cancel)
        with self.assertRaises(CancelledError):
            await waiting
        self.assertTrue((await self.client.inspect(name)).state.running)

    async def test_missing(self) -> None:
        """What is not there is told as such."""
        for call in (
            self.client.inspect("no-such"),
            self.client.start("no-such"),
            self.client.wait("no-such"),
            self.client.attach("no-such", self.out, self.err),
            self.client.inspect_image("no-such"),
            self.client.create({"Image": "no-such"}),
        ):
            with self.assertRaises(errors.NotFound):
                await call

    async def test_events(self) -> None:
        """The death of a container is heard of, with its labels."""
        heard: list[Event] = []
        stream = await self.client.events(heard.append, {"type": ["container"]})
        self.addCleanup(stream.cancel)
        name = await self.create("sh", "-c", "exit 5", Labels={"mark": "m"})
        await self.client.start(name)
        await self.client.wait(name)
        while not (dead := [each for each in heard if each.action in ("die", "died")]):
            await deferLater(reactor, 0.02)
        self.assertEqual(dead[0].attributes["mark"], "m")

    async def test_images(self) -> None:
        """Images are built, committed, tagged, listed and removed."""
        lines: list[Progress] = []
        tar = context(Dockerfile=f"FROM {BASE}\nCOPY x /x\n".encode(), x=b"hi")
        name = self.name()
        built = await self.client.build(
            tar, name, on_progress=lines.append, labels={"built": name}
        )
        self.assertIn("COPY", "".join(each.text for each in lines))
        (listed,) = await self.client.images({"built": name})
        self.assertEqual(listed.id, built.id)
        await self.client.tag(built.id, f"{name}:two")
        await self.client.remove_image(f"{name}:two")
        await self.client.remove_image(name, force=True)
        with self.assertRaises(errors.NotFound):
            await self.client.inspect_image(name)

    async def test_commit(self) -> None:
        """A container becomes an image."""
        source = await self.create("sh", "-c", "echo hi > /tmp/x")
        await self.client.start(source)
        await self.client.wait(source)
        name = self.name()
        self.assertTrue(await self.client.commit(source, name, ["ENV A=b"]))
        self.assertIn("A=b", (await self.client.inspect_image(name)).config.env)
        await self.client.remove_image(name)

    async def test_broken_build(self) -> None:
        """A failing step is told in the engine's words."""
        tar = context(Dockerfile=f"FROM {BASE}\nCOPY no-such /x\n".encode())
        with self.assertRaises(errors.DockerError) as caught:
            await self.client.build(tar)
        self.assertIn("no-such", str(caught.exception))

    async def test_broken_import(self) -> None:
        """So is an archive that is none."""
        with self.assertRaises(errors.DockerError) as caught:
            await self.client.import_image(b"nonsense" * 100000, "broken")
        self.assertIn("tar", str(caught.exception))


class DockerTests(ClientCase):
    """What Docker's own engine does, and others do otherwise."""

    async def test_taken_name(self) -> None:
        """Two containers cannot have one name."""
        name = await self.create("true")
        with self.assertRaises(errors.Conflict):
            await self.client.create({"Image": BASE, "Cmd": ["true"]}, name)

    async def test_memory(self) -> None:
        """A container that wants too much memory ends, and says why."""
        script = "import sys; sys.stdout.write('.'); x = bytearray(200 * 2**20)"
        limit = {"Memory": 64 * 2**20, "MemorySwap": 64 * 2**20}
        name = await self.create("/usr/bin/python3", "-c", script, HostConfig=limit)
        await self.client.start(name)
        self.assertEqual((await self.client.wait(name)).status_code, 137)
        self.assertTrue((await self.client.inspect(name)).state.oom_killed)

    async def test_registry(self) -> None:
        """What is pushed can be pulled; progress and digest are told."""
        name = f"{shared().registry.name}/some/app:1"
        steps: list[Progress] = []
        tar = context(Dockerfile=b"FROM scratch\nCOPY x /x\n", x=b"hi" * 1000)
        built = await self.client.build(tar, name)
        digest = await self.client.push(name, on_progress=steps.append)
        await self.client.remove_image(name)
        pulled = await self.client.pull(name, on_progress=steps.append)

        self.assertEqual(pulled.id, built.id)
        self.assertTrue(pulled.repo_digests[0].endswith(digest), pulled)
        self.assertTrue(steps)
        with self.assertRaises(errors.NotFound):
            await self.client.pull(f"{name}-none")

    async def test_restart(self) -> None:
        """An engine that is killed is told as gone, and found when it is back."""
        stream = await self.client.events(lambda event: None)
        engine = shared().engine
        self.addCleanup(self.client.ping)
        engine.kill()
        try:
            with self.assertRaises(errors.EngineLost):
                await stream.when_closed()
            with self.assertRaises(errors.EngineUnreachable) as caught:
                await self.client.images()
            self.assertIn("start the engine", str(caught.exception))
        finally:
            engine.start()
        self.assertTrue(await self.client.images())


class AuthTests(TestCase):
    """A registry that wants to know who calls."""

    skip = live_reason()
    timeout = 120

    async def test_credentials(self) -> None:
        """Without credentials a push is refused in words, with them it works."""
        lab = shared()
        registry = Registry(lab.network, {"me": "p?>~"}, port=5001)
        self.addCleanup(registry.close)
        name = f"{registry.name}/a:1"
        client = DockerClient(reactor, lab.engine.address)
        await client.build(
            context(Dockerfile=b"FROM scratch\nCOPY x /\n", x=b"x"), name
        )

        with self.assertRaises(errors.DockerError) as caught:
            await client.push(name)
        self.assertIn("no basic auth credentials", str(caught.exception))
        auth = {registry.name: RegistryAuth("me", "p?>~")}
        known = DockerClient(reactor, lab.engine.address, registry_auth=auth)
        self.assertTrue((await known.push(name)).startswith("sha256:"))


class PodmanTests(CallTests):
    """The same calls on Podman's socket."""

    @override
    def find_engine(self) -> Engine:
        return shared_podman()


test_suite = live_suite(__name__)
