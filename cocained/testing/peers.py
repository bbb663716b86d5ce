# -*- test-case-name: cocained.test.test_testing -*-
# ruff: noqa: N802 - these doubles have the names of what they double
"""
The far ends of a node's connections: clients and workers without sockets.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.address import UNIXAddress
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from cocained.rpc.codec import Decoder, Pairs, pack
from cocained.rpc.graph import CLOSE, ERROR, WRITE
from cocained.testing.reactor import MemoryReactor

#: Bytes after which a transport asks for a pause, as Twisted's do.
BUFFER = 65536


class MemoryTransport:
    """
    The node's end of a connection.

    :param clock: runs what real transports do in a later turn.
    :param protocol: the node's.
    """

    def __init__(self, clock: Clock, protocol: Any) -> None:
        self._clock = clock
        self._protocol = protocol
        self._producer: Any = None
        self._choked = False
        self._losing = False
        self._unread = b""
        self._unsent = bytearray()
        self._received = bytearray()
        self.reading = True
        self.paused = False
        self.lost = False
        protocol.makeConnection(self)

    # For the peer

    def arrive(self, data: bytes) -> None:
        """Let the node read *data* as soon as it wants to."""
        self._unread += data
        self._hand_over()

    def _hand_over(self) -> None:
        if self._unread and not self.paused and not self.lost:
            data, self._unread = self._unread, b""
            self._protocol.dataReceived(data)

    def read(self) -> bytes:
        """Give what the node has written since the last call."""
        data = bytes(self._received)
        self._received.clear()
        return data

    def pump(self) -> None:
        """Carry what the node has written, if the peer reads."""
        if self.reading:
            self._received += self._unsent
            self._unsent.clear()
            if self._choked:
                self._choked = False
                self._producer.resumeProducing()
            if self._losing:
                self._clock.callLater(0, self.lose, Failure(ConnectionDone()))
        elif self._producer and not self._choked and len(self._unsent) > BUFFER:
            self._choked = True
            self._producer.pauseProducing()

    @property
    def waiting(self) -> int:
        """Bytes that the node has written and the peer has not read."""
        return len(self._unsent)

    def lose(self, reason: Failure) -> None:
        """The connection is gone."""
        if not self.lost:
            self.lost = True
            self._protocol.connectionLost(reason)

    def end_input(self) -> None:
        """The peer writes no more, but may read."""
        self._protocol.readConnectionLost()

    # For the node

    def write(self, data: bytes) -> None:
        if not (self.lost or self._losing):
            self._unsent += data
            self.pump()

    def loseConnection(self) -> None:
        self._losing = True
        self.pump()

    def abortConnection(self) -> None:
        self._clock.callLater(0, self.lose, Failure(ConnectionAborted()))

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        self._clock.callLater(0, self._hand_over)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None
        self._choked = False

    def getPeer(self) -> UNIXAddress:
        return UNIXAddress("peer")

    def getHost(self) -> UNIXAddress:
        return UNIXAddress("node")


def frame(channel: int, kind: int, *args: Any, headers: Any = None) -> bytes:
    """Pack a frame of three elements, or of four with *headers*."""
    parts = [channel, kind, list(args)]
    return pack(parts if headers is None else [*parts, headers])


def plain(value: Any) -> Any:
    """What was unpacked, with maps as dictionaries."""
    if isinstance(value, Pairs):
        return {plain(key): plain(item) for key, item in value}
    return [plain(item) for item in value] if isinstance(value, list) else value


class Peer:
    """
    The far end of one of the node's connections.

    :param clock: the node's reactor.
    :param protocol: the node's end, not yet connected.
    """

    def __init__(self, clock: MemoryReactor, protocol: Any) -> None:
        self._clock = clock
        self._decoder = Decoder()
        self._frames: list[Any] = []
        self.protocol = protocol
        self.transport = MemoryTransport(clock, protocol)

    @property
    def session(self) -> Any:
        """The node's session of this connection."""
        return self.protocol.session

    @property
    def is_closed(self) -> bool:
        """Whether the connection is gone."""
        self._clock.pass_time(0)
        return self.transport.lost

    def send(self, channel: int, kind: int, *args: Any, headers: Any = None) -> None:
        """Send one frame."""
        self.transport.arrive(frame(channel, kind, *args, headers=headers))

    def send_bytes(self, data: bytes) -> None:
        """Send anything."""
        self.transport.arrive(data)

    def take(self) -> list[list[Any]]:
        """Give ``[channel, kind, args]`` of each frame that came since."""
        return [received[:3] for received in self.take_whole()]

    def take_whole(self) -> list[list[Any]]:
        """Give each frame that came since, headers too."""
        self._clock.pass_time(0)
        frames = self._decoder.decode(self.transport.read())
        assert self._decoder.fault is None, self._decoder.fault
        return [cast(list[Any], plain(received)) for received in frames]

    def stop_reading(self) -> None:
        """Leave what the node writes in its buffers."""
        self.transport.reading = False

    def read_again(self) -> None:
        """Take what has been left, and all that follows."""
        self.transport.reading = True
        self.transport.pump()
        self._clock.pass_time(0)

    def disconnect(self, reason: Exception | None = None) -> None:
        """Go away."""
        self.transport.lose(Failure(reason or ConnectionDone()))
        self._clock.pass_time(0)

    def end_input(self) -> None:
        """Send nothing more, and go on reading."""
        self.transport.end_input()
        self._clock.pass_time(0)


class ScriptedWorker(Peer):
    """
    A worker that says what a test tells it, in worker protocol 0 or 1.

    :param uuid: what it says in its handshake.
    :param version: of the worker protocol.
    """

    def __init__(
        self, clock: MemoryReactor, protocol: Any, uuid: str, version: int = 1
    ) -> None:
        super().__init__(clock, protocol)
        self.uuid = uuid
        # Protocol 0 numbers control and stream messages in one row.
        self._control, self._stream = (0, 0) if version else (1, 4)
        self._version = version

    def handshake(self, channel: int = 1) -> None:
        self.send(channel, 0, self.uuid.encode())

    def heartbeat(self) -> None:
        self.send(1, self._control)

    def terminate(self, code: int, reason: bytes = b"") -> None:
        self.send(1, self._control + 1, code, reason)

    def chunk(self, channel: int, data: bytes) -> None:
        self.send(channel, self._stream + WRITE, data)

    def close(self, channel: int) -> None:
        self.send(channel, self._stream + CLOSE)

    def error(self, channel: int, category: int, code: int, reason: bytes) -> None:
        head = [[category, code]] if self._version else [code]
        self.send(channel, self._stream + ERROR, *head, reason)
