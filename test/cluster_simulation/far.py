# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
The end of a connection at which a node tells what it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cocained.errors import CocainedError
from cocained.rpc.pressure import Pressure
from cocained.rpc.roles import Receiver

if TYPE_CHECKING:
    from cocained.test.cluster_simulation.wires import Wire

#: Where each remote listens: the first channel of its connection.
CHANNEL = 1

RESET = CocainedError("connection reset by peer")
ENDED = CocainedError("end of file")
GIVEN_UP = CocainedError("the connection has timed out")


class Far(Pressure):
    """
    The end of who tells; what :class:`~cocained.links.stream.Stream` knows of a
    session.

    :param wire: the connection.
    """

    __slots__ = ("_unread", "channels", "dropped", "wire")

    def __init__(self, wire: Wire) -> None:
        super().__init__(self)
        self.wire = wire
        self._unread = 0
        self.channels: dict[int, Receiver] = {}
        self.dropped = 0

    # Link, for the pressure: what a session tells its connection

    def write(self, data: bytes) -> None:
        self.send(data)

    def pause(self) -> None:
        """Nothing comes from who listens but pings."""

    def resume(self) -> None:
        """The same."""

    def close(self) -> None:
        self.hang_up(ENDED)

    def untaken(self) -> int:
        return self._unread

    # Session, for the stream

    def send(self, data: bytes) -> None:
        """Send a frame."""
        if self._link is None:
            return
        network = self.wire.listener.network
        network.traffic.tidings += 1
        network.traffic.tiding_bytes += len(data)
        self._unread += len(data)
        self.wire.send_back(self.wire.told, data)
        if self._unread > network.capacity and not self.congested:
            self.congest()
            teller = self.wire.teller
            assert teller is not None  # it speaks
            teller.clock.callLater(network.patience, self._stalled, self.pauses)

    def hang_up(self, error: CocainedError) -> None:
        """End the connection."""
        if self._link is not None:
            wire = self.wire
            self.lose(error)
            wire.far_died()

    # For the wire

    @property
    def is_whole(self) -> bool:
        """Whether what is said is sent at once."""
        return self._link is not None and not self.congested and bool(self.channels)

    def taken(self, size: int) -> None:
        """So many bytes have been read."""
        self._unread -= size
        if self.congested and self._unread <= 0:
            self.drained()

    def _stalled(self, pauses: int) -> None:
        if self.congested and self.pauses == pauses:
            self.hang_up(GIVEN_UP)

    def process_died(self) -> None:
        """The process is gone; its kernel says so."""
        if self._link is not None:
            self._link = None
            self.wire.far_died()

    def lose(self, error: CocainedError) -> None:
        """The connection is gone."""
        if self._link is None:
            return
        self._link = None
        wire = self.wire
        assert wire.teller is not None  # as above
        wire.far = None
        wire.teller.fars.pop(self, None)
        self.drained()
        channels, self.channels = self.channels, {}
        for receiver in channels.values():
            receiver.discard(error)
