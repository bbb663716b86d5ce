"""
A worker's last words (protocol.md §11.5).
"""

from __future__ import annotations

import msgpack
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.apps import crashlog
from cocained.apps.crashlog import LINE_LIMIT, Lines


class LinesTests(SynchronousTestCase):
    """Output by lines."""

    def test_whole_lines(self) -> None:
        """Lines are complete with their end, which is not kept."""
        lines = Lines(10)

        self.assertEqual(lines.feed(b"one\ntwo\r\n\nthr"), [b"one", b"two", b""])
        self.assertEqual(lines.feed(b"ee"), [])
        self.assertEqual(lines.feed(b"\n"), [b"three"])
        self.assertEqual(lines.dump(), [b"one", b"two", b"", b"three"])

    def test_unfinished(self) -> None:
        """The unfinished last line is kept, too."""
        lines = Lines(10)
        lines.feed(b"one\ntw")

        self.assertEqual(lines.dump(), [b"one", b"tw"])

    def test_limit(self) -> None:
        """Only the last lines are kept."""
        lines = Lines(3)
        lines.feed(b"".join(b"%d\n" % number for number in range(10)))

        self.assertEqual(lines.dump(), [b"7", b"8", b"9"])

    def test_none(self) -> None:
        """With a limit of 0 nothing is kept."""
        lines = Lines(0)

        self.assertEqual(lines.feed(b"one\ntwo\n"), [b"one", b"two"])
        lines.note(b"ours")
        self.assertEqual(lines.dump(), [])

    def test_note(self) -> None:
        """A line of ours comes after what was left unfinished."""
        lines = Lines(10)
        lines.feed(b"Segmentation f")

        lines.note(b"ours")

        self.assertEqual(lines.dump(), [b"Segmentation f", b"ours"])

    def test_long_line(self) -> None:
        """A long line is kept in pieces."""
        lines = Lines(10)

        complete = lines.feed(b"x" * (2 * LINE_LIMIT + 5) + b"\n")

        self.assertEqual([len(line) for line in complete], [LINE_LIMIT, LINE_LIMIT, 5])

    def test_endless_line(self) -> None:
        """A line that never ends takes no more memory than the limits."""
        lines = Lines(4)
        for _ in range(100):
            lines.feed(b"x" * 10_000)

        dump = lines.dump()
        self.assertLessEqual(len(dump), 5)
        self.assertLessEqual(max(map(len, dump)), LINE_LIMIT)

    @given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
    def test_fragments(self, data: bytes, cuts: list[int]) -> None:
        """However output is cut up, the lines are the same."""
        data = data.replace(b"\r", b"")
        whole, pieces = Lines(1000), Lines(1000)
        whole.feed(data)
        start = 0
        for cut in [*sorted(cuts), len(data)]:
            pieces.feed(data[start:cut])
            start = max(start, cut)

        self.assertEqual(pieces.dump(), whole.dump())
        self.assertEqual(b"\n".join(whole.dump()), data.removesuffix(b"\n"))


class StoredTests(SynchronousTestCase):
    """Where they are kept: as the tools look for them."""

    def test_key(self) -> None:
        """Microseconds since 1970, a colon, the worker."""
        self.assertEqual(
            crashlog.key(1795341600.25, "0b1c-a"), "1795341600250000:0b1c-a"
        )

    def test_tags(self) -> None:
        """The app, and the day in UTC."""
        self.assertEqual(
            crashlog.tags(1795391999.9, "echo"), ["echo", "cocaine-2026-11-22"]
        )
        self.assertEqual(
            crashlog.tags(1795392000.0, "echo"), ["echo", "cocaine-2026-11-23"]
        )

    def test_blob(self) -> None:
        """A packed list of raw strings."""
        blob = crashlog.blob([b"one", b"\xff\x00"])

        self.assertEqual(msgpack.unpackb(blob, raw=True), [b"one", b"\xff\x00"])
        self.assertEqual(blob[:2], b"\x92\xa3")

    def test_collection(self) -> None:
        """The collection is that of the original."""
        self.assertEqual(crashlog.COLLECTION, "crashlogs")
