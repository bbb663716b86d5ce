# -*- test-case-name: cocained.test.test_rpc_connection -*-
"""
What a client has still to say on one connection.

Frames leave in the order in which they were given.  Small ones leave at once;
a big one, such as an app's archive, leaves in pieces, each of which waits until
the one before it is with the peer: memory holds the frame once, its progress
can be shown, and a peer that reads slowly is not taken for one that has
stalled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred

from cocained.errors import CocainedError, LocalProtocolError
from cocained.rpc.codec import FRAME_LIMIT
from cocained.rpc.session import Session

#: Bytes of a big frame that are given to the transport at a time: a few times
#: what a transport buffers before it asks for a pause.
PIECE = 262144

#: Most bytes that may wait for a peer that does not read: two of the largest
#: frames, so that one can be prepared while another leaves.
OUTBOX_LIMIT = 2 * FRAME_LIMIT

#: Called with the bytes of a frame that have left, and with all of them.
Progress = Callable[[int, int], None]


class Outbox:
    """
    The queue in front of one session.

    :param session: takes what may leave.
    """

    __slots__ = ("_at", "_halts", "_queue", "_session", "_size", "_waiters")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._queue: deque[tuple[bytes, Progress | None]] = deque()
        self._size = 0
        self._at = 0
        self._halts = 0
        self._waiters: list[Deferred[None]] = []

    def send(self, frame: bytes, progress: Progress | None = None) -> None:
        """
        Send a packed frame.

        :param progress: hears how much of it has left.
        :raises LocalProtocolError: the peer does not read and too much waits.
        """
        session = self._session
        if not (self._queue or session.congested or progress or len(frame) > PIECE):
            session.send(frame)
            return
        if self._size + len(frame) > OUTBOX_LIMIT:
            raise LocalProtocolError(
                f"{self._size} bytes wait for a peer that does not read, the limit"
                f" is {OUTBOX_LIMIT}; wait for Stream.drained() between writes"
            )
        self._queue.append((frame, progress))
        self._size += len(frame)
        self._pump()

    def drained(self) -> Deferred[None]:
        """
        Wait until the peer has room.

        :returns: fires when nothing waits here any more, at once if that is
            so; fails with what ended the connection.
        """
        waiter: Deferred[None] = Deferred(self._forget)
        self._waiters.append(waiter)
        self._pump()
        return waiter

    def lost(self, error: CocainedError) -> None:
        """The connection is gone."""
        self._queue.clear()
        self._size = self._at = 0
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.errback(error)

    # Source, for the session

    def halt(self) -> None:
        self._halts += 1

    def release(self) -> None:
        self._halts -= 1
        if self._session.connected:
            self._pump()

    def _forget(self, waiter: Deferred[None]) -> None:
        self._waiters.remove(waiter)

    def _pump(self) -> None:
        session = self._session
        while not self._halts:
            if session.congested:
                session.hold(self)
            elif self._queue:
                self._send_piece()
            else:
                break
        if not self._halts:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                waiter.callback(None)

    def _send_piece(self) -> None:
        frame, progress = self._queue[0]
        whole = len(frame)
        piece = frame if whole <= PIECE else frame[self._at : self._at + PIECE]
        self._at += len(piece)
        self._size -= len(piece)
        sent = self._at
        if sent == whole:
            self._queue.popleft()
            self._at = 0
        self._session.send(piece)
        # Now and not at the end of the turn: only then is it known whether the
        # transport wants a pause.
        self._session.flush()
        if progress is not None:
            progress(sent, whole)
