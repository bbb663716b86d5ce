# -*- test-case-name: cocained.test.test_isolates_process -*-
"""
Workers as processes: what is spooled, what is spawned, what is refused.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import tarfile
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    maybeDeferred,
)
from twisted.internet.task import Clock
from twisted.logger import formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, TestCase
from zope.interface.verify import verifyObject

from cocained.config import convert
from cocained.errors import (
    ConfigError,
    DoorError,
    SpawnError,
    SpoolError,
    StorageError,
)
from cocained.interfaces import IIsolate
from cocained.isolates.process import ProcessArgs, ProcessIsolate
from cocained.isolates.spool import version_of
from cocained.test.process_case import TIMEOUT, Observer
from cocained.test.service_case import FlakyStorage, LogCase
from cocained.testing import MemoryDirectory


class HeldPool:
    """A thread pool that runs its work when a test says so."""

    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []

    def callInThreadWithCallback(  # noqa: N802 - Twisted's name
        self, done: Any, function: Any, *args: Any
    ) -> None:
        def run() -> None:
            try:
                result = function(*args)
            except BaseException:
                done(False, Failure())
            else:
                done(True, result)

        self.work.append(run)

    def run(self) -> None:
        """Do what there is to do, and what follows from it."""
        while self.work:
            self.work.pop(0)()


class PoolReactor(Clock):
    """Has a :class:`HeldPool`, and runs calls from threads at once."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = HeldPool()

    def getThreadPool(self) -> HeldPool:  # noqa: N802 - Twisted's name
        return self.pool

    def callFromThread(  # noqa: N802 - Twisted's name
        self, function: Any, *args: Any
    ) -> None:
        function(*args)


class IsolateNode:
    """What an isolate uses of a node."""

    uuid = "6b1c2a34-0000-4000-8000-000000000000"
    runtime = "/nonexistent/run"

    def __init__(self, reactor: Any, spool: str) -> None:
        self.reactor = reactor
        self.spool = spool
        self.core = FlakyStorage(self, "core")
        self.directory = MemoryDirectory(cast(Any, self))

    def resolve(self, path: str) -> str:
        return os.path.join(self.spool, "resolved", path)

    def storage(self, name: str) -> Any:
        assert name == "core"
        return self.core


def archive(**files: str) -> bytes:
    """Make a tar archive of executable files."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            member.mode = 0o755
            tar.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()


class SpoolTests(LogCase):
    """From the storage to the disk."""

    def setUp(self) -> None:
        self.reactor = PoolReactor()
        self.root = os.path.abspath(self.mktemp())
        self.node = IsolateNode(self.reactor, self.root)
        self.code = archive(worker="#!/bin/sh\n")
        self.upload(self.code)

    def upload(self, blob: bytes) -> None:
        self.successResultOf(self.node.core.write("apps", "echo", blob, ["app"]))

    def isolate(self, **args: Any) -> ProcessIsolate:
        return ProcessIsolate(cast(Any, self.node), "echo", convert(args, ProcessArgs))

    def listed(self) -> list[str]:
        """Names in the app's directory."""
        try:
            return sorted(os.listdir(os.path.join(self.root, "echo")))
        except FileNotFoundError:
            return []

    def test_interface(self) -> None:
        """It is an isolate with nothing to start or to stop."""
        isolate = self.isolate()

        self.assertTrue(verifyObject(IIsolate, isolate))
        self.assertIsNone(isolate.start())
        self.assertIsNone(isolate.stop())

    def test_spool(self) -> None:
        """The archive is unpacked in a thread, under its version's name."""
        done = self.isolate().spool()
        self.assertNoResult(done)
        self.assertEqual(self.listed(), [])

        self.reactor.pool.run()

        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(self.listed(), [version_of(self.code)])

    def test_other_directory(self) -> None:
        """``spool`` names another place, relative to the configuration."""
        done = self.isolate(spool="mine").spool()
        self.reactor.pool.run()

        self.successResultOf(done)
        self.assertTrue(
            os.path.exists(os.path.join(self.root, "resolved", "mine", "echo"))
        )

    def test_no_archive(self) -> None:
        """Without an archive the storage says what is missing (N8)."""
        self.successResultOf(self.node.core.remove("apps", "echo"))

        error = self.failureResultOf(self.isolate().spool(), StorageError).value

        self.assertIn("apps/echo: No such file or directory", str(error))

    def test_bad_archive(self) -> None:
        """What is no archive is an error with the original's code (N9)."""
        self.upload(b"this is no archive")
        done = self.isolate().spool()
        self.reactor.pool.run()

        error = self.failureResultOf(done, SpoolError).value
        assert isinstance(error, SpoolError)
        self.assertEqual(error.code, errno.EILSEQ)
        self.assertEqual(self.listed(), [])

    def test_limits(self) -> None:
        """What an archive may ask for is configured with the isolate."""
        error = self.assertRaises(
            ConfigError, self.isolate, limits={"no-such-limit": 1}
        )
        self.assertIn("no-such-limit", str(error))

    def test_old_code_is_removed(self) -> None:
        """Code of older versions goes away after the new one is there."""
        former = self.isolate()
        former.spool()
        self.reactor.pool.run()
        former.stop()
        self.reactor.pool.run()
        self.assertEqual(self.listed(), [version_of(self.code)])
        fresh = archive(worker="#!/bin/sh\n# new\n")
        self.upload(fresh)

        done = self.isolate().spool()
        self.reactor.pool.run()

        self.successResultOf(done)
        self.assertEqual(self.listed(), [version_of(fresh)])

    def test_used_code_stays(self) -> None:
        """
        Code of a release that has workers stays until that release ends, and goes
        then (row 187).
        """
        former, coming = self.isolate(), self.isolate()
        former.spool()
        self.reactor.pool.run()
        fresh = archive(worker="#!/bin/sh\n# new\n")
        self.upload(fresh)

        coming.spool()
        self.reactor.pool.run()
        self.assertEqual(self.listed(), sorted(map(version_of, (self.code, fresh))))
        former.stop()
        self.reactor.pool.run()

        self.assertEqual(self.listed(), [version_of(fresh)])

    def test_stopped_while_unpacking(self) -> None:
        """An isolate that is stopped while it unpacks holds on to nothing."""
        isolate = self.isolate()
        done = isolate.spool()
        work = self.reactor.pool.work.pop(0)
        isolate.stop()

        work()

        self.reactor.pool.run()
        self.successResultOf(done)
        other = self.isolate()
        self.upload(archive(worker="#!/bin/sh\n# new\n"))
        other.spool()
        self.reactor.pool.run()
        self.assertEqual(len(self.listed()), 1)

    def test_code_version(self) -> None:
        """Which code there is in the storage is told without reading it."""
        isolate = self.isolate()
        self.node.core.reads.clear()
        before = self.successResultOf(isolate.code_version())
        self.upload(archive(worker="#!/bin/sh\n# new\n"))

        after = self.successResultOf(isolate.code_version())

        self.assertNotEqual(before, after)
        self.assertEqual(self.node.core.reads, [])

    def test_cleanup_is_not_waited_for(self) -> None:
        """The app can start before old code has been removed."""
        done = self.isolate().spool()
        self.reactor.pool.work.pop(0)()

        self.successResultOf(done)
        self.assertEqual(len(self.reactor.pool.work), 1)

    def test_cleanup_fails(self) -> None:
        """Old code that cannot be removed is a line in the log, no more."""
        events = self.record_log()
        done = self.isolate().spool()
        self.reactor.pool.work.pop(0)()
        directory = os.path.join(self.root, "echo")
        os.rename(directory, directory + ".away")
        os.symlink(directory + ".away", directory)

        self.reactor.pool.run()

        self.successResultOf(done)
        self.assertIn("spool of app echo: ", formatEvent(events[-1]))

    def test_cancel_while_reading(self) -> None:
        """Given up while the storage reads: nothing is unpacked."""
        gate: Deferred[None] = Deferred()
        self.node.core.held["echo"] = gate
        done = self.isolate().spool()

        done.cancel()

        self.failureResultOf(done, CancelledError)
        self.assertEqual(self.reactor.pool.work, [])
        self.assertEqual(self.listed(), [])

    def test_cancel_while_unpacking(self) -> None:
        """Given up while a thread unpacks: it notices, and leaves nothing."""
        done = self.isolate().spool()

        done.cancel()

        self.failureResultOf(done, CancelledError)
        self.reactor.pool.run()
        self.assertEqual(self.listed(), [])

    def test_cancel_afterwards(self) -> None:
        """A cancel that comes too late changes nothing."""
        done = self.isolate().spool()
        self.reactor.pool.run()
        self.successResultOf(done)

        done.cancel()

        self.assertEqual(self.listed(), [version_of(self.code)])

    def test_spawn_before_spool(self) -> None:
        """No worker starts before the code is there."""
        failed = self.isolate().spawn("worker", {}, {}, Observer())

        error = self.failureResultOf(failed, SpawnError).value
        self.assertEqual(str(error), "app 'echo' has not been spooled")

    def test_arguments(self) -> None:
        """The time between the signals has bounds."""
        for value in (0, -1, 3601, "5"):
            self.assertRaises(
                ConfigError, convert, {"kill_timeout": value}, ProcessArgs
            )
        self.assertEqual(convert({}, ProcessArgs).kill_timeout, 5.0)


class SpawnTests(TestCase):
    """From the disk to a worker, with everything real."""

    timeout = TIMEOUT

    async def spooled(self, text: str, **args: Any) -> ProcessIsolate:
        """Give an isolate with this program as ``worker``."""
        from twisted.internet import reactor

        node = IsolateNode(reactor, os.path.abspath(self.mktemp()))
        node.runtime = os.path.abspath(self.mktemp())
        os.makedirs(node.runtime)
        await node.core.write("apps", "echo", archive(worker=text))
        isolate = ProcessIsolate(cast(Any, node), "echo", convert(args, ProcessArgs))
        await isolate.spool()
        return isolate

    async def test_confined(self) -> None:
        """With limits the worker is behind them, and all goes with the app."""
        isolate = await self.spooled(
            '#!/bin/sh\nulimit -n\necho "$TMPDIR" "$1" "$2"\n',
            rlimits={"nofile": 64},
            tmpdir="private",
        )
        observer = Observer()
        await isolate.spawn("worker", {"--app": "echo"}, {}, observer)
        await observer.when_ended()

        limit, directory, *words = observer.data.decode().split()
        self.assertEqual((limit, words), ("64", ["--app", "echo"]))
        self.assertIn("/echo/.temporary-", directory)
        await maybeDeferred(isolate.stop)
        self.assertFalse(os.path.exists(os.path.dirname(directory)))

    async def test_door(self) -> None:
        """Without a network the worker is told of the locator's socket."""
        if shutil.which("bwrap") is None:
            raise SkipTest("no bwrap: install bubblewrap")
        isolate = await self.spooled(
            '#!/bin/sh\necho "$2"; cat "${2%:0}"\n',
            sandbox="bwrap",
            bwrap={"services": ["storage"]},
        )
        (door,) = cast(Any, isolate.node).directory.doors
        self.assertEqual(door.path, f"{isolate.node.runtime}/echo.{os.getpid()}.door")
        self.assertEqual((door.services, door.owner), ({"storage"}, (-1, -1)))
        # What is in the directory is seen inside, under the same path.
        os.makedirs(door.path)
        with open(os.path.join(door.path, "locator"), "w") as file:
            file.write("reached")
        observer = Observer()
        await isolate.spawn("worker", {"--locator": "127.0.0.1:1"}, {}, observer)
        await observer.when_ended()

        self.assertEqual(
            observer.data.decode().split(), [f"{door.path}/locator:0", "reached"]
        )
        await maybeDeferred(isolate.stop)
        self.assertFalse(door.is_open)

    async def test_no_door(self) -> None:
        """With the machine's network, or no sandbox, it has the addresses."""
        variants: list[dict[str, Any]] = [{"rlimits": {"core": 0}}, {}]
        for args in variants:
            isolate = await self.spooled('#!/bin/sh\necho "$2"\n', **args)
            observer = Observer()
            await isolate.spawn("worker", {"--locator": "127.0.0.1:1"}, {}, observer)
            await observer.when_ended()

            self.assertEqual(observer.data, b"127.0.0.1:1\n")
            self.assertEqual(cast(Any, isolate.node).directory.doors, [])
            await maybeDeferred(isolate.stop)

    async def test_door_refused(self) -> None:
        """A door that cannot be opened fails the spooling, in its own words."""
        from twisted.internet import reactor

        node = IsolateNode(reactor, os.path.abspath(self.mktemp()))
        node.runtime = os.path.abspath(self.mktemp())
        os.makedirs(node.runtime)
        node.directory.refusal = DoorError("the path is too long")
        await node.core.write("apps", "echo", archive(worker="#!/bin/sh\n"))
        if shutil.which("bwrap") is None:
            raise SkipTest("no bwrap: install bubblewrap")
        args = convert({"sandbox": "bwrap"}, ProcessArgs)
        isolate = ProcessIsolate(cast(Any, node), "echo", args)

        failed: Deferred[Any] = isolate.spool()
        failure = await self.assertFailure(failed, SpoolError)

        self.assertEqual(str(failure), "the path is too long")
        await maybeDeferred(isolate.stop)

    async def test_confined_refused(self) -> None:
        """A program that cannot be run is told as without limits."""
        isolate = await self.spooled("", rlimits={"nofile": 64})
        failed = isolate.spawn("nothing", {}, {}, Observer())

        error = await self.assertFailure(failed, SpawnError)

        self.assertIn("there is no such file", str(error))
        await maybeDeferred(isolate.stop)

    async def test_cannot_confine(self) -> None:
        """What the machine cannot do fails the spooling."""
        failed = self.spooled("", user="no-such-user")

        error = await self.assertFailure(Deferred.fromCoroutine(failed), SpoolError)

        self.assertIn("there is no user 'no-such-user'", str(error))

    async def test_worker(self) -> None:
        """Arguments are sorted, the environment is added, the code is around."""
        isolate = await self.spooled(
            '#!/bin/sh\nprintf "%s\\n" "$@"\necho "$GREETING" "$HOME"\nls\n'
        )
        observer = Observer()

        handle = await isolate.spawn(
            "worker",
            {"--uuid": "u", "--app": "echo", "--locator": "l", "--endpoint": "e"},
            {"GREETING": "hello", "HOME": "/nowhere"},
            observer,
        )
        self.assertEqual((observer.data, observer.ends), (b"", []))
        await observer.when_ended()

        self.assertTrue(handle.identity.startswith("process "))
        self.assertEqual(
            observer.data.decode().split(),
            [
                *("--app", "echo", "--endpoint", "e", "--locator", "l"),
                *("--uuid", "u", "hello", "/nowhere", "worker"),
            ],
        )

    async def test_node_environment(self) -> None:
        """A worker has the node's environment besides."""
        isolate = await self.spooled('#!/bin/sh\necho "$PATH"\n')
        observer = Observer()
        await isolate.spawn("worker", {}, {}, observer)
        await observer.when_ended()

        self.assertEqual(observer.data.decode().strip(), os.environ["PATH"])

    async def test_absolute_program(self) -> None:
        """A program may be somewhere else on the machine."""
        isolate = await self.spooled("")
        observer = Observer()
        await isolate.spawn("/bin/pwd", {}, {}, observer)
        await observer.when_ended()

        self.assertEqual(observer.ends, [("exited with status 0", False)])

    async def test_launcher(self) -> None:
        """An isolate that inherits this one puts words before the program."""
        isolate = await self.spooled('#!/bin/sh\necho "$LAUNCHED" "$@"\n')
        isolate.launcher = ("/usr/bin/env", "LAUNCHED=by-env")
        observer = Observer()
        await isolate.spawn("worker", {"--app": "echo"}, {}, observer)
        await observer.when_ended()

        self.assertEqual(observer.data, b"by-env --app echo\n")

    async def test_launcher_outside_of_walls(self) -> None:
        """The launcher comes before the limits, which are the worker's."""
        isolate = await self.spooled(
            '#!/bin/sh\necho "$LAUNCHED"; ulimit -n\n', rlimits={"nofile": 64}
        )
        isolate.launcher = ("/usr/bin/env", "LAUNCHED=by-env")
        observer = Observer()
        await isolate.spawn("worker", {}, {}, observer)
        await observer.when_ended()

        self.assertEqual(observer.data, b"by-env\n64\n")

    async def test_launcher_refused(self) -> None:
        """A program that cannot be run is told as without a launcher."""
        isolate = await self.spooled("")
        isolate.launcher = ("/usr/bin/env",)
        failed = isolate.spawn("nothing", {}, {}, Observer())

        error = await self.assertFailure(failed, SpawnError)

        self.assertIn("there is no such file", str(error))

    async def test_refused(self) -> None:
        """What cannot be run fails the Deferred, and the observer hears nothing."""
        isolate = await self.spooled("")
        observer = Observer()
        failed = isolate.spawn("nothing", {}, {}, observer)

        error = await self.assertFailure(failed, SpawnError)

        self.assertIn("there is no such file", str(error))
        self.assertEqual(observer.ends, [])
