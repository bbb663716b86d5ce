"""
Real children, small scripts, and time on a clock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, cast

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import (
    Deferred,
)
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from cocained.errors import SpawnError
from cocained.interfaces import IWorkerObserver
from cocained.isolates.child import Child

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
