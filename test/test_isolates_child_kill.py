# -*- test-case-name: cocained.test.test_isolates_child_kill -*-
"""
Children that are made to end, confined, or never start.
"""

from __future__ import annotations

import errno
import os
import resource
from typing import Any, cast

from twisted.internet.defer import (
    gatherResults,
)
from twisted.internet.task import deferLater
from twisted.logger import formatEvent

from cocained.errors import SpawnError
from cocained.isolates.cells import Cell
from cocained.isolates.child import FIRST_LOOK, LOOKS, Child, check_program
from cocained.test.process_case import Grave, Observer, _ChildCase, descriptors
from cocained.test.service_case import LogCase


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
