# -*- test-case-name: cocained.test.test_simulation -*-
# ruff: noqa: N802 - a transport has the names of Twisted's
"""
Connections on which bytes lie until the scheduler carries them.

What a peer sends lies here until the node reads so many bytes of it; what the
node writes is held against the promises at once, and lies here as frames until
the peer reads.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.address import UNIXAddress
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.python.failure import Failure

from cocained.rpc.codec import Decoder
from cocained.rpc.wire import SessionProtocol
from cocained.test.simulation.stage import Stage


class End(Protocol):
    """The peer at the far end of a wire."""

    name: str

    def written(self, frame: list[Any], delayed: bool) -> None:
        """
        The node has written a frame; it will be read some time later.

        :param delayed: whether the node may have said it long ago, and kept it
            because the connection was full.
        """

    def closing(self) -> None:
        """The node ends the connection, once all has been read."""

    def parted(self) -> None:
        """The peer's last byte has been read by the node."""

    def lost(self) -> None:
        """The connection is gone."""


class Wire:
    """
    One connection: the node's transport.

    :param protocol: the node's, not yet connected.
    :param end: the peer.
    """

    def __init__(self, stage: Stage, protocol: SessionProtocol, end: End) -> None:
        self._stage = stage
        self._clock = stage.clock
        self._end = end
        self._decoder = Decoder()
        self._inbound = bytearray()
        self._frames: list[list[Any]] = []
        self._unread = 0
        self._producer: Any = None
        self._choked = False
        self._is_draining = False
        self._paused = False
        self._losing = False
        #: the peer has sent its last byte, and the node has seen that
        self._finished = self._told = False
        #: the peer will not read any more, either
        self._deaf = False
        self.is_lost = False
        self.protocol = protocol
        stage.wires.append(self)
        protocol.makeConnection(self)

    # For the peer

    def send(self, data: bytes) -> None:
        """Put bytes on their way to the node."""
        if not self._finished:
            self._inbound += data

    def read(self) -> list[list[Any]]:
        """Take what the node has written."""
        frames, self._frames = self._frames, []
        self._unread = 0
        if self._choked:
            self._choked = False
            if not self.is_lost:
                self._is_draining = True
                self._producer.resumeProducing()
                self._is_draining = False
        if self._losing:
            self._clock.callLater(0, self._lose, ConnectionDone())
        return frames

    def finish(self, deaf: bool) -> None:
        """
        Send nothing more than what is on its way.

        :param deaf: whether the peer reads nothing more, either.
        """
        self._finished = True
        self._deaf = self._deaf or deaf

    def reset(self) -> None:
        """Break the connection; what is on its way is lost."""
        self._inbound.clear()
        self._lose(ConnectionLost())

    @property
    def is_full(self) -> bool:
        """Whether more lies unread than the connection takes."""
        return self._unread > self._stage.setting.capacity

    @property
    def is_behind(self) -> bool:
        """Whether the node keeps something back until the peer has read."""
        return bool(self.protocol._rest)

    # For the scheduler

    @property
    def has_input(self) -> bool:
        """Whether there is something that the node would read."""
        if self._paused or self._losing or self.is_lost:
            return False
        return bool(self._inbound) or (self._finished and not self._told)

    @property
    def waiting(self) -> int:
        """Bytes on their way to the node."""
        return len(self._inbound)

    def deliver(self, size: int) -> None:
        """Let the node read up to *size* bytes, or that there are no more."""
        if self._inbound:
            data = bytes(self._inbound[:size])
            del self._inbound[:size]
            self._stage.journal.note(self._end.name, "delivered", len(data))
            self.protocol.dataReceived(data)
            return
        self._told = True
        self._stage.journal.note(self._end.name, "delivered", "the end")
        self._end.parted()
        if IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.readConnectionLost()
        else:
            self._lose(ConnectionDone())

    def _lose(self, reason: Exception) -> None:
        if self.is_lost:
            return
        self.is_lost = True
        self._stage.wires.remove(self)
        self._stage.journal.note(self._end.name, "lost", type(reason).__name__)
        self._end.lost()
        self.protocol.connectionLost(Failure(reason))

    # For the node

    def write(self, data: bytes) -> None:
        if self.is_lost:
            return
        # Closing, too, lets go of what was kept back.
        delayed = self._is_draining or self.protocol._closed
        for frame in self._decoder.decode(data):
            self._frames.append(frame)
            self._end.written(frame, delayed)
        if self._decoder.fault is not None:
            self._stage.ledger.complain(
                f"{self._end.name} was written bytes that are no frame"
            )
        if self._deaf:
            self._clock.callLater(0, self._lose, ConnectionLost())
            return
        self._unread += len(data)
        if self.is_full and self._producer is not None and not self._choked:
            self._choked = True
            self._stage.figures["connections full"] += 1
            self._stage.journal.note(self._end.name, "is full", self._unread)
            self._producer.pauseProducing()

    def loseConnection(self) -> None:
        if not self._losing:
            self._losing = True
            self._stage.journal.note(self._end.name, "closed by the node")
            self._end.closing()
        if not self._unread or self._deaf:
            self._clock.callLater(0, self._lose, ConnectionDone())

    def abortConnection(self) -> None:
        self._clock.callLater(0, self._lose, ConnectionAborted())

    def pauseProducing(self) -> None:
        self._paused = True
        self._stage.figures["connections held"] += 1

    def resumeProducing(self) -> None:
        self._paused = False

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None
        self._choked = False

    def getPeer(self) -> UNIXAddress:
        return UNIXAddress(self._end.name)
