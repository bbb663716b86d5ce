# -*- test-case-name: cocained.test.test_tools_bench_targets -*-
"""
A tiny blocking client, for what is done once: start an app, write a document.

The requests that are measured come from the native generator.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import msgpack

from cocained.errors import RemoteError
from cocained.tools.bench import frames
from cocained.tools.bench.errors import BenchError

#: A numeric address and a port.
Address = tuple[str, int]

#: Seconds without an answer after which a peer counts as stuck.
TIMEOUT = 60.0

#: No answer of a benchmark is larger.
ANSWER_LIMIT = 64 * 1024 * 1024


class Connection:
    """
    One connection to one service; one call at a time, or a pipeline.

    :param address: of the service.
    :param timeout: seconds that any single wait may last.
    :raises BenchError: nobody listens there.
    """

    def __init__(self, address: Address, timeout: float = TIMEOUT) -> None:
        self.address = address
        self._channel = 0
        self._unpacker = msgpack.Unpacker(
            raw=True, strict_map_key=False, max_buffer_size=ANSWER_LIMIT
        )
        try:
            self._socket = socket.create_connection(address, timeout)
        except OSError as error:
            raise BenchError(f"{address[0]}:{address[1]}: {error}") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def call(self, message: int, arguments: Sequence[Any] = ()) -> list[Any]:
        """
        Call a method that answers with one value.

        :returns: the flat list of results.
        :raises RemoteError: the service answered with an error.
        :raises BenchError: it did not answer, or not with a frame.
        """
        channel = self._send((message, arguments))
        while True:
            there, kind, answer = self._receive()
            if there == channel:
                return _value(kind, answer)

    def call_all(
        self, calls: Iterable[tuple[int, Sequence[Any]]], window: int
    ) -> list[list[Any]]:
        """
        Make many calls with several in flight.

        :param calls: message and arguments of each.
        :param window: how many may wait for their answer at a time.
        :returns: the results in the order of the calls.
        :raises RemoteError: the first error that was answered.
        """
        results: dict[int, list[Any]] = {}
        sent: list[int] = []
        for call in calls:
            while len(sent) - len(results) >= window:
                self._collect(results)
            sent.append(self._send(call))
        while len(results) < len(sent):
            self._collect(results)
        return [results[channel] for channel in sent]

    def stream(self, event: str, chunks: Iterable[bytes] = ()) -> list[bytes]:
        """
        Run one event through an app.

        :param event: its name.
        :param chunks: what to send before the close.
        :returns: the chunks of the answer.
        :raises RemoteError: the app, or who serves it, answered with an error.
        """
        channel = self._send((frames.ENQUEUE, [event]), chunks)
        answer: list[bytes] = []
        while True:
            there, kind, arguments = self._receive()
            if there != channel:
                continue
            if kind == frames.CLOSE:
                return answer
            answer += _value(kind, arguments)[:1]

    def open(self, message: int, arguments: Sequence[Any] = ()) -> int:
        """
        Begin a call that goes on by :meth:`write`; its answers are not read.

        :returns: its channel.
        """
        return self._send((message, arguments))

    def write(self, channel: int, message: int, arguments: Sequence[Any] = ()) -> None:
        """Send one more message on an open channel."""
        self._send_bytes(frames.frame(channel, message, arguments))

    def _send(
        self, call: tuple[int, Sequence[Any]], chunks: Iterable[bytes] | None = None
    ) -> int:
        self._channel += 1
        data = frames.frame(self._channel, *call)
        if chunks is not None:
            for chunk in chunks:
                data += frames.frame(self._channel, frames.WRITE, [chunk])
            data += frames.frame(self._channel, frames.CLOSE)
        self._send_bytes(data)
        return self._channel

    def _send_bytes(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise self._broken(error) from error

    def _collect(self, results: dict[int, list[Any]]) -> None:
        channel, kind, answer = self._receive()
        results[channel] = _value(kind, answer)

    def _receive(self) -> tuple[int, int, list[Any]]:
        """Give the next frame without its headers."""
        while True:
            try:
                for frame in self._unpacker:
                    return frame[0], frame[1], frame[2]
                data = self._socket.recv(256 * 1024)
                if not data:
                    raise BenchError(
                        f"{self.address[0]}:{self.address[1]} closed the connection"
                    )
                self._unpacker.feed(data)
            except (OSError, ValueError, TypeError, LookupError) as error:
                raise self._broken(error) from error

    def _broken(self, error: Exception) -> BenchError:
        return BenchError(f"{self.address[0]}:{self.address[1]}: {error!r}")


def _value(kind: int, arguments: list[Any]) -> list[Any]:
    """Give the results of an answer or raise the error that it is."""
    if kind != frames.ERROR:
        return arguments
    try:
        category, code = arguments[0]
        reason = arguments[1] if len(arguments) > 1 else b""
    except (LookupError, TypeError, ValueError) as error:
        raise BenchError(f"an error frame of the wrong shape: {arguments!r}") from error
    raise RemoteError(category, code, reason.decode(errors="replace"))


def resolve(locator: Address, name: str) -> Address:
    """
    Ask a locator where a service is (protocol.md §3.1).

    :raises RemoteError: it does not know it.
    """
    with Connection(locator) as connection:
        endpoints = connection.call(frames.RESOLVE, [name])[0]
    host, port = endpoints[0]
    return host.decode(), port


def wait_for(
    locator: Address, name: str, timeout: float, alive: Callable[[], bool]
) -> bool:
    """
    Poll a locator that may not listen yet until it knows *name*.

    :param timeout: seconds.
    :param alive: whether it is of any use to wait on.
    :returns: whether it did in time.
    """
    until = time.monotonic() + timeout
    while time.monotonic() < until and alive():
        try:
            resolve(locator, name)
        except (BenchError, RemoteError):
            # Fine enough for a start of some hundred milliseconds.
            time.sleep(0.002)
        else:
            return True
    return False
