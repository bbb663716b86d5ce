# -*- test-case-name: cocained.test.live.test_faults_workers -*-
"""
Requests in great number over a few connections, each of them in the ledger.

One thread and one selector: the client takes as little as it can of a machine
that the node and its workers need as well.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import selectors
import socket
import time
from collections.abc import Callable
from typing import Any

import msgpack

from cocained.test.live.ledger import Ledger
from cocained.test.live.support import CLOSE, ERROR, LOOPBACK, VALUE, pack

#: Bytes of one read.
CHUNK = 1 << 18

#: Seconds of one look at the sockets; between two of them a run is looked after.
LOOK = 0.02

#: Tells the tokens of all runs of this process apart.
_numbers = itertools.count(1)


def new_token() -> bytes:
    """Give a text that no other request has had."""
    return b"t%d-%d" % (os.getpid(), next(_numbers))


def timeout_header(seconds: float) -> list[Any]:
    """Make the header that limits one event."""
    milliseconds = int(seconds * 1000).to_bytes(8, "little")
    return [False, b"request_timeout", milliseconds]


class Connection:
    """
    One connection with its requests.

    :param load: whose it is.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self.socket = load.dial()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.open: dict[int, bytes] = {}
        self._ended: dict[int, bytes] = {}
        self._channel = 0
        self._out = bytearray()
        self._unpacker = msgpack.Unpacker(
            raw=True, strict_map_key=False, max_buffer_size=1 << 28
        )

    def ask(self) -> None:
        """Send one more request."""
        load = self._load
        self._channel += 1
        channel, token = self._channel, new_token()
        headers = [] if load.timeout is None else [timeout_header(load.timeout)]
        for frame in (
            [channel, 0, [load.event()], headers],
            [channel, VALUE, [token]],
            [channel, CLOSE, []],
        ):
            self._out += pack(frame)
        self.open[channel] = token
        load.ledger.opened(token, load.timeout)

    def write(self) -> None:
        """Send what the socket takes."""
        if self._out:
            with contextlib.suppress(BlockingIOError):
                sent = self.socket.send(self._out)
                del self._out[:sent]

    @property
    def is_full(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._out)

    def read(self) -> bool:
        """Take what has come; says whether the connection lives."""
        try:
            data = self.socket.recv(CHUNK)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        self._unpacker.feed(data)
        for frame in self._unpacker:
            self._take(*frame[:3])
        return bool(data)

    def _take(self, channel: int, kind: int, values: list[Any]) -> None:
        ledger = self._load.ledger
        token = self.open.get(channel) or self._ended.get(channel)
        if token is None:
            ledger.stray(f"[{channel}, {kind}, {values!r:.60}]")
        elif kind == VALUE:
            ledger.chunk(token, values[0])
        else:
            self._ended[channel] = token
            self.open.pop(channel, None)
            if kind == CLOSE:
                ledger.replied(token)
            elif kind == ERROR:
                ledger.failed(token, *values[0])
            else:
                ledger.stray(f"message {kind} for {token!r}")

    def lose(self) -> None:
        """The connection is gone: so are the answers to its requests."""
        self.socket.close()
        for token in self.open.values():
            self._load.ledger.lost(token)
        self.open.clear()


class Load:
    """
    Keeps a number of requests in flight.

    :param port: of the app's service.
    :param ledger: where they are put down.
    :param width: connections.
    :param depth: requests in flight on each of them.
    :param event: gives the name of the next event.
    :param timeout: seconds that each request may take, ``None`` for no header.
    """

    def __init__(
        self,
        port: int,
        ledger: Ledger,
        width: int = 4,
        depth: int = 8,
        event: Callable[[], str] = lambda: "echo",
        timeout: float | None = None,
    ) -> None:
        self.port = port
        self.ledger = ledger
        self.event = event
        self.timeout = timeout
        self._depth = depth
        self._selector = selectors.DefaultSelector()
        self.connections = [self._connect() for _ in range(width)]

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def dial(self) -> socket.socket:
        """
        Connect to the service.

        :raises OSError: it cannot be reached.
        """
        return socket.create_connection((LOOPBACK, self.port), 10)

    def _make(self) -> Connection:
        return Connection(self)

    def _connect(self) -> Connection:
        connection = self._make()
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)
        return connection

    def _fill(self) -> None:
        for connection in self.connections:
            while len(connection.open) < self._depth:
                connection.ask()

    def turn(self) -> None:
        """Send and receive what there is."""
        for connection in self.connections:
            events = selectors.EVENT_READ
            with contextlib.suppress(ConnectionError):
                connection.write()
            if connection.is_full:
                events |= selectors.EVENT_WRITE
            self._selector.modify(connection.socket, events, connection)
        for key, events in self._selector.select(LOOK):
            if events & selectors.EVENT_READ and not key.data.read():
                self._drop(key.data)

    def _drop(self, connection: Connection) -> None:
        self._selector.unregister(connection.socket)
        self.connections.remove(connection)
        connection.lose()

    def run(self, seconds: float, tick: Callable[[], bool] = lambda: True) -> None:
        """
        Ask for so long, or until no connection is left.

        :param tick: called now and then; ends the run when it gives ``False``.
        """
        until = time.monotonic() + seconds
        while self.connections and time.monotonic() < until and tick():
            self._fill()
            self.turn()

    def finish(self, timeout: float) -> None:
        """
        Ask no more, and wait until all requests have ended.

        :param timeout: seconds after which the rest is left as it is.
        """
        until = time.monotonic() + timeout
        while self.is_waiting and time.monotonic() < until:
            self.turn()

    @property
    def is_waiting(self) -> bool:
        """Whether a request has not ended."""
        return any(connection.open for connection in self.connections)

    def close(self) -> None:
        """Hang up; what is still open then stays open in the ledger."""
        for connection in self.connections:
            connection.socket.close()
        self._selector.close()
