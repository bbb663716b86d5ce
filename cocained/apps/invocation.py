# -*- test-case-name: cocained.test.test_apps_invocation -*-
"""
One event on its way through the node: two relays, back to back.

An :class:`Invocation` takes what the client sends and passes it to the worker;
its :class:`Reply` takes what the worker sends and passes it to the client::

    client session ── channel c ──▶ Invocation ── channel n ──▶ worker session
    client session ◀── channel c ── Reply      ◀── channel n ── worker session

Each direction ends by itself; the event is finished when both have, or when an
error ended it.  Payloads are opaque bytes, packed again with heads and headers
prepared once per event: this is the hot path of the node.
"""

from __future__ import annotations

import random
from typing import Any

from cocained.apps.bodies import CLOSE_BODY, WRITE_HEAD, encode_error, error_body
from cocained.apps.dialect import Dialect
from cocained.apps.reply import Reply
from cocained.apps.roles import Origin, WorkerLink
from cocained.errors import (
    Category,
    CocainedError,
    InvalidArgument,
    NodeCode,
    RemoteError,
    RequestTimeout,
    SlotNotFound,
)
from cocained.rpc.codec import LARGE, raw_head
from cocained.rpc.graph import CLOSE, ERROR, WRITE
from cocained.rpc.headers import NO_TRACE, UNTRACED, Header, Trace, encode_trace
from cocained.rpc.roles import Receiver
from cocained.rpc.session import EARLY_FLUSH, Session

#: Bytes of chunks that one event may collect while it waits for a worker.
BUFFER_LIMIT = 64 * 1024 * 1024

#: What each of them counts for besides its bytes: many empty ones take memory,
#: too.
CHUNK_OVERHEAD = 64

#: Beyond so many bytes the client is held, if nothing else of it can starve.
BUFFER_HOLD = 1024 * 1024


class Invocation:
    """
    One event: the client's half, and what both halves share.

    :param origin: who accepted it.
    :param session: the client's connection.
    :param channel: the client's channel.
    :param event: its name, opaque.
    :param headers: those of the client's first frame.
    :param trace: the trace among them.
    :param enqueued: when it came, in seconds of the clock.
    :param deadline: when it has to be finished, likewise.
    """

    __slots__ = (
        "_buffer",
        "_buffered",
        "_channel",
        "_client_open",
        "_dialect",
        "_done",
        "_event",
        "_gone",
        "_headers",
        "_holding",
        "_reply",
        "_session",
        "_sink",
        "_sink_channel",
        "_sink_head",
        "_sink_headers",
        "_trace",
        "assigned",
        "deadline",
        "enqueued",
        "origin",
        "worker",
    )

    # Set when a worker gets the event:
    _dialect: Dialect
    _sink_channel: int
    _sink_head: bytes

    def __init__(
        self,
        origin: Origin,
        session: Session,
        channel: int,
        event: bytes,
        headers: list[Header],
        trace: Trace,
        enqueued: float,
        deadline: float,
    ) -> None:
        #: who is told if it ends without a worker
        self.origin = origin
        self._session = session
        self._channel = channel
        self._event = event
        self._headers = headers
        self._trace = trace
        self.enqueued = enqueued
        self.deadline = deadline
        #: when a worker got it; 0 before
        self.assigned = 0.0
        #: who has it
        self.worker: WorkerLink | None = None
        self._reply = Reply(
            self, session, channel, encode_trace(trace) if headers else UNTRACED
        )
        self._client_open = True
        self._gone = False
        self._done = False
        self._sink: Session | None = None
        self._sink_headers = UNTRACED
        self._buffer: list[bytes] | None = None
        self._buffered = 0
        self._holding = False
        session.owed += 1

    @property
    def client(self) -> Session:
        """The client's connection."""
        return self._session

    @property
    def load_tx(self) -> bool:
        """Whether the client's half is still open."""
        return self._client_open

    @property
    def load_rx(self) -> bool:
        """Whether the worker's half is still open."""
        return self._reply.open

    # From the client

    def message(self, kind: int, args: list[Any], headers: list[Header]) -> None:
        if kind == WRITE:
            payload = args[0] if args else None
            if type(payload) is not bytes:
                self._refuse(InvalidArgument("a chunk is one string"))
                return
            sink = self._sink
            if sink is None:
                self._collect(payload)
                return
            size = len(payload)
            if size < LARGE:
                out = sink.out or sink.speak()
                out += (
                    self._sink_head,
                    self._dialect.chunk_heads[size],
                    payload,
                    self._sink_headers,
                )
            else:
                sink.send(self._sink_head + self._dialect.write + raw_head(size))
                sink.send(payload)
                sink.send(self._sink_headers)
            if sink.congested:
                sink.press(self._session, size)
                if self.worker is not None:
                    self.worker.burdened()
        elif kind == CLOSE:
            self._end_input(CLOSE_BODY)
        elif kind == ERROR:
            try:
                body = error_body(args)
            except InvalidArgument as error:
                self._refuse(error)
            else:
                self._end_input(body)
        else:
            self._refuse(SlotNotFound(f"message {kind} is not bound in a stream"))

    def discard(self, error: CocainedError) -> None:
        """
        The client is gone.

        A worker that expects more is told.  While the event waits it stays in
        line: what has been received is worked on (tools.md §11).
        """
        self._gone = True
        self._end_input(encode_error(error))
        if self.worker is not None:
            self.finish()

    def _refuse(self, error: CocainedError) -> None:
        """The client broke the rules of the stream; only this event suffers."""
        self._gone = True
        self._end_input(encode_error(error))
        self.fail(error)

    def _end_input(self, body: bytes) -> None:
        """Pass on the client's last message; *body* is its kind and arguments."""
        self._client_open = False
        self._session.channels.pop(self._channel, None)
        if self._sink is None:
            self._keep(body)
            return
        self._pass_on(body)
        if not self._reply.open:
            self.finish()

    def _pass_on(self, body: bytes) -> None:
        sink = self._sink
        assert sink is not None
        if not self._dialect.is_plain:
            body = self._dialect.body(body)
        out = sink.out or sink.speak()
        out += (self._sink_head, body, self._sink_headers)

    # While no worker has it

    def _collect(self, payload: bytes) -> None:
        if self._buffered + len(payload) > BUFFER_LIMIT:
            self.fail(
                RemoteError(
                    Category.NODE,
                    NodeCode.RESOURCE,
                    f"more than {BUFFER_LIMIT} bytes wait for a worker",
                )
            )
            return
        self._keep(WRITE_HEAD + raw_head(len(payload)) + payload)
        if self._buffered > BUFFER_HOLD and not self._holding and self._can_hold():
            self._holding = True
            self._session.halt()

    def _can_hold(self) -> bool:
        """
        Say whether the client may be stopped until a worker is there.

        Not if another event of it is at a worker: that one may need what comes
        next, to end and to free the very worker that this one waits for.
        """
        return all(
            isinstance(receiver, Invocation) and receiver.worker is None
            for receiver in self._session.channels.values()
        )

    def _keep(self, body: bytes) -> None:
        if self._buffer is None:
            self._buffer = []
        self._buffer.append(body)
        self._buffered += len(body) + CHUNK_OVERHEAD

    # From the engine

    def assign(self, worker: WorkerLink, now: float) -> None:
        """
        Give the event to a worker and send what has been collected.

        :param now: seconds of the clock.
        """
        self.assigned = now
        self.worker = worker
        dialect = self._dialect = worker.dialect
        sink = self._sink = worker.session
        reply: Receiver = self._reply
        headers = UNTRACED
        if not dialect.is_plain:
            reply = dialect.receiver(reply)
            self._sink_headers = headers = b""
        channel = self._sink_channel = sink.fork(reply)
        head = self._sink_head = dialect.head(channel)
        if self._headers and dialect.is_plain:
            trace = self._trace
            if trace is not NO_TRACE:
                trace = trace.child(random.randrange(1, (1 << 63) - 1))
                self._sink_headers = encode_trace(trace)
            headers = encode_trace(trace, self._headers)
        event = self._event
        out = sink.out or sink.speak()
        out += (head, dialect.invoke, raw_head(len(event)), event, headers)
        if self._buffer is not None:
            for body in self._buffer:
                self._pass_on(body)
            self._buffer = None
            if self._buffered > EARLY_FLUSH:
                sink.flush()
            if sink.congested and self._client_open:
                sink.press(self._session, self._buffered)
                worker.burdened()
            if self._holding:
                self._unhold()
            if self._gone:
                self.finish()

    def expire(self) -> None:
        """The event has not been finished in time: tell both sides."""
        self._tell_worker(RequestTimeout("invocation has timed out"))
        self.fail(RequestTimeout())

    def _tell_worker(self, error: CocainedError) -> None:
        """Send the worker an error, unless it has had our last message."""
        if self._client_open and self._sink is not None:
            self._pass_on(encode_error(error))

    def abandon(self, error: CocainedError) -> None:
        """Something is wrong with the event: tell both sides."""
        self._tell_worker(error)
        self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Answer with *error*, and be done with it."""
        if self._reply.open:
            self._session.error(self._channel, error, self._reply.headers)
        self.finish()

    def reply_ended(self) -> None:
        """The worker's half has ended, and the client has been told."""
        if self._client_open:
            self._reply.open = False
            self._session.paid()
            # The slot stays taken until the client closes, too (probe Q0).
            if self._sink is not None:
                self._sink.channels.pop(self._sink_channel, None)
        else:
            self.finish()

    def finish(self) -> None:
        """Let go of everything; calling it again does no harm."""
        if self._done:
            return
        self._done = True
        if self._client_open:
            self._client_open = False
            self._session.channels.pop(self._channel, None)
        reply = self._reply
        if reply.open:
            reply.open = False
            self._session.paid()
        # The two halves know each other; garbage collection is dear.
        del reply.invocation
        if self._buffer is not None:
            self._buffer = None
            if self._holding:
                self._unhold()
        worker = self.worker
        if worker is None:
            self.origin.withdrawn(self)
        else:
            if self._sink is not None:
                self._sink.channels.pop(self._sink_channel, None)
            worker.finished(self)

    def _unhold(self) -> None:
        self._holding = False
        self._session.release()
