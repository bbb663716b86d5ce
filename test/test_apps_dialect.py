"""
Tests for :mod:`cocained.apps.dialect`.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.dialect import NUMBERED, PLAIN, Dialect
from cocained.errors import CocainedError, WorkerLost
from cocained.rpc.codec import LARGE, pack, raw_head


class Recorder:
    """A receiver that remembers."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def message(self, kind: int, args: list[Any], headers: list[Any]) -> None:
        self.heard.append((kind, args))

    def discard(self, error: CocainedError) -> None:
        self.heard.append(("discarded", error))


class LawTests(SynchronousTestCase):
    """What holds for each dialect."""

    def test_chunk_heads(self) -> None:
        """The head of a chunk is the one of ``write`` with that of the string."""
        for dialect in (PLAIN, NUMBERED):
            self.assertEqual(
                list(dialect.chunk_heads),
                [dialect.write + raw_head(size) for size in range(LARGE)],
            )


class PlainTests(SynchronousTestCase):
    """Worker protocol 1."""

    dialect: Dialect = PLAIN

    def test_head(self) -> None:
        """Frames have four elements."""
        self.assertEqual(self.dialect.head(2), b"\x94\x02")
        self.assertEqual(self.dialect.head(300), b"\x94\xcd\x01\x2c")

    def test_nothing_to_translate(self) -> None:
        """Bodies and receivers stay what they are."""
        receiver = Recorder()

        self.assertEqual(self.dialect.body(b"\x02\x90"), b"\x02\x90")
        self.assertIs(self.dialect.receiver(receiver), receiver)


class NumberedTests(SynchronousTestCase):
    """Worker protocol 0."""

    dialect: Dialect = NUMBERED

    def setUp(self) -> None:
        self.recorder = Recorder()
        self.reply = self.dialect.receiver(self.recorder)

    def test_head(self) -> None:
        """Frames have three elements."""
        self.assertEqual(self.dialect.head(2), b"\x93\x02")

    def test_body(self) -> None:
        """Stream messages get the numbers of protocol 0."""
        body = self.dialect.body

        self.assertEqual(body(b"\x00\x91\xa1x"), b"\x04\x91\xa1x")
        self.assertEqual(body(b"\x02\x90"), b"\x06\x90")
        self.assertEqual(
            body(b"\x01" + pack([[5, 2], "gone"])), b"\x05" + pack([2, "gone"])
        )

    def test_chunk_and_choke(self) -> None:
        """Message 4 is a chunk, 6 is the end."""
        self.reply.message(4, [b"x"], [])
        self.reply.message(6, [], [])

        self.assertEqual(self.recorder.heard, [(0, [b"x"]), (2, [])])

    def test_error(self) -> None:
        """Message 5 is an error of the worker's own category."""
        self.reply.message(5, [7, b"why"], [])

        self.assertEqual(self.recorder.heard, [(1, [[42, 7], b"why"])])

    def test_mistaken_error(self) -> None:
        """One that is none is left to the stream to refuse."""
        self.reply.message(5, [b"why"], [])

        self.assertEqual(self.recorder.heard, [(1, [])])

    def test_unknown(self) -> None:
        """Other numbers are no message of a stream, those of protocol 1 too."""
        self.reply.message(0, [b"x"], [])

        [(kind, _)] = self.recorder.heard
        self.assertNotIn(kind, (0, 1, 2))

    def test_discard(self) -> None:
        """The loss of the worker is passed on."""
        error = WorkerLost(10, 1)

        self.reply.discard(error)

        self.assertEqual(self.recorder.heard, [("discarded", error)])
