# -*- test-case-name: cocained.test.test_isolates_process -*-
"""
Workers as child processes of the node (protocol.md §11.2).

No walls around them: they run as the node's user and see what it sees.  Each
has a session of its own, so that it ends together with all that it started.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Annotated, TypeVar

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cocained.component import Component
from cocained.errors import SpawnError
from cocained.interfaces import (
    IIsolate,
    INode,
    IWorkerHandle,
    IWorkerObserver,
)
from cocained.isolates.child import Child
from cocained.isolates.spool import Spool, SpoolLimits, Swept, unwrap

log = Logger()

T = TypeVar("T")


class ProcessArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of the process isolate."""

    spool: Annotated[
        str,
        msgspec.Meta(
            description="Directory under which the app's code is unpacked;"
            " by default the node's paths.spool."
        ),
    ] = ""
    kill_timeout: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            le=3600,
            description="Seconds between SIGTERM and SIGKILL.",
        ),
    ] = 5.0
    limits: Annotated[
        SpoolLimits, msgspec.Meta(description="What the app's archive may ask for.")
    ] = SpoolLimits()


@implementer(IIsolate)
class ProcessIsolate(Component[ProcessArgs]):
    """Types ``process`` and ``legacy_process``."""

    Args = ProcessArgs

    def __init__(self, node: INode, name: str, args: ProcessArgs) -> None:
        super().__init__(node, name, args)
        root = node.resolve(args.spool) if args.spool else node.spool
        self._spool = Spool(root, name, args.limits)
        self._directory: str | None = None

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

    def _in_thread(self, function: Callable[..., T], *args: object) -> Deferred[T]:
        reactor = self.node.reactor
        return deferToThreadPool(reactor, reactor.getThreadPool(), function, *args)

    def _thd_unpack(self, blob: bytes, given_up: threading.Event) -> str:
        return self._spool.prepare(unwrap(blob), cancelled=given_up.is_set)

    def _unpacked(self, directory: str) -> None:
        self._directory = directory
        log.info("app {app} is spooled to {path}", app=self.name, path=directory)
        cleaning = self._in_thread(self._spool.cleanup, {directory})
        cleaning.addCallbacks(self._cleaned, self._not_cleaned)

    def _cleaned(self, swept: Swept) -> None:
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
        for name, value in sorted(arguments.items()):
            command += [name, value]
        try:
            child = Child(
                self.node.reactor,
                command,
                {**os.environ, **environment},
                directory,
                observer,
                self.args.kill_timeout,
            )
        except SpawnError as error:
            return fail(error)
        return succeed(child)
