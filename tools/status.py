# -*- test-case-name: cocained.test.test_tools_status -*-
"""
One line on a terminal that tells what goes on, and vanishes when it is over.

Imported when there is something to show: :mod:`rich` takes its time.
"""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from twisted.internet.interfaces import IReactorTime

from cocained.tools.output import printable

#: Characters of a text that are looked at; no terminal shows as many in a line.
TEXT_LIMIT = 500

#: Columns of the bar, which leave most of a narrow terminal to the text.
BAR_WIDTH = 20


class StatusLine:
    """
    What goes on, how far it is, and for how long.

    Use it as a context: the line is there from the beginning to the end.  A
    terminal that cannot move its cursor shows nothing.

    :param title: what is being done.
    :param clock: tells the time that has passed.
    :param console: where the line is drawn, standard error by default.
    """

    def __init__(
        self, title: str, clock: IReactorTime, console: Console | None = None
    ) -> None:
        self._title = title
        self._clock = clock
        self._since = clock.seconds()
        self._console = console or Console(stderr=True)
        self._live = Live(
            console=self._console,
            # Drawn when there is news: a thread would draw over what comes next.
            auto_refresh=False,
            transient=True,
            # Nobody else prints as long as it is there.
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> StatusLine:
        self._live.start()
        self.show()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, text: str = "", percent: int | None = None) -> None:
        """
        Draw the line anew.

        :param text: the step that the work is at, from whatever source.
        :param percent: of the work that is done, 0…100; a bar shows it.
        """
        line = Table.grid(padding=(0, 1, 0, 0))
        # The text alone gives way where the terminal is too narrow.
        line.add_column()
        cells: list[Text | ProgressBar] = []
        if percent is not None:
            share = f"{percent} %"
            # At the end of a text it would be said twice, or cut off.
            text = text.removesuffix(share).rstrip(": ")
            cells += ProgressBar(100, percent, BAR_WIDTH), Text(share)
        passed = timedelta(seconds=int(self._clock.seconds() - self._since))
        cells.append(Text(str(passed), "progress.elapsed"))
        for _ in cells:
            line.add_column(no_wrap=True)
        line.add_row(self._text(text), *cells)
        self._live.update(line, refresh=True)

    def _text(self, text: str) -> Text:
        # One line of it, of signs that the terminal has.
        text = printable(" ".join(text[:TEXT_LIMIT].split()))
        text = f"{self._title}: {text}" if text else self._title
        encoding = self._console.encoding
        text = text.encode(encoding, "backslashreplace").decode(encoding)
        poor = self._console.options.ascii_only
        return Text(text, no_wrap=True, overflow="crop" if poor else "ellipsis")
