# -*- test-case-name: cocained.test.test_tools_output -*-
"""
Text for people, JSON for scripts.

Data goes to standard output, notes and progress to standard error.  With
``--json`` standard output always holds exactly one JSON document, errors too;
only streams of ``call`` print one document a line.
"""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

from cocained.rpc.codec import Pairs
from cocained.tools.failures import Report

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from cocained.tools.status import StatusLine

#: Deepest nesting that is shown; a frame may nest deeper than JSON's encoder can.
DEPTH = 200


def plain(value: Any, depth: int = 0) -> Any:
    """
    Turn a wire value into what JSON can say.

    Strings become text, or ``{"base64": …}`` when they are no UTF-8; keys of
    maps become text.
    """
    if depth > DEPTH:
        return "…"
    if type(value) is bytes:
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, Pairs):
        return {_key(k): plain(v, depth + 1) for k, v in value}
    if isinstance(value, Mapping):
        return {_key(k): plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no such numbers
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def _key(key: Any) -> str:
    if type(key) is bytes:
        return key.decode("utf-8", "backslashreplace")
    return key if type(key) is str else str(plain(key))


def dumps(value: Any) -> str:
    """Sorted JSON, four spaces deep, as the published tool prints it."""
    return json.dumps(plain(value), sort_keys=True, indent=4, ensure_ascii=False)


def printable(text: str) -> str:
    """Text that any terminal takes: surrogates and controls escaped."""
    safe = text.encode("utf-8", "backslashreplace").decode()
    return "".join(
        char if char.isprintable() or char in "\n\t" else repr(char)[1:-1]
        for char in safe
    )


class Output:
    """
    Where one run of the tool prints.

    :param as_json: whether for scripts.
    """

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json

    def data(self, value: Any) -> None:
        """Print an answer, which is JSON in both modes."""
        click.echo(_encodable(dumps(value)))

    def done(self, text: str, **fields: Any) -> None:
        """
        Tell that something was done.

        :param text: for people.
        :param fields: for scripts.
        """
        if self.as_json:
            self.data(fields)
        else:
            click.echo(_encodable(printable(text)))

    def rows(self, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Print a table: drawn on a terminal, tab-separated in a pipe."""
        if self.as_json:
            names = [name.lower() for name in header]
            self.data([dict(zip(names, row, strict=True)) for row in rows])
        elif sys.stdout.isatty() and rows:
            from rich import box
            from rich.console import Console
            from rich.table import Table
            from rich.text import Text

            table = Table(box=box.SIMPLE_HEAD)
            for name in header:
                table.add_column(name)
            for row in rows:
                table.add_row(*(Text(printable(str(cell))) for cell in row))
            Console().print(table)
        else:
            for row in rows:
                line = "\t".join(printable(str(cell)) for cell in row)
                click.echo(_encodable(line))

    def lines(self, lines: Sequence[Any]) -> None:
        """Print text that came from elsewhere, line by line."""
        if self.as_json:
            self.data(lines)
            return
        for line in lines:
            text = line.decode("utf-8", "replace") if type(line) is bytes else f"{line}"
            click.echo(_encodable(printable(text.rstrip("\n"))))

    def chunk(self, value: Any, raw: bool = False) -> None:
        """
        Print one chunk of a stream, at once.

        :param raw: write strings as they are, with nothing around them.
        """
        if raw and type(value) is bytes:
            sys.stdout.flush()
            sys.stdout.buffer.write(value)
            sys.stdout.buffer.flush()
        elif self.as_json:
            click.echo(
                _encodable(json.dumps(plain(value), sort_keys=True, ensure_ascii=False))
            )
        elif type(value) is bytes:
            text = value.decode("utf-8", "backslashreplace")
            click.echo(_encodable(printable(text)))
        else:
            self.data(value)

    def note(self, text: str) -> None:
        """Tell people something besides the answer."""
        if not self.as_json:
            click.echo(printable(text), err=True)

    def warn(self, text: str) -> None:
        """Tell what is wrong besides the answer, to scripts' logs, too."""
        click.echo(click.style(printable(text), fg="yellow"), err=True)

    def error(self, report: Report) -> None:
        """Print what went wrong."""
        if self.as_json:
            self.data(report.to_json())
            return
        text = click.style(printable(report.message), fg="red")
        click.echo(f"{text}\n{report.hint}" if report.hint else text, err=True)

    @property
    def watched(self) -> bool:
        """Whether people see on a terminal what standard error says."""
        return not self.as_json and sys.stderr.isatty()

    def progress(self, title: str) -> Progress:
        """Begin a piece of work whose progress is shown."""
        if self.as_json:
            return Progress(title)
        if self.watched:
            return BarProgress(title)
        return LineProgress(title)

    def status(self, title: str, clock: IReactorTime) -> StatusLine:
        """
        Begin a wait that a line tells about, where it is :attr:`watched`.

        :param title: what is waited for.
        :param clock: tells the time that has passed.
        """
        from cocained.tools.status import StatusLine

        return StatusLine(title, clock)


def _encodable(text: str) -> str:
    """Text that standard output can encode, whatever its encoding is."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


class Progress:
    """
    The progress of one piece of work; this one shows nothing.

    Use it as a context; :meth:`advance` may be called at any pace.
    """

    def __init__(self, title: str) -> None:
        self.title = title

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """The work is over, well or not."""

    def advance(self, done: int, whole: int) -> None:
        """*done* of *whole* bytes are through."""


class LineProgress(Progress):
    """One line when it begins and one when it is over, for logs."""

    def __init__(self, title: str) -> None:
        super().__init__(title)
        self._whole = 0

    def __enter__(self) -> Progress:
        click.echo(f"{self.title}…", err=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        mark = "✔" if error is None else "✘"
        size = f" ({size_text(self._whole)})" if self._whole else ""
        click.echo(f"{mark} {self.title}{size}", err=True)

    def advance(self, done: int, whole: int) -> None:
        self._whole = whole


class BarProgress(Progress):
    """A bar with bytes and speed, for a terminal."""

    def __init__(self, title: str) -> None:
        super().__init__(title)
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TransferSpeedColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=Console(stderr=True),
            # Drawn when bytes move; a thread would draw over an editor.
            auto_refresh=False,
        )
        self._task = self._bar.add_task(title, total=None)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.refresh()
        self._bar.stop()

    def advance(self, done: int, whole: int) -> None:
        self._bar.update(self._task, completed=done, total=whole)
        self._bar.refresh()


def size_text(size: int) -> str:
    """Write a number of bytes for people."""
    if size < 1024:
        return f"{size} B"
    number, units = size / 1024, ["GiB", "MiB"]
    unit = "KiB"
    while number >= 1024 and units:
        number /= 1024
        unit = units.pop()
    return f"{number:.1f} {unit}"
