# -*- test-case-name: cocained.test.test_tools_output -*-
"""Tests of :mod:`cocained.tools.output`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from cocained.rpc.codec import Pairs
from cocained.test.memory_terminal import Terminal
from cocained.tools.failures import Report
from cocained.tools.output import DEPTH, Output, dumps, plain, printable, size_text


class PlainTests(SynchronousTestCase):
    """Wire values to JSON."""

    def test_strings(self) -> None:
        """Strings are text, or base64 when they are none."""
        self.assertEqual(plain("ü".encode()), "ü")
        self.assertEqual(plain(b"\xff\x00"), {"base64": "/wA="})

    def test_maps(self) -> None:
        """Maps become objects whatever their keys are."""
        value = Pairs([(b"a", [b"b", None]), (1, 2.5), (b"\xff", True), (None, 0)])
        expected = {"a": ["b", None], "1": 2.5, "\\xff": True, "None": 0}
        self.assertEqual(plain(value), expected)

    def test_depth(self) -> None:
        """What is nested deeper than anybody reads is cut."""
        value: object = 1
        for _ in range(DEPTH * 3):
            value = [value]
        self.assertIn("…", dumps(value))

    def test_odd_numbers(self) -> None:
        """Numbers that JSON does not have are text."""
        numbers = [float("nan"), float("inf"), 1.5]
        self.assertEqual(json.loads(dumps(numbers)), ["nan", "inf", 1.5])

    def test_sorted(self) -> None:
        """JSON is sorted and four spaces deep."""
        self.assertEqual(dumps({"b": 1, "a": []}), '{\n    "a": [],\n    "b": 1\n}')

    def test_printable(self) -> None:
        """Nothing that a log holds can drive the terminal."""
        self.assertEqual(printable("a\x1b[2Jb\n"), "a\\x1b[2Jb\n")
        self.assertEqual(printable("\udcff"), "\\udcff")

    def test_sizes(self) -> None:
        """Sizes are written for people."""
        sizes = [size_text(n) for n in (0, 1023, 1024, 1536 * 1024, 5 << 30, 5 << 40)]
        self.assertEqual(
            sizes, ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "5.0 GiB", "5120.0 GiB"]
        )


class OutputTests(SynchronousTestCase):
    """Where things are printed."""

    def setUp(self) -> None:
        self.use(False)

    def use(self, terminal: bool, encoding: str = "utf-8") -> None:
        """Print to something new."""
        self.out, self.err = Terminal(terminal, encoding), Terminal(terminal)

    @contextlib.contextmanager
    def printing(self, as_json: bool = False) -> Iterator[Output]:
        """Print with both streams caught."""
        with (
            contextlib.redirect_stdout(self.out),
            contextlib.redirect_stderr(self.err),
        ):
            yield Output(as_json)

    def test_done(self) -> None:
        """People read a sentence, scripts read fields."""
        with self.printing() as output:
            output.done("It is done", status="done")
        self.assertEqual(self.out.written, b"It is done\n")
        self.use(False)
        with self.printing(True) as output:
            output.done("It is done", status="done")
        self.assertEqual(json.loads(self.out.written), {"status": "done"})

    def test_rows_in_a_pipe(self) -> None:
        """In a pipe a table is lines of cells."""
        with self.printing() as output:
            output.rows(("A", "B"), [(1, "x"), (2, "y")])
        self.assertEqual(self.out.written, b"1\tx\n2\ty\n")

    def test_rows_on_a_terminal(self) -> None:
        """On a terminal it has a header, and brackets are only brackets."""
        self.use(True)
        with self.printing() as output:
            output.rows(("Name", "B"), [("[red]x", "y")])
        self.assertIn(b"Name", self.out.written)
        self.assertIn(b"[red]x", self.out.written)

    def test_rows_for_scripts(self) -> None:
        """For scripts it is a list of objects."""
        with self.printing(True) as output:
            output.rows(("A", "B"), [(1, "x")])
        self.assertEqual(json.loads(self.out.written), [{"a": 1, "b": "x"}])

    def test_lines(self) -> None:
        """Lines from elsewhere are printed without what drives a terminal."""
        with self.printing() as output:
            output.lines(["a\n", b"\xff\x1b"])
        self.assertEqual(self.out.written.decode(), "a\n\ufffd\\x1b\n")

    def test_chunks(self) -> None:
        """Chunks are text, one line each; raw ones are as they came."""
        with self.printing() as output:
            output.chunk(b"text\xff")
            output.chunk(b"\x00\xff", raw=True)
            output.chunk([1])
        self.assertEqual(self.out.written, b"text\\xff\n\x00\xff[\n    1\n]\n")

    def test_chunks_for_scripts(self) -> None:
        """For scripts each chunk is a document on a line of its own."""
        with self.printing(True) as output:
            output.chunk(b"a")
            output.chunk([1, {"b": 2}])
        lines = self.out.written.splitlines()
        self.assertEqual([json.loads(line) for line in lines], ["a", [1, {"b": 2}]])

    def test_error(self) -> None:
        """Errors go to standard error, with what to do."""
        with self.printing() as output:
            output.error(Report(128, "wrong", "do it"))
        self.assertEqual(self.out.written, b"")
        self.assertEqual(self.err.written, b"wrong\ndo it\n")

    def test_error_for_scripts(self) -> None:
        """For scripts an error is the document on standard output."""
        with self.printing(True) as output:
            output.error(Report(128, "wrong"))
        error = {"message": "wrong", "status": 128}
        self.assertEqual(json.loads(self.out.written), {"error": error})

    def test_note(self) -> None:
        """Notes are for people only."""
        with self.printing() as output:
            output.note("by the way")
        with self.printing(True) as output:
            output.note("not this")
        self.assertEqual(self.err.written, b"by the way\n")

    def test_poor_encoding(self) -> None:
        """A stream that cannot encode a sign gets its escape."""
        self.use(False, "ascii")
        with self.printing() as output:
            output.done("naïve ✔")
        self.assertEqual(self.out.written, b"na\\xefve \\u2714\n")

    def test_bar(self) -> None:
        """On a terminal an upload shows a bar, on standard error."""
        self.use(True)
        with self.printing() as output:
            with output.progress("Uploading echo") as progress:
                progress.advance(5, 10)
        self.assertIn(b"Uploading echo", self.err.written)
        self.assertEqual(self.out.written, b"")

    def test_failed_progress(self) -> None:
        """Work that failed is marked so."""
        with self.printing() as output:
            progress = output.progress("Packing")
            progress.__enter__()
            progress.__exit__(KeyError, KeyError(), None)
        self.assertIn("✘ Packing".encode(), self.err.written)

    def test_no_progress_for_scripts(self) -> None:
        """For scripts progress is silent."""
        with self.printing(True) as output, output.progress("Packing") as progress:
            progress.advance(1, 2)
        self.assertEqual(self.err.written, b"")
