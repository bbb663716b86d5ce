# -*- test-case-name: cocained.test.test_gateways_vicodyn_relay -*-
"""
One request on its way to another node: what is passed on, what is sent again,
and how it ends whoever goes away.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost

from cocained.gateways.vicodyn.relay import CHUNK_OVERHEAD, KEEP_LIMIT
from cocained.gateways.vicodyn.virtual import KEEP_TOTAL
from cocained.rpc.codec import LARGE
from cocained.rpc.graph import CLOSE, ERROR, WRITE
from cocained.rpc.headers import Trace
from cocained.rpc.pressure import ALLOWANCE
from cocained.rpc.session import CHANNEL_LIMIT
from cocained.test.vicodyn_case import (
    NOT_CONNECTED,
    NOT_RUNNING,
    QUEUE_IS_FULL,
    RemoteNode,
    VicodynCase,
)
from cocained.testing import Peer, frame


def refusal(channel: int, error: tuple[int, int, bytes]) -> list[Any]:
    """An error as a client gets it."""
    return [channel, ERROR, [list(error[:2]), error[2]]]


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


class RetryTests(VicodynCase):
    """What a node did not take is given to another one."""

    args = {"balancer": {"args": {"policy": "round-robin", "retry_count": 2}}}

    def setUp(self) -> None:
        super().setUp()
        self.nodes = [self.remote(uuid, "app") for uuid in ("a", "b", "c")]
        self.peer = self.client()

    def ask(self, *chunks: bytes, end: bool = True) -> tuple[RemoteNode, int]:
        """Send a request; say who got it."""
        self.peer.send(1, 0, b"ping")
        for chunk in chunks:
            self.peer.send(1, WRITE, chunk)
        if end:
            self.peer.send(1, CLOSE)
        return self.owner()

    def test_recoverable(self) -> None:
        """Each of the three errors sends it on, chunks and end included."""
        for number, error in enumerate((QUEUE_IS_FULL, NOT_RUNNING, NOT_CONNECTED), 1):
            peer = self.client()
            peer.send(number, 0, b"ping")
            peer.send(number, WRITE, b"one")
            peer.send(number, CLOSE)
            first, channel = self.owner()
            first.error(channel, error)

            found = [(r, f) for r in self.nodes for f in [r.take()] if f]
            self.assertEqual(len(found), 1)
            second, frames = found[0]
            self.assertIsNot(second, first)
            channel = frames[0][0]
            self.assertEqual(
                frames,
                [
                    [channel, 5, [b"app", b"ping"]],
                    [channel, WRITE, [b"one"]],
                    [channel, CLOSE, []],
                ],
            )
            second.chunk(channel, b"done")
            second.close(channel)
            self.assertEqual(
                peer.take(), [[number, WRITE, [b"done"]], [number, CLOSE, []]]
            )

    def test_headers_again(self) -> None:
        """The headers go along again."""
        self.peer.send(1, 0, b"ping", headers=[[False, b"x-own", b"value"]])
        first, channel = self.owner()

        first.error(channel, QUEUE_IS_FULL)

        (again,) = [f for r in self.nodes for f in r.take_whole() if f[1] == 5]
        self.assertIn([False, b"x-own", b"value"], again[3])

    def test_still_talking(self) -> None:
        """The client may go on talking; the first node is told the end."""
        first, channel = self.ask(b"one", end=False)
        first.error(channel, QUEUE_IS_FULL)
        self.assertEqual(first.take(), [[channel, CLOSE, []]])

        self.peer.send(1, WRITE, b"two")
        self.peer.send(1, CLOSE)

        (frames,) = [f for r in self.nodes if (f := r.take())]
        self.assertEqual(
            [frame[1:] for frame in frames],
            [
                [5, [b"app", b"ping"]],
                [WRITE, [b"one"]],
                [WRITE, [b"two"]],
                [CLOSE, []],
            ],
        )

    def test_client_error_again(self) -> None:
        """An error with which the client ended its half goes along."""
        self.peer.send(1, 0, b"ping")
        self.peer.send(1, ERROR, [43, 1], b"stop")
        first, channel = self.owner()

        first.error(channel, QUEUE_IS_FULL)

        (frames,) = [f for r in self.nodes if (f := r.take())]
        self.assertEqual(frames[1][1:], [ERROR, [[43, 1], b"stop"]])

    def test_bounded(self) -> None:
        """After so many refusals the last of them is the answer."""
        tried = []
        first, channel = self.ask()
        for _ in range(3):
            tried.append(first.uuid)
            self.assertEqual(self.peer.take(), [])
            first.error(channel, QUEUE_IS_FULL)
            if len(tried) < 3:
                first, channel = self.owner()

        self.assertEqual(self.peer.take(), [refusal(1, QUEUE_IS_FULL)])
        self.assertEqual(sorted(tried), ["a", "b", "c"])
        for remote in self.nodes:
            self.assertEqual(remote.requests(), [])

    def test_the_only_one(self) -> None:
        """A node that is alone is asked again, so many times."""
        self.gateway.cleanup("b")
        self.gateway.cleanup("c")
        first, channel = self.ask()
        self.assertEqual(first.uuid, "a")
        for _ in range(2):
            first.error(channel, QUEUE_IS_FULL)
            (channel,) = first.requests()

        first.error(channel, QUEUE_IS_FULL)

        self.assertEqual(self.peer.take(), [refusal(1, QUEUE_IS_FULL)])
        self.assertEqual(first.requests(), [])

    def test_none_is_left(self) -> None:
        """If all others have gone meanwhile, the refusal is the answer."""
        first, channel = self.ask()
        for remote in self.nodes:
            self.gateway.cleanup(remote.uuid)
        first.error(channel, QUEUE_IS_FULL)

        self.assertEqual(self.peer.take(), [refusal(1, QUEUE_IS_FULL)])

    def test_other_errors(self) -> None:
        """Any other error may mean that something was done: it is the answer."""
        for error in (
            (42, 1, b"event not found"),
            (20991, 1, b"the event has expired in the queue"),
            (20991, 3, b"slave has been discarded"),
            (20991, 2, b"too much"),
            (12, 32, b"stopped"),
            (7, 5, b"no such slot"),
            (5, 2, b"slave has been discarded"),
        ):
            peer = self.client()
            peer.send(1, 0, b"ping")
            peer.send(1, CLOSE)
            first, channel = self.owner()
            first.error(channel, error)

            self.assertEqual(peer.take(), [refusal(1, error)])
            self.assertEqual([r for r in self.nodes if r.requests()], [])

    def test_after_the_first_chunk(self) -> None:
        """An answer that has begun can be continued by nobody else."""
        first, channel = self.ask()
        first.chunk(channel, b"1")
        first.error(channel, QUEUE_IS_FULL)

        self.assertEqual(
            self.peer.take(), [[1, WRITE, [b"1"]], refusal(1, QUEUE_IS_FULL)]
        )
        self.assertEqual([r for r in self.nodes if r.requests()], [])

    def test_after_close(self) -> None:
        """An answer that is complete stays the answer."""
        first, channel = self.ask(end=False)
        first.close(channel)
        first.error(channel, QUEUE_IS_FULL)

        self.assertEqual(self.peer.take(), [[1, CLOSE, []]])
        self.assertEqual([r for r in self.nodes if r.requests()], [])

    def test_client_gone(self) -> None:
        """For a client that is gone nobody else is troubled."""
        first, channel = self.ask()
        self.peer.disconnect()

        first.error(channel, QUEUE_IS_FULL)

        self.assertEqual([r for r in self.nodes if r.requests()], [])

    def test_not_running_is_remembered(self) -> None:
        """A node that has not got the app is asked last, until it says otherwise."""
        first, channel = self.ask()
        first.error(channel, NOT_RUNNING)
        self.owner()
        for _ in range(6):
            self.client().send(1, 0, b"ping")
        self.assertEqual(first.requests(), [])

        for remote in self.nodes:
            remote.take()
        self.gateway.cleanup(first.uuid, "app")
        first.announce_apps("app")
        for _ in range(3):
            self.client().send(1, 0, b"ping")

        self.assertEqual(len(first.requests()), 1)

    def test_queue_full_is_not(self) -> None:
        """A full queue is a thing of the moment."""
        first, channel = self.ask()
        first.error(channel, QUEUE_IS_FULL)
        for _ in range(6):
            self.client().send(1, 0, b"ping")

        self.assertEqual(len(first.requests()), 2)


class KeepTests(VicodynCase):
    """What is kept for another node, and what is too much."""

    args = {"balancer": {"args": {"policy": "round-robin"}}}

    def setUp(self) -> None:
        super().setUp()
        self.nodes = [self.remote(uuid, "app") for uuid in ("a", "b")]
        self.peer = self.client()
        self.peer.send(1, 0, b"ping")
        self.first, self.channel = self.owner()
        self.second = self.nodes[self.first is self.nodes[0]]

    def test_up_to_the_limit(self) -> None:
        """As much as the limit is kept."""
        half = b"x" * (KEEP_LIMIT // 2 - CHUNK_OVERHEAD)
        self.peer.send(1, WRITE, half)
        self.peer.send(1, WRITE, half)

        self.first.error(self.channel, QUEUE_IS_FULL)

        sizes = [len(args[0]) for _, kind, args in self.second.take() if kind == WRITE]
        self.assertEqual(sizes, [len(half)] * 2)

    def test_beyond(self) -> None:
        """A longer request stays where it is: the refusal is the answer."""
        self.peer.send(1, WRITE, b"x" * KEEP_LIMIT)

        self.first.error(self.channel, QUEUE_IS_FULL)

        self.assertEqual(self.peer.take(), [refusal(1, QUEUE_IS_FULL)])
        self.assertEqual(self.second.take(), [])

    def test_many_empty_ones(self) -> None:
        """Chunks without bytes count, too."""
        empty = frame(1, WRITE, b"")
        for _ in range(KEEP_LIMIT // CHUNK_OVERHEAD // 64):
            self.peer.send_bytes(empty * 64)
            self.network.flush()
        self.assertIsNotNone(next(iter(self.gateway._apps["app"]._relays))._kept)
        self.peer.send(1, WRITE, b"")

        self.first.error(self.channel, QUEUE_IS_FULL)

        self.assertEqual(self.peer.take(), [refusal(1, QUEUE_IS_FULL)])

    def test_all_together(self) -> None:
        """All requests together keep no more than there is memory for."""
        self.gateway._ration.left = 1000
        self.peer.send(1, WRITE, b"x" * 500)
        self.peer.send(2, 0, b"ping")
        owner, channel = self.owner()
        self.peer.send(2, WRITE, b"x" * 500)

        owner.error(channel, QUEUE_IS_FULL)
        self.assertEqual(self.peer.take(), [refusal(2, QUEUE_IS_FULL)])
        self.first.error(self.channel, QUEUE_IS_FULL)
        self.assertEqual(self.peer.take(), [])
        self.gateway._ration.left += KEEP_TOTAL - 1000

    def test_given_back(self) -> None:
        """Memory is given back when the answer begins, or the request ends."""
        ration = self.gateway._ration
        self.peer.send(1, WRITE, b"x" * 500)
        self.peer.send(2, 0, b"ping")
        self.peer.send(2, WRITE, b"x" * 500)
        owner, channel = self.owner()
        self.assertEqual(ration.left, KEEP_TOTAL - 2 * (500 + CHUNK_OVERHEAD))

        self.first.chunk(self.channel, b"1")
        self.assertEqual(ration.left, KEEP_TOTAL - 500 - CHUNK_OVERHEAD)
        owner.error(channel, (42, 1, b"no"))
        self.assertEqual(ration.left, KEEP_TOTAL)

        self.peer.send(1, WRITE, b"x" * 500)
        self.assertEqual(ration.left, KEEP_TOTAL)
        self.assertEqual(self.peer.take()[0], [1, WRITE, [b"1"]])


class LossTests(VicodynCase):
    """Somebody goes away: each request ends, once, with a cause."""

    args = {"balancer": {"args": {"policy": "round-robin"}}}

    def setUp(self) -> None:
        super().setUp()
        self.nodes = [self.remote(uuid, "app") for uuid in ("a", "b")]
        self.peer = self.client()
        self.peer.send(1, 0, b"ping")
        self.first, self.channel = self.owner()
        self.second = self.nodes[self.first is self.nodes[0]]

    def check_lost(self, pair: list[int]) -> None:
        """The client was told once, and nobody else was asked."""
        (error,) = self.peer.take()
        self.assertEqual(error[:2] + error[2][:1], [1, ERROR, pair])
        self.assertIn(self.first.uuid.encode(), error[2][1])
        self.assertEqual(self.second.take(), [])
        # What the client has still to say goes nowhere.
        self.peer.send(1, WRITE, b"more")
        self.peer.send(1, CLOSE)
        self.assertEqual(self.peer.take(), [])
        self.assertEqual(self.peer.session.owed, 0)
        self.assertEqual(self.peer.session.channels, {})

    def test_before_the_first_byte(self) -> None:
        """A node that may have begun is not replaced: nobody knows what it did."""
        self.first.die()

        self.check_lost([5, 2])

    def test_after_the_first_byte(self) -> None:
        """An answer that breaks off is told as such."""
        self.first.chunk(self.channel, b"1")
        self.assertEqual(self.peer.take(), [[1, WRITE, [b"1"]]])

        self.first.die(ConnectionLost())

        self.check_lost([2, 104])

    def test_after_the_end_of_input(self) -> None:
        """So it is when the client has said all."""
        self.peer.send(1, CLOSE)
        self.first.take()

        self.first.die()

        self.check_lost([5, 2])

    def test_after_the_answer(self) -> None:
        """A request that was answered has nothing to lose."""
        self.first.close(self.channel)
        self.assertEqual(self.peer.take(), [[1, CLOSE, []]])

        self.first.die()
        self.peer.send(1, CLOSE)

        self.assertEqual(self.peer.take(), [])

    def test_garbage(self) -> None:
        """A node that sends no frames is as good as gone."""
        self.first.connection.transport.write(b"\xc1")
        self.network.flush()

        self.check_lost([6, 4])

    def test_others_live_on(self) -> None:
        """Requests at other nodes do not notice."""
        self.peer.send(2, 0, b"ping")
        other, channel = self.owner()
        self.assertIs(other, self.second)
        self.first.die()
        self.peer.take()

        other.chunk(channel, b"fine")

        self.assertEqual(self.peer.take(), [[2, WRITE, [b"fine"]]])

    def test_client(self) -> None:
        """A client that goes away is told to the node, which is not asked twice."""
        self.peer.disconnect()

        (told,) = self.first.take()
        self.assertEqual(told[:2] + told[2][:1], [self.channel, ERROR, [7, 3]])
        self.assertIn(b"client is gone", told[2][1])
        self.first.chunk(self.channel, b"1")
        self.first.close(self.channel)
        link = self.link(self.first.uuid)
        self.assertEqual(link.invocations, {})

    def test_client_that_had_said_all(self) -> None:
        """The answer for a client that said all and went is dropped."""
        self.peer.send(1, CLOSE)
        self.first.take()
        self.peer.disconnect()

        self.first.chunk(self.channel, b"1")
        self.first.close(self.channel)

        self.assertEqual(self.first.take(), [])
        link = self.link(self.first.uuid)
        self.assertEqual(link.invocations, {})

    def test_client_that_only_listens(self) -> None:
        """A client that shut down its side ends its open requests."""
        self.peer.end_input()

        (told,) = self.first.take()
        self.assertEqual(told[2][0], [7, 3])

    def test_both(self) -> None:
        """Node and client go away in one moment."""
        self.first.connection.transport.peer.losing = True
        self.peer.disconnect()
        self.first.die()

        self.assertEqual(self.gateway._apps["app"]._relays, {})
        self.assertEqual(self.second.take(), [])

    def test_fresh_start(self) -> None:
        """The next request goes to whoever is there."""
        self.first.die()
        self.peer.take()
        for channel in (2, 3, 4):
            self.peer.send(channel, 0, b"ping")

        self.assertEqual(len(self.second.requests()), 3)

    def test_all_gone(self) -> None:
        """When nobody is left that is an error at once, and no connection ends."""
        self.first.die()
        self.second.die()
        self.peer.take()

        self.peer.send(2, 0, b"ping")

        (error,) = self.peer.take()
        self.assertEqual(error[:2] + error[2][:1], [2, ERROR, [7, 3]])
        self.assertIn(b"none of the 2 nodes with app app", error[2][1])

    def test_dropped_while_working(self) -> None:
        """A node that the cluster dropped finishes what it has."""
        self.gateway.cleanup(self.first.uuid)
        self.first.chunk(self.channel, b"1")
        self.first.close(self.channel)
        self.peer.send(1, CLOSE)

        self.assertEqual(self.peer.take(), [[1, WRITE, [b"1"]], [1, CLOSE, []]])
        self.assertFalse(self.first.connection.lost)
        self.pass_time(5.5)
        self.assertTrue(self.first.connection.lost)

    def test_dropped_and_silent(self) -> None:
        """One that gave no sign of life before will not."""
        self.gateway.node_observed(self.first.uuid, None)
        self.gateway.cleanup(self.first.uuid)

        self.check_lost([2, 125])


class FullTests(VicodynCase):
    """More streams than one connection carries."""

    def test_full(self) -> None:
        """A node with as many as it takes is passed over; all full is an error."""
        there = self.remote("there", "app")
        peer = self.client()
        link = self.link("there")
        fillers: Any = {object(): None for _ in range(CHANNEL_LIMIT)}
        link.invocations.update(fillers)
        peer.send(1, 0, b"ping")
        self.assertEqual(peer.take()[0][2][0], [7, 3])

        other = self.remote("other", "app")
        peer.send(2, 0, b"ping")

        self.assertEqual(len(other.requests()), 1)
        self.assertEqual(there.take(), [])
        link.invocations.clear()


class PressureTests(VicodynCase):
    """Who waits for whom when somebody does not read."""

    def setUp(self) -> None:
        super().setUp()
        self.there = self.remote("there", "app")
        self.peer = self.client()
        self.peer.send(1, 0, b"ping")
        (self.channel,) = self.there.requests()

    def flood(self, peer: Peer, channel: int, at: int) -> None:
        """Let the node send a client more than fits."""
        for _ in range(6):
            self.there.chunk(at, b"x" * 65536)

    def test_slow_client(self) -> None:
        """The node is not read while its client does not read, and memory is flat."""
        self.peer.stop_reading()
        for _ in range(100):
            self.there.chunk(self.channel, b"x" * 65536)

        link = self.link("there")
        self.assertTrue(link.session.held)
        self.assertLess(self.peer.transport.waiting, 1_000_000)
        self.peer.read_again()
        self.network.flush()
        got = sum(len(args[0]) for _, _, args in self.peer.take())
        self.assertEqual(got, 100 * 65536)

    def test_small_answers(self) -> None:
        """A little for a client that does not read holds nobody."""
        self.peer.stop_reading()
        self.there.chunk(self.channel, b"x" * 65536)
        self.there.chunk(self.channel, b"x" * 1000)
        other = self.client()
        other.send(1, 0, b"ping")
        (channel,) = self.there.requests()

        self.there.chunk(channel, b"1")

        self.assertEqual(other.take(), [[1, WRITE, [b"1"]]])
        self.peer.read_again()

    def test_stopped_client(self) -> None:
        """A client that takes nothing while others wait loses its streams there."""
        self.peer.stop_reading()
        other = self.client()
        other.send(1, 0, b"ping")
        (channel,) = self.there.requests()
        self.flood(self.peer, 1, self.channel)
        self.there.chunk(channel, b"1")
        self.assertEqual(other.take(), [])

        self.pass_time(6)

        self.assertEqual(other.take(), [[1, WRITE, [b"1"]]])
        ends = [frame for frame in self.there.take() if frame[0] == self.channel]
        self.assertEqual(ends[0][2][0], [20991, 2])
        self.peer.read_again()
        last = self.peer.take()[-1]
        self.assertEqual((last[1], last[2][0]), (ERROR, [20991, 2]))

    def test_stuck_node_is_avoided(self) -> None:
        """A node whose connection is stuck gets nothing new while there are others."""
        other = self.remote("other", "app")
        self.peer.stop_reading()
        self.flood(self.peer, 1, self.channel)
        self.pass_time(1)
        for _ in range(5):
            self.client().send(1, 0, b"ping")
        self.assertEqual(len(other.requests()), 5)
        self.peer.read_again()
        self.pass_time(4)

        for _ in range(40):
            self.client().send(1, 0, b"ping")

        self.assertGreater(len(self.there.requests()), 10)

    def test_slow_node(self) -> None:
        """A client is not read while its node does not read."""
        self.there.connection.transport.pauseProducing()
        for _ in range(20):
            self.peer.send(1, WRITE, b"x" * 65536)

        self.assertTrue(self.peer.session.held)
        self.assertTrue(self.peer.transport.paused)
        self.there.connection.transport.resumeProducing()
        self.network.flush()
        self.network.flush()
        got = sum(len(args[0]) for _, kind, args in self.there.take() if kind == WRITE)
        self.assertEqual(got, 20 * 65536)
        self.assertFalse(self.peer.transport.paused)

    def test_slow_node_and_small_requests(self) -> None:
        """A client with a word for a slow node may talk to others."""
        other = self.remote("other", "second")
        self.there.connection.transport.pauseProducing()
        self.peer.send(1, WRITE, b"x" * (ALLOWANCE + 1000))
        second = self.client("second")
        second.send(1, 0, b"ping")

        self.assertEqual(len(other.requests()), 1)
        self.there.connection.transport.resumeProducing()
        self.network.flush()
