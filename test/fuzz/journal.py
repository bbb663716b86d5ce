# -*- test-case-name: cocained.test.test_fuzz -*-
"""
Journals of the unicorn ``files``, as a bad disk or a stranger leaves them.

The first byte of an input says how the rest becomes a file: as it is, or as
records, each after the two bytes of its length, whose heads are made: no fuzzer guesses
a checksum.
"""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgpack

from cocained.errors import UnicornError
from cocained.test.fuzz.archive import memory
from cocained.test.fuzz.targets import Target, law
from cocained.unicorns.journal import FORMAT, JOURNAL, LOCK, MARK, Journal, _frame
from cocained.unicorns.paths import parent
from cocained.unicorns.tree import OVERHEAD, State, Tree

#: Bits of the first byte.
RAW, UNMARKED = 0x01, 0x02


def check(data: bytes, make: type[Journal] = Journal) -> None:
    """
    Take one input.

    :param make: the journal, or one with a fault.
    """
    if not data:
        return
    with tempfile.TemporaryDirectory(prefix="fuzz", dir=memory()) as directory:
        folder = Path(directory)
        content = data[1:] if data[0] & RAW else records(data)
        (folder / JOURNAL).write_bytes(content)
        tree = Tree()
        journal = make(directory, tree)
        try:
            journal.open()
        except UnicornError as error:
            law(directory in error.reason, "a refusal names the file", error)
            law((folder / JOURNAL).read_bytes() == content, "nothing refused is lost")
            return
        try:
            _look(tree)
            _go_on(journal, tree)
        finally:
            journal.close()
        _come_back(directory, tree, make)
        names = sorted(path.name for path in folder.iterdir())
        law(names == [JOURNAL, LOCK], "nothing else is there", names)


def records(data: bytes) -> bytes:
    """Make a journal of what follows the first byte."""
    content = b"" if data[0] & UNMARKED else _frame([MARK, FORMAT])
    at = 1
    while at < len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        payload = data[at + 2 : at + 2 + length]
        content += struct.pack(">II", len(payload), zlib.crc32(payload)) + payload
        at += 2 + length
    return content


def _look(tree: Tree) -> None:
    """State what holds for every tree."""
    states = {state.path: state for state in tree}
    size = 0
    law("" in states, "there is a root")
    for path, state in states.items():
        law(type(state.data) is bytes, "every node has a value", state)
        law(not state.ephemeral, "sessions of before are over", state)
        if path:
            law(path[0] == "/" and all(path[1:].split("/")), "paths are paths", path)
            law(parent(path) in states, "something is above each node", path)
            size += len(path.encode()) + len(state.data or b"") + OVERHEAD
            above, _ = tree.names(parent(path))
            law(path.rpartition("/")[2] in above, "it is among the children", path)
    law(tree.size == size, "the size is that of the nodes", tree.size, size)


def _go_on(journal: Journal, tree: Tree) -> None:
    """State that every node can be changed, and one more be made."""
    for state in list(tree)[:4]:
        if state.path:
            plan = tree.write(state.path, b"x", -1)
            journal.note(plan.states)
            tree.apply(plan.states)
    plan = tree.create("/one-more-", b"y", ephemeral=False, sequence=True)
    journal.note(plan.states)
    tree.apply(plan.states)
    law(not journal.problem, "there is no problem", journal.problem)


def _come_back(folder: str, tree: Tree, make: type[Journal]) -> None:
    """State that what was kept is there again."""
    again = Tree()
    journal = make(folder, again)
    journal.open()
    journal.close()
    law(list(again) == list(tree), "what was kept is there again", list(again))
    law(not journal.torn, "no end is torn", journal.torn)


def _input(*payloads: Any, form: int = 0) -> bytes:
    packed = [msgpack.packb(payload) for payload in payloads]
    parts = (len(each).to_bytes(2, "big") + each for each in packed)
    return bytes((form,)) + b"".join(parts)


def _state(*fields: Any) -> list[Any]:
    return list(State(*fields))


def seeds() -> Iterable[bytes]:
    """Journals of honest trees, and others."""
    root = _state("", b"", 0, 1, 1)
    node = _state("/a", b"1", 0, 0, 0)
    yield _input()
    yield _input([node, root])
    yield _input([root], [node], [_state("/a/b", b"2", 3, 1, 7)])
    yield _input([node, root], [_state("/a", None), root])
    yield _input([_state("/a", b"", 0, 0, 0, True), root])
    yield _input([_state("/a", b"", 0, 0, 0, True)], [_state("/a/b", b"")])
    yield _input([_state("/a/b", b"")], [root])
    yield _input([_state("a", b"")])
    yield _input([_state("/a//b", b"")])
    yield _input([_state("", None)])
    yield _input([_state("/x", None)])
    yield _input([node, root], [_state("/a", b"", 0, 0, 0, True)])
    yield _input([_state("/a", b"", 2**63 - 1, 2**64 - 1, -1)])
    yield _input([_state("/a", b"", -(2**63))])
    yield _input([_state("", b"", 0, 2**64 - 1, 2**64 - 1)])
    yield _input([["/a", "text"]])
    yield _input([["/a", b"", 0, 0, 0, 2]])
    yield _input([["/a", b"", 0, 0, 0, False, 1]])
    yield _input(7, [7])
    yield _input({"a": 1})
    yield _input([MARK, FORMAT], form=UNMARKED)
    yield _input([MARK, FORMAT + 1], form=UNMARKED)
    whole = records(_input([node, root], [_state("/b", b"2"), root]))
    yield bytes((RAW,)) + whole
    yield bytes((RAW,)) + whole[:-3]
    yield bytes((RAW,)) + whole[:-40] + bytes((whole[-40] ^ 1,)) + whole[-39:]
    yield bytes((RAW,)) + whole[:5]
    yield bytes((RAW,)) + bytes(64)
    yield bytes((RAW,)) + b"something else"


TARGET = Target(
    run=check,
    seeds=seeds,
    words=(msgpack.packb("/a"), msgpack.packb("/a/b"), b"\x96", b"\xc4\x01"),
    size=1024,
)
