# -*- test-case-name: cocained.test.live.test_reference_apps -*-
"""
The app service, probe by probe (reference-behaviour.md §7 and §7.1).
"""

from __future__ import annotations

import os

import msgpack

from cocained.test.live.support import AppCase, differs, live_suite, wait_for
from cocained.test.live.transcript import parse, play

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
        """Chunks go both ways one by one, as does the close (rows 111, 155, 156)."""
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

    def test_a17_what_the_worker_gets(self) -> None:
        """The worker has the trace with each frame, and headers of the first only."""
        app = self.connect("probe")
        trace = parse(TRACE)
        app.send(1, 0, ["headers"], [*trace, [False, "x-my", b"v"]])
        (packed,) = app.receive()[2]
        invoked = msgpack.unpackb(packed, raw=True)
        app.send(2, 0, ["echo"], trace)
        app.send(2, 0, ["chunk"], [[False, "x-chunk", b"cv"]])
        app.send(2, 2, [])
        wait_for("the echo ends", lambda: app.receive()[:2] == [2, 2], 5)
        for headers in (invoked, *(each[3] for each in self.ask("seen"))):
            found = {name: value for _, name, value in headers[:3]}
            self.assertEqual(list(found), [b"trace_id", b"span_id", b"parent_id"])
            self.assertEqual(found[b"trace_id"], trace[0][2])
            # A span of its own, below the client's.
            self.assertEqual(found[b"parent_id"], trace[1][2])
            self.assertNotIn(found[b"span_id"], (trace[1][2], bytes(8)))
        self.assertEqual(invoked[3:], [[False, b"x-my", b"v"]])
        self.assertNotIn(b"x-chunk", str(self.ask("seen")).encode())

    def test_untraced(self) -> None:
        """The worker has the three headers also when there is no trace."""
        app = self.connect("probe")
        app.send(1, 0, ["headers"])
        headers = msgpack.unpackb(app.receive()[2][0], raw=True)
        self.assertEqual([name for _, name, _ in headers][:1], [b"trace_id"])
        self.assertEqual([value for *_, value in headers], [bytes(8)] * 3)

    def test_info(self) -> None:
        """The app's own report is the node's without what the node adds."""
        app = self.connect("probe")
        app.stream("ping")
        (own,) = app.call(1)
        node = self.node.info("probe")
        self.assertEqual(set(node) - set(own), {b"publushed", b"state"})
        self.assertEqual(set(own) - set(node), set())

    @differs("A8, A9, A19")
    def test_tag(self) -> None:
        """A tag may come behind the event and means nothing; it must be a string."""
        self.play(
            "probe",
            """
            > [1, 0, ["ping", "worker-1"]]
            < [1, 0, ["pong"]]
            < [1, 2, []]
            > [2, 0, ["ping", 5]]
            < [2, 1, [[7, 2], *]]
            """,
        )

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
