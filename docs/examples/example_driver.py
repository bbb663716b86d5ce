# -*- test-case-name: cocained.test.test_docs_examples -*-
"""A driver of one's own: an event every so many seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cocained.component import Component
from cocained.interfaces import IDriver, IEventSink, INode

log = Logger()


class EveryArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of the driver."""

    event: Annotated[str, msgspec.Meta(min_length=1, description="Event to raise.")]
    seconds: Annotated[float, msgspec.Meta(gt=0, description="From one to the next.")]


@implementer(IDriver)
class EveryDriver(Component[EveryArgs]):
    """Type ``every``: never a second event while the first one runs."""

    Args = EveryArgs

    def __init__(self, node: INode, name: str, args: EveryArgs) -> None:
        super().__init__(node, name, args)
        self._app: IEventSink | None = None
        self._raised = self._failed = 0
        self._running: Deferred[None] | None = None
        self._loop = LoopingCall(self._raise)
        self._loop.clock = node.reactor

    def attach(self, app: IEventSink) -> None:
        self._app = app

    def start(self) -> None:
        loop: Deferred[LoopingCall] = self._loop.start(self.args.seconds, now=False)
        loop.addErrback(lambda failure: log.failure("the driver has ended", failure))

    def stop(self) -> None:
        if self._loop.running:
            self._loop.stop()
        if self._running is not None:
            self._running.cancel()

    def info(self) -> Mapping[str, Any]:
        return {"type": "every", "raised": self._raised, "failed": self._failed}

    def _raise(self) -> None:
        assert self._app is not None, "attach() comes before start()"
        if self._running is not None:
            return
        self._raised += 1
        self._running = self._app.enqueue(self.args.event.encode(), []).addCallbacks(
            self._done, self._not_done
        )
        if self._running is not None and self._running.called:
            self._running = None

    def _done(self, chunks: list[bytes]) -> None:
        self._running = None

    def _not_done(self, failure: Failure) -> None:
        self._running = None
        self._failed += 1
        log.warn(
            "event {event} failed: {error}",
            event=self.args.event,
            error=failure.value,
        )
