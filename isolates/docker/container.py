# -*- test-case-name: cocained.test.test_isolates_docker_container -*-
"""
One worker's container, from its creation to its end::

    create ─▶ attach ─▶ start ─▶ wait ─▶ inspect ─▶ (removed by others)
                                  ▲  │
                                  └──┘ the engine was away

An engine may go away and come back, and its containers with it or without.  So
the end is what the engine says of the container when it can be asked, and a
signal that was to be sent is sent again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cocained.docker import Attachment, DockerClient
from cocained.docker.errors import (
    Conflict,
    DockerError,
    DockerTimeout,
    EngineLost,
    MalformedAnswer,
    NotFound,
)
from cocained.docker.models import ContainerState, Stats
from cocained.errors import IsolateError
from cocained.interfaces import IWorkerHandle, IWorkerObserver
from cocained.isolates.docker.creation import Order, creation
from cocained.isolates.docker.keys import DockerArgs
from cocained.isolates.docker.words import cannot_spawn, ending

log = Logger()

T = TypeVar("T")

#: Seconds between attempts to reach an engine that was lost.
FIRST_DELAY, LAST_DELAY = 0.1, 5.0

#: Seconds without a loss after which the next one is news again.
CALM = 60.0

#: Seconds that an engine has to end a container that is to be killed.  After
#: that the worker counts as gone, and its container is somebody else's matter.
KILL_PATIENCE = 10.0

#: Seconds that the last output may need to arrive after the end.
OUTPUT_PATIENCE = 2.0

#: Seconds for which an answer to ``usage`` is good.
USAGE_AGE = 1.0

#: Signs of a container's identifier that people use.
SHORT = 12

#: How the engine's init says that it cannot run the program.
_COMPLAINT = re.compile(rb"\[FATAL tini \(\d+\)\] exec .* failed: ([^\n]*)")

#: Bytes of the first output in which that is looked for.
HEAD = 1024


@implementer(IWorkerHandle)
class Container:
    """
    A container that runs one worker.

    :param clock: the reactor's.
    :param client: of the engine.
    :param args: of the isolate.
    :param name: of the container; nobody else's.
    :param order: what it is.
    :param observer: hears of output and of the end.
    :param bury: takes the name of a container that may be removed.
    """

    def __init__(
        self,
        clock: IReactorTime,
        client: DockerClient,
        args: DockerArgs,
        name: str,
        order: Order,
        observer: IWorkerObserver,
        bury: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._client = client
        self._args = args
        self._name = name
        self._order = order
        self._observer = observer
        self._bury = bury
        self._id = ""
        self._attachment: Attachment | None = None
        self._head = b""
        self._ready: Deferred[IWorkerHandle] = Deferred(self._give_up)
        self._is_given_up = False
        self._is_over = False
        self._is_abandoned = False
        #: the signal that it has been sent last
        self._signalled = ""
        self._pending: Deferred[Any] | None = None
        self._calls: list[IDelayedCall] = []
        self._usage: Mapping[str, float] | None = None
        self._usage_asked = -USAGE_AGE
        self._is_asking = False

    @property
    def identity(self) -> str:
        return f"container {self._id[:SHORT]}"

    # The beginning

    def spawn(self) -> Deferred[IWorkerHandle]:
        """
        Make it and run it; called once.

        :returns: see :meth:`cocained.interfaces.IIsolate.spawn`.
        """
        living = Deferred.fromCoroutine(self._live())
        living.addErrback(self._bug)
        return self._ready

    def _give_up(self, ready: Deferred[IWorkerHandle]) -> None:
        # A call that the engine has begun is not taken back by closing its
        # connection: what it makes is removed once it answers.
        self._is_given_up = True

    async def _live(self) -> None:
        try:
            await self._launch()
        except DockerError as error:
            if not self._is_given_up:
                self._ready.errback(cannot_spawn(error, self._order))
            return
        if self._is_given_up:
            return
        self._ready.callback(self)
        if self._attachment is not None:
            self._attachment.resume()
        try:
            reason, is_abnormal = await self._end()
        except Exception as bug:
            log.failure("the watch over {name} has failed", name=self._name)
            reason, is_abnormal = f"is lost: {bug}", True
        self._discard()
        self._observer.exited(reason, is_abnormal)

    async def _launch(self) -> None:
        """
        Create, attach, start.

        What has been made is buried if any of it fails, or nobody wants it.
        """
        config = creation(self._args, self._order)
        try:
            self._id = await self._client.create(config, self._name)
        except (EngineLost, DockerTimeout, MalformedAnswer):
            # It may have been made all the same.
            self._bury(self._name)
            raise
        try:
            if not self._is_given_up:
                await self._attach()
            if not self._is_given_up:
                await self._client.start(self._id)
        except BaseException:
            self._discard()
            raise
        if self._is_given_up:
            self._discard()

    def _discard(self) -> None:
        self._close()
        self._bury(self._name)

    async def _attach(self) -> None:
        self._attachment = await self._client.attach(
            self._id, self._printed, self._printed
        )
        self._attachment.when_closed().addErrback(self._unheard)
        if not self._ready.called:
            # The observer hears nothing before it knows of the worker.
            self._attachment.pause()

    def _unheard(self, failure: Failure) -> None:
        if not failure.check(DockerError):
            log.failure("the output of {name} is lost", failure, name=self._name)

    def _printed(self, data: bytes) -> None:
        if len(self._head) < HEAD:
            self._head += data[: HEAD - len(self._head)]
        self._observer.output(data)

    # The end

    async def _end(self) -> tuple[str, bool]:
        """Wait for the end, however often the engine is lost meanwhile."""
        delay, lost = FIRST_DELAY, self._clock.seconds()
        while not self._is_abandoned:
            try:
                await self._until(self._client.wait(self._id))
                state = (await self._until(self._client.inspect(self._id))).state
                if not state.running:
                    await self._drain()
                    return self._told(state)
            except NotFound:
                await self._drain()
                return "is gone: somebody has removed its container", True
            except DockerError as error:
                now = self._clock.seconds()
                if now - lost > CALM:
                    delay = FIRST_DELAY
                lost = now
                (log.warn if delay == FIRST_DELAY else log.debug)(
                    "the engine of {identity} is lost, next attempt in {delay} s:"
                    " {error}",
                    identity=self.identity,
                    delay=delay,
                    error=error,
                )
            except CancelledError:
                break
            try:
                await self._until(deferLater(self._clock, delay))
                delay = min(2 * delay, LAST_DELAY)
                await self._resume()
            except CancelledError:
                break
        return "could not be ended: its engine does not do it", True

    def _until(self, waiting: Deferred[T]) -> Deferred[T]:
        """Remember what is waited for: only :meth:`_abandon` cancels it."""
        self._pending = waiting
        return waiting

    async def _resume(self) -> None:
        """Go on where we were, if the engine is back with the container running."""
        try:
            found = await self._until(self._client.inspect(self._id))
            if not found.state.running:
                return
            if self._attachment is None or self._attachment.is_closed:
                await self._until(Deferred.fromCoroutine(self._attach()))
        except DockerError as error:
            # It fails in the same way when it is waited for, which tells more.
            log.debug("{identity}: {error}", identity=self.identity, error=error)
            return
        if self._signalled:
            self._signal(self._signalled)

    def _told(self, state: ContainerState) -> tuple[str, bool]:
        found = _COMPLAINT.search(self._head) if self._args.init else None
        complaint = found[1].decode("utf-8", "replace") if found else ""
        return ending(state, self._args, self._order.executable, complaint)

    async def _drain(self) -> None:
        """Take the last words."""
        if self._attachment is not None and not self._attachment.is_closed:
            closed = self._attachment.when_closed()
            closed.addTimeout(OUTPUT_PATIENCE, self._clock, lambda *_: None)
            # What went wrong has been told by the first who waited.
            await closed.addErrback(lambda _: None)

    def _close(self) -> None:
        self._is_over = True
        for call in self._calls:
            if call.active():
                call.cancel()
        if self._attachment is not None:
            self._attachment.cancel()

    def _bug(self, failure: Failure) -> None:
        log.failure("the life of {name} has failed", failure, name=self._name)
        if not self._ready.called:
            self._ready.errback(IsolateError(str(failure.value)))

    # Signals

    def terminate(self) -> None:
        if not self._signalled and not self._is_over:
            self._signal("SIGTERM")
            self._calls.append(
                self._clock.callLater(self._args.kill_timeout, self.kill)
            )

    def kill(self) -> None:
        if self._signalled != "SIGKILL" and not self._is_over:
            self._signal("SIGKILL")
            self._calls.append(self._clock.callLater(KILL_PATIENCE, self._abandon))

    def _signal(self, name: str) -> None:
        self._signalled = name
        self._client.kill(self._id, name).addErrback(self._not_signalled)

    def _not_signalled(self, failure: Failure) -> None:
        failure.trap(DockerError)
        # It has ended already, or is sent again when the engine is back.
        if not failure.check(NotFound, Conflict):
            log.warn(
                "{identity} could not be sent a signal: {error}",
                identity=self.identity,
                error=failure.value,
            )

    def _abandon(self) -> None:
        self._is_abandoned = True
        if self._pending is not None:
            self._pending.cancel()

    # What it takes

    def usage(self) -> Mapping[str, float] | None:
        """
        See :meth:`cocained.interfaces.IWorkerHandle.usage`.

        The engine is asked in the background, so this is what it said the last
        time, and nothing at the first.
        """
        if self._is_over:
            return None
        now = self._clock.seconds()
        if not self._is_asking and now - self._usage_asked >= USAGE_AGE:
            self._is_asking, self._usage_asked = True, now
            asking = self._client.stats(self._id)
            asking.addCallbacks(self._used, self._unused)
        return self._usage

    def _used(self, stats: Stats) -> None:
        self._is_asking = False
        self._usage = {
            "memory": stats.memory,
            "cpu": stats.cpu_seconds,
            "processes": stats.pids_stats.current,
        }

    def _unused(self, failure: Failure) -> None:
        failure.trap(DockerError)
        self._is_asking = False
        log.debug(
            "{identity} cannot be measured: {error}",
            identity=self.identity,
            error=failure.value,
        )
