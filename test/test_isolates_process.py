# -*- test-case-name: cocained.test.test_isolates_process -*-
"""
Workers as processes: real children, small scripts, and time on a clock.
"""

from __future__ import annotations

import errno
import io
import os
import resource
import signal
import tarfile
from collections.abc import Callable, Mapping
from typing import Any, cast

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    gatherResults,
    maybeDeferred,
)
from twisted.internet.task import Clock, deferLater
from twisted.logger import formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from cocained.config import convert
from cocained.errors import ConfigError, SpawnError, SpoolError, StorageError
from cocained.interfaces import IIsolate, IWorkerHandle, IWorkerObserver
from cocained.isolates.cells import Cell
from cocained.isolates.child import FIRST_LOOK, LOOKS, Child, check_program
from cocained.isolates.process import ProcessArgs, ProcessIsolate
from cocained.isolates.spool import version_of
from cocained.status import exit_reason
from cocained.test.service_case import FlakyStorage, LogCase

#: Seconds after which a child that does not do its part fails the test.
TIMEOUT = 30


@implementer(IWorkerObserver)
class Observer:
    """Keeps what a worker says, and tells its end."""

    def __init__(self) -> None:
        self.data = b""
        self.ends: list[tuple[str, bool]] = []
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def output(self, data: bytes) -> None:
        assert not self.ends, "output after the end"
        self.data += data
        self._look()

    def exited(self, reason: str, error: bool) -> None:
        self.ends.append((reason, error))
        self._look()

    def when(self, is_so: Callable[[], bool]) -> Deferred[None]:
        """Give a Deferred that fires when that is so."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append((is_so, waiting))
        self._look()
        return waiting

    def when_ended(self) -> Deferred[None]:
        return self.when(lambda: bool(self.ends))

    def when_printed(self, text: bytes) -> Deferred[None]:
        return self.when(lambda: text in self.data)

    def _look(self) -> None:
        ready = [entry for entry in self._waiting if entry[0]()]
        for entry in ready:
            self._waiting.remove(entry)
            entry[1].callback(None)


class ClockedReactor(Clock):
    """Watches descriptors with the real reactor; time is the test's."""

    def __init__(self) -> None:
        from twisted.internet import reactor

        super().__init__()
        real: Any = reactor
        self.real = real
        self.addReader = real.addReader
        self.removeReader = real.removeReader


class Grave(FileDescriptor):
    """Fires when a process that is not our child has ended."""

    def __init__(self, pid: int) -> None:
        from twisted.internet import reactor

        super().__init__(cast(Any, reactor))
        self.pid = pid
        self.done: Deferred[None] = Deferred()
        self._descriptor = os.pidfd_open(pid)
        self.startReading()

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> None:  # noqa: N802 - Twisted's name
        self.close()
        self.done.callback(None)

    def close(self) -> None:
        self.stopReading()
        os.close(self._descriptor)


def descriptors() -> int:
    """Count the open descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


class _ChildCase(TestCase):
    timeout = TIMEOUT

    def setUp(self) -> None:
        self.directory = os.path.abspath(self.mktemp())
        os.makedirs(self.directory)
        self.reactor = ClockedReactor()

    def script(self, *lines: str, name: str = "worker", mode: int = 0o755) -> str:
        """Write a shell script; give its path."""
        return self.file("\n".join(["#!/bin/sh", *lines, ""]), name, mode)

    def file(self, text: str, name: str = "worker", mode: int = 0o755) -> str:
        path = os.path.join(self.directory, name)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def spawn(
        self,
        *command: str,
        environment: Mapping[str, str] | None = None,
        directory: str | None = None,
        kill_timeout: float = 5.0,
    ) -> tuple[Child, Observer]:
        observer = Observer()
        child = Child(
            cast(Any, self.reactor),
            command,
            dict(os.environ) if environment is None else environment,
            self.directory if directory is None else directory,
            observer,
            kill_timeout,
        )

        def bury() -> Deferred[None]:
            child.kill()
            return observer.when_ended()

        self.addCleanup(bury)
        return child, observer

    def refuse(self, *command: str, **more: Any) -> SpawnError:
        """Spawn what cannot be; nothing of it may be left."""
        before = descriptors()
        error = self.assertRaises(SpawnError, self.spawn, *command, **more)
        self.assertEqual(descriptors(), before)
        self.assertEqual(self.children(), [])
        return error

    def children(self) -> list[int]:
        """Children of this process, zombies among them."""
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]


class EndTests(_ChildCase):
    """How children end, and what is said of it."""

    async def test_interfaces(self) -> None:
        """A child is a worker's handle; the test's observer is one."""
        child, observer = self.spawn(self.script("exit 0"))
        await observer.when_ended()

        self.assertTrue(verifyObject(IWorkerHandle, child))
        self.assertTrue(verifyObject(IWorkerObserver, observer))

    async def test_statuses(self) -> None:
        """Status 0 is in order, all others are not."""
        for status in (0, 1, 3, 255):
            _, observer = self.spawn(self.script(f"exit {status}"))
            await observer.when_ended()

            self.assertEqual(
                observer.ends, [(f"exited with status {status}", status != 0)]
            )

    async def test_signals(self) -> None:
        """A child that a signal ended is named with the signal."""
        for name in ("KILL", "TERM", "SEGV"):
            _, observer = self.spawn(self.script(f"kill -{name} $$"))
            await observer.when_ended()

            self.assertEqual(observer.ends, [(f"was killed by SIG{name}", True)])

    def test_unknown_signal(self) -> None:
        """A signal without a name has its number."""
        self.assertEqual(exit_reason(-999), ("was killed by signal 999", True))

    async def test_nothing_is_left(self) -> None:
        """After its end there is no descriptor, no zombie and no timer."""
        # The reactor opens some of its own when it runs for the first time.
        await self.spawn(self.script("exit 0"))[1].when_ended()
        before = descriptors()
        child, observer = self.spawn(self.script("echo hello"))
        await observer.when_ended()

        self.assertEqual(descriptors(), before)
        self.assertEqual(self.children(), [])
        child.terminate()
        child.kill()
        child.terminate()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(len(observer.ends), 1)

    async def test_identity(self) -> None:
        """People find a worker by its process id."""
        child, observer = self.spawn(self.script("echo process $$"))
        await observer.when_ended()

        self.assertEqual(child.identity, observer.data.decode().strip())

    async def test_many_at_once(self) -> None:
        """Children that end together are told apart."""
        script = self.script('echo "$1"; exit "$1"')
        observers = [self.spawn(script, str(number))[1] for number in range(10)]
        await gatherResults([observer.when_ended() for observer in observers])

        for number, observer in enumerate(observers):
            self.assertEqual(observer.data, b"%d\n" % number)
            self.assertEqual(observer.ends[0][0], f"exited with status {number}")


class OutputTests(_ChildCase):
    """What children print."""

    async def test_complete(self) -> None:
        """All that was printed arrives, although the child exits at once."""
        _, observer = self.spawn(
            self.script("head -c 300000 /dev/zero", "echo last", "exit 1")
        )
        await observer.when_ended()

        self.assertEqual(len(observer.data), 300005)
        self.assertTrue(observer.data.endswith(b"last\n"))

    async def test_last_words(self) -> None:
        """What is in the pipe when the child has ended is read all the same."""
        child, observer = self.spawn(self.script("head -c 60000 /dev/zero; echo last"))
        # As if the end were seen before the output.
        child._output.stopReading()

        await observer.when_ended()

        self.assertEqual(len(observer.data), 60005)

    async def test_endless_last_words(self) -> None:
        """A daemon that prints without end does not hold the node up."""
        _, observer = self.spawn(
            self.script("setsid yes &", "sleep 0.05", "exit 0"),
        )

        await observer.when_ended()

        self.assertEqual(observer.ends, [("exited with status 0", False)])

    async def test_both_outputs(self) -> None:
        """Standard output and error are one, in the order of writing."""
        _, observer = self.spawn(self.script("echo a", "echo b >&2", "echo c"))
        await observer.when_ended()

        self.assertEqual(observer.data, b"a\nb\nc\n")

    async def test_no_input(self) -> None:
        """There is nothing to read for a child."""
        _, observer = self.spawn(self.script('read line || echo "nothing"'))
        await observer.when_ended()

        self.assertEqual(observer.data, b"nothing\n")

    async def test_while_it_runs(self) -> None:
        """Output arrives before the end."""
        child, observer = self.spawn(self.script("echo ready", "exec sleep 1000"))
        await observer.when_printed(b"ready\n")

        self.assertEqual(observer.ends, [])
        child.kill()
        await observer.when_ended()

    async def test_closed_output(self) -> None:
        """A child that closes its output lives on."""
        _, observer = self.spawn(self.script("exec >&- 2>&-", "sleep 0.05", "exit 7"))
        await observer.when_ended()

        self.assertEqual(observer.ends, [("exited with status 7", True)])

    async def test_grandchild_keeps_the_pipe(self) -> None:
        """A daemon that holds the pipe does not delay the end."""
        script = self.script(
            "setsid sh -c 'echo $$ >pid.new; mv pid.new pid; exec sleep 1000' &",
            "while [ ! -e pid ]; do sleep 0.01; done",
            "echo last",
        )
        _, observer = self.spawn(script)
        await observer.when_ended()

        with open(os.path.join(self.directory, "pid")) as file:
            daemon = Grave(int(file.read()))
        self.assertFalse(daemon.done.called)
        os.kill(daemon.pid, signal.SIGKILL)
        await daemon.done
        self.assertEqual(observer.data, b"last\n")
        self.assertEqual(observer.ends, [("exited with status 0", False)])


class KillTests(_ChildCase):
    """Terminate and kill."""

    async def ready(self, *lines: str, **more: Any) -> tuple[Child, Observer]:
        """Spawn a script, and wait until it says that it is ready."""
        child, observer = self.spawn(self.script(*lines), **more)
        await observer.when_printed(b"ready\n")
        return child, observer

    async def test_terminate(self) -> None:
        """Terminate is SIGTERM; the timer for SIGKILL goes with the child."""
        child, observer = await self.ready("echo ready", "exec sleep 1000")

        child.terminate()

        self.assertEqual(len(self.reactor.getDelayedCalls()), 1)
        await observer.when_ended()
        self.assertEqual(observer.ends, [("was killed by SIGTERM", True)])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    async def test_graceful(self) -> None:
        """A child may end in its own way."""
        child, observer = await self.ready(
            "trap 'echo bye; exit 0' TERM",
            "echo ready",
            "sleep 1000 &",
            "wait",
        )

        child.terminate()

        await observer.when_ended()
        self.assertEqual(observer.data, b"ready\nbye\n")
        self.assertEqual(observer.ends, [("exited with status 0", False)])

    async def test_escalation(self) -> None:
        """A child that ignores SIGTERM is killed after the timeout, not before."""
        child, observer = await self.ready(
            "trap '' TERM", "echo ready", "exec sleep 1000", kill_timeout=7.0
        )
        child.terminate()
        child.terminate()

        (killer,) = self.reactor.getDelayedCalls()
        self.assertEqual(killer.getTime() - self.reactor.seconds(), 7.0)
        self.reactor.advance(6.9)
        self.assertEqual(self.children(), [child._process.pid])
        self.reactor.advance(0.2)

        await observer.when_ended()
        self.assertEqual(observer.ends, [("was killed by SIGKILL", True)])

    async def test_kill(self) -> None:
        """Kill does not ask."""
        child, observer = await self.ready(
            "trap '' TERM", "echo ready", "exec sleep 1000"
        )

        child.kill()

        await observer.when_ended()
        self.assertEqual(observer.ends, [("was killed by SIGKILL", True)])

    async def family(self, *lines: str) -> tuple[Child, Observer, Grave]:
        """Spawn a script with a child of its own that ignores SIGTERM."""
        child, observer = await self.ready(
            "sh -c 'trap \"\" TERM; echo $$; echo ready; exec sleep 1000' &", *lines
        )
        return child, observer, Grave(int(observer.data.split()[0]))

    async def test_terminate_family(self) -> None:
        """When a worker ends, what it started ends too, willing or not."""
        child, observer, grandchild = await self.family("wait")

        child.terminate()

        await observer.when_ended()
        await grandchild.done

    async def test_kill_family(self) -> None:
        """A kill reaches all of the worker's processes."""
        child, observer, grandchild = await self.family("wait")

        child.kill()

        await gatherResults([observer.when_ended(), grandchild.done])

    async def test_family_of_a_worker_that_exits(self) -> None:
        """A worker that exits by itself leaves nobody behind."""
        _, observer, grandchild = await self.family("sleep 0.05", "exit 0")

        await gatherResults([observer.when_ended(), grandchild.done])

        self.assertEqual(observer.ends, [("exited with status 0", False)])

    async def test_session(self) -> None:
        """A worker leads a session of its own: the node's signals are not its."""
        child, observer = await self.ready("echo ready", "exec sleep 1000")
        pid = child._process.pid

        self.assertEqual(os.getsid(pid), pid)
        self.assertEqual(os.getpgid(pid), pid)
        child.kill()
        await observer.when_ended()


class StubCell(Cell):
    """
    A cell that is not clear before it has been asked often enough.

    :param looks: how often it says no.
    """

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def clear(self) -> bool:
        self.looks -= 1
        return self.looks < 0

    def describe(self, status: int) -> tuple[str, bool]:
        return f"ended in its cell with {status}", False


class CellTests(_ChildCase, LogCase):
    """A child with something around it."""

    def confined(self, looks: int) -> Observer:
        observer = Observer()
        Child(
            cast(Any, self.reactor),
            [self.script("echo last", "exit 3")],
            dict(os.environ),
            self.directory,
            observer,
            5.0,
            StubCell(looks),
        )
        return observer

    async def when_collected(self) -> None:
        """Wait until the process has ended and its cell was looked at."""
        while not self.reactor.getDelayedCalls():
            await deferLater(cast(Any, self.reactor).real, 0.001)

    async def test_clear_at_once(self) -> None:
        """The cell says how the worker has ended."""
        observer = self.confined(0)
        await observer.when_ended()

        self.assertEqual(observer.ends, [("ended in its cell with 3", False)])

    async def test_not_clear_yet(self) -> None:
        """The end is told when nothing of the worker is left, not before."""
        observer = self.confined(3)
        await self.when_collected()
        self.assertEqual(observer.ends, [])

        self.reactor.advance(FIRST_LOOK)
        self.reactor.advance(FIRST_LOOK * 2)
        self.assertEqual(observer.ends, [])
        self.reactor.advance(FIRST_LOOK * 4)

        self.assertEqual(len(observer.ends), 1)
        self.assertEqual(observer.data, b"last\n")
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    async def test_never_clear(self) -> None:
        """What cannot be ended is told in the log, and holds nobody up."""
        events = self.record_log()
        observer = self.confined(1000)
        await self.when_collected()

        for look in range(LOOKS):
            self.reactor.advance(FIRST_LOOK * 2**look)

        self.assertEqual(len(observer.ends), 1)
        self.assertIn("processes that it has started do not", formatEvent(events[-1]))

    async def test_usage(self) -> None:
        """A child says what it takes while it lives."""
        child, observer = self.spawn(self.script("echo ready", "exec sleep 1000"))
        await observer.when_printed(b"ready\n")

        usage = child.usage()
        assert usage is not None
        self.assertEqual(sorted(usage), ["cpu", "memory"])
        child.kill()
        await observer.when_ended()
        self.assertIsNone(child.usage())


class CheckTests(_ChildCase):
    """Programs that something else is going to run."""

    def same(self, program: str, directory: str | None = None) -> None:
        """See that the check says what a spawn would have said."""
        directory = directory or self.directory
        expected = self.refuse(program, directory=directory)
        error = self.assertRaises(SpawnError, check_program, program, directory)
        self.assertEqual((error.reason, error.code), (expected.reason, expected.code))

    def test_refused(self) -> None:
        """Whatever is in the way, it is told in the same words."""
        self.same(os.path.join(self.directory, "nothing"))
        self.same(self.script("exit 0", mode=0o644))
        self.same(self.directory)
        self.same(self.file("#!/no/such/python3.99 -u\n"))
        self.same(
            self.script("exit 0", name="good"), os.path.join(self.directory, "gone")
        )

    def test_good(self) -> None:
        """Programs and scripts are let through."""
        check_program("/bin/sh", self.directory)
        check_program(self.script("exit 0"), self.directory)


class InheritanceTests(_ChildCase):
    """What a child gets."""

    async def test_descriptors(self) -> None:
        """Nothing of the node's descriptors, not even those marked for it."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        os.set_inheritable(reading, True)
        os.set_inheritable(writing, True)
        _, observer = self.spawn("/bin/ls", "-l", "/proc/self/fd")
        await observer.when_ended()

        listed = [line.split()[8:] for line in observer.data.decode().splitlines()]
        numbers = [int(line[0]) for line in listed if line]
        # The last one is the directory that is listed.
        self.assertEqual(numbers, [0, 1, 2, 3])
        self.assertIn("/dev/null", observer.data.decode())

    async def test_environment(self) -> None:
        """The environment is what was given, and no more."""
        _, observer = self.spawn(
            "/usr/bin/env", environment={"A": "1", "B": "x y=z", "C": ""}
        )
        await observer.when_ended()

        self.assertEqual(
            sorted(observer.data.split(b"\n")), [b"", b"A=1", b"B=x y=z", b"C="]
        )

    async def test_directory(self) -> None:
        """It runs where it was told to."""
        _, observer = self.spawn(self.script("pwd -P"))
        await observer.when_ended()

        self.assertEqual(
            observer.data.decode().strip(), os.path.realpath(self.directory)
        )

    async def test_signals_are_reset(self) -> None:
        """Signals that Python ignores are not ignored in the child."""
        _, observer = self.spawn(self.script("kill -PIPE $$", "echo survived"))
        await observer.when_ended()

        self.assertEqual(observer.ends, [("was killed by SIGPIPE", True)])


class RefusalTests(_ChildCase):
    """What cannot be run, and what to do about it."""

    def test_missing(self) -> None:
        """A program that is not there is looked for in the archive."""
        program = os.path.join(self.directory, "nothing")

        error = self.refuse(program)

        self.assertEqual(
            error.reason,
            f"cannot run {program}: there is no such file in the app's archive;"
            " see 'slave'",
        )
        self.assertEqual(error.code, errno.ENOENT)

    def test_not_executable(self) -> None:
        """A file without its bit: say how to set it."""
        error = self.refuse(self.script("exit 0", mode=0o644))

        self.assertIn("it is not executable; chmod +x it", error.reason)
        self.assertEqual(error.code, errno.EACCES)

    def test_directory_as_program(self) -> None:
        """A directory is no program."""
        self.assertEqual(self.refuse(self.directory).code, errno.EACCES)

    def test_bad_interpreter(self) -> None:
        """A script whose interpreter is missing: name the interpreter."""
        error = self.refuse(self.file("#!/no/such/python3.99 -u\n"))

        self.assertIn(
            "its interpreter does not exist (#!/no/such/python3.99 -u)", error.reason
        )

    def test_no_program(self) -> None:
        """A text without a first line that says what it is."""
        error = self.refuse(self.file("echo hello\n"))

        self.assertIn("it is no program: a script needs a first line", error.reason)
        self.assertEqual(error.code, errno.ENOEXEC)

    def test_directory_is_gone(self) -> None:
        """Code that somebody removed: start the app again."""
        error = self.refuse(
            self.script("exit 0"), directory=os.path.join(self.directory, "gone")
        )

        self.assertIn("gone is gone; start the app again", error.reason)

    def test_zero_in_arguments(self) -> None:
        """What the system cannot be told is an error, too."""
        script = self.script("exit 0")

        self.assertIn("null byte", self.refuse(script, "a\0b").reason)
        self.assertIn("null byte", self.refuse(script, environment={"A": "\0"}).reason)

    def test_too_long(self) -> None:
        """Arguments that are too long have the system's code."""
        error = self.refuse(self.script("exit 0"), "x" * (1 << 20))

        self.assertEqual(error.code, errno.E2BIG)

    def test_no_descriptors(self) -> None:
        """At each point at which descriptors run out, nothing is left behind."""
        script = self.script("exec sleep 1000")
        before = descriptors()
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        refused = 0
        for limit in range(3, highest + 20):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            try:
                self.spawn(script)
            except SpawnError as error:
                refused += 1
                self.assertEqual(error.code, errno.EMFILE)
            else:
                break
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            self.assertEqual(descriptors(), before)
            self.assertEqual(self.children(), [])
        self.assertGreater(refused, 3)

    def test_no_pidfd(self) -> None:
        """A child whose end could not be seen is ended at once."""

        def refuse(pid: int) -> int:
            raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))

        self.patch(os, "pidfd_open", refuse)

        error = self.refuse(self.script("exec sleep 1000"))

        self.assertEqual(error.code, errno.ENFILE)


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
        self.isolate().spool()
        self.reactor.pool.run()
        fresh = archive(worker="#!/bin/sh\n# new\n")
        self.upload(fresh)

        done = self.isolate().spool()
        self.reactor.pool.run()

        self.successResultOf(done)
        self.assertEqual(self.listed(), [version_of(fresh)])

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


class ObserverDoubleTests(SynchronousTestCase):
    """The test's own observer."""

    def test_output_after_the_end(self) -> None:
        """It would notice output that comes after the end."""
        observer = Observer()
        observer.exited("x", False)

        self.assertRaises(AssertionError, observer.output, b"late")
