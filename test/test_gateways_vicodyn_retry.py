# -*- test-case-name: cocained.test.test_gateways_vicodyn_retry -*-
"""
What a node did not take is given to another one, as far as it was kept.
"""

from __future__ import annotations

from cocained.gateways.vicodyn.relay import CHUNK_OVERHEAD, KEEP_LIMIT
from cocained.gateways.vicodyn.virtual import KEEP_TOTAL
from cocained.rpc.graph import CLOSE, ERROR, WRITE
from cocained.test.vicodyn_case import (
    NOT_CONNECTED,
    NOT_RUNNING,
    QUEUE_IS_FULL,
    RemoteNode,
    VicodynCase,
    refusal,
)
from cocained.testing import frame


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
