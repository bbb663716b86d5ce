# -*- test-case-name: cocained.test.live.test_reference_apps -*-
"""
The app service, probe by probe (reference-behaviour.md §7 and §7.1).
"""

from __future__ import annotations

import os

from cocained.test.live.support import AppCase, differs, live_suite, wait_for
from cocained.test.live.transcript import play

TRACE = (
    '[[false, "trace_id", h"0700000000000000"], [false, "span_id",'
    ' h"0800000000000000"], [false, "parent_id", h"0900000000000000"]]'
)


class CallTests(AppCase):
    """Requests that go well, in all shapes."""

    @differs("L1-L3")
    def test_graph(self) -> None:
        """An app's graph names enqueue, info and control."""
        self.play(
            "locator",
            """
            > [1, 0, ["probe"]]
            < [1, 0, [*, 1, {0: ["enqueue", STREAM, STREAM], 1: ["info", {}, PRIM], 2: ["control", STREAM, PRIM]}]]
            """,  # noqa: E501
        )

    def test_a0_ping(self) -> None:
        """A0, A20: a cold app answers, and so does the node for it."""
        self.play(
            "probe",
            """
            > [1, 0, ["ping"]]
            < [1, 0, ["pong"]]
            < [1, 2, []]
            > [2, 65533, []]
            < [2, 0, []]
            """,
        )

    def test_a1_echo(self) -> None:
        """Chunks go both ways one by one, and so does the close."""
        self.play(
            "probe",
            """
            > [1, 0, ["echo"]]
            < (no answer)
            > [1, 0, ["one"]]
            < [1, 0, ["one"]]
            > [1, 0, ["two"]]
            < [1, 0, ["two"]]
            > [1, 2, []]
            < [1, 2, []]
            """,
        )

    @differs("A2")
    def test_a2_reuse(self) -> None:
        """A channel that both sides have closed is finished."""
        self.play(
            "probe",
            """
            > [1, 0, ["ping"]]
            < [1, 0, ["pong"]]
            < [1, 2, []]
            > [1, 2, []]
            > [1, 0, ["ping"]]
            < (no answer)
            > [2, 0, ["ping"]]
            < [2, 0, ["pong"]]
            < [2, 2, []]
            """,
        )

    def test_a3_errors(self) -> None:
        """Errors of the worker arrive; an unknown category becomes 255."""
        self.play(
            "probe",
            """
            > [1, 0, ["err"]]
            < [1, 1, [[42, 7], "oops"]]
            > [1, 2, []]
            < (no answer)
            > [2, 0, ["errbig"]]
            < [2, 1, [[255, -7], "neg"]]
            """,
        )

    def test_a4_chunks(self) -> None:
        """Chunks of an answer keep their order."""
        self.play(
            "probe",
            """
            > [1, 0, ["chunks"]]
            > [1, 2, []]
            < [1, 0, ["c0"]]
            < [1, 0, ["c1"]]
            < [1, 0, ["c2"]]
            < [1, 2, []]
            """,
        )

    def test_a15_live_channel(self) -> None:
        """A second enqueue on a live channel is a chunk."""
        self.play(
            "probe",
            """
            > [1, 0, ["echo"]]
            > [1, 0, ["echo"]]
            < [1, 0, ["echo"]]
            > [1, 2, []]
            < [1, 2, []]
            """,
        )

    def test_a16_interleaved(self) -> None:
        """Two channels do not disturb each other."""
        self.play(
            "probe",
            """
            > [1, 0, ["echo"]]
            > [2, 0, ["echo"]]
            > [2, 0, ["b"]]
            > [1, 0, ["a"]]
            > [2, 2, []]
            > [1, 2, []]
            < [2, 0, ["b"]]
            < [1, 0, ["a"]]
            < [2, 2, []]
            < [1, 2, []]
            """,
        )

    def test_a17_trace(self) -> None:
        """The trace of the request comes back with each frame of the answer."""
        self.play(
            "probe",
            f"""
            > [1, 0, ["echo"], {TRACE}]
            > [1, 0, ["p"], [[false, "x-chunk", "cv"]]]
            < [1, 0, ["p"], {TRACE}]
            > [1, 2, []]
            < [1, 2, [], {TRACE}]
            """,
        )

    def test_a17_headers(self) -> None:
        """Headers of the request reach the worker behind the trio."""
        app = self.connect("probe")
        play(app, '> [1, 0, ["headers"], [[false, "x-my", "v"]]]\n> [1, 2, []]')
        (packed,) = app.receive()[2]
        self.assertIn(b"x-my", packed)
        trio = [b"trace_id", b"span_id", b"parent_id"]
        places = [packed.index(name) for name in [*trio, b"x-my"]]
        self.assertEqual(places, sorted(places))

    def test_a18_worker_headers(self) -> None:
        """Headers of the worker do not reach the client."""
        app = self.connect("probe")
        app.send(1, 0, ["hdr"])
        frame, end = app.receive(), app.receive()
        self.assertEqual((frame[:3], end[:3]), ([1, 0, [b"withhdr"]], [1, 2, []]))
        self.assertNotIn(b"x-worker", str([frame, end]).encode())

    def test_a21_payloads(self) -> None:
        """An empty chunk is one, and bin8 is a string."""
        self.play(
            "probe",
            """
            > [1, 0, ["echo"]]
            > [1, 0, [""]]
            < [1, 0, [""]]
            > raw 93010091c4027a7a
            < [1, 0, ["zz"]]
            > [1, 2, [1]]
            < [1, 2, []]
            """,
        )

    def test_x4_arguments(self) -> None:
        """Of a chunk's arguments the first one counts."""
        self.play(
            "probe",
            """
            > [1, 0, ["echo"]]
            > [1, 0, ["a", "b"]]
            < [1, 0, ["a"]]
            > [1, 2, []]
            < [1, 2, []]
            """,
        )

    def test_megabyte(self) -> None:
        """A chunk of 1 MiB travels in one frame each way."""
        chunk = os.urandom(1 << 20)
        self.assertEqual(self.connect("probe").stream("echo", chunk), [chunk])

    def test_cold_order(self) -> None:
        """What comes before the worker is there is delivered in its order."""
        chunks = [b"%d" % number for number in range(500)]
        self.assertEqual(self.connect("probe").stream("echo", *chunks), chunks)


class RefusalTests(AppCase):
    """Requests that break a rule."""

    @differs("A8, A9, A19")
    def test_a8_arguments(self) -> None:
        """An event must be a string, and there are three methods."""
        self.play(
            "probe",
            """
            > [1, 0, []]
            < [1, 1, [[7, 2], ~"got 0 element(s)"]]
            > [2, 0, [5]]
            < [2, 1, [[7, 2], "expected a string, got an integer"]]
            > [3, 3, []]
            < [3, 1, [[7, 5], "there is no method 3"]]
            > [4, 0, ["ping"]]
            < [4, 0, ["pong"]]
            < [4, 2, []]
            """,
        )

    def broken_stream(self, frame: str, answer: str) -> list[object]:
        """Break a stream, see that another lives on, and ask what the worker saw."""
        app = self.play(
            "probe",
            f"""
            > [1, 0, ["echo"]]
            > [2, 0, ["echo"]]
            > [2, 0, ["alive"]]
            < [2, 0, ["alive"]]
            > {frame}
            < {answer}
            > [2, 0, ["alive"]]
            < [2, 0, ["alive"]]
            > [2, 2, []]
            < [2, 2, []]
            """,
        )
        app.close()
        seen = self.ask("seen")
        return [each[1:3] for each in seen if each[2] and each[2] != [b"alive"]]

    @differs("A11b")
    def test_a11b_legacy_error(self) -> None:
        """An error of the old shape ends its channel, and the worker is told."""
        seen = self.broken_stream(
            '[1, 1, [2, "client gave up"]]', "[1, 1, [[7, 2], *]]"
        )
        self.assertEqual(seen[0][1][0], [7, 2])  # type: ignore[index]

    @differs("A14")
    def test_a14_unknown_type(self) -> None:
        """A message of no meaning ends its channel, and the worker is told."""
        seen = self.broken_stream("[1, 3, []]", "[1, 1, [[7, 5], *]]")
        self.assertEqual(seen[0][1][0], [7, 5])  # type: ignore[index]

    @differs("A14")
    def test_a14b_control_type(self) -> None:
        """So does a control message on a channel of a stream."""
        seen = self.broken_stream("[1, 65533, []]", "[1, 1, [[7, 5], *]]")
        self.assertEqual(seen[0][1][0], [7, 5])  # type: ignore[index]

    def test_a11_client_error(self) -> None:
        """An error of the client reaches the worker, with or without its text."""
        self.play(
            "probe",
            """
            > [1, 0, ["hang"]]
            > [1, 1, [[1, 2], "client gave up"]]
            > [2, 0, ["hang"]]
            > [2, 1, [[1, 2]]]
            > [3, 0, ["hang"]]
            > [3, 1, [[1, 2], "x", 5]]
            < (no answer)
            """,
        )
        seen = [[kind, args] for _, kind, args, _ in self.ask("seen")]
        self.assertEqual(
            seen,
            [
                [1, [[1, 2], b"client gave up"]],
                [1, [[1, 2], b""]],
                [1, [[1, 2], b"x"]],
            ],
        )

    def test_disconnected(self) -> None:
        """The worker hears that a client has gone without a close."""
        app = self.connect("probe")
        app.send(1, 0, ["echo"])
        app.send(1, 0, ["x"])
        app.receive()
        app.close()
        wait_for("it is told", lambda: not self.node.info("probe")[b"load"], 5)
        seen = [[kind, args[0]] for _, kind, args, _ in self.ask("seen")]
        self.assertEqual(seen, [[0, b"x"], [1, [5, 2]]])

    @differs("A12, A13")
    def test_a12_after_close(self) -> None:
        """What comes behind the client's close is dropped."""
        self.play(
            "probe",
            """
            > [1, 0, ["late"]]
            > [1, 2, []]
            > [1, 2, []]
            > [1, 0, ["x"]]
            < [1, 0, ["late"]]
            < [1, 2, []]
            > [2, 0, ["ping"]]
            < [2, 0, ["pong"]]
            < [2, 2, []]
            """,
        )

    @differs("X6")
    def test_x6_revoke(self) -> None:
        """A channel that its client has revoked is finished."""
        self.play(
            "probe",
            """
            > [1, 0, ["hang"]]
            > [2, 65535, [1, [1, 2]]]
            < [2, 0, []]
            > [1, 0, ["x"]]
            < (no answer)
            > [3, 0, ["ping"]]
            < [3, 0, ["pong"]]
            < [3, 2, []]
            """,
        )


class WorkerTests(AppCase):
    """What a worker sees (§7.1)."""

    def test_command_line(self) -> None:
        """A worker gets the five options, sorted, and runs in its app's code."""
        words, place, environment = self.ask("argv")
        options = dict(zip(words[::2], words[1::2], strict=True))
        self.assertEqual(
            list(options),
            [b"--app", b"--endpoint", b"--locator", b"--protocol", b"--uuid"],
        )
        self.assertEqual((options[b"--app"], options[b"--protocol"]), (b"probe", b"1"))
        locator = f"127.0.0.1:{self.node.ports['locator']}".encode()
        self.assertEqual(options[b"--locator"], locator)
        assert self.node.process is not None
        endpoint = self.node.directory / "run" / f"probe.{self.node.process.pid}"
        self.assertEqual(options[b"--endpoint"], str(endpoint).encode())
        spool = str(self.node.directory / "spool" / "probe").encode()
        self.assertEqual(place[: len(spool)], spool)
        self.assertIn(options[b"--uuid"], self.node.info("probe")[b"pool"][b"slaves"])
        self.assertIn(b"PATH", environment)


test_suite = live_suite(__name__)
