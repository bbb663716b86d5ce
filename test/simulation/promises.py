# -*- test-case-name: cocained.test.test_simulation -*-
"""
What one client may expect on one channel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from cocained.errors import WireError


class Foul(Enum):
    """Who broke the rules of a stream, so that the engine may end it."""

    CLIENT = "the client"
    WORKER = "the worker"


@dataclass(slots=True)
class Call:
    """
    A method with at most one answer.

    :ivar expects: whether there must be one.
    """

    client: str
    channel: int
    expects: bool
    answers: int = 0
    waived: bool = False


@dataclass(slots=True)
class Request:
    """
    One event, as those around the engine know it.

    :ivar token: its name, of this request alone; every chunk carries it.
    :ivar timeout: seconds asked for by its header; ``None`` is the profile's.
    :ivar flawed: whether its headers are wrong.
    :ivar sent: chunks that the client has sent.
    :ivar client_end: kind of the client's last message, once it is sent.
    :ivar accepted: when the engine took it.
    :ivar refusal: what the engine raised instead.
    :ivar deadline: when it has to be over.
    :ivar latest: when it is too late, the grain of deadlines included.
    :ivar worker: who got it.
    :ivar passed: chunks of the client that the worker was sent.
    :ivar passed_end: kind of the last message that the worker was sent.
    :ivar said: chunks that the worker has answered.
    :ivar said_end: the worker's last message; an error, or ``None`` for a
        ``close``.
    :ivar got: chunks that the client was sent.
    :ivar ending: how it ended for the client: a word for the totals.
    :ivar ended: when that was.
    :ivar waived: whether the client has left, or revoked the channel: then it
        need not end.
    """

    token: bytes
    client: str
    channel: int
    timeout: float | None = None
    flawed: bool = False
    sent: int = 0
    client_end: int | None = None
    accepted: float | None = None
    refusal: WireError | None = None
    deadline: float = 0.0
    latest: float = 0.0
    worker: str | None = None
    passed: int = 0
    passed_end: int | None = None
    said: int = 0
    has_said: bool = False
    said_end: WireError | None = None
    got: int = 0
    ending: str | None = None
    ended: float = 0.0
    waived: bool = False
    fouls: set[Foul] = field(default_factory=set)


Promise = Call | Request


def chunk(token: bytes, number: int, size: int) -> bytes:
    """
    Write a chunk that says whose it is.

    :param number: of the chunk in its stream, from 0.
    :param size: bytes of padding.
    """
    return b"%s/%d %s" % (token, number, b"." * size)


def says(data: bytes, token: bytes, number: int) -> bool:
    """Whether a chunk is that one."""
    return data.startswith(b"%s/%d " % (token, number))
