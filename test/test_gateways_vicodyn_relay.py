# -*- test-case-name: cocained.test.test_gateways_vicodyn_relay -*-
"""
One request on its way to another node: what is passed on, and who breaks the rules.
"""

from __future__ import annotations

from cocained.rpc.codec import LARGE
from cocained.rpc.graph import CLOSE, ERROR, WRITE
from cocained.rpc.headers import Trace
from cocained.test.vicodyn_case import (
    VicodynCase,
    refusal,
)


class PassingTests(VicodynCase):
    """What goes through, with one node."""

    def setUp(self) -> None:
        super().setUp()
        self.there = self.remote("there", "app")
        self.peer = self.client()

    def test_there_and_back(self) -> None:
        """An event, chunks both ways, and both ends (row 262)."""
        self.peer.send(1, 0, b"ping")
        self.peer.send(1, WRITE, b"one")
        self.peer.send(1, WRITE, b"two")
        self.peer.send(1, CLOSE)
        (channel, *_), *_ = frames = self.there.take()

        self.assertEqual(
            frames,
            [
                [channel, 5, [b"app", b"ping"]],
                [channel, WRITE, [b"one"]],
                [channel, WRITE, [b"two"]],
                [channel, CLOSE, []],
            ],
        )
        self.there.chunk(channel, b"1")
        self.there.chunk(channel, b"2")
        self.there.close(channel)
        self.assertEqual(
            self.peer.take(),
            [[1, WRITE, [b"1"]], [1, WRITE, [b"2"]], [1, CLOSE, []]],
        )

    def test_one_connection(self) -> None:
        """All requests share one connection, each on a channel of its own."""
        others = [self.client() for _ in range(3)]
        for peer in (self.peer, *others):
            peer.send(1, 0, b"ping")

        self.assertEqual(len(set(self.there.requests())), 4)
        self.assertEqual(self.there.connections, 1)

    def test_big_chunks(self) -> None:
        """Chunks of any size go through, both ways."""
        for size in (0, 1, LARGE - 1, LARGE, 300_000):
            self.peer.send(size + 1, 0, b"ping")
            self.peer.send(size + 1, WRITE, b"x" * size)
            (channel, _, _), chunk = self.there.take()
            self.assertEqual(chunk, [channel, WRITE, [b"x" * size]])

            self.there.chunk(channel, b"y" * size)
            self.assertEqual(self.peer.take(), [[size + 1, WRITE, [b"y" * size]]])

    def test_headers(self) -> None:
        """The client's headers go along, and its trace stays the same."""
        trace = Trace(7, 8, 9)
        headers = [
            *([False, *header] for header in trace.headers()),
            [False, b"request_timeout", b"5000"],
            [False, b"x-own", b"value"],
        ]
        self.peer.send(1, 0, b"ping", headers=headers)
        self.peer.send(1, WRITE, b"one")
        first, chunk = self.there.take_whole()

        self.assertEqual(
            [tuple(header[1:]) for header in first[3]],
            [*trace.headers(), (b"request_timeout", b"5000"), (b"x-own", b"value")],
        )
        self.assertEqual([tuple(header[1:]) for header in chunk[3]], trace.headers())
        self.there.chunk(first[0], b"1")
        (answer,) = self.peer.take_whole()
        self.assertEqual([tuple(header[1:]) for header in answer[3]], trace.headers())

    def test_bad_trace(self) -> None:
        """A trace that contradicts itself is an error, and nothing is sent."""
        headers = [
            [False, b"trace_id", bytes(8)],
            [False, b"span_id", b"\x01" + bytes(7)],
            [False, b"parent_id", bytes(8)],
        ]
        self.peer.send(1, 0, b"ping", headers=headers)

        self.assertEqual(self.peer.take()[0][1], ERROR)
        self.assertEqual(self.there.take(), [])
        self.peer.send(2, 0, b"ping")
        self.assertEqual(len(self.there.requests()), 1)

    def test_tag(self) -> None:
        """A tag is accepted and does nothing, as ever."""
        self.peer.send(1, 0, b"ping", b"tag")

        self.assertEqual(self.there.take()[0][2], [b"app", b"ping"])

    def test_client_error(self) -> None:
        """An error of the client ends its half only."""
        self.peer.send(1, 0, b"ping")
        self.peer.send(1, ERROR, [43, 5], b"enough")
        (channel, _, _), error = self.there.take()
        self.assertEqual(error, [channel, ERROR, [[43, 5], b"enough"]])

        self.there.chunk(channel, b"1")
        self.there.close(channel)

        self.assertEqual(self.peer.take(), [[1, WRITE, [b"1"]], [1, CLOSE, []]])

    def test_error_of_the_app(self) -> None:
        """An error of the app goes to the client as it is, and ends both halves."""
        for fresh in (True, False):
            peer = self.client()
            peer.send(1, 0, b"ping")
            (channel,) = self.there.requests()
            if not fresh:
                self.there.chunk(channel, b"1")
                peer.take()
            self.there.error(channel, (42, 3, b"no"))

            self.assertEqual(peer.take(), [refusal(1, (42, 3, b"no"))])
            # The node is told that nothing more will come.
            self.assertEqual(self.there.take(), [[channel, CLOSE, []]])
            peer.send(1, WRITE, b"late")
            self.assertEqual(self.there.take(), [])

    def test_answer_before_the_end(self) -> None:
        """An app that has said all still hears the client to its end."""
        self.peer.send(1, 0, b"ping")
        (channel,) = self.there.requests()
        self.there.close(channel)
        self.assertEqual(self.peer.take(), [[1, CLOSE, []]])
        self.peer.send(1, WRITE, b"more")
        self.peer.send(1, CLOSE)

        self.assertEqual(
            self.there.take(), [[channel, WRITE, [b"more"]], [channel, CLOSE, []]]
        )
        self.assertEqual(self.link("there").invocations, {})

    def test_late_frames(self) -> None:
        """What comes after the end is dropped, and harms nobody."""
        self.peer.send(1, 0, b"ping")
        self.peer.send(1, CLOSE)
        (channel,) = self.there.requests()
        self.there.close(channel)
        self.there.chunk(channel, b"late")
        self.there.error(channel, (42, 1, b"late"))

        self.assertEqual(self.peer.take(), [[1, CLOSE, []]])

    def test_other_methods(self) -> None:
        """``info`` and ``control`` are errors, and the session lives on."""
        self.peer.send(1, 1)
        self.peer.send(2, 2)
        self.peer.send(3, 0, b"ping")

        errors = self.peer.take()
        self.assertEqual(
            [(channel, kind, args[0]) for channel, kind, args in errors],
            [(1, ERROR, [7, 5]), (2, ERROR, [7, 5])],
        )
        self.assertIn(b"node service", errors[0][2][1])
        self.assertEqual(len(self.there.requests()), 1)


class MistakeTests(VicodynCase):
    """Broken rules end one request, on both sides."""

    def setUp(self) -> None:
        super().setUp()
        self.there = self.remote("there", "app")
        self.peer = self.client()
        self.peer.send(1, 0, b"ping")
        self.peer.send(2, 0, b"other")
        self.first, self.second = self.there.requests()

    def check(self, code: int) -> None:
        """The first request is over on both sides, the second goes on."""
        (error,) = self.peer.take()
        self.assertEqual(error[:2] + error[2][:1], [1, ERROR, [7, code]])
        (told,) = self.there.take()
        self.assertEqual(told[:2] + told[2][:1], [self.first, ERROR, [7, code]])
        self.there.chunk(self.second, b"fine")
        self.assertEqual(self.peer.take(), [[2, WRITE, [b"fine"]]])

    def test_client(self) -> None:
        """The client sends something else than a string."""
        self.peer.send(1, WRITE, 5)
        self.check(2)

    def test_client_nothing(self) -> None:
        """The client sends a chunk without a string."""
        self.peer.send(1, WRITE)
        self.check(2)

    def test_client_error(self) -> None:
        """The client sends an error that is none."""
        self.peer.send(1, ERROR, b"bad")
        self.check(2)

    def test_client_message(self) -> None:
        """The client sends a message that there is not."""
        self.peer.send(1, 17)
        self.check(5)

    def test_node(self) -> None:
        """The node sends something else than a string."""
        self.there.send(self.first, WRITE, 5)
        self.check(2)

    def test_node_error(self) -> None:
        """The node sends an error that is none."""
        self.there.send(self.first, ERROR, b"bad")
        self.check(2)

    def test_node_message(self) -> None:
        """The node sends a message that there is not."""
        self.there.send(self.first, 17)
        self.check(5)
