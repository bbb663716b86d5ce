# -*- test-case-name: cocained.test.live.test_docker_tls -*-
"""
The client against a real engine that speaks TLS, and wants to know who calls.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import io
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.trial.unittest import TestCase

from cocained.docker import DockerClient, errors
from cocained.docker.address import TLSFiles, parse_address
from cocained.test.live.daemons import require
from cocained.test.live.support import (
    LOOPBACK,
    free_ports,
    live_reason,
    live_suite,
    missing,
)
from cocained.testing import docker

#: The engine listens here, too, but its certificate does not say so.
UNNAMED = "127.0.0.2"

#: An image with busybox and nothing else.
IMAGE = "cocained-busybox"

#: Bytes printed by a container that prints much: a record of TLS has 16 KB.
MUCH = 1_000_000


@dataclass(frozen=True)
class Lab:
    """
    An engine, and the files of those who call it.

    :param port: of :data:`LOOPBACK` and of :data:`UNNAMED`.
    :param known: what a client needs.
    :param stranger: the same, from an authority that the engine does not know.
    """

    engine: docker.Engine
    port: int
    known: TLSFiles
    stranger: TLSFiles


@functools.cache
def shared() -> Lab:
    """
    Start an engine for all tests of this process; it ends with the process.

    Not in a network namespace, as others are: the tests are to reach it.  It
    has no bridge, sets no rules of a firewall, and forwards nothing.
    """
    require(*docker.Engine.programs, "busybox")
    if importlib.util.find_spec("OpenSSL") is None:
        raise missing("no TLS: pip install 'twisted[tls]'")
    # Not before: it needs what that installs.
    from cocained.test.certificates import Authority

    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cd")))

    def write(name: str, data: bytes) -> str:
        path = place / name
        path.write_bytes(data)
        return str(path)

    def clients(authority: Authority, name: str) -> TLSFiles:
        pair = authority.issue("client")
        return TLSFiles(
            write(f"{name}-ca.pem", authority.certificate),
            write(f"{name}-cert.pem", pair.certificate),
            write(f"{name}-key.pem", pair.key),
        )

    ours = Authority("ours")
    known = clients(ours, "known")
    stranger = clients(Authority("other"), "stranger")
    server = ours.issue("engine", hosts=["localhost", LOOPBACK])
    (port,) = free_ports(1)
    engine = docker.Engine(
        *("--host", f"tcp://{LOOPBACK}:{port}", "--host", f"tcp://{UNNAMED}:{port}"),
        *("--tlsverify", "--tlscacert", str(known.ca)),
        *("--tlscert", write("engine-cert.pem", server.certificate)),
        *("--tlskey", write("engine-key.pem", server.key)),
        "--ip-forward=false",
    )
    stack.enter_context(engine)
    return Lab(engine, port, known, stranger)


def busybox() -> bytes:
    """Pack a root file system with busybox, which needs no libraries."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        path = shutil.which("busybox")
        assert path is not None
        tar.add(Path(path).resolve(), arcname="busybox")
    return buffer.getvalue()


class TLSCase(TestCase):
    """Tests of clients that differ in their certificates."""

    skip = live_reason()
    timeout = 60

    def setUp(self) -> None:
        """Find the engine."""
        self.lab = shared()

    def client(
        self, files: TLSFiles | None, host: str = LOOPBACK, scheme: str = "https"
    ) -> DockerClient:
        address = parse_address(f"{scheme}://{host}:{self.lab.port}", files)
        return DockerClient(reactor, address)


class KnownTests(TLSCase):
    """A client that the engine knows, and that knows the engine."""

    async def meet(self, host: str, scheme: str) -> None:
        """See that both speak with each other."""
        client = self.client(self.lab.known, host, scheme)
        self.assertTrue((await client.version()).version)
        self.assertGreater((await client.info()).mem_total, 0)

    async def test_number(self) -> None:
        """The engine is found by the number in its certificate."""
        await self.meet(LOOPBACK, "https")

    async def test_name(self) -> None:
        """So it is by the name."""
        await self.meet("localhost", "https")

    async def test_scheme(self) -> None:
        """With certificates ``tcp://`` is TLS."""
        await self.meet(LOOPBACK, "tcp")


class ContainerTests(TLSCase):
    """Containers, whose output comes over a connection that stays open."""

    async def make(self, *command: str) -> None:
        """Make the container that the test is about, and attach to it."""
        self.api = self.client(self.lab.known)
        self.out, self.err = bytearray(), bytearray()
        # Over TLS, too: some megabytes upwards.
        image = await self.api.import_image(busybox(), IMAGE)
        self.addCleanup(self.api.remove_image, image.id, force=True)
        host = {"NetworkMode": "none"}
        self.name = await self.api.create(
            {"Image": image.id, "Cmd": ["/busybox", *command], "HostConfig": host}
        )
        self.addCleanup(self.api.remove, self.name, force=True)
        self.stream = await self.api.attach(self.name, self.out.extend, self.err.extend)
        self.addCleanup(self.stream.cancel)
        await self.api.start(self.name)

    async def test_life(self) -> None:
        """A container prints to both outputs and ends with its exit code."""
        await self.make("sh", "-c", "echo out; echo err >&2; exit 3")
        await self.stream.when_closed()
        self.assertEqual((await self.api.wait(self.name)).status_code, 3)
        self.assertEqual((self.out, self.err), (b"out\n", b"err\n"))

    async def test_much(self) -> None:
        """Of an output of many records nothing is lost."""
        await self.make("head", "-c", str(MUCH), "/dev/zero")
        await self.stream.when_closed()
        self.assertEqual(self.out, bytes(MUCH))

    async def test_cancel(self) -> None:
        """A stream and a wait can be given up; the container goes on."""
        await self.make("sleep", "600")
        waiting = self.api.wait(self.name)
        self.stream.cancel()
        await self.stream.when_closed()
        waiting.cancel()
        self.assertTrue((await self.api.inspect(self.name)).state.running)
        await self.assertFailure(waiting, CancelledError)


class StrangerTests(TLSCase):
    """Those who do not get through are told why, and what to do."""

    async def refused(
        self, client: DockerClient, kind: type[errors.DockerError], *parts: str
    ) -> None:
        """See what a call fails with."""
        with self.assertRaises(kind) as caught:
            await client.info()
        for part in (f"the engine at {client.address}: ", *parts):
            self.assertIn(part, str(caught.exception))

    async def test_no_certificate(self) -> None:
        """A client without a certificate is told to have one."""
        client = self.client(TLSFiles(ca=self.lab.known.ca))
        await self.refused(
            client, errors.EngineUnreachable, "TLS failed", "give as cert and key"
        )

    async def test_foreign_certificate(self) -> None:
        """So is one whose certificate is of an authority unknown to the engine."""
        theirs = self.lab.stranger
        client = self.client(TLSFiles(self.lab.known.ca, theirs.cert, theirs.key))
        await self.refused(
            client, errors.EngineUnreachable, "TLS failed", "give as cert and key"
        )

    async def test_unknown_authority(self) -> None:
        """An engine whose authority we do not know is not trusted."""
        known = self.lab.known
        for ca in (self.lab.stranger.ca, None):
            client = self.client(TLSFiles(ca, known.cert, known.key))
            await self.refused(
                client,
                errors.EngineUnreachable,
                "certificate verify failed",
                "give as ca the authority",
            )

    async def test_other_name(self) -> None:
        """An engine whose certificate is for other hosts is not trusted."""
        client = self.client(self.lab.known, UNNAMED)
        await self.refused(
            client,
            errors.EngineUnreachable,
            f"certificate is not for '{UNNAMED}'",
            "name the engine as its certificate does",
        )

    async def test_plain(self) -> None:
        """A client that does not speak TLS is told to."""
        client = self.client(None, scheme="tcp")
        await self.refused(client, errors.DockerError, "HTTPS server", "write https://")


test_suite = live_suite(__name__)
