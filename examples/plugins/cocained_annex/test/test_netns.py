# -*- test-case-name: cocained_annex.test.test_netns -*-
"""
The isolate ``netns``, with real namespaces where that is possible.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
import tarfile
from typing import Any, cast

from cocained.config import convert
from cocained.errors import ConfigError, SpawnError, SpoolError
from cocained.interfaces import IIsolate, IWorkerObserver
from cocained.storages.memory import MemoryStorage
from cocained.testing import FakeNode
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from cocained_annex.netns import NAMESPACES, NetnsArgs, NetnsIsolate

#: Seconds after which a worker that does not end fails the test.
TIMEOUT = 30

#: Made and removed by the tests; two runs on one machine do not meet.
NAMESPACE = f"annex{os.getpid()}"

#: Where a worker is, and what it got.
WORKER = b'#!/bin/sh\nreadlink /proc/self/ns/net\nulimit -n\necho "$1" "$2"\n'

NEEDS = (
    None
    if os.geteuid() == 0 and shutil.which("ip") and shutil.which("nsenter")
    else "namespaces need root, and the packages iproute2 and util-linux"
)


@implementer(IWorkerObserver)
class Observer:
    """Keeps what a worker says, and tells its end."""

    def __init__(self) -> None:
        self.data = b""
        self.ended: Deferred[tuple[str, bool]] = Deferred()

    def output(self, data: bytes) -> None:
        self.data += data

    def exited(self, reason: str, error: bool) -> None:
        self.ended.callback((reason, error))


class ArgumentTests(SynchronousTestCase):
    """What may be written in a profile."""

    def refused(self, part: str, **args: Any) -> None:
        error = self.assertRaises(ConfigError, convert, args, NetnsArgs)
        self.assertIn("netns", str(error))
        self.assertIn(part, str(error))

    def test_needed(self) -> None:
        """The namespace must be named."""
        self.refused("missing")
        self.refused("", netns="")

    def test_names(self) -> None:
        """A path, or a name that could lead elsewhere, is refused."""
        for name in ("/run/netns/red", "..", ".", "a/b", "a\0b"):
            self.refused("not a path", netns=name)
        self.refused("255", netns="n" * 256)

    def test_arguments_of_process(self) -> None:
        """Those of the isolate ``process`` are there, with their rules."""
        args = convert({"netns": "red", "rlimits": {"nofile": 64}}, NetnsArgs)

        self.assertEqual((args.netns, args.kill_timeout), ("red", 5.0))
        wrong = {"netns": "red", "rlimits": {"nofile": [1]}}
        self.assertRaises(ConfigError, convert, wrong, NetnsArgs)

    def test_sandbox_without_network(self) -> None:
        """A sandbox that has no network at all has none of the namespace."""
        self.refused("bwrap.network", netns="red", sandbox="bwrap")

        convert(
            {"netns": "red", "sandbox": "bwrap", "bwrap": {"network": True}}, NetnsArgs
        )


class NetnsCase(TestCase):
    """An app ``inside`` on a node that is a double, with a real reactor."""

    timeout = TIMEOUT

    async def isolate(
        self, netns: str = NAMESPACE, namespaces: str = NAMESPACES, **args: Any
    ) -> NetnsIsolate:
        """Upload the app and build its isolate."""
        from twisted.internet import reactor

        node = FakeNode(os.path.abspath(self.mktemp()))
        node.reactor = cast(Any, reactor)
        node.spool = os.path.abspath(self.mktemp())
        os.makedirs(node.runtime)
        node.storages["core"] = core = MemoryStorage(node, "core")
        await core.write("apps", "inside", archive())
        isolate = NetnsIsolate(
            node, "inside", convert({"netns": netns, **args}, NetnsArgs)
        )
        isolate.namespaces = namespaces
        return isolate

    async def refused(self, isolate: NetnsIsolate) -> str:
        """Spool what cannot be; give the complaint."""
        spooling: Deferred[Any] = isolate.spool()
        return str(await self.assertFailure(spooling, SpoolError))


def archive() -> bytes:
    """Pack the app as it is uploaded."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo("worker")
        member.size, member.mode = len(WORKER), 0o755
        tar.addfile(member, io.BytesIO(WORKER))
    return buffer.getvalue()


class RefusalTests(NetnsCase):
    """What fails ``start_app``, and with which words."""

    async def test_interface(self) -> None:
        """It is an isolate."""
        self.assertTrue(verifyObject(IIsolate, await self.isolate()))

    async def test_no_namespace(self) -> None:
        """A namespace that is not there is named, with what makes it."""
        complaint = await self.refused(await self.isolate("annex-none"))

        self.assertIn("no network namespace 'annex-none'", complaint)
        self.assertIn("`ip netns add annex-none`", complaint)

    async def test_no_namespace_but_a_file(self) -> None:
        """A file that is no namespace fails the spooling, not each worker."""
        folder = os.path.abspath(self.mktemp())
        os.makedirs(folder)
        with open(os.path.join(folder, "red"), "w"):
            pass

        complaint = await self.refused(await self.isolate("red", folder))

        self.assertIn("cannot enter the network namespace 'red'", complaint)
        self.assertIn("nsenter", complaint)


class NamespaceTests(NetnsCase):
    """Workers in a real namespace."""

    skip = NEEDS

    def setUp(self) -> None:
        ip("add", NAMESPACE)
        self.addCleanup(self.remove)
        path = os.path.join(NAMESPACES, NAMESPACE)
        self.inside = f"net:[{os.stat(path).st_ino}]"

    def remove(self) -> None:
        if os.path.exists(os.path.join(NAMESPACES, NAMESPACE)):
            ip("delete", NAMESPACE)

    async def run_worker(self, isolate: NetnsIsolate) -> list[str]:
        """Run a worker to its end; give its words."""
        await isolate.spool()
        observer = Observer()
        await isolate.spawn("worker", {"--app": "inside"}, {}, observer)
        self.assertEqual(
            await observer.ended, ("exited with status 0", False), observer.data
        )
        return observer.data.decode().split()

    async def test_inside(self) -> None:
        """The worker is in the namespace, and the node is not."""
        where, _, *arguments = await self.run_worker(await self.isolate())

        self.assertEqual(where, self.inside)
        self.assertNotEqual(os.readlink("/proc/self/ns/net"), self.inside)
        self.assertEqual(arguments, ["--app", "inside"])

    async def test_limits(self) -> None:
        """The limits of the isolate ``process`` hold there."""
        where, limit, *_ = await self.run_worker(
            await self.isolate(rlimits={"nofile": 64})
        )

        self.assertEqual((where, limit), (self.inside, "64"))

    async def test_removed_later(self) -> None:
        """A namespace that went away fails the spawn, and says what to do."""
        isolate = await self.isolate()
        await isolate.spool()
        ip("delete", NAMESPACE)

        failed = isolate.spawn("worker", {}, {}, Observer())

        error = await self.assertFailure(failed, SpawnError)
        assert isinstance(error, SpawnError)
        self.assertEqual(error.code, errno.ENOENT)
        self.assertIn(f"`ip netns add {NAMESPACE}`", str(error))

    async def test_no_program(self) -> None:
        """A program that is missing is told as by the isolate ``process``."""
        isolate = await self.isolate()
        await isolate.spool()

        failed = isolate.spawn("nothing", {}, {}, Observer())

        error = await self.assertFailure(failed, SpawnError)
        self.assertIn("there is no such file in the app's archive", str(error))


def ip(action: str, namespace: str) -> None:
    """Add or delete a namespace."""
    subprocess.run(["ip", "netns", action, namespace], check=True, timeout=TIMEOUT)
