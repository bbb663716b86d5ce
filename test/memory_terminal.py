"""
A terminal in memory: what was written to it, and what one sees on it.
"""

from __future__ import annotations

import io
import os
import re

from twisted.trial.unittest import SynchronousTestCase

#: A control sequence with its argument and its letter, or one sign.
TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|(.)", re.DOTALL)

#: Columns of the terminal.
WIDTH = 80


def use_terminal(case: SynchronousTestCase, kind: str = "xterm") -> None:
    """
    Let rich see a terminal of :data:`WIDTH` columns until the test is over.

    :param kind: what ``TERM`` says.
    """
    # Rich has bound this very object; a patch of the module would not be seen.
    before = dict(os.environ)

    def restore() -> None:
        os.environ.clear()
        os.environ.update(before)

    case.addCleanup(restore)
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        os.environ.pop(name, None)
    os.environ.update(TERM=kind, COLUMNS=str(WIDTH), LINES="25")


class Terminal(io.TextIOWrapper):
    """A stream that claims to be a terminal, or not."""

    def __init__(self, terminal: bool, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding, write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    @property
    def written(self) -> bytes:
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue()

    @property
    def screen(self) -> list[str]:
        """The lines that one sees now, the empty ones at the end left out."""
        return _draw(self.written.decode(self.encoding))

    @property
    def has_cursor(self) -> bool:
        """Whether the cursor can be seen."""
        return self.written.rfind(b"\x1b[?25l") <= self.written.rfind(b"\x1b[?25h")


def _draw(text: str) -> list[str]:
    lines: list[list[str]] = [[]]
    row = column = 0
    for argument, letter, sign in TOKEN.findall(text):
        if letter == "A":
            row -= int(argument or 1)
        elif letter == "K":
            assert argument == "2", "only whole lines are erased"
            lines[row] = []
        elif sign == "\r":
            column = 0
        elif sign == "\n":
            row, column = row + 1, 0
            lines += [[] for _ in range(len(lines), row + 1)]
        elif sign:
            line = lines[row]
            line += " " * (column + 1 - len(line))
            line[column] = sign
            column += 1
    shown = ["".join(line).rstrip() for line in lines]
    while shown and not shown[-1]:
        shown.pop()
    return shown
