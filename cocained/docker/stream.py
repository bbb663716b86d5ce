# -*- test-case-name: cocained.test.test_docker_streams -*-
"""
Takes apart what attached containers print; pure.

A container without a terminal has its two outputs in one stream of frames::

      1 byte    3 bytes   4 bytes, big endian    that many bytes
    +---------+---------+----------------------+-----------------+
    | stream  | zeros   | length               | what was printed|
    +---------+---------+----------------------+-----------------+

A container with a terminal has one output and no frames.

Payloads are handed on as they come, whatever length a header claims, so that
nothing is kept but an unfinished header and the engine's own complaint.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from cocained.docker.errors import MalformedStream

_HEADER = struct.Struct(">B3sI")

#: Bytes kept of what an engine itself complains about in a stream.
MAX_COMPLAINT = 64 * 1024


class Output(IntEnum):
    """Where a piece comes from; 0, the input, is echoed by no engine of ours."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    #: Not the container: the engine tells why it cannot go on.
    ENGINE = 3


class Piece(NamedTuple):
    """
    Some bytes of one output.

    A long write may come in several pieces; what the engine says comes whole.
    """

    output: Output
    data: bytes


class Demultiplexer:
    """The parser for containers without a terminal."""

    def __init__(self) -> None:
        self._header = b""
        self._output = Output.STDOUT
        self._left = 0
        self._complaint = bytearray()

    def feed(self, data: bytes) -> list[Piece]:
        """
        Take bytes as they come.

        :returns: pieces, none of them empty.
        :raises MalformedStream: this is no such stream.
        """
        pieces: list[Piece] = []
        position = 0
        while position < len(data):
            if not self._left:
                missing = _HEADER.size - len(self._header)
                self._header += data[position : position + missing]
                position += missing
                if len(self._header) == _HEADER.size:
                    self._begin()
                continue
            part = data[position : position + self._left]
            position += len(part)
            self._left -= len(part)
            if self._output is not Output.ENGINE:
                pieces.append(Piece(self._output, part))
                continue
            self._complaint += part[: MAX_COMPLAINT - len(self._complaint)]
            if not self._left:
                pieces.append(Piece(self._output, bytes(self._complaint)))
                self._complaint.clear()
        return pieces

    def _begin(self) -> None:
        output, zeros, self._left = _HEADER.unpack(self._header)
        if zeros != b"\0\0\0" or output > Output.ENGINE:
            raise MalformedStream(
                f"no header of a frame: {self._header!r}; a container with a "
                "terminal must be attached to with tty=True"
            )
        self._output = Output(output)
        self._header = b""

    def finish(self) -> None:
        """
        Hear that the stream is over.

        :raises MalformedStream: it ended inside a frame.
        """
        if self._header or self._left:
            raise MalformedStream("the stream ended inside a frame")


class Terminal:
    """The parser for containers with a terminal: everything is ``STDOUT``."""

    def feed(self, data: bytes) -> list[Piece]:
        """Take bytes as they come."""
        return [Piece(Output.STDOUT, data)] if data else []

    def finish(self) -> None:
        """Hear that the stream is over, which it may be anywhere."""
