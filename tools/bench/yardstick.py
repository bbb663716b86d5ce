# -*- test-case-name: cocained.test.test_tools_bench_targets -*-
"""
The yardstick: the least that a Twisted process can do to relay an app's calls.

It makes the same two hops as a node, client ⇄ TCP ⇄ relay ⇄ UNIX socket ⇄
worker, with one client table and one worker table, no limits, no faults, no
services.  It writes the same 61 bytes of trace headers into every frame as a
node does (protocol.md §18).  What a node costs more than this is the price of
being a node.

The bars of the benchmark are ratios to this program, so it must stay as plain
as it is: whoever makes it faster moves every bar.

::

    python -m cocained.tools.bench.yardstick SOCKET

prints one JSON line, ``{"port": N}``, when it listens on both sides.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, cast

import msgpack
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import (
    IReactorCore,
    IReactorTCP,
    IReactorUNIX,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure
from typing_extensions import override

from cocained.tools.bench.frames import TRACE_HEADERS

#: Larger than any frame that the benchmark sends.
FRAME_LIMIT = 64 * 1024 * 1024

#: A channel of the worker's connection belongs to this channel of this client.
WorkerTable = dict[int, tuple["ClientSide", int]]


class IYardstickReactor(IReactorCore, IReactorTCP, IReactorUNIX):
    """What the relay needs of a reactor."""


def pack_frame(channel: int, message: int, arguments: list[Any]) -> bytes:
    """
    Pack a frame as a node writes it: four elements, the trio of headers last.

    The fourth element is packed as nil and its one byte replaced, which is
    cheaper than to pack the headers anew each time.
    """
    return _pack((channel, message, arguments, None))[:-1] + TRACE_HEADERS


_pack: Callable[[Any], bytes] = msgpack.Packer(use_bin_type=False).pack


class Side(Protocol):
    """One peer: frames in, and output that is joined and written once a turn."""

    def __init__(self) -> None:
        self.unpacker = msgpack.Unpacker(raw=True, max_buffer_size=FRAME_LIMIT)
        self.output: list[bytes] = []

    def flush(self) -> None:
        """Write what this turn has collected, once there is a connection."""
        if self.transport is not None:
            output, self.output = self.output, []
            self.transport.write(b"".join(output))


class WorkerSide(Side):
    """The worker: knows to which client's channel each of its own belongs."""

    def __init__(self) -> None:
        super().__init__()
        self.table: WorkerTable = {}
        self.newest = 1

    @override
    def connectionMade(self) -> None:
        # Of requests that came before their worker.
        self.flush()

    @override
    def dataReceived(self, data: bytes) -> None:
        self.unpacker.feed(data)
        table = self.table
        clients = set()
        for frame in self.unpacker:
            channel, message = frame[0], frame[1]
            if channel == 1:
                if message == 0 and not frame[2]:
                    self.output.append(pack_frame(1, 0, []))
                continue
            client, back = table[channel]
            client.output.append(pack_frame(back, message, frame[2]))
            clients.add(client)
            if message:
                del table[channel]
        for client in clients:
            client.flush()
        if self.output:
            self.flush()


class ClientSide(Side):
    """
    One client's connection: knows its open channels.

    :param worker: the only worker there is.
    """

    def __init__(self, worker: WorkerSide) -> None:
        super().__init__()
        self.worker = worker
        self.channels: dict[int, int] = {}

    @override
    def connectionMade(self) -> None:
        cast(ITCPTransport, self.transport).setTcpNoDelay(True)

    @override
    def dataReceived(self, data: bytes) -> None:
        self.unpacker.feed(data)
        worker, channels = self.worker, self.channels
        for frame in self.unpacker:
            channel, message = frame[0], frame[1]
            there = channels.get(channel)
            if there is None:
                worker.newest = there = worker.newest + 1
                channels[channel] = there
                worker.table[there] = (self, channel)
            elif message:
                del channels[channel]
            worker.output.append(pack_frame(there, message, frame[2]))
        if worker.output:
            worker.flush()

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.channels.clear()


def listen(reactor: IYardstickReactor, path: str) -> int:
    """
    Listen on both sides.

    :param reactor: gives the sockets.
    :param path: of the UNIX socket for the worker.
    :returns: the TCP port for clients, on 127.0.0.1.
    """
    worker = WorkerSide()
    reactor.listenUNIX(path, Factory.forProtocol(lambda: worker))
    port = reactor.listenTCP(
        0,
        cast(ServerFactory, Factory.forProtocol(lambda: ClientSide(worker))),
        backlog=1024,
        interface="127.0.0.1",
    )
    return cast(IPv4Address, port.getHost()).port


def main(arguments: list[str]) -> None:
    """Relay until a signal ends this process."""
    from twisted.internet import reactor

    running = cast(IYardstickReactor, reactor)
    port = listen(running, arguments[0])
    sys.stdout.write(json.dumps({"port": port}) + "\n")
    sys.stdout.flush()
    running.run()


if __name__ == "__main__":
    main(sys.argv[1:])
