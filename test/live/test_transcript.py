# -*- test-case-name: cocained.test.live.test_transcript -*-
"""
The notation of the transcripts, and how they are played.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgpack
from twisted.trial.unittest import SynchronousTestCase

from cocained.test.live.transcript import Mismatch, parse, play, to_bytes


class ParseTests(SynchronousTestCase):
    """What is read."""

    def test_values(self) -> None:
        """Every kind of value is read as what it stands for."""
        for text, value in (
            ("[]", []),
            ("{}", {}),
            ('[1, -2, 1.5, "a"]', [1, -2, 1.5, b"a"]),
            ("[nil, true, false]", [None, True, False]),
            ('{0: ["m", {}], "k": nil}', {0: [b"m", {}], b"k": None}),
            ('h"00ff"', b"\x00\xff"),
            (r'"a\"b\n"', b'a"b\n'),
            ("PRIM", {0: [b"value", {}], 1: [b"error", {}]}),
        ):
            self.assertEqual(parse(text), value)

    def test_patterns(self) -> None:
        """Patterns equal what they describe, and nothing else."""
        self.assertEqual(parse('[*, ~"mid"]'), [object(), b"a mid b"])
        self.assertNotEqual(parse('~"mid"'), b"middle"[1:])
        self.assertNotEqual(parse('~"mid"'), 5)
        uuid = b"2875901c-cb50-4bbc-a8a7-ee4548f90667"
        self.assertEqual(parse("<uuid>"), uuid)
        self.assertNotEqual(parse("<uuid>"), uuid.upper())

    def test_mistakes(self) -> None:
        """What is not in the notation is refused."""
        for text in ("", "[1", "[1 2]", "{1}", "[] []", "@"):
            self.assertRaises(ValueError, parse, text)
        self.assertRaises(KeyError, parse, "null")

    def test_bytes(self) -> None:
        """Frames are packed as the old clients do, raw bytes are left alone."""
        self.assertEqual(to_bytes("raw c1"), b"\xc1")
        text = "x" * 40
        packed = msgpack.packb([1, 0, [text]], use_bin_type=False)
        self.assertEqual(to_bytes(f'[1, 0, ["{text}"]]'), packed)


class StubPeer:
    """
    Says what it was told to say.

    :param frames: all that it will ever say.
    :param closed: whether it then hangs up.
    """

    def __init__(self, frames: Iterable[Any], closed: bool = False) -> None:
        self.frames = list(frames)
        self.closed = closed
        self.heard: list[bytes] = []

    def send_bytes(self, data: bytes) -> None:
        self.heard.append(data)

    def take(self, count: int) -> list[Any]:
        taken, self.frames = self.frames[:count], self.frames[count:]
        return taken

    def rest(self, seconds: float) -> list[Any]:
        return self.take(len(self.frames))

    def is_closed(self) -> bool:
        return self.closed


class PlayTests(SynchronousTestCase):
    """What is played."""

    def test_one_packet(self) -> None:
        """Lines that follow each other leave together."""
        peer = StubPeer([[1, 2, []]])
        play(peer, "> [1, 0, []]\n> [2, 0, []]\n< [1, 2, []]\n> [3, 0, []]")
        self.assertEqual(
            peer.heard,
            [to_bytes("[1, 0, []]") + to_bytes("[2, 0, []]"), to_bytes("[3, 0, []]")],
        )

    def test_headers(self) -> None:
        """Headers are compared where they are expected, and only there."""
        frames = [[1, 2, [], [[False, b"a", b"b"]]]]
        play(StubPeer(frames), "< [1, 2, []]")
        play(StubPeer(frames), '< [1, 2, [], [[false, "a", "b"]]]')
        self.assertRaises(Mismatch, play, StubPeer(frames), "< [1, 2, [], []]")

    def test_order(self) -> None:
        """The order counts within a channel, not among channels."""
        frames = [[2, 0, [1]], [1, 0, [1]], [1, 2, []]]
        play(StubPeer(frames), "< [1, 0, [1]]\n< [1, 2, []]\n< [2, 0, [1]]")
        self.assertRaises(
            Mismatch,
            play,
            StubPeer(frames),
            "< [1, 2, []]\n< [1, 0, [1]]\n< [2, 0, [1]]",
        )

    def test_other_answer(self) -> None:
        """Another answer, none, and one too many are told apart from success."""
        for frames, script in (
            ([[1, 1, []]], "< [1, 2, []]"),
            ([], "< [1, 2, []]"),
            ([[2, 2, []]], "< [1, 2, []]"),
            ([[1, 2, []], [1, 2, []]], "< [1, 2, []]\n< (no answer)"),
            ([[1, 2]], "< [1, 2, []]"),
        ):
            self.assertRaises(Mismatch, play, StubPeer(frames), script)

    def test_closed(self) -> None:
        """The end of the connection must come where it is expected."""
        play(StubPeer([], closed=True), "< <connection closed>")
        self.assertRaises(Mismatch, play, StubPeer([]), "< <connection closed>")

    def test_nonsense(self) -> None:
        """A line of no meaning is a mistake in the test."""
        self.assertRaises(ValueError, play, StubPeer([]), "hello")
        self.assertRaises(ValueError, play, StubPeer([]), "< perhaps")
