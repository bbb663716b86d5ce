# -*- test-case-name: cocained.test.live.test_transcript -*-
"""
Conversations with a node, written as the reference capture writes them.

A line that begins with ``>`` is sent, one that begins with ``<`` is expected::

    > [1, 0, ["nope"]]
    < [1, 1, [[10, 1], "service is not available"]]
    > raw c1
    < <connection closed>

Frames look as in reference-behaviour.md §1: ``nil``, ``true``, ``h"00ff"``,
``PRIM``, ``STREAM``, ``<uuid>``, and ``(no answer)``.  In what is expected,
``*`` stands for anything and ``~"text"`` for any string that contains *text*.
A frame without a fourth element is compared without its headers.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgpack

#: What a one-answer method sends, and what a stream takes or sends.
SHORTHANDS = {
    "PRIM": '{0: ["value", {}], 1: ["error", {}]}',
    "STREAM": '{0: ["write", nil], 1: ["error", {}], 2: ["close", {}]}',
}

#: Seconds in which "no answer" must prove to be none.  Each costs a test that
#: long; a node that answers by mistake does so within milliseconds.
SILENCE = 0.15

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<hex>h"(?P<digits>[0-9a-f]*)")
    | (?P<like>~"(?P<part>(?:[^"\\]|\\.)*)")
    | "(?P<text>(?:[^"\\]|\\.)*)"
    | (?P<float>-?\d+\.\d+)
    | (?P<int>-?\d+)
    | (?P<word>[A-Za-z]+)
    | (?P<uuid><uuid>)
    | (?P<sign>[\[\]{},:*])
    )""",
    re.X,
)

_UUID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


class Mismatch(AssertionError):
    """The node did not say what the transcript says."""


class Anything:
    """Equals every value."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "*"


class Containing(Anything):
    """
    Equals every string with a part like that.

    :param part: the part.
    """

    def __init__(self, part: bytes) -> None:
        self.part = part

    def __eq__(self, other: object) -> bool:
        return isinstance(other, bytes) and self.part in other

    def __hash__(self) -> int:
        return 1

    def __repr__(self) -> str:
        return f"~{self.part!r}"


class UuidText(Anything):
    """Equals a uuid in small letters."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, bytes) and _UUID.match(other) is not None

    def __hash__(self) -> int:
        return 2

    def __repr__(self) -> str:
        return "<uuid>"


class Peer(Protocol):
    """A connection to the node."""

    def send_bytes(self, data: bytes) -> None:
        """Send *data* as it is."""

    def take(self, count: int) -> list[Any]:
        """Wait for so many frames; fewer if the connection ends."""

    def rest(self, seconds: float) -> list[Any]:
        """Give what comes in so many seconds."""

    def is_closed(self) -> bool:
        """Wait for the end of the connection; say whether it came."""


class _Reader:
    """Reads one value of the notation."""

    def __init__(self, text: str, words: Mapping[str, Any]) -> None:
        self.text = text
        self.words = words
        self.place = 0
        self.token: re.Match[str] | None = None
        self.next()

    def next(self) -> None:
        self.token = _TOKEN.match(self.text, self.place)
        if self.token is not None:
            self.place = self.token.end()
        elif self.text[self.place :].strip():
            raise ValueError(f"cannot read {self.text[self.place :]!r}")

    def at(self, sign: str) -> bool:
        if self.token is not None and self.token["sign"] == sign:
            self.next()
            return True
        return False

    def need(self, sign: str) -> None:
        if not self.at(sign):
            raise ValueError(f"{sign!r} is missing in {self.text!r}")

    def value(self) -> Any:
        if self.at("["):
            return self.sequence("]", self.value)
        if self.at("{"):
            return dict(self.sequence("}", self.pair))
        if self.at("*"):
            return Anything()
        token = self.token
        if token is None or token["sign"]:
            raise ValueError(f"a value is missing in {self.text!r}")
        self.next()
        return self.atom(token)

    def atom(self, token: re.Match[str]) -> Any:
        if token["hex"] is not None:
            return bytes.fromhex(token["digits"])
        if token["like"] is not None:
            return Containing(_unescape(token["part"]))
        if token["text"] is not None:
            return _unescape(token["text"])
        if token["float"] is not None:
            return float(token["float"])
        if token["int"] is not None:
            return int(token["int"])
        if token["uuid"] is not None:
            return UuidText()
        return self.words[token["word"]]

    def sequence(self, end: str, item: Any) -> list[Any]:
        items: list[Any] = []
        while not self.at(end):
            if items:
                self.need(",")
            items.append(item())
        return items

    def pair(self) -> tuple[Any, Any]:
        key = self.value()
        self.need(":")
        return key, self.value()


def _unescape(text: str) -> bytes:
    return text.encode().decode("unicode_escape").encode("latin-1")


_CONSTANTS: dict[str, Any] = {"nil": None, "true": True, "false": False}
WORDS = {
    **_CONSTANTS,
    **{name: _Reader(text, _CONSTANTS).value() for name, text in SHORTHANDS.items()},
}


def parse(text: str) -> Any:
    """
    Read one value.

    :param text: in the notation; strings become bytes.
    :raises ValueError: it is not in the notation.
    """
    reader = _Reader(text, WORDS)
    value = reader.value()
    if reader.token is not None:
        raise ValueError(f"more than one value in {text!r}")
    return value


def to_bytes(text: str) -> bytes:
    """Pack what stands behind a ``>``."""
    if text.startswith("raw "):
        return bytes.fromhex(text[4:])
    packed: bytes = msgpack.packb(parse(text), use_bin_type=False)
    return packed


def by_channel(frames: Iterable[Any]) -> dict[Any, list[Any]]:
    """Sort frames: their order matters within a channel only."""
    channels: dict[Any, list[Any]] = defaultdict(list)
    for frame in frames:
        channels[frame[0]].append(frame)
    return dict(channels)


def play(peer: Peer, script: str) -> None:
    """
    Have a conversation.

    Successive ``>`` lines leave in one packet.

    :param peer: the connection; it may have been used before.
    :param script: lines of the notation; empty ones mean nothing.
    :raises Mismatch: something else came back.
    """
    lines = [line.strip() for line in script.splitlines() if line.strip()]
    while lines:
        sent = _while(lines, ">")
        if sent:
            peer.send_bytes(b"".join(to_bytes(line) for line in sent))
        expected = _while(lines, "<")
        if not sent and not expected:
            raise ValueError(f"neither > nor <: {lines[0]!r}")
        _check(peer, sent, expected)


def _while(lines: list[str], mark: str) -> list[str]:
    taken = []
    while lines and lines[0].startswith(mark + " "):
        taken.append(lines.pop(0)[2:].strip())
    return taken


def _check(peer: Peer, sent: list[str], expected: list[str]) -> None:
    frames = [parse(line) for line in expected if line.startswith("[")]
    got = peer.take(len(frames))
    pruned = by_channel(got)
    wanted = by_channel(frames)
    for channel, answers in wanted.items():
        pairs = zip(answers, pruned.get(channel, []), strict=False)
        pruned[channel] = [
            came[: len(want)] if isinstance(came, list) else came
            for want, came in pairs
        ]
    if wanted != pruned:
        raise Mismatch(f"after {sent}\n  wanted {frames}\n  got    {got}")
    for line in expected:
        if line == "(no answer)":
            more = peer.rest(SILENCE)
            if more:
                raise Mismatch(f"after {sent}\n  wanted no answer\n  got    {more}")
        elif line == "<connection closed>":
            if not peer.is_closed():
                raise Mismatch(f"after {sent}\n  the connection is still open")
        elif not line.startswith("["):
            raise ValueError(f"cannot expect {line!r}")
