# -*- test-case-name: cocained.test.test_gateways_vicodyn_relay -*-
"""
One request on its way to another node, and its answer on the way back.

::

    client session ── channel c ──▶ Relay  ── channel n ──▶ peer session
    client session ◀── channel c ── Answer ◀── channel n ── peer session

The peer gets ``enqueue(app, event)`` of the node service, and then what an app
would get; so this is an :class:`~cocained.apps.invocation.Invocation` without a
worker, and as lean.

A request is given to another peer only if the first one has said by itself that
it did not take it, and nothing of an answer has come.  Once bytes of it have
gone out, only the peer knows what became of them: if its connection is lost, the
request ends with an error and is not sent again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cocained.apps.bodies import (
    CHUNK_HEADS,
    CLOSE_BODY,
    WRITE_HEAD,
    encode_error,
    error_body,
)
from cocained.errors import (
    Category,
    CocainedError,
    DispatchCode,
    InvalidArgument,
    NodeCode,
    OverseerCode,
    RemoteError,
    SlotNotFound,
)
from cocained.gateways.vicodyn.answer import Answer
from cocained.rpc.codec import LARGE, frame_head, raw_head, short_head
from cocained.rpc.graph import CLOSE, ERROR, WRITE
from cocained.rpc.headers import (
    UNTRACED,
    Header,
    Trace,
    encode_trace,
    reply_headers,
)
from cocained.rpc.session import EARLY_FLUSH, Session

if TYPE_CHECKING:
    from cocained.gateways.vicodyn.peer import Link
    from cocained.gateways.vicodyn.virtual import Copy, VirtualApp

#: Bytes of chunks that one request keeps until its answer begins, so that it can
#: be given to another peer.  A longer one is given to one peer only.
KEEP_LIMIT: Final = 1024 * 1024

#: What each chunk counts for besides its bytes.
CHUNK_OVERHEAD: Final = 64

#: Errors by which a peer says that it did not take a request.
RECOVERABLE: Final = frozenset(
    (
        (int(Category.OVERSEER), int(OverseerCode.QUEUE_IS_FULL)),
        (int(Category.NODE), int(NodeCode.NOT_RUNNING)),
        (int(Category.DISPATCH), int(DispatchCode.NOT_CONNECTED)),
    )
)


class PeerLost(RemoteError):
    """
    The node that had the request is gone; whether it did the work is not known.

    :param uuid: of the node.
    :param cause: what ended its connection.
    """

    def __init__(self, uuid: str, cause: CocainedError) -> None:
        super().__init__(
            int(cause.category),
            int(cause.code),
            f"node {uuid}, which had the request, is gone: {cause.reason}",
        )


class Relay:
    """
    One request: the client's half, and what both halves share.

    :param app: whose request it is.
    :param session: the client's connection.
    :param channel: the client's channel.
    :param event: its name, opaque.
    :param headers: those of the client's first frame.
    :raises InvalidTrace: the headers hold a bad trace.
    """

    __slots__ = (
        "_answer",
        "_app",
        "_began",
        "_channel",
        "_copy",
        "_done",
        "_ending",
        "_event",
        "_first_headers",
        "_headers",
        "_heads",
        "_kept",
        "_kept_size",
        "_link",
        "_open",
        "_sink",
        "_sink_channel",
        "_sink_head",
        "_sink_headers",
        "_tried",
        "client",
    )

    # Set by :meth:`give`, which follows at once:
    _answer: Answer
    _began: float
    _link: Link
    _copy: Copy
    _sink: Session
    _sink_channel: int
    _sink_head: bytes

    def __init__(
        self,
        app: VirtualApp,
        session: Session,
        channel: int,
        event: bytes,
        headers: list[Header],
    ) -> None:
        self._app = app
        #: the client's connection
        self.client = session
        self._channel = channel
        self._event = event
        self._headers = UNTRACED
        # Frames without headers are shorter, and nobody has to take them apart.
        self._sink_headers = self._first_headers = b""
        self._heads = short_head
        if headers:
            self._headers = self._sink_headers = reply_headers(headers)
            self._first_headers = encode_trace(Trace.from_headers(headers), headers)
            self._heads = frame_head
        #: chunks in case that another peer has to get them
        self._kept: list[bytes] | None = []
        self._kept_size = 0
        self._ending: bytes | None = None
        self._open = True
        self._done = False
        self._tried: tuple[Copy, ...] = ()
        session.owed += 1

    def give(self, copy: Copy, link: Link) -> None:
        """
        Send the request to a peer.

        :param copy: the copy of the app that shall have it.
        :param link: the connection to its node.
        """
        self._copy = copy
        self._link = link
        sink = self._sink = link.session
        self._answer = Answer(self, link, self.client, self._channel, self._headers)
        channel = self._sink_channel = sink.fork(self._answer)
        head = self._sink_head = self._heads(channel)
        copy.load.in_flight += 1
        link.invocations[self] = None
        self._began = self._app.turn.now
        event = self._event
        out = sink.out or sink.speak()
        out += (
            head,
            self._app.enqueue_head,
            raw_head(len(event)),
            event,
            self._first_headers,
        )
        if sink.congested:
            sink.press(self.client, len(event))
            link.burdened()

    # From the client

    def message(self, kind: int, args: list[Any], headers: list[Header]) -> None:
        if kind == WRITE:
            payload = args[0] if args else None
            if type(payload) is not bytes:
                self.abandon(InvalidArgument("a chunk is one string"))
                return
            if self._kept is not None:
                self._keep(payload)
            self._write(payload)
        elif kind == CLOSE:
            self._end_input(CLOSE_BODY)
        elif kind == ERROR:
            try:
                body = error_body(args)
            except InvalidArgument as error:
                self.abandon(error)
            else:
                self._end_input(body)
        else:
            self.abandon(SlotNotFound(f"message {kind} is not bound in a stream"))

    def discard(self, error: CocainedError) -> None:
        """The client is gone while it could have said more: tell the peer."""
        gone = RemoteError(
            Category.DISPATCH,
            DispatchCode.NOT_CONNECTED,
            f"the client is gone: {error.reason}",
        )
        self._say(encode_error(gone))
        self.finish()

    def _write(self, payload: bytes) -> None:
        sink = self._sink
        size = len(payload)
        if size < LARGE:
            out = sink.out or sink.speak()
            out += (self._sink_head, CHUNK_HEADS[size], payload, self._sink_headers)
        else:
            sink.send(self._sink_head + WRITE_HEAD + raw_head(size))
            sink.send(payload)
            sink.send(self._sink_headers)
        if sink.congested:
            sink.press(self.client, size)
            self._link.burdened()

    def _end_input(self, body: bytes) -> None:
        """Pass on the client's last message; *body* is its kind and arguments."""
        self._open = False
        self.client.channels.pop(self._channel, None)
        self._ending = body
        self._say(body)
        if not self._answer.open:
            self.finish()

    def _say(self, body: bytes) -> None:
        sink = self._sink
        out = sink.out or sink.speak()
        out += (self._sink_head, body, self._sink_headers)

    # What another peer would need

    def _keep(self, payload: bytes) -> None:
        size = len(payload) + CHUNK_OVERHEAD
        kept = self._kept
        assert kept is not None  # looked at by the caller
        if self._kept_size + size > KEEP_LIMIT or not self._app.keep(size):
            self._let_go()
        else:
            kept.append(payload)
            self._kept_size += size

    def _let_go(self) -> None:
        """Keep nothing any more: the request stays where it is."""
        self._kept = None
        if self._kept_size:
            self._app.keep(-self._kept_size)
            self._kept_size = 0

    # From the peer

    def answered(self) -> None:
        """The answer begins: from now on nobody else can give it."""
        self._let_go()
        self._app.answered(self._copy, self._link, self._began)

    def refused(self, body: bytes, category: int, code: int) -> None:
        """
        The peer ended the request before it answered anything.

        :param body: the error as it came, kind and arguments.
        """
        kept = self._kept
        client = self.client
        copy = None
        if (category, code) in RECOVERABLE:
            self._app.refused(self._copy, (category, code))
            self._tried += (self._copy,)
            if kept is not None and client.connected:
                copy = self._app.another(self._tried)
        if copy is None or copy.link is None:
            self.failed(body)
            return
        if self._open:
            # The peer waits for the end of what it has refused.
            self._say(CLOSE_BODY)
        self._leave()
        self.give(copy, copy.link)
        assert kept is not None
        for payload in kept:
            self._write(payload)
        if self._ending is not None:
            self._say(self._ending)
        if self._kept_size > EARLY_FLUSH:
            self._sink.flush()

    def ended(self) -> None:
        """The peer's half has ended, and the client has been told."""
        if self._open:
            self._answer.open = False
            self.client.paid()
            # The peer keeps the slot of a worker until the client closes, too.
            self._sink.channels.pop(self._sink_channel, None)
        else:
            self.finish()

    def lost(self, error: CocainedError) -> None:
        """The connection to the peer is gone, and with it the answer."""
        self.fail(PeerLost(self._link.uuid, error))

    # The end

    def abandon(self, error: CocainedError) -> None:
        """Something is wrong with the request: tell both sides."""
        if self._open:
            self._say(encode_error(error))
        self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Answer with *error*, and be done with it."""
        if self._answer.open:
            self.client.error(self._channel, error, self._headers)
        self.finish()

    def failed(self, body: bytes) -> None:
        """End with an error of the peer's: *body* is its kind and arguments."""
        self.client.send(frame_head(self._channel) + body + self._headers)
        if self._open:
            self._say(CLOSE_BODY)
        self.finish()

    def finish(self) -> None:
        """Let go of everything; calling it again does no harm."""
        if self._done:
            return
        self._done = True
        if self._open:
            self._open = False
            self.client.channels.pop(self._channel, None)
        self._let_go()
        answer = self._answer
        if answer.open:
            answer.open = False
            self.client.paid()
        self._leave()
        self._app.finished(self)

    def _leave(self) -> None:
        """Part from the peer."""
        self._sink.channels.pop(self._sink_channel, None)
        self._copy.load.in_flight -= 1
        self._link.invocations.pop(self, None)
        # The two halves know each other; garbage collection is dear.
        del self._answer.relay
