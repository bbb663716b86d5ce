# -*- test-case-name: cocained.test.test_isolates_process -*-
"""
Workers as child processes of the node (protocol.md §11.2).

Each has a session of its own, so that it ends together with all that it
started.  By default there are no walls around them: they run as the node's user
and see what it sees.  :mod:`~cocained.isolates.confinement` builds those that a
profile asks for.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from cocained.component import Component
from cocained.errors import SpawnError
from cocained.interfaces import (
    ICodeVersion,
    IDoor,
    IIsolate,
    INode,
    IWorkerHandle,
    IWorkerObserver,
)
from cocained.isolates.cells import Cell
from cocained.isolates.child import Child, check_program
from cocained.isolates.confinement import Confinement
from cocained.isolates.keys import ProcessArgs
from cocained.isolates.shelf import Hold, Shelf
from cocained.isolates.spool import Swept, unwrap
from cocained.versions import version_of

__all__ = ["ProcessArgs", "ProcessIsolate"]

log = Logger()

T = TypeVar("T")


@implementer(IIsolate, ICodeVersion)
class ProcessIsolate(Component[ProcessArgs]):
    """
    Types ``process`` and ``legacy_process``.

    Made to be inherited: an isolate that differs in how its workers are launched
    sets :attr:`launcher`, best in :meth:`spool` once it knows that it works, and
    gives more arguments by a ``Args`` that inherits :class:`ProcessArgs`.

    :ivar launcher: words before the command line of each worker, the first an
        absolute path; by default none.  That program must run the rest in its
        own process (``exec``), as ``nsenter``, ``nice`` and ``systemd-run
        --scope`` do, since the process that was started is watched and ended.
        It runs as the node's user, outside of the walls.
    """

    Args: type[ProcessArgs] = ProcessArgs
    launcher: Sequence[str] = ()

    def __init__(self, node: INode, name: str, args: ProcessArgs) -> None:
        super().__init__(node, name, args)
        root = node.resolve(args.spool) if args.spool else node.spool
        self._spool = Shelf(root, name, args.limits)
        self._directory: str | None = None
        # Filled by the thread that unpacks, for which nobody may wait any more.
        self._holds: list[Hold] = []
        self._is_stopped = False
        self._confinement: Confinement | None = None
        self._door: IDoor | None = None
        if not args.is_plain:
            self._confinement = Confinement(
                args, name, node.uuid, node.runtime, self._later
            )

    def spool(self) -> Deferred[None]:
        given_up = threading.Event()
        reading = self.node.storage("core").read("apps", self.name)

        def give_up(done: Deferred[None]) -> None:
            # A thread that unpacks already notices by itself.
            given_up.set()
            reading.cancel()

        def unpack(blob: bytes) -> Deferred[str]:
            return self._in_thread(self._thd_unpack, blob, given_up)

        done: Deferred[None] = Deferred(give_up)
        reading.addCallback(unpack).addCallback(self._unpacked)
        reading.addCallbacks(done.callback, done.errback)
        return done

    def code_version(self) -> Deferred[str]:
        return version_of(self.node.storage("core"), "apps", self.name)

    def _in_thread(self, function: Callable[..., T], *args: object) -> Deferred[T]:
        reactor = self.node.reactor
        return deferToThreadPool(reactor, reactor.getThreadPool(), function, *args)

    def _later(self, function: Callable[..., object], *args: object) -> None:
        """Run something in a thread for which nobody waits."""
        self._in_thread(function, *args).addErrback(self._not_tidied)

    def _not_tidied(self, failure: Failure) -> None:
        log.warn(
            "something of a worker of app {app} could not be removed: {error}",
            app=self.name,
            error=failure.value,
        )

    def _thd_unpack(self, blob: bytes, given_up: threading.Event) -> str:
        hold = self._spool.occupy(unwrap(blob), cancelled=given_up.is_set)
        self._holds.append(hold)
        if self._is_stopped:
            self._thd_leave()
        if self._confinement is not None:
            self._confinement.prepare(hold.directory)
        return hold.directory

    def _thd_leave(self) -> list[Swept]:
        """Give the code back; the last version of an app stays on the disk."""
        told = []
        with contextlib.suppress(IndexError):
            # Two threads may be at it, one that unpacks and one that stops.
            while True:
                told.append(self._spool.leave(self._holds.pop()))
        return told

    def _unpacked(self, directory: str) -> None:
        self._open_door()
        self._directory = directory
        log.info("app {app} is spooled to {path}", app=self.name, path=directory)
        cleaning = self._in_thread(self._spool.cleanup, {directory})
        cleaning.addCallbacks(self._tell, self._not_cleaned)

    def _open_door(self) -> None:
        """Let workers that have no network call what they may."""
        services = self.args.bwrap.admitted
        if self._confinement is None or self.args.sandbox == "none" or not services:
            return
        if self._is_stopped:
            return
        path = os.path.join(self.node.runtime, f"{self.name}.{os.getpid()}.door")
        self._door = self.node.directory.open_door(
            path, services, uid=self._confinement.uid
        )

    def _tell(self, swept: Swept) -> None:
        for problem in swept.problems:
            log.warn("spool of app {app}: {problem}", app=self.name, problem=problem)

    def _not_cleaned(self, failure: Failure) -> None:
        log.warn(
            "old code of app {app} could not be removed: {error}",
            app=self.name,
            error=failure.value,
        )

    def spawn(
        self,
        executable: str,
        arguments: Mapping[str, str],
        environment: Mapping[str, str],
        observer: IWorkerObserver,
    ) -> Deferred[IWorkerHandle]:
        directory = self._directory
        if directory is None:
            return fail(SpawnError(f"app {self.name!r} has not been spooled"))
        command = [os.path.join(directory, executable)]
        if self._door is not None:
            arguments = {**arguments, "--locator": self._door.locator}
        for name, value in sorted(arguments.items()):
            command += [name, value]
        cell: Cell | None = None
        try:
            if self.launcher or self._confinement is not None:
                check_program(command[0], directory)
            if self._confinement is not None:
                launched = self._confinement.launch(
                    command,
                    directory,
                    arguments.get("--endpoint"),
                    None if self._door is None else self._door.path,
                )
                command, cell = launched.command, launched.cell
                environment = {**launched.environment, **environment}
        except SpawnError as error:
            return fail(error)
        return self._run(
            [*self.launcher, *command], environment, directory, observer, cell
        )

    def _run(
        self,
        command: list[str],
        environment: Mapping[str, str],
        directory: str,
        observer: IWorkerObserver,
        cell: Cell | None,
    ) -> Deferred[IWorkerHandle]:
        try:
            child = Child(
                self.node.reactor,
                command,
                {**os.environ, **environment},
                directory,
                observer,
                self.args.kill_timeout,
                cell,
            )
        except SpawnError as error:
            if cell is not None:
                cell.clear()
            return fail(error)
        return succeed(child)

    @override
    def stop(self) -> Deferred[None] | None:
        self._is_stopped = True
        if self._confinement is None and not self._holds:
            return None
        if self._door is None:
            return self._leave()
        door, self._door = self._door, None
        return door.close().addCallback(lambda _: self._leave())

    def _leave(self) -> Deferred[None]:
        return self._in_thread(self._thd_stop).addCallback(self._stopped)

    def _thd_stop(self) -> list[Swept]:
        if self._confinement is not None:
            self._confinement.close()
        return self._thd_leave()

    def _stopped(self, told: list[Swept]) -> None:
        for swept in told:
            self._tell(swept)
