# -*- test-case-name: tests.test_stream -*-
"""
A connected socket on either loop.

Everything written during one turn leaves in one `send`.
"""

from __future__ import annotations

from cocaine.detail.future import READY, Future
from cocaine.exceptions import OverrunError, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Peer(Protocol):
        """Who gets the bytes."""

        def receive(self, data: bytes) -> None:
            """Take what arrived; ProtocolError gives the connection up."""

        def lost(self, reason: str) -> None:
            """Learn that the connection is gone; called once at most."""


#: Bytes taken per turn: enough for a burst, short enough to stay responsive.
READ_SIZE = 256 * 1024
#: Above this many unsent bytes a write asks its caller to wait, ...
HIGH_WATER = 1024 * 1024
#: ... until no more than this are left.
LOW_WATER = 256 * 1024
#: A writer that never waits is stopped here instead of eating the memory.
MAX_UNSENT = 256 * 1024 * 1024


class Stream:
    """
    Reads for a peer, writes for it, and tells it of the end.

    :param loop: the loop to watch the socket with
    :param sock: connected, non-blocking; closed by the stream
    """

    __slots__ = (
        "_blocked",
        "_loop",
        "_out",
        "_peer",
        "_scheduled",
        "_sock",
        "_unsent",
        "_waiters",
    )

    def __init__(self, loop: Any, sock: Any) -> None:
        self._loop = loop
        self._sock = sock
        self._peer: Peer | None = None
        self._out: list[bytes | memoryview] = []
        self._unsent = 0
        self._scheduled = False
        self._blocked = False
        self._waiters: list[Future] = []

    def start(self, peer: Peer) -> None:
        """Begin to read for `peer`."""
        self._peer = peer
        self._loop.add_reader(self._sock, self._readable)

    def write(self, data: bytes) -> None:
        """
        Send `data` at the end of this turn; ignored after the end.

        Never refuses: whoever sends what a user gave asks `check_room` before,
        while errors, closes and heartbeats always find room.
        """
        if self._sock is None:
            return
        self._out.append(data)
        self._unsent += len(data)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def check_room(self) -> None:
        """
        Insist that writers wait.

        :raises OverrunError: when `MAX_UNSENT` bytes are waiting
        """
        if self._unsent > MAX_UNSENT:
            raise OverrunError(
                f"{self._unsent} bytes are waiting to be sent; wait for the future "
                "that write() returns"
            )

    def drained(self) -> Future:
        """Return a future that is done when it is time to write more."""
        if self._unsent <= HIGH_WATER or self._sock is None:
            return READY
        future = Future(self._loop)
        self._waiters.append(future)
        return future

    def _readable(self) -> None:
        if self._sock is None:
            return
        try:
            data = self._sock.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fail(error.strerror or str(error))
            return
        if not data:
            self._fail("the other side closed the connection")
            return
        # What the peer writes meanwhile is flushed below, without a turn.
        mine = not self._scheduled
        self._scheduled = True
        try:
            self._peer.receive(data)  # type: ignore[union-attr]
        except ProtocolError as error:
            self._fail(f"protocol violated: {error}")
            return
        finally:
            if mine:
                self._flush()

    def _flush(self) -> None:
        self._scheduled = False
        if self._out and not self._blocked:
            self._send()

    def _send(self) -> None:
        if self._sock is None:
            return
        out = self._out
        data = out[0] if len(out) == 1 else b"".join(out)
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._fail(error.strerror or str(error))
            return
        out.clear()
        self._unsent -= sent
        if sent < len(data):
            out.append(memoryview(data)[sent:])
            if not self._blocked:
                self._blocked = True
                self._loop.add_writer(self._sock, self._writable)
        elif self._blocked:
            self._blocked = False
            self._loop.remove_writer(self._sock)
        if self._waiters and self._unsent <= LOW_WATER:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                waiter.set_result(None)

    def _writable(self) -> None:
        # Send the remainder alone first: joining it with what has come since
        # would copy a long message again with every segment.
        rest = self._out[1:]
        del self._out[1:]
        self._send()
        if self._sock is not None:
            self._out.extend(rest)
            if rest and not self._blocked:
                self._send()

    def _fail(self, reason: str) -> None:
        peer = self._peer
        self.close()
        if peer is not None:
            peer.lost(reason)

    def finish(self, timeout: float) -> None:
        """Send what is left, blocking for `timeout` seconds at most, and close."""
        sock = self._sock
        if sock is not None and self._out:
            try:
                sock.settimeout(timeout)
                sock.sendall(b"".join(self._out))
            except OSError:
                pass  # the other side has gone: there is nobody to tell
        self.close()

    def close(self) -> None:
        """Drop the connection without a word to the peer; may be repeated."""
        sock, self._sock = self._sock, None
        if sock is None:
            return
        self._peer = None
        self._out.clear()
        self._unsent = 0
        waiters, self._waiters = self._waiters, []
        try:
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)
        except RuntimeError:
            pass  # an asyncio loop that is closed already
        sock.close()
        for waiter in waiters:
            waiter.set_result(None)
