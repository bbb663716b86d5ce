# -*- test-case-name: cocained.test.test_docker_streams -*-
"""
Reads the progress of pulls, pushes, builds and imports; pure.

The answer begins with a status of 200 before anything has happened, and goes
on line by line; that something failed is said in one of the lines.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cocained.docker.errors import MalformedStream
from cocained.docker.lines import MAX_LINE, Lines


class Progress(msgspec.Struct, frozen=True):
    """
    One step.

    :param status: what is being done: ``Downloading``, ``Pushed``…
    :param id: to what: the short name of a layer, or a tag; may be empty.
    :param current: bytes done, or ``None``.
    :param total: bytes to do, or ``None`` while nobody knows.
    :param text: what a step of a build prints.
    :param image: identifier of the image that has been built.
    :param digest: of the manifest that has been pushed.
    """

    status: str = ""
    id: str = ""
    current: int | None = None
    total: int | None = None
    text: str = ""
    image: str = ""
    digest: str = ""


class Complaint(msgspec.Struct, frozen=True):
    """
    Why it has failed.

    :param message: the engine's words.
    :param code: exit code of a failed step of a build, else 0.
    """

    message: str
    code: int = 0


class _Detail(msgspec.Struct):
    current: int | None = None
    total: int | None = None


class _Trouble(msgspec.Struct):
    message: str = ""
    code: int = 0


class _Line(msgspec.Struct):
    """A line as engines write it; Podman knows a part of this."""

    status: str | None = None
    id: str | None = None
    stream: str | None = None
    error: str | None = None
    progressDetail: _Detail | None = None  # noqa: N815 - the engine's name
    errorDetail: _Trouble | None = None  # noqa: N815 - the engine's name
    # An object for ours; BuildKit puts base64 of another format here.
    aux: Any = None


_decoder = msgspec.json.Decoder(_Line)


def parse_line(line: bytes) -> Progress | Complaint:
    """
    Read one line.

    :raises MalformedStream: it is none.
    """
    try:
        read = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        shown = line[:80].decode(errors="replace")
        raise MalformedStream(f"no line of progress: {shown!r}: {error}") from error
    if read.error is not None or read.errorDetail is not None:
        trouble = read.errorDetail or _Trouble()
        words = trouble.message or read.error or "an error without words"
        return Complaint(words, trouble.code)
    detail = read.progressDetail or _Detail()
    aux = read.aux if isinstance(read.aux, dict) else {}
    return Progress(
        status=read.status or "",
        id=read.id or "",
        current=detail.current,
        # "-1" and "0" stand for a size that nobody knows.
        total=detail.total if (detail.total or 0) > 0 else None,
        text=read.stream or "",
        image=str(aux.get("ID") or ""),
        digest=str(aux.get("Digest") or ""),
    )


class ProgressParser:
    """
    The parser of a whole answer.

    :param limit: bytes of the longest line.
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._lines = Lines(limit)

    def feed(self, data: bytes) -> list[Progress | Complaint]:
        """
        Take bytes as they come.

        :raises MalformedStream: this is no such answer.
        """
        return [parse_line(line) for line in self._lines.feed(data)]

    def finish(self) -> list[Progress | Complaint]:
        """
        Hear that the answer is over; the last line needs no end.

        :raises MalformedStream: it ended inside a line.
        """
        return [parse_line(line) for line in self._lines.finish()]
