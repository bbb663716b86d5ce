# -*- test-case-name: cocained.test.live.test_bench_native -*-
"""
The benchmark's compiler, child processes and native worker, for real.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

import msgpack
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from cocained.tools.bench import frames, toolchain
from cocained.tools.bench.errors import BenchError
from cocained.tools.bench.process import Child, pin
from cocained.tools.bench.targets import Bench, prepare

UUID = "5c1d6ac8-2f0e-4d0f-9a55-2b8f8c7b9d10"


def native_bench(case: SynchronousTestCase) -> Bench:
    """Compile the programs, or skip the test that needs them."""
    try:
        toolchain.find_compiler()
    except BenchError as error:
        raise SkipTest(str(error)) from error
    # The path of a UNIX socket holds about a hundred bytes: trial's is too long.
    directory = tempfile.TemporaryDirectory(prefix="t")
    case.addCleanup(directory.cleanup)
    return prepare(Path(directory.name))


class WorkerTests(SynchronousTestCase):
    """The native worker, held against a socket of the test."""

    def setUp(self) -> None:
        """Accept the worker's connection and take its handshake."""
        bench = native_bench(self)
        path = str(bench.directory / "s")
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(path)
        listener.listen()
        listener.settimeout(10)
        arguments = ["--app", "a", "--endpoint", path, "--locator", "127.0.0.1:1"]
        arguments += ["--protocol", "1", "--uuid", UUID]
        self.child = Child(
            "worker", [str(bench.worker), *arguments], bench.directory / "log"
        )
        self.addCleanup(self.child.stop)
        self.socket = listener.accept()[0]
        self.addCleanup(self.socket.close)
        self.socket.settimeout(10)
        self.unpacker = msgpack.Unpacker(raw=True)
        self.greeting = self.take(2)

    def take(self, count: int) -> list[list[object]]:
        """Take so many frames from the worker."""
        taken: list[list[object]] = []
        while len(taken) < count:
            for frame in self.unpacker:
                taken.append(frame)
                if len(taken) == count:
                    break
            else:
                data = self.socket.recv(1 << 20)
                if not data:
                    raise AssertionError(f"the worker went after {taken}")
                self.unpacker.feed(data)
        return taken

    def test_handshake_and_heartbeat(self) -> None:
        """It begins with a handshake and a heartbeat (protocol.md §18.5)."""
        self.assertEqual(self.greeting, [[1, 0, [UUID.encode()]], [1, 0, []]])

    def test_echo(self) -> None:
        """Each chunk comes back, and so does the close."""
        self.socket.sendall(
            frames.frame(2, 0, ["echo"])
            + frames.frame(2, 0, [b"one"])
            + frames.frame(2, 0, [b"two" * 1000])
            + frames.frame(2, 2)
        )
        self.assertEqual(
            self.take(3), [[2, 0, [b"one"]], [2, 0, [b"two" * 1000]], [2, 2, []]]
        )

    def test_every_byte_alone(self) -> None:
        """Frames may come in pieces of any size."""
        data = frames.frame(2, 0, ["echo"]) + frames.frame(2, 0, [b"x" * 300])
        for index in range(len(data)):
            self.socket.sendall(data[index : index + 1])
        self.assertEqual(self.take(1), [[2, 0, [b"x" * 300]]])

    def test_headers_and_string_families(self) -> None:
        """Headers of any shape are stepped over, str8 and bin are strings."""
        headers = [80, [True, b"name", b"v" * 300], [False, 82, {"k": [1.5, None]}]]
        invoke = msgpack.packb([2, 0, ["echo"], headers, -7, "fifth"])
        chunk = msgpack.packb([2, 0, [b"\xff" * 40], headers], use_bin_type=True)
        text = msgpack.packb([2, 0, ["t" * 40], frames.TRACE_HEADERS])
        self.socket.sendall(invoke + chunk + text)
        self.assertEqual(self.take(2), [[2, 0, [b"\xff" * 40]], [2, 0, [b"t" * 40]]])

    def test_trace_headers(self) -> None:
        """The trio that a node sends is stepped over, also when it is cut."""
        data = (
            b"\x94\x02\x00\x91\xa4echo"
            + frames.TRACE_HEADERS
            + b"\x94\x02\x00\x91\xa3abc"
            + frames.TRACE_HEADERS
        )
        self.socket.sendall(data[:40])
        self.socket.sendall(data[40:])
        self.assertEqual(self.take(1), [[2, 0, [b"abc"]]])

    def test_many_sessions_end_in_any_order(self) -> None:
        """A thousand sessions at once keep their places when others end."""
        channels = range(2, 1002)
        for channel in channels:
            self.socket.sendall(frames.frame(channel, 0, ["echo"]))
        order = [*channels[::2], *channels[1::2]]
        for channel in order:
            self.socket.sendall(
                frames.frame(channel, 0, [str(channel)]) + frames.frame(channel, 2)
            )
        expected = [
            answer
            for channel in order
            for answer in ([channel, 0, [b"%d" % channel]], [channel, 2, []])
        ]
        self.assertEqual(self.take(2000), expected)

    def test_ping(self) -> None:
        """``ping`` answers at once, and the client's close comes too late to matter."""
        self.socket.sendall(frames.frame(2, 0, ["ping"]) + frames.frame(2, 2))
        self.socket.sendall(frames.frame(3, 0, ["ping"]))
        self.assertEqual(
            self.take(4),
            [[2, 0, [b"pong"]], [2, 2, []], [3, 0, [b"pong"]], [3, 2, []]],
        )

    def test_sink(self) -> None:
        """``sink`` counts bytes and answers on the close."""
        self.socket.sendall(
            frames.frame(2, 0, ["sink"])
            + frames.frame(2, 0, [b"x" * 70_000])
            + frames.frame(2, 0, [b"x"])
            + frames.frame(2, 2)
        )
        self.assertEqual(self.take(2), [[2, 0, [b"70001"]], [2, 2, []]])

    def test_source(self) -> None:
        """``source`` sends so many bytes in chunks of that size."""
        self.socket.sendall(frames.frame(2, 0, ["source 2500 1000"]))
        chunk = frames.pattern(1000)
        self.assertEqual(
            self.take(4),
            [[2, 0, [chunk]], [2, 0, [chunk]], [2, 0, [chunk[:500]]], [2, 2, []]],
        )

    def test_sources_side_by_side(self) -> None:
        """Several sources all come to their end, and none waits for a heartbeat."""
        self.socket.settimeout(3)
        for channel in (2, 3, 4):
            self.socket.sendall(frames.frame(channel, 0, ["source 20000000 65536"]))
        received = {2: 0, 3: 0, 4: 0}
        closed = set()
        while len(closed) < 3:
            channel, message, arguments = self.take(1)[0]
            if message == 2:
                closed.add(channel)
            else:
                received[channel] += len(arguments[0])
        self.assertEqual(received, {2: 20_000_000, 3: 20_000_000, 4: 20_000_000})

    def test_source_with_a_huge_chunk(self) -> None:
        """A chunk above the limit is refused with an error."""
        self.socket.sendall(frames.frame(2, 0, ["source 1 2000000"]))
        self.assertEqual(self.take(1)[0][:2], [2, 1])

    def test_unknown_event(self) -> None:
        """An unknown event is answered with ``[42, 200]``."""
        self.socket.sendall(frames.frame(2, 0, ["nothing"]))
        self.assertEqual(self.take(1), [[2, 1, [[42, 200], b"there is no such event"]]])

    def test_times(self) -> None:
        """``times`` tells three rising moments of the monotonic clock."""
        self.socket.sendall(frames.frame(2, 0, ["times"]))
        text = self.take(1)[0][2][0]
        times = [int(part) for part in text.split()]
        self.assertEqual(times, sorted(times))
        self.assertLess(times[2], time.monotonic_ns())
        self.assertGreater(times[0], time.monotonic_ns() - 60_000_000_000)

    def test_terminate(self) -> None:
        """A terminate comes back as it was, then the worker exits with 0."""
        terminate = [1, 1, [14, b"slave is sealing"]]
        self.socket.sendall(msgpack.packb(terminate, use_bin_type=False))
        self.assertEqual(self.take(1), [terminate])
        self.assertEqual(self.socket.recv(1), b"")
        self.assertEqual(self.child._process.wait(10), 0)

    def test_end_of_the_node(self) -> None:
        """A worker whose node is gone exits."""
        self.socket.close()
        self.assertEqual(self.child._process.wait(10), 0)

    def test_no_frame(self) -> None:
        """Bytes that are no frame end it with a message."""
        self.socket.sendall(b"\xc1")
        self.assertEqual(self.child._process.wait(10), 65)
        self.assertIn("no frame", self.child.tail())


class BuildTests(SynchronousTestCase):
    """The compiler at work."""

    def setUp(self) -> None:
        """Find the compiler."""
        try:
            toolchain.find_compiler()
        except BenchError as error:
            raise SkipTest(str(error)) from error
        self.cache = Path(self.mktemp())
        self.cache.mkdir()
        self.sources = Path(self.mktemp())
        self.sources.mkdir()

    def source(self, text: str) -> None:
        """Write the source of the program ``x``."""
        (self.sources / "x.c").write_text(text)

    def test_kept(self) -> None:
        """A program is compiled once for each state of its sources."""
        self.source("int main(void) { return 0; }")
        first = toolchain.build("x", self.sources, self.cache)
        stamp = first.stat().st_mtime_ns
        again = toolchain.build("x", self.sources, self.cache)
        self.assertEqual((again, again.stat().st_mtime_ns), (first, stamp))
        self.source("int main(void) { return 1; }")
        self.assertNotEqual(toolchain.build("x", self.sources, self.cache), first)

    def test_refused(self) -> None:
        """What the compiler says is in the error, and nothing is left behind."""
        self.source("int main(void) { return nonsense; }")
        error = self.assertRaises(
            BenchError, toolchain.build, "x", self.sources, self.cache
        )
        self.assertIn("nonsense", str(error))
        self.assertEqual(list(self.cache.iterdir()), [])

    def test_sources_without_warnings(self) -> None:
        """Our own sources are plain C99."""
        strict = "cc -Wextra -Werror -pedantic"
        environment = {**os.environ, "CC": strict}
        for program in (toolchain.LOAD, toolchain.WORKER):
            built = toolchain.build(program, cache=self.cache, environment=environment)
            self.assertTrue(os.access(built, os.X_OK))


class ChildTests(SynchronousTestCase):
    """Child processes that behave, and others."""

    def child(self, program: str) -> Child:
        """Start an interpreter on *program*."""
        made = Child("it", [sys.executable, "-c", program], Path(self.mktemp()))
        self.addCleanup(made.stop)
        return made

    def test_lines(self) -> None:
        """Lines are given one by one."""
        child = self.child("print('one\\ntwo')")
        self.assertEqual([child.read_line(20), child.read_line(20)], ["one", "two"])

    def test_no_line(self) -> None:
        """Waiting for a line has an end."""
        child = self.child("import time; time.sleep(60)")
        error = self.assertRaises(BenchError, child.read_line, 0.01)
        self.assertIn("it: no line of output within 0.01 s; it still runs", str(error))

    def test_early_end(self) -> None:
        """A child that ends instead is reported with its output."""
        child = self.child("import sys; sys.exit('because')")
        error = self.assertRaises(BenchError, child.read_line, 20)
        self.assertIn("status 1", str(error))
        self.assertIn("because", str(error))

    def test_endless_line(self) -> None:
        """A line has a limit."""
        child = self.child("while True: print('x' * 4096, end='')")
        error = self.assertRaises(BenchError, child.read_line, 20)
        self.assertIn("a line of more than", str(error))

    def test_stop_is_heeded(self) -> None:
        """SIGTERM comes first, and stopping twice does no harm."""
        child = self.child("print(1, flush=True); import time; time.sleep(60)")
        child.read_line(20)
        child.stop()
        child.stop()
        self.assertEqual(child.exit_status(), -signal.SIGTERM)

    def test_stop_by_force(self) -> None:
        """SIGKILL follows for one that does not heed it."""
        child = self.child(
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
            "print(1, flush=True); time.sleep(60)"
        )
        child.read_line(20)
        child.stop(0.01)
        self.assertEqual(child.exit_status(), -signal.SIGKILL)

    def test_no_program(self) -> None:
        """A program that is not there is a clear error."""
        error = self.assertRaises(
            BenchError, Child, "it", ["/nonexistent"], Path(self.mktemp())
        )
        self.assertEqual(str(error), "it: /nonexistent: No such file or directory")

    def test_input_ends(self) -> None:
        """A child can be told to go on by closing its input."""
        child = self.child("import sys; sys.stdin.read(); print('on')")
        child.close_input()
        self.assertEqual(child.read_line(20), "on")

    def test_pinned(self) -> None:
        """Children stay on the processor to which this process is pinned."""
        allowed = os.sched_getaffinity(0)
        self.addCleanup(os.sched_setaffinity, 0, allowed)
        pin(max(allowed))
        child = self.child("import os; print(os.sched_getaffinity(0))")
        self.assertEqual(child.read_line(20), repr({max(allowed)}))
