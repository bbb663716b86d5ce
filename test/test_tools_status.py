# -*- test-case-name: cocained.test.test_tools_status -*-
"""Tests of :mod:`cocained.tools.status`."""

from __future__ import annotations

from rich.console import Console
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cocained.test.memory_terminal import WIDTH, Terminal, use_terminal
from cocained.tools.status import BAR_WIDTH, TEXT_LIMIT, StatusLine


class StatusLineTests(SynchronousTestCase):
    """What one sees on the terminal."""

    def setUp(self) -> None:
        use_terminal(self)
        self.clock = Clock()
        self.use()

    def use(self, encoding: str = "utf-8") -> None:
        """Draw on something new."""
        self.terminal = Terminal(True, encoding)
        console = Console(file=self.terminal)
        self.status = StatusLine("Starting echo", self.clock, console)

    def shown(self, text: str = "", percent: int | None = None) -> str:
        """The line that is there while a step is shown."""
        with self.status as status:
            status.show(text, percent)
            (line,) = self.terminal.screen
        return line

    def test_title(self) -> None:
        """The line is there from the beginning, with the time that has passed."""
        with self.status:
            self.assertEqual(self.terminal.screen, ["Starting echo 0:00:00"])

    def test_vanishes(self) -> None:
        """When it is over, nothing is left, and the cursor is back."""
        with self.status:
            self.assertFalse(self.terminal.has_cursor)
        self.assertEqual(self.terminal.screen, [])
        self.assertTrue(self.terminal.has_cursor)

    def test_vanishes_after_a_failure(self) -> None:
        """So it is when the work has failed, which is not our business."""

        def fail() -> None:
            with self.status:
                raise KeyError

        self.assertRaises(KeyError, fail)
        self.assertEqual(self.terminal.screen, [])
        self.assertTrue(self.terminal.has_cursor)

    def test_text(self) -> None:
        """The step that the work is at stands behind the title."""
        self.assertEqual(self.shown("unpacking"), "Starting echo: unpacking 0:00:00")

    def test_time(self) -> None:
        """The time goes on."""
        with self.status as status:
            self.clock.advance(75.9)
            status.show()
            self.assertEqual(self.terminal.screen, ["Starting echo 0:01:15"])

    def test_percent(self) -> None:
        """A share is a bar and a number."""
        line = self.shown("unpacking", 50)
        half = "━" * (BAR_WIDTH // 2)
        self.assertIn(f"unpacking {half}", line)
        self.assertTrue(line.endswith(" 50 % 0:00:00"), line)

    def test_percent_that_is_told(self) -> None:
        """A number that ends the text stands behind the bar instead."""
        line = self.shown("pulling x: 45 %", 45)
        self.assertIn("pulling x ━", line)
        self.assertTrue(line.endswith(" 45 % 0:00:00"), line)
        self.assertEqual(line.count("45 %"), 1)

    def test_replaced(self) -> None:
        """A step takes the place of the one before it."""
        with self.status as status:
            status.show("pulling something of a long name", 10)
            status.show("unpacking")
            self.assertEqual(self.terminal.screen, ["Starting echo: unpacking 0:00:00"])

    def test_narrow(self) -> None:
        """A long text gives way to the bar and the time, in one line."""
        line = self.shown("a/very/long/name/of/an/image " * 10, 50)
        self.assertLessEqual(len(line), WIDTH)
        self.assertIn("…", line)
        self.assertTrue(line.endswith(" 50 % 0:00:00"), line)

    def test_long_words(self) -> None:
        """So does one without a space, however long it is."""
        line = self.shown("x" * (TEXT_LIMIT * 1000))
        self.assertLessEqual(len(line), WIDTH)
        self.assertTrue(line.endswith("… 0:00:00"), line)

    def test_hostile_text(self) -> None:
        """Nothing in a text drives the terminal, or is markup."""
        line = self.shown("[red]a\x1b[2J\r\n\tb")
        self.assertEqual(line, "Starting echo: [red]a\\x1b[2J b 0:00:00")

    def test_poor_encoding(self) -> None:
        """A terminal that cannot show a sign gets what it can."""
        self.use("ascii")
        line = self.shown("naïve " * 50, 50)
        self.assertTrue(line.startswith("Starting echo: na\\xefve"), line)
        self.assertTrue(line.endswith(" 50 % 0:00:00"), line)

    def test_dumb_terminal(self) -> None:
        """A terminal that cannot move its cursor is left alone."""
        use_terminal(self, "dumb")
        self.use()
        with self.status as status:
            status.show("unpacking", 5)
        self.assertEqual(self.terminal.written, b"")
