# -*- test-case-name: cocained.test.test_rpc_frames -*-
"""
The worked frames of protocol.md §18, byte for byte, and its bad ones.

What clients send must be understood; what the original sends must be understood
*and* be what we send.  Where we do better than to close (design.md §2), the
bad frames and the probes F1…F34 of reference-behaviour.md §3.1 say how.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import (
    WORKER_TEXTS,
    BacklogFull,
    RemoteError,
    RequestTimeout,
    ServiceNotAvailable,
    StorageError,
    TransportCode,
    WorkerCode,
    WorkerLost,
)
from cocained.rpc.arguments import optional, text
from cocained.rpc.codec import Decoder, Pairs, encode, pack
from cocained.rpc.dispatch import Dispatch, Protocol
from cocained.rpc.graph import CLOSE, ERROR, PRIMITIVE, VALUE, WRITE
from cocained.rpc.headers import NO_TRACE, UNTRACED, encode_trace
from cocained.rpc.session import Session
from cocained.rpc.streams import Upstream
from cocained.test.rpc_case import MemoryLink, SessionCase, frame
from cocained.test.strategies import one_by_one

#: The fourth element of every answer without a trace.
T0 = bytes.fromhex(
    "93 93 c2 a8 74 72 61 63 65 5f 69 64 a8 00 00 00 00 00 00 00 00 93 c2 a7"
    "73 70 61 6e 5f 69 64 a8 00 00 00 00 00 00 00 00 93 c2 a9 70 61 72 65 6e"
    "74 5f 69 64 a8 00 00 00 00 00 00 00 00"
)

#: The same as decoded.
TRACES = [[False, name, value] for name, value in NO_TRACE.headers()]

#: The header that locators add, holding an empty map.
EXTRA = (b"x-cocaine-locator-extra", b"\x80")

BLOB = b"\x81\xa5slave\xa7echo.py"
UUID = b"5c1d6ac8-2f0e-4d0f-9a55-2b8f8c7b9d10"
NODE_A = b"aaaaaaaa-0000-4000-8000-000000000001"
NODE_B = b"bbbbbbbb-0000-4000-8000-000000000002"
NO_FILE = b"/var/lib/cocaine/manifests/nope: No such file or directory"

#: The methods of a storage as they are packed, four of them.
STORAGE_HEX = """
    00 93 a4 72 65 61 64 80 82 00 92 a5 76 61 6c 75 65 80 01 92 a5 65 72 72
    6f 72 80 01 93 a5 77 72 69 74 65 80 82 00 92 a5 76 61 6c 75 65 80 01 92
    a5 65 72 72 6f 72 80 02 93 a6 72 65 6d 6f 76 65 80 82 00 92 a5 76 61 6c
    75 65 80 01 92 a5 65 72 72 6f 72 80 03 93 a4 66 69 6e 64 80 82 00 92 a5
    76 61 6c 75 65 80 01 92 a5 65 72 72 6f 72 80
"""

#: The four control messages as they are packed.
CONTROL_HEX = """
    cd ff fc 93 a6 67 6f 61 77 61 79 80 82 00 92 a5 76 61 6c 75 65 80 01 92
    a5 65 72 72 6f 72 80 cd ff fd 93 a4 70 69 6e 67 80 82 00 92 a5 76 61 6c
    75 65 80 01 92 a5 65 72 72 6f 72 80 cd ff fe 93 a8 73 65 74 74 69 6e 67
    73 80 82 00 92 a5 76 61 6c 75 65 80 01 92 a5 65 72 72 6f 72 80 cd ff ff
    93 a6 72 65 76 6f 6b 65 80 82 00 92 a5 76 61 6c 75 65 80 01 92 a5 65 72
    72 6f 72 80
"""

STORAGE = {0: "read", 1: "write", 2: "remove", 3: "find"}
CONTROLS = {65532: "goaway", 65533: "ping", 65534: "settings", 65535: "revoke"}


def packable_graph(names: dict[int, str]) -> dict[int, Any]:
    """A graph of methods with one answer, to be packed."""
    return {number: [name, {}, PRIMITIVE] for number, name in names.items()}


def decoded_graph(names: dict[int, str]) -> Pairs:
    """The same as it is decoded."""
    primitive = Pairs([(0, [b"value", Pairs()]), (1, [b"error", Pairs()])])
    return Pairs(
        (number, [name.encode(), Pairs(), primitive]) for number, name in names.items()
    )


#: What clients and workers send: the bytes, and the frame.
TO_US: tuple[tuple[str, list[Any]], ...] = (
    # 18.1 locator: resolve
    ("93 01 00 91 a7 73 74 6f 72 61 67 65", [1, 0, [b"storage"]]),
    ("93 02 00 91 a7 6e 6f 74 68 65 72 65", [2, 0, [b"nothere"]]),
    # 18.2 storage: write, read, find, read
    (
        "93 01 01 94 a9 6d 61 6e 69 66 65 73 74 73 a4 65 63 68 6f af 81 a5 73 6c"
        "61 76 65 a7 65 63 68 6f 2e 70 79 91 a3 61 70 70",
        [1, 1, [b"manifests", b"echo", BLOB, [b"app"]]],
    ),
    (
        "93 02 00 92 a9 6d 61 6e 69 66 65 73 74 73 a4 65 63 68 6f",
        [2, 0, [b"manifests", b"echo"]],
    ),
    (
        "93 03 03 92 a9 6d 61 6e 69 66 65 73 74 73 91 a3 61 70 70",
        [3, 3, [b"manifests", [b"app"]]],
    ),
    (
        "93 04 00 92 a9 6d 61 6e 69 66 65 73 74 73 a4 6e 6f 70 65",
        [4, 0, [b"manifests", b"nope"]],
    ),
    # 18.3 app: enqueue, write, write, close
    ("93 01 00 91 a4 70 69 6e 67", [1, 0, [b"ping"]]),
    ("93 01 00 91 a7 48 65 6c 6c 6f 2c 20", [1, 0, [b"Hello, "]]),
    ("93 01 00 91 a5 77 6f 72 6c 64", [1, 0, [b"world"]]),
    ("93 01 02 90", [1, 2, []]),
    # 18.5 worker: handshake, heartbeat, chunk, choke, error
    (
        "93 01 00 91 da 00 24 35 63 31 64 36 61 63 38 2d 32 66 30 65 2d 34 64 30"
        "66 2d 39 61 35 35 2d 32 62 38 66 38 63 37 62 39 64 31 30",
        [1, 0, [UUID]],
    ),
    ("93 01 00 90", [1, 0, []]),
    ("93 02 00 91 a4 70 6f 6e 67", [2, 0, [b"pong"]]),
    ("93 02 02 90", [2, 2, []]),
    (
        "93 03 01 92 92 2a 64 b1 5a 65 72 6f 44 69 76 69 73 69 6f 6e 45 72 72 6f 72",
        [3, 1, [[42, 100], b"ZeroDivisionError"]],
    ),
    # 18.6 terminate: the answer, and by the worker itself
    (
        "93 01 01 92 0e b0 73 6c 61 76 65 20 69 73 20 73 65 61 6c 69 6e 67",
        [1, 1, [14, b"slave is sealing"]],
    ),
    ("93 01 01 92 01 a8 42 61 64 20 63 6f 64 65", [1, 1, [1, b"Bad code"]]),
    # 18.8 locator: routing, discard
    ("93 01 05 91 a8 72 6f 75 74 65 72 2d 31", [1, 5, [b"router-1"]]),
    # 18.9 logging: emit, emit with attributes, verbosity
    (
        "93 01 00 93 01 a8 61 70 70 2f 65 63 68 6f a5 68 65 6c 6c 6f",
        [1, 0, [1, b"app/echo", b"hello"]],
    ),
    (
        "93 02 00 94 03 a8 61 70 70 2f 65 63 68 6f a6 66 61 69 6c 65 64 92 92 aa"
        "72 65 71 75 65 73 74 5f 69 64 a2 34 32 92 a4 63 6f 64 65 05",
        [2, 0, [3, b"app/echo", b"failed", [[b"request_id", b"42"], [b"code", 5]]]],
    ),
    ("93 03 01 90", [3, 1, []]),
)

#: What the original sends, without the last element, which is {T0}.
FROM_US: tuple[tuple[str, list[Any]], ...] = (
    # 18.1 locator: no such service
    (
        "94 02 01 92 92 0a 01 b8 73 65 72 76 69 63 65 20 69 73 20 6e 6f 74 20 61"
        "76 61 69 6c 61 62 6c 65",
        [2, 1, [[10, 1], b"service is not available"]],
    ),
    # 18.2 storage: values of write, read, find; no such key
    ("94 01 00 90", [1, 0, []]),
    (
        "94 02 00 91 af 81 a5 73 6c 61 76 65 a7 65 63 68 6f 2e 70 79",
        [2, 0, [BLOB]],
    ),
    ("94 03 00 91 91 a4 65 63 68 6f", [3, 0, [[b"echo"]]]),
    (
        "94 04 01 92 92 0c 02 da 00 3a 2f 76 61 72 2f 6c 69 62 2f 63 6f 63 61 69"
        "6e 65 2f 6d 61 6e 69 66 65 73 74 73 2f 6e 6f 70 65 3a 20 4e 6f 20 73 75"
        "63 68 20 66 69 6c 65 20 6f 72 20 64 69 72 65 63 74 6f 72 79",
        [4, 1, [[12, 2], NO_FILE]],
    ),
    # 18.3 app: write and close
    ("94 01 00 91 a4 70 6f 6e 67", [1, 0, [b"pong"]]),
    ("94 01 02 90", [1, 2, []]),
    # 18.4 errors: queue full, timeout, worker lost, worker's own
    (
        "94 01 01 92 92 cd 52 ff 01 ad 71 75 65 75 65 20 69 73 20 66 75 6c 6c",
        [1, 1, [[21247, 1], b"queue is full"]],
    ),
    (
        "94 01 01 92 92 cd 51 ff 03 b8 73 6c 61 76 65 20 68 61 73 20 62 65 65 6e"
        "20 64 69 73 63 61 72 64 65 64",
        [1, 1, [[20991, 3], b"slave has been discarded"]],
    ),
    (
        "94 01 01 92 92 05 02 b8 73 6c 61 76 65 20 68 61 73 20 62 65 65 6e 20 64"
        "69 73 63 61 72 64 65 64",
        [1, 1, [[5, 2], b"slave has been discarded"]],
    ),
    (
        "94 01 01 92 92 2a cc c8 da 00 22 74 68 65 72 65 20 69 73 20 6e 6f 20 68"
        "61 6e 64 6c 65 72 20 66 6f 72 20 65 76 65 6e 74 20 70 69 6e 67",
        [1, 1, [[42, 200], b"there is no handler for event ping"]],
    ),
    # 18.5 worker: invoke, chunks, choke
    ("94 02 00 91 a4 70 69 6e 67", [2, 0, [b"ping"]]),
    ("94 02 00 91 a7 48 65 6c 6c 6f 2c 20", [2, 0, [b"Hello, "]]),
    ("94 02 00 91 a5 77 6f 72 6c 64", [2, 0, [b"world"]]),
    ("94 02 02 90", [2, 2, []]),
    # 18.6 terminate
    (
        "94 01 01 92 0e b0 73 6c 61 76 65 20 69 73 20 73 65 61 6c 69 6e 67",
        [1, 1, [14, b"slave is sealing"]],
    ),
    # 18.7 locator: connect, as a node sends it to another one
    (
        "94 01 01 91 da 00 24 62 62 62 62 62 62 62 62 2d 30 30 30 30 2d 34 30 30"
        "30 2d 38 30 30 30 2d 30 30 30 30 30 30 30 30 30 30 30 32",
        [1, 1, [NODE_B]],
    ),
    # 18.8 locator: routing, with a ring and without
    (
        "94 01 00 91 81 a3 61 70 70 93 92 ce 00 a6 eb 1b a6 61 70 70 5f 76 32 92"
        "ce 00 fc f7 09 a6 61 70 70 5f 76 32 92 ce 01 1f 75 85 a6 61 70 70 5f 76 31",
        [
            1,
            0,
            [
                {
                    b"app": [
                        [10939163, b"app_v2"],
                        [16578313, b"app_v2"],
                        [18838917, b"app_v1"],
                    ]
                }
            ],
        ],
    ),
    ("94 01 00 91 80", [1, 0, [{}]]),
    # 18.9 logging: verbosity
    ("94 03 00 91 00", [3, 0, [0]]),
)

#: What older servers and clients say; frames as well, of another meaning.
OTHER_DIALECTS: tuple[tuple[str, list[Any]], ...] = (
    ("93 00 01 91 a7 73 74 6f 72 61 67 65", [[0, 1, [b"storage"]]]),
    (
        "93 04 01 91 da 00 28 93 92 a5 6e 6f 64 65 31 cd 80 02 01 84 00 a4 72 65"
        "61 64 01 a5 77 72 69 74 65 02 a6 72 65 6d 6f 76 65 03 a4 66 69 6e 64 93"
        "06 01 90",
        [
            [4, 1, [pack([["node1", 32770], 1, STORAGE])]],
            [6, 1, []],
        ],
    ),
    (
        "93 05 07 92 02 b1 74 68 65 20 71 75 65 75 65 20 69 73 20 66 75 6c 6c 93"
        "06 07 90",
        [[5, 7, [2, b"the queue is full"]], [6, 7, []]],
    ),
    ("93 03 01 91 a4 70 69 6e 67", [[3, 1, [b"ping"]]]),
    ("93 04 01 91 a5 48 65 6c 6c 6f", [[4, 1, [b"Hello"]]]),
    ("93 06 01 90", [[6, 1, []]]),
    (
        "93 02 00 92 01 ad 73 6c 61 76 65 20 69 73 20 69 64 6c 65",
        [[2, 0, [1, b"slave is idle"]]],
    ),
    (
        "93 05 01 92 01 b4 75 6e 6b 6e 6f 77 6e 20 6d 65 73 73 61 67 65 20 74 79"
        "70 65 93 06 01 90",
        [[5, 1, [1, b"unknown message type"]], [6, 1, []]],
    ),
)


def decode(data: bytes) -> list[Any]:
    """Decode whole frames, at once and in single bytes."""
    frames = Decoder().decode(data)
    decoder = Decoder()
    slowly = [found for read in one_by_one(data) for found in decoder.decode(read)]
    if slowly != frames or decoder.waiting or decoder.fault:
        raise AssertionError(f"decoded in two ways: {frames} and {slowly}")
    return frames


def as_decoded(value: Any) -> Any:
    """Write maps as the decoder gives them."""
    if isinstance(value, dict):
        return Pairs((key, as_decoded(item)) for key, item in value.items())
    return [as_decoded(item) for item in value] if isinstance(value, list) else value


class WorkedFrameTests(SynchronousTestCase):
    """The frames of protocol.md §18."""

    def test_untraced(self) -> None:
        """Our headers without a trace are {T0}."""
        self.assertEqual(UNTRACED, T0)

    def test_to_us(self) -> None:
        """Everything that clients and workers send is understood."""
        for written, expected in TO_US:
            self.assertEqual(decode(bytes.fromhex(written)), [expected])

    def test_to_us_can_be_sent(self) -> None:
        """We would write the same bytes, but for the fourth element."""
        for written, (channel, kind, args) in TO_US:
            ours = encode(channel, kind, args, b"")
            self.assertEqual(b"\x93" + ours[1:], bytes.fromhex(written))

    def test_from_us_is_understood(self) -> None:
        """Everything that the original sends is understood."""
        for written, expected in FROM_US:
            self.assertEqual(
                decode(bytes.fromhex(written) + T0), [[*as_decoded(expected), TRACES]]
            )

    def test_from_us(self) -> None:
        """What we send is what the original sends, byte for byte."""
        for written, (channel, kind, args) in FROM_US:
            self.assertEqual(
                encode(channel, kind, args, UNTRACED), bytes.fromhex(written) + T0
            )

    def test_other_dialects(self) -> None:
        """Frames of other dialects are decoded; what they mean is not our matter."""
        for written, expected in OTHER_DIALECTS:
            self.assertEqual(decode(bytes.fromhex(written)), expected)

    def test_trace_of_python(self) -> None:
        """A trace as the Python client writes it is decoded."""
        written = bytes.fromhex(
            "93 93 c2 50 a8 88 77 66 55 44 33 22 11 93 c2 51 a8 88 77 66 55 44 33 22"
            "11 93 c2 52 a8 00 00 00 00 00 00 00 00"
        )
        number = bytes.fromhex("88 77 66 55 44 33 22 11")
        self.assertEqual(
            decode(b"\x94\x01\x00\x90" + written),
            [
                [
                    1,
                    0,
                    [],
                    [[False, 80, number], [False, 81, number], [False, 82, bytes(8)]],
                ]
            ],
        )


class ResolveTests(SynchronousTestCase):
    """Answers that hold a graph."""

    head = bytes.fromhex("94 01 00 93 91 92 a9 31 32 37 2e 30 2e 30 2e 31 cd 80 02 01")
    arguments = ([["127.0.0.1", 32770]], 1)

    def test_with_control_messages(self) -> None:
        """The answer of 0.12.14 is that graph packed, controls and all."""
        written = self.head + b"\x88" + bytes.fromhex(STORAGE_HEX + CONTROL_HEX) + T0
        self.assertEqual(len(written), 317)
        graph = packable_graph({**STORAGE, **CONTROLS})
        self.assertEqual(encode(1, VALUE, [*self.arguments, graph], UNTRACED), written)
        [[_, _, args, headers]] = decode(written)
        self.assertEqual(args[0], [[b"127.0.0.1", 32770]])
        self.assertEqual(args[2], decoded_graph({**STORAGE, **CONTROLS}))
        self.assertEqual(headers, TRACES)

    def test_without_them(self) -> None:
        """Ours has the same bytes but for the control messages."""
        written = self.head + b"\x84" + bytes.fromhex(STORAGE_HEX) + T0
        self.assertEqual(
            encode(1, VALUE, [*self.arguments, packable_graph(STORAGE)], UNTRACED),
            written,
        )

    def test_of_an_older_server(self) -> None:
        """The answer of 0.12.3, with three indices for headers, is understood."""
        indices = "93 cf 00 00 00 00 00 00 00 50 cf 00 00 00 00 00 00 00 51 cf" + (
            "00 00 00 00 00 00 00 52"
        )
        written = self.head + b"\x84" + bytes.fromhex(STORAGE_HEX + indices)
        self.assertEqual(len(written), 160)
        [[_, _, args, headers]] = decode(written)
        self.assertEqual(args[2], decoded_graph(STORAGE))
        self.assertEqual(headers, [80, 81, 82])

    def snapshot(self, services: str) -> bytes:
        """A frame of the connect stream, from its services on."""
        return (
            bytes.fromhex("94 01 00 92 da 00 24")
            + NODE_A
            + bytes.fromhex(services)
            + b"\x94"
            + T0[1:]
            + bytes.fromhex(
                "93 c2 b7 78 2d 63 6f 63 61 69 6e 65 2d 6c 6f 63 61 74 6f 72 2d"
                "65 78 74 72 61 a1 80"
            )
        )

    def test_connect(self) -> None:
        """The first frame of a connect stream, with a header of its own."""
        written = self.snapshot(
            "81 a7 73 74 6f 72 61 67 65 93 91 92 a8 31 30 2e 30 2e 30 2e 31 cd 80 02"
            "01 88" + STORAGE_HEX + CONTROL_HEX
        )
        self.assertEqual(len(written), 393)
        graph = packable_graph({**STORAGE, **CONTROLS})
        services = {"storage": [[["10.0.0.1", 32770]], 1, graph]}
        self.assertEqual(
            encode(1, WRITE, [NODE_A, services], encode_trace(NO_TRACE, [EXTRA])),
            written,
        )
        [[_, _, [uuid, found], headers]] = decode(written)
        self.assertEqual(uuid, NODE_A)
        self.assertEqual(
            found[0][1],
            [
                [[b"10.0.0.1", 32770]],
                1,
                decoded_graph({**STORAGE, **CONTROLS}),
            ],
        )
        self.assertEqual(headers, [*TRACES, [False, *EXTRA]])

    def test_removed(self) -> None:
        """A service that has gone is one without addresses."""
        written = self.snapshot("81 a4 65 63 68 6f 93 90 01 80")
        self.assertEqual(len(written), 142)
        self.assertEqual(
            encode(
                1,
                WRITE,
                [NODE_A, {"echo": [[], 1, {}]}],
                encode_trace(NO_TRACE, [EXTRA]),
            ),
            written,
        )
        [[_, _, args, _]] = decode(written)
        self.assertEqual(args, [NODE_A, Pairs([(b"echo", [[], 1, Pairs()])])])


class SpeakingTests(SessionCase):
    """The same frames by the ways in which services speak."""

    def assert_sent(self, written: str) -> None:
        self.session.flush()
        self.assertEqual(self.link.data, bytes.fromhex(written) + T0)

    def test_errors(self) -> None:
        """Each error object leaves as the worked frame."""
        worked = {
            (channel, *args[0]): written
            for written, (channel, kind, args) in FROM_US
            if kind == ERROR and isinstance(args[0], list)
        }
        for channel, error in (
            (2, ServiceNotAvailable()),
            (4, StorageError(2, NO_FILE.decode())),
            (1, BacklogFull()),
            (1, RequestTimeout()),
            (1, WorkerLost(5, 2)),
            (1, RemoteError(42, 200, "there is no handler for event ping")),
        ):
            self.link.writes.clear()
            self.session.error(channel, error)
            self.assert_sent(worked.pop((channel, int(error.category), error.code)))
        self.assertEqual(worked, {})

    def test_values(self) -> None:
        """So do values."""
        for channel, values, written in (
            (1, [], "94 01 00 90"),
            (3, [["echo"]], "94 03 00 91 91 a4 65 63 68 6f"),
            (3, [0], "94 03 00 91 00"),
        ):
            self.link.writes.clear()
            self.session.value(channel, values)
            self.assert_sent(written)

    def test_stream(self) -> None:
        """So do the chunks of a stream, and its end."""
        upstream = Upstream(self.session, 1, [])
        upstream.write(b"pong")
        self.assert_sent("94 01 00 91 a4 70 6f 6e 67")
        self.link.writes.clear()
        upstream.close()
        self.assert_sent("94 01 02 90")
        self.assertEqual(CLOSE, 2)

    def test_terminate(self) -> None:
        """The text of a terminate frame is that of its code."""
        self.assertEqual(WORKER_TEXTS[WorkerCode(14)], "slave is sealing")


class LocatorStub:
    """A locator that knows nobody."""

    protocol = Protocol(version=3)

    @protocol.method(0, text, optional(text, ""))
    def resolve(self, name: str, seed: str) -> None:
        raise ServiceNotAvailable

    @protocol.method(6)
    def uuid(self) -> str:
        return "the uuid"


#: What LocatorStub answers to each resolve.
NOT_THERE = [1, [[10, 1], b"service is not available"]]


class ProbeTests(SessionCase):
    """Good and bad frames against a locator, F1…F34 and §18.10."""

    def answers(self, *reads: bytes) -> list[list[Any]]:
        """Send some reads on a new connection, give what came back."""
        self.link = MemoryLink()
        self.session = Session(self.turn, self.link, Dispatch(LocatorStub()))
        for read in reads:
            self.receive(read)
        return self.link.frames()

    def assert_served(self, channel: int, *reads: bytes) -> None:
        """The reads are one resolve, and the connection lives on."""
        self.assertEqual(self.answers(*reads), [[channel, *NOT_THERE]])
        self.assertFalse(self.link.closed)

    def assert_refused(self, data: bytes, category: int, code: int) -> None:
        """The frame fails on its channel, and the connection lives on."""
        frames = self.answers(data, frame(2, 0, b"nope"))
        self.assertEqual(frames[0][1:2] + frames[0][2][:1], [1, [category, code]])
        self.assertEqual(frames[1:], [[2, *NOT_THERE]])
        self.assertFalse(self.link.closed)

    def assert_closed(self, data: bytes, code: TransportCode) -> None:
        """The connection ends without a byte."""
        self.assertEqual(self.answers(data), [])
        self.assertTrue(self.link.closed)
        assert self.session.fault is not None
        self.assertEqual(self.session.fault.code, code)

    def test_18_10_closed(self) -> None:
        """Bytes that are no frames close, with the original's code."""
        for written, code in (
            ("93 01 00 a7 73 74 6f 72 61 67 65", TransportCode.FRAME_FORMAT),
            ("92 01 00", TransportCode.FRAME_FORMAT),
            ("93 ff 00 91 a7 73 74 6f 72 61 67 65", TransportCode.FRAME_FORMAT),
            ("94 01 00 91 a7 73 74 6f 72 61 67 65 80", TransportCode.FRAME_FORMAT),
            ("94 01 00 91 a7 73 74 6f 72 61 67 65 91 00", TransportCode.HPACK),
            (
                "94 01 00 91 a7 73 74 6f 72 61 67 65 91 92 a8 74 72 61 63 65 5f 69"
                "64 a1 78",
                TransportCode.HPACK,
            ),
            ("c1", TransportCode.PARSE),
        ):
            self.assert_closed(bytes.fromhex(written), code)

    def test_18_10_refused(self) -> None:
        """What is a frame fails on its channel, with the original's code."""
        for written, category, code in (
            ("93 00 00 91 a7 73 74 6f 72 61 67 65", 7, 4),
            ("93 00 01 91 a7 73 74 6f 72 61 67 65", 7, 4),
            ("93 01 00 90", 7, 2),
            ("93 01 00 91 05", 7, 2),
            ("93 01 63 90", 7, 5),
            (
                "94 01 00 91 a7 73 74 6f 72 61 67 65 93 93 c2 50 a8 01 00 00 00 00"
                "00 00 00 93 c2 51 a8 00 00 00 00 00 00 00 00 93 c2 52 a8 00 00 00"
                "00 00 00 00 00",
                12,
                22,
            ),
        ):
            self.assert_refused(bytes.fromhex(written), category, code)

    def test_18_10_sequence(self) -> None:
        """A number that was passed over is dropped, not fatal."""
        frames = self.answers(frame(1, 6), frame(3, 6), frame(2, 6), frame(4, 6))
        self.assertEqual([found[0] for found in frames], [1, 3, 4])
        self.assertEqual(self.session.dropped, 1)

    def test_channels(self) -> None:
        """F2, F3, F4: used and lower numbers are dropped, gaps are fine."""
        frames = self.answers(
            *(
                frame(channel, 0, b"nope")
                for channel in (1, 1, 10, 5, 1000000, 2**63, 2**64 - 1)
            )
        )
        self.assertEqual(
            frames, [[n, *NOT_THERE] for n in (1, 10, 1000000, 2**63, 2**64 - 1)]
        )
        self.assertEqual(self.session.dropped, 2)

    def test_no_frames(self) -> None:
        """F5…F15b and F17: what is no frame closes."""
        for written, code in (
            ("05", 1),
            ("a5 68 65 6c 6c 6f", 1),
            ("81 01 02", 1),
            ("92 01 00", 1),
            ("90", 1),
            ("c1", 4),
            ("93 01 00 91 c1", 4),
        ):
            self.assert_closed(bytes.fromhex(written), TransportCode(code))
        for shape in (
            [-1, 0, [b"nope"]],
            [None, 0, [b"nope"]],
            [1, 0.5, [b"nope"]],
            [1, b"resolve", [b"nope"]],
            [1, 0, {b"name": b"nope"}],
            [1, 0, None],
            [1, 0, [b"nope"], None],
        ):
            self.assert_closed(pack(shape), TransportCode.FRAME_FORMAT)

    def test_arguments(self) -> None:
        """L5…L8: too many are fine; nil, too few and wrong ones are [7, 2]."""
        self.assert_served(1, frame(1, 0, b"nope", b"seed"))
        self.assert_served(1, frame(1, 0, b"nope", b"seed", b"x"))
        self.assert_served(1, frame(1, 0, b""))
        self.assert_refused(frame(1, 0, b"nope", None), 7, 2)
        self.assert_refused(frame(1, 0), 7, 2)
        self.assert_refused(frame(1, 0, 5), 7, 2)

    def test_methods(self) -> None:
        """L15, L18: methods that are not there are [7, 5]."""
        for kind in (7, 100, 65534, 65532):
            self.assert_refused(frame(1, kind), 7, 5)

    def test_headers(self) -> None:
        """F16, F18, F21d: headers that are none of a trace change nothing."""
        for headers in ([], [80], [1], [[False, b"trace_id", b"\x07" + bytes(7)]]):
            self.assert_served(1, pack([1, 0, [b"nope"], headers]))
            self.assertTrue(self.link.data.endswith(T0))

    def test_bad_headers(self) -> None:
        """F19, F20, F23: those that are no headers close."""
        for headers in ([0], [9999], [[b"a", b"b"]]):
            self.assert_closed(pack([1, 0, [b"nope"], headers]), TransportCode.HPACK)

    def test_trace(self) -> None:
        """F21, F21b: a trace comes back, by name or by index."""
        numbers = [bytes((number,)) + bytes(7) for number in (7, 8, 9)]
        names = [b"trace_id", b"span_id", b"parent_id"]
        expected = [
            [False, name, number] for name, number in zip(names, numbers, strict=True)
        ]
        for keys in (names, [80, 81, 82]):
            headers = [
                [False, key, number] for key, number in zip(keys, numbers, strict=True)
            ]
            self.assert_served(7, pack([7, 0, [b"nope"], headers]))
            self.assertTrue(self.link.data.endswith(pack(expected)))

    def test_bad_trace(self) -> None:
        """F21c: one of a wrong width fails its request only."""
        headers = [[False, name, b"1"] for name in (b"trace_id", b"span_id")]
        headers.append([False, b"parent_id", b"1"])
        self.assert_refused(pack([1, 0, [b"nope"], headers]), 12, 22)

    def test_dynamic_headers(self) -> None:
        """F22: a stored header is index 83, and 84 closes."""
        frames = self.answers(
            pack([1, 0, [b"nope"], [[True, b"x-a", b"b"]]]),
            pack([2, 0, [b"nope"], [83]]),
            pack([3, 0, [b"nope"], [84]]),
        )
        self.assertEqual(frames, [[1, *NOT_THERE], [2, *NOT_THERE]])
        self.assertTrue(self.link.closed)

    def test_forms(self) -> None:
        """F24…F27, F32…F34: all forms of the same frame are the same frame."""
        self.assert_served(1, pack([1, 0, [b"nope"], [], b"junk"]))
        for written in (
            "93 01 00 91 c4 04 6e 6f 70 65",
            "93 01 00 91 d9 04 6e 6f 70 65",
            "93 01 00 91 da 00 04 6e 6f 70 65",
            "93 d3 00 00 00 00 00 00 00 01 00 91 a4 6e 6f 70 65",
            "93 cc 01 00 91 a4 6e 6f 70 65",
            "dc 00 03 01 00 91 a4 6e 6f 70 65",
        ):
            self.assert_served(1, bytes.fromhex(written))

    def test_packets(self) -> None:
        """F28, F29: packets and frames are not the same thing."""
        packet = frame(1, 0, b"nope") + frame(2, 0, b"nope") + frame(3, 6)
        expected = [[1, *NOT_THERE], [2, *NOT_THERE], [3, 0, [b"the uuid"]]]
        self.assertEqual(self.answers(packet), expected)
        self.assertEqual(self.answers(*one_by_one(packet)), expected)

    def test_bad_frame_behind_a_good_one(self) -> None:
        """F31: the good one is answered, then the connection ends."""
        frames = self.answers(bytes.fromhex("93 01 00 91 a4 6e 6f 70 65 05"))
        self.assertEqual(frames, [[1, *NOT_THERE]])
        self.assertTrue(self.link.closed)
