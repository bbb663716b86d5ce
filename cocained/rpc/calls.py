# -*- test-case-name: cocained.test.test_rpc_calls -*-
"""
What a client does on one channel: a call with one answer, or a stream.

Both follow the graph of their method: what it does not allow now is refused
here when we send it, and ends the channel when the service does.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from cocained.errors import (
    Category,
    CocainedError,
    LocalProtocolError,
    RemoteError,
    RemoteProtocolError,
)
from cocained.rpc.codec import Pairs
from cocained.rpc.connection import Connection, limited
from cocained.rpc.graph import CONTROL, Nested
from cocained.rpc.headers import UNTRACED, Header
from cocained.rpc.outbox import Progress

#: A stream whose reader has this many bytes waiting stops its connection, and
#: starts it again when half of them are read.
STREAM_LIMIT = 1024 * 1024

#: What a chunk counts for besides its bytes, so that empty ones are bounded too.
CHUNK_OVERHEAD = 128

#: Names that end a call or stream well, by the published frameworks' use.
_ENDS = ("close", "choke")


class End(Enum):
    """What reading gives when a stream has ended."""

    END = "end"


END: Final = End.END


def flatten(args: Sequence[Any]) -> Any:
    """One value as it is, none as ``None``, several as a list."""
    return args[0] if len(args) == 1 else list(args) if args else None


def expected(graph: Nested | None) -> Mapping[int, tuple[str, Any]]:
    """The messages of a nested graph, without the control messages."""
    return {k: v for k, v in (graph or {}).items() if k < CONTROL}


def is_mute(upstream: Nested | None) -> bool:
    """Whether a method never answers."""
    return not expected(upstream)


def is_primitive(upstream: Nested | None) -> bool:
    """Whether a method gives exactly one answer, or an error."""
    messages = expected(upstream)
    return bool(messages) and all(
        name in ("value", "error") and after == {} for name, after in messages.values()
    )


def reported(args: Sequence[Any]) -> CocainedError:
    """Read the arguments of an ``error`` message (protocol.md §2.2)."""
    match args:
        case [[int(category), int(code), *_], *rest]:
            reason = rest[0] if rest else b""
            text = reason.decode("utf-8", "replace") if type(reason) is bytes else ""
            return RemoteError(category, code, text)
    return RemoteProtocolError("the service sent an error that is none")


class Exchange:
    """
    One channel of ours, with the messages that it allows now.

    :param connection: where the channel is.
    :param name: of the method, for people.
    :param dispatch: what we may send after the first message.
    :param upstream: what we may be sent.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        dispatch: Nested | None,
        upstream: Nested | None,
    ) -> None:
        self._connection = connection
        self._dispatch = expected(dispatch)
        self._upstream = expected(upstream)
        #: number of the channel, 0 until it is open
        self.channel = 0
        self.name = name

    def begin(
        self,
        kind: int,
        args: Sequence[Any],
        headers: bytes = UNTRACED,
        progress: Progress | None = None,
    ) -> None:
        """
        Send the first message.

        :raises LocalProtocolError, RemoteError: see :meth:`Connection.open`.
        """
        self.channel = self._connection.open(self, kind, args, headers, progress)

    # Receiver, for the session

    def message(self, kind: int, args: list[Any], headers: list[Header]) -> None:
        found = self._upstream.get(kind)
        if found is None:
            self._connection.forget(self.channel)
            self.ended(
                RemoteProtocolError(
                    f"{self._connection.peer} sent message {kind}, which the graph"
                    f" of {self.name} does not allow now"
                )
            )
            return
        name, after = found
        if after is not None:
            self._upstream = expected(after)
        if not self._upstream:
            self._connection.forget(self.channel)
        if name == "error":
            self._connection.forget(self.channel)
            self.ended(reported(args))
        elif name in _ENDS:
            self.ended(None)
        else:
            self.took(args, headers)
            if not self._upstream:
                self.ended(None)

    def discard(self, error: CocainedError) -> None:
        self.ended(error)

    # For those who inherit

    def took(self, args: list[Any], headers: list[Header]) -> None:
        """Take a value or a chunk."""
        raise NotImplementedError

    def ended(self, error: CocainedError | None) -> None:
        """Nothing more will come; may be called more than once."""
        raise NotImplementedError


class Call(Exchange):
    """A call with one answer, which :attr:`answer` fires with."""

    def __init__(
        self,
        connection: Connection,
        name: str,
        dispatch: Nested | None,
        upstream: Nested | None,
    ) -> None:
        super().__init__(connection, name, dispatch, upstream)
        #: fires with the flattened value; cancelling it forgets the channel
        self.answer: Deferred[Any] = Deferred(self._give_up)
        self._answered = False

    def _give_up(self, answer: Deferred[Any]) -> None:
        self._answered = True
        self._connection.forget(self.channel)

    def took(self, args: list[Any], headers: list[Header]) -> None:
        if not self._answered:
            self._answered = True
            self.answer.callback(flatten(args))

    def ended(self, error: CocainedError | None) -> None:
        if not self._answered:
            self._answered = True
            self.answer.errback(
                error or RemoteProtocolError(f"{self.name} ended without an answer")
            )


class Stream(Exchange):
    """
    A channel on which both sides may talk for a while.

    Chunks wait here until they are read.  When :data:`STREAM_LIMIT` bytes wait,
    the whole connection stops to read, other calls on it too: who does not
    mean to read calls :meth:`cancel`, or uses it as ``async with``.

    :param clock: for time limits.
    :param on_error: hears of the error that ended it.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        dispatch: Nested | None,
        upstream: Nested | None,
        clock: IReactorTime,
        on_error: Callable[[CocainedError], None] = lambda error: None,
    ) -> None:
        super().__init__(connection, name, dispatch, upstream)
        self._clock = clock
        self._on_error = on_error
        self._chunks: deque[tuple[Any, list[Header], int]] = deque()
        self._size = 0
        self._halting = False
        self._reader: Deferred[Any] | None = None
        self._over = not self._upstream
        self._error: CocainedError | None = None
        #: headers of the chunk that was read last
        self.headers: list[Header] = []

    # Sending

    def can_send(self, message: str) -> bool:
        """Whether the graph allows *message* now."""
        return any(name == message for name, _ in self._dispatch.values())

    def send(self, message: str, *args: Any) -> None:
        """
        Send a message by its name in the graph.

        :raises LocalProtocolError: the graph does not allow it now, or the
            arguments cannot be packed.
        :raises RemoteError: the connection is gone.
        """
        named = {name: (kind, after) for kind, (name, after) in self._dispatch.items()}
        if message not in named:
            raise LocalProtocolError(
                f"{self.name} takes no {message!r} now, only"
                f" {', '.join(named) or 'nothing'}"
            )
        kind, after = named[message]
        if not self._connection.session.connected:
            raise self._error or RemoteError(
                Category.ASIO_SYSTEM, errno.ENOTCONN, os.strerror(errno.ENOTCONN)
            )
        self._connection.send(self.channel, kind, args)
        if after is not None:
            self._dispatch = expected(after)

    def write(self, *args: Any) -> None:
        """Send a chunk; see :meth:`send`."""
        self.send("write", *args)

    def close(self) -> None:
        """Say that nothing more will be sent; see :meth:`send`."""
        self.send("close")

    def error(self, category: int, code: int, reason: str = "") -> None:
        """End our side with an error; see :meth:`send`."""
        self.send("error", [category, code], reason)

    def drained(self, timeout: float) -> Deferred[None]:
        """
        Wait until the peer has room for more; to be done between writes.

        :param timeout: seconds.
        """
        return limited(
            self._connection.drained(), timeout, self._clock, f"writing to {self.name}"
        )

    def cancel(self) -> None:
        """Give the stream up: tell the service, and hear no more of it."""
        names = {name for name, _ in self._dispatch.values()}
        if not self._over and self._connection.session.connected:
            if "discard" in names:
                self.send("discard")
            elif "error" in names:
                code = errno.ECANCELED
                self.error(Category.ASIO_SYSTEM, code, os.strerror(code))
        self._connection.forget(self.channel)
        self._chunks.clear()
        self._size = 0
        self._release()
        self.ended(
            RemoteError(
                Category.ASIO_SYSTEM, errno.ECANCELED, os.strerror(errno.ECANCELED)
            )
        )

    # Reading

    def read(self, timeout: float | None = None) -> Deferred[Any]:
        """
        Wait for the next chunk.

        :param timeout: seconds; ``None`` for a subscription, which may be
            silent for as long as it likes.
        :returns: fires with the flattened chunk or :data:`END`; fails with
            what the service reported, with what ended the connection, or with
            :class:`~cocained.rpc.connection.TimedOut`, after which one may
            read again.
        :raises LocalProtocolError: somebody else is reading.
        """
        if self._reader is not None:
            raise LocalProtocolError(f"{self.name} is being read already")
        reader: Deferred[Any] = Deferred(self._stop_reading)
        if self._chunks:
            chunk, self.headers, size = self._chunks.popleft()
            self._size -= size
            reader.callback(chunk)
            if self._size <= STREAM_LIMIT // 2:
                self._release()
            return reader
        if self._over:
            self._finish(reader)
            return reader
        self._reader = reader
        if timeout is None:
            return reader
        return limited(reader, timeout, self._clock, f"a chunk of {self.name}")

    def __aiter__(self) -> AsyncIterator[Any]:
        return self.chunks(None)

    async def chunks(self, timeout: float | None) -> AsyncIterator[Any]:
        """
        Read to the end.

        :param timeout: seconds for each chunk, see :meth:`read`.
        """
        while (chunk := await self.read(timeout)) is not END:
            yield chunk

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.cancel()

    def _stop_reading(self, reader: Deferred[Any]) -> None:
        self._reader = None

    def _finish(self, reader: Deferred[Any]) -> None:
        if self._error is None:
            reader.callback(END)
        else:
            reader.errback(self._error)

    def took(self, args: list[Any], headers: list[Header]) -> None:
        chunk = flatten(args)
        reader, self._reader = self._reader, None
        if reader is not None:
            self.headers = headers
            reader.callback(chunk)
            return
        size = CHUNK_OVERHEAD + weigh(chunk) + weigh(headers)
        self._chunks.append((chunk, headers, size))
        self._size += size
        if self._size > STREAM_LIMIT and not self._halting:
            self._halting = True
            self._connection.session.halt()

    def ended(self, error: CocainedError | None) -> None:
        if self._over:
            return
        self._over = True
        self._error = error
        if error is not None:
            self._on_error(error)
        reader, self._reader = self._reader, None
        if reader is not None:
            self._finish(reader)

    def _release(self) -> None:
        if self._halting:
            self._halting = False
            self._connection.session.release()


def weigh(value: Any) -> int:
    """Estimate the bytes that a wire value occupies."""
    if isinstance(value, list | Pairs | tuple):
        return sum(CHUNK_OVERHEAD + weigh(item) for item in value)
    return len(value) if type(value) is bytes else 0
