# -*- test-case-name: cocained.test.test_examples_docker -*-
"""
What people see: numbered steps with their times, bars, errors.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text
from typing_extensions import override

#: Takes bytes done and bytes to do.
Move = Callable[[int, int], None]


class Amount(DownloadColumn):
    """Bytes done and bytes to do, once they are known."""

    @override
    def render(self, task: Task) -> Text:
        return Text() if task.total is None else super().render(task)


class Screen:
    """
    A terminal or a file.

    :param steps: names of the steps, in their order, as the record has them.
    :param output: where to; standard output is for the record when there is one.
    :ivar seconds: that each step took, by its name.
    """

    def __init__(self, steps: Sequence[str], output: TextIO = sys.stdout) -> None:
        self._steps = steps
        self.seconds: dict[str, float] = {}
        # Wide enough for what is copied from here; a terminal breaks lines itself.
        self._console = Console(
            file=output, highlight=False, markup=False, soft_wrap=True
        )

    @contextlib.contextmanager
    def step(self, name: str, what: str) -> Iterator[None]:
        """
        Announce a step, and tell how long it took when the block is over.

        :param name: one of the steps.
        :param what: what is done, for people.
        """
        number = self._steps.index(name) + 1
        self.say(f"[{number}/{len(self._steps)}] {what}", indent=0)
        began = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - began
        self.say(f"{self.seconds[name]:.1f} s")

    def say(self, text: str, indent: int = 4) -> None:
        """Print lines."""
        for line in text.splitlines() or [""]:
            self._console.print(f"{'':{indent if line else 0}}{line}")

    def command(self, *words: str) -> None:
        """Show a command as a user would type it."""
        self.say(f"$ {shlex.join(words)}")

    def fail(self, error: Exception) -> None:
        """Say what went wrong."""
        self.say(f"\nThat did not work: {error}", indent=0)

    @contextlib.contextmanager
    def bar(self, what: str) -> Iterator[Move]:
        """
        Show a bar while the block runs; in a file there is none.

        :returns: takes bytes done and bytes to do, from any thread; until it is
            called for the first time the bar only shows that time passes.
        """
        columns = (
            TextColumn("    {task.description}"),
            BarColumn(bar_width=32),
            Amount(),
            TimeElapsedColumn(),
        )
        with Progress(
            *columns,
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        ) as progress:
            task: TaskID = progress.add_task(what, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)
