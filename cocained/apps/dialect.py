# -*- test-case-name: cocained.test.test_apps_dialect -*-
"""
How the streams of events are spoken with workers: protocol 0 or 1.

In protocol 1 (protocol.md §8.4) a stream is what it is for clients.  In
protocol 0 (§8.3) all messages of a worker are numbered in one row, and frames
have no headers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cocained.apps.bodies import CHUNK_HEADS, WRITE_HEAD
from cocained.errors import Category, CocainedError, InvalidArgument
from cocained.rpc.arguments import Signature, blob, integer
from cocained.rpc.codec import RAW_HEADS, frame_head, pack, short_head, unpack
from cocained.rpc.graph import CLOSE, ERROR, WRITE
from cocained.rpc.headers import Header
from cocained.rpc.roles import Receiver


@dataclass(frozen=True, slots=True)
class Dialect:
    """
    What an event needs to know to speak with its worker.

    :ivar head: gives the start of each frame on a channel.
    :ivar invoke: kind and head of the arguments of ``invoke``.
    :ivar write: likewise of a chunk.
    :ivar chunk_heads: the same with the head of the chunk, by its size, for
        those below :data:`~cocained.rpc.codec.LARGE`.
    :ivar is_plain: whether all else is as clients have it, too.
    :ivar body: translates kind and arguments from those that clients use.
    :ivar receiver: translates what the worker sends.
    """

    head: Callable[[int], bytes]
    invoke: bytes
    write: bytes
    chunk_heads: Sequence[bytes]
    is_plain: bool
    body: Callable[[bytes], bytes]
    receiver: Callable[[Receiver], Receiver]


def _same(body: bytes) -> bytes:
    return body


def _itself(reply: Receiver) -> Receiver:
    return reply


def _numbered(body: bytes) -> bytes:
    kind = body[:1]
    if kind == b"\x01":
        (_, code), reason = unpack(body[1:])
        return b"\x05" + pack([code, reason])
    return bytes((kind[0] + 4,)) + body[1:]


class _NumberedReply:
    """Translates a worker's stream of protocol 0."""

    __slots__ = ("_reply",)

    _ERROR = Signature([integer, blob])

    def __init__(self, reply: Receiver) -> None:
        self._reply = reply

    def message(self, kind: int, args: list[Any], headers: list[Header]) -> None:
        if kind == 5:
            try:
                code, reason = self._ERROR.convert(args)
            except InvalidArgument:
                self._reply.message(ERROR, [], headers)
            else:
                pair = [int(Category.WORKER), code]
                self._reply.message(ERROR, [pair, reason], headers)
        elif kind in (4, 6):
            self._reply.message(WRITE if kind == 4 else CLOSE, args, headers)
        else:
            self._reply.message(kind + 65536, args, headers)

    def discard(self, error: CocainedError) -> None:
        self._reply.discard(error)


#: Worker protocol 1.
PLAIN = Dialect(frame_head, WRITE_HEAD, WRITE_HEAD, CHUNK_HEADS, True, _same, _itself)

_NUMBERED_WRITE = b"\x04\x91"

#: Worker protocol 0.
NUMBERED = Dialect(
    short_head,
    b"\x03\x91",
    _NUMBERED_WRITE,
    tuple(_NUMBERED_WRITE + head for head in RAW_HEADS),
    False,
    _numbered,
    _NumberedReply,
)
