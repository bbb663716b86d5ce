# -*- test-case-name: cocained.test.test_docker_transport -*-
"""
A streamed answer that goes on until somebody ends it.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from cocained.docker.connection import Body


class Attachment:
    """
    The output of a container, its log, or the events of an engine, while they
    come.

    :param body: reads them.
    :param explain: turns the failure of a connection into one of ours.
    """

    def __init__(self, body: Body, explain: Callable[[Failure], Failure]) -> None:
        self._body = body
        self._result: Failure | None = None
        self._waiting: list[Deferred[None]] = []
        body.done.addErrback(explain)
        body.done.addBoth(self._closed)

    @property
    def is_closed(self) -> bool:
        """Whether it is over."""
        return self._body.done.called

    def when_closed(self) -> Deferred[None]:
        """
        Wait for the end.

        :returns: a fresh Deferred: ``None`` when the stream has ended or was
            cancelled, :exc:`.DockerError` when it broke, or what a callback
            raised.  Cancelling it only ends the waiting.
        """
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        if self.is_closed:
            self._tell()
        return waiting

    def cancel(self) -> None:
        """Close the connection; nothing comes after this."""
        self._body.close()

    def pause(self) -> None:
        """Take nothing more for now; the container waits when it has printed
        what the socket holds."""
        transport = self._body.transport
        if transport is not None and not self.is_closed:
            transport.pauseProducing()  # type: ignore[attr-defined]

    def resume(self) -> None:
        """Go on after :meth:`pause`."""
        transport = self._body.transport
        if transport is not None and not self.is_closed:
            transport.resumeProducing()  # type: ignore[attr-defined]

    def _closed(self, result: Failure | None) -> None:
        self._result = result
        self._tell()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None) if self._result is None else each.errback(self._result)
