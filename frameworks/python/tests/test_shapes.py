# -*- test-case-name: tests.test_shapes -*-
"""
Laws that hold for any input: fragmentation, nonsense, silence after the end.
"""

from __future__ import annotations

import random
import unittest

from cocaine.detail.channel import Call
from cocaine.detail.graph import parse_api
from cocaine.detail.machine import WorkerMachine
from cocaine.detail.session import Session
from cocaine.exceptions import ProtocolError
from cocaine.request import Request, Response

from .support import APP, UUID, ClockLoop, FakeStream, as_read, pack, raw, unpack

TRACE = unpack(raw("94 01 00 90 {T0}"))[0][3]


class Recorder:
    """An owner whose invocations echo what they read."""

    def __init__(self):
        self.loop = ClockLoop()
        self.machine = None
        self.requests = []
        self.events = []

    def invoked(self, channel, event, headers):
        request = Request(self.loop, event, headers)
        self.requests.append((channel, request, Response(self.machine, channel)))
        return request

    def heartbeat_answered(self):
        self.events.append("heartbeat")

    def terminated(self, code, reason):
        self.events.append((code, reason))

    def lost(self, reason):
        self.events.append(reason)


def worker(protocol=1):
    """A machine, its owner and its stream."""
    owner = Recorder()
    machine = owner.machine = WorkerMachine(UUID, protocol, owner)
    machine.stream = FakeStream()
    return machine, owner


class FragmentationTests(unittest.TestCase):
    """The cut of the byte stream does not matter."""

    def setUp(self):
        self.random = random.Random(20261122)
        frames = [(1, 0, [], TRACE)]
        for channel in range(2, 20):
            frames.append((channel, 0, ["event"], TRACE))
            for size in (0, 1, 31, 32, 70_000):
                frames.append((channel, 0, [bytes(size)], [[True, "n", "v"]]))
            frames.append((channel, 2, [], [83]))
        self.data = b"".join(pack(*frame) for frame in frames)

    def outcome(self, cuts):
        machine, owner = worker()
        begin = 0
        for end in [*cuts, len(self.data)]:
            machine.receive(self.data[begin:end])
            begin = end
        chunks = []
        for channel, request, _ in owner.requests:
            sizes = []
            while not (read := request.read()).exception():
                sizes.append((len(read.result()), request.headers))
            chunks.append((channel, sizes))
        return owner.events, chunks

    def test_same_outcome(self):
        """Random cuts give what one piece gives."""
        whole = self.outcome([])
        self.assertEqual(len(whole[1]), 18)
        for _ in range(10):
            cuts = sorted(self.random.sample(range(len(self.data)), 200))
            self.assertEqual(self.outcome(cuts), whole)


class NonsenseTests(unittest.TestCase):
    """No input raises anything but ProtocolError."""

    ODD = (None, True, -1, 0, 1, 2, 2**63, 1.5, b"", b"x", [], [[]], {}, {1: 2}, [0, 1])

    def setUp(self):
        self.random = random.Random(42)

    def frame(self):
        choose = self.random.choice
        frame = [choose(self.ODD) for _ in range(self.random.randrange(6))]
        if self.random.random() < 0.7:
            frame = [
                choose((1, 2, 3)),
                choose(range(8)),
                choose(([], [b"x"], [[1, 2]])),
            ]
            if self.random.random() < 0.5:
                frame.append([choose(self.ODD), choose(self.ODD)])
        return pack(*frame)

    def test_worker(self):
        """The worker's machine, both protocols."""
        for _ in range(3000):
            machine, _ = worker(self.random.randrange(2))
            try:
                for _ in range(4):
                    machine.receive(self.frame())
            except ProtocolError as error:
                self.assertTrue(str(error))

    def test_client(self):
        """The client's session."""
        api = parse_api(as_read(APP))
        for _ in range(3000):
            session = Session("echo", FakeStream())
            for name in ("enqueue", "info", "control"):
                call = Call(ClockLoop(), "echo")
                session.open(call, api[name], (), {})
            try:
                for _ in range(4):
                    session.receive(self.frame())
            except ProtocolError as error:
                self.assertTrue(str(error))

    def test_random_bytes(self):
        """Not even msgpack."""
        for _ in range(2000):
            machine, _ = worker()
            try:
                machine.receive(self.random.randbytes(40))
            except ProtocolError as error:
                self.assertTrue(str(error))


class SilenceTests(unittest.TestCase):
    """Nothing is ever sent in a channel after its close or error."""

    def test_response(self):
        """Whatever a handler calls, in any order."""
        choose = random.Random(7).choice
        for protocol in (0, 1):
            ends = {0: (6,), 1: (1, 2)}[protocol]
            for _ in range(500):
                machine, _ = worker(protocol)
                response = Response(machine, 2)
                for _ in range(6):
                    choose(
                        (
                            lambda r=response: r.write(b"x"),
                            response.close,
                            lambda r=response: r.error(1, "x"),
                            lambda r=response: r.error_code(1, 2),
                        )
                    )()
                kinds = [frame[1] for frame in machine.stream.frames()]
                finals = [index for index, kind in enumerate(kinds) if kind in ends]
                self.assertIn(finals, ([], [len(kinds) - 1]))


if __name__ == "__main__":
    unittest.main()
