# -*- test-case-name: tests.test_stream -*-
"""
Tests for `cocaine.detail.stream` and `cocaine.detail.connect`.
"""

from __future__ import annotations

import socket
import unittest

from cocaine.detail import stream as module
from cocaine.detail.connect import address_of, connect
from cocaine.detail.future import Future
from cocaine.detail.loop import Loop
from cocaine.detail.stream import Stream
from cocaine.exceptions import OverrunError, ProtocolError

from .support import FolderTestCase, failure_of


class Peer:
    """A peer that remembers, and may answer or fail."""

    def __init__(self, loop):
        self.loop = loop
        self.received = b""
        self.reason = None
        self.error = None
        self.on_data = lambda data: None
        self.waiting = Future(loop)

    def wake(self):
        waiting, self.waiting = self.waiting, Future(self.loop)
        waiting.set_result(None)

    def receive(self, data):
        if self.error is not None:
            raise self.error
        self.received += data
        self.on_data(data)
        self.wake()

    def lost(self, reason):
        self.reason = reason
        self.wake()

    def wait(self):
        self.waiting.get(timeout=20)


class StreamTests(unittest.TestCase):
    """Both ends of a socket pair."""

    def setUp(self):
        self.loop = Loop()
        self.addCleanup(self.loop.close)
        mine, self.other = socket.socketpair()
        mine.setblocking(False)
        self.other.settimeout(20)
        self.addCleanup(self.other.close)
        self.stream = Stream(self.loop, mine)
        self.addCleanup(self.stream.close)
        self.peer = Peer(self.loop)
        self.stream.start(self.peer)

    def turn(self):
        done = Future(self.loop)
        self.loop.call_soon(self.loop.call_soon, done.set_result, None)
        done.get()

    def test_receive(self):
        """What arrives reaches the peer."""
        self.other.send(b"hello")
        self.peer.wait()
        self.assertEqual(self.peer.received, b"hello")

    def test_one_segment_per_turn(self):
        """Writes of a turn leave together, and not before its end."""
        self.stream.write(b"a")
        self.stream.write(b"b")
        self.assertEqual(self.stream._unsent, 2)
        self.turn()
        self.assertEqual(self.other.recv(9), b"ab")

    def test_answers_leave_with_the_input(self):
        """What the peer writes on receiving is sent without another turn."""
        self.peer.on_data = self.stream.write
        self.other.send(b"x")
        self.peer.wait()
        self.other.setblocking(False)
        self.assertEqual(self.other.recv(9), b"x")

    def test_long_output(self):
        """More than the socket takes is sent as it drains, in order."""
        block = bytes(range(256)) * 16384
        self.stream.write(block)
        self.turn()
        self.stream.write(b"tail")
        self.assertGreater(self.stream._unsent, 0)
        drained = self.stream.drained()
        self.assertFalse(drained.done())
        received = bytearray()
        while len(received) < len(block) + 4:
            self.turn()
            self.other.setblocking(False)
            try:
                received += self.other.recv(1 << 20)
            except BlockingIOError:
                pass
        self.assertEqual(bytes(received), block + b"tail")
        self.assertTrue(drained.done())
        self.assertEqual(self.stream._unsent, 0)

    def test_not_waiting(self):
        """A little output does not ask to wait."""
        self.stream.write(b"x")
        self.assertTrue(self.stream.drained().done())

    def test_overrun(self):
        """A writer that never waits is stopped."""
        block = bytes(1 << 20)
        for _ in range(module.MAX_UNSENT // len(block)):
            self.stream.write(block)
        self.stream.check_room()
        self.stream.write(b"x")
        with self.assertRaises(OverrunError):
            self.stream.check_room()

    def test_end(self):
        """The other side's end is told once, with the reason."""
        self.other.close()
        self.peer.wait()
        self.assertIn("closed the connection", self.peer.reason)

    def test_waiters_at_the_end(self):
        """Who waits for room is released."""
        self.stream.write(bytes(4 << 20))
        self.turn()
        drained = self.stream.drained()
        self.assertFalse(drained.done())
        self.other.close()
        while self.peer.reason is None:
            self.turn()
        self.assertTrue(drained.done())

    def test_protocol_error(self):
        """A peer that refuses the bytes loses the connection."""
        self.peer.error = ProtocolError("no frame")
        self.other.send(b"x")
        self.peer.wait()
        self.assertEqual(self.peer.reason, "protocol violated: no frame")
        self.assertEqual(self.other.recv(9), b"")

    def test_close(self):
        """Closing by this side is silent and final."""
        self.stream.close()
        self.stream.close()
        self.stream.write(b"x")
        self.assertTrue(self.stream.drained().done())
        self.assertEqual(self.other.recv(9), b"")
        self.assertIsNone(self.peer.reason)

    def test_close_within_receive(self):
        """A peer may close while it is given data."""
        self.peer.on_data = lambda data: (self.stream.write(b"x"), self.stream.close())
        self.other.send(b"x")
        self.peer.wait()
        self.assertEqual(self.other.recv(9), b"")

    def test_finish(self):
        """Finishing sends what is left."""
        self.stream.write(b"last words")
        self.stream.finish(1)
        self.assertEqual(self.other.recv(99), b"last words")
        self.assertEqual(self.other.recv(9), b"")

    def test_finish_without_reader(self):
        """But not for ever."""
        self.stream.write(bytes(8 << 20))
        self.stream.finish(0.05)
        self.assertIsNone(self.stream._sock)


class ConnectTests(FolderTestCase):
    """Addresses and connecting."""

    def setUp(self):
        super().setUp()
        self.loop = Loop()
        self.addCleanup(self.loop.close)

    def test_tcp(self):
        """A connected socket has no-delay and keep-alive set."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            future = connect(self.loop, [b"127.0.0.1", listener.getsockname()[1]])
            with future.get(timeout=20) as sock:
                self.assertTrue(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                self.assertTrue(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
                self.assertFalse(sock.getblocking())

    def test_unix(self):
        """A path is a UNIX socket."""
        path = f"{self.folder}/s"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            connect(self.loop, path).get(timeout=20).close()

    def test_refused(self):
        """A refusal is an OSError."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = listener.getsockname()
        with self.assertRaises(OSError):
            connect(self.loop, address).get(timeout=20)

    def test_timeout(self):
        """An address that does not answer is given up, its socket closed."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            address = listener.getsockname()
            futures = [connect(self.loop, address, 0.05) for _ in range(8)]
            outcomes = []
            for future in futures:
                try:
                    future.get(timeout=20).close()
                except TimeoutError:
                    outcomes.append("timeout")
            self.assertIn("timeout", outcomes)
            self.assertEqual(dict(self.loop._selector.get_map()), {})

    def test_cancel(self):
        """A cancelled attempt leaves no socket watched."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            future = connect(self.loop, listener.getsockname())
            if not future.done():
                future.cancel()
                self.assertEqual(dict(self.loop._selector.get_map()), {})
            else:
                future.result().close()

    def test_addresses(self):
        """Numeric ones need no lookup; bytes are as good as text."""
        self.assertEqual(
            address_of([b"127.0.0.1", 5]), (socket.AF_INET, ("127.0.0.1", 5))
        )
        self.assertEqual(address_of(("::1", 5)), (socket.AF_INET6, ("::1", 5)))
        self.assertEqual(address_of(b"/run/x"), (socket.AF_UNIX, "/run/x"))
        # As locators behind walls have it.
        self.assertEqual(address_of([b"/run/x", 0]), (socket.AF_UNIX, "/run/x"))

    def test_name(self):
        """A name is looked up."""
        family, address = address_of(("localhost", 5))
        self.assertIn(address[0], ("127.0.0.1", "::1"))
        self.assertIn(family, (socket.AF_INET, socket.AF_INET6))

    def test_nonsense(self):
        """Anything else is a ValueError, as a failed future when connecting."""
        for endpoint in (5, [], ["x"], ["x", "y"], ["127.0.0.1", 0], ["::1", 65536]):
            with self.subTest(endpoint), self.assertRaises(ValueError):
                address_of(endpoint)
        self.assertIsInstance(failure_of(connect(self.loop, [])), ValueError)
