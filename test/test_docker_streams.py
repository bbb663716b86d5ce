# -*- test-case-name: cocained.test.test_docker_streams -*-
"""
Tests for the parsers of streams: lines, outputs and progress.

The law of all three: however the bytes are cut, the same comes out.
"""

from __future__ import annotations

import json
import struct
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.docker.errors import MalformedStream
from cocained.docker.lines import Lines
from cocained.docker.progress import Complaint, Progress, ProgressParser, parse_line
from cocained.docker.stream import (
    MAX_COMPLAINT,
    Demultiplexer,
    Output,
    Piece,
    Terminal,
)
from cocained.test.strategies import octets


def cuts(data: bytes, places: list[int]) -> list[bytes]:
    """Cut bytes at some places."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


PLACES = st.lists(st.integers(0, 10**6), max_size=20)


def frame(output: int, data: bytes) -> bytes:
    """Write a frame as engines do."""
    return struct.pack(">BxxxI", output, len(data)) + data


def merged(pieces: list[Piece]) -> list[Piece]:
    """Put together what follows each other on one output."""
    result: list[Piece] = []
    for output, data in pieces:
        if result and result[-1].output is output:
            data = result.pop().data + data
        result.append(Piece(output, data))
    return result


class LinesTests(SynchronousTestCase):
    """The splitter."""

    @given(st.lists(octets(40)), PLACES)
    def test_any_cut(self, lines: list[bytes], places: list[int]) -> None:
        """Lines are the same however they arrive; ends and blanks are taken away."""
        lines = [line.replace(b"\n", b"").strip() for line in lines]
        splitter = Lines()
        found = []
        for piece in cuts(b"\r\n".join(lines), places):
            found += splitter.feed(piece)
        found += splitter.finish()

        self.assertEqual(found, [line for line in lines if line])

    @given(octets(200), PLACES, st.integers(1, 30))
    def test_bounded(self, data: bytes, places: list[int], limit: int) -> None:
        """It never keeps more than its limit, and says when there is more."""
        splitter = Lines(limit)
        too_long = any(len(line) > limit for line in data.split(b"\n"))
        try:
            for piece in cuts(data, places):
                splitter.feed(piece)
                self.assertLessEqual(len(splitter._rest), limit)
        except MalformedStream as error:
            self.assertTrue(too_long)
            self.assertIn(f"more than {limit} bytes", str(error))
        else:
            self.assertFalse(too_long)

    def test_one_at_a_time(self) -> None:
        """A line is there when its end is."""
        splitter = Lines()
        self.assertEqual(splitter.feed(b"ab"), [])
        self.assertEqual(splitter.feed(b"c\nd"), [b"abc"])
        self.assertEqual(splitter.finish(), [b"d"])
        self.assertEqual(splitter.finish(), [])


class DemultiplexerTests(SynchronousTestCase):
    """The outputs of a container without a terminal."""

    @given(st.lists(st.tuples(st.sampled_from(list(Output)), octets(50))), PLACES)
    def test_any_cut(
        self, frames: list[tuple[Output, bytes]], places: list[int]
    ) -> None:
        """Each output gets its bytes in order, however they arrive."""
        parser = Demultiplexer()
        found: list[Piece] = []
        for piece in cuts(b"".join(frame(*each) for each in frames), places):
            found += parser.feed(piece)
        parser.finish()

        self.assertEqual(
            merged(found), merged([Piece(*each) for each in frames if each[1]])
        )
        self.assertNotIn(b"", [piece.data for piece in found])

    def test_cut_everywhere(self) -> None:
        """An end inside a frame is told, wherever it is; between two it is right."""
        data = frame(1, b"out") + frame(2, b"error")
        for end in range(len(data) + 1):
            parser = Demultiplexer()
            parser.feed(data[:end])
            if end in (0, 11, len(data)):
                parser.finish()
            else:
                self.assertRaises(MalformedStream, parser.finish)

    def test_huge_frame(self) -> None:
        """A length of four gigabytes makes it keep nothing."""
        parser = Demultiplexer()
        parser.feed(struct.pack(">BxxxI", 1, 2**32 - 1))
        for _ in range(100):
            self.assertEqual(
                parser.feed(b"x" * 1000), [Piece(Output.STDOUT, b"x" * 1000)]
            )
        self.assertEqual(parser._complaint, b"")

    def test_pieces_come_at_once(self) -> None:
        """A piece does not wait for the rest of its frame."""
        parser = Demultiplexer()
        self.assertEqual(
            parser.feed(frame(2, b"long")[:-2]), [Piece(Output.STDERR, b"lo")]
        )

    def test_engine_speaks_whole(self) -> None:
        """What the engine itself says comes in one piece."""
        parser = Demultiplexer()
        data = frame(3, b"disk full")
        pieces = [piece for byte in data for piece in parser.feed(bytes([byte]))]
        self.assertEqual(pieces, [Piece(Output.ENGINE, b"disk full")])

    def test_engine_is_cut(self) -> None:
        """But not more of it than the limit."""
        parser = Demultiplexer()
        (piece,) = parser.feed(frame(3, b"x" * (MAX_COMPLAINT * 2)))
        self.assertEqual(len(piece.data), MAX_COMPLAINT)

    def test_terminal_mistaken(self) -> None:
        """Output of a terminal is recognized, and the remedy told."""
        error = self.assertRaises(MalformedStream, Demultiplexer().feed, b"hello you")
        self.assertIn("tty=True", str(error))

    @given(octets(8))
    def test_hostile(self, header: bytes) -> None:
        """Only headers with a known output and three zeros are taken."""
        header = header.ljust(8, b"\1")
        if header[0] > 3 or header[1:4] != b"\0\0\0":
            self.assertRaises(MalformedStream, Demultiplexer().feed, header)
        else:
            self.assertEqual(Demultiplexer().feed(header), [])

    def test_terminal(self) -> None:
        """A terminal's output passes as it is."""
        parser = Terminal()
        self.assertEqual(parser.feed(b"\1\0x"), [Piece(Output.STDOUT, b"\1\0x")])
        self.assertEqual(parser.feed(b""), [])
        parser.finish()


class ProgressTests(SynchronousTestCase):
    """The progress of pulls and the like."""

    def read(self, **line: Any) -> Progress | Complaint:
        return parse_line(json.dumps(line).encode())

    def test_download(self) -> None:
        """A step has a status, a layer and bytes."""
        self.assertEqual(
            self.read(
                status="Downloading",
                id="abc",
                progressDetail={"current": 5, "total": 9},
                progress="[==>  ]",
            ),
            Progress("Downloading", "abc", 5, 9),
        )

    def test_unknown_total(self) -> None:
        """Totals of 0 and -1 are no totals."""
        for total in (0, -1, None):
            step = self.read(status="x", progressDetail={"current": 5, "total": total})
            self.assertEqual(step, Progress("x", current=5))

    def test_build(self) -> None:
        """A build prints, and tells the image at its end."""
        self.assertEqual(self.read(stream="Step 1\n"), Progress(text="Step 1\n"))
        self.assertEqual(self.read(aux={"ID": "sha256:1"}), Progress(image="sha256:1"))

    def test_push(self) -> None:
        """A push tells the digest at its end."""
        self.assertEqual(
            self.read(progressDetail={}, aux={"Tag": "1", "Digest": "sha256:2"}),
            Progress(digest="sha256:2"),
        )

    def test_foreign_aux(self) -> None:
        """BuildKit's own format is passed over."""
        self.assertEqual(self.read(id="moby.buildkit.trace", aux="Cg=="),
                         Progress(id="moby.buildkit.trace"))  # fmt: skip

    def test_complaints(self) -> None:
        """An error is told by its words, from wherever they stand."""
        self.assertEqual(
            self.read(error="e", errorDetail={"message": "m", "code": 7}),
            Complaint("m", 7),
        )
        self.assertEqual(self.read(error="e"), Complaint("e"))
        self.assertEqual(self.read(errorDetail={}), Complaint("an error without words"))

    def test_nonsense(self) -> None:
        """What is no such line is told, and shown in part."""
        for line in (b"<html>" + b"x" * 1000, b"[]", b'{"status":5}', b'"\xff"', b"{"):
            error = self.assertRaises(MalformedStream, parse_line, line)
            self.assertLess(len(str(error)), 400)

    @given(
        st.lists(
            st.builds(Progress, st.text(), st.text(max_size=5), st.integers(0, 99))
        ),
        PLACES,
    )
    def test_any_cut(self, steps: list[Progress], places: list[int]) -> None:
        """Steps are the same however they arrive."""
        data = b"\r\n".join(
            json.dumps(
                {
                    "status": step.status,
                    "id": step.id,
                    "progressDetail": {"current": step.current},
                }
            ).encode()
            for step in steps
        )
        parser = ProgressParser()
        found: list[Progress | Complaint] = []
        for piece in cuts(data, places):
            found += parser.feed(piece)
        found += parser.finish()
        self.assertEqual(found, steps)

    def test_cut_everywhere(self) -> None:
        """An end inside a line is told, wherever it is."""
        line = b'{"status":"Pulling"}'
        for end in range(1, len(line)):
            parser = ProgressParser()
            self.assertEqual(parser.feed(line[:end]), [])
            self.assertRaises(MalformedStream, parser.finish)

    def test_oversize(self) -> None:
        """A line without end is given up."""
        parser = ProgressParser(100)
        self.assertEqual(parser.feed(b"x" * 100), [])
        self.assertRaises(MalformedStream, parser.feed, b"x")
