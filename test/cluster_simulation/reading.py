# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
Frames, taken apart by the real code: each change once, whoever hears it.
"""

from __future__ import annotations

from cocained.errors import Category, CocainedError, DispatchCode, RemoteError
from cocained.links.tidings import Reader, Tidings
from cocained.rpc.codec import Decoder, encode
from cocained.rpc.graph import CLOSE, PING, VALUE, WRITE
from cocained.rpc.headers import UNTRACED, HeaderTable
from cocained.test.cluster_simulation.broken import Broken

#: Frames that are remembered: one change is heard by all within moments.
REMEMBERED = 8192

#: A ping and its answer, on a channel of two bytes, as most of them have.
PING_SIZE = len(encode(1000, PING, [], UNTRACED))
PONG_SIZE = len(encode(1000, VALUE, [], UNTRACED))

#: ``connect`` with a uuid.
CONNECT_SIZE = len(encode(1, 1, ["0" * 36], UNTRACED))


class Reading:
    """What all nodes read."""

    def __init__(self) -> None:
        self._reader = Reader()
        self._known: dict[bytes, Tidings | CocainedError] = {}

    def read(self, data: bytes) -> Tidings | CocainedError:
        """
        Take one frame apart.

        :returns: what it says; an error if it ends the stream.
        """
        found = self._known.get(data)
        if found is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            found = self._known[data] = self._read(data)
        return found

    def _read(self, data: bytes) -> Tidings | CocainedError:
        frames = Decoder().decode(data)
        if len(frames) != 1:
            raise Broken(f"{len(frames)} frames in one write: {data!r}")
        _, kind, args, packed = frames[0]
        headers = HeaderTable().decode(packed) if packed else []
        if kind == WRITE:
            return self._reader.read(args, headers)
        if kind == CLOSE:
            return RemoteError(
                Category.DISPATCH,
                DispatchCode.NOT_CONNECTED,
                "the node says that it tells nothing more",
            )
        raise Broken(f"message {kind} on a stream of connect")
