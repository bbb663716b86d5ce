# -*- test-case-name: tests.test_machine -*-
"""
Tests for `cocaine.detail.machine`, by the worked frames of protocol.md 18.
"""

from __future__ import annotations

import unittest

from cocaine.detail.machine import WorkerMachine
from cocaine.exceptions import ProtocolError

from .support import HANDSHAKE, UUID, FakeStream, pack, raw


class Log:
    """An owner, and the input of every invocation, that writes a log."""

    def __init__(self):
        self.log = []
        self.accepting = True

    def invoked(self, channel, event, headers):
        self.log.append(("invoke", channel, event))
        return Input(self, channel) if self.accepting else None

    def heartbeat_answered(self):
        self.log.append(("heartbeat",))

    def terminated(self, code, reason):
        self.log.append(("terminate", code, reason))

    def lost(self, reason):
        self.log.append(("lost", reason))


class Input:
    """One invocation's input."""

    def __init__(self, owner, channel):
        self.owner = owner
        self.channel = channel

    def _push(self, data, headers):
        self.owner.log.append(("chunk", self.channel, data))

    def _choke(self):
        self.owner.log.append(("close", self.channel))

    def _fail(self, category, code, reason):
        self.owner.log.append(("error", self.channel, category, code, reason))


class MachineTestCase(unittest.TestCase):
    """A machine of one protocol."""

    protocol = 1

    def setUp(self):
        self.owner = Log()
        self.machine = WorkerMachine(UUID, self.protocol, self.owner)
        self.stream = self.machine.stream = FakeStream()

    def receive(self, text):
        self.machine.receive(raw(text))
        log, self.owner.log = self.owner.log, []
        return log


class Protocol1Tests(MachineTestCase):
    """The protocol of 0.12.3 and later (18.5, 18.6)."""

    def test_hello(self):
        """Handshake and heartbeat are 47 bytes."""
        self.assertEqual(self.machine.hello(), raw(HANDSHAKE + "93 01 00 90"))
        self.assertEqual(len(self.machine.hello()), 47)

    def test_heartbeat_reply(self):
        """The reply to a heartbeat looks like one."""
        self.assertEqual(self.receive("94 01 00 90 {T0}"), [("heartbeat",)])

    def test_heartbeat_reply_without_headers(self):
        """A frame of three elements is as good."""
        self.assertEqual(self.receive("93 01 00 90"), [("heartbeat",)])

    def test_invocation(self):
        """An invocation, two chunks and a close arrive in order."""
        self.assertEqual(
            self.receive(
                "94 02 00 91 a4 70 69 6e 67 {T0}"
                "94 02 00 91 a7 48 65 6c 6c 6f 2c 20 {T0}"
                "94 02 00 91 a5 77 6f 72 6c 64 {T0}"
                "94 02 02 90 {T0}"
            ),
            [
                ("invoke", 2, b"ping"),
                ("chunk", 2, b"Hello, "),
                ("chunk", 2, b"world"),
                ("close", 2),
            ],
        )

    def test_any_fragmentation(self):
        """Bytes that come one by one give the same."""
        for byte in raw("94 02 00 91 a4 70 69 6e 67 {T0} 94 02 02 90 {T0}"):
            self.machine.receive(bytes([byte]))
        self.assertEqual(self.owner.log, [("invoke", 2, b"ping"), ("close", 2)])

    def test_compressed_headers(self):
        """The bare indexes that 0.12.3 sends are read."""
        trace = (
            "93 cf 00 00 00 00 00 00 00 50 cf 00 00 00 00 00 00 00 51"
            "cf 00 00 00 00 00 00 00 52"
        )
        self.assertEqual(
            self.receive("94 02 00 91 a4 70 69 6e 67" + trace),
            [("invoke", 2, b"ping")],
        )

    def test_client_error(self):
        """A pair of category and code, and the text."""
        self.receive("93 02 00 91 a1 78")
        self.machine.receive(pack(2, 1, [[5, 2], "End of file"], []))
        self.assertEqual(self.owner.log, [("error", 2, 5, 2, "End of file")])

    def test_after_the_end(self):
        """Messages of a finished channel are dropped."""
        self.receive("93 02 00 91 a1 78 93 02 02 90")
        self.assertEqual(self.receive("93 02 00 91 a1 79 93 02 02 90"), [])

    def test_refused_invocation(self):
        """Chunks of an invocation nobody took are dropped."""
        self.owner.accepting = False
        log = self.receive("93 02 00 91 a1 78 93 02 00 91 a1 79 93 02 02 90")
        self.assertEqual(log, [("invoke", 2, b"x")])

    def test_old_channel(self):
        """A channel below the newest is not an invocation."""
        self.receive("93 05 00 91 a1 78")
        self.assertEqual(self.receive("93 04 00 91 a1 78"), [])

    def test_unknown_type_on_new_channel(self):
        """Only message 0 opens a channel."""
        self.assertEqual(self.receive("93 02 02 90"), [])

    def test_terminate(self):
        """The code is a bare integer."""
        self.assertEqual(
            self.receive(
                "94 01 01 92 0e b0 73 6c 61 76 65 20 69 73 20 73 65 61 6c 69 6e 67 {T0}"
            ),
            [("terminate", 14, b"slave is sealing")],
        )

    def test_terminate_answer(self):
        """The answer is the same frame without headers."""
        self.assertEqual(
            self.machine.terminate(14, b"slave is sealing"),
            raw("93 01 01 92 0e b0 73 6c 61 76 65 20 69 73 20 73 65 61 6c 69 6e 67"),
        )

    def test_write_and_close(self):
        """The answers of 18.5."""
        self.machine.write(2, b"pong")
        self.machine.close(2)
        self.assertEqual(
            self.stream.data, raw("93 02 00 91 a4 70 6f 6e 67 93 02 02 90")
        )

    def test_error(self):
        """An error carries the category."""
        self.machine.error(3, 42, 100, "ZeroDivisionError")
        self.assertEqual(
            self.stream.data,
            raw(
                "93 03 01 92 92 2a 64 b1 5a 65 72 6f 44 69 76 69 73 69 6f 6e 45 72"
                "72 6f 72"
            ),
        )

    def test_long_strings_are_raw16(self):
        """Never str8, never bin: an old runtime reads neither."""
        self.machine.write(2, b"x" * 40)
        self.machine.write(2, "y" * 40)
        self.assertEqual(self.stream.data[:7], raw("93 02 00 91 da 00 28"))
        self.assertNotIn(b"\xd9", self.stream.data)
        self.assertNotIn(b"\xc4", self.stream.data)

    def test_new_string_family(self):
        """Bin and str8 are read, whoever sends them."""
        self.assertEqual(
            self.receive("93 02 00 91 d9 01 78 93 02 00 91 c4 01 79"),
            [("invoke", 2, b"x"), ("chunk", 2, b"y")],
        )

    def test_garbage(self):
        """Bytes that are no frame are a protocol error."""
        for text in ("c1", "01", "90", "92 01 00", "93 02 00 90", "93 90 00 90"):
            with self.subTest(text):
                self.setUp()
                with self.assertRaises(ProtocolError):
                    self.machine.receive(raw(text))

    def test_bad_header(self):
        """A header index beyond the table is a protocol error."""
        with self.assertRaises(ProtocolError) as caught:
            self.machine.receive(raw("94 02 00 91 a1 78 91 00"))
        self.assertIn("header index 0", str(caught.exception))

    def test_lost(self):
        """The end of the connection reaches the owner."""
        self.machine.lost("gone")
        self.assertEqual(self.owner.log, [("lost", "gone")])


class Protocol0Tests(MachineTestCase):
    """The protocol of 0.12.0 (8.3)."""

    protocol = 0

    def test_hello(self):
        """The heartbeat is message 1."""
        self.assertEqual(self.machine.hello(), raw(HANDSHAKE + "93 01 01 90"))

    def test_heartbeat(self):
        """So is the engine's."""
        self.assertEqual(self.receive("93 01 01 90"), [("heartbeat",)])

    def test_first_session_shares_channel_1(self):
        """Control and the first session are told apart by the message."""
        self.assertEqual(
            self.receive(
                "93 01 03 91 a4 70 69 6e 67 93 01 01 90 93 01 04 91 a1 78 93 01 06 90"
            ),
            [("invoke", 1, b"ping"), ("heartbeat",), ("chunk", 1, b"x"), ("close", 1)],
        )

    def test_client_error(self):
        """The code is a bare integer."""
        self.receive("93 02 03 91 a1 78")
        self.machine.receive(pack(2, 5, [7, "no"]))
        self.assertEqual(self.owner.log, [("error", 2, 0, 7, "no")])

    def test_terminate(self):
        """Message 2 on channel 1, answered alike."""
        self.assertEqual(
            self.receive("93 01 02 92 01 ad 73 6c 61 76 65 20 69 73 20 69 64 6c 65"),
            [("terminate", 1, b"slave is idle")],
        )
        self.assertEqual(
            self.machine.terminate(1, b"slave is idle"),
            raw("93 01 02 92 01 ad 73 6c 61 76 65 20 69 73 20 69 64 6c 65"),
        )

    def test_write_and_close(self):
        """Chunk is 4, choke 6."""
        self.machine.write(2, b"pong")
        self.machine.close(2)
        self.assertEqual(self.stream.frames(), [[2, 4, [b"pong"]], [2, 6, []]])

    def test_error_is_followed_by_choke(self):
        """An error alone does not end a session in this protocol."""
        self.machine.error(2, 42, 200, "no")
        self.assertEqual(self.stream.frames(), [[2, 5, [200, b"no"]], [2, 6, []]])

    def test_orphans(self):
        """Data of unknown sessions is dropped."""
        self.assertEqual(self.receive("93 09 04 91 a1 78 93 09 06 90"), [])
