# -*- test-case-name: cocained.test.test_tools_bench_targets -*-
"""
The benchmark's yardstick and its blocking client.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import msgpack
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.testing import (
    MemoryReactor,
    StringTransport,
    StringTransportWithDisconnection,
)
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import RemoteError
from cocained.tools.bench import frames, subject
from cocained.tools.bench.client import Address, Connection, resolve, wait_for
from cocained.tools.bench.errors import BenchError
from cocained.tools.bench.yardstick import (
    ClientSide,
    WorkerSide,
    listen,
    pack_frame,
)

T0 = msgpack.unpackb(frames.TRACE_HEADERS, raw=True)


def unpacked(data: bytes) -> list[list[object]]:
    """Unpack all frames in *data*."""
    unpacker = msgpack.Unpacker(raw=True)
    unpacker.feed(data)
    return list(unpacker)


class TcpTransport(StringTransport):
    """A transport that knows of Nagle's algorithm."""

    delays = True

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802
        self.delays = not enabled


class PackTests(SynchronousTestCase):
    """Frames as a node writes them."""

    def test_worked_example(self) -> None:
        """The invoke of protocol.md §18.5, byte for byte."""
        self.assertEqual(
            pack_frame(2, 0, [b"ping"]),
            b"\x94\x02\x00\x91\xa4ping" + frames.TRACE_HEADERS,
        )

    @given(
        st.integers(1, 2**64 - 1),
        st.integers(0, 2),
        st.lists(st.binary(max_size=300) | st.integers(-9, 9), max_size=4),
    )
    def test_four_elements(
        self, channel: int, message: int, arguments: list[object]
    ) -> None:
        """The trio is the fourth element, whatever the others are."""
        self.assertEqual(
            unpacked(pack_frame(channel, message, arguments)),
            [[channel, message, arguments, T0]],
        )


class RelayTests(SynchronousTestCase):
    """One worker and its clients, in memory."""

    def setUp(self) -> None:
        """Connect a worker and a client."""
        self.worker = WorkerSide()
        self.worker_end = StringTransport()
        self.worker.makeConnection(self.worker_end)
        self.client, self.client_end = self.connect()

    def connect(self) -> tuple[ClientSide, TcpTransport]:
        """Connect a client."""
        client, end = ClientSide(self.worker), TcpTransport()
        client.makeConnection(end)
        return client, end

    def seen(self, end: StringTransport) -> list[list[object]]:
        """Take what one side has got, without the headers."""
        data = end.value()
        end.clear()
        self.assertTrue(all(frame[3] == T0 for frame in unpacked(data)))
        return [frame[:3] for frame in unpacked(data)]

    def test_no_delay(self) -> None:
        """Clients' sockets do not wait for more."""
        self.assertFalse(self.client_end.delays)

    def test_there(self) -> None:
        """A call gets a channel of the worker's connection, from 2 on."""
        self.client.dataReceived(
            frames.frame(7, 0, ["echo"])
            + frames.frame(7, 0, ["x"])
            + frames.frame(7, 2)
            + frames.frame(9, 0, ["echo"])
        )
        self.assertEqual(
            self.seen(self.worker_end),
            [[2, 0, [b"echo"]], [2, 0, [b"x"]], [2, 2, []], [3, 0, [b"echo"]]],
        )

    def test_back(self) -> None:
        """Answers go to the client's own channel."""
        self.client.dataReceived(frames.frame(7, 0, ["echo"]))
        self.worker.dataReceived(frames.frame(2, 0, ["x"]) + frames.frame(2, 2))
        self.assertEqual(self.seen(self.client_end), [[7, 0, [b"x"]], [7, 2, []]])

    def test_two_clients(self) -> None:
        """Clients with equal channel numbers are kept apart."""
        other, other_end = self.connect()
        self.client.dataReceived(frames.frame(1, 0, ["echo"]))
        other.dataReceived(frames.frame(1, 0, ["echo"]))
        self.worker.dataReceived(
            frames.frame(3, 0, ["theirs"]) + frames.frame(2, 0, ["ours"])
        )
        self.assertEqual(self.seen(self.client_end), [[1, 0, [b"ours"]]])
        self.assertEqual(self.seen(other_end), [[1, 0, [b"theirs"]]])

    def test_tables_empty_again(self) -> None:
        """A call that has ended on both sides leaves nothing."""
        self.client.dataReceived(frames.frame(1, 0, ["echo"]) + frames.frame(1, 2))
        self.worker.dataReceived(frames.frame(2, 2))
        self.assertEqual((self.client.channels, self.worker.table), ({}, {}))

    def test_one_write_a_turn(self) -> None:
        """What one turn yields is written at once."""
        writes: list[bytes] = []
        self.worker_end.write = writes.append  # type: ignore[method-assign]
        self.client.dataReceived(
            b"".join(frames.frame(channel, 0, ["e"]) for channel in range(1, 65))
        )
        self.assertEqual(len(writes), 1)
        self.assertEqual(len(unpacked(writes[0])), 64)

    def test_fragments(self) -> None:
        """Bytes may come in any pieces."""
        for byte in frames.frame(1, 0, ["echo"]) + frames.frame(1, 0, ["x" * 40]):
            self.client.dataReceived(bytes([byte]))
        self.assertEqual(
            self.seen(self.worker_end), [[2, 0, [b"echo"]], [2, 0, [b"x" * 40]]]
        )

    def test_heartbeat(self) -> None:
        """A heartbeat is answered, a handshake is not (protocol.md §8.4)."""
        self.worker.dataReceived(frames.frame(1, 0, ["uuid"]) + frames.frame(1, 0))
        self.assertEqual(self.seen(self.worker_end), [[1, 0, []]])

    def test_worker_comes_later(self) -> None:
        """Calls wait for the worker."""
        worker = WorkerSide()
        client = ClientSide(worker)
        client.makeConnection(TcpTransport())
        client.dataReceived(frames.frame(1, 0, ["echo"]))
        end = StringTransport()
        worker.makeConnection(end)
        self.assertEqual(self.seen(end), [[2, 0, [b"echo"]]])

    def test_client_goes(self) -> None:
        """What comes for a client that has gone is dropped."""
        client = ClientSide(self.worker)
        end = StringTransportWithDisconnection()
        end.protocol = client
        end.setTcpNoDelay = lambda enabled: None  # type: ignore[attr-defined]
        client.makeConnection(end)
        client.dataReceived(frames.frame(1, 0, ["echo"]))
        end.loseConnection()
        self.worker.dataReceived(frames.frame(2, 2))
        self.assertEqual((client.channels, self.worker.table), ({}, {}))


class ListenTests(SynchronousTestCase):
    """The yardstick's two ports."""

    def test_both_sides(self) -> None:
        """It listens for a worker on the path, for clients on loopback."""
        reactor = MemoryReactor()
        port = listen(reactor, "/somewhere/s")  # type: ignore[arg-type]
        ((_, factory, _, interface),) = reactor.tcpServers
        ((path, workers, *_),) = reactor.unixServers
        self.assertEqual((path, interface, port), ("/somewhere/s", "127.0.0.1", 0))
        nobody = IPv4Address("TCP", "127.0.0.1", 1)
        worker = workers.buildProtocol(nobody)
        client: Any = factory.buildProtocol(nobody)
        self.assertIs(client.worker, worker)


class ClientTests(SynchronousTestCase):
    """
    The blocking client, with a peer whose answers are in its socket already.
    """

    def setUp(self) -> None:
        """Listen on loopback; the system picks the port."""
        self.server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.server.close)
        self.address: Address = ("127.0.0.1", self.server.getsockname()[1])

    def connect(self, answers: bytes, timeout: float = 10) -> Connection:
        """Connect to a peer that has said all it will say."""
        connection = Connection(self.address, timeout)
        self.addCleanup(connection._socket.close)
        self.peer, _ = self.server.accept()
        self.addCleanup(self.peer.close)
        self.peer.sendall(answers)
        self.peer.shutdown(socket.SHUT_WR)
        return connection

    def asked(self) -> list[list[object]]:
        """Take what the client has sent."""
        return unpacked(self.peer.recv(65536))

    def test_call(self) -> None:
        """A call gives the results, headers left out."""
        connection = self.connect(pack_frame(1, 0, [b"a", 2]))
        self.assertEqual(connection.call(5, ["x"]), [b"a", 2])
        self.assertEqual(self.asked(), [[1, 5, [b"x"]]])

    def test_error(self) -> None:
        """An error is raised with its category, code and text."""
        connection = self.connect(pack_frame(1, 1, [[10, 1], b"no"]))
        error = self.assertRaises(RemoteError, connection.call, 0)
        self.assertEqual((error.category, error.code, error.reason), (10, 1, "no"))

    def test_error_without_text(self) -> None:
        """The text of an error is optional (protocol.md §2.2)."""
        connection = self.connect(pack_frame(1, 1, [[12, 22]]))
        error = self.assertRaises(RemoteError, connection.call, 0)
        self.assertEqual((error.code, error.reason), (22, ""))

    def test_strange_error(self) -> None:
        """An error of another shape is not taken for one."""
        for arguments in ([], [5], [[1]]):
            connection = self.connect(pack_frame(1, 1, arguments))
            error = self.assertRaises(BenchError, connection.call, 0)
            self.assertIn("wrong shape", str(error))

    def test_all(self) -> None:
        """Results of a pipeline are in the order of the calls."""
        connection = self.connect(
            b"".join(pack_frame(channel, 0, [channel]) for channel in (2, 1, 3))
        )
        self.assertEqual(
            connection.call_all([(0, ["x"])] * 3, window=2), [[1], [2], [3]]
        )
        self.assertEqual([frame[0] for frame in self.asked()], [1, 2, 3])

    def test_stream(self) -> None:
        """A stream gives the chunks up to the close."""
        connection = self.connect(
            pack_frame(1, 0, [b"a"]) + pack_frame(1, 0, [b"b"]) + pack_frame(1, 2, [])
        )
        self.assertEqual(connection.stream("e", [b"x", b"y"]), [b"a", b"b"])
        self.assertEqual(
            self.asked(),
            [[1, 0, [b"e"]], [1, 0, [b"x"]], [1, 0, [b"y"]], [1, 2, []]],
        )

    def test_stream_error(self) -> None:
        """A stream that ends with an error raises it."""
        connection = self.connect(pack_frame(1, 1, [[42, 200], b"no event"]))
        error = self.assertRaises(RemoteError, connection.stream, "e")
        self.assertEqual(error.category, 42)

    def test_closed(self) -> None:
        """A peer that closes instead is named."""
        connection = self.connect(b"")
        error = self.assertRaises(BenchError, connection.call, 0)
        self.assertIn(f":{self.address[1]} closed the connection", str(error))

    def test_no_frame(self) -> None:
        """Bytes that are no frame are an error, not a crash."""
        for data in (b"\xc1", b"\x05", b"\x91\x01"):
            connection = self.connect(data)
            self.assertRaises(BenchError, connection.call, 0)

    def test_silence(self) -> None:
        """Silence has an end."""
        connection = Connection(self.address, 0.01)
        self.addCleanup(connection._socket.close)
        error = self.assertRaises(BenchError, connection.call, 0)
        self.assertIn("Timeout", str(error))

    def test_refused(self) -> None:
        """No listener is a clear error."""
        self.server.close()
        error = self.assertRaises(BenchError, Connection, self.address)
        self.assertIn("Connection refused", str(error))


class LocatorTests(SynchronousTestCase):
    """Asking a locator; nobody listens in these tests."""

    def setUp(self) -> None:
        """Find a port without a listener."""
        (port,) = subject.free_ports(1)
        self.address: Address = ("127.0.0.1", port)

    def test_nobody(self) -> None:
        """Resolving without a locator is a clear error."""
        self.assertRaises(BenchError, resolve, self.address, "x")

    def wait(self, timeout: float, alive: Callable[[], bool]) -> bool:
        """Wait for a service."""
        return wait_for(self.address, "x", timeout, alive)

    def test_in_vain(self) -> None:
        """Waiting has an end."""
        self.assertFalse(self.wait(0.01, lambda: True))

    def test_dead(self) -> None:
        """Nobody waits for a process that has ended."""
        answers = iter([True, False])
        self.assertFalse(self.wait(1000, lambda: next(answers)))
