# -*- test-case-name: cocained.test.test_docker_streams -*-
"""
Cuts a stream into lines; pure.

Progress and events come as one JSON object a line.  Engines end a line with
``\\n`` or ``\\r\\n``; blank lines mean nothing.
"""

from __future__ import annotations

from cocained.docker.errors import MalformedStream

#: Bytes of the longest line we take.  Events carry all labels of a container,
#: builds print what they like; both stay far below.
MAX_LINE = 1024 * 1024


class Lines:
    """
    A splitter that keeps one unfinished line, and no more.

    :param limit: bytes of the longest line.
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self.limit = limit
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """
        Take bytes as they come.

        :returns: the lines that they finish, without their ends.
        :raises MalformedStream: a line is longer than the limit.
        """
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = bytes(self._rest) + whole[0]
            self._rest.clear()
        self._rest += rest
        if max(len(self._rest), *map(len, whole), 0) > self.limit:
            self._rest.clear()
            raise MalformedStream(f"a line has more than {self.limit} bytes")
        return [line for line in map(bytes.strip, whole) if line]

    def finish(self) -> list[bytes]:
        """Give the last line, if it had no end."""
        line = bytes(self._rest).strip()
        self._rest.clear()
        return [line] if line else []
