# -*- test-case-name: tests.test_session -*-
"""
Dispatch graphs: which messages may travel in a channel, and what follows them.

Source: protocol.md 2.1. A tree is a dictionary; None stands for "the same tree
again", an empty dictionary for the end of that direction.
"""

from __future__ import annotations

from cocaine.exceptions import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    #: Received messages, by type: (name, next tree).
    RxTree = dict[int, tuple[str, "RxTree | None"]]
    #: Sent messages, by name: (type, next tree).
    TxTree = dict[str, tuple[int, "TxTree | None"]]

#: Real graphs are two deep; the wire itself allows 32 levels of nesting.
MAX_DEPTH = 32

PRIMITIVE = {0: [b"value", {}], 1: [b"error", {}]}
STREAMING = {0: [b"write", None], 1: [b"error", {}], 2: [b"close", {}]}


class Method:
    """
    One entry of a service's graph.

    :ivar number: the message type that opens the channel
    :ivar tx: what may be sent afterwards
    :ivar rx: what may be received
    :ivar is_single: whether a call gives the value rather than the channel: the
        answer is one value and the caller has no stream to write first
    """

    __slots__ = ("is_single", "name", "number", "rx", "tx")

    def __init__(self, number: int, name: str, tx: Any, rx: Any) -> None:
        self.number = number
        self.name = name
        self.tx: TxTree = {}
        self.rx: RxTree = {}
        if tx is not None:
            for kind, (message, after) in _parse(tx, 0).items():
                self.tx[message] = (kind, _by_name(after))
        if rx is not None:
            self.rx = _parse(rx, 0)
        names = [entry[0] for entry in self.rx.values()]
        self.is_single = "value" in names and "write" not in self.tx


def _parse(raw: Any, depth: int) -> RxTree:
    if type(raw) is not dict:
        raise ProtocolError(f"a graph has {raw!r:.80} in place of a map")
    if depth > MAX_DEPTH:
        raise ProtocolError(f"a graph is nested deeper than {MAX_DEPTH} levels")
    tree: RxTree = {}
    for kind, entry in raw.items():
        if type(kind) is not int or type(entry) is not list or len(entry) < 2:
            raise ProtocolError(f"a graph has the malformed entry {entry!r:.80}")
        after = None if entry[1] is None else _parse(entry[1], depth + 1)
        tree[kind] = (text(entry[0]), after)
    return tree


def _by_name(tree: RxTree | None) -> TxTree | None:
    if tree is None:
        return None
    return {name: (kind, _by_name(after)) for kind, (name, after) in tree.items()}


def parse_api(raw: Any) -> dict[str, Method]:
    """
    Turn the root graph of a service into methods by name.

    :raises ProtocolError: for anything that is not a graph
    """
    if type(raw) is not dict:
        raise ProtocolError(f"a graph is a map, not {raw!r:.80}")
    api = {}
    for number, entry in raw.items():
        if type(number) is not int or type(entry) is not list or len(entry) < 3:
            raise ProtocolError(f"a graph has the malformed entry {entry!r:.80}")
        method = Method(number, text(entry[0]), entry[1], entry[2])
        api[method.name] = method
    return api


def text(raw: Any) -> str:
    """Decode a name or a reason; never fails."""
    if isinstance(raw, bytes):
        return raw.decode("utf-8", "replace")
    return str(raw)


_DISCARD = {0: [b"discard", {}]}
#: Compiled in, as in the published framework: these ids never move.
LOCATOR = {
    0: [b"resolve", {}, PRIMITIVE],
    1: [b"connect", {}, STREAMING],
    2: [b"refresh", {}, PRIMITIVE],
    3: [b"cluster", {}, PRIMITIVE],
    4: [b"publish", _DISCARD, PRIMITIVE],
    5: [b"routing", _DISCARD, STREAMING],
    6: [b"uuid", {}, PRIMITIVE],
}
