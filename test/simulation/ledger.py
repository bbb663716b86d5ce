# -*- test-case-name: cocained.test.test_simulation -*-
"""
What was promised to whom, held against each frame that the engine writes.

The ledger never raises: it is called from the depth of the engine, which
catches what its peers' messages raise.  It keeps its complaints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from cocained.apps.deadlines import GRAIN
from cocained.errors import BacklogFull, CocainedError, WireError, to_wire
from cocained.rpc.graph import CLOSE, ERROR, WRITE
from cocained.test.simulation.causes import Circumstances, cause
from cocained.test.simulation.promises import Call, Promise, Request, says

#: Seconds after its deadline by which an event is over at the latest: a bucket
#: of the engine's deadlines, and what floating-point numbers lose.
SLACK = 1 / GRAIN + 0.001


class Ledger:
    """
    The promises of one run.

    :ivar complaints: promises that were broken, one sentence each.
    :ivar endings: of requests, by kind.
    """

    def __init__(self) -> None:
        self.requests: dict[bytes, Request] = {}
        self.complaints: list[str] = []
        self.endings: Counter[str] = Counter()
        self.stopped = False
        self.rejected = 0
        #: whether the node keeps back what it has for a worker; the world says
        self.is_behind: Callable[[], bool] = lambda: False
        self._promises: dict[tuple[str, int], Promise] = {}
        self._down: dict[str, float] = {}

    def complain(self, complaint: str) -> None:
        """Write down that a promise was broken."""
        self.complaints.append(complaint)

    # From the clients

    def asked(self, promise: Promise) -> None:
        """A client has opened a channel."""
        self._promises[promise.client, promise.channel] = promise
        if isinstance(promise, Request):
            self.requests[promise.token] = promise

    def waive(self, promises: Iterable[Promise]) -> None:
        """Their client has gone, or does not want to hear more."""
        for promise in promises:
            promise.waived = True

    def of_client(self, client: str) -> list[Promise]:
        """Give what one client was promised."""
        return [
            promise for (owner, _), promise in self._promises.items() if owner == client
        ]

    # From the border of the engine

    def accepted(self, token: bytes, now: float, timeout: float) -> None:
        """
        The engine took an event.

        :param timeout: seconds, if the request asked for none.
        """
        request = self.requests[token]
        if request.accepted is not None:
            self.complain(f"{_name(request)} was accepted twice")
        if request.timeout is not None:
            timeout = request.timeout
        request.accepted = now
        request.deadline = now + timeout
        request.latest = request.deadline + SLACK

    def refused(self, token: bytes, error: CocainedError) -> None:
        """The engine took an event not."""
        request = self.requests[token]
        request.accepted = None
        request.refusal = to_wire(error)
        self.rejected += isinstance(error, BacklogFull)

    def stalled(self, since: float, until: float) -> None:
        """Nothing could happen for a while: deadlines in it were kept at its end."""
        for request in self.requests.values():
            if request.ending is None and since <= request.latest <= until:
                request.latest = until + SLACK

    def went_down(self, worker: str, now: float) -> None:
        """The connection of a worker has ended, or is being ended."""
        self._down[worker] = now

    # What the engine writes to workers

    def invoked(
        self, worker: str, token: bytes, now: float, delayed: bool
    ) -> Request | None:
        """
        A worker was sent an event.

        :param delayed: whether it may have been meant for it long ago.
        """
        request = self.requests.get(token)
        if request is None or request.accepted is None:
            self.complain(f"{worker} got an event {token!r} that was never accepted")
            return None
        if request.worker is not None:
            self.complain(f"{_name(request)} went to {request.worker} and {worker}")
        # Within one turn connections are written to in an order of their own.
        if request.ending is not None and now > request.ended and not delayed:
            self.complain(f"{_name(request)} went to {worker} after its end")
        if now > request.deadline and not delayed:
            self.complain(f"{_name(request)} went to {worker} after its deadline")
        request.worker = worker
        return request

    def passed(self, request: Request, kind: int, args: list[Any]) -> None:
        """A worker was sent what follows an event."""
        name = _name(request)
        if request.passed_end is not None:
            self.complain(f"{name}: the worker was sent {kind} after the end")
        elif kind == WRITE:
            if not says(args[0], request.token, request.passed):
                self.complain(
                    f"{name}: its worker was sent {args[0][:40]!r}, not chunk"
                    f" {request.passed}"
                )
            request.passed += 1
        else:
            request.passed_end = kind
            if kind == CLOSE and request.client_end != CLOSE:
                self.complain(f"{name}: the worker was sent a close of nobody")
            if kind == CLOSE and request.passed != request.sent:
                self.complain(
                    f"{name}: the worker was sent {request.passed} of"
                    f" {request.sent} chunks"
                )

    # What the engine writes to clients

    def answered(
        self,
        client: str,
        channel: int,
        kind: int,
        args: list[Any],
        now: float,
        delayed: bool,
    ) -> None:
        """
        A client was sent a message.

        :param delayed: whether that was meant for it long ago, and it did not
            read.
        """
        promise = self._promises.get((client, channel))
        if isinstance(promise, Request):
            if delayed:
                promise.latest = max(promise.latest, now)
            self._heard(promise, kind, args, now)
        elif promise is None:
            self.complain(f"{client} was sent {kind} on channel {channel} of nobody")
        else:
            promise.answers += 1
            if promise.answers > 1:
                self.complain(f"{client} got two answers on channel {channel}")

    def _heard(self, request: Request, kind: int, args: list[Any], now: float) -> None:
        name = _name(request)
        if request.ending is not None:
            self.complain(f"{name} has ended and was sent {kind} {args!r:.60}")
        elif kind == WRITE:
            if not says(args[0], request.token, request.got):
                self.complain(
                    f"{name} was sent {args[0][:40]!r}, not chunk {request.got}"
                )
            elif request.got >= request.said:
                self.complain(f"{name} was sent chunks that no worker has said")
            request.got += 1
        elif kind == CLOSE:
            self._end(request, "reply", now)
            if not request.has_said or request.said_end is not None:
                self.complain(f"{name} was closed by nobody")
            elif request.got != request.said:
                self.complain(f"{name} got {request.got} of {request.said} chunks")
        elif kind == ERROR:
            (category, code), reason = args
            error = WireError(category, code, reason.decode())
            circumstances = Circumstances(
                now, self.stopped, self._down, self.is_behind()
            )
            found = cause(request, error, circumstances)
            self._end(request, found or "without cause", now)
            if found is None:
                self.complain(f"{name} ended with {error} and has no cause for it")
        else:
            self.complain(f"{name} was sent an unknown message {kind}")

    def _end(self, request: Request, ending: str, now: float) -> None:
        request.ending = ending
        request.ended = now
        self.endings[ending] += 1
        if request.accepted is not None and now > request.latest:
            late = now - request.deadline
            self.complain(f"{_name(request)} ended {late:.3f} s after its deadline")

    # At the end

    def last_deadline(self, now: float) -> float:
        """Say when all that was accepted has to be over."""
        return max((request.latest for request in self.requests.values()), default=now)

    def settle(self) -> None:
        """Everything should have ended: complain of what has not."""
        for promise in self._promises.values():
            if promise.waived:
                continue
            if isinstance(promise, Call):
                if promise.expects and not promise.answers:
                    self.complain(
                        f"{promise.client} got no answer on {promise.channel}"
                    )
            elif promise.ending is None:
                self.complain(f"{_name(promise)} never ended")
        for request in self.requests.values():
            if self._leaves_worker_waiting(request):
                self.complain(f"{request.worker} waits for {_name(request)}")

    def _leaves_worker_waiting(self, request: Request) -> bool:
        """Whether a worker was never told that its client says no more."""
        if request.worker is None or request.worker in self._down:
            return False
        # Its own error ends both directions.
        has_failed = request.has_said and request.said_end is not None
        return request.passed_end is None and not has_failed


def _name(request: Request) -> str:
    return f"request {request.token.decode()} of {request.client}"
